import { assert } from '#base/assert.ts';
import { SEGMENT_BYTES, SEGMENT_SEND_BYTES } from './nbd-limits.ts';
import type { NbdBuffers } from './nbd-buffers.ts';
import type { NbdTransport } from './nbd-transport.ts';

/** Replies up to this size are copied together rather than sent by themselves. */
const COPY_BYTES_MAX = 32 * 1024;

interface Unsent {
  readonly byteCount: number;
  /** Goes back to the pool once sent. */
  readonly segment: Buffer | null;
}

/**
 * Gathers the replies of a batch in a segment and sends them in one go. The segment is borrowed while it holds something:
 * a transport that takes all at once leaves it free for the next session; otherwise it stays until the bytes are gone.
 */
export class NbdSender {
  readonly #buffers: NbdBuffers;
  readonly #transport: NbdTransport;
  readonly #unsent: Unsent[] = [];
  #segment: Buffer | null = null;
  #used = 0;
  /** Bytes that the transport has not got rid of. */
  unsentBytes = 0;

  constructor(buffers: NbdBuffers, transport: NbdTransport) {
    this.#buffers = buffers;
    this.#transport = transport;
  }

  /** The segment, with room for `count` bytes at `at`. They count as written after `commit`. */
  reserve(count: number): Buffer {
    assert(count <= SEGMENT_BYTES, 'a reply in a segment fits it');
    if (this.#used + count > SEGMENT_BYTES) this.flush();
    this.#segment ??= this.#buffers.takeSegment();
    return this.#segment;
  }

  /** Where the next reply begins in the segment that `reserve` answered. */
  get at(): number {
    return this.#used;
  }

  commit(count: number): void {
    this.#used += count;
    if (this.#used >= SEGMENT_SEND_BYTES) this.flush();
  }

  /** Takes the segment out, with what the caller reserved in it: something goes on writing there. Send it by `appendSegment`. */
  detach(): { readonly segment: Buffer; readonly at: number } {
    const segment = this.#segment;
    assert(segment !== null, 'something was reserved');
    const at = this.#used;
    this.#segment = null;
    this.#used = 0;
    // What is before it goes now, from the same memory, which therefore stays out of the pool.
    if (at > 0 && !this.#transport.send(segment.subarray(0, at))) this.#queue(at, null);
    return { segment, at };
  }

  /** Sends a part of a detached segment, which then goes back. */
  appendSegment(segment: Buffer, at: number, count: number): void {
    this.flush();
    if (this.#transport.send(segment.subarray(at, at + count))) this.#buffers.giveSegment(segment);
    else this.#queue(count, segment);
  }

  /** Sends bytes that are the sender's from now on. */
  append(bytes: Buffer): void {
    if (bytes.length <= COPY_BYTES_MAX) {
      const segment = this.reserve(bytes.length);
      segment.set(bytes, this.#used);
      this.commit(bytes.length);
      return;
    }
    this.flush();
    if (!this.#transport.send(bytes)) this.#queue(bytes.length, null);
  }

  /** Sends what was gathered. */
  flush(): void {
    const segment = this.#segment;
    if (segment === null) return;
    this.#segment = null;
    const count = this.#used;
    this.#used = 0;
    if (count === 0 || this.#transport.send(segment.subarray(0, count))) this.#buffers.giveSegment(segment);
    else this.#queue(count, segment);
  }

  /** The transport got rid of the oldest bytes that it had kept. */
  sent(): void {
    const oldest = this.#unsent.shift();
    assert(oldest !== undefined, 'only what was queued is sent');
    this.unsentBytes -= oldest.byteCount;
    if (oldest.segment !== null) this.#buffers.giveSegment(oldest.segment);
  }

  #queue(byteCount: number, segment: Buffer | null): void {
    this.#unsent.push({ byteCount, segment });
    this.unsentBytes += byteCount;
  }
}
