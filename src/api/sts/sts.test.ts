import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessScene, codeOf, type Member } from '#api/access/scene.fake.ts';
import type { ClientReply, SigningClient } from '#api/signing-client.fake.ts';

async function sts(
  client: SigningClient,
  action: string,
  parameters: Record<string, string> = {},
): Promise<ClientReply> {
  return await client.form('sts', { Action: action, Version: '2011-06-15', ...parameters });
}

function element(text: string, name: string): string {
  return (new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1] ?? '').replaceAll('&amp;', '&');
}

async function role(member: Member, name: string, trust: object, more: Record<string, string> = {}): Promise<string> {
  const document = JSON.stringify({
    Version: '2012-10-17',
    Statement: { Effect: 'Allow', Action: 'sts:AssumeRole', ...trust },
  });
  const parameters = {
    Action: 'CreateRole',
    Version: '2010-05-08',
    RoleName: name,
    AssumeRolePolicyDocument: document,
  };
  const made = await member.client.form('iam', { ...parameters, ...more });
  assert.equal(codeOf(made), null, made.text);
  return element(made.text, 'Arn');
}

async function allow(member: Member, roleName: string, statement: object): Promise<void> {
  const document = JSON.stringify({ Version: '2012-10-17', Statement: statement });
  const parameters = { RoleName: roleName, PolicyName: 'policy', PolicyDocument: document };
  const put = await member.client.form('iam', { Action: 'PutRolePolicy', Version: '2010-05-08', ...parameters });
  assert.equal(codeOf(put), null, put.text);
}

function sessionClient(scene: AccessScene, reply: ClientReply): SigningClient {
  assert.equal(codeOf(reply), null, reply.text);
  return scene.client({
    accessKeyId: element(reply.text, 'AccessKeyId'),
    secretAccessKey: element(reply.text, 'SecretAccessKey'),
    sessionToken: element(reply.text, 'SessionToken'),
  });
}

const assume = (arn: string, more: Record<string, string> = {}): Record<string, string> => ({
  RoleArn: arn,
  RoleSessionName: 'nightly',
  ...more,
});

const DESCRIBE = { Action: 'DescribeVolumes', Version: '2016-11-15' };
const ALL = { Effect: 'Allow', Action: '*', Resource: '*' };

test('who one is: the root, a user, a session of a role', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const { account } = root;
  assert.equal(element((await sts(root.client, 'GetCallerIdentity')).text, 'Arn'), `arn:aws:iam::${account}:root`);
  const ana = await scene.user(account, 'ana', null);
  const who = await sts(ana.client, 'GetCallerIdentity');
  assert.equal(element(who.text, 'Arn'), `arn:aws:iam::${account}:user/ana`);
  assert.match(element(who.text, 'UserId'), /^AIDA/);
  const arn = await role(root, 'backup', { Principal: { AWS: `arn:aws:iam::${account}:user/ana` } });
  const session = sessionClient(scene, await sts(ana.client, 'AssumeRole', assume(arn)));
  const identity = await sts(session, 'GetCallerIdentity');
  assert.equal(element(identity.text, 'Arn'), `arn:aws:sts::${account}:assumed-role/backup/nightly`);
  assert.match(element(identity.text, 'UserId'), /^AROA[A-Z2-7]{17}:nightly$/);
});

test('a role is assumed by whom it trusts, and by nobody else', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const { account } = root;
  const away = await scene.root();
  const ana = await scene.user(account, 'ana', null);
  const bo = await scene.user(account, 'bo', { Effect: 'Allow', Action: 'sts:AssumeRole', Resource: '*' });
  const eve = await scene.user(away.account, 'eve', { Effect: 'Allow', Action: 'sts:AssumeRole', Resource: '*' });
  const dan = await scene.user(away.account, 'dan', null);
  const names = new Map<Member, string>([
    [ana, 'ana'],
    [bo, 'bo'],
    [eve, 'eve'],
    [dan, 'dan'],
    [root, 'root'],
  ]);
  const may = async (arn: string, more: Record<string, string> = {}): Promise<readonly string[]> => {
    const list: string[] = [];
    for (const [member, name] of names) {
      const code = codeOf(await sts(member.client, 'AssumeRole', assume(arn, more)));
      if (code === null) list.push(name);
      else assert.equal(code, 'AccessDenied', name);
    }
    return list;
  };
  assert.deepEqual(await may(await role(root, 'one', { Principal: { AWS: `arn:aws:iam::${account}:user/ana` } })), [
    'ana',
  ]);
  assert.deepEqual(await may(await role(root, 'own', { Principal: { AWS: account } })), ['bo', 'root']);
  assert.deepEqual(await may(await role(root, 'away', { Principal: { AWS: away.account } })), ['eve']);
  assert.deepEqual(
    await may(await role(root, 'dan', { Principal: { AWS: `arn:aws:iam::${away.account}:user/dan` } })),
    [],
  );
  const secret = await role(root, 'secret', {
    Principal: { AWS: account },
    Condition: { StringEquals: { 'sts:ExternalId': 'agreed' } },
  });
  assert.deepEqual(await may(secret), []);
  assert.deepEqual(await may(secret, { ExternalId: 'other' }), []);
  assert.deepEqual(await may(secret, { ExternalId: 'agreed' }), ['bo', 'root']);
  assert.deepEqual(await may(`arn:aws:iam::${account}:role/nothing`), []);
  const tags = { 'Tags.member.1.Key': 'a', 'Tags.member.1.Value': 'b' };
  assert.deepEqual(await may(`arn:aws:iam::${account}:role/own`, tags), [], 'tags need leave of their own');
});

