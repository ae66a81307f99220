import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_BYTES, GIB_BYTES } from '#domain/geometry.ts';
import type { Scope } from '#domain/volume.ts';
import { VolumeHostError } from '#volume/host.ts';
import { assertConsistent } from './consistency.fake.ts';
import { snapshotRequest, volumeRequest } from './request.fake.ts';
import { createSnapshot, findSnapshot, listSnapshots } from './snapshots.ts';
import { copyVolume, type CopyVolume } from './volume-copies.ts';
import { modifyVolume } from './volume-modifications.ts';
import { createVolume, deleteVolume, findVolume, listVolumes } from './volumes.ts';
import { World } from './world.fake.ts';

const DELETE = { token: null, operation: null };
const LIST = { ids: null, face: null, after: null, countMax: 100 } as const;
const SEVENS = new Uint8Array(CHUNK_BYTES).fill(7);

function copyOf(source: CopyVolume['source'], some: Partial<CopyVolume> = {}): CopyVolume {
  return {
    source,
    sizeGib: null,
    type: null,
    iops: null,
    throughputMibps: null,
    multiAttach: null,
    tags: [],
    token: null,
    ...some,
  };
}

async function sourceIn(world: World, scope: Scope): Promise<CopyVolume['source']> {
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }));
  world.host.write(volume.id, 3, 7);
  return volume.id;
}

test('a copy that cannot be stored is in error, and can be deleted', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const source = await sourceIn(world, scope);
  const { id } = await copyVolume(world.ports, scope, copyOf(source));
  world.host.failUploads(new VolumeHostError('damaged', 'gone'));
  await world.settle();
  assert.equal((await findVolume(world.ports, scope, id)).state, 'error');
  world.host.failUploads(null);
  await world.control.run('open-volumes');
  assert.equal((await findVolume(world.ports, scope, id)).state, 'error', 'there is nothing to open');
  await deleteVolume(world.ports, scope, id, DELETE);
  await world.settle();
  await assertConsistent(world, scope, [], 'at the end');
});

test('whatever call fails, there is a whole copy or none', async () => {
  for (let call = 1; ; call += 1) {
    await using world = await World.make();
    const scope = await world.account();
    const source = await sourceIn(world, scope);
    world.faults.arm(call, call % 2 === 0 ? 'after' : 'before', call % 3 === 0 ? 'unavailable' : 'internal');
    const copy = await copyVolume(world.ports, scope, copyOf(source)).catch(() => null);
    const fired = world.faults.disarm();
    await world.restartControl();
    await world.settle();
    const { volumes } = await listVolumes(world.ports, scope, LIST);
    if (copy !== null) assert.equal(volumes.length, 2);
    for (const { id } of volumes) assert.deepEqual(world.host.read(id, 3), SEVENS, `call ${call}: ${fired}`);
    assert.deepEqual((await listSnapshots(world.ports, scope, LIST)).snapshots, []);
    await assertConsistent(world, scope, [], `call ${call}: ${fired}`);
    if (fired === null) break;
    assert.ok(call < 20);
  }
});

test('whatever fails while it is made, a copy that was answered is made', async () => {
  for (let call = 1; call < 25; call += 1) {
    await using world = await World.make();
    const scope = await world.account();
    const source = await sourceIn(world, scope);
    const { id } = await copyVolume(world.ports, scope, copyOf(source));
    world.faults.arm(call, call % 2 === 0 ? 'after' : 'before');
    for (const task of ['upload-snapshots', 'finish-intents', 'finish-deletions'] as const) {
      await world.control.run(task).catch(() => {});
    }
    const fired = world.faults.disarm();
    await world.restartControl();
    await world.settle();
    assert.equal((await findVolume(world.ports, scope, id)).state, 'available', `call ${call}: ${fired}`);
    assert.deepEqual(world.host.read(id, 3), SEVENS);
    await assertConsistent(world, scope, [], `call ${call}: ${fired}`);
  }
});

test('a copy is no base of later snapshots, and has the size that its source had when it was cut', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const source = await sourceIn(world, scope);
  // The volume grows between the record and the cut.
  const cut = world.host.cut.bind(world.host);
  world.host.cut = async (volumes, id) => {
    world.host.cut = cut;
    const wish = { type: null, sizeGib: 2, iops: null, throughputMibps: null, multiAttach: null };
    await modifyVolume(world.ports, scope, source, wish);
    world.host.write(source, (2 * GIB_BYTES) / CHUNK_BYTES - 1, 9);
    return await cut(volumes, id);
  };
  const copy = await copyVolume(world.ports, scope, copyOf(source));
  await world.settle();
  assert.equal((await findVolume(world.ports, scope, copy.id)).sizeGib, 2);
  assert.equal(world.host.volumes.get(copy.id)?.sizeBytes, 2 * GIB_BYTES);
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(source));
  assert.equal(snapshot.parent, null);
  await world.settle();
  assert.equal((await findSnapshot(world.ports, scope, snapshot.id)).fullBytes, 2 * CHUNK_BYTES);
});
