import { type RegionName, regionName, type SnapshotId } from '#domain/ids.ts';
import type { CrossRegionCopyRule, LifecyclePolicy, ManagedCopy } from '#domain/lifecycle/policy.ts';
import { afterInterval } from '#domain/lifecycle/schedule.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import { asSeenBy } from '#control/seen-snapshots.ts';
import { copySnapshot } from '#control/snapshot-copies.ts';
import { deleteSnapshot } from '#control/snapshots.ts';
import type { ControlPorts } from '#control/ports.ts';
import { type Kept, managedCopies, ofPolicy, ownTags, remember } from './managed.ts';
import type { Leave } from './role.ts';
import { attempt } from './trouble.ts';

/*
 * A copy is asked for with a client token of policy, snapshot and rule, then written down together with its tags: whoever is
 * cut short in between asks again and gets the same copy.
 */

/** Copies a snapshot as a rule says, once. Answers why not; null: it is copied, or is being. */
export async function copyOnce(
  ports: ControlPorts,
  scope: Scope,
  { managed, snapshot }: Kept,
  made: {
    readonly rule: CrossRegionCopyRule;
    readonly index: number;
    readonly scheduleName: string;
    readonly leave: Leave;
  },
): Promise<string | null> {
  const { rule, index, leave } = made;
  if (managed.copied?.includes(index) === true) return null;
  return await attempt(snapshot.id, async () => {
    const token = `lifecycle ${managed.policy} ${snapshot.id} ${index}`;
    const copy = await askForCopy(ports, scope, snapshot, { rule, token, leave });
    await remember(ports, scope, managed, async (current, tx) => {
      const copied = current.copied ?? [];
      if (copied.includes(index)) return current;
      const { policy } = managed;
      await noteCopy(tx, scope, { copy, source: snapshot, rule, policy, scheduleName: made.scheduleName });
      return { ...current, copied: [...copied, index] };
    });
  });
}

/** The same copy for the same token. Refuses as copySnapshot, and not-permitted. */
export async function askForCopy(
  ports: ControlPorts,
  scope: Scope,
  source: Snapshot,
  { rule, token, leave }: { readonly rule: CrossRegionCopyRule; readonly token: string; readonly leave: Leave },
): Promise<SnapshotId> {
  const target = { account: scope.account, region: targetOf(rule) };
  leave.require('ec2:CopySnapshot', asSeenBy(scope, source));
  leave.require('ec2:CopySnapshot', { ...target, id: '*', tags: {} });
  const { id } = await copySnapshot(ports, target, {
    face: 'ec2',
    caller: leave.caller,
    sourceRegion: scope.region,
    source: source.id,
    description: `[Copied ${source.id} from ${scope.region}] ${source.description}`,
    tags: [],
    completionDurationMinutes: null,
    encryption: { isEncrypted: rule.encrypted, key: rule.cmkArn ?? null },
    token,
  });
  return id;
}

/** Writes down whose copy it is, and when it goes. Nothing where its user deleted it already. */
export async function noteCopy(
  tx: Tx,
  scope: Scope,
  made: {
    readonly copy: SnapshotId;
    readonly source: Snapshot;
    readonly rule: CrossRegionCopyRule;
    readonly policy: string;
    readonly scheduleName: string;
  },
): Promise<void> {
  const { source, rule, policy } = made;
  const copy = await tx.snapshots.find(made.copy);
  if (copy === null) return;
  const fromSource = rule.copyTags === true ? Object.entries(source.tags).filter(([key]) => isUsers(key)) : [];
  const tags = { ...Object.fromEntries(fromSource), ...ownTags(policy, made.scheduleName) };
  await tx.snapshots.update({ ...copy, tags });
  const record: ManagedCopy = {
    copy: made.copy,
    source: source.id,
    policy,
    region: targetOf(rule),
    retain: retainOf(rule),
  };
  await tx.documents.insert(managedCopies, scope, record);
}

function targetOf({ targetRegion, target }: CrossRegionCopyRule): RegionName {
  return regionName(targetRegion ?? target ?? '');
}

function isUsers(key: string): boolean {
  return !key.toLowerCase().startsWith('aws:') && key !== 'dlm:managed';
}

function retainOf({ retainRule }: CrossRegionCopyRule): ManagedCopy['retain'] {
  const { interval, intervalUnit } = retainRule ?? {};
  return interval === undefined || intervalUnit === undefined ? null : { interval, intervalUnit };
}

export interface CopiesTended {
  readonly troubles: readonly string[];
  /** Snapshots that copies are still being made of. */
  readonly sources: ReadonlySet<string>;
}

/** Removes copies that are old enough, forgets those that are gone, and tells of those that failed. */
export async function tendCopies(
  ports: ControlPorts,
  scope: Scope,
  policy: LifecyclePolicy,
  leave: Leave,
): Promise<CopiesTended> {
  const copies = await ports.meta.read((tx) => ofPolicy(tx, managedCopies, scope, policy.id));
  const troubles: string[] = [];
  const sources = new Set<string>();
  for (const { copy: id, source, region, retain } of copies) {
    const copy = await ports.meta.read((tx) => tx.snapshots.find(id));
    const isGone = copy === null || copy.state === 'deleting' || copy.state === 'recoverable';
    if (copy?.state === 'pending') sources.add(source);
    if (copy?.state === 'error') troubles.push(`${id}: ${copy.stateMessage ?? 'the copy failed'}`);
    const isOld =
      copy !== null &&
      retain !== null &&
      afterInterval(copy.startedAtMs, retain.interval, retain.intervalUnit) <= ports.time.earliestMs();
    if (!isGone && !isOld) continue;
    if (!isGone) {
      const where = { account: scope.account, region };
      const trouble = await attempt(id, async () => {
        leave.require('ec2:DeleteSnapshot', copy);
        await deleteSnapshot(ports, where, id, { token: null, operation: null });
      });
      if (trouble !== null) {
        troubles.push(trouble);
        continue;
      }
    }
    await ports.meta.transact((tx) => tx.documents.remove(managedCopies, scope, id));
  }
  return { troubles, sources };
}
