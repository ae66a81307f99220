import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessScene, codeOf, type Member } from './scene.fake.ts';

// Policies as people write them for snapshots, from the statement to the answer.

const EC2 = { Version: '2016-11-15' };

async function ec2(member: Member, action: string, parameters: Record<string, string> = {}): Promise<string | null> {
  return codeOf(await member.client.form('ec2', { Action: action, ...EC2, ...parameters }));
}

async function volumeOf(member: Member, tags: Record<string, string> = {}): Promise<string> {
  const parameters: Record<string, string> = { AvailabilityZone: 'us-east-1a', Size: '1' };
  for (const [index, [key, value]] of Object.entries(tags).entries()) {
    parameters['TagSpecification.1.ResourceType'] = 'volume';
    parameters[`TagSpecification.1.Tag.${index + 1}.Key`] = key;
    parameters[`TagSpecification.1.Tag.${index + 1}.Value`] = value;
  }
  const reply = await member.client.form('ec2', { Action: 'CreateVolume', ...EC2, ...parameters });
  assert.equal(codeOf(reply), null, reply.text);
  return /<volumeId>([^<]+)</.exec(reply.text)?.[1] ?? '';
}

async function snapshotOf(member: Member, volume: string): Promise<string> {
  const reply = await member.client.form('ec2', { Action: 'CreateSnapshot', ...EC2, VolumeId: volume });
  return /<snapshotId>([^<]+)</.exec(reply.text)?.[1] ?? '';
}

const DENIED = 'UnauthorizedOperation';

test('a snapshot needs leave for the volume and for the snapshot', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const volume = await volumeOf(root);
  const action = 'ec2:CreateSnapshot';
  const onVolume = {
    Effect: 'Allow',
    Action: action,
    Resource: `arn:aws:ec2:us-east-1:${root.account}:volume/${volume}`,
  };
  const onSnapshots = { Effect: 'Allow', Action: action, Resource: 'arn:aws:ec2:us-east-1::snapshot/*' };
  const half = await scene.user(root.account, 'half', onVolume);
  const other = await scene.user(root.account, 'other', onSnapshots);
  const whole = await scene.user(root.account, 'whole', [onVolume, onSnapshots]);
  assert.equal(await ec2(half, 'CreateSnapshot', { VolumeId: volume }), DENIED);
  assert.equal(await ec2(other, 'CreateSnapshot', { VolumeId: volume }), DENIED);
  assert.equal(await ec2(whole, 'CreateSnapshot', { VolumeId: volume }), null);
  assert.equal(await ec2(whole, 'CreateSnapshot', { VolumeId: await volumeOf(root) }), DENIED);
});

test('DryRun says what would be: allowed, or not', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const volume = await volumeOf(root);
  const may = await scene.user(root.account, 'may', { Effect: 'Allow', Action: 'ec2:CreateSnapshot', Resource: '*' });
  const mayNot = await scene.user(root.account, 'may-not', null);
  const dry = { VolumeId: volume, DryRun: 'true' };
  assert.equal(await ec2(may, 'CreateSnapshot', dry), 'DryRunOperation');
  assert.equal(await ec2(mayNot, 'CreateSnapshot', dry), DENIED);
  assert.equal(await ec2(root, 'CreateSnapshot', dry), 'DryRunOperation');
});

test('ec2:ResourceTag and aws:ResourceTag decide by the tags that are there', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  for (const key of ['ec2:ResourceTag/team', 'aws:ResourceTag/Team']) {
    const ana = await scene.user(root.account, `ana-${key.slice(0, 3)}`, {
      Effect: 'Allow',
      Action: 'ec2:DeleteVolume',
      Resource: '*',
      Condition: { StringEquals: { [key]: 'red' } },
    });
    assert.equal(await ec2(ana, 'DeleteVolume', { VolumeId: await volumeOf(root, { team: 'blue' }) }), DENIED);
    assert.equal(await ec2(ana, 'DeleteVolume', { VolumeId: await volumeOf(root) }), DENIED);
    assert.equal(await ec2(ana, 'DeleteVolume', { VolumeId: await volumeOf(root, { team: 'red' }) }), null);
    // What is not there has no tags: nobody learns that it is not.
    assert.equal(await ec2(ana, 'DeleteVolume', { VolumeId: 'vol-0123456789abcdef0' }), DENIED);
  }
});

