import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { newSnapshotId, newVolumeId, regionName } from '#domain/ids.ts';
import { findOperation, listOperationsOf } from './operations.ts';
import { diskRequest, refusal, snapshotRequest, volumeRequest } from './request.fake.ts';
import { createSnapshot, deleteSnapshot, findSnapshot } from './snapshots.ts';
import { createVolume, deleteVolume, findVolume, findVolumeByName, listVolumes } from './volumes.ts';
import { World } from './world.fake.ts';

test('a volume is made, open at the host, and available when the request is answered', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume, operations } = await createVolume(world.ports, scope, volumeRequest());
  assert.equal(volume.state, 'available');
  assert.equal(volume.iops, 3000);
  assert.equal(volume.lineage, volume.id);
  assert.deepEqual(operations, []);
  assert.deepEqual(await findVolume(world.ports, scope, volume.id), volume);
  const [status] = await world.host.status([volume.id]);
  assert.equal(status?.epoch, 1);
});

test('a disk records one operation, which succeeds', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume, operations } = await createVolume(world.ports, scope, diskRequest('Disk-1'));
  const [operation] = operations;
  assert.ok(operation !== undefined && operations.length === 1);
  assert.equal(operation.status, 'Started');
  assert.equal(operation.resourceName, 'Disk-1');
  assert.equal(operation.zone, 'us-east-1a');
  assert.equal((await findOperation(world.ports, scope, operation.id)).status, 'Succeeded');
  assert.deepEqual(await findVolumeByName(world.ports, scope, 'Disk-1'), volume);
});

test('a volume restored from a snapshot has its content, its size and its lineage', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib: 2 }));
  world.host.write(volume.id, 3, 7);
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  const request = volumeRequest({ origin: snapshot.id, sizeGib: null });
  await assert.rejects(createVolume(world.ports, scope, request), refusal({ kind: 'wrong-state', state: 'pending' }));
  await world.control.run('upload-snapshots');
  const { volume: restored } = await createVolume(world.ports, scope, request);
  assert.equal(restored.sizeGib, 2);
  assert.equal(restored.lineage, volume.id);
  assert.deepEqual(world.host.read(restored.id, 3), new Uint8Array(CHUNK_BYTES).fill(7));
  await assert.rejects(
    createVolume(world.ports, scope, volumeRequest({ origin: snapshot.id, sizeGib: 1 })),
    refusal({ kind: 'invalid-value', field: 'size' }),
  );
  await deleteSnapshot(world.ports, scope, snapshot.id, { token: null, operation: null });
  assert.deepEqual(world.host.read(restored.id, 3), new Uint8Array(CHUNK_BYTES).fill(7));
});

test('what a request may not ask for is refused, and leaves nothing behind', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const none = newSnapshotId(world.random);
  const cases = [
    [volumeRequest({ zone: 'US-EAST-1A' }), { kind: 'zone-not-found' }],
    [volumeRequest({ zone: 'us-east-2a' }), { kind: 'zone-not-found' }],
    [volumeRequest({ sizeGib: null }), { kind: 'missing', field: 'size' }],
    [volumeRequest({ sizeGib: 0 }), { kind: 'invalid-value', field: 'size' }],
    [volumeRequest({ sizeGib: 1.5 }), { kind: 'invalid-value', field: 'size' }],
    [volumeRequest({ origin: none }), { kind: 'not-found', resource: 'snapshot', id: none }],
    [volumeRequest({ type: 'io2', sizeGib: 4 }), { kind: 'missing', field: 'iops' }],
    [volumeRequest({ multiAttach: true }), { kind: 'invalid-value', field: 'multi-attach' }],
    [volumeRequest({ tags: [{ key: 'aws:x', value: '' }] }), { kind: 'tag-key-reserved' }],
    [diskRequest('-bad'), { kind: 'invalid-value', field: 'name' }],
    [diskRequest('small', { sizeGib: 7 }), { kind: 'invalid-value', field: 'size' }],
  ] as const;
  for (const [request, failure] of cases) {
    await assert.rejects(createVolume(world.ports, scope, request), refusal(failure));
  }
  assert.equal(world.host.volumes.size, 0);
  assert.deepEqual(
    (await listVolumes(world.ports, scope, { ids: null, face: null, after: null, countMax: 9 })).volumes,
    [],
  );
});

