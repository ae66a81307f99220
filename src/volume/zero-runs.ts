import type { Epoch } from '#domain/ids.ts';

import { type ChunkMap, STATE_ZERO } from './chunk-map.ts';

/** Chunks to be made zero: by their entries, or (`slot`, one chunk) by writing zeros over the slot. */
export interface ZeroRun {
  readonly index: number;
  readonly count: number;
  readonly slot: number | null;
}

/**
 * What to do that chunks [first, last) become zeros: nothing for those that are; `keepEpoch`: a slot of that epoch is kept
 * and written over. Each run may be done before the next is asked for.
 */
export function* zeroRuns(chunks: ChunkMap, first: number, last: number, keepEpoch: Epoch | null): Generator<ZeroRun> {
  let runFirst = -1;
  for (let index = first; index < last;) {
    const slot = keepEpoch === null ? -1 : chunks.ownSlotOfEpoch(index, keepEpoch);
    const joins = slot < 0 && chunks.stateAt(index) !== STATE_ZERO;
    if (joins && runFirst < 0) runFirst = index;
    if (!joins && runFirst >= 0) {
      yield { index: runFirst, count: index - runFirst, slot: null };
      runFirst = -1;
    }
    if (slot >= 0) yield { index, count: 1, slot };
    const skipped = joins ? index : chunks.skip(index, last, STATE_ZERO);
    index = skipped === index ? index + 1 : skipped;
  }
  if (runFirst >= 0) yield { index: runFirst, count: last - runFirst, slot: null };
}
