import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import { VolumeHostError } from '#volume/host.ts';
import { findOperation } from './operations.ts';
import { diskRequest, refusal, snapshotRequest, volumeRequest } from './request.fake.ts';
import { createSnapshot, deleteSnapshot, findSnapshot, findSnapshotByName, listSnapshots } from './snapshots.ts';
import { createVolume, deleteVolume } from './volumes.ts';
import { World } from './world.fake.ts';

async function withVolume(world: World, scope: Scope): Promise<VolumeId> {
  return (await createVolume(world.ports, scope, volumeRequest())).volume.id;
}

async function snap(world: World, scope: Scope, volume: VolumeId): Promise<SnapshotId> {
  return (await createSnapshot(world.ports, scope, snapshotRequest(volume))).snapshot.id;
}

test('a snapshot is the instant of the call: later writes are not in it', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  world.host.write(volume, 0, 1);
  const request = snapshotRequest(volume, { description: 'before', tags: [{ key: 'k', value: 'v' }] });
  const { snapshot } = await createSnapshot(world.ports, scope, request);
  world.host.write(volume, 0, 2);
  assert.equal(snapshot.state, 'pending');
  assert.equal(snapshot.epoch, 1);
  assert.equal(snapshot.progressPercent, 0);
  await world.clock.advance(1000);
  await world.control.run('upload-snapshots');
  const done = await findSnapshot(world.ports, scope, snapshot.id);
  assert.equal(done.state, 'completed');
  assert.equal(done.progressPercent, 100);
  assert.equal(done.startedAtMs, snapshot.startedAtMs);
  assert.equal(done.completedAtMs, snapshot.startedAtMs + 1000);
  assert.equal(done.fullBytes, 524_288);
  assert.deepEqual({ ...done.tags }, { k: 'v' });
  assert.equal(world.host.snapshots.get(snapshot.id)?.content.get(0)?.[0], 1);
});

test('a disk snapshot records the snapshot first and then the disk, and both end with it', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('Disk-1'));
  const request = snapshotRequest(volume.id, { face: 'lightsail', name: 'Snap-1', operation: 'CreateDiskSnapshot' });
  const { operations } = await createSnapshot(world.ports, scope, request);
  assert.deepEqual(
    operations.map(({ resourceName, resourceType, zone, details, status }) => ({
      resourceName,
      resourceType,
      zone,
      details,
      status,
    })),
    [
      { resourceName: 'Snap-1', resourceType: 'DiskSnapshot', zone: 'all', details: 'Disk-1', status: 'Started' },
      { resourceName: 'Disk-1', resourceType: 'Disk', zone: 'us-east-1a', details: 'Snap-1', status: 'Started' },
    ],
  );
  assert.ok(operations.every(({ createdAtMs, statusChangedAtMs }) => createdAtMs === statusChangedAtMs));
  await world.clock.advance(2500);
  await world.control.run('upload-snapshots');
  for (const { id, createdAtMs } of operations) {
    const ended = await findOperation(world.ports, scope, id);
    assert.equal(ended.status, 'Succeeded');
    assert.equal(ended.statusChangedAtMs, createdAtMs + 2500);
  }
  assert.equal((await findSnapshotByName(world.ports, scope, 'Snap-1')).volumeName, 'Disk-1');
});

test('a client token makes one snapshot, however often it is used, and its instant is the first', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('Disk-1'));
  world.host.write(volume.id, 0, 1);
  const wish = { face: 'lightsail', name: 'Snap-1', operation: 'CreateDiskSnapshot', token: 'once' } as const;
  const request = { ...snapshotRequest(volume.id, wish), volume: { name: 'Disk-1' } };
  const create = () => createSnapshot(world.ports, scope, request);
  const made = await Promise.all([create(), create(), create()]);
  world.host.write(volume.id, 0, 2);
  await world.restartControl();
  const again = await create();
  assert.equal(new Set([...made, again].map(({ snapshot }) => snapshot.id)).size, 1);
  for (const one of [...made, again]) {
    assert.deepEqual(
      one.operations.map(({ id }) => id),
      made[0]?.operations.map(({ id }) => id),
    );
    assert.equal(one.operations.length, 2);
  }
  await deleteVolume(world.ports, scope, volume.id, { token: null, operation: null });
  await world.settle();
  const done = await create();
  assert.equal(done.snapshot.state, 'completed');
  assert.ok(done.operations.every(({ status }) => status === 'Succeeded'));
  assert.equal(world.host.snapshots.size, 1);
  assert.equal(world.host.snapshots.get(done.snapshot.id)?.content.get(0)?.[0], 1);

  const mismatch = refusal({ kind: 'token-mismatch', token: 'once' });
  await assert.rejects(createSnapshot(world.ports, scope, { ...request, name: 'Snap-2' }), mismatch);
  await deleteSnapshot(world.ports, scope, done.snapshot.id, { token: null, operation: null });
  // A late repetition must not make a second snapshot.
  await assert.rejects(create(), refusal({ kind: 'not-found', resource: 'snapshot', id: done.snapshot.id }));
});

