import assert from 'node:assert/strict';
import {
  type BinType,
  isRuleFixed,
  type ModelMatch,
  type ModelRule,
  ruleLockState,
  ruleRefusals,
} from './rules-model-bin.fake.ts';
import {
  archiveAsked,
  DAY_MS,
  lockRefusals,
  lockStateAt,
  type LockWish,
  relocked,
  restoreAsked,
} from './rules-model-locks.fake.ts';
import { NOWHERE, type Play } from './rules-model-play.fake.ts';
import type { Party } from './rules-model.fake.ts';

// What parties ask for about keeping: locks, the archive, and the recycle bin with its rules.

const HOUR_MS = 3_600_000;

export async function lockSnapshot(play: Play): Promise<void> {
  const isAgain = play.chance(2);
  const [party, id] = play.aSnapshot(({ lock }) => !isAgain || lock !== null);
  const snapshot = play.model.ownSnapshot(party, id);
  const mode = play.chance(3) ? 'governance' : 'compliance';
  const isWrong = play.chance(8);
  const isByDate = play.chance(4);
  const wish: LockWish = {
    mode,
    coolOffHours:
      play.chance(3) && (isWrong || mode === 'compliance') ? play.pick([1, 24, 72, ...(isWrong ? [0, 73] : [])]) : null,
    days: isByDate !== isWrong ? null : play.pick([1, 2, 3, 5, ...(isWrong ? [0, 36_501] : [])]),
    untilMs: isByDate ? play.nowMs + play.random.below(90) * HOUR_MS : null,
  };
  const input = {
    SnapshotId: id,
    LockMode: wish.mode,
    ...(wish.coolOffHours !== null && { CoolOffPeriod: wish.coolOffHours }),
    ...(wish.days !== null && { LockDuration: wish.days }),
    ...(wish.untilMs !== null && { ExpirationDate: new Date(wish.untilMs) }),
  };
  const refusals = snapshot === null ? ['InvalidSnapshot.NotFound'] : lockRefusals(snapshot, wish, play.nowMs);
  const done = await play.expect('LockSnapshot', refusals, () => play.scene.ec2('LockSnapshot', input, party));
  if (done === null || snapshot === null) return;
  const { completedAtMs } = snapshot;
  snapshot.lock = relocked(snapshot.lock, wish, { nowMs: play.nowMs, completedAtMs });
  assert.equal(done.LockState, lockStateAt(snapshot.lock, play.nowMs), 'the state of the lock');
}

export async function unlockSnapshot(play: Play): Promise<void> {
  const [party, id] = play.aSnapshot(({ lock }) => lock !== null);
  const snapshot = play.model.ownSnapshot(party, id);
  const lock = snapshot?.lock ?? null;
  const isOpen = lock !== null && lockStateAt(lock, play.nowMs) !== 'compliance';
  const refusals = snapshot === null ? ['InvalidSnapshot.NotFound'] : isOpen ? [] : ['IncorrectState'];
  const input = { SnapshotId: id };
  const done = await play.expect('UnlockSnapshot', refusals, () => play.scene.ec2('UnlockSnapshot', input, party));
  if (done !== null && snapshot !== null) snapshot.lock = null;
}

export async function archiveSnapshot(play: Play): Promise<void> {
  const [party, id] = play.aSnapshot(({ state, tier }) => archiveAsked(state, tier) !== null);
  const snapshot = play.model.ownSnapshot(party, id);
  const tier = snapshot === null ? null : archiveAsked(snapshot.state, snapshot.tier);
  const refusals = snapshot === null ? ['InvalidSnapshot.NotFound'] : tier === null ? ['IncorrectState'] : [];
  const input = { SnapshotId: id, StorageTier: 'archive' } as const;
  const done = await play.expect('ModifySnapshotTier', refusals, () =>
    play.scene.ec2('ModifySnapshotTier', input, party),
  );
  if (done !== null && snapshot !== null) snapshot.tier = tier;
}

export async function restoreSnapshotTier(play: Play): Promise<void> {
  const [party, id] = play.aSnapshot(({ state, tier }) => restoreAsked(state, tier, null, play.nowMs) !== null);
  const snapshot = play.model.ownSnapshot(party, id);
  const days = play.chance(3) ? null : play.pick([1, 2, 5, ...(play.chance(9) ? [0, 181] : [])]);
  const tier = snapshot === null ? null : restoreAsked(snapshot.state, snapshot.tier, days, play.nowMs);
  const refusals: string[] = [];
  if (days !== null && (days < 1 || days > 180)) refusals.push('InvalidParameterValue');
  if (snapshot === null) refusals.push('InvalidSnapshot.NotFound');
  else if (tier === null) refusals.push('IncorrectState');
  const input = { SnapshotId: id, ...(days === null ? { PermanentRestore: true } : { TemporaryRestoreDays: days }) };
  const done = await play.expect('RestoreSnapshotTier', refusals, () =>
    play.scene.ec2('RestoreSnapshotTier', input, party),
  );
  if (done !== null && snapshot !== null) snapshot.tier = tier;
}

