import type { Clock } from '#base/clock.ts';

/**
 * A mutating call that a client repeats because it did not see the answer gets the answer of the first, instead of being
 * done again. SDKs send one `amz-sdk-invocation-id` for all attempts of a call; the same id with the same key, operation
 * and body is the same call.
 *
 * A call is: running (a repetition waits for it) → answered (a repetition gets the bytes) → forgotten, after `keepMs` or
 * when room is needed. An answer that is not `final` is forgotten at once: its repetition is a new attempt. All of this
 * is memory; what must hold across a restart of the server records the call with what it makes, or is kept by
 * durable-replay.ts.
 */
export class Replay<Answer extends { readonly final: boolean; readonly bytes: number }> {
  readonly #clock: Clock;
  readonly #limits: ReplayLimits;
  /** In the order of insertion, so the oldest come first. */
  readonly #calls = new Map<string, Call<Answer>>();
  #bytes = 0;

  constructor(clock: Clock, limits: ReplayLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** The answer of the call `key`: a running one is joined, a kept one is repeated, otherwise `perform` is called. */
  answer(key: string, perform: () => Promise<Answer>): Promise<Answer> {
    const known = this.#calls.get(key);
    if (known !== undefined && (known.answeredAtMs === null || !this.#old(known.answeredAtMs))) return known.answer;
    if (known !== undefined) this.#forget(key, known);
    this.#makeRoom();
    const call: Call<Answer> = { answer: perform(), answeredAtMs: null, bytes: 0 };
    this.#calls.set(key, call);
    this.#keep(key, call).catch(() => this.#forget(key, call));
    return call.answer;
  }

  async #keep(key: string, call: Call<Answer>): Promise<void> {
    const answer = await call.answer;
    if (!answer.final) {
      this.#forget(key, call);
      return;
    }
    call.answeredAtMs = this.#clock.monotonicMs();
    call.bytes = answer.bytes;
    this.#bytes += answer.bytes;
    this.#makeRoom();
  }

  get count(): number {
    return this.#calls.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Forgets what is old, then the oldest answers until the limits hold. Running calls stay: the server bounds them. */
  #makeRoom(): void {
    for (const [key, call] of this.#calls) {
      if (call.answeredAtMs === null) continue;
      const full = this.#calls.size >= this.#limits.callsMax || this.#bytes > this.#limits.bytesMax;
      if (!full && !this.#old(call.answeredAtMs)) return;
      this.#forget(key, call);
    }
  }

  #old(answeredAtMs: number): boolean {
    return this.#clock.monotonicMs() - answeredAtMs >= this.#limits.keepMs;
  }

  #forget(key: string, call: Call<Answer>): void {
    if (this.#calls.get(key) !== call) return;
    this.#calls.delete(key);
    this.#bytes -= call.bytes;
  }
}

export interface ReplayLimits {
  /** SDKs give up long before; a signature is refused after five minutes. */
  readonly keepMs: number;
  readonly callsMax: number;
  readonly bytesMax: number;
}

interface Call<Answer> {
  readonly answer: Promise<Answer>;
  answeredAtMs: number | null;
  bytes: number;
}
