import assert from 'node:assert/strict';
import { parseVolumeId, type VolumeId } from '#domain/ids.ts';
import type { ModelTags } from './rules-model-bin.fake.ts';
import { KEYS, type Play, VALUES } from './rules-model-play.fake.ts';
import { isArchived } from './rules-model-locks.fake.ts';
import { isUsableNow, type ModelSnapshot, type ModelVolume, type Party } from './rules-model.fake.ts';

// What parties ask for about volumes and snapshots, their tags, and who may use them.

export async function createVolume(play: Play): Promise<void> {
  const [party, origin] =
    play.model.snapshots.size > 0 && play.chance(2) ? play.aForeignSnapshot(isUsableNow) : [play.anyParty(), null];
  const sizeGib = play.chance(4) && origin !== null ? null : 1 + play.random.below(play.chance(12) ? 40 : 8);
  const isEncrypted = play.chance(4);
  const tags = play.tags();
  const input = {
    AvailabilityZone: `${party.region}a`,
    ...(sizeGib !== null && { Size: sizeGib }),
    ...(origin !== null && { SnapshotId: origin }),
    ...(isEncrypted && { Encrypted: true }),
    ...specifications('volume', tags),
  };
  const refusals = play.model.refuseVolume(party, origin, sizeGib);
  const made = await play.expect('CreateVolume', refusals, () => play.scene.ec2('CreateVolume', input, party));
  if (made === null) return;
  const source = origin === null ? null : play.model.usable(party, party.region, origin);
  const volume: ModelVolume = {
    id: made.VolumeId ?? '',
    owner: party,
    createdAtMs: play.nowMs,
    encrypted: isEncrypted || play.model.settingOf(party).isEncrypting || source?.encrypted === true,
    origin: source,
    sizeGib: sizeGib ?? source?.sizeGib ?? 0,
    state: source === null || source.owner.account === party.account ? 'available' : 'creating',
    content: source?.content ?? 0,
    tags,
    cutAtMs: -Infinity,
    modifiedAtMs: [],
    bin: null,
  };
  play.model.volumes.set(volume.id, volume);
  assert.deepEqual([made.State, made.Size, made.Encrypted], ['creating', volume.sizeGib, volume.encrypted]);
}

export function writeBlock(play: Play): void {
  const there = [...play.model.volumes.values()].filter(({ state, bin }) => state === 'available' && bin === null);
  if (there.length === 0) return;
  const volume = play.pick(there);
  volume.content = 1 + play.random.below(250);
  play.scene.world.host.write(volumeId(volume.id), 0, volume.content);
}

export async function deleteVolume(play: Play): Promise<void> {
  const [party, id] = play.aVolume();
  const volume = play.model.ownVolume(party, id);
  const refusals = volume === null ? ['InvalidVolume.NotFound'] : volume.state === 'creating' ? ['IncorrectState'] : [];
  const input = { VolumeId: id };
  const done = await play.expect('DeleteVolume', refusals, () => play.scene.ec2('DeleteVolume', input, party));
  if (done !== null && volume !== null) play.model.deleteVolume(volume, play.nowMs);
}

export async function modifyVolume(play: Play): Promise<void> {
  const [party, id] = play.aVolume();
  const volume = play.model.ownVolume(party, id);
  const sizeGib = Math.max(1, (volume?.sizeGib ?? 3) - 1 + play.random.below(4));
  const refusals = play.model.refuseModification(party, id, sizeGib, play.nowMs);
  const input = { VolumeId: id, Size: sizeGib };
  const done = await play.expect('ModifyVolume', refusals, () => play.scene.ec2('ModifyVolume', input, party));
  if (done === null || volume === null || volume.sizeGib === sizeGib) return;
  volume.sizeGib = sizeGib;
  volume.modifiedAtMs.push(play.nowMs);
}

