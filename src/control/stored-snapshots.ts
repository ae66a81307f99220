import { gibToBytes } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { type OutpostId, outpostIdOf } from '#domain/outpost.ts';
import { isInArchive } from '#domain/snapshot-tier.ts';
import type { SnapshotState } from '#domain/snapshot.ts';
import type { Sequence } from '#meta/meta-store.ts';
import type { ControlPorts } from './ports.ts';

const COUNT_PER_PAGE = 1_000;
/** Of these the store has a manifest. */
const STORED: readonly SnapshotState[] = ['completed', 'recoverable', 'recovering'];

/** Snapshots of all accounts and regions that are in the store as far as the metadata knows, in the order of creation, after one that may be gone. `next`: where to go on; null at the end. Asks nobody but the metadata. */
export async function storedSnapshots(
  ports: ControlPorts,
  after: Sequence,
): Promise<{
  readonly snapshots: readonly {
    readonly id: SnapshotId;
    readonly sizeBytes: number;
    /** In whose store it is; null: in the region's. */
    readonly outpost: OutpostId | null;
  }[];
  readonly next: Sequence | null;
}> {
  const rows = await ports.meta.read((tx) => tx.snapshots.inState(STORED, { after, countMax: COUNT_PER_PAGE }));
  const last = rows.at(-1);
  return {
    snapshots: rows
      .map(({ record }) => record)
      // In the archive there is no manifest.
      .filter(({ tier }) => !isInArchive(tier))
      .map(({ id, volumeSizeGib, outpost }) => ({
        id,
        sizeBytes: gibToBytes(volumeSizeGib),
        outpost: outpost === null ? null : outpostIdOf(outpost),
      })),
    next: last === undefined || rows.length < COUNT_PER_PAGE ? null : last.sequence,
  };
}
