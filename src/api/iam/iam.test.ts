import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessScene, codeOf, type Member } from '#api/access/scene.fake.ts';
import type { ClientReply } from '#api/signing-client.fake.ts';

async function iam(
  member: Member,
  action: string,
  parameters: Record<string, string> = {},
  invocation?: string,
): Promise<ClientReply & { readonly code: string | null }> {
  const headers = invocation === undefined ? {} : { 'amz-sdk-invocation-id': invocation };
  const reply = await member.client.form('iam', { Action: action, Version: '2010-05-08', ...parameters }, { headers });
  return { ...reply, code: codeOf(reply) };
}

function element(text: string, name: string): string {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1] ?? '';
}

const ALLOW = JSON.stringify({
  Version: '2012-10-17',
  Statement: { Effect: 'Allow', Action: 'ec2:Describe*', Resource: '*' },
});

test('users: made, found whatever the case, listed by name in pages, renamed, deleted', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const made = await iam(root, 'CreateUser', {
    UserName: 'Ana',
    Path: '/team/',
    'Tags.member.1.Key': 'a',
    'Tags.member.1.Value': '1',
  });
  assert.equal(made.code, null, made.text);
  assert.equal(element(made.text, 'Arn'), `arn:aws:iam::${root.account}:user/team/Ana`);
  assert.match(element(made.text, 'UserId'), /^AIDA[A-Z2-7]{17}$/);
  assert.equal((await iam(root, 'CreateUser', { UserName: 'ana' })).code, 'EntityAlreadyExists');
  assert.equal(element((await iam(root, 'GetUser', { UserName: 'ANA' })).text, 'UserName'), 'Ana');
  for (const name of ['bo', 'cy', 'di']) await iam(root, 'CreateUser', { UserName: name });
  const names: string[] = [];
  for (let marker = ''; ;) {
    const page = await iam(root, 'ListUsers', { MaxItems: '2', ...(marker === '' ? {} : { Marker: marker }) });
    names.push(...[...page.text.matchAll(/<UserName>([^<]+)</g)].map((match) => match[1] ?? ''));
    if (element(page.text, 'IsTruncated') === 'false') break;
    marker = element(page.text, 'Marker');
  }
  assert.deepEqual(names, ['Ana', 'bo', 'cy', 'di']);
  const under = await iam(root, 'ListUsers', { PathPrefix: '/team/' });
  assert.equal(under.text.match(/<UserName>/g)?.length, 1);
  assert.equal((await iam(root, 'ListUsers', { MaxItems: '0' })).code, 'ValidationError');
  assert.equal((await iam(root, 'ListUsers', { Marker: 'x' })).code, 'ValidationError');

  assert.equal((await iam(root, 'UpdateUser', { UserName: 'Ana', NewUserName: 'bo' })).code, 'EntityAlreadyExists');
  assert.equal((await iam(root, 'UpdateUser', { UserName: 'Ana', NewUserName: 'Eve', NewPath: '/' })).code, null);
  const renamed = await iam(root, 'GetUser', { UserName: 'eve' });
  assert.equal(element(renamed.text, 'UserId'), element(made.text, 'UserId'));
  assert.match(renamed.text, /<Key>a<\/Key>/);
  assert.equal((await iam(root, 'DeleteUser', { UserName: 'Eve' })).code, null);
  assert.equal((await iam(root, 'GetUser', { UserName: 'Eve' })).code, 'NoSuchEntity');
  assert.equal((await iam(root, 'CreateUser', { UserName: 'a b' })).code, 'ValidationError');
  assert.equal((await iam(root, 'CreateUser', { UserName: 'ok', Path: 'x' })).code, 'InvalidInput');
});

