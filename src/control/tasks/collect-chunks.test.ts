import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSnapshot } from '#control/direct-write.ts';
import { snapshotRequest, volumeRequest } from '#control/request.fake.ts';
import { createSnapshot } from '#control/snapshots.ts';
import { createVolume, deleteVolume } from '#control/volumes.ts';
import { World } from '#control/world.fake.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';

async function restoredFrom(world: World, scope: Scope, origin: SnapshotId): Promise<VolumeId> {
  return (await createVolume(world.ports, scope, { ...volumeRequest(), origin })).volume.id;
}

async function snapshotted(world: World, scope: Scope): Promise<SnapshotId> {
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await world.settle();
  return snapshot.id;
}

test('nothing is collected while a restored volume is not on disk, and again once it is', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const restored = await restoredFrom(world, scope, await snapshotted(world, scope));
  await world.control.run('collect-chunks');
  assert.equal(world.host.collectCount, 1);
  const bytes = world.host.volumes.get(restored);
  assert.ok(bytes !== undefined);
  world.host.restart();
  world.host.volumes.delete(restored);
  await world.control.run('open-volumes'); // It is in state `error` now.
  await assert.rejects(world.control.run('collect-chunks'), { kind: 'volume-not-found' });
  assert.equal(world.host.collectCount, 1);
  world.host.volumes.set(restored, bytes);
  await world.control.run('collect-chunks');
  assert.equal(world.host.collectCount, 2);
  world.host.volumes.delete(restored);
  await deleteVolume(world.ports, scope, restored, { token: null, operation: null });
  await world.control.run('collect-chunks');
  assert.equal(world.host.collectCount, 3);
});

test('the draft of a snapshot that is made block by block counts as well', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const parent = await snapshotted(world, scope);
  const before = new Set(world.host.volumes.keys());
  const request = { sizeGib: 8, description: '', tags: [], token: null, timeoutMinutes: null };
  await startSnapshot(world.ports, scope, { ...request, parent });
  const draft = [...world.host.volumes.keys()].find((id) => !before.has(id));
  assert.ok(draft !== undefined);
  world.host.volumes.delete(draft);
  await assert.rejects(world.control.run('collect-chunks'), { kind: 'volume-not-found' });
});
