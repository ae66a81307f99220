import { assert } from '#base/assert.ts';
import { IN_FLIGHT_BYTES_MIN, type NbdLimits } from './nbd-limits.ts';
import type { NbdBudget } from './nbd-budget.ts';

/** What a connection has in flight in the device: requests begun and not finished. */
export class NbdFlight {
  readonly #bytesMax: number;
  readonly #budget: NbdBudget;
  readonly #settled: () => void;
  #bytes = 0;
  #count = 0;

  /** `settled` is called after every request that finished. */
  constructor(limits: NbdLimits, budget: NbdBudget, settled: () => void) {
    this.#bytesMax = limits.inFlightBytesMax;
    this.#budget = budget;
    this.#settled = settled;
  }

  get empty(): boolean {
    return this.#count === 0;
  }

  /** Whether a request of `bytes` may begin; one always may. If not, `settled` is called when it is worth asking again. */
  admits(bytes: number): boolean {
    if (this.#count === 0 && bytes <= IN_FLIGHT_BYTES_MIN) return true;
    const cost = costOf(bytes);
    if (this.#count > 0 && this.#bytes + cost > this.#bytesMax) return false;
    if (this.#budget.hasRoom(cost, this.#bytes)) return true;
    this.#budget.wait(this.#settled);
    return false;
  }

  begin(bytes: number): void {
    const cost = costOf(bytes);
    this.#count += 1;
    this.#bytes += cost;
    this.#budget.take(cost);
  }

  finish(bytes: number): void {
    assert(this.#count > 0, 'what finishes has begun');
    const cost = costOf(bytes);
    this.#count -= 1;
    this.#bytes -= cost;
    this.#budget.give(cost);
    this.#settled();
  }

  close(): void {
    this.#budget.forget(this.#settled);
  }
}

function costOf(bytes: number): number {
  return Math.max(bytes, IN_FLIGHT_BYTES_MIN);
}
