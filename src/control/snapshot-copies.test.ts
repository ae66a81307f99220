import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { regionName, type SnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import { VolumeHostError } from '#volume/host.ts';
import { assertConsistent } from './consistency.fake.ts';
import { changedBlocks } from './direct.ts';
import { refusal, snapshotRequest, volumeRequest } from './request.fake.ts';
import { copySnapshot, type CopySnapshot } from './snapshot-copies.ts';
import { archiveSnapshot } from './snapshot-tiers.ts';
import { createSnapshot, deleteSnapshot, findSnapshot } from './snapshots.ts';
import { createVolume, deleteVolume } from './volumes.ts';
import { World } from './world.fake.ts';

const DELETE = { token: null, operation: null };

function copyRequest(source: Snapshot, some: Partial<CopySnapshot> = {}): CopySnapshot {
  return {
    face: 'ec2',
    source: source.id,
    sourceRegion: source.region,
    description: '',
    tags: [],
    completionDurationMinutes: null,
    token: null,
    ...some,
  };
}

async function completedSnapshot(world: World, scope: Scope): Promise<Snapshot> {
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }));
  world.host.write(volume.id, 3, 7);
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await world.settle();
  return await findSnapshot(world.ports, scope, snapshot.id);
}

function share(world: World, id: SnapshotId, sharedWith: Snapshot['sharedWith']): Promise<void> {
  return world.ports.meta.transact(async (tx) => {
    const snapshot = await tx.snapshots.find(id);
    assert.ok(snapshot !== null);
    await tx.snapshots.update({ ...snapshot, sharedWith });
  });
}

test('a snapshot is copied to another region, and both can be used and deleted by themselves', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const there: Scope = { ...scope, region: regionName('eu-west-1') };
  const source = await completedSnapshot(world, scope);
  const copy = await copySnapshot(
    world.ports,
    there,
    copyRequest(source, { description: 'safe', tags: [{ key: 'a', value: 'b' }], completionDurationMinutes: 30 }),
  );
  assert.deepEqual([copy.state, copy.region, copy.volume], ['pending', 'eu-west-1', 'vol-ffffffff']);
  assert.deepEqual(copy.copiedFrom, { snapshot: source.id, region: source.region });
  await world.settle();
  const done = await findSnapshot(world.ports, there, copy.id);
  assert.deepEqual([done.state, done.progressPercent, done.fullBytes], ['completed', 100, CHUNK_BYTES]);
  assert.deepEqual([done.description, done.tags, done.completionDurationMinutes], ['safe', { a: 'b' }, 30]);
  assert.equal(done.volumeSizeGib, source.volumeSizeGib);
  await assert.rejects(findSnapshot(world.ports, scope, copy.id), refusal({ kind: 'not-found' }));
  await deleteSnapshot(world.ports, scope, source.id, DELETE);
  const zone = 'eu-west-1a';
  const { volume } = await createVolume(world.ports, there, volumeRequest({ zone, origin: copy.id, sizeGib: null }));
  assert.deepEqual(world.host.read(volume.id, 3), new Uint8Array(CHUNK_BYTES).fill(7));
  await deleteVolume(world.ports, there, volume.id, DELETE);
  await deleteSnapshot(world.ports, there, copy.id, DELETE);
  await world.settle();
  assert.equal(world.host.snapshots.size, 0);
  await assertConsistent(world, scope, [], 'at the end');
});

test('copies of one lineage can be compared where they are', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const there: Scope = { ...scope, region: regionName('eu-west-1') };
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }));
  const copies: Snapshot[] = [];
  for (const fill of [1, 2]) {
    world.host.write(volume.id, fill, fill);
    const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
    await world.settle();
    copies.push(await copySnapshot(world.ports, there, copyRequest(snapshot)));
    await world.settle();
  }
  const [first, second] = copies;
  assert.ok(first !== undefined && second !== undefined);
  const { blocks } = await changedBlocks(world.ports, there, {
    first: first.id,
    second: second.id,
    start: null,
    after: null,
    countMax: 10,
  });
  assert.deepEqual(
    blocks.map(({ index }) => index),
    [2],
  );
});

