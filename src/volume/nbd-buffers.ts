import { assert } from '#base/assert.ts';
import {
  LEASE_LARGE_BYTES,
  LEASE_MEDIUM_BYTES,
  LEASE_SMALL_BYTES,
  LEASES_LARGE_MAX,
  READ_PIECE_BYTES_MAX,
  SEGMENT_BYTES,
  SEGMENT_LARGE_BYTES,
  SHARED_RECEIVE_BYTES,
} from './nbd-limits.ts';

/** A reply with a block of data. */
const REPLY_BYTES = 4096 + 64;
const REPLIES_FREE_MAX = 128;
/** A reply with a whole piece of a long read. The memory of each is large enough to be the system's again as soon as it is collected, and to make collecting most of what a read costs that has to wait; so some are kept. */
const REPLY_LARGE_BYTES = READ_PIECE_BYTES_MAX + 64;
/** Shorter ones are not worth so much memory. */
const REPLY_LARGE_BYTES_MIN = REPLY_LARGE_BYTES / 4;
const REPLIES_LARGE_FREE_MAX = 16;
/** How many free buffers of each size are kept for the next one who asks. */
const FREE_COUNT_MAX = 8;

/** A buffer with several users; it goes back when the last lets go. */
export class Lease {
  readonly bytes: Buffer;
  readonly #free: (bytes: Buffer) => void;
  #holders = 1;

  constructor(bytes: Buffer, free: (bytes: Buffer) => void) {
    this.bytes = bytes;
    this.#free = free;
  }

  get shared(): boolean {
    return this.#holders > 1;
  }

  hold(): void {
    this.#holders += 1;
  }

  release(): void {
    assert(this.#holders > 0, 'a lease is released once by each holder');
    this.#holders -= 1;
    if (this.#holders === 0) this.#free(this.bytes);
  }
}

/**
 * The memory of all sessions of a server. All sockets receive into one buffer, since a session looks at what came before
 * the next socket is read; only who holds a part of a message has a lease. So an idle connection costs no buffer.
 */
export class NbdBuffers {
  readonly receive: Buffer = Buffer.allocUnsafeSlow(SHARED_RECEIVE_BYTES);
  readonly #small: Buffer[] = [];
  readonly #medium: Buffer[] = [];
  readonly #large: Buffer[] = [];
  readonly #segments: Buffer[] = [];
  readonly #replies: Buffer[] = [];
  readonly #repliesLarge: Buffer[] = [];
  readonly #segmentsLarge: Buffer[] = [];
  #largeCount = 0;

  /** A large lease is to be had. */
  get largeLeft(): boolean {
    return this.#largeCount < LEASES_LARGE_MAX;
  }

  /** A lease of at least `neededBytes`, and of `wantedBytes` unless too many have a large one. */
  lease(neededBytes: number, wantedBytes: number): Lease {
    const wantsLarge = wantedBytes > LEASE_SMALL_BYTES && this.largeLeft;
    if (neededBytes <= LEASE_SMALL_BYTES && !wantsLarge) {
      const bytes = this.#small.pop() ?? Buffer.allocUnsafeSlow(LEASE_SMALL_BYTES);
      return new Lease(bytes, (free) => keep(this.#small, free));
    }
    if (neededBytes <= LEASE_MEDIUM_BYTES && !wantsLarge) {
      const bytes = this.#medium.pop() ?? Buffer.allocUnsafeSlow(LEASE_MEDIUM_BYTES);
      return new Lease(bytes, (free) => keep(this.#medium, free));
    }
    if (neededBytes > LEASE_LARGE_BYTES) return new Lease(Buffer.allocUnsafeSlow(2 * neededBytes), () => {});
    this.#largeCount += 1;
    return new Lease(this.#large.pop() ?? Buffer.allocUnsafeSlow(LEASE_LARGE_BYTES), (free) => {
      this.#largeCount -= 1;
      keep(this.#large, free);
    });
  }

  /** Memory for one reply of `count` bytes that is put together while others are sent. */
  takeReply(count: number): Buffer {
    if (count >= REPLY_LARGE_BYTES_MIN && count <= REPLY_LARGE_BYTES) {
      return (this.#repliesLarge.pop() ?? Buffer.allocUnsafeSlow(REPLY_LARGE_BYTES)).subarray(0, count);
    }
    if (count > REPLY_BYTES) return Buffer.allocUnsafeSlow(count);
    return (this.#replies.pop() ?? Buffer.allocUnsafeSlow(REPLY_BYTES)).subarray(0, count);
  }

  /** Nobody uses the memory of a reply any more. */
  giveReply(bytes: Buffer): void {
    if (bytes.buffer.byteLength === REPLY_BYTES && this.#replies.length < REPLIES_FREE_MAX) {
      this.#replies.push(Buffer.from(bytes.buffer));
    }
    if (bytes.buffer.byteLength !== REPLY_LARGE_BYTES) return;
    if (this.#repliesLarge.length < REPLIES_LARGE_FREE_MAX) this.#repliesLarge.push(Buffer.from(bytes.buffer));
    // Now: a reader that waits for an origin has megabytes of them, and left to the collector it does little else than to look for them.
    else if (bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0);
  }

  /** A segment with room for `count` bytes, at most SEGMENT_LARGE_BYTES. */
  takeSegment(count: number): Buffer {
    if (count <= SEGMENT_BYTES) return this.#segments.pop() ?? Buffer.allocUnsafeSlow(SEGMENT_BYTES);
    assert(count <= SEGMENT_LARGE_BYTES, 'a reply in a segment fits it');
    return this.#segmentsLarge.pop() ?? Buffer.allocUnsafeSlow(SEGMENT_LARGE_BYTES);
  }

  giveSegment(bytes: Buffer): void {
    keep(bytes.length === SEGMENT_BYTES ? this.#segments : this.#segmentsLarge, bytes);
  }
}

function keep(free: Buffer[], bytes: Buffer): void {
  if (free.length < FREE_COUNT_MAX) free.push(bytes);
}