test('access keys: two at most, signed with at once, not while inactive or deleted, and told when last used', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  await iam(root, 'CreateUser', { UserName: 'ana' });
  const made = await iam(root, 'CreateAccessKey', { UserName: 'ana' });
  const accessKeyId = element(made.text, 'AccessKeyId');
  const ana: Member = {
    ...root,
    client: scene.client({ accessKeyId, secretAccessKey: element(made.text, 'SecretAccessKey') }),
  };
  const whoami = async (): Promise<string | null> =>
    codeOf(await ana.client.form('sts', { Action: 'GetCallerIdentity', Version: '2011-06-15' }));
  assert.equal(await whoami(), null);
  assert.equal((await iam(root, 'CreateAccessKey', { UserName: 'ana' })).code, null);
  assert.equal((await iam(root, 'CreateAccessKey', { UserName: 'ana' })).code, 'LimitExceeded');
  const listed = await iam(root, 'ListAccessKeys', { UserName: 'ana' });
  assert.equal(listed.text.match(/<AccessKeyId>/g)?.length, 2);
  assert(!listed.text.includes('Secret'), 'a secret is told once');

  await iam(root, 'UpdateAccessKey', { UserName: 'ana', AccessKeyId: accessKeyId, Status: 'Inactive' });
  assert.equal(await whoami(), 'InvalidClientTokenId');
  await iam(root, 'UpdateAccessKey', { UserName: 'ana', AccessKeyId: accessKeyId, Status: 'Active' });
  assert.equal(await whoami(), null);
  const used = await iam(root, 'GetAccessKeyLastUsed', { AccessKeyId: accessKeyId });
  assert.equal(element(used.text, 'UserName'), 'ana');
  assert.equal(element(used.text, 'ServiceName'), 'sts');
  assert.equal((await iam(root, 'DeleteUser', { UserName: 'ana' })).code, 'DeleteConflict');
  await iam(root, 'DeleteAccessKey', { UserName: 'ana', AccessKeyId: accessKeyId });
  assert.equal(await whoami(), 'InvalidClientTokenId');
  assert.equal(
    (await iam(root, 'DeleteAccessKey', { UserName: 'ana', AccessKeyId: accessKeyId })).code,
    'NoSuchEntity',
  );
});

test('managed policies: versions, the default one counts, at most five, not deleted while in use', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const made = await iam(root, 'CreatePolicy', { PolicyName: 'reads', PolicyDocument: ALLOW });
  const arn = element(made.text, 'Arn');
  assert.equal(arn, `arn:aws:iam::${root.account}:policy/reads`);
  assert.equal(
    (await iam(root, 'CreatePolicy', { PolicyName: 'reads', PolicyDocument: ALLOW })).code,
    'EntityAlreadyExists',
  );
  const bad = await iam(root, 'CreatePolicy', {
    PolicyName: 'bad',
    PolicyDocument: '{"Statement":{"Effect":"Allow"}}',
  });
  assert.equal(bad.code, 'MalformedPolicyDocument');
  assert.match(bad.text, /must contain actions/);
  const ana = await scene.user(root.account, 'ana', null);
  const describe = async (): Promise<string | null> =>
    codeOf(await ana.client.form('ec2', { Action: 'DescribeVolumes', Version: '2016-11-15' }));
  assert.equal(await describe(), 'UnauthorizedOperation');
  assert.equal((await iam(root, 'AttachUserPolicy', { UserName: 'ana', PolicyArn: arn })).code, null);
  assert.equal(await describe(), null);

  const deny = ALLOW.replace('Allow', 'Deny');
  assert.equal((await iam(root, 'CreatePolicyVersion', { PolicyArn: arn, PolicyDocument: deny })).code, null);
  assert.equal(await describe(), null, 'the new version is not the default one');
  await iam(root, 'CreatePolicyVersion', { PolicyArn: arn, PolicyDocument: deny, SetAsDefault: 'true' });
  assert.equal(await describe(), 'UnauthorizedOperation');
  assert.equal((await iam(root, 'DeletePolicyVersion', { PolicyArn: arn, VersionId: 'v3' })).code, 'DeleteConflict');
  assert.equal((await iam(root, 'DeletePolicyVersion', { PolicyArn: arn, VersionId: 'v9' })).code, 'NoSuchEntity');
  for (let count = 0; count < 2; count += 1)
    await iam(root, 'CreatePolicyVersion', { PolicyArn: arn, PolicyDocument: ALLOW });
  assert.equal(
    (await iam(root, 'CreatePolicyVersion', { PolicyArn: arn, PolicyDocument: ALLOW })).code,
    'LimitExceeded',
  );
  const versions = await iam(root, 'ListPolicyVersions', { PolicyArn: arn });
  assert.deepEqual(
    [...versions.text.matchAll(/<VersionId>([^<]+)</g)].map((match) => match[1]),
    ['v5', 'v4', 'v3', 'v2', 'v1'],
  );
  const version = await iam(root, 'GetPolicyVersion', { PolicyArn: arn, VersionId: 'v1' });
  assert.equal(decodeURIComponent(element(version.text, 'Document')), ALLOW);

  assert.equal((await iam(root, 'DeletePolicy', { PolicyArn: arn })).code, 'DeleteConflict');
  assert.equal(element((await iam(root, 'GetPolicy', { PolicyArn: arn })).text, 'AttachmentCount'), '1');
  assert.equal((await iam(root, 'DeleteUser', { UserName: 'ana' })).code, 'DeleteConflict');
  await iam(root, 'DetachUserPolicy', { UserName: 'ana', PolicyArn: arn });
  assert.equal((await iam(root, 'DetachUserPolicy', { UserName: 'ana', PolicyArn: arn })).code, 'NoSuchEntity');
  for (const id of ['v1', 'v2', 'v4', 'v5']) await iam(root, 'DeletePolicyVersion', { PolicyArn: arn, VersionId: id });
  assert.equal((await iam(root, 'DeletePolicy', { PolicyArn: arn })).code, null);
  assert.equal((await iam(root, 'GetPolicy', { PolicyArn: arn })).code, 'NoSuchEntity');
});

