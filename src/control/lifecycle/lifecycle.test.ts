import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError } from '#domain/errors.ts';
import type { PolicyDetails, Schedule } from '#domain/lifecycle/policy.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { deleteSnapshot } from '#control/snapshots.ts';
import { acceptClock } from '#control/steady-time.ts';
import { deleteVolume } from '#control/volumes.ts';
import * as policies from './policies.ts';
import { details, hourly, Setting } from './setting.fake.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

test('a schedule snapshots the volumes that have the tag, once for each time that is due', async () => {
  await using setting = await Setting.make();
  const meant = await setting.volume({ backup: 'yes', team: 'red' });
  await setting.volume({ backup: 'no' });
  const id = await setting.policy();
  await setting.pass(29 * 60_000);
  assert.equal((await setting.snapshots()).length, 0, 'it is not due yet');
  await setting.pass(60_000);
  await setting.pass(0);
  const [snapshot, ...others] = await setting.snapshots();
  assert.ok(snapshot !== undefined && others.length === 0);
  assert.equal(snapshot.volume, meant.id);
  assert.deepEqual(
    { ...snapshot.tags },
    {
      backup: 'yes',
      team: 'red',
      'made-by': 'policy',
      'aws:dlm:lifecycle-policy-id': id,
      'aws:dlm:lifecycle-schedule-name': 'hourly',
      'dlm:managed': 'true',
    },
  );
  await setting.pass(HOUR_MS);
  assert.equal((await setting.snapshots()).length, 2);
});

test('a run that fails anywhere is done again, also by another process, and makes nothing twice', async () => {
  await using setting = await Setting.make();
  const { world } = setting;
  await setting.volume({ backup: 'yes' });
  await setting.volume({ backup: 'yes' });
  await setting.policy();
  let hours = 0;
  for (const mode of ['before', 'after'] as const) {
    for (let call = 1; ; call += 1) {
      await world.clock.advance(HOUR_MS);
      hours += 1;
      world.faults.arm(call, mode);
      await world.control.run('run-policies').catch(() => {});
      const fired = world.faults.disarm();
      await world.restartControl();
      await setting.pass(0);
      await world.settle();
      await setting.pass(0);
      const kept = await setting.snapshots();
      assert.equal(kept.length, 2 * Math.min(hours, 3), `${mode} call ${call}: ${fired}`);
      assert.ok(kept.every(({ tags }) => tags['dlm:managed'] === 'true'));
      if (fired === null) break;
    }
  }
});

test('times that passed while no server ran are made up for once', async () => {
  await using setting = await Setting.make();
  await setting.volume({ backup: 'yes' });
  await setting.policy();
  await setting.world.clock.advance(5 * HOUR_MS);
  await setting.world.restartControl();
  await setting.pass(0);
  await setting.pass(0);
  assert.equal((await setting.snapshots()).length, 1);
});

test('a count keeps the newest of each volume; a snapshot that its user deleted does not count', async () => {
  await using setting = await Setting.make();
  const first = await setting.volume({ backup: 'yes' });
  await setting.volume({ backup: 'yes' });
  await setting.policy();
  for (let hour = 0; hour < 5; hour += 1) await setting.pass(HOUR_MS);
  const times = (all: readonly Snapshot[], volume: string) =>
    all.filter((one) => one.volume === volume).map(({ startedAtMs }) => startedAtMs / HOUR_MS);
  const kept = await setting.snapshots();
  assert.equal(kept.length, 6);
  const newest = Math.max(...times(kept, first.id));
  assert.deepEqual(times(kept, first.id), [newest - 2, newest - 1, newest]);

  const [oldest] = kept;
  assert.ok(oldest !== undefined);
  await deleteSnapshot(setting.world.ports, setting.scope, oldest.id, { token: null, operation: null });
  await setting.pass(HOUR_MS);
  assert.equal((await setting.snapshots()).length, 6);

  await deleteVolume(setting.world.ports, setting.scope, first.id, { token: null, operation: null });
  await setting.pass(3 * HOUR_MS);
  assert.equal((await setting.snapshots()).filter(({ volume }) => volume === first.id).length, 3);
});

test('an age removes what is older; of a volume that is gone, all but the last', async () => {
  await using setting = await Setting.make();
  const volume = await setting.volume({ backup: 'yes' });
  await setting.policy({
    details: {
      ...details,
      schedules: [
        {
          ...hourly,
          createRule: { cronExpression: 'cron(0 12 * * ? *)' },
          retainRule: { interval: 2, intervalUnit: 'DAYS' },
        },
      ],
    },
  });
  for (let day = 0; day < 5; day += 1) await setting.pass(DAY_MS);
  assert.equal((await setting.snapshots()).length, 2);
  await deleteVolume(setting.world.ports, setting.scope, volume.id, { token: null, operation: null });
  await setting.pass(10 * DAY_MS);
  assert.equal((await setting.snapshots()).length, 1);
});

