import type { SnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Sequence } from '#meta/meta-store.ts';
import type { SnapshotSize } from '#volume/host.ts';
import type { ControlPorts } from './ports.ts';

/** Snapshots of one page: the volume host is asked for all of them at once. */
const COUNT_PER_PAGE = 200;

export interface SizedSnapshot {
  readonly snapshot: Snapshot;
  /** Null while it is not completed, and where it cannot be read. */
  readonly size: SnapshotSize | null;
}

/** For whoever runs the server: snapshots of all accounts and regions with their exact sizes, in the order of creation, after one that may be gone. `next`: where to go on; null at the end. */
export async function sizedSnapshots(
  ports: ControlPorts,
  after: Sequence,
): Promise<{ readonly snapshots: readonly SizedSnapshot[]; readonly next: Sequence | null }> {
  const rows = await ports.meta.read((tx) =>
    tx.snapshots.inState(['pending', 'completed', 'error'], { after, countMax: COUNT_PER_PAGE }),
  );
  const completed = rows.flatMap(({ record }) => (record.state === 'completed' ? [record.id] : []));
  const sizes = new Map(
    (completed.length === 0 ? [] : await ports.host.snapshotSizes(completed)).map((size) => [size.snapshot, size]),
  );
  const last = rows.at(-1);
  return {
    snapshots: rows.map(({ record }) => ({ snapshot: record, size: sizes.get(record.id) ?? null })),
    next: last === undefined || rows.length < COUNT_PER_PAGE ? null : last.sequence,
  };
}

/** As many are asked about at once. */
export const TOGETHER_COUNT_MAX = 1000;

/** For whoever runs the server: bytes of the store that deleting all of these together would free. */
export async function freedTogether(ports: ControlPorts, snapshots: readonly SnapshotId[]): Promise<number> {
  return await ports.host.freedBytes(snapshots);
}