test('a snapshot whose request died with the server is undone, and its name and its token are free', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  const request = snapshotRequest(volume, { face: 'lightsail', name: 'Snap-1', token: 'once' });
  const { host } = world;
  const cut = host.cut.bind(host);
  const reached = Promise.withResolvers<void>();
  host.cut = async (volumes, id) => {
    await cut(volumes, id);
    reached.resolve();
    return await new Promise(() => {}); // The answer never comes.
  };
  void createSnapshot(world.ports, scope, request);
  await reached.promise;
  host.cut = cut;
  await world.restartControl();
  // Too early: what was left half made is still there, and no second one is made beside it.
  await assert.rejects(createSnapshot(world.ports, scope, request), /half made/);
  await world.settle();
  assert.equal(host.volumes.get(volume)?.cuts.size, 0);
  host.write(volume, 0, 7);
  const { snapshot } = await createSnapshot(world.ports, scope, request);
  await world.settle();
  assert.equal((await findSnapshotByName(world.ports, scope, 'Snap-1')).id, snapshot.id);
  assert.deepEqual([...host.snapshots.keys()], [snapshot.id]);
  assert.equal(host.snapshots.get(snapshot.id)?.content.get(0)?.[0], 7);
});

test('each snapshot stores what changed since the one before, which is its parent', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  world.host.write(volume, 0, 1);
  world.host.write(volume, 1, 1);
  const first = await snap(world, scope, volume);
  world.host.write(volume, 1, 2);
  const second = await snap(world, scope, volume);
  await world.control.run('upload-snapshots');
  const found = await findSnapshot(world.ports, scope, second);
  assert.equal(found.parent, first);
  assert.equal(found.changedBytes, 524_288);
  assert.equal(found.fullBytes, 2 * 524_288);
  await deleteSnapshot(world.ports, scope, first, { token: null, operation: null });
  assert.equal(world.host.snapshots.get(second)?.content.get(0)?.[0], 1);
});

test('snapshots of one volume are stored in order, those of several at once', async () => {
  await using world = await World.make({ uploadConcurrencyMax: 2 });
  const scope = await world.account();
  const [a, b, c] = [await withVolume(world, scope), await withVolume(world, scope), await withVolume(world, scope)];
  world.host.holdUploads();
  const [a1, a2, b1, c1] = [
    await snap(world, scope, a),
    await snap(world, scope, a),
    await snap(world, scope, b),
    await snap(world, scope, c),
  ];
  const uploads = world.control.run('upload-snapshots');
  await turns();
  assert.deepEqual(world.host.uploading, [a1, b1]);
  world.host.releaseUploads();
  await uploads;
  assert.deepEqual([...world.host.snapshots.keys()].toSorted(), [a1, a2, b1, c1].toSorted());
  for (const volume of world.host.volumes.values()) assert.equal(volume.cuts.size, 0);
});

test('progress grows while the upload runs and never falls, also when the server starts again', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  world.host.write(volume, 0, 1);
  world.host.holdUploads();
  const id = await snap(world, scope, volume);
  const uploads = world.control.run('upload-snapshots');
  await turns();
  const progressAt = async (doneBytes: number): Promise<number> => {
    world.host.setProgress(id, { doneBytes, totalBytes: 1000 });
    await world.clock.advance(world.ports.limits.progressPeriodMs);
    await turns();
    return (await findSnapshot(world.ports, scope, id)).progressPercent;
  };
  assert.deepEqual(
    [await progressAt(105), await progressAt(620), await progressAt(300), await progressAt(1000)],
    [10, 62, 62, 99],
  );
  world.host.restart();
  world.host.holdUploads();
  await world.restartControl();
  await uploads.catch(() => {});
  const resumed = world.control.run('upload-snapshots');
  await turns();
  assert.equal(await progressAt(10), 99);
  world.host.releaseUploads();
  await resumed;
  assert.equal((await findSnapshot(world.ports, scope, id)).progressPercent, 100);
});