test('another account copies what is shared with it, and nothing else', async () => {
  await using world = await World.make();
  const owner = await world.account();
  const other = await world.account();
  const source = await completedSnapshot(world, owner);
  const copy = (): Promise<Snapshot> => copySnapshot(world.ports, other, copyRequest(source));
  await assert.rejects(copy(), refusal({ kind: 'not-found', id: source.id }));
  for (const grantee of [other.account, 'all'] as const) {
    await share(world, source.id, [grantee]);
    const made = await copy();
    await world.settle();
    const done = await findSnapshot(world.ports, other, made.id);
    assert.deepEqual([done.state, done.account, done.sharedWith], ['completed', other.account, []]);
    assert.equal(done.changedBytes, CHUNK_BYTES, 'nothing is shared between accounts');
  }
  await share(world, source.id, []);
  await assert.rejects(copy(), refusal({ kind: 'not-found' }));
});

test('what a copy refuses', async () => {
  await using world = await World.make({ pendingCopyCountMax: 2 });
  const scope = await world.account();
  const source = await completedSnapshot(world, scope);
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }));
  const { snapshot: pending } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  const copy = (from: Snapshot, some: Partial<CopySnapshot> = {}): Promise<Snapshot> =>
    copySnapshot(world.ports, scope, copyRequest(from, some));
  await assert.rejects(copy(pending), refusal({ kind: 'wrong-state', state: 'pending' }));
  await assert.rejects(copy(source, { sourceRegion: regionName('us-west-2') }), refusal({ kind: 'not-found' }));
  await assert.rejects(copy(source, { tags: [{ key: 'aws:x', value: '' }] }), refusal({ kind: 'tag-key-reserved' }));
  world.host.holdUploads();
  const first = await copy(source, { token: 't' });
  assert.equal((await copy(source, { token: 't' })).id, first.id, 'a token makes one copy');
  await assert.rejects(copy(source, { token: 't', description: 'x' }), refusal({ kind: 'token-mismatch' }));
  await copy(source);
  await assert.rejects(copy(source), refusal({ kind: 'limit', limit: 'pending-copies', max: 2 }));
  // Of this region only.
  await copySnapshot(world.ports, { ...scope, region: regionName('us-west-2') }, copyRequest(source));
  // Deleting a pending copy makes room.
  await deleteSnapshot(world.ports, scope, first.id, DELETE);
  await copy(source);
  world.host.releaseUploads();
  await world.settle();
  await assertConsistent(world, scope, [], 'at the end');
});

test('a token answers the copy that it made, also when the source is gone', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const source = await completedSnapshot(world, scope);
  const request = copyRequest(source, { token: 'once' });
  const copy = await copySnapshot(world.ports, scope, request);
  await world.settle();
  const fromIt = volumeRequest({ origin: source.id, sizeGib: null, token: 'once' });
  const { volume } = await createVolume(world.ports, scope, fromIt);
  await deleteSnapshot(world.ports, scope, source.id, DELETE);
  assert.equal((await copySnapshot(world.ports, scope, request)).id, copy.id);
  assert.equal((await createVolume(world.ports, scope, fromIt)).volume.id, volume.id);
});

test('a pending copy ends when it is deleted, also while it is written', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const source = await completedSnapshot(world, scope);
  world.host.holdUploads();
  const copy = await copySnapshot(world.ports, scope, copyRequest(source));
  const running = world.control.run('upload-snapshots');
  while (!world.host.uploading.includes(copy.id)) await new Promise((resolve) => setImmediate(resolve));
  await deleteSnapshot(world.ports, scope, copy.id, DELETE);
  await running;
  assert.deepEqual([...world.host.snapshots.keys()], [source.id]);
  await assert.rejects(findSnapshot(world.ports, scope, copy.id), refusal({ kind: 'not-found' }));
  world.host.releaseUploads();
});

test('a copy goes on after a restart; one whose source is gone ends in error and says why', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const source = await completedSnapshot(world, scope);
  world.host.failUploads(new VolumeHostError('no-space', 'full'));
  const copy = await copySnapshot(world.ports, scope, copyRequest(source));
  await world.control.run('upload-snapshots');
  assert.match((await findSnapshot(world.ports, scope, copy.id)).stateMessage ?? '', /full/);
  const late = await copySnapshot(world.ports, scope, copyRequest(source));
  world.host.failUploads(null);
  world.host.restart();
  await world.restartControl();
  await world.settle();
  assert.equal((await findSnapshot(world.ports, scope, copy.id)).state, 'completed');
  assert.equal((await findSnapshot(world.ports, scope, late.id)).state, 'completed');
  const orphan = await copySnapshot(world.ports, scope, copyRequest(source));
  world.host.snapshots.delete(source.id);
  await world.settle();
  const failed = await findSnapshot(world.ports, scope, orphan.id);
  assert.equal(failed.state, 'error');
  assert.match(failed.stateMessage ?? '', new RegExp(`could not be copied from ${source.id}`));
});