test('tags on creation need CreateTags, which can be limited to creation', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const volume = await volumeOf(root);
  const create = { Effect: 'Allow', Action: 'ec2:CreateSnapshot', Resource: '*' };
  const tagging = {
    Effect: 'Allow',
    Action: 'ec2:CreateTags',
    Resource: 'arn:aws:ec2:*::snapshot/*',
    Condition: { StringEquals: { 'ec2:CreateAction': 'CreateSnapshot' } },
  };
  const tags = {
    VolumeId: volume,
    'TagSpecification.1.ResourceType': 'snapshot',
    'TagSpecification.1.Tag.1.Key': 'team',
    'TagSpecification.1.Tag.1.Value': 'red',
  };
  const plain = await scene.user(root.account, 'plain', create);
  assert.equal(await ec2(plain, 'CreateSnapshot', tags), DENIED);
  const tagger = await scene.user(root.account, 'tagger', [create, tagging]);
  assert.equal(await ec2(tagger, 'CreateSnapshot', tags), null);
  const snapshot = await snapshotOf(root, await volumeOf(root));
  const later = { 'ResourceId.1': snapshot, 'Tag.1.Key': 'team', 'Tag.1.Value': 'red' };
  assert.equal(await ec2(tagger, 'CreateTags', later), DENIED);
});

test('aws:RequestTag and aws:TagKeys decide by the tags of the request', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const volume = await volumeOf(root);
  const strict = await scene.user(root.account, 'strict', {
    Effect: 'Allow',
    Action: ['ec2:CreateTags'],
    Resource: '*',
    Condition: {
      StringEquals: { 'aws:RequestTag/team': ['red', 'blue'] },
      'ForAllValues:StringEquals': { 'aws:TagKeys': ['team', 'note'] },
    },
  });
  const tag = (pairs: Record<string, string>): Promise<string | null> => {
    const parameters: Record<string, string> = { 'ResourceId.1': volume };
    for (const [index, [key, value]] of Object.entries(pairs).entries()) {
      parameters[`Tag.${index + 1}.Key`] = key;
      parameters[`Tag.${index + 1}.Value`] = value;
    }
    return ec2(strict, 'CreateTags', parameters);
  };
  assert.equal(await tag({ team: 'red', note: 'x' }), null);
  assert.equal(await tag({ team: 'green' }), DENIED);
  assert.equal(await tag({ team: 'red', other: 'x' }), DENIED);
  assert.equal(await tag({ note: 'x' }), DENIED);
});

test('tags that differ in case only are one condition key, and none of them hides another', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const volume = await volumeOf(root);
  const dev = await scene.user(root.account, 'dev', [
    {
      Effect: 'Allow',
      Action: 'ec2:CreateTags',
      Resource: '*',
      Condition: { StringEquals: { 'aws:RequestTag/team': 'dev' } },
    },
    {
      Effect: 'Allow',
      Action: ['ec2:DeleteVolume'],
      Resource: '*',
      Condition: { StringEquals: { 'aws:ResourceTag/team': 'dev' } },
    },
  ]);
  const wary = await scene.user(root.account, 'wary', [
    { Effect: 'Allow', Action: 'ec2:*', Resource: '*' },
    {
      Effect: 'Deny',
      Action: 'ec2:CreateTags',
      Resource: '*',
      Condition: { StringEquals: { 'aws:RequestTag/team': 'admin' } },
    },
  ]);
  const pairs: readonly (readonly [string, string])[] = [
    ['team', 'admin'],
    ['Team', 'dev'],
  ];
  for (const order of [pairs, pairs.toReversed()]) {
    const parameters: Record<string, string> = { 'ResourceId.1': volume };
    for (const [index, [key, value]] of order.entries()) {
      parameters[`Tag.${index + 1}.Key`] = key;
      parameters[`Tag.${index + 1}.Value`] = value;
    }
    assert.equal(await ec2(dev, 'CreateTags', parameters), DENIED);
    assert.equal(await ec2(wary, 'CreateTags', parameters), DENIED);
    const tagged = await volumeOf(root, Object.fromEntries(order));
    assert.equal(await ec2(dev, 'DeleteVolume', { VolumeId: tagged }), DENIED);
  }
  const many: Record<string, string> = { 'ResourceId.1': volume };
  for (let index = 1; index <= 600; index += 1) {
    many[`Tag.${index}.Key`] = index % 2 === 0 ? 'team' : 'Team';
    many[`Tag.${index}.Value`] = 'dev';
  }
  assert.equal(await ec2(dev, 'CreateTags', many), DENIED);
});

