import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AlarmState } from '#domain/alarm.ts';
import type { Instance } from '#domain/instance.ts';
import { SLOT_MS } from '#domain/metric.ts';
import type { Scope } from '#domain/volume.ts';
import { listOperationsOf } from '#control/operations.ts';
import { refusal } from '#control/request.fake.ts';
import { World } from '#control/world.fake.ts';
import { enableAddOn } from './add-ons.ts';
import { deleteAlarm, listAlarms, putAlarm, type PutAlarm, testAlarm } from './alarms.ts';
import { createInstances } from './create.ts';
import { machinesRequest, systemSnapshot } from './machine.fixture.ts';
import { METRICS_KEPT_MS, readPoints } from './metrics.ts';
import { deleteInstance, startInstance } from './power.ts';
import { findInstance } from './records.ts';

async function running(world: World, scope: Scope, name = 'web'): Promise<Instance> {
  const snapshot = await systemSnapshot(world, scope);
  await createInstances(world.ports, scope, machinesRequest(scope, snapshot, [name]));
  await world.settle();
  return await findInstance(world.ports, scope, { name });
}

/** Minutes pass in which the machine uses so much of its processors. */
async function work(world: World, { id, cpuCount }: Instance, percent: number, minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute += 1) {
    await world.control.run('measure-machines');
    await world.clock.advance(60_000);
    const guest = world.hypervisor.guest(id);
    const { cpuSeconds, receivedBytes } = guest.usage;
    guest.usage = {
      cpuSeconds: cpuSeconds + (60 * cpuCount * percent) / 100,
      receivedBytes: (receivedBytes ?? 0) + 100,
      sentBytes: null,
    };
  }
  await world.control.run('measure-machines');
}

async function pointsOf(world: World, instance: Instance): Promise<readonly number[]> {
  const nowMs = world.clock.nowMs();
  const range = { startMs: nowMs - METRICS_KEPT_MS, endMs: nowMs };
  const points = await world.ports.meta.read((tx) => readPoints(tx, instance, range));
  return points.map(({ cpuPercent }) => cpuPercent);
}

test('what machines use is kept for two weeks, over a restart of the server, and goes with the machine', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const instance = await running(world, scope);
  const firstMs = world.clock.nowMs();
  await work(world, instance, 40, 15);
  await world.restartControl();
  await work(world, instance, 10, 15);
  const points = await pointsOf(world, instance);
  // The slot in which the server was restarted has what each of them saw.
  assert.ok(points.length >= 5, `${points.length} points`);
  assert.equal(points[0], 40);
  assert.equal(points.at(-1), 10);

  await world.clock.advance(METRICS_KEPT_MS + 2 * 86_400_000);
  await work(world, instance, 20, 12);
  const old = await world.ports.meta.read((tx) =>
    readPoints(tx, instance, { startMs: firstMs, endMs: firstMs + 7_200_000 }),
  );
  assert.deepEqual(old, []);
  assert.deepEqual(new Set(await pointsOf(world, instance)), new Set([20]));
  await deleteInstance(world.ports, scope, instance.id, { token: null, operation: null });
  await world.settle();
  await world.clock.advance(86_400_000);
  await world.control.run('measure-machines');
  assert.deepEqual(await pointsOf(world, instance), []);
});

const IDLE = { type: 'stop-on-idle', thresholdPercent: 5, durationMinutes: 15 } as const;

test('a machine that idles over the whole duration is stopped, and says why; one that works is not', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const [busy, idle] = [await running(world, scope, 'busy'), await running(world, scope, 'idle')];
  for (const name of ['busy', 'idle']) {
    await enableAddOn(world.ports, scope, { name, addOn: IDLE, operation: 'EnableAddOn' });
  }
  for (let slot = 0; slot < 6; slot += 1) {
    // Five minutes at 2 %, and one machine works for one minute of them.
    world.hypervisor.guest(busy.id).usage = {
      ...world.hypervisor.guest(busy.id).usage,
      cpuSeconds: world.hypervisor.guest(busy.id).usage.cpuSeconds + 60 * busy.cpuCount,
    };
    await work(world, idle, 2, 5);
    if (slot === 1) {
      // Not before it has been looked at for so long.
      assert.equal((await findInstance(world.ports, scope, idle.id)).state, 'running');
    }
  }
  await world.settle();
  const stopped = await findInstance(world.ports, scope, idle.id);
  assert.equal(stopped.state, 'stopped');
  assert.equal(stopped.stateReason, 'it was idle: under 5 % for 15 minutes');
  assert.equal((await findInstance(world.ports, scope, busy.id)).state, 'running');
  const { operations } = await listOperationsOf(world.ports, scope, 'idle', { after: null, countMax: 9 });
  const stop = operations.find(({ type }) => type === 'StopInstance');
  assert.equal(stop?.status, 'Succeeded');

  // Started again it has its whole duration, whatever it did before.
  await startInstance(world.ports, scope, idle.id, null);
  await world.settle();
  await work(world, idle, 0, 12);
  const again = await findInstance(world.ports, scope, idle.id);
  assert.deepEqual([again.state, again.stateReason], ['running', null]);
});