test("AWS's managed policies are there, and nobody's to change", async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const arn = 'arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess';
  const ana = await scene.user(root.account, 'ana', null);
  assert.equal((await iam(root, 'AttachUserPolicy', { UserName: 'ana', PolicyArn: arn })).code, null);
  assert.equal(codeOf(await ana.client.form('ec2', { Action: 'DescribeVolumes', Version: '2016-11-15' })), null);
  const create = { Action: 'CreateVolume', Version: '2016-11-15', AvailabilityZone: 'us-east-1a', Size: '1' };
  assert.equal(codeOf(await ana.client.form('ec2', create)), 'UnauthorizedOperation');
  assert.equal((await iam(root, 'DeletePolicy', { PolicyArn: arn })).code, 'AccessDenied');
  assert.match((await iam(root, 'ListPolicies', { Scope: 'AWS' })).text, /AdministratorAccess/);
  assert.doesNotMatch((await iam(root, 'ListPolicies', { Scope: 'Local' })).text, /AdministratorAccess/);
  assert.match((await iam(root, 'ListPolicies', { OnlyAttached: 'true' })).text, /AmazonEC2ReadOnlyAccess/);
});

test('inline policies and boundaries: put, read back, limited together', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const boundary = element(
    (await iam(root, 'CreatePolicy', { PolicyName: 'edge', PolicyDocument: ALLOW })).text,
    'Arn',
  );
  assert.equal(
    (await iam(root, 'CreateUser', { UserName: 'bo', PermissionsBoundary: 'arn:aws:iam::aws:policy/None' })).code,
    'NoSuchEntity',
  );
  await iam(root, 'CreateUser', { UserName: 'bo', PermissionsBoundary: boundary });
  const all = JSON.stringify({ Version: '2012-10-17', Statement: { Effect: 'Allow', Action: '*', Resource: '*' } });
  for (const name of ['one', '__proto__']) {
    assert.equal(
      (await iam(root, 'PutUserPolicy', { UserName: 'bo', PolicyName: name, PolicyDocument: all })).code,
      null,
    );
    const read = await iam(root, 'GetUserPolicy', { UserName: 'bo', PolicyName: name });
    assert.equal(decodeURIComponent(element(read.text, 'PolicyDocument')), all);
  }
  const key = await iam(root, 'CreateAccessKey', { UserName: 'bo' });
  const bo = scene.client({
    accessKeyId: element(key.text, 'AccessKeyId'),
    secretAccessKey: element(key.text, 'SecretAccessKey'),
  });
  assert.equal(codeOf(await bo.form('ec2', { Action: 'DescribeVolumes', Version: '2016-11-15' })), null);
  const remove = { Action: 'DeleteVolume', Version: '2016-11-15', VolumeId: 'vol-0123456789abcdef0' };
  assert.equal(codeOf(await bo.form('ec2', remove)), 'UnauthorizedOperation', 'the boundary is a limit');
  assert.equal((await iam(root, 'DeletePolicy', { PolicyArn: boundary })).code, 'DeleteConflict');

  const simulated = await iam(root, 'SimulatePrincipalPolicy', {
    PolicySourceArn: `arn:aws:iam::${root.account}:user/bo`,
    'ActionNames.member.1': 'ec2:DescribeVolumes',
    'ActionNames.member.2': 'ec2:DeleteVolume',
  });
  assert.deepEqual(
    [...simulated.text.matchAll(/<EvalDecision>([^<]+)</g)].map((match) => match[1]),
    ['allowed', 'implicitDeny'],
  );

  const long = JSON.stringify({
    Version: '2012-10-17',
    Statement: { Effect: 'Allow', Action: 'a:b', Resource: `arn:${'x'.repeat(2100)}:*` },
  });
  assert.equal(
    (await iam(root, 'PutUserPolicy', { UserName: 'bo', PolicyName: 'long', PolicyDocument: long })).code,
    'LimitExceeded',
  );
  assert.equal((await iam(root, 'DeleteUserPolicy', { UserName: 'bo', PolicyName: 'none' })).code, 'NoSuchEntity');
  assert.equal((await iam(root, 'DeleteUserPolicy', { UserName: 'bo', PolicyName: '__proto__' })).code, null);
  const names = await iam(root, 'ListUserPolicies', { UserName: 'bo' });
  assert.deepEqual(
    [...names.text.matchAll(/<member>([^<]+)</g)].map((match) => match[1]),
    ['one'],
  );
});

