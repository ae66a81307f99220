import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { parseAccountId } from '#domain/ids.ts';
import type { Schedule } from '#domain/lifecycle/policy.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { listFastRestores } from '#control/fast-restores.ts';
import { shareSnapshot } from '#control/snapshot-sharing.ts';
import * as policies from './policies.ts';
import { details, hourly, Setting } from './setting.fake.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ZONE = 'us-east-1a';
const PARTNER = parseAccountId('999999999999');
assert.ok(PARTNER !== null);

async function following(setting: Setting, some: Partial<Schedule>): Promise<string> {
  return await setting.policy({ details: { ...details, schedules: [{ ...hourly, ...some }] } });
}

async function trouble(setting: Setting, id: string): Promise<string | null> {
  return (await policies.findPolicy(setting.world.ports, setting.scope, id)).followUpTrouble ?? null;
}

/** Snapshots that are to be ready, or are. */
async function ready(setting: Setting): Promise<readonly string[]> {
  const match = ({ state }: { readonly state: string }): boolean => state === 'enabling' || state === 'enabled';
  const all = { after: null, countMax: 100, match };
  const { fastRestores } = await listFastRestores(setting.world.ports, setting.scope, all);
  return fastRestores.map(({ snapshot }) => snapshot);
}

function newest(snapshots: readonly Snapshot[], count: number): readonly string[] {
  return snapshots
    .toSorted((a, b) => b.startedAtMs - a.startedAtMs)
    .slice(0, count)
    .map(({ id }) => id);
}

test('what completes is copied to each region once, and copies go by their own age', async () => {
  await using setting = await Setting.make();
  await setting.volume({ backup: 'yes', team: 'red' });
  const id = await following(setting, {
    crossRegionCopyRules: [
      {
        targetRegion: 'eu-west-1',
        encrypted: false,
        copyTags: true,
        retainRule: { interval: 1, intervalUnit: 'DAYS' },
      },
      { target: 'us-west-2', encrypted: true },
    ],
  });
  await setting.pass(30 * 60_000);
  await setting.pass(0);
  await setting.pass(0);
  const [source] = await setting.snapshots();
  const [copy, ...others] = await setting.snapshots('eu-west-1');
  assert.ok(source !== undefined && copy !== undefined && others.length === 0);
  assert.deepEqual([copy.copiedFrom?.snapshot, copy.state, copy.encryption], [source.id, 'completed', null]);
  assert.deepEqual({ ...copy.tags }, { ...source.tags });
  const [sealed] = await setting.snapshots('us-west-2');
  assert.ok(sealed?.encryption !== null && sealed !== undefined);
  assert.deepEqual(
    { ...sealed.tags },
    { 'aws:dlm:lifecycle-policy-id': id, 'aws:dlm:lifecycle-schedule-name': 'hourly', 'dlm:managed': 'true' },
  );
  for (let hour = 0; hour < 30; hour += 1) await setting.pass(HOUR_MS);
  assert.equal((await setting.snapshots()).length, 3);
  assert.equal((await setting.snapshots('eu-west-1')).length, 24);
  assert.equal((await setting.snapshots('us-west-2')).length, 31, 'without a rule they stay');
  assert.equal(await trouble(setting, id), null);
});

test('what completes is shared, until the time is over; what its user does in between stays so', async () => {
  await using setting = await Setting.make();
  const { ports } = setting.world;
  await setting.volume({ backup: 'yes' });
  const shareRules = [{ targetAccounts: [PARTNER], unshareInterval: 1, unshareIntervalUnit: 'DAYS' as const }];
  await following(setting, { createRule: { interval: 24, intervalUnit: 'HOURS', times: ['00:30'] }, shareRules });
  await setting.pass(30 * 60_000);
  const [first] = await setting.snapshots();
  assert.deepEqual(first?.sharedWith, [PARTNER]);
  await setting.pass(DAY_MS);
  await setting.pass(0);
  const [again, second] = (await setting.snapshots()).toSorted((a, b) => a.startedAtMs - b.startedAtMs);
  assert.deepEqual([again?.sharedWith, second?.sharedWith], [[], [PARTNER]]);
  await shareSnapshot(ports, setting.scope, present(second, 'of the second day').id, { add: [], remove: [PARTNER] });
  await setting.pass(HOUR_MS);
  assert.deepEqual(
    (await setting.snapshots()).map(({ sharedWith }) => sharedWith.length),
    [0, 0],
  );
});

