import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError } from '#domain/errors.ts';
import type { PolicyDetails, Schedule } from '#domain/lifecycle/policy.ts';
import { TEST_OUTPOSTS } from '#control/outposts.fake.ts';
import { volumeRequest } from '#control/request.fake.ts';
import { createVolume } from '#control/volumes.ts';
import { details, hourly, Setting } from './setting.fake.ts';

const HOUR_MS = 3_600_000;
const [outpost] = TEST_OUTPOSTS;
const local: Schedule = {
  ...hourly,
  createRule: { interval: 1, intervalUnit: 'HOURS', times: ['00:30'], location: 'OUTPOST_LOCAL' },
};

test('a policy is for volumes in the region or on Outposts, and stores their snapshots where it says', async () => {
  for (const [some, expected] of [
    [{}, [null]],
    [{ resourceLocations: ['CLOUD'] }, [null]],
    [{ resourceLocations: ['OUTPOST'] }, [null]],
    [{ resourceLocations: ['OUTPOST'], schedules: [local] }, [outpost.arn]],
  ] as const) {
    await using setting = await Setting.make();
    const tags = [{ key: 'backup', value: 'yes' }];
    const make = async (at: string | null) =>
      await createVolume(setting.world.ports, setting.scope, volumeRequest({ tags, outpost: at }));
    const inRegion = await make(null);
    const onOutpost = await make(outpost.arn);
    await setting.policy({ details: { ...details, ...some } });
    await setting.pass(HOUR_MS);
    const made = await setting.snapshots();
    assert.deepEqual(
      made.map((snapshot) => snapshot.outpost),
      expected,
    );
    const isForOutposts = 'resourceLocations' in some && some.resourceLocations[0] === 'OUTPOST';
    assert.equal(made[0]?.volume, (isForOutposts ? onOutpost : inRegion).volume.id);
  }
});

test('a schedule of local snapshots is for Outposts, and has nothing that local snapshots cannot', async () => {
  await using setting = await Setting.make();
  const refusal = async (some: Partial<Schedule>, more: Partial<PolicyDetails> = {}): Promise<string> => {
    const schedules = [{ ...local, ...some }];
    try {
      await setting.policy({ details: { ...details, resourceLocations: ['OUTPOST'], schedules, ...more } });
      return 'taken';
    } catch (error) {
      assert.ok(error instanceof DomainError);
      return error.failure.kind;
    }
  };
  assert.equal(await refusal({}), 'taken');
  assert.equal(await refusal({}, { resourceLocations: ['CLOUD'] }), 'invalid-value');
  const copy = { encrypted: true, targetRegion: 'eu-west-1' };
  assert.equal(await refusal({ crossRegionCopyRules: [copy] }), 'exclusive');
  assert.equal(await refusal({ fastRestoreRule: { count: 1, availabilityZones: ['us-east-1a'] } }), 'exclusive');
  assert.equal(await refusal({ archiveRule: { retainRule: { retentionArchiveTier: { count: 1 } } } }), 'exclusive');
});
