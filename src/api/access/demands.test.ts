import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { regionName, newAccountId } from '#domain/ids.ts';
import { rootPrincipal } from '#domain/principal.ts';
import { loadModel, structureOf } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { actionTypes } from './actions.ts';
import type { Demand, Input } from './demand.ts';
import { planOf } from './demands.ts';

const ACCOUNT = newAccountId(new SeededRandom(1));
const SCOPE = { account: ACCOUNT, region: regionName('us-east-1') };

function demandsOf(service: ServiceName, operation: string, input: Input): readonly Demand[] {
  return planOf(service, { scope: SCOPE, operation, input }, rootPrincipal(ACCOUNT)).demands([]);
}

function membersOf(service: ServiceName, operation: string): readonly string[] {
  const model = loadModel(service);
  const shape = model.operations.get(operation)?.input;
  return shape === undefined ? [] : [...structureOf(model, shape).members.keys()];
}

const NAMES = {
  volume: { id: 'vol-0123456789abcdef0', arn: `arn:aws:ec2:us-east-1:${ACCOUNT}:volume/` },
  snapshot: { id: 'snap-0123456789abcdef0', arn: 'arn:aws:ec2:us-east-1::snapshot/' },
  instance: { id: 'i-0123456789abcdef0', arn: `arn:aws:ec2:us-east-1:${ACCOUNT}:instance/` },
} as const;

test('what an operation of EC2 names is what it is decided on, whatever the member is called', () => {
  for (const operation of loadModel('ec2').operations.keys()) {
    const types = actionTypes('ec2', operation);
    if (operation === 'CreateTags' || operation === 'DeleteTags') continue;
    for (const type of ['volume', 'snapshot', 'instance'] as const) {
      if (!types.includes(type)) continue;
      const pattern = new RegExp(`^(?:Source)?${type}Ids?$`, 'i');
      for (const member of membersOf('ec2', operation).filter((name) => pattern.test(name))) {
        const { id, arn } = NAMES[type];
        const input = { [member]: member.endsWith('s') ? [id] : id };
        const on = demandsOf('ec2', operation, input).map(({ resource }) => resource);
        assert(on.includes(`${arn}${id}`), `${operation} ${member}: ${on.join(' ')}`);
      }
    }
  }
});

test('every operation of every service has demands, but for the two that need no leave, and KMS, which decides by keys', () => {
  const free: string[] = [];
  for (const service of ['ec2', 'lightsail', 'ebs', 'rbin', 'dlm', 'iam', 'sts'] as const) {
    for (const operation of loadModel(service).operations.keys()) {
      const demands = demandsOf(service, operation, {});
      if (demands.length === 0) free.push(`${service}:${operation}`);
      else if (service !== 'sts') assert.equal(demands[0]?.action, `${service}:${operation}`);
    }
  }
  assert.deepEqual(free, ['sts:GetCallerIdentity', 'sts:GetSessionToken']);
});

test('with whom a snapshot is shared is a condition, in either form of the request', () => {
  const value = (demands: readonly Demand[], key: string): readonly string[] | undefined =>
    demands[0]?.keys.find(([name]) => name === key)?.[1];
  const flat = { SnapshotId: NAMES.snapshot.id, OperationType: 'add', GroupNames: ['all'] };
  assert.deepEqual(value(demandsOf('ec2', 'ModifySnapshotAttribute', flat), 'ec2:add/group'), ['all']);
  const structured = {
    SnapshotId: NAMES.snapshot.id,
    CreateVolumePermission: { Remove: [{ UserId: '111122223333' }] },
  };
  const removing = demandsOf('ec2', 'ModifySnapshotAttribute', structured);
  assert.deepEqual(value(removing, 'ec2:remove/userid'), ['111122223333']);
  assert.equal(value(removing, 'ec2:add/userid'), undefined);
});

test('a role that is given to a lifecycle policy must be allowed to be passed', () => {
  const role = `arn:aws:iam::${ACCOUNT}:role/r`;
  const demands = demandsOf('dlm', 'CreateLifecyclePolicy', { ExecutionRoleArn: role });
  assert.deepEqual(
    demands.map(({ action, resource }) => `${action} ${resource}`),
    ['dlm:CreateLifecyclePolicy *', `iam:PassRole ${role}`],
  );
});

test('tags on creation need leave of their own', () => {
  const arn = (service: string, rest: string): string => `arn:aws:${service}:us-east-1:${ACCOUNT}:${rest}`;
  const iam = `arn:aws:iam::${ACCOUNT}:`;
  const Tags = [{ Key: 'team', Value: 'red' }];
  const cases = [
    ['iam', 'CreateUser', { UserName: 'u', Tags }, `iam:TagUser ${iam}user/u`],
    ['iam', 'CreateRole', { RoleName: 'r', Path: '/a/', Tags }, `iam:TagRole ${iam}role/a/r`],
    ['iam', 'CreatePolicy', { PolicyName: 'p', Tags }, `iam:TagPolicy ${iam}policy/p`],
    ['rbin', 'CreateRule', { ResourceType: 'EBS_SNAPSHOT', Tags }, `rbin:TagResource ${arn('rbin', 'rule/*')}`],
    ['dlm', 'CreateLifecyclePolicy', { Tags: { team: 'red' } }, `dlm:TagResource ${arn('dlm', 'policy/*')}`],
  ] as const;
  for (const [service, operation, input, tagging] of cases) {
    const demands = demandsOf(service, operation, input);
    assert.deepEqual(
      demands.slice(1).map(({ action, resource }) => `${action} ${resource}`),
      [tagging],
    );
    for (const { keys } of demands) {
      assert.deepEqual(
        keys.filter(([key]) => key === 'aws:requesttag/team' || key === 'aws:tagkeys'),
        [
          ['aws:requesttag/team', ['red']],
          ['aws:tagkeys', ['team']],
        ],
        operation,
      );
    }
    const { Tags: _tags, ...untagged } = input as { readonly Tags?: unknown };
    assert.equal(demandsOf(service, operation, untagged).length, 1, operation);
  }
});

test('no name of a request means anything to a table but the names in it', () => {
  for (const name of ['__proto__', 'constructor', 'toString']) {
    for (const service of ['ec2', 'lightsail', 'ebs', 'rbin', 'dlm', 'iam', 'sts', 'kms'] as const) {
      const input = Object.fromEntries([
        [name, 'x'],
        ['TagSpecifications', [{ ResourceType: name, Tags: [{ Key: name }] }]],
      ]);
      for (const { keys } of demandsOf(service, 'CreateVolume', input)) assert(Array.isArray(keys));
      demandsOf(service, name, input);
    }
  }
});
