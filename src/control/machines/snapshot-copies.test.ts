import assert from 'node:assert/strict';
import { test } from 'node:test';
import { regionName } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import { assertConsistent } from '#control/consistency.fake.ts';
import type { FaultMode } from '#control/fault.fake.ts';
import { diskRequest, refusal } from '#control/request.fake.ts';
import { createSnapshot, deleteSnapshot, findSnapshotByName } from '#control/snapshots.ts';
import { createVolume } from '#control/volumes.ts';
import { World } from '#control/world.fake.ts';
import { VolumeHostError } from '#volume/host.ts';
import { enableAddOn } from './add-ons.ts';
import { createInstances } from './create.ts';
import { attachDisk } from './disks.ts';
import { findInstanceSnapshot } from './instance-snapshot-records.ts';
import { createInstanceSnapshot, deleteInstanceSnapshot } from './instance-snapshots.ts';
import { machinesRequest, makeDisk, systemSnapshot } from './machine.fixture.ts';
import { findInstance } from './records.ts';
import { copyByName, type CopyByName } from './snapshot-copies.ts';

const DAY_MS = 86_400_000;
const NO_TRACE = { token: null, operation: null };

interface Scene extends AsyncDisposable {
  readonly world: World;
  readonly scope: Scope;
  /** Of the same account, in another region. */
  readonly there: Scope;
}

