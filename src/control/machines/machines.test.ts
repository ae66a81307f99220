import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { newInstanceId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import { FAKE_WITHOUT_QEMU } from '#machine/hypervisor.fake.ts';
import { HypervisorError } from '#machine/hypervisor.ts';
import { findOperation } from '#control/operations.ts';
import { refusal } from '#control/request.fake.ts';
import { shareSnapshot } from '#control/snapshot-sharing.ts';
import { deleteSnapshot } from '#control/snapshots.ts';
import { deleteVolume, findVolume, listVolumes } from '#control/volumes.ts';
import { World } from '#control/world.fake.ts';
import { createInstances } from './create.ts';
import { machinesRequest, systemSnapshot } from './machine.fixture.ts';
import {
  deleteInstance,
  rebootInstance,
  rebootInstances,
  startInstance,
  startInstances,
  stopInstance,
  stopInstances,
} from './power.ts';
import { findInstance, listInstances } from './records.ts';

async function openWorld(): Promise<{ world: World; scope: Scope; [Symbol.asyncDispose](): Promise<void> }> {
  const world = await World.make();
  const scope = await world.account();
  return { world, scope, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

async function running(world: World, scope: Scope, name = 'web'): Promise<Instance> {
  const snapshot = await systemSnapshot(world, scope);
  await createInstances(world.ports, scope, machinesRequest(scope, snapshot, [name]));
  await world.settle();
  const instance = await findInstance(world.ports, scope, { name });
  assert.equal(instance.state, 'running');
  return instance;
}

/** Lets the world's time pass in steps, or stand, until it is so. */
async function until(world: World, condition: () => boolean | Promise<boolean>, stepMs = 1000): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadlineMs, 'it comes to be so');
    await world.clock.advance(stepMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function isIn(world: World, scope: Scope, name: string, state: Instance['state']): Promise<boolean> {
  return (await findInstance(world.ports, scope, { name })).state === state;
}

async function systemVolume(world: World, scope: Scope, instance: Instance): Promise<Volume> {
  const [first] = instance.attachments;
  assert.ok(first !== undefined);
  return await findVolume(world.ports, scope, first.volume);
}

async function statusOf(world: World, scope: Scope, id: string): Promise<string> {
  const { status, errorDetails } = await findOperation(world.ports, scope, id);
  return errorDetails === null ? status : `${status}: ${errorDetails}`;
}

const STOP = { force: false, operation: 'StopInstance' } as const;
const DELETE = { token: null, operation: 'DeleteInstance' } as const;

test('several machines of one snapshot each run on a volume of their own, as large as their bundle says', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const snapshot = await systemSnapshot(world, scope);
  const made = await createInstances(
    world.ports,
    scope,
    machinesRequest(scope, snapshot, ['web-1', 'web_2'], { userData: Buffer.from('#!/bin/sh\n').toString('base64') }),
  );
  assert.deepEqual(
    made.operations.map(({ resourceName, resourceType, type, status, details }) => ({
      resourceName,
      resourceType,
      type,
      status,
      details,
    })),
    ['web-1', 'web_2'].map((resourceName) => ({
      resourceName,
      resourceType: 'Instance',
      type: 'CreateInstance',
      status: 'Started',
      details: null,
    })),
  );
  assert.deepEqual(
    made.instances.map(({ state }) => state),
    ['pending', 'pending'],
  );
  await world.settle();
  const { instances } = await listInstances(world.ports, scope, {
    ids: null,
    face: 'lightsail',
    after: null,
    countMax: 9,
  });
  assert.deepEqual(
    instances.map(({ name, state }) => [name, state]),
    [
      ['web-1', 'running'],
      ['web_2', 'running'],
    ],
  );
  const volumes = await Promise.all(instances.map((one) => systemVolume(world, scope, one)));
  assert.equal(new Set(volumes.map(({ id }) => id)).size, 2);
  for (const [index, volume] of volumes.entries()) {
    assert.equal(volume.state, 'available');
    assert.equal(volume.sizeGib, 8);
    assert.equal(volume.origin, snapshot);
    assert.equal(volume.attachment?.instance, instances[index]?.id);
    assert.equal(volume.attachment?.state, 'attached');
    assert.equal(world.host.read(volume.id, 0)[0], 9);
  }
  assert.equal(new Set(instances.map(({ sshPort }) => sshPort)).size, 2);
  const [, second] = instances;
  assert.ok(second !== undefined);
  const guest = world.hypervisor.guest(second.id);
  assert.equal(guest.boots[0]?.seed.hostName, 'web-2');
  assert.equal(Buffer.from(guest.boots[0]?.seed.userData ?? []).toString(), '#!/bin/sh\n');
  assert.equal(guest.boots[0]?.memoryMib, 128);
  assert.deepEqual(guest.boots[0]?.forwards, [
    { protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: instances[1]?.sshPort, guestPort: 22 },
  ]);
  for (const { id } of made.operations) assert.equal(await statusOf(world, scope, id), 'Succeeded');
});

test('one name that is taken, and no machine is made', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  await running(world, scope, 'web');
  const snapshot = await systemSnapshot(world, scope);
  const request = machinesRequest(scope, snapshot, ['other', 'web']);
  await assert.rejects(createInstances(world.ports, scope, request), refusal({ kind: 'name-taken', name: 'web' }));
  await assert.rejects(findInstance(world.ports, scope, { name: 'other' }), refusal({ kind: 'not-found' }));
  assert.equal(
    (await listVolumes(world.ports, scope, { ids: null, face: 'lightsail', after: null, countMax: 9 })).volumes.length,
    1,
  );
});

test('a token makes its machines once, also after a restart of the server', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const snapshot = await systemSnapshot(world, scope);
  const request = machinesRequest(scope, snapshot, ['web', 'db'], { token: 'once' });
  const first = await createInstances(world.ports, scope, request);
  await world.restartControl();
  const again = await createInstances(world.ports, scope, request);
  assert.deepEqual(
    again.instances.map(({ id }) => id),
    first.instances.map(({ id }) => id),
  );
  assert.deepEqual(again.operations, first.operations);
  const other = { ...request, bundle: 'nano_3_0' };
  await assert.rejects(createInstances(world.ports, scope, other), refusal({ kind: 'token-mismatch' }));
});