test('what the server copies for a volume of another account is no copy of the client that counts', async () => {
  await using world = await World.make({ pendingCopyCountMax: 1 });
  const scope = await world.account();
  const source = await completedSnapshot(world, scope);
  const other = await world.account();
  await share(world, source.id, [other.account]);
  const { volume } = await createVolume(world.ports, other, volumeRequest({ origin: source.id }));
  assert.equal(volume.state, 'creating');
  const copy = await copySnapshot(world.ports, other, copyRequest(source));
  assert.equal(copy.state, 'pending');
  await assert.rejects(copySnapshot(world.ports, other, copyRequest(source)), refusal({ kind: 'limit' }));
});

test('a source that is deleted is gone for clients, and stays until its copies are done, also over a restart', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const other = await world.account();
  const source = await completedSnapshot(world, scope);
  await share(world, source.id, [other.account]);
  world.host.failUploads(new VolumeHostError('no-space', 'full'));
  const copy = await copySnapshot(world.ports, scope, copyRequest(source));
  const theirs = await copySnapshot(world.ports, other, copyRequest(source));
  await deleteSnapshot(world.ports, scope, source.id, DELETE);
  await assert.rejects(findSnapshot(world.ports, scope, source.id), refusal({ kind: 'not-found' }));
  await assert.rejects(copySnapshot(world.ports, scope, copyRequest(source)), refusal({ kind: 'not-found' }));
  await world.control.run('finish-deletions');
  assert.ok(world.host.snapshots.has(source.id));
  world.host.failUploads(null);
  await world.restartControl();
  await world.settle();
  assert.equal((await findSnapshot(world.ports, scope, copy.id)).state, 'completed');
  assert.equal((await findSnapshot(world.ports, other, theirs.id)).state, 'completed');
  assert.deepEqual([...world.host.snapshots.keys()].toSorted(), [copy.id, theirs.id].toSorted());
  assert.equal(await world.ports.meta.read((tx) => tx.snapshots.find(source.id)), null);
  await assertConsistent(world, scope, [], 'at the end');
});

test('what clients do not see counts for no limit: a deleted source that is copied, and what is copied for a volume', async () => {
  await using world = await World.make({ snapshotCountMax: 2 });
  const scope = await world.account();
  const source = await completedSnapshot(world, scope);
  world.host.failUploads(new VolumeHostError('no-space', 'full'));
  await copySnapshot(world.ports, scope, copyRequest(source));
  await assert.rejects(copySnapshot(world.ports, scope, copyRequest(source)), refusal({ kind: 'limit' }));
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  await deleteSnapshot(world.ports, scope, source.id, DELETE);
  await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await assert.rejects(createSnapshot(world.ports, scope, snapshotRequest(volume.id)), refusal({ kind: 'limit' }));

  const other = await world.account();
  world.host.failUploads(null);
  const theirs = await completedSnapshot(world, other);
  world.host.failUploads(new VolumeHostError('no-space', 'full'));
  const third = await world.account();
  await share(world, theirs.id, [third.account]);
  await createVolume(world.ports, third, volumeRequest({ origin: theirs.id }));
  for (const _of of [1, 2]) await copySnapshot(world.ports, third, copyRequest(theirs));
  await assert.rejects(copySnapshot(world.ports, third, copyRequest(theirs)), refusal({ kind: 'limit' }));
});

test('a deleted source goes when its last pending copy is deleted', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const source = await completedSnapshot(world, scope);
  const copy = await copySnapshot(world.ports, scope, copyRequest(source));
  await deleteSnapshot(world.ports, scope, source.id, DELETE);
  assert.ok(world.host.snapshots.has(source.id));
  await deleteSnapshot(world.ports, scope, copy.id, DELETE);
  await world.settle();
  assert.deepEqual([...world.host.snapshots.keys()], []);
  await assertConsistent(world, scope, [], 'at the end');
});

test('a source that is archived meanwhile stays where it is until its copies are done', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const source = await completedSnapshot(world, scope);
  world.host.failUploads(new VolumeHostError('no-space', 'full'));
  const copy = await copySnapshot(world.ports, scope, copyRequest(source));
  await archiveSnapshot(world.ports, scope, source.id);
  await world.control.run('tend-tiers');
  assert.ok(world.host.snapshots.has(source.id));
  world.host.failUploads(null);
  await world.settle();
  assert.equal((await findSnapshot(world.ports, scope, copy.id)).state, 'completed');
  await world.control.run('tend-tiers');
  assert.equal((await findSnapshot(world.ports, scope, source.id)).tier?.state, 'archived');
});
