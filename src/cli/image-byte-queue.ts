import type { Socket } from 'node:net';

/** Above so many bytes that nobody has taken yet, the sender waits. */
const QUEUED_BYTES_MAX = 4 * 1024 * 1024;

/** What a socket receives, to be taken in pieces of known lengths by one taker. */
export class ByteQueue {
  readonly #socket: Socket;
  readonly #pieces: Buffer[] = [];
  #queuedBytes = 0;
  #ended: Error | null = null;
  #wake: (() => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#queuedBytes += piece.length;
      if (this.#queuedBytes > QUEUED_BYTES_MAX) socket.pause();
      this.#wake?.();
    });
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the connection was closed')));
  }

  /** The next `length` bytes, in memory of their own. Rejects when the connection ends before. */
  async take(length: number): Promise<Buffer> {
    const target = Buffer.allocUnsafe(length);
    await this.fill(target);
    return target;
  }

  /** Fills `target` with the next bytes. */
  async fill(target: Buffer): Promise<void> {
    for (let filled = 0; filled < target.length;) {
      const piece = this.#pieces.shift();
      if (piece === undefined) {
        if (this.#ended !== null) throw this.#ended;
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = null;
        continue;
      }
      const count = piece.copy(target, filled);
      filled += count;
      this.#queuedBytes -= count;
      if (count < piece.length) this.#pieces.unshift(piece.subarray(count));
      if (this.#socket.isPaused() && this.#queuedBytes < QUEUED_BYTES_MAX / 2) this.#socket.resume();
    }
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#wake?.();
  }
}
