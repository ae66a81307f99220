import { assert } from '#base/assert.ts';
import type { NbdSink, NbdTransport } from './nbd-transport.ts';

/** A transport without a socket: what a session sends is collected, and what a test feeds arrives in pieces of any size. */
export class LoopbackTransport implements NbdTransport {
  readonly #out: Buffer[] = [];
  readonly #unsent: Buffer[] = [];
  readonly #unfed: Buffer[] = [];
  #sink: NbdSink | null = null;
  /** As a socket does, the target is asked for when the last input was taken, and used much later. */
  #target: Uint8Array = new Uint8Array();
  #delivering = true;
  #stalled = false;
  #ended = false;
  destroyed = false;
  /** The session closed its side, after all replies. */
  finished = false;
  peakUnsentBytes = 0;
  /** The client went, and its end of input lies behind what the session does not read. */
  clientGone = false;

  attach(sink: NbdSink): void {
    this.#sink = sink;
    this.#target = sink.target();
  }

  /** The client takes no replies until `unstall`. */
  stall(): void {
    this.#stalled = true;
  }

  unstall(): void {
    this.#stalled = false;
    for (let bytes = this.#unsent.shift(); bytes !== undefined; bytes = this.#unsent.shift()) {
      this.#out.push(Buffer.from(bytes));
      this.#sink?.sent();
    }
  }

  send(bytes: Uint8Array): boolean {
    if (this.destroyed) return true;
    assert(!this.finished, 'nothing is sent after the end');
    if (!this.#stalled) {
      this.#out.push(Buffer.from(bytes));
      return true;
    }
    // Kept as it is: whoever sends must leave these bytes alone until told.
    this.#unsent.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    this.peakUnsentBytes = Math.max(
      this.peakUnsentBytes,
      this.#unsent.reduce((sum, one) => sum + one.length, 0),
    );
    return false;
  }

  isClientGone(): boolean {
    return this.clientGone;
  }

  resume(): void {
    this.#delivering = true;
    process.nextTick(() => this.#deliver(Number.MAX_SAFE_INTEGER));
  }

  end(): void {
    this.finished = true;
    process.nextTick(() => this.#sink?.closed());
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    process.nextTick(() => this.#sink?.closed());
  }

  /** Input from the client, in pieces of at most `pieceBytes`. */
  feed(bytes: Uint8Array, pieceBytes = Number.MAX_SAFE_INTEGER): void {
    this.#unfed.push(Buffer.from(bytes));
    this.#deliver(pieceBytes);
  }

  /** The client closes its side. */
  endInput(): void {
    this.#ended = true;
    if (this.#unfed.length === 0) this.#sink?.ended();
  }

  /** Everything that the session has sent since the last call. */
  take(): Buffer {
    return Buffer.concat(this.#out.splice(0));
  }

  #deliver(pieceBytes: number): void {
    const sink = this.#sink;
    assert(sink !== null, 'a session is attached');
    while (this.#delivering && !this.destroyed && !this.finished) {
      const next = this.#unfed[0];
      if (next === undefined) {
        if (this.#ended) sink.ended();
        return;
      }
      const count = Math.min(next.length, this.#target.length, pieceBytes);
      this.#target.set(next.subarray(0, count));
      if (count === next.length) this.#unfed.shift();
      else this.#unfed[0] = next.subarray(count);
      if (count === 0) continue;
      this.#delivering = sink.received(count);
      this.#target = sink.target();
    }
  }
}