test('what a machine cannot be is refused, and nothing is left of it', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const snapshot = await systemSnapshot(world, scope, 10);
  const request = machinesRequest(scope, snapshot, ['web']);
  const wrong = [
    [{ bundle: 'giant_9_0' }, { kind: 'invalid-value', field: 'bundleId' }],
    // Its disk has 8 GB, and the snapshot 10.
    [{}, { kind: 'invalid-value', field: 'bundleId' }],
    [
      { bundle: 'nano_3_0', source: { ...request.source, minimumPower: 500 } },
      { kind: 'invalid-value', field: 'bundleId' },
    ],
    [{ bundle: 'nano_3_0', zone: 'us-east-1z' }, { kind: 'zone-not-found' }],
    [
      { bundle: 'nano_3_0', keyPair: 'none' },
      { kind: 'not-found', resource: 'key-pair' },
    ],
    [{ bundle: 'nano_3_0', machines: [{ name: 'w-', disks: [] }] }, { kind: 'invalid-value' }],
    [{ bundle: 'nano_3_0', machines: [] }, { kind: 'missing' }],
    [
      { bundle: 'nano_3_0', userData: 'A'.repeat(4 * 6000) },
      { kind: 'invalid-value', field: 'userData' },
    ],
  ] as const;
  for (const [some, failure] of wrong) {
    await assert.rejects(createInstances(world.ports, scope, { ...request, ...some }), refusal(failure), failure.kind);
  }
  await world.settle();
  assert.equal(world.machines.byId.size, 0);
  assert.equal(
    (await listVolumes(world.ports, scope, { ids: null, face: null, after: null, countMax: 9 })).volumes.length,
    1,
  );
});

test('where nothing can be run it is said what to install, and nothing is recorded', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const instance = await running(world, scope);
  await stopInstance(world.ports, scope, instance.id, STOP);
  await world.settle();
  world.hypervisor.can = FAKE_WITHOUT_QEMU;
  const refused = (error: unknown): boolean =>
    refusal({ kind: 'no-machines' })(error) && /apt-get install qemu-system-x86/.test(JSON.stringify(error));
  const request = machinesRequest(scope, instance.origin, ['other']);
  await assert.rejects(createInstances(world.ports, scope, request), refused);
  await assert.rejects(startInstance(world.ports, scope, instance.id, 'StartInstance'), refused);
  // What needs no machine works.
  await deleteInstance(world.ports, scope, instance.id, DELETE);
  await world.settle();
  await assert.rejects(findInstance(world.ports, scope, instance.id), refusal({ kind: 'not-found' }));
});

