import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError } from '#domain/errors.ts';
import { newSnapshotId, type SnapshotId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import type { Scope } from '#domain/volume.ts';
import { Intents } from '#control/intents.ts';
import { createSnapshot, deleteSnapshot, findSnapshot, listSnapshots } from '#control/snapshots.ts';
import { deleteVolume, findVolumeByName } from '#control/volumes.ts';
import { isListedByName, type Snapshot } from '#domain/snapshot.ts';
import { World } from '#control/world.fake.ts';
import type { VolumeHost } from '#volume/host.ts';
import { ADD_ONS, addOnsOf, enableAddOn, disableAddOn } from './add-ons.ts';
import { autoDiskSnapshotsOf, autoSnapshotsOfMachine } from './auto-snapshots.ts';
import { createInstances } from './create.ts';
import { attachDisk } from './disks.ts';
import { findInstanceSnapshot, listInstanceSnapshots } from './instance-snapshot-records.ts';
import { createInstanceSnapshot, deleteInstanceSnapshot } from './instance-snapshots.ts';
import { machinesRequest, makeDisk, systemSnapshot } from './machine.fixture.ts';
import { deleteInstance, startInstance, stopInstance } from './power.ts';
import { findInstance } from './records.ts';

const ZONE = 'us-east-1a';
const DAY_MS = 86_400_000;

interface Scene {
  readonly world: World;
  readonly scope: Scope;
  readonly system: SnapshotId;
}

/** An account with a completed snapshot that machines are made of. */
async function scene(): Promise<Scene & AsyncDisposable> {
  const world = await World.make({ snapshotIntervalMsMin: 0 });
  const scope = await world.account();
  const system = await systemSnapshot(world, scope);
  return { world, scope, system, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

async function machine(
  { world, scope, system }: Scene,
  name: string,
  disks: readonly string[] = [],
): Promise<Instance> {
  await createInstances(world.ports, scope, machinesRequest(scope, system, [name]));
  await world.settle();
  for (const [at, one] of disks.entries()) {
    await makeDisk(world, scope, one);
    await attachDisk(world.ports, scope, {
      volume: { name: one },
      instance: { name },
      device: `/dev/xvd${String.fromCodePoint(102 + at)}`,
      deleteOnTermination: false,
      operation: null,
    });
    await world.settle();
  }
  return await findInstance(world.ports, scope, { name });
}

const request = (name: string, instance: string) => ({
  instance: { name: instance },
  name,
  autoDate: null,
  tags: [],
  token: null,
  operation: 'CreateInstanceSnapshot',
});

test('a machine is cut as a whole while its guest holds still, and is available when all its volumes are stored', async () => {
  await using all = await scene();
  const { world, scope } = all;
  const made = await machine(all, 'web', ['data', 'logs']);
  const { snapshot, operations } = await createInstanceSnapshot(world.ports, scope, request('web-1', 'web'));
  assert.equal(snapshot.state, 'pending');
  assert.equal(snapshot.consistency, 'filesystem');
  assert.equal(world.hypervisor.guest(made.id).frozen, false, 'the guest goes on');
  assert.deepEqual(
    operations.map(({ resourceType, resourceName, details, zone, status }) => [
      resourceType,
      resourceName,
      details,
      zone,
      status,
    ]),
    [
      ['InstanceSnapshot', 'web-1', 'web', 'all', 'Started'],
      ['Instance', 'web', 'web-1', ZONE, 'Started'],
    ],
  );
  assert.deepEqual(
    snapshot.parts.map(({ device, diskName }) => [device, diskName]),
    [
      ['/dev/xvda', null],
      ['/dev/xvdf', 'data'],
      ['/dev/xvdg', 'logs'],
    ],
  );
  const cuts = new Set<string>();
  for (const part of snapshot.parts) cuts.add((await findSnapshot(world.ports, scope, part.snapshot)).cut);
  assert.equal(cuts.size, 1, 'one cut of all volumes');
  await world.settle();
  const seen = await findInstanceSnapshot(world.ports, scope, { name: 'web-1' });
  assert.equal(seen.record.state, 'available');
  assert.equal(seen.progressPercent, 100);
  const ended = await world.ports.meta.read((tx) => tx.operations.ofSubject(snapshot.id, 'CreateInstanceSnapshot'));
  assert.deepEqual(
    ended.map(({ status }) => status),
    ['Succeeded', 'Succeeded'],
  );
  // Its parts are nobody's disk snapshots, and go with it only.
  const { snapshots } = await listSnapshots(world.ports, scope, {
    ids: null,
    face: 'lightsail',
    after: null,
    countMax: 100,
    match: isListedByName,
  });
  assert.deepEqual(snapshots, []);
  const part = snapshot.parts[1]?.snapshot ?? assert.fail('it has a second part');
  await assert.rejects(
    deleteSnapshot(world.ports, scope, part, { token: null, operation: null }),
    (error) => error instanceof DomainError && error.failure.kind === 'in-use',
  );
});

test('a guest that cannot hold still, or a machine that is stopped or killed, is snapshotted all the same', async () => {
  await using all = await scene();
  const { world, scope } = all;
  for (const agent of ['missing', 'refuses'] as const) {
    world.hypervisor.guests.agent = agent;
    await machine(all, `guest-${agent}`);
    const { snapshot } = await createInstanceSnapshot(world.ports, scope, request(`of-${agent}`, `guest-${agent}`));
    assert.equal(snapshot.consistency, 'crash');
    assert.notEqual(snapshot.consistencyNote, null);
  }
  world.hypervisor.guests.agent = 'works';
  await machine(all, 'stopped');
  await stopInstance(world.ports, scope, { name: 'stopped' }, { force: false, operation: null });
  await world.settle();
  const clean = await createInstanceSnapshot(world.ports, scope, request('of-stopped', 'stopped'));
  assert.equal(clean.snapshot.consistency, 'filesystem');
  const shut = await machine(all, 'shut');
  world.hypervisor.shutDown(shut.id);
  await world.settle();
  const ofShut = await createInstanceSnapshot(world.ports, scope, request('of-shut', 'shut'));
  assert.equal(ofShut.snapshot.consistency, 'filesystem', 'its guest wrote all it had');
  await machine(all, 'forced');
  await stopInstance(world.ports, scope, { name: 'forced' }, { force: true, operation: null });
  await world.settle();
  const ofForced = await createInstanceSnapshot(world.ports, scope, request('of-forced', 'forced'));
  assert.equal(ofForced.snapshot.consistency, 'crash', 'its guest was not asked');
  const killed = await machine(all, 'killed');
  world.hypervisor.kill(killed.id);
  await world.settle();
  const crashed = await createInstanceSnapshot(world.ports, scope, request('of-killed', 'killed'));
  assert.equal(crashed.snapshot.consistency, 'crash');
});

test('a machine that is started while it is cut is not said to have been at rest', async () => {
  await using all = await scene();
  const { world, scope } = all;
  await machine(all, 'web');
  await stopInstance(world.ports, scope, { name: 'web' }, { force: false, operation: null });
  await world.settle();
  const { ports } = world;
  const host: VolumeHost = {
    ...ports.host,
    cut: async (...cut) => {
      await startInstance(ports, scope, { name: 'web' }, null);
      return await ports.host.cut(...cut);
    },
  };
  const { snapshot } = await createInstanceSnapshot({ ...ports, host }, scope, request('web-1', 'web'));
  assert.equal(snapshot.consistency, 'crash');
  assert.match(snapshot.consistencyNote ?? '', /started/);
});

test('a disk that comes while a snapshot begins is no reason to refuse it', async () => {
  await using all = await scene();
  const { world, scope } = all;
  await machine(all, 'web');
  await makeDisk(world, scope, 'late');
  let runs = 0;
  class Racing extends Intents {
    override async run<R>(id: string, work: () => Promise<R>): Promise<R> {
      runs += 1;
      // Of the whole the first, of its parts the others: the machine was looked at between them.
      if (runs === 2) {
        await attachDisk(world.ports, scope, {
          ...{ instance: { name: 'web' }, volume: { name: 'late' }, device: '/dev/xvdh' },
          ...{ deleteOnTermination: false, operation: null },
        });
      }
      return await super.run(id, work);
    }
  }
  const ports = { ...world.ports, intents: new Racing() };
  const { snapshot } = await createInstanceSnapshot(ports, scope, request('web-1', 'web'));
  assert.deepEqual(
    snapshot.parts.map(({ device }) => device),
    ['/dev/xvda', '/dev/xvdh'],
  );
});

test('a snapshot that fails leaves nothing: no name, no parts, and a guest that goes on', async () => {
  await using all = await scene();
  const { world, scope } = all;
  const made = await machine(all, 'web', ['data']);
  const before = await world.ports.meta.read((tx) => tx.snapshots.count(scope));
  await assert.rejects(createInstanceSnapshot(world.ports, scope, request('-bad', 'web')), DomainError);
  await assert.rejects(createInstanceSnapshot(world.ports, scope, request('data', 'web')), DomainError);
  await assert.rejects(createInstanceSnapshot(world.ports, scope, request('web-1', 'nobody')), DomainError);
  assert.equal(await world.ports.meta.read((tx) => tx.snapshots.count(scope)), before);
  assert.equal(world.hypervisor.guest(made.id).frozen, false);
  await createInstanceSnapshot(world.ports, scope, request('web-1', 'web'));
});

test('the same request again makes no second snapshot; a deletion takes all parts and frees the name', async () => {
  await using all = await scene();
  const { world, scope } = all;
  await machine(all, 'web', ['data']);
  const first = await createInstanceSnapshot(world.ports, scope, { ...request('web-1', 'web'), token: 't' });
  const again = await createInstanceSnapshot(world.ports, scope, { ...request('web-1', 'web'), token: 't' });
  assert.equal(again.snapshot.id, first.snapshot.id);
  await world.settle();
  await deleteInstanceSnapshot(
    world.ports,
    scope,
    { name: 'web-1' },
    { token: null, operation: 'DeleteInstanceSnapshot' },
  );
  await world.settle();
  for (const { snapshot } of first.snapshot.parts) {
    assert.equal(await world.ports.meta.read((tx) => tx.snapshots.find(snapshot)), null);
  }
  const { snapshots } = await listInstanceSnapshots(world.ports, scope, { after: null, countMax: 10 });
  assert.deepEqual(snapshots, []);
  await createInstanceSnapshot(world.ports, scope, request('web-1', 'web'));
});

test('machines and disks made of a snapshot do not need it any more', async () => {
  await using all = await scene();
  const { world, scope } = all;
  await machine(all, 'web', ['data']);
  const { snapshot } = await createInstanceSnapshot(world.ports, scope, request('web-1', 'web'));
  await world.settle();
  const [system, data] = snapshot.parts;
  assert.ok(system !== undefined && data !== undefined);
  const machines = ['one', 'two'].map((name) => ({
    name,
    disks: [
      { name: `${name}-data`, origin: data.snapshot, sizeGib: 8, device: data.device, deleteOnTermination: false },
    ],
  }));
  await createInstances(world.ports, scope, { ...machinesRequest(scope, system.snapshot, []), machines });
  await world.settle();
  await deleteInstanceSnapshot(world.ports, scope, { name: 'web-1' }, { token: null, operation: null });
  await world.settle();
  for (const name of ['one', 'two']) {
    const made = await findInstance(world.ports, scope, { name });
    assert.equal(made.state, 'running');
    assert.equal(made.attachments.length, 2);
    assert.equal((await findVolumeByName(world.ports, scope, `${name}-data`)).state, 'available');
  }
});

test('automatic snapshots: one a day, the last seven kept, none without the add-on, none left of a machine that is gone', async () => {
  await using all = await scene();
  const { world, scope } = all;
  const made = await machine(all, 'web');
  await enableAddOn(world.ports, scope, {
    name: 'web',
    addOn: { type: 'auto-snapshot', hour: 6 },
    operation: 'EnableAddOn',
  });
  const dates = async (): Promise<readonly string[]> =>
    (await autoSnapshotsOfMachine(world.ports, scope, made.id)).map(({ date }) => date);
  for (let day = 0; day < 9; day += 1) {
    await world.clock.advance(DAY_MS);
    await world.control.run('run-add-ons');
    await world.control.run('run-add-ons');
    await world.settle();
    assert.equal((await dates()).length, Math.min(day + 1, 7));
  }
  assert.deepEqual(await dates(), (await dates()).toSorted().toReversed());
  await disableAddOn(world.ports, scope, { name: 'web', type: 'auto-snapshot', operation: 'DisableAddOn' });
  const before = await dates();
  await world.clock.advance(DAY_MS);
  await world.control.run('run-add-ons');
  assert.deepEqual(await dates(), before);
  await deleteInstance(world.ports, scope, { name: 'web' }, { operation: null, token: null });
  await world.settle();
  await world.control.run('run-add-ons');
  assert.deepEqual(await dates(), []);
});

test('automatic snapshots of a disk go with it, also when none were to be made any more; a long name does not keep one away', async () => {
  await using all = await scene();
  const { world, scope } = all;
  const { ports } = world;
  await makeDisk(world, scope, 'data');
  const long = 'n'.repeat(255);
  const made = await machine(all, long);
  const addOn = { type: 'auto-snapshot', hour: 6 } as const;
  for (const name of ['data', long]) await enableAddOn(ports, scope, { name, addOn, operation: 'EnableAddOn' });
  await world.clock.advance(DAY_MS);
  await world.control.run('run-add-ons');
  const { id } = await findVolumeByName(ports, scope, 'data');
  assert.equal((await autoDiskSnapshotsOf(ports, scope, id)).length, 1);
  assert.equal((await autoSnapshotsOfMachine(ports, scope, made.id)).length, 1);
  await disableAddOn(ports, scope, { name: 'data', type: 'auto-snapshot', operation: 'DisableAddOn' });
  await deleteVolume(ports, scope, { name: 'data' }, { token: null, operation: null });
  await world.control.run('run-add-ons');
  await world.settle();
  assert.deepEqual(await autoDiskSnapshotsOf(ports, scope, id), []);
});

test('automatic snapshots go on every day under a clock that jumps, and the newest stay', async () => {
  await using all = await scene();
  const { world, scope } = all;
  const made = await machine(all, 'web');
  const addOn = { type: 'auto-snapshot', hour: 6 } as const;
  await enableAddOn(world.ports, scope, { name: 'web', addOn, operation: 'EnableAddOn' });
  const ids: string[] = [];
  for (let day = 0; day < 12; day += 1) {
    if (day === 2) world.clock.jump(40 * DAY_MS);
    if (day === 3) world.clock.jump(-70 * DAY_MS);
    await world.clock.advance(DAY_MS);
    await world.control.run('run-add-ons');
    await world.settle();
    const [newest] = await autoSnapshotsOfMachine(world.ports, scope, made.id);
    assert.ok(newest !== undefined && !ids.includes(newest.id), `one was made on day ${day}`);
    ids.push(newest.id);
  }
  const left = await autoSnapshotsOfMachine(world.ports, scope, made.id);
  assert.deepEqual(
    left.map(({ id }) => id),
    ids.slice(-7).toReversed(),
  );
});

test('a snapshot that was made for the day, and deleted before that was noted, is not tried again and again', async () => {
  await using all = await scene();
  const { world, scope } = all;
  const { ports } = world;
  const made = await machine(all, 'web');
  const addOn = { type: 'auto-snapshot', hour: 6 } as const;
  await enableAddOn(ports, scope, { name: 'web', addOn, operation: 'EnableAddOn' });
  await world.clock.advance(DAY_MS);
  const lastDate = async (): Promise<string | null | undefined> =>
    (await ports.meta.read((tx) => addOnsOf(tx, scope, made.id)))?.autoSnapshot?.lastDate;
  const before = await ports.meta.read((tx) => addOnsOf(tx, scope, made.id));
  await world.control.run('run-add-ons');
  const date = await lastDate();
  // As if the server had died in between.
  await ports.meta.transact((tx) => tx.documents.update(ADD_ONS, scope, before ?? assert.fail()));
  const [first] = await autoSnapshotsOfMachine(ports, scope, made.id);
  assert.ok(first?.type === 'Instance');
  await deleteInstanceSnapshot(ports, scope, first.id, { token: null, operation: null });
  await world.control.run('run-add-ons');
  assert.equal(await lastDate(), date);
  assert.deepEqual(await autoSnapshotsOfMachine(ports, scope, made.id), []);
});

test('automatic snapshots of a disk are found behind thousands that somebody asked for', async () => {
  await using all = await scene();
  const { world, scope } = all;
  const { ports } = world;
  await makeDisk(world, scope, 'data');
  const { id: volume } = await findVolumeByName(ports, scope, 'data');
  const make = async (autoDate?: string): Promise<Snapshot> => {
    const asked = { volume, description: '', tags: [], token: null, operation: null, name: null } as const;
    const auto = autoDate === undefined ? {} : { autoDate };
    const { snapshot } = await createSnapshot(ports, scope, { ...asked, ...auto, face: 'lightsail' });
    await world.settle();
    return await findSnapshot(ports, scope, snapshot.id);
  };
  const plain = await make();
  await ports.meta.transact(async (tx) => {
    for (let count = 0; count < 1200; count += 1)
      await tx.snapshots.insert({ ...plain, id: newSnapshotId(world.random) });
  });
  const auto = await make('2026-01-02');
  assert.deepEqual(
    (await autoDiskSnapshotsOf(ports, scope, volume)).map(({ id }) => id),
    [auto.id],
  );
});