test('a disabled policy does nothing, and begins anew when it is enabled; a deleted one leaves its snapshots', async () => {
  await using setting = await Setting.make();
  const { ports } = setting.world;
  await setting.volume({ backup: 'yes' });
  const id = await setting.policy({ state: 'DISABLED' });
  await setting.pass(3 * HOUR_MS);
  assert.equal((await setting.snapshots()).length, 0);
  const nothing = { description: null, roleArn: null, details: null };
  await policies.updatePolicy(ports, setting.scope, id, { ...nothing, state: 'ENABLED' });
  await setting.pass(0);
  assert.equal((await setting.snapshots()).length, 0, 'what was due meanwhile is not made up for');
  for (let hour = 0; hour < 3; hour += 1) await setting.pass(HOUR_MS);
  assert.equal((await setting.snapshots()).length, 3);
  await policies.deletePolicy(ports, setting.scope, id);
  await setting.pass(9 * HOUR_MS);
  assert.equal((await setting.snapshots()).length, 3);
});

test('a default policy snapshots every volume that has no recent snapshot', async () => {
  await using setting = await Setting.make();
  const { ports } = setting.world;
  await setting.volume({});
  await setting.volume({ scratch: 'yes' });
  await setting.policy({
    details: {
      policyLanguage: 'SIMPLIFIED',
      resourceType: 'VOLUME',
      createInterval: 2,
      retainInterval: 3,
      exclusions: { excludeTags: [{ key: 'scratch', value: 'yes' }] },
    },
  });
  await setting.pass(DAY_MS);
  assert.equal((await setting.snapshots()).length, 1);
  await setting.pass(DAY_MS);
  assert.equal((await setting.snapshots()).length, 1, 'there is one of yesterday');
  await setting.pass(DAY_MS);
  assert.equal((await setting.snapshots()).length, 2);
  await setting.pass(DAY_MS);
  assert.equal((await setting.snapshots()).length, 1, 'the first is three days old');
  assert.equal((await policies.listPolicies(ports, setting.scope)).length, 1);
});

test('details that no run could follow are refused', async () => {
  await using setting = await Setting.make();
  const refusal = async (some: Partial<PolicyDetails>): Promise<string> =>
    await setting.policy({ details: { ...details, ...some } }).then(
      () => 'taken',
      (error: unknown) => (error instanceof DomainError ? error.failure.kind : String(error)),
    );
  const schedule = (some: Partial<Schedule>): Partial<PolicyDetails> => ({ schedules: [{ ...hourly, ...some }] });
  const results = await Promise.all([
    refusal({}),
    refusal({ policyType: 'IMAGE_MANAGEMENT' }),
    refusal({ targetTags: [] }),
    refusal({ schedules: [hourly, hourly] }),
    refusal(schedule({ createRule: { interval: 5, intervalUnit: 'HOURS' } })),
    refusal(schedule({ createRule: { interval: 6 } })),
    refusal(schedule({ createRule: { cronExpression: 'cron(* * * * ? *)' } })),
    refusal(schedule({ createRule: { cronExpression: 'cron(0 * * * ? *)', interval: 1 } })),
    refusal(schedule({ retainRule: {} })),
    refusal(schedule({ retainRule: { count: 1, interval: 1, intervalUnit: 'DAYS' } })),
    refusal(schedule({ retainRule: { count: 1001 } })),
    refusal(schedule({ crossRegionCopyRules: [{ encrypted: false, targetRegion: 'xx-west-1' }] })),
    refusal({ policyLanguage: 'SIMPLIFIED', resourceType: 'VOLUME' }),
  ]);
  assert.deepEqual(results, [
    'taken',
    'unsupported',
    'missing',
    'invalid-value',
    'invalid-value',
    'missing',
    'invalid-value',
    'exclusive',
    'missing',
    'exclusive',
    'invalid-value',
    'invalid-value',
    'exclusive',
  ]);
});

test('whatever the clock does, snapshots are made in even intervals, and none is too old that is not', async () => {
  await using setting = await Setting.make();
  const { clock, ports } = setting.world;
  await setting.volume({ backup: 'yes' });
  const schedule: Schedule = { ...hourly, retainRule: { interval: 1, intervalUnit: 'DAYS' } };
  await setting.policy({ details: { ...details, schedules: [schedule] } });
  let hours = 0;
  for (const jumpMs of [0, 3650 * DAY_MS, -3650 * DAY_MS, -7300 * DAY_MS, 7300 * DAY_MS]) {
    clock.jump(jumpMs);
    for (let passed = 0; passed < 3; passed += 1) {
      await setting.pass(HOUR_MS);
      await setting.pass(0);
      hours += 1;
      assert.equal((await setting.snapshots()).length, hours, `after a jump of ${jumpMs / DAY_MS} days`);
    }
  }
  // It was ahead when the policy was made, and is put right: nobody waits until that time comes again.
  clock.jump(-365 * DAY_MS);
  await acceptClock(ports);
  await setting.pass(HOUR_MS);
  await setting.pass(HOUR_MS);
  const { length } = await setting.snapshots();
  assert(length > hours, `${length} snapshots`);
});
