import assert from 'node:assert/strict';
import { COPIED_VOLUME_ID } from '#domain/ids.ts';
import { ruleLockState } from './rules-model-bin.fake.ts';
import { isArchived, lockEndMs, lockStateAt, tieringStatus } from './rules-model-locks.fake.ts';
import type { ModelSnapshot, ModelVolume, Party } from './rules-model.fake.ts';
import type { Play } from './rules-model-play.fake.ts';

/*
 * Every list that a party can ask for, against what the model says is in it. AWS gives its lists no order, so they are
 * compared sorted.
 */

type Lists = Pick<Play, 'scene' | 'model'> & { readonly play: Play; readonly party: Party };

export async function compareLists(play: Play, party: Party): Promise<void> {
  const { scene, model } = play;
  const lists = { play, scene, model, party };
  await compareVolumes(lists);
  await compareSnapshots(lists);
  await compareBins(lists);
  await compareLocks(lists);
  await compareTiers(lists);
  await compareTags(lists);
  await compareRules(lists);
}

function same(actual: readonly object[], expected: readonly object[], { party }: Lists, list: string): void {
  const sorted = (all: readonly object[]): readonly string[] => all.map((one) => JSON.stringify(one)).toSorted();
  assert.deepEqual(sorted(actual), sorted(expected), `${list} of ${party.account} in ${party.region}`);
}

function pairs(tags: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(tags)
    .map(([key, value]) => `${key}=${value}`)
    .toSorted();
}

type TagViews = readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[] | undefined;

function pairsOf(views: TagViews): readonly string[] {
  return (views ?? []).map(({ Key, Value }) => `${Key}=${Value}`).toSorted();
}

async function compareVolumes(lists: Lists): Promise<void> {
  const { scene, model, party } = lists;
  const shown = ({ id, state, sizeGib, encrypted, origin, tags, createdAtMs }: ModelVolume): object => ({
    id,
    state,
    sizeGib,
    encrypted,
    origin: origin?.id ?? '',
    tags: pairs(tags),
    createdAtMs,
  });
  const { Volumes = [] } = await scene.ec2('DescribeVolumes', {}, party);
  const found = Volumes.map((one) => ({
    id: one.VolumeId,
    state: one.State,
    sizeGib: one.Size,
    encrypted: one.Encrypted,
    origin: one.SnapshotId,
    tags: pairsOf(one.Tags),
    createdAtMs: one.CreateTime?.getTime(),
  }));
  same(found, model.ownVolumes(party).map(shown), lists, 'DescribeVolumes');
}

async function compareSnapshots(lists: Lists): Promise<void> {
  const { scene, model, party } = lists;
  const visible = model.visibleSnapshots(party);
  const shown = (one: ModelSnapshot): object => ({
    id: one.id,
    owner: one.owner.account,
    state: one.state,
    progress: one.state === 'completed' ? '100%' : null,
    sizeGib: one.sizeGib,
    encrypted: one.encrypted,
    description: one.description,
    volume: one.volume?.id ?? COPIED_VOLUME_ID,
    tier: isArchived(one.tier) ? 'archive' : 'standard',
    backAtMs: one.tier?.phase === 'lent' ? one.tier.backAtMs : null,
    startedAtMs: one.startedAtMs,
    completedAtMs: one.completedAtMs,
    // Another account's tags are its own.
    tags: one.owner.account === party.account ? pairs(one.tags) : [],
  });
  const ask = async (input: object): Promise<readonly object[]> => {
    const { Snapshots = [] } = await scene.ec2('DescribeSnapshots', input, party);
    return Snapshots.map((one) => ({
      id: one.SnapshotId,
      owner: one.OwnerId,
      state: one.State,
      progress: one.State === 'completed' ? one.Progress : null,
      sizeGib: one.VolumeSize,
      encrypted: one.Encrypted,
      description: one.Description,
      volume: one.VolumeId,
      tier: one.StorageTier,
      backAtMs: one.RestoreExpiryTime?.getTime() ?? null,
      startedAtMs: one.StartTime?.getTime(),
      completedAtMs: one.CompletionTime?.getTime() ?? null,
      tags: pairsOf(one.Tags),
    }));
  };
  same(await ask({}), visible.map(shown), lists, 'DescribeSnapshots');
  const isOwn = ({ owner }: ModelSnapshot): boolean => owner === party;
  const variants: readonly (readonly [string, object, (one: ModelSnapshot) => boolean])[] = [
    ['owner self', { OwnerIds: ['self'] }, isOwn],
    ['by self', { RestorableByUserIds: ['self'] }, (one) => isOwn(one) || one.sharedWith.has(party.account)],
    ['by all', { RestorableByUserIds: ['all'] }, ({ sharedWith }) => sharedWith.has('all')],
  ];
  const [name, input, passes] = lists.play.pick(variants);
  same(await ask(input), visible.filter(passes).map(shown), lists, `DescribeSnapshots ${name}`);
}