test('a name is taken over all kinds in its account and region, and free again after deletion', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const other = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('data'));
  const taken = refusal({ kind: 'name-taken', name: 'data' });
  await assert.rejects(createVolume(world.ports, scope, diskRequest('data')), taken);
  const named = snapshotRequest(volume.id, { face: 'lightsail', name: 'data' });
  await assert.rejects(createSnapshot(world.ports, scope, named), taken);
  await createVolume(world.ports, other, diskRequest('data'));
  const west = { ...scope, region: regionName('us-west-2') };
  await createVolume(world.ports, west, diskRequest('data', { zone: 'us-west-2a' }));
  await deleteVolume(world.ports, scope, volume.id, { token: null, operation: 'DeleteDisk' });
  await createVolume(world.ports, scope, diskRequest('data'));
});

test('a volume with clients is not deleted, one without is gone at once', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('busy'));
  world.host.setClients(volume.id, 1);
  const request = { token: null, operation: 'DeleteDisk' };
  await assert.rejects(deleteVolume(world.ports, scope, volume.id, request), refusal({ kind: 'in-use' }));
  assert.equal((await findVolume(world.ports, scope, volume.id)).state, 'available');
  world.host.setClients(volume.id, 0);
  const { operations } = await deleteVolume(world.ports, scope, volume.id, request);
  assert.deepEqual(
    operations.map(({ type, status }) => [type, status]),
    [['DeleteDisk', 'Succeeded']],
  );
  await assert.rejects(findVolume(world.ports, scope, volume.id), refusal({ kind: 'not-found' }));
  await assert.rejects(findVolumeByName(world.ports, scope, 'busy'), refusal({ kind: 'not-found' }));
  assert.equal(world.host.volumes.size, 0);
  const history = await listOperationsOf(world.ports, scope, 'busy', { after: null, countMax: 9 });
  assert.deepEqual(
    history.operations.map(({ type }) => type),
    ['CreateDisk', 'DeleteDisk'],
  );
});

test('a client that connects during the deletion keeps the volume', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('raced'));
  const destroy = world.host.destroy.bind(world.host);
  world.host.destroy = async (id) => {
    world.host.setClients(id, 1);
    await destroy(id);
  };
  await assert.rejects(
    deleteVolume(world.ports, scope, volume.id, { token: null, operation: 'DeleteDisk' }),
    refusal({ kind: 'in-use' }),
  );
  assert.deepEqual(await findVolumeByName(world.ports, scope, 'raced'), volume);
  const { operations } = await listOperationsOf(world.ports, scope, 'raced', { after: null, countMax: 9 });
  assert.equal(operations.at(-1)?.status, 'Failed');
  await world.control.run('finish-deletions');
  assert.deepEqual(await findVolume(world.ports, scope, volume.id), volume);
});

test('a deleted volume keeps its bytes until its pending snapshot is stored', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('source'));
  world.host.write(volume.id, 0, 9);
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await deleteVolume(world.ports, scope, volume.id, { token: null, operation: null });
  await assert.rejects(findVolume(world.ports, scope, volume.id), refusal({ kind: 'not-found' }));
  await createVolume(world.ports, scope, diskRequest('source'));
  await world.control.run('finish-deletions');
  assert.ok(world.host.volumes.has(volume.id));
  world.host.restart();
  await world.restartControl();
  await world.settle();
  assert.equal((await findSnapshot(world.ports, scope, snapshot.id)).state, 'completed');
  assert.equal(world.host.volumes.has(volume.id), false);
  const { volume: restored } = await createVolume(
    world.ports,
    scope,
    volumeRequest({ origin: snapshot.id, sizeGib: 8 }),
  );
  assert.equal(world.host.read(restored.id, 0)[0], 9);
});

test('a client token makes one volume, however often it is used', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const request = volumeRequest({ token: 'once', tags: [{ key: 'a', value: '1' }] });
  const made = await Promise.all(Array.from({ length: 5 }, () => createVolume(world.ports, scope, request)));
  const again = await createVolume(world.ports, scope, request);
  assert.deepEqual(new Set([...made, again].map(({ volume }) => volume.id)).size, 1);
  assert.equal(again.volume.state, 'available');
  assert.equal(world.host.volumes.size, 1);
  const mismatch = refusal({ kind: 'token-mismatch', token: 'once' });
  await assert.rejects(createVolume(world.ports, scope, { ...request, sizeGib: 2 }), mismatch);
  const other = await world.account();
  assert.notEqual((await createVolume(world.ports, other, request)).volume.id, again.volume.id);
  await deleteVolume(world.ports, scope, again.volume.id, { token: null, operation: null });
  // A late repetition must not make a second volume.
  await assert.rejects(createVolume(world.ports, scope, request), refusal({ kind: 'not-found', id: again.volume.id }));
  await world.clock.advance(world.ports.limits.clientTokenMs + 1);
  await world.control.run('prune');
  assert.notEqual((await createVolume(world.ports, scope, request)).volume.id, again.volume.id);
});

