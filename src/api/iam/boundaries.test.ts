import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessScene, codeOf, type Member } from '#api/access/scene.fake.ts';

// What changes users, roles and policies that are there: boundaries, default versions, tags, descriptions.

interface Answer {
  readonly code: string | null;
  readonly text: string;
}

async function iam(member: Member, action: string, parameters: Record<string, string> = {}): Promise<Answer> {
  const reply = await member.client.form('iam', { Action: action, Version: '2010-05-08', ...parameters });
  return { code: codeOf(reply), text: reply.text };
}

async function done(member: Member, action: string, parameters: Record<string, string> = {}): Promise<string> {
  const { code, text } = await iam(member, action, parameters);
  assert.equal(code, null, `${action}: ${text}`);
  return text;
}

function all(text: string, name: string): readonly string[] {
  return [...text.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map((match) => match[1] ?? '');
}

const document = (Effect: string, Action: string): string =>
  JSON.stringify({ Version: '2012-10-17', Statement: { Effect, Action, Resource: '*' } });
const TRUST = JSON.stringify({
  Version: '2012-10-17',
  Statement: { Effect: 'Allow', Principal: { Service: 'dlm.amazonaws.com' }, Action: 'sts:AssumeRole' },
});

async function mayDescribe(member: Member): Promise<boolean> {
  const reply = await member.client.form('ec2', { Action: 'DescribeVolumes', Version: '2016-11-15' });
  return codeOf(reply) === null;
}

test('a boundary that is put limits at once, and no longer when it is taken away', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const ana = await scene.user(root.account, 'ana', { Effect: 'Allow', Action: 'ec2:*', Resource: '*' });
  const boundary = { UserName: 'ana', PermissionsBoundary: 'arn:aws:iam::aws:policy/IAMReadOnlyAccess' };
  assert.equal(await mayDescribe(ana), true);
  await done(root, 'PutUserPermissionsBoundary', boundary);
  assert.equal(await mayDescribe(ana), false);
  assert.deepEqual(all(await done(root, 'GetUser', { UserName: 'ana' }), 'PermissionsBoundaryArn'), [
    boundary.PermissionsBoundary,
  ]);
  const none = { ...boundary, PermissionsBoundary: `arn:aws:iam::${root.account}:policy/none` };
  assert.equal((await iam(root, 'PutUserPermissionsBoundary', none)).code, 'NoSuchEntity');
  await done(root, 'DeleteUserPermissionsBoundary', { UserName: 'ana' });
  assert.equal(await mayDescribe(ana), true);
  assert.equal((await iam(root, 'DeleteUserPermissionsBoundary', { UserName: 'ana' })).code, 'NoSuchEntity');

  await done(root, 'CreateRole', { RoleName: 'r', AssumeRolePolicyDocument: TRUST });
  await done(root, 'PutRolePermissionsBoundary', { ...boundary, RoleName: 'r' });
  assert.equal(all(await done(root, 'GetRole', { RoleName: 'r' }), 'PermissionsBoundaryArn').length, 1);
  await done(root, 'DeleteRolePermissionsBoundary', { RoleName: 'r' });
  assert.equal(all(await done(root, 'GetRole', { RoleName: 'r' }), 'PermissionsBoundaryArn').length, 0);
});

test('who may set one boundary only sets no other, and may not take it away without leave', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const allowed = 'arn:aws:iam::aws:policy/ReadOnlyAccess';
  await scene.user(root.account, 'ana', null);
  const delegate = await scene.user(root.account, 'delegate', {
    Effect: 'Allow',
    Action: 'iam:PutUserPermissionsBoundary',
    Resource: '*',
    Condition: { StringEquals: { 'iam:PermissionsBoundary': allowed } },
  });
  const put = async (PermissionsBoundary: string): Promise<string | null> =>
    (await iam(delegate, 'PutUserPermissionsBoundary', { UserName: 'ana', PermissionsBoundary })).code;
  assert.equal(await put('arn:aws:iam::aws:policy/AdministratorAccess'), 'AccessDenied');
  assert.equal(await put(allowed), null);
  assert.equal((await iam(delegate, 'DeleteUserPermissionsBoundary', { UserName: 'ana' })).code, 'AccessDenied');
});

