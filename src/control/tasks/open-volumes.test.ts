import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rootAccount } from '#control/access.ts';
import { diskRequest, refusal, snapshotRequest, volumeRequest } from '#control/request.fake.ts';
import { createSnapshot, deleteSnapshot, findSnapshot } from '#control/snapshots.ts';
import { createVolume, deleteVolume, findVolume } from '#control/volumes.ts';
import { createInstances } from '#control/machines/create.ts';
import { stopInstance } from '#control/machines/power.ts';
import { machinesRequest, systemSnapshot } from '#control/machines/machine.fixture.ts';
import { World } from '#control/world.fake.ts';
import type { VolumeId } from '#domain/ids.ts';
import type { HydrationStatus } from '#volume/host.ts';
import { openVolumes } from './open-volumes.ts';

const HYDRATED: HydrationStatus = {
  state: 'hydrated',
  reason: null,
  presentBytes: 1,
  totalBytes: 1,
  bytesPerSecond: 0,
  bytesPerSecondMax: 1,
  isOwnRate: false,
  remainingSeconds: 0,
  detached: false,
};

test('every volume is open again after the host was started anew', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const ids = [];
  for (let index = 0; index < 3; index += 1) {
    ids.push((await createVolume(world.ports, scope, volumeRequest())).volume.id);
  }
  world.host.restart();
  assert.deepEqual(await world.host.status(ids), []);
  const report = await world.control.run('open-volumes');
  assert.deepEqual(report, { done: 3, failed: 0, remaining: 0 });
  assert.equal((await world.host.status(ids)).length, 3);
  assert.deepEqual(await world.control.run('open-volumes'), { done: 0, failed: 0, remaining: 0 });
});

/** Volumes in the order in which they are opened; `onOpen` is called before each. */
function watchOpened(world: World, onOpen: (count: number) => void = () => {}): readonly VolumeId[] {
  const opened: VolumeId[] = [];
  const open = world.host.open.bind(world.host);
  world.host.open = async (volume, ...rest) => {
    opened.push(volume);
    onOpen(opened.length);
    return await open(volume, ...rest);
  };
  return opened;
}

test('volumes of machines that run are opened first, then those that had clients, then the rest', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const plain = (await createVolume(world.ports, scope, volumeRequest())).volume.id;
  const used = (await createVolume(world.ports, scope, volumeRequest())).volume.id;
  const snapshot = await systemSnapshot(world, scope);
  const made = await createInstances(world.ports, scope, machinesRequest(scope, snapshot, ['rests', 'runs']));
  const [rests, runs] = made.instances.map(({ attachments }) => attachments[0]?.volume);
  assert.ok(rests !== undefined && runs !== undefined);
  await world.settle();
  await stopInstance(world.ports, scope, { name: 'rests' }, { force: true, operation: null });
  await world.settle();
  const inMemory = world.host.volumes.get(used);
  assert.ok(inMemory !== undefined);
  inMemory.clientCount = 1;
  await world.control.run('open-volumes');
  world.host.restart();
  const opened = watchOpened(world);
  await world.control.run('open-volumes');
  const places = [runs, used, plain, rests].map((id) => opened.indexOf(id));
  assert.deepEqual(places.slice(0, 2), [0, 1]);
  assert.ok(Math.min(...places.slice(2)) > 1, 'each is opened');
  assert.equal(opened.length, new Set(opened).size, 'once');
});

test('a machine does not wait for the rest when the host dies again while that is opened', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const snapshot = await systemSnapshot(world, scope);
  const restCount = 250;
  for (let index = 0; index < restCount; index += 1) {
    await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }));
  }
  const made = await createInstances(world.ports, scope, machinesRequest(scope, snapshot, ['runs']));
  const system = made.instances[0]?.attachments[0]?.volume;
  assert.ok(system !== undefined);
  await world.settle();
  world.host.restart();
  const opened = watchOpened(world, (count) => {
    if (count === 100) world.host.restart();
  });
  await world.control.run('open-volumes');
  assert.equal(opened[0], system);
  const again = opened.lastIndexOf(system);
  assert.ok(again > 100 && again < 220, `opened again as number ${again} of ${opened.length}`);
});

test('a volume that failed is opened again, by the task or by the request that needs it', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  world.host.fail(volume.id);
  assert.deepEqual(await world.control.run('open-volumes'), { done: 1, failed: 0, remaining: 0 });
  assert.equal((await world.host.status([volume.id]))[0]?.failure, null);
  world.host.fail(volume.id);
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  world.host.fail(volume.id);
  await world.control.run('upload-snapshots');
  assert.equal((await findSnapshot(world.ports, scope, snapshot.id)).state, 'completed');
});

test('a volume whose bytes are gone is in error, cannot be snapshotted, and can be deleted', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, diskRequest('lost'));
  const bytes = world.host.volumes.get(volume.id);
  assert.ok(bytes !== undefined);
  world.host.restart();
  world.host.volumes.delete(volume.id);
  await world.control.run('open-volumes');
  assert.equal((await findVolume(world.ports, scope, volume.id)).state, 'error');
  await assert.rejects(
    createSnapshot(world.ports, scope, snapshotRequest(volume.id)),
    refusal({ kind: 'wrong-state', state: 'error' }),
  );
  // Somebody brings the directory back.
  world.host.volumes.set(volume.id, bytes);
  await world.control.run('open-volumes');
  assert.equal((await findVolume(world.ports, scope, volume.id)).state, 'available');
  world.host.volumes.delete(volume.id);
  await deleteVolume(world.ports, scope, volume.id, { token: null, operation: null });
});

test('a request right after a start of the host does not wait for its volume to be opened', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  world.host.restart();
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  world.host.restart();
  await world.control.run('upload-snapshots');
  assert.equal((await findSnapshot(world.ports, scope, snapshot.id)).state, 'completed');
});

test('reconcilers that run by themselves bring a snapshot to its end', async () => {
  await using world = await World.make();
  void world.control.start();
  const root = await rootAccount(world.ports);
  assert.deepEqual(await rootAccount(world.ports), root);
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  world.host.write(volume.id, 0, 1);
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await findSnapshot(world.ports, scope, snapshot.id)).state, 'completed');
  assert.equal(world.host.collectCount, 0);
  await deleteVolume(world.ports, scope, volume.id, { token: null, operation: null });
});

test('when a volume lets go of a snapshot that was deleted, what that held is collected', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await world.settle();
  const restored = await createVolume(world.ports, scope, { ...volumeRequest(), origin: snapshot.id });
  const other = await createVolume(world.ports, scope, { ...volumeRequest(), origin: snapshot.id });
  const woken: string[] = [];
  const task = openVolumes({ ...world.ports, wake: (name) => void woken.push(name) });
  const look = async (...detached: readonly boolean[]): Promise<readonly string[]> => {
    for (const [at, { volume: of }] of [restored, other].entries()) {
      world.host.hydrations.set(of.id, { ...HYDRATED, detached: detached[at] ?? false });
    }
    await task.activate(new AbortController().signal);
    return woken.splice(0);
  };
  assert.deepEqual(await look(false, false), []);
  assert.deepEqual(await look(true, false), [], 'the snapshot is there');
  await deleteSnapshot(world.ports, scope, snapshot.id, { token: null, operation: null });
  assert.deepEqual(await look(true, false), []);
  assert.deepEqual(await look(true, true), ['collect-chunks']);
  assert.deepEqual(await look(true, true), [], 'once');
});