export async function createSnapshot(play: Play): Promise<void> {
  const [party, id] = play.aVolume();
  const tags = play.tags();
  const description = play.pick(['', 'nightly']);
  const input = { VolumeId: id, Description: description, ...specifications('snapshot', tags) };
  const refusals = play.model.refuseSnapshot(party, id, play.nowMs);
  const made = await play.expect('CreateSnapshot', refusals, () => play.scene.ec2('CreateSnapshot', input, party));
  const volume = play.model.ownVolume(party, id);
  if (made === null || volume === null) return;
  assert.deepEqual([made.State, made.VolumeSize, made.Encrypted], ['pending', volume.sizeGib, volume.encrypted]);
  volume.cutAtMs = play.nowMs;
  const { sizeGib, encrypted, content } = volume;
  addSnapshot(play, party, made.SnapshotId, { sizeGib, encrypted, content, volume, copyOf: null, description, tags });
}

export async function copySnapshot(play: Play): Promise<void> {
  const [near, id] = play.aForeignSnapshot(isUsableNow);
  const sourceRegion = play.chance(6) ? play.anyParty().region : near.region;
  const party = play.pick(play.parties.filter(({ account }) => account === near.account));
  const isEncrypted = play.chance(4);
  const tags = play.tags();
  const input = {
    SourceSnapshotId: id,
    SourceRegion: sourceRegion,
    Description: 'copy',
    ...(isEncrypted && { Encrypted: true }),
    ...specifications('snapshot', tags),
  };
  const refusals = play.model.refuseCopy(party, sourceRegion, id);
  const made = await play.expect('CopySnapshot', refusals, () => play.scene.ec2('CopySnapshot', input, party));
  const source = play.model.usable(party, sourceRegion, id);
  if (made === null || source === null) return;
  const { sizeGib, content } = source;
  const encrypted = isEncrypted || source.encrypted || play.model.settingOf(party).isEncrypting;
  const rest = { volume: null, copyOf: source, description: 'copy', tags };
  addSnapshot(play, party, made.SnapshotId, { sizeGib, content, encrypted, ...rest });
}

function addSnapshot(
  play: Play,
  owner: Party,
  id: string | undefined,
  made: Pick<ModelSnapshot, 'sizeGib' | 'encrypted' | 'content' | 'volume' | 'copyOf' | 'description' | 'tags'>,
): void {
  assert.ok(id !== undefined && !play.model.snapshots.has(id), 'a new snapshot has a new id');
  const nothing = { completedAtMs: null, sharedWith: new Set<string>(), lock: null, tier: null, bin: null };
  const startedAtMs = play.nowMs;
  play.model.snapshots.set(id, { ...made, ...nothing, id, owner, startedAtMs, state: 'pending' });
}

export async function deleteSnapshot(play: Play): Promise<void> {
  const [party, id] = play.aSnapshot(({ state }) => state !== 'pending');
  const snapshot = play.model.ownSnapshot(party, id);
  const refusals = play.model.refuseSnapshotDeletion(party, id, play.nowMs);
  const input = { SnapshotId: id };
  const done = await play.expect('DeleteSnapshot', refusals, () => play.scene.ec2('DeleteSnapshot', input, party));
  if (done !== null && snapshot !== null) play.model.deleteSnapshot(snapshot, play.nowMs);
}

/** Only asks whether it could. AWS says what it looks at before: no more than who may do it; so a refusal is right, too. */
export async function dryRun(play: Play): Promise<void> {
  const [party, id] = play.aSnapshot(() => true);
  const input = { SnapshotId: id, DryRun: true };
  const isThere = play.model.ownSnapshot(party, id) !== null;
  const locked = play.model.refuseSnapshotDeletion(party, id, play.nowMs);
  const refusals = isThere ? ['DryRunOperation', ...locked, 'IncorrectState'] : ['InvalidSnapshot.NotFound'];
  const lock = { ...input, LockMode: 'governance', LockDuration: 1 };
  const calls: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['DeleteSnapshot', () => play.scene.ec2('DeleteSnapshot', input, party)],
    ['LockSnapshot', () => play.scene.ec2('LockSnapshot', lock, party)],
    ['UnlockSnapshot', () => play.scene.ec2('UnlockSnapshot', input, party)],
    ['ModifySnapshotTier', () => play.scene.ec2('ModifySnapshotTier', input, party)],
    ['RestoreSnapshotTier', () => play.scene.ec2('RestoreSnapshotTier', { ...input, PermanentRestore: true }, party)],
  ];
  const [operation, call] = play.pick(calls);
  await play.expect(`${operation} DryRun`, refusals, call);
}

