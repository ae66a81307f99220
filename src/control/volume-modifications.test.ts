import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_BYTES, GIB_BYTES } from '#domain/geometry.ts';
import type { ModificationWish } from '#domain/volume-modification.ts';
import { snapshotRequest, volumeRequest } from './request.fake.ts';
import { createSnapshot, findSnapshot } from './snapshots.ts';
import { modifyVolume } from './volume-modifications.ts';
import { createVolume, deleteVolume, findVolume } from './volumes.ts';
import { World } from './world.fake.ts';

const DAY_MS = 86_400_000;

function size(sizeGib: number): ModificationWish {
  return { type: null, sizeGib, iops: null, throughputMibps: null, multiAttach: null };
}

test('whatever call fails, a volume that is recorded as larger becomes so', async () => {
  for (let call = 1; ; call += 1) {
    await using world = await World.make();
    const scope = await world.account();
    const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }));
    world.faults.arm(call, call % 2 === 0 ? 'after' : 'before');
    const answered = await modifyVolume(world.ports, scope, volume.id, size(3)).then(
      () => true,
      () => false,
    );
    const fired = world.faults.disarm();
    await world.restartControl();
    await world.control.run('open-volumes');
    const { sizeGib, modification } = await findVolume(world.ports, scope, volume.id);
    assert.equal(world.host.volumes.get(volume.id)?.sizeBytes, sizeGib * GIB_BYTES, `call ${call}: ${fired}`);
    if (answered) assert.equal(sizeGib, 3);
    if (sizeGib === 3) assert.notEqual(modification?.grownAtMs, null);
    if (fired === null) break;
    assert.ok(call < 20);
  }
});

test('a volume on a host that was started anew grows; one that is being deleted is left alone', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }));
  world.host.restart();
  const { status } = await modifyVolume(world.ports, scope, volume.id, size(2));
  assert.equal(status.state, 'modifying');
  assert.equal(world.host.volumes.get(volume.id)?.sizeBytes, 2 * GIB_BYTES);
  await deleteVolume(world.ports, scope, volume.id, { token: null, operation: null });
  await assert.rejects(modifyVolume(world.ports, scope, volume.id, size(3)));
});

test('a snapshot has the size that the volume had when it was cut, and keeps it', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }));
  const { snapshot: before } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await modifyVolume(world.ports, scope, volume.id, size(2));
  world.host.write(volume.id, (2 * GIB_BYTES) / CHUNK_BYTES - 1, 7);
  const { snapshot: after } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await world.settle();
  assert.equal((await findSnapshot(world.ports, scope, before.id)).volumeSizeGib, 1);
  const last = await findSnapshot(world.ports, scope, after.id);
  assert.deepEqual([last.volumeSizeGib, last.fullBytes], [2, CHUNK_BYTES]);
});

test('a volume that was modified under a clock that was ahead is modified again at once', async () => {
  await using world = await World.make({ modificationCountMax: 1 });
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }));
  world.clock.jump(3650 * DAY_MS);
  await modifyVolume(world.ports, scope, volume.id, size(2));
  world.clock.jump(-3650 * DAY_MS);
  const { status } = await modifyVolume(world.ports, scope, volume.id, size(3));
  assert.equal(status.state, 'modifying');
  await assert.rejects(modifyVolume(world.ports, scope, volume.id, size(4)));
});
