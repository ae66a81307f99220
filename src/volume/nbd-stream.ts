import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { handleOf, isSocketClientGone } from './nbd-socket.ts';
import type { NbdSink, NbdTransport } from './nbd-transport.ts';

/** A transport over any duplex stream: TLS, or a socket that cannot be adopted. Copies what comes in. */
export class NbdStream implements NbdTransport {
  readonly #stream: Duplex;
  readonly #sink: NbdSink;
  /** What the stream goes over, to ask the kernel about it. */
  readonly #socket: Socket | null;
  /** Came in while the session took no more. */
  #kept: Buffer | null = null;
  #delivering = true;
  #ended = false;

  constructor(stream: Duplex, sink: NbdSink, socket: Socket | null = null) {
    this.#stream = stream;
    this.#socket = socket;
    this.#sink = sink;
    stream.on('data', (chunk: Buffer) => this.#deliver(chunk));
    stream.on('end', () => {
      this.#ended = true;
      if (this.#kept === null) sink.ended();
    });
    stream.on('error', () => {}); // 'close' follows.
    stream.on('close', () => sink.closed());
    stream.resume(); // It may have been paused by hand, which a listener for data does not undo.
  }

  send(bytes: Uint8Array): boolean {
    if (this.#stream.destroyed || !this.#stream.writable) return true;
    this.#stream.write(bytes, () => this.#sink.sent());
    return false;
  }

  unsentBytes(): number {
    return this.#socket === null ? 0 : (handleOf(this.#socket)?.writeQueueSize ?? 0);
  }

  isClientGone(pausedMs: number): boolean {
    return this.#socket !== null && !this.#stream.destroyed && isSocketClientGone(this.#socket, pausedMs);
  }

  resume(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    const kept = this.#kept;
    this.#kept = null;
    if (kept !== null) this.#deliver(kept);
    if (!this.#delivering) return;
    if (this.#ended) this.#sink.ended();
    else this.#stream.resume();
  }

  end(): void {
    if (!this.#stream.destroyed) this.#stream.end();
  }

  destroy(): void {
    this.#stream.destroy();
  }

  #deliver(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0 && !this.#stream.destroyed) {
      if (!this.#delivering) {
        this.#kept = this.#kept === null ? rest : Buffer.concat([this.#kept, rest]);
        this.#stream.pause();
        return;
      }
      const target = this.#sink.target();
      const count = Math.min(rest.length, target.length);
      target.set(rest.subarray(0, count));
      rest = rest.subarray(count);
      this.#delivering = this.#sink.received(count);
    }
    if (!this.#delivering) this.#stream.pause();
  }
}
