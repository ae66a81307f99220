import { DomainError } from '#domain/errors.ts';
import { type LifecyclePolicy, type Retention, type Schedule, schedulesOf } from '#domain/lifecycle/policy.ts';
import { afterInterval } from '#domain/lifecycle/schedule.ts';
import type { Scope } from '#domain/volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import { archiveSnapshot } from '#control/snapshot-tiers.ts';
import { deleteSnapshot } from '#control/snapshots.ts';
import { byVolume, findKept, type Kept, managedSnapshots, remember } from './managed.ts';
import type { Leave } from './role.ts';
import { attempt } from './trouble.ts';

/**
 * Removes what the schedules of a policy keep no longer, or moves it into the archive where a schedule has that, and removes
 * what was there long enough. What cannot go (locked, in use, `sources` of copies that are being made) stays for another
 * time. Answers why something did not go into the archive.
 */
export async function removeExpired(
  ports: ControlPorts,
  scope: Scope,
  policy: LifecyclePolicy,
  sources: ReadonlySet<string>,
  leave: Leave,
): Promise<readonly string[]> {
  const kept = await findKept(ports, scope, policy);
  const troubles: string[] = [];
  for (const [index, schedule] of schedulesOf(policy).entries()) {
    for (const ofVolume of byVolume(kept, index)) {
      const archived = ofVolume.filter(({ managed }) => managed.archivedAtMs !== undefined);
      for (const one of expiredInArchive(ports, schedule, archived)) await remove(ports, scope, one, leave);
      const standard = ofVolume.filter(({ managed }) => managed.archivedAtMs === undefined);
      for (const one of await expired(ports, scope, policy, schedule, standard)) {
        if (sources.has(one.snapshot.id)) continue;
        if (schedule.archiveRule === undefined) await remove(ports, scope, one, leave);
        else {
          const trouble = await archive(ports, scope, one, leave);
          if (trouble !== null) troubles.push(trouble);
        }
      }
    }
  }
  return troubles;
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
  const isVolumeThere = await ports.meta.read(async (tx) => {
    const volume = await tx.volumes.find(first.managed.volume);
    return volume !== null && volume.state !== 'deleting' && volume.account === scope.account;
  });
  // A count keeps what a volume that is gone left behind; an age keeps the last of it, unless told otherwise.
  if (retainRule.count !== undefined) return isVolumeThere ? beyond(ports, retainRule, kept, startedAt) : [];
  const candidates = isVolumeThere || policy.details.extendDeletion === true ? kept : kept.slice(0, -1);
  return beyond(ports, retainRule, candidates, startedAt);
}

function expiredInArchive(ports: ControlPorts, { archiveRule }: Schedule, kept: readonly Kept[]): readonly Kept[] {
  const rule = archiveRule?.retainRule.retentionArchiveTier;
  if (rule === undefined) return [];
  return beyond(ports, rule, kept, ({ managed }) => managed.archivedAtMs ?? 0);
}

function startedAt({ snapshot }: Kept): number {
  return snapshot.startedAtMs;
}

/** Of some, oldest first: all but the newest, or those that are too old. */
function beyond(
  ports: ControlPorts,
  { count, interval, intervalUnit }: Retention,
  kept: readonly Kept[],
  sinceMs: (one: Kept) => number,
): readonly Kept[] {
  if (count !== undefined) return kept.slice(0, Math.max(0, kept.length - count));
  if (interval === undefined || intervalUnit === undefined) return [];
  const nowMs = ports.time.earliestMs();
  return kept.filter((one) => afterInterval(sinceMs(one), interval, intervalUnit) <= nowMs);
}

/** One that is in the archive already, or was, was moved by a run that was cut short, or by its user. */
async function archive(
  ports: ControlPorts,
  scope: Scope,
  { managed, snapshot }: Kept,
  leave: Leave,
): Promise<string | null> {
  return await attempt(snapshot.id, async () => {
    leave.require('ec2:ModifySnapshotTier', snapshot);
    if (snapshot.tier === null) await archiveSnapshot(ports, scope, snapshot.id);
    const archivedAtMs = ports.time.latestMs();
    await remember(ports, scope, managed, (one) => ({ ...one, archivedAtMs }));
  });
}

async function remove(ports: ControlPorts, scope: Scope, { snapshot }: Kept, leave: Leave): Promise<void> {
  try {
    leave.require('ec2:DeleteSnapshot', snapshot);
    await deleteSnapshot(ports, scope, snapshot.id, { token: null, operation: null });
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    if (error.failure.kind !== 'not-found') {
      ports.log.warn('lifecycle.retain', { snapshot: snapshot.id, failure: error.failure.kind });
      return;
    }
  }
  await ports.meta.transact((tx) => tx.documents.remove(managedSnapshots, scope, snapshot.id));
}
