import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deleteInlinePolicy, putInlinePolicy, ROLE } from '#control/identity/identities.ts';
import { createRole, deleteRole } from '#control/identity/roles.ts';
import * as policies from './policies.ts';
import { details, hourly, Setting } from './setting.fake.ts';

const HOUR_MS = 3_600_000;

async function roleWith(setting: Setting, actions: readonly string[]): Promise<void> {
  const { world, scope } = setting;
  await createRole(world.ports, scope.account, {
    name: 'dlm',
    path: '/',
    trust: JSON.stringify({
      Version: '2012-10-17',
      Statement: { Effect: 'Allow', Principal: { Service: 'dlm.amazonaws.com' }, Action: 'sts:AssumeRole' },
    }),
    description: null,
    sessionSecondsMax: 3600,
    boundary: null,
    tags: [],
    madeBy: null,
  });
  await allow(setting, actions);
}

async function allow({ world, scope }: Setting, actions: readonly string[]): Promise<void> {
  const document = JSON.stringify({
    Version: '2012-10-17',
    Statement: { Effect: 'Allow', Action: actions, Resource: '*' },
  });
  await putInlinePolicy(world.ports, ROLE, scope.account, { owner: 'dlm', name: 'may', document });
}

async function troubleOf({ world, scope }: Setting, id: string): Promise<string> {
  const { trouble, followUpTrouble } = await policies.findPolicy(world.ports, scope, id);
  return `${trouble ?? ''} ${followUpTrouble ?? ''}`;
}

test('a policy does what its role may, and says what that does not', async () => {
  await using setting = await Setting.make();
  const other = await setting.world.account();
  await roleWith(setting, ['ec2:Describe*']);
  await setting.volume({ backup: 'yes' });
  const shared = { ...hourly, retainRule: { count: 1 }, shareRules: [{ targetAccounts: [other.account] }] };
  const id = await setting.policy({ details: { ...details, schedules: [shared] } });
  await setting.pass(HOUR_MS);
  assert.equal((await setting.snapshots()).length, 0);
  assert.match(await troubleOf(setting, id), /does not allow ec2:CreateSnapshot/);

  await allow(setting, ['ec2:CreateSnapshot', 'ec2:CreateTags']);
  await setting.pass(HOUR_MS);
  await setting.pass(HOUR_MS);
  const kept = await setting.snapshots();
  assert.equal(kept.length, 2, 'it may delete none');
  assert.deepEqual(kept[0]?.sharedWith, []);
  assert.match(await troubleOf(setting, id), /does not allow ec2:ModifySnapshotAttribute/);

  await allow(setting, ['ec2:*']);
  await setting.pass(0);
  const [last, ...more] = await setting.snapshots();
  assert.equal(more.length, 0);
  assert.deepEqual(last?.sharedWith, [other.account]);
  assert.equal((await troubleOf(setting, id)).trim(), '');
});

test('a role that is gone, or made anew, lets its policies do nothing', async () => {
  await using setting = await Setting.make();
  const { world, scope } = setting;
  await roleWith(setting, ['ec2:*']);
  await setting.volume({ backup: 'yes' });
  const id = await setting.policy();
  await deleteInlinePolicy(world.ports, ROLE, scope.account, { owner: 'dlm', name: 'may' });
  await deleteRole(world.ports, scope.account, 'dlm');
  await setting.pass(HOUR_MS);
  assert.equal((await setting.snapshots()).length, 0);
  await roleWith(setting, ['ec2:*']);
  await setting.pass(HOUR_MS);
  assert.equal((await setting.snapshots()).length, 0);
  const roleArn = `arn:aws:iam::${scope.account}:role/dlm`;
  await policies.updatePolicy(world.ports, scope, id, { description: null, state: null, details: null, roleArn });
  await setting.pass(HOUR_MS);
  assert.equal((await setting.snapshots()).length, 1);
});
