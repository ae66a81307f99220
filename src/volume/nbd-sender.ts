import { assert } from '#base/assert.ts';
import type { NbdBudget } from './nbd-budget.ts';
import { SEGMENT_SEND_BYTES } from './nbd-limits.ts';
import type { NbdBuffers } from './nbd-buffers.ts';
import type { NbdTransport } from './nbd-transport.ts';

/** Replies up to this size are copied together rather than sent by themselves. */
const COPY_BYTES_MAX = 32 * 1024;

interface Unsent {
  readonly byteCount: number;
  /** Memory that it keeps: of a segment with few bytes in it, the whole segment. */
  readonly heldBytes: number;
  /** The reply that it is, and goes back to the pool once sent. */
  readonly reply: Buffer | null;
  /** Goes back to the pool once sent. */
  readonly segment: Buffer | null;
}

/**
 * Gathers the replies of a batch in a segment and sends them in one go. The segment is borrowed while it holds something:
 * a transport that takes all at once leaves it free for the next session; otherwise it stays until the bytes are gone.
 *
 * What the client has not taken counts in the budget of all connections, by the memory that it keeps. While there is some,
 * further replies gather in one segment until it is worth sending, so that a client that reads nothing holds few segments
 * rather than one for each of its requests.
 */
export class NbdSender {
  readonly #buffers: NbdBuffers;
  readonly #transport: NbdTransport;
  readonly #budget: NbdBudget;
  readonly #unsent: Unsent[] = [];
  #segment: Buffer | null = null;
  #used = 0;
  /** The segment gathers behind what is unsent, and so counts as held: its size, else 0. */
  #gatherBytes = 0;
  #closed = false;
  /** Bytes that the transport has not got rid of. */
  unsentBytes = 0;
  /** Memory of this connection that waits for its client, as the budget has it. */
  heldBytes = 0;
  /** How often the transport has got rid of something that it had kept: changes while a client takes replies. */
  sentCount = 0;

  constructor(buffers: NbdBuffers, transport: NbdTransport, budget: NbdBudget) {
    this.#buffers = buffers;
    this.#transport = transport;
    this.#budget = budget;
  }

  /** The client has so much to take that nothing more is begun for it: beyond its own limit, or all connections beyond theirs. */
  crowded(bytesMax: number): boolean {
    return this.heldBytes > bytesMax || (this.heldBytes > 0 && !this.#budget.hasRoom(0, this.heldBytes));
  }

  /** The segment, with room for `count` bytes at `at`. They count as written after `commit`. */
  reserve(count: number): Buffer {
    if (this.#segment !== null && this.#used + count > this.#segment.length) this.flushAll();
    this.#segment ??= this.#buffers.takeSegment(count);
    return this.#segment;
  }

  /** Where the next reply begins in the segment that `reserve` answered. */
  get at(): number {
    return this.#used;
  }

  commit(count: number): void {
    this.#used += count;
    if (this.#used >= SEGMENT_SEND_BYTES) this.flushAll();
  }

  /** Takes the segment out, with what the caller reserved in it: something goes on writing there. Send it by `appendSegment`. */
  detach(): { readonly segment: Buffer; readonly at: number } {
    const segment = this.#segment;
    assert(segment !== null, 'something was reserved');
    const at = this.#used;
    this.#segment = null;
    this.#used = 0;
    this.#gatherNoMore();
    // What is before it goes now, from the same memory, which therefore stays out of the pool.
    if (at > 0 && !this.#transport.send(segment.subarray(0, at))) this.#queue(at, at, null);
    return { segment, at };
  }

  /** Sends a part of a detached segment, which then goes back. */
  appendSegment(segment: Buffer, at: number, count: number): void {
    this.flushAll();
    if (this.#transport.send(segment.subarray(at, at + count))) this.#buffers.giveSegment(segment);
    else this.#queue(count, segment.length, segment);
  }

  /** Memory for a reply that is not in its turn yet: send it by `append`, or give it back by `discard`. */
  takeReply(count: number): Buffer {
    return this.#buffers.takeReply(count);
  }

  discard(reply: Buffer): void {
    this.#buffers.giveReply(reply);
  }

  /** Sends bytes that are the sender's from now on. */
  append(bytes: Buffer): void {
    if (bytes.length <= COPY_BYTES_MAX) {
      const segment = this.reserve(bytes.length);
      segment.set(bytes, this.#used);
      this.commit(bytes.length);
      this.#buffers.giveReply(bytes);
      return;
    }
    this.flushAll();
    if (this.#transport.send(bytes)) this.#buffers.giveReply(bytes);
    else this.#queue(bytes.length, bytes.buffer.byteLength, null, bytes);
  }

  /** Sends what was gathered, unless the client has something to take already: then it goes with what comes after. */
  flush(): void {
    if (this.#unsent.length === 0) {
      this.flushAll();
    } else if (this.#segment !== null && this.#gatherBytes === 0) {
      this.#gatherBytes = this.#segment.length;
      this.#hold(this.#gatherBytes);
    }
  }

  /** Sends what was gathered. */
  flushAll(): void {
    const segment = this.#segment;
    if (segment === null) return;
    this.#segment = null;
    this.#gatherNoMore();
    const count = this.#used;
    this.#used = 0;
    if (count === 0 || this.#transport.send(segment.subarray(0, count))) this.#buffers.giveSegment(segment);
    else this.#queue(count, segment.length, segment);
  }

  /** The transport got rid of the oldest bytes that it had kept. */
  sent(): void {
    if (this.#closed) return;
    const oldest = this.#unsent.shift();
    assert(oldest !== undefined, 'only what was queued is sent');
    this.unsentBytes -= oldest.byteCount;
    this.sentCount += 1;
    this.#hold(-oldest.heldBytes);
    if (oldest.segment !== null) this.#buffers.giveSegment(oldest.segment);
    if (oldest.reply !== null) this.#buffers.giveReply(oldest.reply);
  }

  /** The connection is gone, and what was unsent with it. */
  close(): void {
    this.#closed = true;
    this.#unsent.length = 0;
    this.unsentBytes = 0;
    this.#gatherBytes = 0;
    this.#hold(-this.heldBytes);
  }

  #queue(byteCount: number, heldBytes: number, segment: Buffer | null, reply: Buffer | null = null): void {
    if (this.#closed) return;
    this.#unsent.push({ byteCount, heldBytes, segment, reply });
    this.unsentBytes += byteCount;
    this.#hold(heldBytes);
  }

  #gatherNoMore(): void {
    this.#hold(-this.#gatherBytes);
    this.#gatherBytes = 0;
  }

  #hold(bytes: number): void {
    if (bytes === 0) return;
    this.heldBytes += bytes;
    if (bytes > 0) this.#budget.take(bytes);
    else this.#budget.give(-bytes);
  }
}