test('a machine of a snapshot of another account and region waits for its copy, and runs then', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const snapshot = await systemSnapshot(world, scope);
  await shareSnapshot(world.ports, scope, snapshot, { add: ['all'], remove: [] });
  const other = await world.account('eu-west-1');
  const request = machinesRequest(other, snapshot, ['web']);
  await createInstances(world.ports, other, { ...request, source: { ...request.source, region: scope.region } });
  await world.control.run('reconcile-instances');
  assert.equal((await findInstance(world.ports, other, { name: 'web' })).state, 'pending');
  await world.settle();
  const instance = await findInstance(world.ports, other, { name: 'web' });
  assert.equal(instance.state, 'running');
  assert.equal(world.host.read((await systemVolume(world, other, instance)).id, 0)[0], 9);
});

test('a machine stops and starts again on the same volume and port, and each operation ends when it is so', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const instance = await running(world, scope);
  const stop = await stopInstance(world.ports, scope, { name: 'web' }, STOP);
  assert.equal(stop.instance.state, 'stopping');
  assert.equal(stop.operations[0]?.status, 'Started');
  await assert.rejects(
    startInstance(world.ports, scope, instance.id, 'StartInstance'),
    refusal({ kind: 'wrong-state' }),
  );
  await world.settle();
  const stopped = await findInstance(world.ports, scope, instance.id);
  assert.equal(stopped.state, 'stopped');
  assert.equal(stopped.stateReason, null);
  assert.equal(await statusOf(world, scope, stop.operations[0]?.id ?? ''), 'Succeeded');
  const start = await startInstance(world.ports, scope, instance.id, 'StartInstance');
  assert.equal(start.instance.state, 'pending');
  await world.settle();
  const started = await findInstance(world.ports, scope, instance.id);
  assert.equal(started.state, 'running');
  assert.equal(started.sshPort, instance.sshPort);
  assert.deepEqual(started.attachments, instance.attachments);
  assert.equal(world.hypervisor.guest(instance.id).boots.length, 2);
  // For what is so already there is nothing to do.
  const again = await startInstance(world.ports, scope, instance.id, 'StartInstance');
  assert.equal(again.operations[0]?.status, 'Succeeded');
});

test('a guest that does not heed is ended after a while, and at once when it is forced', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const instance = await running(world, scope);
  world.hypervisor.guest(instance.id).heeds = false;
  await stopInstance(world.ports, scope, instance.id, STOP);
  const beganMs = world.clock.nowMs();
  const stopping = world.control.run('reconcile-instances');
  await until(world, () => isIn(world, scope, 'web', 'stopped'));
  await stopping;
  assert.ok(world.clock.nowMs() - beganMs >= 90_000, 'the guest had its time');

  await startInstance(world.ports, scope, instance.id, 'StartInstance');
  await world.settle();
  await stopInstance(world.ports, scope, instance.id, { force: true, operation: 'StopInstance' });
  const ending = world.control.run('reconcile-instances');
  await until(world, () => isIn(world, scope, 'web', 'stopped'), 1);
  await ending;
});

test('a machine that is slow to stop holds up no other', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const slow = await running(world, scope, 'slow');
  world.hypervisor.guest(slow.id).heeds = false;
  await stopInstance(world.ports, scope, slow.id, STOP);
  const stopping = world.control.run('reconcile-instances');
  await until(world, () => world.hypervisor.calls.includes(`stop ${slow.id}`), 0);
  await createInstances(world.ports, scope, machinesRequest(scope, slow.origin, ['quick']));
  await until(world, () => isIn(world, scope, 'quick', 'running'), 0);
  assert.ok(await isIn(world, scope, 'slow', 'stopping'));
  await until(world, () => isIn(world, scope, 'slow', 'stopped'));
  await stopping;
});

test('a server that stops waits for no guest, and the next one goes on', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const instance = await running(world, scope);
  world.hypervisor.guest(instance.id).heeds = false;
  await stopInstance(world.ports, scope, instance.id, STOP);
  const stopping = world.control.run('reconcile-instances').catch((error: unknown) => error);
  await until(world, () => world.hypervisor.calls.includes(`stop ${instance.id}`), 0);
  await world.restartControl();
  await stopping;
  assert.ok(await isIn(world, scope, 'web', 'stopping'));
  const again = world.control.run('reconcile-instances');
  await until(world, () => isIn(world, scope, 'web', 'stopped'));
  await again;
});

test('a machine boots anew, and stays what it is', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const instance = await running(world, scope);
  const { operations } = await rebootInstance(world.ports, scope, instance.id, 'RebootInstance');
  assert.equal(operations[0]?.status, 'Started');
  await world.settle();
  assert.equal(world.hypervisor.guest(instance.id).boots.length, 2);
  assert.equal(await statusOf(world, scope, operations[0]?.id ?? ''), 'Succeeded');
  assert.deepEqual(await findInstance(world.ports, scope, instance.id), instance);
});

