import { present } from '#base/assert.ts';
import type { AccountId } from '#domain/ids.ts';

import type { RecordPlace } from './chunk-index.ts';
import type { ObjectStore } from './object-store.ts';
import { packObjectKey, type PackId } from './pack.ts';

/** What lies between two records is read along when it is no more: a read of its own costs more. */
const GAP_BYTES_MAX = 64 * 1024;

/** Bytes of a pack that are read in one go. */
export interface Run {
  readonly pack: PackId;
  readonly offset: number;
  readonly length: number;
}

/**
 * The records at these places, in their order: what lies side by side in a pack is read in one go, and what is asked for
 * twice is read once. Views of the bytes of their run; null where a pack is missing or ends before. Throws what the store does.
 */
export async function readRecords(
  objects: ObjectStore,
  account: AccountId,
  places: readonly RecordPlace[],
): Promise<readonly (Buffer | null)[]> {
  const runs = runsOf(places);
  const bytes = await Promise.all(
    runs.map(({ pack, offset, length }) => objects.getRange(packObjectKey({ account, id: pack }), offset, length)),
  );
  return places.map((place) => {
    const at = runs.findIndex((run) => holds(run, place));
    const start = place.offset - present(runs[at], 'a record is in a run').offset;
    const read = bytes[at] ?? null;
    return read === null || read.length < start + place.length ? null : read.subarray(start, start + place.length);
  });
}

/** The reads that give all these records. */
export function runsOf(places: readonly RecordPlace[]): readonly Run[] {
  const runs: Run[] = [];
  const sorted = places.toSorted((a, b) => (a.pack === b.pack ? a.offset - b.offset : a.pack < b.pack ? -1 : 1));
  for (const { pack, offset, length } of sorted) {
    const last = runs.at(-1);
    const end = last === undefined ? 0 : last.offset + last.length;
    if (last !== undefined && last.pack === pack && offset <= end + GAP_BYTES_MAX) {
      runs[runs.length - 1] = { ...last, length: Math.max(end, offset + length) - last.offset };
    } else runs.push({ pack, offset, length });
  }
  return runs;
}

export function holds(run: Run, { pack, offset, length }: RecordPlace): boolean {
  return run.pack === pack && run.offset <= offset && offset + length <= run.offset + run.length;
}