test('a name that is given again is trusted for nothing that its former owner was', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const { account } = root;
  const ana = await scene.user(account, 'ana', null);
  const arn = await role(root, 'backup', { Principal: { AWS: `arn:aws:iam::${account}:user/ana` } });
  assert.equal(codeOf(await sts(ana.client, 'AssumeRole', assume(arn))), null);
  const iam = { Version: '2010-05-08', UserName: 'ana' };
  await root.client.form('iam', { ...iam, Action: 'DeleteAccessKey', AccessKeyId: ana.key.accessKeyId });
  await root.client.form('iam', { ...iam, Action: 'DeleteUser' });
  const other = await scene.user(account, 'ana', null);
  assert.equal(codeOf(await sts(other.client, 'AssumeRole', assume(arn))), 'AccessDenied');
});

test('a session may what its role may, within its session policy, as long as it lasts', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const arn = await role(root, 'backup', { Principal: { AWS: root.account } });
  const open = async (more: Record<string, string> = {}): Promise<SigningClient> =>
    sessionClient(scene, await sts(root.client, 'AssumeRole', assume(arn, more)));
  const describe = async (client: SigningClient): Promise<string | null> => codeOf(await client.form('ec2', DESCRIBE));
  const session = await open();
  assert.equal(await describe(session), 'UnauthorizedOperation');
  await allow(root, 'backup', ALL);
  assert.equal(await describe(session), null);
  const policy = (statement: object): string => JSON.stringify({ Version: '2012-10-17', Statement: statement });
  const limited = await open({ Policy: policy({ Effect: 'Allow', Action: 'kms:*', Resource: '*' }) });
  assert.equal(await describe(limited), 'UnauthorizedOperation');
  const managed = await open({ 'PolicyArns.member.1.arn': 'arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess' });
  assert.equal(await describe(managed), null);
  const create = { Action: 'CreateVolume', Version: '2016-11-15', AvailabilityZone: 'us-east-1a', Size: '1' };
  assert.equal(codeOf(await managed.form('ec2', create)), 'UnauthorizedOperation');

  await scene.world.clock.advance(3601_000);
  assert.equal(await describe(session), 'RequestExpired');
  assert.equal(codeOf(await sts(session, 'GetCallerIdentity')), 'ExpiredToken');
  assert.equal(
    codeOf(await session.json('GetDisks', {}, { atMs: scene.world.clock.nowMs() })),
    'ExpiredTokenException',
  );

  const other = await open();
  await root.client.form('iam', {
    Action: 'DeleteRolePolicy',
    Version: '2010-05-08',
    RoleName: 'backup',
    PolicyName: 'policy',
  });
  await root.client.form('iam', { Action: 'DeleteRole', Version: '2010-05-08', RoleName: 'backup' });
  assert.equal(codeOf(await sts(other, 'GetCallerIdentity')), 'InvalidClientTokenId');
  await role(root, 'backup', { Principal: { AWS: root.account } });
  assert.equal(codeOf(await sts(other, 'GetCallerIdentity')), 'InvalidClientTokenId', 'made anew, it is another role');
});

test('what a session asks for is checked', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const arn = await role(root, 'backup', { Principal: { AWS: root.account } });
  const code = async (more: Record<string, string>): Promise<string | null> =>
    codeOf(await sts(root.client, 'AssumeRole', assume(arn, more)));
  assert.equal(await code({ DurationSeconds: '899' }), 'ValidationError');
  assert.equal(await code({ DurationSeconds: '3601' }), 'ValidationError');
  assert.equal(await code({ DurationSeconds: '900' }), null);
  assert.equal(await code({ RoleSessionName: 'a' }), 'ValidationError');
  assert.equal(await code({ RoleSessionName: 'a b' }), 'ValidationError');
  const tags: Record<string, string> = {};
  for (let number = 1; number <= 50; number += 1) {
    tags[`Tags.member.${number}.Key`] = `key-${number}`;
    tags[`Tags.member.${number}.Value`] = 'x'.repeat(256);
  }
  await root.client.form('iam', {
    Action: 'UpdateAssumeRolePolicy',
    Version: '2010-05-08',
    RoleName: 'backup',
    PolicyDocument: JSON.stringify({
      Statement: { Effect: 'Allow', Action: 'sts:*', Principal: { AWS: root.account } },
    }),
  });
  assert.equal(await code(tags), 'PackedPolicyTooLarge');
  assert.equal(await code({ Policy: '{' }), 'MalformedPolicyDocument');
  assert.equal(await code({ 'PolicyArns.member.1.arn': 'arn:aws:iam::aws:policy/None' }), 'NoSuchEntity');
});