test('a machine that was not looked at all the time is not taken for idle', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const idle = await running(world, scope, 'idle');
  await enableAddOn(world.ports, scope, { name: 'idle', addOn: IDLE, operation: 'EnableAddOn' });
  await work(world, idle, 0, 10);
  await world.clock.advance(SLOT_MS * 3);
  await work(world, idle, 0, 8);
  assert.equal((await findInstance(world.ports, scope, idle.id)).state, 'running');
});

const ALARM: PutAlarm = {
  name: 'hot',
  instanceName: 'web',
  metric: 'CPUUtilization',
  comparison: 'GreaterThanThreshold',
  threshold: 50,
  evaluationPeriods: 2,
  datapointsToAlarm: 2,
  missingData: 'missing',
  contactProtocols: ['Email'],
  triggers: ['ALARM'],
  isNotifying: true,
  tags: [],
  operation: 'PutAlarm',
};

async function stateOf(world: World, scope: Scope, name = 'hot'): Promise<AlarmState | undefined> {
  const request = { name, instanceName: null, after: null, countMax: 9 };
  return (await listAlarms(world.ports, scope, request)).alarms[0]?.alarm.state;
}

test('an alarm follows what its machine does', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const instance = await running(world, scope);
  const [made] = await putAlarm(world.ports, scope, ALARM);
  assert.equal(made?.status, 'Succeeded');
  assert.equal(await stateOf(world, scope), 'INSUFFICIENT_DATA');
  await work(world, instance, 90, 16);
  assert.equal(await stateOf(world, scope), 'ALARM');
  await work(world, instance, 10, 16);
  assert.equal(await stateOf(world, scope), 'OK');
  // A test lasts until the next look.
  await testAlarm(world.ports, scope, { name: 'hot', state: 'ALARM', operation: 'TestAlarm' });
  assert.equal(await stateOf(world, scope), 'ALARM');
  await world.control.run('measure-machines');
  assert.equal(await stateOf(world, scope), 'OK');
  // It stops: nothing is known of it any more.
  world.hypervisor.kill(instance.id);
  await world.settle();
  await world.clock.advance(SLOT_MS * 3);
  await world.control.run('measure-machines');
  assert.equal(await stateOf(world, scope), 'INSUFFICIENT_DATA');
  await deleteAlarm(world.ports, scope, { name: 'hot', operation: 'DeleteAlarm' });
  await assert.rejects(stateOf(world, scope), refusal({ kind: 'not-found', resource: 'alarm', id: 'hot' }));
});

test('an alarm is changed under its name, is of one account, and goes with its machine', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const instance = await running(world, scope);
  await putAlarm(world.ports, scope, ALARM);
  await putAlarm(world.ports, scope, { ...ALARM, threshold: 70 });
  const all = { name: null, instanceName: 'web', after: null, countMax: 9 };
  const { alarms } = await listAlarms(world.ports, scope, all);
  assert.deepEqual(
    alarms.map(({ alarm }) => alarm.threshold),
    [70],
  );
  await assert.rejects(putAlarm(world.ports, scope, { ...ALARM, name: 'web' }), refusal({ kind: 'name-taken' }));
  for (const wrong of [{ evaluationPeriods: 0 }, { datapointsToAlarm: 3 }, { evaluationPeriods: 289 }]) {
    await assert.rejects(putAlarm(world.ports, scope, { ...ALARM, ...wrong }), refusal({ kind: 'invalid-value' }));
  }
  const other = await world.account();
  await assert.rejects(putAlarm(world.ports, other, ALARM), refusal({ kind: 'not-found', resource: 'instance' }));
  await assert.rejects(stateOf(world, other), refusal({ kind: 'not-found', resource: 'alarm' }));
  await deleteInstance(world.ports, scope, instance.id, { token: null, operation: null });
  await world.settle();
  await world.control.run('measure-machines');
  await assert.rejects(stateOf(world, scope), refusal({ kind: 'not-found', resource: 'alarm' }));
  assert.equal(await world.ports.meta.read((tx) => tx.names.find(scope, 'hot')), null);
});