export async function shareSnapshot(play: Play): Promise<void> {
  const [party, id] = play.aSnapshot(({ encrypted }) => !encrypted);
  const snapshot = play.model.ownSnapshot(party, id);
  const attribute = { SnapshotId: id, Attribute: 'createVolumePermission' } as const;
  const isReset = play.chance(6);
  const isAdded = !isReset && !play.chance(3);
  const grantee = play.chance(2) ? 'all' : play.pick(play.parties).account;
  const flat = grantee === 'all' ? { GroupNames: ['all'] } : { UserIds: [grantee] };
  const refusals = play.model.refuseShare(party, id, isAdded ? [grantee] : []);
  const done = isReset
    ? await play.expect('ResetSnapshotAttribute', refusals, () =>
        play.scene.ec2('ResetSnapshotAttribute', attribute, party),
      )
    : await play.expect('ModifySnapshotAttribute', refusals, () =>
        play.scene.ec2(
          'ModifySnapshotAttribute',
          { ...attribute, ...flat, OperationType: isAdded ? 'add' : 'remove' },
          party,
        ),
      );
  if (done === null || snapshot === null) return;
  const left = [...snapshot.sharedWith].filter((one) => !isReset && one !== grantee);
  snapshot.sharedWith = new Set(isAdded ? [...left, grantee] : left);
  const { CreateVolumePermissions = [] } = await play.scene.ec2('DescribeSnapshotAttribute', attribute, party);
  const shown = CreateVolumePermissions.map(({ Group, UserId }) => Group ?? UserId);
  assert.deepEqual(new Set(shown), snapshot.sharedWith, 'DescribeSnapshotAttribute');
}

export async function blockPublicAccess(play: Play): Promise<void> {
  // Mostly where it changes something.
  const [party] = play.aSnapshot(({ sharedWith }) => sharedWith.has('all'));
  const state = play.pick(['unblocked', 'block-new-sharing', 'block-all-sharing'] as const);
  play.model.settingOf(party).blocking = state;
  if (state === 'unblocked') await play.scene.ec2('DisableSnapshotBlockPublicAccess', {}, party);
  else await play.scene.ec2('EnableSnapshotBlockPublicAccess', { State: state }, party);
  const { State } = await play.scene.ec2('GetSnapshotBlockPublicAccessState', {}, party);
  assert.equal(State, state);
}

export async function encryptByDefault(play: Play): Promise<void> {
  const party = play.anyParty();
  const isEncrypting = play.chance(3);
  play.model.settingOf(party).isEncrypting = isEncrypting;
  await play.scene.ec2(isEncrypting ? 'EnableEbsEncryptionByDefault' : 'DisableEbsEncryptionByDefault', {}, party);
}

export async function createTags(play: Play): Promise<void> {
  const [party, ids] = play.someResources();
  const key = play.chance(12) ? 'aws:a' : play.pick(KEYS);
  const tags = { [key]: play.pick(VALUES) };
  const input = { Resources: ids, Tags: tagViews(tags) };
  const refusals = play.model.refuseTags(party, ids, tags);
  const done = await play.expect('CreateTags', refusals, () => play.scene.ec2('CreateTags', input, party));
  if (done !== null) for (const one of play.resources(ids)) one.tags = { ...one.tags, ...tags };
}

export async function deleteTags(play: Play): Promise<void> {
  const [party, ids] = play.someResources();
  const key = play.chance(5) ? null : play.pick(KEYS);
  const value = key === null || play.chance(2) ? null : play.pick(VALUES);
  const tag = key === null ? {} : { Tags: [{ Key: key, ...(value !== null && { Value: value }) }] };
  const input = { Resources: ids, ...tag };
  const refusals = play.model.refuseTags(party, ids, {});
  const done = await play.expect('DeleteTags', refusals, () => play.scene.ec2('DeleteTags', input, party));
  if (done === null) return;
  const stays = ([has, text]: readonly [string, string]): boolean =>
    key !== null && (has !== key || (value !== null && text !== value));
  for (const one of play.resources(ids)) one.tags = Object.fromEntries(Object.entries(one.tags).filter(stays));
}

