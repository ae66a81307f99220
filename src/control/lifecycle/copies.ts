import { regionName } from '#domain/ids.ts';
import type { CrossRegionCopyRule, LifecyclePolicy, ManagedCopy } from '#domain/lifecycle/policy.ts';
import { afterInterval } from '#domain/lifecycle/schedule.ts';
import type { Scope } from '#domain/volume.ts';
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
  const target = { account: scope.account, region: regionName(rule.targetRegion ?? rule.target ?? '') };
  return await attempt(snapshot.id, async () => {
    leave.require('ec2:CopySnapshot', snapshot);
    leave.require('ec2:CopySnapshot', { ...target, id: '*', tags: {} });
    const { id } = await copySnapshot(ports, target, {
      face: 'ec2',
      caller: leave.caller,
      sourceRegion: scope.region,
      source: snapshot.id,
      description: `[Copied ${snapshot.id} from ${scope.region}] ${snapshot.description}`,
      tags: [],
      completionDurationMinutes: null,
      encryption: { isEncrypted: rule.encrypted, key: rule.cmkArn ?? null },
      token: `lifecycle ${managed.policy} ${snapshot.id} ${index}`,
    });
    await remember(ports, scope, managed, async (current, tx) => {
      const copied = current.copied ?? [];
      if (copied.includes(index)) return current;
      const copy = await tx.snapshots.find(id);
      if (copy !== null) {
        const fromSource = rule.copyTags === true ? Object.entries(snapshot.tags).filter(([key]) => isUsers(key)) : [];
        const tags = { ...Object.fromEntries(fromSource), ...ownTags(managed.policy, made.scheduleName) };
        await tx.snapshots.update({ ...copy, tags });
        const { policy } = managed;
        const record: ManagedCopy = {
          copy: id,
          source: snapshot.id,
          policy,
          region: target.region,
          retain: retainOf(rule),
        };
        await tx.documents.insert(managedCopies, scope, record);
      }
      return { ...current, copied: [...copied, index] };
    });
  });
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
      afterInterval(copy.startedAtMs, retain.interval, retain.intervalUnit) <= ports.clock.nowMs();
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