test('an earlier version of a policy is made the default one again', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const ana = await scene.user(root.account, 'ana', null);
  const made = await done(root, 'CreatePolicy', {
    PolicyName: 'p',
    PolicyDocument: document('Allow', 'ec2:Describe*'),
  });
  const PolicyArn = all(made, 'Arn')[0] ?? '';
  await done(root, 'AttachUserPolicy', { UserName: 'ana', PolicyArn });
  const deny = { PolicyArn, PolicyDocument: document('Deny', 'ec2:Describe*'), SetAsDefault: 'true' };
  await done(root, 'CreatePolicyVersion', deny);
  assert.equal(await mayDescribe(ana), false);
  await done(root, 'SetDefaultPolicyVersion', { PolicyArn, VersionId: 'v1' });
  assert.equal(await mayDescribe(ana), true);
  assert.deepEqual(all(await done(root, 'GetPolicy', { PolicyArn }), 'DefaultVersionId'), ['v1']);
  assert.equal((await iam(root, 'SetDefaultPolicyVersion', { PolicyArn, VersionId: 'v7' })).code, 'NoSuchEntity');
  const builtIn = { PolicyArn: 'arn:aws:iam::aws:policy/ReadOnlyAccess', VersionId: 'v1' };
  assert.equal((await iam(root, 'SetDefaultPolicyVersion', builtIn)).code, 'AccessDenied');
});

test('a policy has tags, and tells whom it is attached to and whose boundary it is', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const made = await done(root, 'CreatePolicy', { PolicyName: 'p', PolicyDocument: document('Allow', 'ec2:*') });
  const PolicyArn = all(made, 'Arn')[0] ?? '';
  await done(root, 'TagPolicy', { PolicyArn, 'Tags.member.1.Key': 'team', 'Tags.member.1.Value': 'red' });
  assert.deepEqual(all(await done(root, 'ListPolicyTags', { PolicyArn }), 'Value'), ['red']);
  const tags = { Effect: 'Allow', Action: 'iam:UntagPolicy', Resource: '*' };
  const Condition = { StringEquals: { 'aws:ResourceTag/team': 'red' } };
  const ana = await scene.user(root.account, 'ana', { ...tags, Condition });
  await done(ana, 'UntagPolicy', { PolicyArn, 'TagKeys.member.1': 'team' });
  assert.deepEqual(all(await done(root, 'ListPolicyTags', { PolicyArn }), 'Value'), []);

  await done(root, 'CreateUser', { UserName: 'bo', Path: '/ops/' });
  for (const RoleName of ['r', 's']) await done(root, 'CreateRole', { RoleName, AssumeRolePolicyDocument: TRUST });
  for (const UserName of ['ana', 'bo']) await done(root, 'AttachUserPolicy', { UserName, PolicyArn });
  await done(root, 'AttachRolePolicy', { RoleName: 'r', PolicyArn });
  await done(root, 'PutRolePermissionsBoundary', { RoleName: 's', PermissionsBoundary: PolicyArn });
  const entities = async (filter: Record<string, string>): Promise<readonly string[]> => {
    const text = await done(root, 'ListEntitiesForPolicy', { PolicyArn, ...filter });
    return [...all(text, 'UserName'), ...all(text, 'RoleName')];
  };
  assert.deepEqual(await entities({}), ['ana', 'bo', 'r', 's']);
  assert.deepEqual(await entities({ EntityFilter: 'Role' }), ['r', 's']);
  assert.deepEqual(await entities({ PolicyUsageFilter: 'PermissionsBoundary' }), ['s']);
  assert.deepEqual(await entities({ PolicyUsageFilter: 'PermissionsPolicy', PathPrefix: '/ops/' }), ['bo']);
});

test('a role has another description and other sessions', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  await done(root, 'CreateRole', { RoleName: 'r', AssumeRolePolicyDocument: TRUST });
  await done(root, 'UpdateRole', { RoleName: 'r', MaxSessionDuration: '7200', Description: 'one' });
  const text = await done(root, 'UpdateRoleDescription', { RoleName: 'r', Description: 'two' });
  assert.deepEqual([all(text, 'MaxSessionDuration'), all(text, 'Description')], [['7200'], ['two']]);
  const short = await iam(root, 'UpdateRole', { RoleName: 'r', MaxSessionDuration: '60' });
  assert.equal(short.code, 'ValidationError');
  assert.equal((await iam(root, 'UpdateRole', { RoleName: 'none' })).code, 'NoSuchEntity');
});