test('a deletion that is repeated after a restart is done once, and leaves alone what has the name by then', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('disk'));
  const request = { token: 'once', operation: 'DeleteDisk' } as const;
  const remove = () => deleteVolume(world.ports, scope, { name: 'disk' }, request);
  const [first, second] = await Promise.all([remove(), remove()]);
  assert.deepEqual(second, first);
  assert.deepEqual(
    first.operations.map(({ subject, status }) => [subject, status]),
    [[volume.id, 'Succeeded']],
  );
  const { volume: next } = await createVolume(world.ports, scope, diskRequest('disk'));
  await world.restartControl();
  assert.deepEqual(await remove(), first);
  assert.equal((await findVolumeByName(world.ports, scope, 'disk')).id, next.id);
  const other = { ...request, token: 'another' };
  const mismatch = refusal({ kind: 'token-mismatch' });
  await assert.rejects(deleteVolume(world.ports, scope, { name: 'other' }, request), mismatch);
  await deleteVolume(world.ports, scope, { name: 'disk' }, other);
  assert.equal(world.host.volumes.size, 0);
});

test('a deletion that died with the server is done, and its repetition is told so', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('disk'));
  const { host } = world;
  const destroy = host.destroy.bind(host);
  const reached = Promise.withResolvers<void>();
  host.destroy = async () => {
    reached.resolve();
    return await new Promise(() => {}); // The answer never comes.
  };
  const remove = () => deleteVolume(world.ports, scope, volume.id, { token: 'once', operation: 'DeleteDisk' });
  void remove();
  await reached.promise;
  host.destroy = destroy;
  await world.restartControl();
  const statuses = async () => (await remove()).operations.map(({ status }) => status);
  assert.deepEqual(await statuses(), ['Started']);
  await world.settle();
  assert.deepEqual(await statuses(), ['Succeeded']);
  assert.equal(host.volumes.size, 0);
});

test('a deletion that was taken back frees its token, and the same call may delete later', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('disk', { token: 'made' }));
  const remove = () => deleteVolume(world.ports, scope, volume.id, { token: 'once', operation: 'DeleteDisk' });
  const { host } = world;
  const destroy = host.destroy.bind(host);
  host.destroy = async (id) => {
    host.setClients(id, 1); // A client comes between the question and the deletion.
    await destroy(id);
  };
  await assert.rejects(remove(), refusal({ kind: 'in-use', id: volume.id }));
  host.destroy = destroy;
  host.setClients(volume.id, 0);
  // The token of its creation is another matter.
  const again = await createVolume(world.ports, scope, diskRequest('disk', { token: 'made' }));
  assert.equal(again.volume.id, volume.id);
  const { operations } = await remove();
  assert.deepEqual(operations, (await remove()).operations);
  assert.deepEqual(
    operations.map(({ status }) => status),
    ['Succeeded'],
  );
  assert.equal(host.volumes.size, 0);
});

test('a token whose first use failed is free for the next', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const request = volumeRequest({ token: 'unlucky' });
  // The seventh call: after both have asked for the token, about encryption, and for the token again, the first at the host.
  world.faults.arm(7, 'before');
  const [first, second] = await Promise.allSettled([
    createVolume(world.ports, scope, request),
    createVolume(world.ports, scope, request),
  ]);
  assert.equal(world.faults.disarm(), 'create');
  assert.deepEqual([first.status, second.status], ['rejected', 'fulfilled']);
  await world.settle();
  assert.equal(world.host.volumes.size, 1);
});

test('limits of volumes and of their size are kept', async () => {
  await using world = await World.make({ volumeCountMax: 2, volumeGibTotalMax: 10 });
  const scope = await world.account();
  await createVolume(world.ports, scope, volumeRequest({ sizeGib: 8 }));
  await assert.rejects(
    createVolume(world.ports, scope, volumeRequest({ sizeGib: 3 })),
    refusal({ kind: 'limit', limit: 'volume-gib', max: 10 }),
  );
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib: 2 }));
  await deleteVolume(world.ports, scope, volume.id, { token: null, operation: null });
  await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }));
  await assert.rejects(
    createVolume(world.ports, scope, volumeRequest()),
    refusal({ kind: 'limit', limit: 'volumes', max: 2 }),
  );
});