test('a deleted machine is gone with its system volume, and its name is free', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const instance = await running(world, scope);
  const volume = await systemVolume(world, scope, instance);
  await assert.rejects(
    deleteVolume(world.ports, scope, volume.id, { token: null, operation: null }),
    refusal({ kind: 'in-use', by: instance.id }),
  );
  const { operations } = await deleteInstance(world.ports, scope, { name: 'web' }, { ...DELETE, token: 'gone' });
  assert.equal(operations[0]?.status, 'Started');
  assert.equal((await findInstance(world.ports, scope, instance.id)).state, 'shutting-down');
  await world.settle();
  await assert.rejects(findInstance(world.ports, scope, { name: 'web' }), refusal({ kind: 'not-found', id: 'web' }));
  await assert.rejects(findVolume(world.ports, scope, volume.id), refusal({ kind: 'not-found' }));
  assert.equal(world.host.volumes.has(volume.id), false);
  assert.equal(world.machines.byId.size, 0);
  assert.equal(await statusOf(world, scope, operations[0]?.id ?? ''), 'Succeeded');
  // The same call again is told of the same deletion, whatever has the name by then.
  const second = await running(world, scope, 'web');
  const again = await deleteInstance(world.ports, scope, { name: 'web' }, { ...DELETE, token: 'gone' });
  assert.deepEqual(
    again.operations.map(({ id }) => id),
    operations.map(({ id }) => id),
  );
  assert.equal((await findInstance(world.ports, scope, { name: 'web' })).id, second.id);
});

test('a machine whose process died is stopped, with the reason; one of an earlier boot of the computer is started again', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const instance = await running(world, scope, 'killed');
  world.hypervisor.kill(instance.id);
  await world.settle();
  const killed = await findInstance(world.ports, scope, instance.id);
  assert.deepEqual([killed.state, killed.wanted, killed.stateReason], ['stopped', 'stopped', 'its process was killed']);

  const other = await running(world, scope, 'shut');
  world.hypervisor.shutDown(other.id);
  await world.settle();
  assert.equal((await findInstance(world.ports, scope, other.id)).stateReason, 'the guest shut down');

  const third = await running(world, scope, 'rebooted');
  await world.reboot();
  await world.settle();
  assert.deepEqual([...world.machines.byId.keys()], [third.id]);
  const rebooted = await findInstance(world.ports, scope, third.id);
  assert.equal(rebooted.state, 'running');
  assert.deepEqual(rebooted.attachments, third.attachments);
});

test('what is asked of several machines happens to all of them or to none', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const [up, down] = [await running(world, scope, 'up'), await running(world, scope, 'down')];
  await stopInstance(world.ports, scope, down.id, STOP);
  await world.settle();
  const gone = newInstanceId(new SeededRandom(9));
  const states = async (): Promise<readonly unknown[]> => {
    const both = [await findInstance(world.ports, scope, up.id), await findInstance(world.ports, scope, down.id)];
    return both.flatMap(({ state, rebootWanted }) => [state, rebootWanted]);
  };
  const before = await states();
  const wrong = refusal({ kind: 'wrong-state' });
  await assert.rejects(rebootInstances(world.ports, scope, [up.id, down.id], null), wrong);
  await assert.rejects(stopInstances(world.ports, scope, [up.id, gone], STOP), refusal({ kind: 'not-found' }));
  await assert.rejects(startInstances(world.ports, scope, [down.id, gone], null), refusal({ kind: 'not-found' }));
  assert.deepEqual(await states(), before);
  const changed = await stopInstances(world.ports, scope, [up.id, down.id], STOP);
  assert.deepEqual(
    changed.map(({ before: was, instance }) => [was, instance.state]),
    [
      ['running', 'stopping'],
      ['stopped', 'stopped'],
    ],
  );
});

test('a machine of which there is no record does not go on', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const known = await running(world, scope);
  const [spec] = world.hypervisor.guest(known.id).boots;
  assert.ok(spec !== undefined);
  const id = newInstanceId(new SeededRandom(8));
  await world.hypervisor.start({ ...spec, id, forwards: [] });
  world.ports.wake('reconcile-instances');
  await world.settle();
  assert.deepEqual([...world.machines.byId.keys()], [known.id]);
});

test('a machine that was forgotten before its record went is asked for once more', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const { id } = await running(world, scope);
  await deleteInstance(world.ports, scope, id, DELETE);
  world.machines.byId.delete(id);
  await world.settle();
  assert.ok(world.hypervisor.calls.includes(`forget ${id}`), 'what a crash left of it goes');
});

