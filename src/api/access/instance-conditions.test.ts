import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessScene, codeOf, type Member } from './scene.fake.ts';

// Policies about EC2's instances and images, from the statement to the answer.

const DENIED = 'UnauthorizedOperation';

async function ec2(member: Member, Action: string, parameters: Record<string, string>): Promise<string> {
  const { text } = await member.client.form('ec2', { Action, Version: '2016-11-15', ...parameters });
  return text;
}

/** Of the first element of that name; what it was refused with when there is none. */
async function made(member: Member, element: string, ...call: [string, Record<string, string>]): Promise<string> {
  const text = await ec2(member, ...call);
  const found = new RegExp(`<${element}>([^<]+)<`).exec(text)?.[1];
  assert.ok(found !== undefined, text);
  return found;
}

async function codes(member: Member, Action: string, parameters: Record<string, string>): Promise<string | null> {
  return codeOf(await member.client.form('ec2', { Action, Version: '2016-11-15', ...parameters }));
}

/** An image of the account of `root`, and its snapshot. */
async function imageOf(
  scene: AccessScene,
  root: Member,
): Promise<{ readonly image: string; readonly snapshot: string }> {
  const volume = await made(root, 'volumeId', 'CreateVolume', { AvailabilityZone: 'us-east-1a', Size: '1' });
  const snapshot = await made(root, 'snapshotId', 'CreateSnapshot', { VolumeId: volume });
  await scene.world.settle();
  const image = await made(root, 'imageId', 'RegisterImage', {
    Name: 'plain',
    RootDeviceName: '/dev/xvda',
    'BlockDeviceMapping.1.DeviceName': '/dev/xvda',
    'BlockDeviceMapping.1.Ebs.SnapshotId': snapshot,
  });
  return { image, snapshot };
}

async function launched(scene: AccessScene, root: Member, image: string, team: string): Promise<string> {
  const id = await made(root, 'instanceId', 'RunInstances', {
    ImageId: image,
    InstanceType: 't3.micro',
    MinCount: '1',
    MaxCount: '1',
    'TagSpecification.1.ResourceType': 'instance',
    'TagSpecification.1.Tag.1.Key': 'team',
    'TagSpecification.1.Tag.1.Value': team,
  });
  await scene.world.settle();
  return id;
}

test('instances are stopped and snapshotted by who may, of those with their tag', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const { image } = await imageOf(scene, root);
  const mine = await launched(scene, root, image, 'a');
  const other = await launched(scene, root, image, 'b');
  const tagged = { StringEquals: { 'aws:ResourceTag/team': 'a' } };
  const user = await scene.user(root.account, 'ops', [
    { Effect: 'Allow', Action: ['ec2:StopInstances', 'ec2:CreateTags'], Resource: '*', Condition: tagged },
  ]);
  const all = { 'InstanceId.1': mine, 'InstanceId.2': other };
  assert.equal(await codes(user, 'StopInstances', all), DENIED);
  assert.equal(await codes(user, 'StopInstances', { 'InstanceId.1': mine }), null);
  const tag = { 'Tag.1.Key': 'team', 'Tag.1.Value': 'a' };
  assert.equal(await codes(user, 'CreateTags', { 'ResourceId.1': other, ...tag }), DENIED);
  assert.equal(await codes(user, 'CreateTags', { 'ResourceId.1': mine, ...tag }), null);
  // Leave for instances and snapshots is none for the volumes that are cut.
  const arn = (type: string): string => `arn:aws:ec2:us-east-1:${root.account}:${type}/*`;
  const snapshots = 'arn:aws:ec2:us-east-1::snapshot/*';
  const action = 'ec2:CreateSnapshots';
  const half = await scene.user(root.account, 'half', {
    Effect: 'Allow',
    Action: action,
    Resource: [arn('instance'), snapshots],
  });
  const whole = await scene.user(root.account, 'whole', {
    Effect: 'Allow',
    Action: action,
    Resource: [arn('instance'), arn('volume'), snapshots],
  });
  const set = { 'InstanceSpecification.InstanceId': other };
  assert.equal(await codes(half, 'CreateSnapshots', set), DENIED);
  assert.equal(await codes(whole, 'CreateSnapshots', set), null);
});

