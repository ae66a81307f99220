import { assert } from '#base/assert.ts';
import { IN_FLIGHT_BYTES_ASSURED } from './nbd-limits.ts';

/** Bytes in flight of all connections together, and of replies that clients have not taken. Who finds it used up waits; waiters are woken in the order in which they came. */
export class NbdBudget {
  readonly #bytesMax: number;
  readonly #waiting = new Set<() => void>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether `bytes` more may be used by one who uses `ownBytes` already. */
  hasRoom(bytes: number, ownBytes: number): boolean {
    return this.#bytes + bytes <= this.#bytesMax || ownBytes + bytes <= IN_FLIGHT_BYTES_ASSURED;
  }

  take(bytes: number): void {
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
    assert(this.#bytes >= 0, 'no more is given back than was taken');
    if (this.#waiting.size === 0) return;
    const woken = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of woken) wake();
  }

  /** Calls `wake` once when something was given back. Waiting twice is waiting once. */
  wait(wake: () => void): void {
    this.#waiting.add(wake);
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake);
  }
}
