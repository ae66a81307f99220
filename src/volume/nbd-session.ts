import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { NbdBudget } from './nbd-budget.ts';
import type { NbdBuffers } from './nbd-buffers.ts';
import type { NbdExport, NbdExports } from './nbd-export.ts';
import { NbdFlight } from './nbd-flight.ts';
import { STEPS_PER_TURN_MAX, type NbdLimits } from './nbd-limits.ts';
import { NbdNegotiation, type NbdGreeted } from './nbd-negotiation.ts';
import type { NbdPoll } from './nbd-poll.ts';
import { NbdReceiver } from './nbd-receiver.ts';
import { NbdSender } from './nbd-sender.ts';
import { NbdStallWatch } from './nbd-stall.ts';
import { NbdTransmission } from './nbd-transmission.ts';
import type { NbdSink, NbdTransport } from './nbd-transport.ts';

export interface NbdSessionOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: NbdLimits;
  readonly buffers: NbdBuffers;
  readonly budget: NbdBudget;
  readonly poll: NbdPoll;
  readonly exports: NbdExports;
  /** Set when the handshake has begun elsewhere (NbdTlsGate). */
  readonly greeted?: NbdGreeted | null;
  /** Whether one more client may have the export; true counts it until `done`. */
  readonly admit: (session: NbdSession, found: NbdExport) => boolean;
}

/**
 * One connection, over any transport. It is driven by three things: input, replies that the client took, and requests
 * that the device finished. Each leads to `#pump`, which takes as many messages as it may and then sends what was gathered.
 *
 * | state | input | ends when |
 * | --- | --- | --- |
 * | negotiating | options, one at a time | an export is opened, or the deadline passes |
 * | serving | requests | the client disconnects, breaks the protocol, or `finish` is called |
 * | finishing | is dropped | what is in flight is answered and the answers are sent, or the linger time passes |
 * | gone | – | – |
 *
 * Changes die with their connection: when it is gone, or the client closes its side without a disconnect request (which
 * nobody can tell from a client that died), what was received and not begun is not done, and what waits in the device
 * changes nothing from that instant on. So a client that connects again never has its data written over by what it had
 * asked for before. Reads are still answered to a side that is open. `done` resolves only when the device has nothing of
 * this session left.
 */
export class NbdSession implements NbdSink {
  readonly #options: NbdSessionOptions;
  readonly #receiver: NbdReceiver;
  readonly #done = Promise.withResolvers<void>();
  readonly #deadlines = new AbortController();
  /** Ends what the client's requests would still change. */
  readonly #client = new AbortController();
  readonly #wake: () => void;
  readonly #flight: NbdFlight;
  #transport: NbdTransport | null = null;
  #sender: NbdSender | null = null;
  #stallWatch: NbdStallWatch | null = null;
  #negotiation: NbdNegotiation | null = null;
  #transmission: NbdTransmission | null = null;
  #state: 'negotiating' | 'serving' | 'finishing' | 'gone' = 'negotiating';
  #inputEnded = false;
  /** It said that it goes, so what it sent before is still carried out when its side closes. */
  #saidGoodbye = false;
  #endSent = false;
  /** Input is not read until something that is under way has finished. */
  #paused = false;
  #pausedAtMs = 0;
  #wakes = false;

  constructor(options: NbdSessionOptions) {
    this.#options = options;
    this.#receiver = new NbdReceiver(options.buffers);
    this.#wake = () => this.#wakeSoon();
    this.#flight = new NbdFlight(options.limits, options.budget, this.#wake);
  }