export async function readBlocks(play: Play): Promise<void> {
  const [party, id] = play.aForeignSnapshot(isUsableNow);
  const refusals = play.model.refuseRead(party, id);
  const list = await play.expect('ListSnapshotBlocks', refusals, () =>
    play.scene.ebs('ListSnapshotBlocks', { SnapshotId: id }, party),
  );
  const snapshot = play.model.snapshots.get(id);
  if (list === null || snapshot === undefined) return;
  const [first, ...others] = list.Blocks ?? [];
  assert.deepEqual([list.VolumeSize, others.length], [snapshot.sizeGib, 0]);
  assert.equal(first !== undefined, snapshot.content !== 0, 'what was written is there, and nothing else');
  if (first === undefined) return;
  const block = { SnapshotId: id, BlockIndex: first.BlockIndex ?? 0, BlockToken: first.BlockToken ?? '' };
  const { BlockData: bytes } = await play.scene.ebs('GetSnapshotBlock', block, party);
  assert.ok(bytes instanceof Uint8Array);
  assert.equal(bytes[0], snapshot.content, `what is in ${id}`);
}

export async function describeFiltered(play: Play): Promise<void> {
  const [party, id] = play.aSnapshot(() => play.chance(2));
  const isSeen = play.model.usable(party, party.region, id) !== null;
  const refusals = isSeen ? [] : ['InvalidSnapshot.NotFound'];
  await play.expect('DescribeSnapshots', refusals, () =>
    play.scene.ec2('DescribeSnapshots', { SnapshotIds: [id] }, party),
  );
  const key = play.pick(KEYS);
  const value = play.pick([...VALUES, '*']);
  const hasTag = ({ tags }: { readonly tags: ModelTags }): boolean =>
    tags[key] !== undefined && (value === '*' || tags[key] === value);
  const wanted = play.pick(['pending', 'completed']);
  const isEncrypted = play.chance(2);
  const filters: readonly (readonly [string, string, (one: ModelSnapshot) => boolean])[] = [
    // Who does not see a snapshot's tags does not find it by them.
    [`tag:${key}`, value, (one) => one.owner === party && hasTag(one)],
    ['status', wanted, ({ state }) => state === wanted],
    ['encrypted', String(isEncrypted), ({ encrypted }) => encrypted === isEncrypted],
    ['storage-tier', 'archive', ({ tier }) => isArchived(tier)],
    ['owner-id', party.account, ({ owner }) => owner === party],
  ];
  const chosen = filters.filter(() => play.chance(2));
  const found = new Set<string>();
  let next: string | undefined;
  do {
    const page = next === undefined ? {} : { NextToken: next };
    const input = { Filters: chosen.map(([Name, text]) => ({ Name, Values: [text] })), MaxResults: 5, ...page };
    const answer = await play.scene.ec2('DescribeSnapshots', input, party);
    for (const one of answer.Snapshots ?? []) found.add(one.SnapshotId ?? '');
    next = answer.NextToken;
  } while (next !== undefined);
  const visible = play.model.visibleSnapshots(party).filter((one) => chosen.every(([, , passes]) => passes(one)));
  const expected = new Set(visible.map((one) => one.id));
  assert.deepEqual(found, expected, `DescribeSnapshots by ${JSON.stringify(chosen)}`);
  const { Tags = [] } = await play.scene.ec2('DescribeTags', { Filters: [{ Name: 'key', Values: [key] }] }, party);
  const tagged = [...play.model.ownVolumes(party), ...play.model.ownSnapshots(party)].filter(
    ({ tags }) => tags[key] !== undefined,
  );
  assert.deepEqual(
    new Set(Tags.map((one) => one.ResourceId)),
    new Set(tagged.map((one) => one.id)),
    'DescribeTags by key',
  );
}

export function volumeId(text: string): VolumeId {
  const id = parseVolumeId(text);
  assert.ok(id !== null, 'the id of a volume');
  return id;
}

function tagViews(tags: ModelTags): readonly { readonly Key: string; readonly Value: string }[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}

function specifications(type: 'volume' | 'snapshot', tags: ModelTags): object {
  const Tags = tagViews(tags);
  return Tags.length === 0 ? {} : { TagSpecifications: [{ ResourceType: type, Tags }] };
}
