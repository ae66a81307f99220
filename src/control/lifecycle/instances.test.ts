import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attachDisk } from '#control/machines/disks.ts';
import { createInstances } from '#control/machines/create.ts';
import { machinesRequest, systemSnapshot } from '#control/machines/machine.fixture.ts';
import { findInstance } from '#control/machines/records.ts';
import { refusal, volumeRequest } from '#control/request.fake.ts';
import { createVolume } from '#control/volumes.ts';
import type { Instance } from '#domain/instance.ts';
import type { PolicyDetails } from '#domain/lifecycle/policy.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { createPolicy } from './policies.ts';
import { details, hourly, Setting } from './setting.fake.ts';

const HOUR_MS = 3_600_000;
const BACKUP = [{ key: 'backup', value: 'yes' }];

const ofInstances: PolicyDetails = {
  ...details,
  resourceTypes: ['INSTANCE'],
  schedules: [{ ...hourly, variableTags: [{ key: 'of', value: '$(instance-id)' }] }],
};

/** A machine of EC2 with two disks more, of which one has a tag. */
async function machine(
  setting: Setting,
  name: string,
  tags: readonly { key: string; value: string }[],
): Promise<Instance> {
  const { world, scope } = setting;
  const system = await systemSnapshot(world, scope);
  const request = machinesRequest(scope, system, [name], { face: 'ec2', bundle: 't3.nano', tags });
  await createInstances(world.ports, scope, request);
  await world.settle();
  for (const [device, kind] of [
    ['/dev/xvdf', 'data'],
    ['/dev/xvdg', 'scratch'],
  ] as const) {
    const { volume } = await createVolume(world.ports, scope, volumeRequest({ tags: [{ key: 'kind', value: kind }] }));
    const attached = { volume: volume.id, instance: { name }, device, deleteOnTermination: true, operation: null };
    await attachDisk(world.ports, scope, attached);
    await world.settle();
  }
  return await findInstance(world.ports, scope, { name });
}

/** Those that policies made. */
async function made(setting: Setting): Promise<readonly Snapshot[]> {
  const page = { after: 0, countMax: 1000 };
  const rows = await setting.world.ports.meta.read((tx) =>
    tx.snapshots.list({ scope: setting.scope, face: 'ec2' }, page),
  );
  return rows.map(({ record }) => record).filter(({ tags }) => tags['dlm:managed'] === 'true');
}

async function pass(setting: Setting, ms: number): Promise<void> {
  await setting.world.clock.advance(ms);
  await setting.world.control.run('run-policies');
  await setting.world.settle();
  await setting.world.control.run('run-policies'); // Removes what is not kept, now that the new ones are complete.
  await setting.world.settle();
}

test('a policy that targets instances cuts all volumes of each at one instant, once, and keeps as many as it says', async () => {
  await using setting = await Setting.make();
  const { world } = setting;
  const web = await machine(setting, 'web', BACKUP);
  await machine(setting, 'other', []);
  await setting.policy({ details: ofInstances });
  await pass(setting, HOUR_MS);
  const first = await made(setting);
  assert.deepEqual(
    first.map(({ volume }) => volume),
    web.attachments.map(({ volume }) => volume),
  );
  assert.equal(new Set(first.map(({ cut }) => cut)).size, 1, 'one instant');
  assert.ok(world.hypervisor.calls.includes(`quiesce ${web.id}`));
  assert.deepEqual(
    first.map(({ tags }) => [tags['of'], tags['made-by'], tags['kind'] ?? null]),
    [
      [web.id, 'policy', null],
      [web.id, 'policy', 'data'],
      [web.id, 'policy', 'scratch'],
    ],
  );
  await pass(setting, 1000);
  await world.restartControl();
  await pass(setting, 1000);
  assert.equal((await made(setting)).length, 3, 'once');
  for (let hour = 0; hour < 4; hour += 1) await pass(setting, HOUR_MS);
  const kept = await made(setting);
  assert.equal(kept.length, 3 * 3, 'the last three of each volume');
});

test('boot volumes, and data volumes with a tag, are left out where a policy says so', async () => {
  await using setting = await Setting.make();
  const web = await machine(setting, 'web', BACKUP);
  const parameters = { excludeBootVolume: true, excludeDataVolumeTags: [{ key: 'kind', value: 'scratch' }] };
  await setting.policy({ details: { ...ofInstances, parameters } });
  await pass(setting, HOUR_MS);
  assert.deepEqual(
    (await made(setting)).map(({ volume }) => volume),
    [web.attachments[1]?.volume],
  );
});

test('a run that is interrupted is done again, and makes nothing twice and no part of a machine', async () => {
  for (let call = 1; call < 12; call += 1) {
    await using setting = await Setting.make();
    const { world } = setting;
    await machine(setting, 'web', BACKUP);
    await setting.policy({ details: ofInstances });
    await world.clock.advance(HOUR_MS);
    world.faults.arm(call, call % 2 === 0 ? 'before' : 'after');
    await world.control.run('run-policies').catch(() => {});
    world.faults.disarm();
    await world.restartControl();
    await world.settle();
    await pass(setting, 1000);
    const snapshots = await made(setting);
    assert.equal(snapshots.length, 3, `call ${call}`);
    assert.equal(new Set(snapshots.map(({ cut }) => cut)).size, 1, `call ${call}`);
  }
});

test('what is for instances, or for images, is refused of other policies', async () => {
  await using setting = await Setting.make();
  const roleArn = `arn:aws:iam::${setting.scope.account}:role/dlm`;
  const refuses = async (some: PolicyDetails, failure: Parameters<typeof refusal>[0]): Promise<void> => {
    const request = { description: '', state: 'ENABLED', roleArn, details: some, tags: {} } as const;
    await assert.rejects(createPolicy(setting.world.ports, setting.scope, request), refusal(failure));
  };
  const boot = { excludeBootVolume: true };
  await refuses({ ...details, parameters: boot }, { kind: 'invalid-value', field: 'ExcludeBootVolume' });
  const noReboot = { noReboot: true };
  await refuses({ ...ofInstances, parameters: noReboot }, { kind: 'invalid-value', field: 'NoReboot' });
  await refuses({ policyLanguage: 'SIMPLIFIED', resourceType: 'INSTANCE' }, { kind: 'unsupported' });
});