test('trouble that may pass keeps a snapshot pending, and it is tried again', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  const id = await snap(world, scope, volume);
  world.host.failUploads(new VolumeHostError('no-space', 'the store is full'));
  const report = await world.control.run('upload-snapshots');
  assert.equal(report.failed, 1);
  const waiting = await findSnapshot(world.ports, scope, id);
  assert.equal(waiting.state, 'pending');
  assert.match(waiting.stateMessage ?? '', /store is full/);
  world.host.failUploads(new VolumeHostError('internal', "put a pack: EROFS, open '/srv/secret'"));
  await world.clock.advance(1000);
  await world.control.run('upload-snapshots');
  const { stateMessage } = await findSnapshot(world.ports, scope, id);
  assert.match(stateMessage ?? '', /EROFS/);
  assert.doesNotMatch(stateMessage ?? '', /secret/, 'files of the server are not told');
  world.host.failUploads(null);
  await world.control.run('upload-snapshots');
  assert.equal((await findSnapshot(world.ports, scope, id)).state, 'pending', 'it waits before it tries again');
  await world.clock.advance(2000);
  await world.control.run('upload-snapshots');
  const completed = await findSnapshot(world.ports, scope, id);
  assert.deepEqual([completed.state, completed.stateMessage], ['completed', null]);
});

test('a snapshot whose data are lost ends in error, with its operations, and the next of the volume goes on', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('disk'));
  const request = snapshotRequest(volume.id, { name: 'lost', face: 'lightsail', operation: 'CreateDiskSnapshot' });
  const { snapshot, operations } = await createSnapshot(world.ports, scope, request);
  world.host.failUploads(new VolumeHostError('damaged', 'chunk 7 fails its check'));
  await world.control.run('upload-snapshots');
  const lost = await findSnapshot(world.ports, scope, snapshot.id);
  assert.equal(lost.state, 'error');
  assert.match(lost.stateMessage ?? '', /chunk 7/);
  for (const { id } of operations) {
    const ended = await findOperation(world.ports, scope, id);
    assert.equal(ended.status, 'Failed');
    assert.match(ended.errorDetails ?? '', /chunk 7/);
  }
  world.host.failUploads(null);
  const next = await snap(world, scope, volume.id);
  await world.control.run('upload-snapshots');
  assert.equal((await findSnapshot(world.ports, scope, next)).state, 'completed');
  assert.equal(world.host.volumes.get(volume.id)?.cuts.size, 0);
  await deleteSnapshot(world.ports, scope, snapshot.id, { token: null, operation: null });
});

test('a base that was deleted or lost does not fail the upload that would have used it', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  world.host.write(volume, 0, 1);
  const first = await snap(world, scope, volume);
  await world.control.run('upload-snapshots');
  world.host.write(volume, 1, 1);
  const second = await snap(world, scope, volume);
  world.host.snapshots.delete(first); // Behind control's back.
  await world.control.run('upload-snapshots');
  assert.equal((await findSnapshot(world.ports, scope, second)).state, 'completed');
  assert.deepEqual([...(world.host.snapshots.get(second)?.content.keys() ?? [])], [0, 1]);
});

test('a pending snapshot that is deleted is not stored', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('disk'));
  world.host.holdUploads();
  const request = snapshotRequest(volume.id, { name: 'gone', face: 'lightsail', operation: 'CreateDiskSnapshot' });
  const { snapshot, operations } = await createSnapshot(world.ports, scope, request);
  const uploads = world.control.run('upload-snapshots');
  await turns();
  assert.deepEqual(world.host.uploading, [snapshot.id]);
  const deleted = await deleteSnapshot(world.ports, scope, snapshot.id, {
    token: null,
    operation: 'DeleteDiskSnapshot',
  });
  assert.deepEqual(
    deleted.operations.map(({ status }) => status),
    ['Succeeded'],
  );
  await uploads;
  await assert.rejects(findSnapshot(world.ports, scope, snapshot.id), refusal({ kind: 'not-found' }));
  for (const { id } of operations) assert.equal((await findOperation(world.ports, scope, id)).status, 'Failed');
  assert.equal(world.host.snapshots.size, 0);
  assert.equal(world.host.volumes.get(volume.id)?.cuts.size, 0);
  await createSnapshot(world.ports, scope, request);
});

test('a deletion of a snapshot that is repeated after a restart answers what the first did', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('disk'));
  const named = snapshotRequest(volume.id, { name: 'snap', face: 'lightsail' });
  const { snapshot } = await createSnapshot(world.ports, scope, named);
  const request = { token: 'once', operation: 'DeleteDiskSnapshot' } as const;
  const remove = () => deleteSnapshot(world.ports, scope, { name: 'snap' }, request);
  const [first, second] = await Promise.all([remove(), remove()]);
  assert.deepEqual(second, first);
  assert.deepEqual(
    first.operations.map(({ subject, status }) => [subject, status]),
    [[snapshot.id, 'Succeeded']],
  );
  const { snapshot: next } = await createSnapshot(world.ports, scope, named);
  await world.restartControl();
  assert.deepEqual(await remove(), first);
  assert.equal((await findSnapshotByName(world.ports, scope, 'snap')).id, next.id);
  const again = deleteSnapshot(world.ports, scope, snapshot.id, { token: null, operation: null });
  await assert.rejects(again, refusal({ kind: 'not-found', id: snapshot.id }));
});