test('a restart of the server leaves machines alone', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const instance = await running(world, scope);
  await world.restartControl();
  await world.settle();
  assert.deepEqual(await findInstance(world.ports, scope, instance.id), instance);
  assert.equal(world.hypervisor.guest(instance.id).boots.length, 1);
});

test('every name gives a host name that is text to YAML and has a letter first', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const snapshot = await systemSnapshot(world, scope);
  const long = `9${'a'.repeat(80)}`;
  const expected = new Map([
    ['1web', 'host-1web'],
    ['2024-01-01', 'host-2024-01-01'],
    ['123', 'host-123'],
    ['0x1f', 'host-0x1f'],
    ['No', 'host-no'],
    ['null', 'host-null'],
    ['__', null],
    [long, `host-${long}`.slice(0, 63)],
    ['nobody', 'nobody'],
  ]);
  for (const [name, hostName] of expected) {
    await createInstances(world.ports, scope, machinesRequest(scope, snapshot, [name]));
    await world.settle();
    const { id, state } = await findInstance(world.ports, scope, { name });
    assert.equal(state, 'running', name);
    assert.equal(world.hypervisor.guest(id).boots[0]?.seed.hostName, hostName ?? id);
  }
});

test('a machine that cannot be started is stopped, and says why; it may be tried again', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const snapshot = await systemSnapshot(world, scope);
  world.hypervisor.failNext('start', new HypervisorError('failed', 'QEMU died of a bad word'));
  const { operations } = await createInstances(world.ports, scope, machinesRequest(scope, snapshot, ['web']));
  await world.settle();
  const failed = await findInstance(world.ports, scope, { name: 'web' });
  assert.deepEqual([failed.state, failed.stateReason], ['stopped', 'QEMU died of a bad word']);
  assert.equal(await statusOf(world, scope, operations[0]?.id ?? ''), 'Failed: QEMU died of a bad word');
  await startInstance(world.ports, scope, failed.id, 'StartInstance');
  await world.settle();
  assert.equal((await findInstance(world.ports, scope, { name: 'web' })).state, 'running');
});

test('a machine whose port another program has gets another one, and keeps it', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const snapshot = await systemSnapshot(world, scope);
  world.hypervisor.failNext('start', new HypervisorError('port-taken', 'port 22000 is taken'));
  const made = await createInstances(world.ports, scope, machinesRequest(scope, snapshot, ['web']));
  await world.settle();
  const instance = await findInstance(world.ports, scope, { name: 'web' });
  assert.equal(instance.state, 'running');
  assert.notEqual(instance.sshPort, made.instances[0]?.sshPort);
  assert.equal(world.hypervisor.guest(instance.id).boots[0]?.forwards[0]?.hostPort, instance.sshPort);
});

test('a machine for which there is no memory keeps its port', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const snapshot = await systemSnapshot(world, scope);
  world.hypervisor.failNext('start', new HypervisorError('resources', 'Cannot allocate memory'));
  const { instances } = await createInstances(world.ports, scope, machinesRequest(scope, snapshot, ['web']));
  await world.settle();
  const failed = await findInstance(world.ports, scope, { name: 'web' });
  assert.deepEqual([failed.state, failed.stateReason], ['stopped', 'Cannot allocate memory']);
  assert.equal(failed.sshPort, instances[0]?.sshPort);
});

test('a machine whose snapshot went before its volume was made is not there', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const snapshot = await systemSnapshot(world, scope);
  const { operations } = await createInstances(world.ports, scope, machinesRequest(scope, snapshot, ['web']));
  await deleteSnapshot(world.ports, scope, snapshot, { token: null, operation: null });
  await world.settle();
  await assert.rejects(findInstance(world.ports, scope, { name: 'web' }), refusal({ kind: 'not-found' }));
  assert.match(await statusOf(world, scope, operations[0]?.id ?? ''), /^Failed: what its volume is made of is gone/);
  assert.equal(await world.ports.meta.read((tx) => tx.names.find(scope, 'web')), null);
});

test('another account sees no machine of this one', async () => {
  await using at = await openWorld();
  const { world, scope } = at;
  const instance = await running(world, scope);
  const other = await world.account();
  for (const ref of [instance.id, { name: 'web' }]) {
    const absent = refusal({ kind: 'not-found', resource: 'instance' });
    await assert.rejects(findInstance(world.ports, other, ref), absent);
    await assert.rejects(stopInstance(world.ports, other, ref, STOP), absent);
    await assert.rejects(deleteInstance(world.ports, other, ref, DELETE), absent);
  }
});
