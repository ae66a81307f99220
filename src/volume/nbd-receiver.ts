import { assert } from '#base/assert.ts';
import type { Lease, NbdBuffers } from './nbd-buffers.ts';
import { LEASE_LARGE_BYTES } from './nbd-limits.ts';

/** A message of this size gets its own buffer before it comes, so that it is received where it stays. */
const OWN_BYTES_MIN = 32 * 1024;
/** Input is never asked for with less room than this. */
const ROOM_BYTES_MIN = 16 * 1024;

/**
 * Bytes that came in and were not used yet: `bytes[start..end)`.
 *
 * While none are held they arrive in the buffer that all sessions share. What is left of them when the session has taken
 * what it can moves to a lease, and further bytes arrive behind it, without copying, until all is used up. Whoever lends
 * held bytes to something that outlasts the call (a write that goes on) owns them first, and holds the lease.
 */
export class NbdReceiver {
  readonly #buffers: NbdBuffers;
  #lease: Lease | null = null;
  bytes: Buffer;
  start = 0;
  end = 0;

  constructor(buffers: NbdBuffers) {
    this.#buffers = buffers;
    this.bytes = buffers.receive;
  }

  get held(): number {
    return this.end - this.start;
  }

  /** Waiting for more would take a larger lease than is to be had. */
  get crowded(): boolean {
    if (this.#lease === null || this.held + ROOM_BYTES_MIN <= this.bytes.length) return false;
    return this.bytes.length >= LEASE_LARGE_BYTES || !this.#buffers.largeLeft;
  }

  target(): Uint8Array {
    assert(this.end < this.bytes.length, 'there is room for input');
    return this.end === 0 ? this.bytes : this.bytes.subarray(this.end);
  }

  advance(count: number): void {
    this.end += count;
    assert(this.end <= this.bytes.length, 'no more is received than there was room for');
  }

  use(count: number): void {
    this.start += count;
    assert(this.start <= this.end, 'only what is held is used');
  }

  /** The lease that the held bytes lie in from now on. */
  own(): Lease {
    return this.#lease ?? this.#move(0);
  }

  /** After a batch: makes room for a message of `wanted` bytes. It moves the target, so only between `received` and `target`. */
  settle(wanted: number): void {
    if (this.held === 0) {
      this.#settleEmpty(wanted);
      return;
    }
    const room = Math.max(wanted - this.held, ROOM_BYTES_MIN);
    if (this.#lease !== null && this.bytes.length - this.end >= room) return;
    if (this.#lease === null || this.#lease.shared || this.bytes.length - this.held < room) this.#move(wanted);
    else this.#compact();
  }

  /** The connection is gone. What others hold stays with them. */
  close(): void {
    this.#let();
    this.start = 0;
    this.end = 0;
  }

  #settleEmpty(wanted: number): void {
    this.start = 0;
    this.end = 0;
    if (wanted < OWN_BYTES_MIN) {
      this.#let();
    } else if (this.#lease === null || this.#lease.shared || this.bytes.length < wanted) {
      this.#let();
      this.#adopt(this.#buffers.lease(0, wanted));
    }
  }

  #move(wanted: number): Lease {
    const lease = this.#buffers.lease(this.held + ROOM_BYTES_MIN, wanted);
    this.bytes.copy(lease.bytes, 0, this.start, this.end);
    const { held } = this;
    this.#let();
    this.#adopt(lease);
    this.start = 0;
    this.end = held;
    return lease;
  }

  #compact(): void {
    const { held } = this;
    this.bytes.copyWithin(0, this.start, this.end);
    this.start = 0;
    this.end = held;
  }

  #adopt(lease: Lease): void {
    this.#lease = lease;
    this.bytes = lease.bytes;
  }

  #let(): void {
    this.#lease?.release();
    this.#lease = null;
    this.bytes = this.#buffers.receive;
  }
}