test('sizes, parents and owners are conditions', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const volume = await volumeOf(root);
  const snapshot = await snapshotOf(root, volume);
  const arn = `arn:aws:ec2:us-east-1:${root.account}:volume/${volume}`;
  const small = await scene.user(root.account, 'small', {
    Effect: 'Allow',
    Action: 'ec2:CreateVolume',
    Resource: '*',
    Condition: { NumericLessThanEquals: { 'ec2:VolumeSize': 8 }, StringEquals: { 'ec2:VolumeType': 'gp3' } },
  });
  const make = (size: string, type: string): Promise<string | null> =>
    ec2(small, 'CreateVolume', { AvailabilityZone: 'us-east-1a', Size: size, VolumeType: type });
  assert.equal(await make('8', 'gp3'), null);
  assert.equal(await make('9', 'gp3'), DENIED);
  assert.equal(await make('8', 'gp2'), DENIED);
  const child = await scene.user(root.account, 'child', {
    Effect: 'Allow',
    Action: 'ec2:DeleteSnapshot',
    Resource: 'arn:aws:ec2:us-east-1::snapshot/*',
    Condition: { ArnEquals: { 'ec2:ParentVolume': arn }, StringEquals: { 'ec2:Owner': root.account } },
  });
  assert.equal(
    await ec2(child, 'DeleteSnapshot', { SnapshotId: await snapshotOf(root, await volumeOf(root)) }),
    DENIED,
  );
  await scene.world.settle();
  assert.equal(await ec2(child, 'DeleteSnapshot', { SnapshotId: snapshot }), null);
});

test('a shared snapshot has an owner and a size for policies, and no tags', async () => {
  await using scene = await AccessScene.open();
  const [owner, guest] = [await scene.root(), await scene.root()];
  const snapshot = await snapshotOf(owner, await volumeOf(owner));
  await scene.world.settle();
  const tag = { 'ResourceId.1': snapshot, 'Tag.1.Key': 'team', 'Tag.1.Value': 'red' };
  assert.equal(await ec2(owner, 'CreateTags', tag), null);
  const makers: Member[] = [];
  for (const [name, condition] of [
    ['by-owner', { StringEquals: { 'ec2:Owner': owner.account } }],
    ['by-tag', { StringEquals: { 'aws:ResourceTag/team': 'red' } }],
  ] as const) {
    const onSnapshot = {
      Effect: 'Allow',
      Action: 'ec2:CreateVolume',
      Resource: 'arn:aws:ec2:*::snapshot/*',
      Condition: condition,
    };
    const onVolume = { Effect: 'Allow', Action: 'ec2:CreateVolume', Resource: 'arn:aws:ec2:*:*:volume/*' };
    makers.push(await scene.user(guest.account, name, [onSnapshot, onVolume]));
  }
  const make = (member: Member | undefined): Promise<string | null> => {
    assert(member !== undefined);
    return ec2(member, 'CreateVolume', { AvailabilityZone: 'us-east-1a', SnapshotId: snapshot });
  };
  assert.equal(await make(makers[0]), DENIED, 'not shared yet: it has no owner that one knows of');
  const share = { SnapshotId: snapshot, 'CreateVolumePermission.Add.1.UserId': guest.account };
  assert.equal(await ec2(owner, 'ModifySnapshotAttribute', share), null);
  assert.equal(await make(makers[0]), null);
  assert.equal(await make(makers[1]), DENIED);
});

