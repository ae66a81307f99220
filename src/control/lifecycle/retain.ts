import { DomainError } from '#domain/errors.ts';
import { type LifecyclePolicy, type ManagedSnapshot, type Schedule, schedulesOf } from '#domain/lifecycle/policy.ts';
import { afterInterval } from '#domain/lifecycle/schedule.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import { visibleState } from '#domain/snapshot.ts';
import type { ControlPorts } from '#control/ports.ts';
import { deleteSnapshot } from '#control/snapshots.ts';
import { managedBy, managedSnapshots } from './policies.ts';

interface Kept {
  readonly managed: ManagedSnapshot;
  readonly snapshot: Snapshot;
}

/** Removes what the schedules of a policy keep no longer; answers how many went. What cannot be removed (locked, in use) stays for another time. */
export async function removeExpired(ports: ControlPorts, scope: Scope, policy: LifecyclePolicy): Promise<number> {
  const kept = await findKept(ports, scope, policy);
  let removed = 0;
  for (const [index, schedule] of schedulesOf(policy).entries()) {
    const ofSchedule = kept.filter(({ managed }) => managed.schedule === index);
    for (const ofVolume of Map.groupBy(ofSchedule, ({ managed }) => managed.volume).values()) {
      for (const { snapshot } of await expired(ports, scope, policy, schedule, ofVolume)) {
        if (await remove(ports, scope, snapshot)) removed += 1;
      }
    }
  }
  return removed;
}

/** What is there, oldest first; what is gone is forgotten. */
async function findKept(ports: ControlPorts, scope: Scope, policy: LifecyclePolicy): Promise<readonly Kept[]> {
  return await ports.meta.transact(async (tx) => {
    const kept: Kept[] = [];
    for (const managed of await managedBy(tx, scope, policy.id)) {
      const snapshot = await tx.snapshots.find(managed.snapshot);
      if (snapshot === null || snapshot.state === 'deleting') {
        await tx.documents.remove(managedSnapshots, scope, managed.snapshot);
      } else if (visibleState(snapshot) === 'completed') kept.push({ managed, snapshot });
    }
    return kept;
  });
}

async function expired(
  ports: ControlPorts,
  scope: Scope,
  policy: LifecyclePolicy,
  { retainRule }: Schedule,
  kept: readonly Kept[],
): Promise<readonly Kept[]> {
  const [first] = kept;
  if (retainRule === undefined || first === undefined) return [];
  const { count, interval, intervalUnit } = retainRule;
  const isVolumeThere = await ports.meta.read(async (tx) => {
    const volume = await tx.volumes.find(first.managed.volume);
    return volume !== null && volume.state !== 'deleting' && volume.account === scope.account;
  });
  // A count keeps what a volume that is gone left behind; an age keeps the last of it, unless told otherwise.
  if (count !== undefined) return isVolumeThere ? kept.slice(0, Math.max(0, kept.length - count)) : [];
  if (interval === undefined || intervalUnit === undefined) return [];
  const nowMs = ports.clock.nowMs();
  const isOld = ({ snapshot }: Kept): boolean => afterInterval(snapshot.startedAtMs, interval, intervalUnit) <= nowMs;
  const candidates = isVolumeThere || policy.details.extendDeletion === true ? kept : kept.slice(0, -1);
  return candidates.filter(isOld);
}

async function remove(ports: ControlPorts, scope: Scope, snapshot: Snapshot): Promise<boolean> {
  try {
    await deleteSnapshot(ports, scope, snapshot.id, { token: null, operation: null });
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    if (error.failure.kind !== 'not-found') {
      ports.log.warn('lifecycle.retain', { snapshot: snapshot.id, failure: error.failure.kind });
      return false;
    }
  }
  await ports.meta.transact((tx) => tx.documents.remove(managedSnapshots, scope, snapshot.id));
  return true;
}