test('a session token is of its key, and of this server', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const ana = await scene.user(root.account, 'ana', ALL);
  const [first, second] = [await sts(ana.client, 'GetSessionToken'), await sts(ana.client, 'GetSessionToken')];
  const key = (reply: ClientReply, some: Record<string, string> = {}): SigningClient =>
    scene.client({
      accessKeyId: element(reply.text, 'AccessKeyId'),
      secretAccessKey: element(reply.text, 'SecretAccessKey'),
      sessionToken: element(reply.text, 'SessionToken'),
      ...some,
    });
  const code = async (client: SigningClient): Promise<string | null> => codeOf(await sts(client, 'GetCallerIdentity'));
  assert.equal(await code(key(first)), null);
  assert.equal(await code(key(first, { sessionToken: element(second.text, 'SessionToken') })), 'InvalidClientTokenId');
  assert.equal(
    await code(key(first, { sessionToken: `${element(first.text, 'SessionToken')}A` })),
    'InvalidClientTokenId',
  );
  const { sessionToken: _none, ...bare } = {
    accessKeyId: element(first.text, 'AccessKeyId'),
    secretAccessKey: element(first.text, 'SecretAccessKey'),
    sessionToken: '',
  };
  assert.equal(await code(scene.client(bare)), 'InvalidClientTokenId');
  assert.equal(
    await code(scene.client({ ...ana.key, sessionToken: element(first.text, 'SessionToken') })),
    'InvalidClientTokenId',
  );
  assert.equal(codeOf(await sts(key(first), 'GetSessionToken')), 'AccessDenied');
  // It outlives a restart.
  await scene.restart();
  assert.equal(await code(key(first)), null);
});

test('who began a chain of sessions, and with which tags, stays through the chain', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const trust = {
    Action: ['sts:AssumeRole', 'sts:TagSession', 'sts:SetSourceIdentity'],
    Principal: { AWS: root.account },
  };
  const first = await role(root, 'first', trust);
  const second = await role(root, 'second', trust);
  await allow(root, 'first', ALL);
  await allow(root, 'second', {
    ...ALL,
    Condition: {
      StringEquals: { 'aws:SourceIdentity': 'ana', 'aws:PrincipalTag/team': 'red' },
      Null: { 'aws:PrincipalTag/note': 'true' },
    },
  });
  const tags = {
    'Tags.member.1.Key': 'team',
    'Tags.member.1.Value': 'red',
    'Tags.member.2.Key': 'note',
    'Tags.member.2.Value': 'x',
    'TransitiveTagKeys.member.1': 'team',
    SourceIdentity: 'ana',
  };
  const one = sessionClient(scene, await sts(root.client, 'AssumeRole', assume(first, tags)));
  const two = sessionClient(scene, await sts(one, 'AssumeRole', assume(second)));
  assert.equal(codeOf(await two.form('ec2', DESCRIBE)), null);
  assert.equal(codeOf(await sts(one, 'AssumeRole', assume(second, { SourceIdentity: 'bo' }))), 'InvalidInput');
  assert.equal(codeOf(await sts(one, 'AssumeRole', assume(second, { DurationSeconds: '3601' }))), 'ValidationError');
  for (const key of ['team', 'Team']) {
    const other = assume(second, { 'Tags.member.1.Key': key, 'Tags.member.1.Value': 'blue' });
    assert.equal(codeOf(await sts(one, 'AssumeRole', other)), 'InvalidInput', key);
  }
  const bare = sessionClient(scene, await sts(root.client, 'AssumeRole', assume(second)));
  assert.equal(codeOf(await bare.form('ec2', DESCRIBE)), 'UnauthorizedOperation');
});

test('a key id tells its account', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const ana = await scene.user(root.account, 'ana', null);
  const token = await sts(ana.client, 'GetSessionToken');
  for (const id of [root.key.accessKeyId, ana.key.accessKeyId, element(token.text, 'AccessKeyId')]) {
    const info = await sts(root.client, 'GetAccessKeyInfo', { AccessKeyId: id });
    assert.equal(element(info.text, 'Account'), root.account);
  }
  assert.equal(
    codeOf(await sts(root.client, 'GetAccessKeyInfo', { AccessKeyId: 'AKIAAAAAAAAAAAAAAAAA' })),
    'ValidationError',
  );
});