async function compareBins(lists: Lists): Promise<void> {
  const { scene, model, party } = lists;
  const shown = ({ id, bin }: ModelSnapshot | ModelVolume): object => ({ id, ...bin });
  const { Snapshots = [] } = await scene.ec2('ListSnapshotsInRecycleBin', {}, party);
  const { Volumes = [] } = await scene.ec2('ListVolumesInRecycleBin', {}, party);
  const snapshots = Snapshots.map((one) => ({
    id: one.SnapshotId,
    enteredAtMs: one.RecycleBinEnterTime?.getTime(),
    leavesAtMs: one.RecycleBinExitTime?.getTime(),
  }));
  same(snapshots, model.binned(party, model.snapshots).map(shown), lists, 'ListSnapshotsInRecycleBin');
  const volumes = Volumes.map((one) => ({
    id: one.VolumeId,
    enteredAtMs: one.RecycleBinEnterTime?.getTime(),
    leavesAtMs: one.RecycleBinExitTime?.getTime(),
  }));
  same(volumes, model.binned(party, model.volumes).map(shown), lists, 'ListVolumesInRecycleBin');
}

async function compareLocks(lists: Lists): Promise<void> {
  const { scene, model, party } = lists;
  const nowMs = scene.clock.nowMs();
  const { Snapshots = [] } = await scene.ec2('DescribeLockedSnapshots', {}, party);
  const found = Snapshots.map((one) => ({
    id: one.SnapshotId,
    state: one.LockState,
    days: one.LockDuration,
    createdAtMs: one.LockCreatedOn?.getTime(),
    endsAtMs: one.LockExpiresOn?.getTime() ?? null,
    coolOffHours: one.CoolOffPeriod ?? null,
  }));
  const expected = model.ownSnapshots(party).flatMap(({ id, lock }) => {
    if (lock === null) return [];
    const endsAtMs = lock.startedAtMs === null ? null : lockEndMs(lock);
    const { days, createdAtMs, coolOffHours } = lock;
    return [{ id, state: lockStateAt(lock, nowMs), days: Math.ceil(days), createdAtMs, endsAtMs, coolOffHours }];
  });
  same(found, expected, lists, 'DescribeLockedSnapshots');
}

async function compareTiers(lists: Lists): Promise<void> {
  const { scene, model, party } = lists;
  const { SnapshotTierStatuses = [] } = await scene.ec2('DescribeSnapshotTierStatus', {}, party);
  const found = SnapshotTierStatuses.map((one) => ({
    id: one.SnapshotId,
    state: one.Status,
    tier: one.StorageTier,
    status: one.LastTieringOperationStatus ?? null,
    trouble: one.LastTieringOperationStatusDetail ?? null,
    backAtMs: one.RestoreExpiryTime?.getTime() ?? null,
  }));
  const expected = model.ownSnapshots(party).map(({ id, state, tier }) => ({
    id,
    state,
    tier: isArchived(tier) ? 'archive' : 'standard',
    status: tieringStatus(tier),
    trouble: null,
    backAtMs: tier?.phase === 'lent' ? tier.backAtMs : null,
  }));
  same(found, expected, lists, 'DescribeSnapshotTierStatus');
}

async function compareTags(lists: Lists): Promise<void> {
  const { scene, model, party } = lists;
  const { Tags = [] } = await scene.ec2('DescribeTags', {}, party);
  const found = Tags.map((one) => ({ id: one.ResourceId, type: one.ResourceType, key: one.Key, value: one.Value }));
  const expected = [...model.ownVolumes(party), ...model.ownSnapshots(party)].flatMap(({ id, tags }) =>
    Object.entries(tags).map(([key, value]) => ({
      id,
      type: id.startsWith('vol-') ? 'volume' : 'snapshot',
      key,
      value,
    })),
  );
  same(found, expected, lists, 'DescribeTags');
}

async function compareRules(lists: Lists): Promise<void> {
  const { scene, model, party } = lists;
  const rules = [...model.settingOf(party).rules];
  const type = lists.play.pick(['EBS_SNAPSHOT', 'EBS_VOLUME'] as const);
  const { Rules = [] } = await scene.rbin('ListRules', { ResourceType: type }, party);
  const found = Rules.map((one) => ({
    id: one.Identifier,
    days: one.RetentionPeriod?.RetentionPeriodValue,
    lock: one.LockState ?? null,
  }));
  const expected = rules
    .filter(([, rule]) => rule.type === type)
    .map(([id, rule]) => ({ id, days: rule.days, lock: ruleLockState(rule, scene.clock.nowMs()) }));
  same(found, expected, lists, `ListRules of ${type}`);
}