export async function createRule(play: Play): Promise<void> {
  const party = play.anyParty();
  const type = play.pick(['EBS_SNAPSHOT', 'EBS_SNAPSHOT', 'EBS_VOLUME'] as const satisfies readonly BinType[]);
  const rule: ModelRule = {
    type,
    days: play.pick([1, 2, 5, 7, ...(play.chance(9) ? [8, 366] : [])]),
    tagged: play.chance(3) ? play.matches() : [],
    excluded: play.chance(5) ? play.matches() : [],
    delayDays: play.chance(5) ? 7 : null,
    lockEndsAtMs: null,
  };
  const input = {
    ResourceType: type,
    RetentionPeriod: periodOf(rule.days),
    ResourceTags: matchViews(rule.tagged),
    ExcludeResourceTags: matchViews(rule.excluded),
    ...(rule.delayDays !== null && { LockConfiguration: delayOf(rule.delayDays) }),
  };
  const made = await play.expect('CreateRule', ruleRefusals(rule), () => play.scene.rbin('CreateRule', input, party));
  if (made !== null) play.model.settingOf(party).rules.set(made.Identifier ?? '', rule);
}

export async function changeRule(play: Play): Promise<void> {
  const party = play.anyParty();
  const { rules } = play.model.settingOf(party);
  const id = play.chance(8) || rules.size === 0 ? otherRule(play, party) : play.pick([...rules.keys()]);
  const rule = rules.get(id) ?? null;
  const name = { Identifier: id };
  const absent = ['ResourceNotFoundException'];
  const fixed = rule !== null && isRuleFixed(rule, play.nowMs) ? ['ConflictException'] : [];
  switch (play.random.below(4)) {
    case 0: {
      const refusals = rule === null ? absent : fixed;
      const done = await play.expect('DeleteRule', refusals, () => play.scene.rbin('DeleteRule', name, party));
      if (done !== null) rules.delete(id);
      return;
    }
    case 1: {
      const change = { days: play.pick([1, 3, 7, ...(play.chance(9) ? [8] : [])]), tagged: play.matches() };
      // A lock that has ended is none.
      const changed = rule === null ? null : { ...rule, ...change, delayDays: null };
      const refusals = changed === null ? absent : [...fixed, ...ruleRefusals(changed)];
      const input = { ...name, RetentionPeriod: periodOf(change.days), ResourceTags: matchViews(change.tagged) };
      const done = await play.expect('UpdateRule', refusals, () => play.scene.rbin('UpdateRule', input, party));
      if (done !== null && rule !== null) Object.assign(rule, change);
      return;
    }
    case 2: {
      const change = { delayDays: 7, lockEndsAtMs: null };
      const refusals = rule === null ? absent : [...fixed, ...ruleRefusals({ ...rule, ...change })];
      const input = { ...name, LockConfiguration: delayOf(change.delayDays) };
      const done = await play.expect('LockRule', refusals, () => play.scene.rbin('LockRule', input, party));
      if (done !== null && rule !== null) Object.assign(rule, change);
      return;
    }
    default: {
      const isLocked = rule !== null && ruleLockState(rule, play.nowMs) === 'locked';
      const refusals = rule === null ? absent : isLocked ? [] : ['ConflictException'];
      const done = await play.expect('UnlockRule', refusals, () => play.scene.rbin('UnlockRule', name, party));
      if (done !== null && rule !== null) rule.lockEndsAtMs = play.nowMs + (rule.delayDays ?? 0) * DAY_MS;
    }
  }
}

function otherRule(play: Play, party: Party): string {
  const others = play.parties
    .filter((one) => one !== party)
    .flatMap((one) => Array.from(play.model.settingOf(one).rules.keys()));
  return others.length === 0 ? NOWHERE.rule : play.pick(others);
}

export async function recoverFromBin(play: Play): Promise<void> {
  const binned = [...play.model.snapshots.values(), ...play.model.volumes.values()].filter(({ bin }) => bin !== null);
  const one = binned.length > 0 && !play.chance(6) ? play.pick(binned) : null;
  const [party, other] = play.aSnapshot(() => true);
  const id = one?.id ?? other;
  const caller = one !== null && !play.chance(4) ? one.owner : party;
  const found = play.model.volumes.get(id) ?? play.model.snapshots.get(id);
  const isThere = found?.owner === caller && found.bin !== null;
  if (id.startsWith('vol-')) {
    const refusals = isThere ? [] : ['InvalidVolume.NotFound'];
    const done = await play.expect('RestoreVolumeFromRecycleBin', refusals, () =>
      play.scene.ec2('RestoreVolumeFromRecycleBin', { VolumeId: id }, caller),
    );
    if (done !== null && found !== undefined) found.bin = null;
    return;
  }
  const refusals = isThere ? [] : ['InvalidSnapshot.NotFound'];
  const done = await play.expect('RestoreSnapshotFromRecycleBin', refusals, () =>
    play.scene.ec2('RestoreSnapshotFromRecycleBin', { SnapshotId: id }, caller),
  );
  const snapshot = play.model.snapshots.get(id);
  if (done !== null && snapshot !== undefined) Object.assign(snapshot, { bin: null, state: 'recovering' });
}

function periodOf(days: number): { readonly RetentionPeriodValue: number; readonly RetentionPeriodUnit: 'DAYS' } {
  return { RetentionPeriodValue: days, RetentionPeriodUnit: 'DAYS' };
}

function delayOf(days: number): {
  readonly UnlockDelay: { readonly UnlockDelayValue: number; readonly UnlockDelayUnit: 'DAYS' };
} {
  return { UnlockDelay: { UnlockDelayValue: days, UnlockDelayUnit: 'DAYS' } };
}

function matchViews(
  matches: readonly ModelMatch[],
): readonly { readonly ResourceTagKey: string; readonly ResourceTagValue?: string }[] {
  return matches.map(({ key, value }) => ({ ResourceTagKey: key, ...(value !== null && { ResourceTagValue: value }) }));
}
