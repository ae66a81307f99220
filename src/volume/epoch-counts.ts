import { assert } from '#base/assert.ts';
import type { Epoch } from '#domain/ids.ts';

/** How many entries there are of each epoch. Of epoch 0, those that are slots (chunks that came from the origin). */
export class EpochCounts {
  readonly #counts = new Map<Epoch, number>();

  add(epoch: Epoch, count: number): void {
    if (count === 0) return;
    const total = (this.#counts.get(epoch) ?? 0) + count;
    assert(total >= 0, 'an epoch has no fewer than no entries');
    if (total === 0) this.#counts.delete(epoch);
    else this.#counts.set(epoch, total);
  }

  /** Entries with sinceEpoch < epoch ≤ untilEpoch. */
  between(sinceEpoch: Epoch, untilEpoch: Epoch): number {
    let total = 0;
    for (const [epoch, count] of this.#counts) if (sinceEpoch < epoch && epoch <= untilEpoch) total += count;
    return total;
  }
}