test('where a request comes from, and when, are conditions; a user name is a variable', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const all = { Effect: 'Allow', Action: '*', Resource: '*' };
  const cases: readonly (readonly [string, object, string | null])[] = [
    ['here', { IpAddress: { 'aws:SourceIp': '127.0.0.0/8' } }, null],
    ['elsewhere', { NotIpAddress: { 'aws:SourceIp': '127.0.0.0/8' } }, DENIED],
    ['early', { DateLessThan: { 'aws:CurrentTime': '2027-01-01T00:00:00Z' } }, null],
    ['late', { DateGreaterThan: { 'aws:CurrentTime': '2027-01-01T00:00:00Z' } }, DENIED],
    ['plain', { Bool: { 'aws:SecureTransport': 'true' } }, DENIED],
    ['region', { StringEquals: { 'aws:RequestedRegion': 'us-east-1' } }, null],
    ['name', { StringEquals: { 'aws:username': 'name' } }, null],
    ['arn', { ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam::*:user/arn' } }, null],
    ['permanent', { Null: { 'aws:TokenIssueTime': 'true' } }, null],
  ];
  for (const [name, condition, expected] of cases) {
    const member = await scene.user(root.account, name, { ...all, Condition: condition });
    assert.equal(await ec2(member, 'DescribeVolumes'), expected, name);
  }
});

test('Lightsail decides by the ARN and tags of what a name means, and asks TagResource for tags on creation', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const disk = { diskName: 'disk-1', availabilityZone: 'us-east-1a', sizeInGb: 8 };
  await root.client.json('CreateDisk', { ...disk, tags: [{ key: 'team', value: 'red' }] });
  await root.client.json('CreateDisk', { ...disk, diskName: 'disk-2' });
  await scene.world.settle();
  const red = await scene.user(root.account, 'red', [
    {
      Effect: 'Allow',
      Action: 'lightsail:DeleteDisk',
      Resource: `arn:aws:lightsail:us-east-1:${root.account}:Disk/*`,
      Condition: { StringEquals: { 'aws:ResourceTag/team': 'red' } },
    },
    { Effect: 'Allow', Action: 'lightsail:CreateDisk', Resource: '*' },
  ]);
  const tagged = await red.client.json('CreateDisk', { ...disk, diskName: 'disk-3', tags: [{ key: 'a', value: 'b' }] });
  assert.equal(codeOf(tagged), 'AccessDeniedException');
  assert.match(tagged.text, /lightsail:TagResource/);
  assert.equal(codeOf(await red.client.json('CreateDisk', { ...disk, diskName: 'disk-3' })), null);
  for (const diskName of ['disk-2', 'nothing']) {
    assert.equal(codeOf(await red.client.json('DeleteDisk', { diskName })), 'AccessDeniedException', diskName);
  }
  assert.equal(codeOf(await red.client.json('DeleteDisk', { diskName: 'disk-1' })), null);
});

test('a denial can be decoded by who may, of that account only', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const nobody = await scene.user(root.account, 'nobody', { Effect: 'Deny', Action: 'ec2:Delete*', Resource: '*' });
  const denied = await nobody.client.form('ec2', { Action: 'DeleteVolume', ...EC2, VolumeId: 'vol-0123456789abcdef0' });
  assert.equal(denied.status, 403);
  assert.match(denied.text, /with an explicit deny/);
  const encoded = /Encoded authorization failure message: ([A-Za-z0-9+/=]+)/.exec(denied.text)?.[1] ?? '';
  const decode = async (member: Member): Promise<{ readonly code: string | null; readonly text: string }> => {
    const parameters = { Action: 'DecodeAuthorizationMessage', Version: '2011-06-15', EncodedMessage: encoded };
    const reply = await member.client.form('sts', parameters);
    return { code: codeOf(reply), text: reply.text.replaceAll('&quot;', '"') };
  };
  const { code, text } = await decode(root);
  assert.equal(code, null, text);
  const message = JSON.parse(/<DecodedMessage>(.*)<\/DecodedMessage>/s.exec(text)?.[1] ?? '') as Record<
    string,
    unknown
  >;
  assert.equal(message['allowed'], false);
  assert.equal(message['explicitDeny'], true);
  assert.match(text, /"action":"ec2:DeleteVolume"/);
  assert.equal((await decode(nobody)).code, 'AccessDenied');
  assert.equal((await decode(await scene.root())).code, 'InvalidAuthorizationMessageException');
});