test('only types that a policy names are launched, and an image takes its snapshots along by leave for both', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const { image, snapshot } = await imageOf(scene, root);
  const user = await scene.user(root.account, 'small', [
    { Effect: 'Allow', Action: ['ec2:RunInstances', 'ec2:DeregisterImage'], Resource: '*' },
    {
      Effect: 'Deny',
      Action: 'ec2:RunInstances',
      Resource: 'arn:aws:ec2:*:*:instance/*',
      Condition: { StringNotEquals: { 'ec2:InstanceType': ['t3.nano'] } },
    },
  ]);
  const launch = { ImageId: image, MinCount: '1', MaxCount: '1', DryRun: 'true' };
  assert.equal(await codes(user, 'RunInstances', { ...launch, InstanceType: 'm5.large' }), DENIED);
  assert.equal(await codes(user, 'RunInstances', launch), DENIED);
  assert.equal(await codes(user, 'RunInstances', { ...launch, InstanceType: 't3.nano' }), 'DryRunOperation');
  const both = { ImageId: image, DeleteAssociatedSnapshots: 'true' };
  assert.equal(await codes(user, 'DeregisterImage', both), DENIED);
  assert.equal(await codes(user, 'DeregisterImage', { ImageId: image }), null);
  assert.equal(await codes(root, 'DescribeSnapshots', { 'SnapshotId.1': snapshot }), null);
});

test('instances are launched with tokens and encrypted volumes alone, where policies say so', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const { image } = await imageOf(scene, root);
  const launching = { Effect: 'Allow', Action: 'ec2:RunInstances', Resource: '*' };
  const sealed = await scene.user(root.account, 'sealed', [
    launching,
    {
      Effect: 'Deny',
      Action: 'ec2:RunInstances',
      Resource: 'arn:aws:ec2:*:*:volume/*',
      Condition: { Bool: { 'ec2:Encrypted': 'false' } },
    },
  ]);
  const launch = { ImageId: image, InstanceType: 't3.micro', MinCount: '1', MaxCount: '1', DryRun: 'true' };
  const device = (number: number, name: string, encrypted: boolean): Record<string, string> => ({
    [`BlockDeviceMapping.${number}.DeviceName`]: name,
    [`BlockDeviceMapping.${number}.Ebs.VolumeSize`]: '2',
    ...(encrypted ? { [`BlockDeviceMapping.${number}.Ebs.Encrypted`]: 'true' } : {}),
  });
  const whole = { ...launch, ...device(1, '/dev/sda1', true), ...device(2, '/dev/sdf', true) };
  assert.equal(await codes(sealed, 'RunInstances', launch), DENIED);
  assert.equal(await codes(sealed, 'RunInstances', { ...launch, ...device(1, '/dev/sdf', true) }), DENIED);
  assert.equal(await codes(sealed, 'RunInstances', { ...whole, ...device(3, '/dev/sdg', false) }), DENIED);
  assert.equal(await codes(sealed, 'RunInstances', whole), 'DryRunOperation');

  const tokens = await scene.user(root.account, 'tokens', [
    launching,
    {
      Effect: 'Deny',
      Action: 'ec2:RunInstances',
      Resource: 'arn:aws:ec2:*:*:instance/*',
      Condition: { StringNotEquals: { 'ec2:MetadataHttpTokens': 'required' } },
    },
  ]);
  assert.equal(await codes(tokens, 'RunInstances', launch), DENIED);
  const asked = { ...launch, 'MetadataOptions.HttpTokens': 'required' };
  assert.equal(await codes(tokens, 'RunInstances', asked), 'DryRunOperation');
});
