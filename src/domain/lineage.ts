import type { Lineage, SnapshotId, VolumeId } from './ids.ts';
import type { Snapshot } from './snapshot.ts';
import type { Volume } from './volume.ts';

/** The lineage of a new volume: its own, or its origin's. */
export function lineageOf(volume: VolumeId, origin: Pick<Snapshot, 'lineage'> | null): Lineage {
  return origin === null ? (volume as string as Lineage) : origin.lineage;
}

/** Two snapshots whose changed blocks can be listed against each other. */
export function isRelated(first: Snapshot, second: Snapshot): boolean {
  return first.account === second.account && first.lineage === second.lineage;
}

/**
 * The snapshot that a new one of `volume` is an increment of, as users see it: the newest cut of the volume that did not
 * fail, or the volume's origin. `earlier`: its pending and completed snapshots, in any order.
 */
export function parentOf(volume: Volume, earlier: readonly Snapshot[]): SnapshotId | null {
  const newest = earlier.toSorted((a, b) => (a.epoch ?? 0) - (b.epoch ?? 0)).at(-1);
  return newest?.id ?? volume.origin;
}
