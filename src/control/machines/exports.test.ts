import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertConsistent } from '#control/consistency.fake.ts';
import type { FaultMode } from '#control/fault.fake.ts';
import { refusal } from '#control/request.fake.ts';
import { createSnapshot, deleteSnapshot, findSnapshot, findSnapshotByName } from '#control/snapshots.ts';
import { World } from '#control/world.fake.ts';
import type { Scope } from '#domain/volume.ts';
import { VolumeHostError } from '#volume/host.ts';
import { createInstances } from './create.ts';
import { attachDisk } from './disks.ts';
import { exportSnapshot, listExports } from './exports.ts';
import { deregisterImage, findImage } from './images.ts';
import { createInstanceSnapshot, deleteInstanceSnapshot } from './instance-snapshots.ts';
import { machinesRequest, makeDisk, systemSnapshot } from './machine.fixture.ts';
import { findInstance } from './records.ts';

const NO_TRACE = { token: null, operation: null };

interface Scene extends AsyncDisposable {
  readonly world: World;
  readonly scope: Scope;
}

/** A snapshot `web-1` of a machine with a disk, and a snapshot `data-1` of the disk. */
async function scene(): Promise<Scene> {
  const world = await World.make({ snapshotIntervalMsMin: 0 });
  const scope = await world.account();
  const system = await systemSnapshot(world, scope);
  await createInstances(
    world.ports,
    scope,
    machinesRequest(scope, system, ['web'], { face: 'ec2', bundle: 't3.nano' }),
  );
  await makeDisk(world, scope, 'data');
  await world.settle();
  await attachDisk(world.ports, scope, {
    volume: { name: 'data' },
    instance: { name: 'web' },
    device: '/dev/xvdf',
    deleteOnTermination: false,
    operation: null,
  });
  await world.settle();
  const whole = { instance: { name: 'web' }, name: 'web-1', autoDate: null, tags: [], ...NO_TRACE };
  await createInstanceSnapshot(world.ports, scope, whole);
  const disk = { face: 'lightsail', name: 'data-1', volume: { name: 'data' }, description: '', tags: [] } as const;
  await createSnapshot(world.ports, scope, { ...disk, ...NO_TRACE });
  await world.settle();
  return { world, scope, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

const asked = (name: string, token: string | null = null) => ({ name, token, operation: 'ExportSnapshot' });

test('a snapshot of a machine is exported as an image of snapshots, of which machines are made', async () => {
  await using all = await scene();
  const { world, scope } = all;
  const { record, operations } = await exportSnapshot(world.ports, scope, asked('web-1'));
  assert.deepEqual(
    operations.map((one) => [one.type, one.resourceType, one.resourceName, one.details, one.status]),
    [['ExportSnapshot', 'ExportSnapshotRecord', record.name, 'web-1', 'Started']],
  );
  assert.equal(record.state, 'Started');
  const image = record.image ?? assert.fail('a machine has an image');
  assert.equal((await findImage(world.ports, scope, image)).state, 'pending');
  // The source may go: what it holds stays until the export is done.
  await deleteInstanceSnapshot(world.ports, scope, { name: 'web-1' }, NO_TRACE);
  await world.settle();
  const { records } = await listExports(world.ports, scope, { after: null, countMax: 10 });
  assert.deepEqual(
    records.map(({ id, state, source }) => [id, state, source.name]),
    [[record.id, 'Succeeded', 'web-1']],
  );
  const [operation] = await world.ports.meta.read((tx) => tx.operations.ofSubject(record.id, 'ExportSnapshot'));
  assert.equal(operation?.status, 'Succeeded');
  const seen = await findImage(world.ports, scope, image);
  assert.equal(seen.state, 'available');
  assert.deepEqual(
    seen.image.devices.map(({ device, snapshot, sizeGib }) => [device, snapshot, sizeGib]),
    [
      ['/dev/xvda', record.snapshots[0], 2],
      ['/dev/xvdf', record.snapshots[1], 8],
    ],
  );
  const [system] = record.snapshots;
  assert.ok(system !== undefined);
  const some = { face: 'ec2', bundle: 't3.nano' } as const;
  await createInstances(world.ports, scope, machinesRequest(scope, system, ['of-export'], some));
  await world.settle();
  const { state, attachments } = await findInstance(world.ports, scope, { name: 'of-export' });
  assert.equal(state, 'running');
  assert.equal(world.host.read(attachments[0]?.volume ?? assert.fail('it has a system volume'), 0)[0], 9);
  for (const id of record.snapshots) {
    const made = await findSnapshot(world.ports, scope, id);
    assert.deepEqual([made.face, made.state, made.partOf], ['ec2', 'completed', null]);
    await assert.rejects(deleteSnapshot(world.ports, scope, id, NO_TRACE), refusal({ kind: 'in-use' }));
  }
  await deregisterImage(world.ports, scope, image);
  for (const id of record.snapshots) await deleteSnapshot(world.ports, scope, id, NO_TRACE);
  const after = await listExports(world.ports, scope, { after: null, countMax: 10 });
  assert.equal(after.records[0]?.state, 'Succeeded', 'what became of it later does not change what was done');
});

test('a snapshot of a disk is exported as a snapshot; one that fails or is deleted meanwhile is a failed export', async () => {
  await using all = await scene();
  const { world, scope } = all;
  const first = await exportSnapshot(world.ports, scope, asked('data-1', 'once'));
  assert.equal((await exportSnapshot(world.ports, scope, asked('data-1', 'once'))).record.id, first.record.id);
  assert.equal(first.record.image, null);
  await world.settle();
  const deleted = await exportSnapshot(world.ports, scope, asked('data-1'));
  await deleteSnapshot(world.ports, scope, deleted.record.snapshots[0] ?? assert.fail('it has one'), NO_TRACE);
  const broken = await exportSnapshot(world.ports, scope, asked('data-1'));
  world.host.failUploads(new VolumeHostError('damaged', 'a chunk is damaged'));
  await world.settle();
  world.host.failUploads(null);
  const { records } = await listExports(world.ports, scope, { after: null, countMax: 10 });
  assert.deepEqual(
    records.map(({ state }) => state),
    ['Succeeded', 'Failed', 'Failed'],
  );
  const [operation] = await world.ports.meta.read((tx) => tx.operations.ofSubject(broken.record.id, 'ExportSnapshot'));
  assert.deepEqual([operation?.status, operation?.errorCode], ['Failed', 'ExportFailed']);
  const source = await findSnapshotByName(world.ports, scope, 'data-1');
  assert.equal(source.state, 'completed', 'the source is as it was');
  await assert.rejects(exportSnapshot(world.ports, scope, asked('nothing')), refusal({ kind: 'not-found' }));
  await assert.rejects(exportSnapshot(world.ports, scope, asked('web')), refusal({ kind: 'not-found' }));
});

test('an export leaves nothing half done when the server dies after any call', async () => {
  let call = 1;
  while (await survives(call, 'after')) {
    call += 1;
    assert.ok(call < 80, 'there is a bounded number of calls');
  }
  assert.ok(call > 8, 'calls of the request and of the upload failed');
});

async function survives(call: number, mode: FaultMode): Promise<boolean> {
  await using all = await scene();
  const { world, scope } = all;
  world.faults.arm(call, mode);
  const outcome = await exportSnapshot(world.ports, scope, asked('web-1', 'once')).then(
    () => 'answered',
    () => 'failed',
  );
  await world.control.run('upload-snapshots').catch(() => {});
  const fired = world.faults.disarm();
  await world.restartControl();
  await world.settle();
  const where = `call ${call} (${fired}) failing ${mode}, ${outcome}`;
  const { record } = await exportSnapshot(world.ports, scope, asked('web-1', 'once'));
  await world.settle();
  await assertConsistent(world, scope, ['data-1'], where);
  const { records } = await listExports(world.ports, scope, { after: null, countMax: 10 });
  assert.deepEqual(
    records.map(({ id, state }) => [id, state]),
    [[record.id, 'Succeeded']],
    where,
  );
  return fired !== null;
}