/** A machine `web` with a disk `data`, and a snapshot `web-1` of it; a snapshot `data-1` of a disk `data`. */
async function scene(): Promise<Scene> {
  const world = await World.make({ snapshotIntervalMsMin: 0 });
  const scope = await world.account();
  const there = { ...scope, region: regionName('eu-west-1') };
  await prepare(world, scope);
  return { world, scope, there, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

async function prepare(world: World, scope: Scope): Promise<void> {
  const system = await systemSnapshot(world, scope);
  const request = machinesRequest(scope, system, ['web'], { face: 'ec2' });
  await createInstances(world.ports, scope, request);
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
  await createInstanceSnapshot(world.ports, scope, {
    instance: { name: 'web' },
    name: 'web-1',
    autoDate: null,
    tags: [],
    ...NO_TRACE,
  });
  await createSnapshot(world.ports, scope, {
    face: 'lightsail',
    name: 'data-1',
    volume: { name: 'data' },
    description: '',
    tags: [],
    ...NO_TRACE,
  });
  await world.settle();
}

function copyOf(scope: Scope, source: string, name: string, some: Partial<CopyByName> = {}): CopyByName {
  return {
    sourceRegion: scope.region,
    source: { kind: 'named', name: source },
    name,
    token: null,
    operation: 'CopySnapshot',
    ...some,
  };
}

test('a snapshot of a machine is copied with all its parts, and outlives its source', async () => {
  await using all = await scene();
  const { world, scope, there } = all;
  const { operations } = await copyByName(world.ports, there, copyOf(scope, 'web-1', 'web-copy'));
  assert.deepEqual(
    operations.map((one) => [one.type, one.resourceType, one.resourceName, one.details, one.zone, one.status]),
    [['CopySnapshot', 'InstanceSnapshot', 'web-copy', 'us-east-1:web-1', 'all', 'Started']],
  );
  const pending = await findInstanceSnapshot(world.ports, there, { name: 'web-copy' });
  assert.equal(pending.record.state, 'pending');
  // The source may go at once: its bytes stay until the copy is made.
  await deleteInstanceSnapshot(world.ports, scope, { name: 'web-1' }, NO_TRACE);
  await assert.rejects(
    copyByName(world.ports, there, copyOf(scope, 'web-1', 'late')),
    refusal({ kind: 'not-found', id: 'web-1' }),
  );
  await world.settle();
  const { record } = await findInstanceSnapshot(world.ports, there, { name: 'web-copy' });
  assert.equal(record.state, 'available');
  assert.deepEqual(record.copiedFrom, { name: 'web-1', region: 'us-east-1', isAutomatic: false });
  assert.deepEqual(
    record.parts.map(({ device, diskName }) => [device, diskName]),
    [
      ['/dev/xvda', null],
      ['/dev/xvdf', 'data'],
    ],
  );
  const [ended] = await world.ports.meta.read((tx) => tx.operations.ofSubject(record.id, 'CopySnapshot'));
  assert.equal(ended?.status, 'Succeeded');
  // A machine is made of it, and has what the first one had.
  const [system] = record.parts;
  assert.ok(system !== undefined);
  await createInstances(world.ports, there, machinesRequest(there, system.snapshot, ['again'], { face: 'ec2' }));
  await world.settle();
  const made = await findInstance(world.ports, there, { name: 'again' });
  assert.equal(made.state, 'running');
  const volume = made.attachments[0]?.volume ?? assert.fail('it has a system volume');
  assert.equal(world.host.read(volume, 0)[0], 9);
  const gone = await world.ports.meta.read((tx) => tx.snapshots.inState(['deleting'], { after: 0, countMax: 9 }));
  assert.deepEqual(gone, [], 'what was held for the copy is gone');
  await deleteInstanceSnapshot(world.ports, there, { name: 'web-copy' }, NO_TRACE);
  await world.settle();
  await assertConsistent(world, there, ['web-copy'], 'at the end');
});

test('a snapshot of a disk is copied between regions and within one, and a copy of a copy is one, too', async () => {
  await using all = await scene();
  const { world, scope, there } = all;
  await copyByName(world.ports, there, copyOf(scope, 'data-1', 'far'));
  await copyByName(world.ports, scope, copyOf(scope, 'data-1', 'near'));
  await world.settle();
  await copyByName(world.ports, scope, copyOf(there, 'far', 'back'));
  await world.settle();
  for (const [place, name] of [
    [there, 'far'],
    [scope, 'near'],
    [scope, 'back'],
  ] as const) {
    const copy = await findSnapshotByName(world.ports, place, name);
    assert.deepEqual([copy.state, copy.face, copy.volumeName], ['completed', 'lightsail', 'data']);
    const disk = { ...diskRequest(`of-${name}`, { zone: `${place.region}a`, origin: copy.id }) };
    await createVolume(world.ports, place, disk);
  }
  await deleteSnapshot(world.ports, scope, { name: 'near' }, NO_TRACE);
  await assert.rejects(findSnapshotByName(world.ports, scope, 'near'), refusal({ kind: 'not-found' }));
  await copyByName(world.ports, scope, copyOf(scope, 'data-1', 'near'));
});

test('automatic snapshots are kept by copying them', async () => {
  await using all = await scene();
  const { world, scope, there } = all;
  for (const name of ['web', 'data']) {
    await enableAddOn(world.ports, scope, {
      name,
      addOn: { type: 'auto-snapshot', hour: 6 },
      operation: 'EnableAddOn',
    });
  }
  await world.clock.advance(DAY_MS);
  await world.control.run('run-add-ons');
  const auto = (resourceName: string, selector: { readonly date: string } | 'latest') => ({
    source: { kind: 'auto', resourceName, selector } as const,
  });
  await assert.rejects(
    copyByName(world.ports, scope, copyOf(scope, '', 'early', auto('web', 'latest'))),
    refusal({ kind: 'not-found' }),
    'it is not stored yet',
  );
  await world.settle();
  const { operations } = await copyByName(world.ports, scope, copyOf(scope, '', 'kept', auto('web', 'latest')));
  assert.deepEqual(
    operations.map(({ details }) => details),
    ['us-east-1:web'],
  );
  await copyByName(world.ports, there, copyOf(scope, '', 'kept-data', auto('data', 'latest')));
  await assert.rejects(
    copyByName(world.ports, scope, copyOf(scope, '', 'never', auto('web', { date: '2020-01-01' }))),
    refusal({ kind: 'not-found', id: '2020-01-01' }),
  );
  for (let day = 0; day < 8; day += 1) {
    await world.clock.advance(DAY_MS);
    await world.control.run('run-add-ons');
    await world.settle();
  }
  const { record } = await findInstanceSnapshot(world.ports, scope, { name: 'kept' });
  assert.deepEqual([record.state, record.autoDate, record.copiedFrom?.isAutomatic], ['available', null, true]);
  const disk = await findSnapshotByName(world.ports, there, 'kept-data');
  assert.deepEqual([disk.state, disk.autoDate, disk.copiedFrom?.isAutomatic], ['completed', null, true]);
});

test('what a copy refuses, and that a token makes one', async () => {
  await using all = await scene();
  const { world, scope, there } = all;
  const copy = (name: string, some: Partial<CopyByName> = {}, source = 'web-1') =>
    copyByName(world.ports, there, copyOf(scope, source, name, some));
  await assert.rejects(copy('xx', {}, 'nothing'), refusal({ kind: 'not-found', id: 'nothing' }));
  await assert.rejects(copy('xx', {}, 'web'), refusal({ kind: 'not-found', id: 'web' }), 'an instance is no snapshot');
  await assert.rejects(copy('xx', { sourceRegion: regionName('us-west-2') }), refusal({ kind: 'not-found' }));
  await assert.rejects(copy('-bad'), refusal({ kind: 'invalid-value' }));
  const first = await copy('web-copy', { token: 't' });
  assert.equal((await copy('web-copy', { token: 't' })).copy, first.copy);
  await assert.rejects(copy('other', { token: 't' }), refusal({ kind: 'token-mismatch' }));
  await assert.rejects(copy('web-copy'), refusal({ kind: 'name-taken', name: 'web-copy' }));
  await assert.rejects(
    copyByName(world.ports, there, copyOf(there, 'web-copy', 'xx')),
    refusal({ kind: 'wrong-state' }),
  );
  const stranger = await world.account();
  await assert.rejects(copyByName(world.ports, stranger, copyOf(scope, 'web-1', 'xx')), refusal({ kind: 'not-found' }));
});

test('a copy of which one part fails is in error, and can be deleted; one that is deleted while it is made is gone', async () => {
  await using all = await scene();
  const { world, scope, there } = all;
  world.host.failUploads(new VolumeHostError('damaged', 'a chunk is damaged'));
  const { copy } = await copyByName(world.ports, there, copyOf(scope, 'web-1', 'broken'));
  await world.settle();
  world.host.failUploads(null);
  assert.equal((await findInstanceSnapshot(world.ports, there, { name: 'broken' })).record.state, 'error');
  const [operation] = await world.ports.meta.read((tx) => tx.operations.ofSubject(copy, 'CopySnapshot'));
  assert.equal(operation?.status, 'Failed');
  await deleteInstanceSnapshot(world.ports, there, { name: 'broken' }, NO_TRACE);
  await copyByName(world.ports, there, copyOf(scope, 'web-1', 'brief'));
  await deleteInstanceSnapshot(world.ports, there, { name: 'brief' }, NO_TRACE);
  await world.settle();
  await assertConsistent(world, there, ['broken', 'brief'], 'at the end');
});

for (const mode of ['before', 'after'] as const) {
  test(`a copy leaves nothing half done when a call fails ${mode} it happens`, async () => {
    let call = 1;
    while (await survives(call, mode)) {
      call += 1;
      assert.ok(call < 80, 'there is a bounded number of calls');
    }
    assert.ok(call > 8, 'calls of the request and of the upload failed');
  });
}

/** Whether a call failed: false when there were fewer. */
async function survives(call: number, mode: FaultMode): Promise<boolean> {
  await using all = await scene();
  const { world, scope, there } = all;
  world.faults.arm(call, mode);
  const request = copyOf(scope, 'web-1', 'web-copy', { token: 'once' });
  const outcome = await copyByName(world.ports, there, request).then(
    () => 'answered',
    () => 'failed',
  );
  await world.control.run('upload-snapshots').catch(() => {});
  const fired = world.faults.disarm();
  // Sometimes the process dies with it.
  if (call % 2 === 0) await world.restartControl();
  await world.settle();
  const where = `call ${call} (${fired}) failing ${mode}, ${outcome}`;
  const made = await copyByName(world.ports, there, request);
  await world.settle();
  await assertConsistent(world, there, [], where);
  const { record } = await findInstanceSnapshot(world.ports, there, { name: 'web-copy' });
  assert.deepEqual([record.id, record.state, record.parts.length], [made.copy, 'available', 2], where);
  return fired !== null;
}
