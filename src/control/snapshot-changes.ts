import { refuse } from '#domain/errors.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';

import { refuseUnusable } from './lookup.ts';
import type { ControlPorts } from './ports.ts';

/** Listed at once. */
const CHUNKS_MAX = 20_000;

/** A page of the chunks in which two snapshots may differ. */
export interface ChangedChunks {
  /** Ascending. Null: the two are not of one account and place, and their chunks cannot be compared by their addresses. */
  readonly changes: readonly number[] | null;
  readonly next: number | null;
}

/**
 * For whoever runs the server, across accounts and regions: the chunks (512 KiB) from `start` on that are not known to be the
 * same in two snapshots. Costs what differs. Refuses: not-found, wrong-state.
 */
export async function changedChunks(
  ports: ControlPorts,
  first: SnapshotId,
  second: SnapshotId,
  start: number,
): Promise<ChangedChunks> {
  const [one, other] = await ports.meta.read(async (tx) => [
    checked(await tx.snapshots.find(first), first),
    checked(await tx.snapshots.find(second), second),
  ]);
  if (one === undefined || other === undefined) return { changes: null, next: null };
  if (one.account !== other.account || one.outpost !== other.outpost) return { changes: null, next: null };
  const page = await ports.host.changedBlocks(first, second, start, CHUNKS_MAX);
  return { changes: page.blocks.map(({ index }) => index), next: page.next };
}

function checked(snapshot: Snapshot | null, id: SnapshotId): Snapshot {
  if (snapshot === null) refuse({ kind: 'not-found', resource: 'snapshot', id });
  refuseUnusable(snapshot);
  return snapshot;
}
