import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deleteInlinePolicy, ROLE } from '#control/identity/identities.ts';
import { deleteRole, updateTrust } from '#control/identity/roles.ts';
import { DomainError } from '#domain/errors.ts';
import * as policies from './policies.ts';
import { details, hourly, Setting, trustOf } from './setting.fake.ts';

const HOUR_MS = 3_600_000;

async function troubleOf({ world, scope }: Setting, id: string): Promise<string> {
  const { trouble, followUpTrouble } = await policies.findPolicy(world.ports, scope, id);
  return `${trouble ?? ''} ${followUpTrouble ?? ''}`;
}

test('a policy does what its role may, and says what that does not', async () => {
  await using setting = await Setting.make(['ec2:Describe*']);
  const other = await setting.world.account();
  await setting.volume({ backup: 'yes' });
  const shared = { ...hourly, retainRule: { count: 1 }, shareRules: [{ targetAccounts: [other.account] }] };
  const id = await setting.policy({ details: { ...details, schedules: [shared] } });
  await setting.pass(HOUR_MS);
  assert.equal((await setting.snapshots()).length, 0);
  assert.match(await troubleOf(setting, id), /does not allow ec2:CreateSnapshot/);

  await setting.allow(['ec2:CreateSnapshot', 'ec2:CreateTags']);
  await setting.pass(HOUR_MS);
  await setting.pass(HOUR_MS);
  const kept = await setting.snapshots();
  assert.equal(kept.length, 2, 'it may delete none');
  assert.deepEqual(kept[0]?.sharedWith, []);
  assert.match(await troubleOf(setting, id), /does not allow ec2:ModifySnapshotAttribute/);

  await setting.allow(['ec2:*']);
  await setting.pass(0);
  const [last, ...more] = await setting.snapshots();
  assert.equal(more.length, 0);
  assert.deepEqual(last?.sharedWith, [other.account]);
  assert.equal((await troubleOf(setting, id)).trim(), '');
});

const NOTHING = { description: null, state: null, details: null, roleArn: null };

async function stateOf(setting: Setting, id: string): Promise<string> {
  const { state, trouble } = await policies.findPolicy(setting.world.ports, setting.scope, id);
  return `${state} ${trouble ?? ''}`;
}

async function countAfterAnHour(setting: Setting): Promise<number> {
  await setting.pass(HOUR_MS);
  return (await setting.snapshots()).length;
}

async function removeRole({ world, scope }: Setting): Promise<void> {
  await deleteInlinePolicy(world.ports, ROLE, scope.account, { owner: 'dlm', name: 'may' });
  await deleteRole(world.ports, scope.account, 'dlm');
}

test('a role that is gone, or made anew, puts its policies in error until they are given it again', async () => {
  await using setting = await Setting.make();
  const { world, scope } = setting;
  await setting.volume({ backup: 'yes' });
  const id = await setting.policy();
  await removeRole(setting);
  assert.equal(await countAfterAnHour(setting), 0);
  assert.match(await stateOf(setting, id), /^ERROR the role .*role\/dlm does not exist/);
  await setting.role(['ec2:*']);
  assert.equal(await countAfterAnHour(setting), 0);
  assert.match(await stateOf(setting, id), /^ERROR .* was made after the policy was given it/);
  const roleArn = `arn:aws:iam::${scope.account}:role/dlm`;
  await policies.updatePolicy(world.ports, scope, id, { ...NOTHING, roleArn });
  assert.equal(await stateOf(setting, id), 'ENABLED ');
  assert.equal(await countAfterAnHour(setting), 1);
});

test('a role that trusts the service no more puts its policies in error; trusting again, it makes up for one time', async () => {
  await using setting = await Setting.make();
  const { world, scope } = setting;
  await setting.volume({ backup: 'yes' });
  const id = await setting.policy();
  const trust = async (text: string): Promise<void> =>
    await updateTrust(world.ports, scope.account, { name: 'dlm', trust: text });
  await trust(trustOf('ec2.amazonaws.com'));
  assert.equal(await countAfterAnHour(setting), 0);
  assert.equal(await countAfterAnHour(setting), 0);
  assert.match(await stateOf(setting, id), /^ERROR .* does not trust dlm\.amazonaws\.com/);
  const ofThis = { ArnLike: { 'aws:SourceArn': `arn:aws:dlm:${scope.region}:${scope.account}:policy/${id}` } };
  await trust(trustOf('dlm.amazonaws.com', ofThis));
  await setting.pass(0);
  assert.equal((await setting.snapshots()).length, 1);
  assert.equal(await stateOf(setting, id), 'ENABLED ');
});

test('a policy is refused a role that is not there, is of another account, or does not trust the service', async () => {
  await using setting = await Setting.make();
  const { world, scope } = setting;
  const other = await world.account();
  const refusedFor = async (roleArn: string, reason: RegExp): Promise<void> => {
    const isRefused = (error: unknown): boolean =>
      error instanceof DomainError && error.failure.kind === 'invalid-value' && reason.test(error.failure.reason);
    await assert.rejects(setting.policy({ roleArn }), isRefused);
    const update = policies.updatePolicy(world.ports, scope, id, { ...NOTHING, roleArn });
    await assert.rejects(update, isRefused);
  };
  const id = await setting.policy();
  await refusedFor(`arn:aws:iam::${scope.account}:role/none`, /does not exist/);
  await refusedFor(`arn:aws:iam::${other.account}:role/dlm`, /does not exist/);
  const foreign = { StringEquals: { 'aws:SourceAccount': other.account } };
  for (const trust of [trustOf('ec2.amazonaws.com'), trustOf('dlm.amazonaws.com', foreign)]) {
    await updateTrust(world.ports, scope.account, { name: 'dlm', trust });
    await refusedFor(`arn:aws:iam::${scope.account}:role/dlm`, /does not trust dlm/);
  }
  const sameAccount = { StringEquals: { 'aws:SourceAccount': scope.account } };
  await updateTrust(world.ports, scope.account, { name: 'dlm', trust: trustOf('dlm.amazonaws.com', sameAccount) });
  assert.match(await setting.policy(), /^policy-/);
});

test('a policy of an earlier version that was given no role does nothing', async () => {
  await using setting = await Setting.make();
  const { world, scope } = setting;
  await setting.volume({ backup: 'yes' });
  const id = await setting.policy();
  await policies.changePolicy(world.ports, scope, id, (policy) => ({ ...policy, roleId: null }));
  assert.equal(await countAfterAnHour(setting), 0);
  assert.match(await stateOf(setting, id), /^ERROR /);
});
