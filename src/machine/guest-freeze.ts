import type { Clock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';

import { GuestAgentError, type GuestAgent } from './guest-agent.ts';
import type { Quiesced } from './hypervisor.ts';

export interface GuestFreezeOptions {
  readonly agent: Pick<GuestAgent, 'call'>;
  /** Whether a program in the guest has the agent's port open. */
  readonly isAgentThere: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** Of the time for which a guest may be held, so much may pass until it is. */
const FREEZE_PART = 0.75;
const THAW_MS_MAX = 5_000;
/** Whoever lets a guest go waits no longer for its word that it goes on. */
const LET_GO_MS_MAX = 10_000;
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;

interface Hold {
  isHeld: boolean;
  heldMs: number;
  readonly begunMs: number;
  readonly ending: AbortController;
  /** Resolves when the guest said that it goes on, or is gone. */
  thawed: Promise<void> | null;
  readonly over: PromiseWithResolvers<void>;
}

/**
 * Freezes a guest's file systems, and sees to it that they thaw:
 *
 *   - when whoever asked lets go, when the time is over, when freezing failed or was late (it may take effect yet);
 *   - when the agent appears, and when a machine is found: whoever froze it may be dead, and a snapshot of a frozen guest
 *     may hold the agent's word that it is frozen, which keeps it from everything else;
 *   - again and again until the agent says so, or is gone, for which it must appear again to be of use.
 */
export class GuestFreeze {
  readonly #options: GuestFreezeOptions;
  readonly #disposing = new AbortController();
  /** Aborted, and another, whenever the agent appears. */
  #appearance = new AbortController();
  #hold: Hold | null = null;
  #answers: boolean | null = null;

  constructor(options: GuestFreezeOptions) {
    this.#options = options;
  }

  /** Whether the agent answered when it was asked last; null: never asked. */
  get answers(): boolean | null {
    return this.#options.isAgentThere() ? this.#answers : false;
  }

  /** As Hypervisor.quiesce, of a machine that runs. */
  async quiesce(options: { readonly timeoutMs: number }): Promise<Quiesced> {
    const { agent, clock, isAgentThere } = this.#options;
    const untilMs = clock.monotonicMs() + options.timeoutMs;
    if (!isAgentThere()) return crash('no agent runs in the guest');
    while (this.#hold !== null) {
      const hold = this.#hold;
      const leftMs = untilMs - clock.monotonicMs();
      if (!hold.isHeld && hold.thawed !== null && this.#answers === false) return crash('the agent does not answer');
      if (leftMs <= 0) return crash('it was held for another snapshot');
      await this.#first(leftMs, hold.over.promise);
    }
    const hold = this.#begin();
    const freezeMs = (untilMs - clock.monotonicMs()) * FREEZE_PART;
    try {
      const count = await agent.call('guest-fsfreeze-freeze', { timeoutMs: freezeMs });
      this.#answers = true;
      if (typeof count !== 'number' || count < 1)
        return await this.#givenUp(hold, 'it has no file system that freezes');
    } catch (error) {
      return await this.#givenUp(hold, error instanceof GuestAgentError ? error.message : describeError(error));
    }
    hold.isHeld = !hold.ending.signal.aborted; // The agent began anew in between: then nobody knows.
    if (!hold.isHeld) return await this.#givenUp(hold, 'the agent began anew');
    const leftMs = Math.max(0, untilMs - clock.monotonicMs());
    void clock.sleep(leftMs, hold.ending.signal).then(
      () => this.#letGo(hold),
      () => {}, // It was let go.
    );
    return {
      consistency: 'filesystem',
      note: null,
      isHeld: () => hold.isHeld,
      heldMs: () => hold.heldMs,
      [Symbol.asyncDispose]: async () => {
        await this.#first(LET_GO_MS_MAX, this.#letGo(hold));
      },
    };
  }

  /** The agent is there, for the first time or again: nobody holds the guest, whatever it remembers. */
  agentAppeared(): void {
    this.#appearance.abort();
    this.#appearance = new AbortController();
    // Whoever thaws already goes on: a guest whose agent comes and goes would have one more each time.
    void this.#letGo(this.#hold ?? this.#begin());
  }

  /** Ends a hold, before the guest is asked for anything else. */
  async release(): Promise<void> {
    if (this.#hold !== null) await this.#first(LET_GO_MS_MAX, this.#letGo(this.#hold));
  }

  /** The machine is gone, or let go: nothing is tried any more. */
  dispose(): void {
    this.#disposing.abort();
  }

  #begin(): Hold {
    const hold: Hold = {
      isHeld: false,
      heldMs: 0,
      begunMs: this.#options.clock.monotonicMs(),
      ending: new AbortController(),
      thawed: null,
      over: Promise.withResolvers<void>(),
    };
    this.#hold = hold;
    return hold;
  }

  async #givenUp(hold: Hold, why: string): Promise<Quiesced> {
    void this.#letGo(hold); // Whoever wants a snapshot does not wait for a guest that is broken.
    return crash(why);
  }

  #letGo(hold: Hold): Promise<void> {
    hold.isHeld = false;
    hold.ending.abort();
    hold.thawed ??= this.#thaw(hold);
    return hold.thawed;
  }

  /** Never rejects. */
  async #thaw(hold: Hold): Promise<void> {
    const { agent, clock, isAgentThere, log } = this.#options;
    for (let pauseMs = RETRY_MS_MIN; !this.#disposing.signal.aborted; pauseMs = Math.min(2 * pauseMs, RETRY_MS_MAX)) {
      const { signal: another } = this.#appearance;
      try {
        await agent.call('guest-fsfreeze-thaw', { timeoutMs: THAW_MS_MAX });
        this.#answers = true;
        if (!another.aborted) break; // Else it was the word of one that is gone.
      } catch (error) {
        const refuses = error instanceof GuestAgentError && error.isRefusal;
        this.#answers = refuses;
        if (!isAgentThere() || this.#disposing.signal.aborted) break;
        if (refuses && pauseMs === RETRY_MS_MAX) break; // It means it; what may not thaw may not freeze.
        if (pauseMs === RETRY_MS_MIN) log.warn('machine-not-thawed', { error }); // Once: a guest may go on so for ever.
        // Disposed of, or another agent is there: the loop sees it.
        await clock.sleep(pauseMs, AbortSignal.any([this.#disposing.signal, another])).catch(() => {});
      }
    }
    hold.heldMs = clock.monotonicMs() - hold.begunMs;
    if (this.#hold === hold) this.#hold = null;
    hold.over.resolve();
  }

  async #first(timeoutMs: number, promise: Promise<void>): Promise<void> {
    const done = new AbortController();
    const over = this.#options.clock.sleep(timeoutMs, done.signal).catch(() => {}); // The promise was first.
    await Promise.race([promise, over]);
    done.abort();
  }
}

function crash(note: string): Quiesced {
  return { consistency: 'crash', note, isHeld: () => false, heldMs: () => 0, [Symbol.asyncDispose]: async () => {} };
}