test('a creation that is repeated, also after a restart, finds its own work', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const calls: readonly (readonly [string, Record<string, string>, string])[] = [
    ['CreateUser', { UserName: 'ana' }, 'UserId'],
    ['CreateAccessKey', { UserName: 'ana' }, 'AccessKeyId'],
    ['CreatePolicy', { PolicyName: 'p', PolicyDocument: ALLOW }, 'PolicyId'],
    ['CreatePolicyVersion', { PolicyArn: `arn:aws:iam::${root.account}:policy/p`, PolicyDocument: ALLOW }, 'VersionId'],
    [
      'CreateRole',
      {
        RoleName: 'r',
        AssumeRolePolicyDocument: JSON.stringify({
          Statement: { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: '*' },
        }),
      },
      'RoleId',
    ],
  ];
  const first: string[] = [];
  for (const [action, parameters, id] of calls)
    first.push(element((await iam(root, action, parameters, `call-${action}`)).text, id));
  await scene.restart();
  for (const [index, [action, parameters, id]] of calls.entries()) {
    const again = await iam({ ...root, client: scene.client(root.key) }, action, parameters, `call-${action}`);
    assert.equal(again.code, null, `${action}: ${again.text}`);
    assert.equal(element(again.text, id), first[index], action);
    assert.notEqual(first[index], '');
  }
  const other = await iam(
    { ...root, client: scene.client(root.key) },
    'CreateUser',
    { UserName: 'ana' },
    'another call',
  );
  assert.equal(other.code, 'EntityAlreadyExists');
});

test('the summary counts, the alias is listed, and the root has a user record', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  await scene.user(root.account, 'ana', null);
  const summary = await iam(root, 'GetAccountSummary');
  assert.match(summary.text, /<key>Users<\/key><value>1<\/value>/);
  assert.equal((await iam(root, 'ListAccountAliases')).code, null);
  const own = await iam(root, 'GetUser');
  assert.equal(element(own.text, 'Arn'), `arn:aws:iam::${root.account}:root`);
});