  /** Resolves when the connection is gone and the device has finished all that came from it. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** Greets the client. */
  start(transport: NbdTransport): void {
    const { budget, buffers, clock, exports, limits, log } = this.#options;
    this.#transport = transport;
    const sender = new NbdSender(buffers, transport, budget);
    this.#sender = sender;
    this.#stallWatch = new NbdStallWatch({
      clock,
      stallMs: limits.stallMs,
      signal: this.#deadlines.signal,
      progress: () => sender.sentCount * 2 ** 32 + (transport.unsentBytes?.() ?? 0),
      waits: () => sender.unsentBytes > 0,
      stalled: () => this.#cut('takes no replies'),
    });
    this.#negotiation = new NbdNegotiation({
      exports,
      admit: (found) => this.#options.admit(this, found),
      receiver: this.#receiver,
      sender: this.#sender,
      limits,
      log,
      settled: this.#wake,
      greeted: this.#options.greeted ?? null,
    });
    this.#negotiation.greet();
    this.#sender.flush();
    this.#after(limits.handshakeMs, () => {
      if (this.#state === 'negotiating') this.#cut('handshake deadline');
    });
  }

  /** Takes no more requests, answers those under way, and closes. */
  finish(): void {
    if (this.#state === 'finishing' || this.#state === 'gone') return;
    this.#state = 'finishing';
    this.#transmission?.close();
    this.#after(this.#options.limits.lingerMs, () => this.destroy());
    this.#endWhenIdle();
  }

  /** Closes now; what the device has begun is not answered. */
  destroy(): void {
    this.#client.abort();
    this.#transport?.destroy();
  }

  /**
   * Cuts the connection when its client went while input waits, and with it the end of input: what waits must not be begun,
   * for by now the client may be back on another connection, and have written. `pausedMs`: see NbdTransport.
   */
  cutIfClientGone(pausedMs = this.#options.clock.monotonicMs() - this.#pausedAtMs): void {
    if (!this.#paused || this.#state !== 'serving' || this.#inputEnded) return;
    if (this.#transport?.isClientGone?.(pausedMs) === true) this.#cut('client is gone');
  }

  target(): Uint8Array {
    return this.#receiver.target();
  }

  received(count: number): boolean {
    this.#receiver.advance(count);
    this.#pump();
    this.#receiver.settle(this.#phase?.wanted ?? 0);
    if (this.#paused) this.#pausedAtMs = this.#options.clock.monotonicMs();
    if (this.#state === 'serving') this.#options.poll.touch();
    return !this.#paused;
  }

  sent(): void {
    this.#sender?.sent();
    this.#wakeSoon();
  }

  ended(): void {
    this.#inputEnded = true;
    if (!this.#saidGoodbye) this.#client.abort();
    // Whole requests that wait for room are still carried out; `#pump` finishes when it has taken them.
    if (!this.#paused || this.#state === 'negotiating') this.finish();
  }

  closed(): void {
    this.#state = 'gone';
    this.#deadlines.abort();
    this.#client.abort();
    this.#receiver.close();
    this.#sender?.close();
    this.#transmission?.close();
    this.#flight.close();
    this.#doneWhenIdle();
  }

  get #phase(): NbdNegotiation | NbdTransmission | null {
    return this.#transmission ?? this.#negotiation;
  }

  /** Takes what it may of what is held, then sends what was gathered. */
  #pump(): void {
    const sender = this.#sender;
    if (sender === null) return;
    this.#paused = false;
    for (let stepCount = 0; ; stepCount += 1) {
      if (this.#state === 'finishing' || this.#state === 'gone') {
        this.#receiver.use(this.#receiver.held);
        break;
      }
      if (sender.crowded(this.#options.limits.unsentBytesMax)) {
        this.#paused = true;
        break;
      }
      if (stepCount === STEPS_PER_TURN_MAX) {
        // Who sends without pause would otherwise keep all others waiting for as long as there is something of it.
        this.#paused = true;
        setImmediate(this.#wake);
        break;
      }
      const step = this.#phase?.step() ?? 'violation';
      if (step === 'next') continue;
      if (step === 'agreed') {
        this.#serve();
        continue;
      }
      if (step === 'busy') this.#paused = true;
      else if (step === 'violation') this.#cut('protocol violation');
      else if (step === 'disconnect') {
        this.#saidGoodbye = true;
        this.finish();
      } else if (this.#inputEnded) this.finish();
      break;
    }
    sender.flush();
    if (sender.unsentBytes > 0) this.#stallWatch?.look();
  }

  #serve(): void {
    const { log } = this.#options;
    if (this.#negotiation === null || this.#sender === null) return;
    const { export: found, agreement } = this.#negotiation.agreed;
    this.#transmission = new NbdTransmission({
      device: found.device,
      agreement,
      receiver: this.#receiver,
      sender: this.#sender,
      flight: this.#flight,
      log: log.with({ export: found.id }),
      signal: this.#client.signal,
    });
    this.#state = 'serving';
  }

  #cut(reason: string): void {
    this.#options.log.info('nbd.cut', { reason });
    this.#state = 'finishing';
    this.#client.abort();
    this.#transport?.destroy();
  }

  /** Something finished, or was sent: goes on at the end of this tick, once for all that did. */
  #wakeSoon(): void {
    if (this.#wakes) return;
    this.#wakes = true;
    process.nextTick(() => {
      this.#wakes = false;
      if (this.#state === 'gone') {
        this.#doneWhenIdle();
        return;
      }
      const wasPaused = this.#paused;
      if (wasPaused) this.cutIfClientGone();
      this.#pump();
      if (this.#state === 'finishing') this.#endWhenIdle();
      if (wasPaused && !this.#paused) this.#transport?.resume();
    });
  }

  get #idle(): boolean {
    return this.#flight.empty && this.#negotiation?.working !== true;
  }

  #endWhenIdle(): void {
    if (!this.#idle || this.#endSent) return;
    this.#endSent = true;
    this.#sender?.flushAll();
    this.#transport?.end();
  }

  #doneWhenIdle(): void {
    if (this.#idle) this.#done.resolve();
  }

  #after(durationMs: number, act: () => void): void {
    this.#options.clock.sleep(durationMs, this.#deadlines.signal).then(act, () => {}); // Rejected: the connection went first.
  }
}