test('rules of the recycle bin have their tags and their kind as conditions', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const rule = async (member: Member, type: string): Promise<{ readonly code: string | null; readonly id: string }> => {
    const body = JSON.stringify({
      ResourceType: type,
      RetentionPeriod: { RetentionPeriodValue: 1, RetentionPeriodUnit: 'DAYS' },
      Tags: [{ Key: 'keep', Value: 'yes' }],
    });
    const reply = await member.client.send({ service: 'rbin', method: 'POST', path: '/rules', body });
    return { code: codeOf(reply), id: /"Identifier":"([^"]+)"/.exec(reply.text)?.[1] ?? '' };
  };
  const all = { Effect: 'Allow', Action: 'rbin:*', Resource: '*' };
  const denied = (condition: object): object => ({ ...all, Effect: 'Deny', Condition: { StringEquals: condition } });
  const tagged = await scene.user(root.account, 'tagged', [all, denied({ 'aws:ResourceTag/keep': 'yes' })]);
  const kinds = await scene.user(root.account, 'kinds', [
    all,
    denied({ 'rbin:Request/ResourceType': 'EBS_VOLUME' }),
    denied({ 'rbin:Attribute/ResourceType': 'EBS_SNAPSHOT' }),
  ]);
  const { id } = await rule(root, 'EBS_SNAPSHOT');
  const remove = async (member: Member, which: string): Promise<string | null> =>
    codeOf(await member.client.send({ service: 'rbin', method: 'DELETE', path: `/rules/${which}` }));
  assert.equal(await remove(tagged, id), 'AccessDeniedException');
  assert.equal(await remove(kinds, id), 'AccessDeniedException');
  assert.equal((await rule(kinds, 'EBS_VOLUME')).code, 'AccessDeniedException');
  assert.equal((await rule(kinds, 'EBS_SNAPSHOT')).code, null);
  assert.equal(await remove(root, id), null);
});

test('who may manage only users within a boundary does so, and no others', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const boundary = 'arn:aws:iam::aws:policy/ReadOnlyAccess';
  const delegate = await scene.user(root.account, 'delegate', {
    Effect: 'Allow',
    Action: ['iam:CreateUser', 'iam:PutUserPolicy'],
    Resource: '*',
    Condition: { StringEquals: { 'iam:PermissionsBoundary': boundary } },
  });
  await scene.user(root.account, 'free', null);
  const iam = async (action: string, parameters: Record<string, string>): Promise<string | null> =>
    codeOf(await delegate.client.form('iam', { Action: action, Version: '2010-05-08', ...parameters }));
  assert.equal(await iam('CreateUser', { UserName: 'bound' }), 'AccessDenied');
  assert.equal(await iam('CreateUser', { UserName: 'bound', PermissionsBoundary: boundary }), null);
  const document = { Version: '2012-10-17', Statement: { Effect: 'Allow', Action: '*', Resource: '*' } };
  const policy = { PolicyName: 'p', PolicyDocument: JSON.stringify(document) };
  assert.equal(await iam('PutUserPolicy', { UserName: 'bound', ...policy }), null);
  assert.equal(await iam('PutUserPolicy', { UserName: 'free', ...policy }), 'AccessDenied');
  assert.equal(await iam('PutUserPolicy', { UserName: 'delegate', ...policy }), 'AccessDenied');
});

test('a user who may not tag makes what has no tags only', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const maker = await scene.user(root.account, 'maker', {
    Effect: 'Allow',
    Action: ['iam:CreateUser', 'iam:TagRole', 'rbin:CreateRule', 'dlm:TagResource'],
    Resource: '*',
  });
  const user = async (tags: Record<string, string>): Promise<string | null> =>
    codeOf(await maker.client.form('iam', { Action: 'CreateUser', Version: '2010-05-08', UserName: 'u', ...tags }));
  assert.equal(await user({ 'Tags.member.1.Key': 'team', 'Tags.member.1.Value': 'red' }), 'AccessDenied');
  assert.equal(await user({}), null);
  const rule = async (tags: object): Promise<string | null> => {
    const RetentionPeriod = { RetentionPeriodValue: 7, RetentionPeriodUnit: 'DAYS' };
    const body = JSON.stringify({ ResourceType: 'EBS_SNAPSHOT', RetentionPeriod, ...tags });
    return codeOf(await maker.client.send({ service: 'rbin', method: 'POST', path: '/rules', body }));
  };
  assert.equal(await rule({ Tags: [{ Key: 'team', Value: 'red' }] }), 'AccessDeniedException');
  assert.equal(await rule({}), null);
});