test('an upload that reaches the host after its snapshot was deleted leaves nothing, and is never seen', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  const id = await snap(world, scope, volume);
  const { host } = world;
  const [upload, remove] = [host.upload.bind(host), host.deleteSnapshot.bind(host)];
  const onTheWay = Promise.withResolvers<void>();
  host.upload = async (job) => {
    await onTheWay.promise;
    try {
      return await upload(job, new AbortController().signal); // Too late to hear that it should not.
    } finally {
      isOver = true;
    }
  };
  let isOver = false;
  let removals = 0;
  host.deleteSnapshot = async (snapshot) => {
    removals += 1;
    assert.equal(isOver, removals === 2, 'the last removal comes after the upload');
    await assert.rejects(findSnapshot(world.ports, scope, snapshot), refusal({ kind: 'not-found' }));
    await remove(snapshot);
  };
  const uploads = world.control.run('upload-snapshots');
  await turns();
  const deleted = deleteSnapshot(world.ports, scope, id, { token: null, operation: null });
  await turns();
  onTheWay.resolve();
  await Promise.all([uploads, deleted]);
  assert.equal(removals, 2);
  assert.equal(host.snapshots.size, 0);
  assert.equal(host.volumes.get(volume)?.cuts.size, 0);
});

test('pending snapshots of a volume are limited by its type, and of an account', async () => {
  await using world = await World.make({ pendingSnapshotCountMax: 6 });
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  for (let index = 0; index < 5; index += 1) await snap(world, scope, volume);
  await assert.rejects(
    snap(world, scope, volume),
    refusal({ kind: 'limit', limit: 'pending-snapshots-per-volume', max: 5 }),
  );
  const { volume: slow } = await createVolume(world.ports, scope, volumeRequest({ type: 'st1', sizeGib: 125 }));
  await snap(world, scope, slow.id);
  const perVolume = refusal({ kind: 'limit', limit: 'pending-snapshots-per-volume', max: 1 });
  await assert.rejects(snap(world, scope, slow.id), perVolume);
  await assert.rejects(
    snap(world, scope, await withVolume(world, scope)),
    refusal({ kind: 'limit', limit: 'pending-snapshots', max: 6 }),
  );
  await world.control.run('upload-snapshots');
  await snap(world, scope, volume);
});

test('the rate of snapshots of a volume and their number are limited when configured', async () => {
  await using world = await World.make({ snapshotIntervalMsMin: 15_000, snapshotCountMax: 2 });
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  await snap(world, scope, volume);
  await world.clock.advance(14_999);
  await assert.rejects(snap(world, scope, volume), refusal({ kind: 'snapshot-rate', volume }));
  await world.clock.advance(1);
  await snap(world, scope, volume);
  await world.clock.advance(15_000);
  await assert.rejects(snap(world, scope, volume), refusal({ kind: 'limit', limit: 'snapshots', max: 2 }));
});

test('a snapshot that is deleted at once counts for the rate', async () => {
  await using world = await World.make({ snapshotIntervalMsMin: 15_000 });
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  await deleteSnapshot(world.ports, scope, await snap(world, scope, volume), { token: null, operation: null });
  await world.clock.advance(14_000);
  await assert.rejects(snap(world, scope, volume), refusal({ kind: 'snapshot-rate', volume }));
  await world.clock.advance(1000);
  await snap(world, scope, volume);
});

test('ids that are asked for must all be there', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const volume = await withVolume(world, scope);
  const [first, second] = [await snap(world, scope, volume), await snap(world, scope, volume)];
  const list = (ids: readonly SnapshotId[] | null) =>
    listSnapshots(world.ports, scope, { ids, face: 'ec2', after: null, countMax: 9 });
  assert.equal((await list([first, second])).snapshots.length, 2);
  await deleteSnapshot(world.ports, scope, first, { token: null, operation: null });
  await assert.rejects(list([second, first]), refusal({ kind: 'not-found', resource: 'snapshot', id: first }));
  assert.deepEqual(
    (await list(null)).snapshots.map(({ id }) => id),
    [second],
  );
  await deleteVolume(world.ports, scope, volume, { token: null, operation: null });
  await world.settle();
  assert.equal((await findSnapshot(world.ports, scope, second)).state, 'completed');
});

/** Lets everything run that can without time passing. */
async function turns(): Promise<void> {
  for (let index = 0; index < 50; index += 1) await new Promise((resolve) => setImmediate(resolve));
}
