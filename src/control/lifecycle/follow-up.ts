import { parseAccountId } from '#domain/ids.ts';
import { type LifecyclePolicy, type ManagedSnapshot, type Schedule, schedulesOf } from '#domain/lifecycle/policy.ts';
import { afterInterval } from '#domain/lifecycle/schedule.ts';
import type { Scope } from '#domain/volume.ts';
import { disableFastRestores, enableFastRestores } from '#control/fast-restores.ts';
import type { ControlPorts } from '#control/ports.ts';
import { shareSnapshot } from '#control/snapshot-sharing.ts';
import { copyOnce } from './copies.ts';
import { byVolume, findKept, type Kept, remember, scheduleName } from './managed.ts';
import type { Leave } from './role.ts';
import { attempt, troubleOf } from './trouble.ts';

/**
 * Does what schedules ask for once their snapshots are completed: copies them to other regions, shares them, keeps them
 * ready for fast restores, and ends the two latter in time. What was done is written down with the snapshot, after it was
 * done; everything may be done again before that. Answers what could not be done, which is tried again.
 */
export async function followUp(
  ports: ControlPorts,
  scope: Scope,
  policy: LifecyclePolicy,
  leave: Leave,
): Promise<readonly string[]> {
  const schedules = schedulesOf(policy);
  if (!schedules.some(hasFollowUp)) return [];
  const kept = await findKept(ports, scope, policy);
  const troubles: (string | null)[] = [];
  for (const [index, schedule] of schedules.entries()) {
    const name = scheduleName(schedule.name, index);
    for (const ofVolume of byVolume(kept, index)) {
      for (const one of ofVolume) {
        if (one.managed.archivedAtMs !== undefined) continue;
        for (const [at, rule] of (schedule.crossRegionCopyRules ?? []).entries()) {
          troubles.push(await copyOnce(ports, scope, one, { rule, index: at, scheduleName: name, leave }));
        }
        troubles.push(await shareAll(ports, scope, one, schedule, leave));
      }
      troubles.push(...(await keepReady(ports, scope, ofVolume, schedule, leave)));
    }
  }
  return troubles.filter((trouble) => trouble !== null);
}

function hasFollowUp({ crossRegionCopyRules = [], shareRules = [], fastRestoreRule }: Schedule): boolean {
  return crossRegionCopyRules.length > 0 || shareRules.length > 0 || fastRestoreRule !== undefined;
}

type Share = NonNullable<ManagedSnapshot['shares']>[number];

async function shareAll(
  ports: ControlPorts,
  scope: Scope,
  { managed, snapshot }: Kept,
  { shareRules = [] }: Schedule,
  leave: Leave,
): Promise<string | null> {
  const shares = managed.shares ?? [];
  const nowMs = ports.clock.nowMs();
  for (const [rule, { targetAccounts, unshareInterval, unshareIntervalUnit }] of shareRules.entries()) {
    if (shares.some((share) => share.rule === rule)) continue;
    const accounts = targetAccounts.flatMap((text) => parseAccountId(text) ?? []);
    const hasEnd = unshareInterval !== undefined && unshareIntervalUnit !== undefined;
    const endsAtMs = hasEnd ? afterInterval(nowMs, unshareInterval, unshareIntervalUnit) : null;
    const trouble = await attempt(snapshot.id, async () => {
      leave.require('ec2:ModifySnapshotAttribute', snapshot, [['ec2:add/userid', accounts]]);
      await shareSnapshot(ports, scope, snapshot.id, { add: accounts, remove: [] });
      const share: Share = { rule, accounts, endsAtMs };
      await remember(ports, scope, managed, (one) => ({ ...one, shares: [...(one.shares ?? []), share] }));
    });
    if (trouble !== null) return trouble;
  }
  for (const share of shares) {
    if (share.endsAtMs === null || share.endsAtMs > nowMs) continue;
    const others = shares.filter((other) => other !== share && !isOver(other, nowMs));
    const remove = share.accounts.filter((account) => !others.some(({ accounts }) => accounts.includes(account)));
    const trouble = await attempt(snapshot.id, async () => {
      leave.require('ec2:ModifySnapshotAttribute', snapshot, [['ec2:remove/userid', remove]]);
      await shareSnapshot(ports, scope, snapshot.id, { add: [], remove });
      const ended: Share = { ...share, accounts: [], endsAtMs: null };
      await remember(ports, scope, managed, (one) => ({
        ...one,
        shares: (one.shares ?? []).map((other) => (other.rule === share.rule ? ended : other)),
      }));
    });
    if (trouble !== null) return trouble;
  }
  return null;
}

function isOver({ endsAtMs }: Share, nowMs: number): boolean {
  return endsAtMs !== null && endsAtMs <= nowMs;
}

/** Those that need not be ready any more go first: others take their places. */
async function keepReady(
  ports: ControlPorts,
  scope: Scope,
  kept: readonly Kept[],
  { fastRestoreRule: rule }: Schedule,
  leave: Leave,
): Promise<readonly string[]> {
  if (rule === undefined) return [];
  const { count, interval, intervalUnit, availabilityZones: zones = [] } = rule;
  const nowMs = ports.clock.nowMs();
  const candidates = kept.filter(({ managed }) => managed.archivedAtMs === undefined);
  const isMeant = ({ snapshot }: Kept, at: number): boolean =>
    count !== undefined
      ? at >= candidates.length - count
      : interval !== undefined &&
        intervalUnit !== undefined &&
        afterInterval(snapshot.startedAtMs, interval, intervalUnit) > nowMs;
  const troubles: (string | null)[] = [];
  for (const one of candidates.filter((each, at) => !isMeant(each, at))) {
    if (one.managed.fastRestore === 'enabled') troubles.push(await letGo(ports, scope, one, zones, leave));
  }
  for (const one of candidates.filter(isMeant)) {
    if (one.managed.fastRestore === undefined) troubles.push(await makeReady(ports, scope, one, zones, leave));
  }
  return troubles.filter((trouble) => trouble !== null);
}

async function makeReady(
  ports: ControlPorts,
  scope: Scope,
  { managed, snapshot }: Kept,
  zones: readonly string[],
  leave: Leave,
): Promise<string | null> {
  let refused: string | null = null;
  const trouble = await attempt(snapshot.id, async () => {
    leave.require('ec2:EnableFastSnapshotRestores', snapshot);
    const { unsuccessful } = await enableFastRestores(ports, scope, { snapshots: [snapshot.id], zones });
    const [first] = unsuccessful;
    if (first !== undefined) refused = troubleOf(snapshot.id, first.failure);
    else await remember(ports, scope, managed, (one) => ({ ...one, fastRestore: 'enabled' }));
  });
  return trouble ?? refused;
}

/** One that its user disabled already is no trouble. */
async function letGo(
  ports: ControlPorts,
  scope: Scope,
  { managed, snapshot }: Kept,
  zones: readonly string[],
  leave: Leave,
): Promise<string | null> {
  return await attempt(snapshot.id, async () => {
    leave.require('ec2:DisableFastSnapshotRestores', snapshot);
    await disableFastRestores(ports, scope, { snapshots: [snapshot.id], zones });
    await remember(ports, scope, managed, (one) => ({ ...one, fastRestore: 'disabled' }));
  });
}
