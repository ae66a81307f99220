import { refuse } from '#domain/errors.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { holds, locked, type LockRequest, lockStateOf, type SnapshotLock } from '#domain/snapshot-lock.ts';
import type { Scope } from '#domain/volume.ts';
import { refuseState, snapshotIn } from './lookup.ts';
import type { ControlPorts } from './ports.ts';

export interface LockedSnapshot extends Snapshot {
  readonly lock: SnapshotLock;
}

/**
 * Refuses: not-found, exclusive, missing, invalid-value, wrong-state (neither pending nor completed; a lock of compliance is
 * not made weaker).
 */
export async function lockSnapshot(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  request: LockRequest,
): Promise<LockedSnapshot> {
  return await ports.meta.transact(async (tx) => {
    const snapshot = await snapshotIn(tx, scope, id);
    const { state } = snapshot;
    if (state !== 'pending' && state !== 'completed') refuseState(id, state);
    const times = {
      earliestMs: ports.time.earliestMs(),
      latestMs: ports.time.latestMs(),
      completedAtMs: snapshot.completedAtMs,
    };
    const lock = locked(snapshot.lock, request, times, (lockState) => refuseState(id, lockState));
    const changed = { ...snapshot, lock };
    await tx.snapshots.update(changed);
    return changed;
  });
}

/** Refuses: not-found, wrong-state (not locked, or of compliance and cooled off). */
export async function unlockSnapshot(ports: ControlPorts, scope: Scope, id: SnapshotId): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const snapshot = await snapshotIn(tx, scope, id);
    if (snapshot.lock === null) refuseState(id, 'unlocked');
    const state = lockStateOf(snapshot.lock, ports.time.earliestMs(), ports.time.latestMs());
    if (state === 'compliance') refuseState(id, state);
    await tx.snapshots.update({ ...snapshot, lock: null });
  });
}

/** The duration of a lock that was set while the snapshot was pending begins when it completes. */
export function lockStarted(snapshot: Snapshot, nowMs: number): Snapshot {
  const { lock } = snapshot;
  return lock === null || lock.startMs !== null ? snapshot : { ...snapshot, lock: { ...lock, startMs: nowMs } };
}

/** Refuses: not-permitted. For whoever is about to delete. */
export function refuseLocked({ lock, id }: Snapshot, earliestMs: number): void {
  if (holds(lock, earliestMs))
    refuse({ kind: 'not-permitted', what: `The snapshot ${id} is locked and cannot be deleted.` });
}