test('the newest are kept ready for fast restores, and what cannot be is said', async () => {
  await using setting = await Setting.make();
  await setting.volume({ backup: 'yes' });
  const id = await following(setting, { fastRestoreRule: { count: 2, availabilityZones: [ZONE] } });
  for (let hour = 0; hour < 4; hour += 1) await setting.pass(HOUR_MS);
  assert.deepEqual([...(await ready(setting))].toSorted(), [...newest(await setting.snapshots(), 2)].toSorted());
  assert.equal(await trouble(setting, id), null);
  await policies.deletePolicy(setting.world.ports, setting.scope, id);

  const wrong = await following(setting, {
    name: 'elsewhere',
    fastRestoreRule: { count: 1, availabilityZones: ['eu-west-1a'] },
  });
  await setting.pass(HOUR_MS);
  assert.match((await trouble(setting, wrong)) ?? '', /^snap-[0-9a-f]+: there is no zone eu-west-1a$/);
});

test('snapshots are kept ready for as long as a rule says', async () => {
  await using setting = await Setting.make();
  await setting.volume({ backup: 'yes' });
  await following(setting, {
    createRule: { interval: 12, intervalUnit: 'HOURS', times: ['00:30'] },
    fastRestoreRule: { interval: 1, intervalUnit: 'DAYS', availabilityZones: [ZONE] },
  });
  for (let half = 0; half < 6; half += 1) await setting.pass(DAY_MS / 2);
  assert.deepEqual([...(await ready(setting))].toSorted(), [...newest(await setting.snapshots(), 2)].toSorted());
});

test('what a schedule keeps no longer goes to the archive, and from there in its time', async () => {
  await using setting = await Setting.make();
  await setting.volume({ backup: 'yes' });
  await following(setting, {
    createRule: { interval: 24, intervalUnit: 'HOURS', times: ['00:30'] },
    retainRule: { count: 1 },
    archiveRule: { retainRule: { retentionArchiveTier: { count: 2 } } },
  });
  for (let day = 0; day < 5; day += 1) {
    await setting.pass(DAY_MS);
    await setting.world.control.run('tend-tiers');
    await setting.pass(0);
  }
  const kept = (await setting.snapshots()).toSorted((a, b) => a.startedAtMs - b.startedAtMs);
  assert.deepEqual(
    kept.map(({ tier }) => tier?.state ?? 'standard'),
    ['archived', 'archived', 'standard'],
  );
});

test('a copy whose key cannot be used is told of', async () => {
  await using setting = await Setting.make();
  await setting.volume({ backup: 'yes' });
  const cmkArn = `arn:aws:kms:eu-west-1:${setting.scope.account}:key/00000000-0000-4000-8000-000000000000`;
  const id = await following(setting, {
    crossRegionCopyRules: [{ targetRegion: 'eu-west-1', encrypted: true, cmkArn }],
  });
  await setting.pass(HOUR_MS);
  await setting.pass(0);
  assert.match((await trouble(setting, id)) ?? '', /key|accessible/);
});

test('wherever a run is cut short, everything is done exactly once', async () => {
  for (const mode of ['before', 'after'] as const) {
    for (let call = 1; ; call += 1) {
      await using setting = await Setting.make();
      const { world } = setting;
      await setting.volume({ backup: 'yes', team: 'red' });
      await following(setting, {
        retainRule: { count: 1 },
        crossRegionCopyRules: [{ targetRegion: 'eu-west-1', encrypted: false, copyTags: true }],
        shareRules: [{ targetAccounts: [PARTNER], unshareInterval: 1, unshareIntervalUnit: 'DAYS' }],
        fastRestoreRule: { count: 1, availabilityZones: [ZONE] },
        archiveRule: { retainRule: { retentionArchiveTier: { count: 9 } } },
      });
      let fired: string | null = null;
      for (let hour = 1; hour <= 2; hour += 1) {
        await setting.pass(HOUR_MS);
        world.faults.arm(call, mode);
        await world.control.run('run-policies').catch(() => {});
        await world.clock.advance(DAY_MS / 2); // A share ends.
        await world.control.run('upload-snapshots').catch(() => {});
        await world.control.run('run-policies').catch(() => {});
        fired = world.faults.disarm();
        await world.restartControl();
        await setting.pass(0);
        await world.settle();
        await setting.pass(0); // What copies are made of goes to the archive once they are whole.
        await world.control.run('tend-tiers');
        await world.settle();
        const context = `${mode} call ${call} hour ${hour}: ${fired}`;
        const made = (await setting.snapshots()).toSorted((a, b) => a.startedAtMs - b.startedAtMs);
        const copies = await setting.snapshots('eu-west-1');
        assert.deepEqual(
          copies.map(({ copiedFrom }) => String(copiedFrom?.snapshot)).toSorted(),
          made.map(({ id }) => id).toSorted(),
          `each is copied once: ${context}`,
        );
        assert.ok(
          copies.every(({ tags, state }) => tags['team'] === 'red' && state === 'completed'),
          context,
        );
        assert.deepEqual(await ready(setting), [made.at(-1)?.id], context);
        assert.ok(made.at(-1)?.sharedWith.includes(PARTNER), context);
        assert.ok(
          made.slice(0, -1).every(({ tier }) => tier?.state === 'archived'),
          context,
        );
      }
      if (fired === null) break;
    }
  }
});