test('pages are stable while volumes come and go', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const make = async (): Promise<string> => (await createVolume(world.ports, scope, volumeRequest())).volume.id;
  const ids: string[] = [];
  for (let index = 0; index < 7; index += 1) ids.push(await make());
  const list = (after: string | null) =>
    listVolumes(world.ports, scope, { ids: null, face: 'ec2', after, countMax: 3 });
  const first = await list(null);
  assert.deepEqual(
    first.volumes.map(({ id }) => id),
    ids.slice(0, 3),
  );
  // The last of the page and the first of the next go, and one more comes.
  for (const volume of [first.volumes[2], (await list(first.next)).volumes[0]]) {
    assert.ok(volume !== undefined);
    await deleteVolume(world.ports, scope, volume.id, { token: null, operation: null });
  }
  ids.push(await make());
  const second = await list(first.next);
  const third = await list(second.next);
  assert.deepEqual(
    [...second.volumes, ...third.volumes].map(({ id }) => id),
    ids.slice(4),
  );
  assert.equal(third.next, null);
});

test('a page is full before there is a next one, also with a filter', async () => {
  await using world = await World.make();
  const scope = await world.account();
  for (let sizeGib = 1; sizeGib <= 6; sizeGib += 1) await createVolume(world.ports, scope, volumeRequest({ sizeGib }));
  const list = (after: string | null) =>
    listVolumes(world.ports, scope, {
      ids: null,
      face: null,
      after,
      countMax: 2,
      match: ({ sizeGib }) => sizeGib % 2 === 0,
    });
  const first = await list(null);
  const second = await list(first.next);
  assert.deepEqual(
    [first, second].map(({ volumes }) => volumes.map(({ sizeGib }) => sizeGib)),
    [[2, 4], [6]],
  );
  assert.equal(second.next, null);
});

test('a page token is good for its own list only', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const stranger = await world.account();
  for (let index = 0; index < 3; index += 1) await createVolume(world.ports, scope, volumeRequest());
  const request = { ids: null, face: 'ec2', after: null, countMax: 1 } as const;
  const { next } = await listVolumes(world.ports, scope, request);
  assert.ok(next !== null);
  const invalid = refusal({ kind: 'page-token-invalid' });
  await assert.rejects(listVolumes(world.ports, stranger, { ...request, after: next }), invalid);
  await assert.rejects(listVolumes(world.ports, scope, { ...request, face: 'lightsail', after: next }), invalid);
  for (const bad of ['', 'x', `${next}A`, next.slice(0, -4), `A${next.slice(1)}`]) {
    if (bad === next) continue;
    await assert.rejects(listVolumes(world.ports, scope, { ...request, after: bad }), invalid);
  }
  await world.clock.advance(world.ports.limits.pageTokenMs + 1);
  await assert.rejects(listVolumes(world.ports, scope, { ...request, after: next }), invalid);
});

test('a stranger cannot tell what exists from what does not', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('mine'));
  const none = newVolumeId(world.random);
  const strangers = [await world.account(), { ...scope, region: regionName('eu-west-1') }];
  for (const stranger of strangers) {
    const answers = [volume.id, none].map(async (id) => {
      const failure = refusal({ kind: 'not-found', resource: 'volume', id });
      await assert.rejects(findVolume(world.ports, stranger, id), failure);
      await assert.rejects(deleteVolume(world.ports, stranger, id, { token: null, operation: null }), failure);
      await assert.rejects(createSnapshot(world.ports, stranger, snapshotRequest(id)), failure);
      await assert.rejects(
        listVolumes(world.ports, stranger, { ids: [id], face: null, after: null, countMax: 9 }),
        failure,
      );
    });
    await Promise.all(answers);
    await assert.rejects(findVolumeByName(world.ports, stranger, 'mine'), refusal({ kind: 'not-found' }));
    const { volumes } = await listVolumes(world.ports, stranger, { ids: null, face: null, after: null, countMax: 9 });
    assert.deepEqual(volumes, []);
  }
  assert.equal((await findVolume(world.ports, scope, volume.id)).state, 'available');
});

test('a face lists its own, and every face finds an id', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  const { volume: disk } = await createVolume(world.ports, scope, diskRequest('disk'));
  const list = async (face: 'ec2' | 'lightsail' | null, ids: readonly (typeof disk.id)[] | null) => {
    const { volumes } = await listVolumes(world.ports, scope, { ids, face, after: null, countMax: 9 });
    return volumes.map(({ id }) => id);
  };
  assert.deepEqual(await list('ec2', null), [volume.id]);
  assert.deepEqual(await list('lightsail', null), [disk.id]);
  assert.deepEqual(await list(null, null), [volume.id, disk.id]);
  assert.deepEqual(await list('ec2', [disk.id, volume.id, disk.id]), [disk.id, volume.id]);
});
