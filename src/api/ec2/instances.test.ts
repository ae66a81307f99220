import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registerBlueprint } from '#control/blueprints.ts';
import { parseSnapshotId } from '#domain/ids.ts';
import { run, stateOf, withImage } from './instances.fixture.ts';
import { refusalOf, Scene } from './scene.fake.ts';

test('an instance is launched, runs, stops, starts, and is shown when it is terminated, until it is old', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const answer = await scene.ec2('RunInstances', {
    ImageId: made.image,
    InstanceType: 't3.micro',
    MinCount: 1,
    MaxCount: 2,
    UserData: Buffer.from('#!/bin/sh\n').toString('base64'),
    TagSpecifications: [
      { ResourceType: 'instance', Tags: [{ Key: 'Name', Value: 'web' }] },
      { ResourceType: 'volume', Tags: [{ Key: 'of', Value: 'web' }] },
    ],
  });
  assert.deepEqual(
    answer.Instances?.map(({ State, AmiLaunchIndex }) => [State?.Name, AmiLaunchIndex]),
    [
      ['pending', 0],
      ['pending', 1],
    ],
  );
  await scene.upload();
  const ids = answer.Instances?.map(({ InstanceId = '' }) => InstanceId) ?? [];
  const { Reservations: shown = [] } = await scene.ec2('DescribeInstances', {
    Filters: [
      { Name: 'tag:Name', Values: ['w*'] },
      { Name: 'instance-state-name', Values: ['running'] },
    ],
  });
  assert.equal(shown.length, 1);
  assert.equal(shown[0]?.ReservationId, answer.ReservationId);
  assert.deepEqual(
    shown[0]?.Instances?.map(({ InstanceId }) => InstanceId),
    ids,
  );
  const [first = '', second = ''] = ids;
  const { Volumes: volumes = [] } = await scene.ec2('DescribeVolumes', {
    Filters: [{ Name: 'attachment.instance-id', Values: [first] }],
  });
  assert.deepEqual(
    volumes.map(({ State, Size, Tags, Attachments }) => [State, Size, Tags, Attachments?.[0]?.DeleteOnTermination]),
    [['in-use', 2, [{ Key: 'of', Value: 'web' }], true]],
  );
  const volume = volumes[0]?.VolumeId ?? '';
  assert.match(await refusalOf(scene.ec2('DeleteVolume', { VolumeId: volume })), /^VolumeInUse: /);

  const stopping = await scene.ec2('StopInstances', { InstanceIds: [first] });
  assert.equal(stopping.StoppingInstances?.[0]?.PreviousState?.Name, 'running');
  assert.equal(stopping.StoppingInstances[0].CurrentState?.Name, 'stopping');
  await scene.upload();
  assert.equal(await stateOf(scene, first), 'stopped');
  assert.match(
    await refusalOf(scene.ec2('RebootInstances', { InstanceIds: [first, second] })),
    /^IncorrectInstanceState/,
  );
  await scene.ec2('StartInstances', { InstanceIds: [first] });
  await scene.upload();
  assert.equal(await stateOf(scene, first), 'running');

  const { InstanceStatuses: statuses = [] } = await scene.ec2('DescribeInstanceStatus', {});
  assert.deepEqual(
    statuses.map(({ InstanceStatus }) => InstanceStatus?.Status),
    ['ok', 'ok'],
  );

  for (const InstanceIds of [ids, ids]) {
    await scene.ec2('TerminateInstances', { InstanceIds });
    await scene.upload();
  }
  assert.equal(await stateOf(scene, first), 'terminated');
  assert.match(await refusalOf(scene.ec2('DescribeVolumes', { VolumeIds: [volume] })), /^InvalidVolume.NotFound/);
  assert.match(await refusalOf(scene.ec2('StartInstances', { InstanceIds: [first] })), /^IncorrectInstanceState/);
  await scene.clock.advance(3_600_001);
  await scene.world.control.run('prune');
  assert.match(await refusalOf(stateOf(scene, first)), /^InvalidInstanceID.NotFound/);
});

test('volumes of the image and of the request: changed, left out, added, and gone with the instance or not', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const id = await run(made, {
    BlockDeviceMappings: [
      { DeviceName: '/dev/xvda', Ebs: { VolumeSize: 10, VolumeType: 'gp3', Iops: 4000, DeleteOnTermination: false } },
      { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 3, VolumeType: 'gp2' } },
      { DeviceName: '/dev/sdg', Ebs: { SnapshotId: made.snapshot, Encrypted: true, DeleteOnTermination: false } },
      { DeviceName: '/dev/sdh', VirtualName: 'ephemeral0' },
    ],
  });
  const { Volumes: volumes = [] } = await scene.ec2('DescribeVolumes', {
    Filters: [{ Name: 'attachment.instance-id', Values: [id] }],
  });
  assert.deepEqual(
    volumes.map(({ Attachments: [at] = [], Size, VolumeType, Iops, Encrypted }) => [
      at?.Device,
      Size,
      VolumeType,
      Iops,
      Encrypted,
      at?.DeleteOnTermination,
    ]),
    [
      ['/dev/sda1', 10, 'gp3', 4000, false, false],
      ['/dev/sdf', 3, 'gp2', 100, false, true],
      ['/dev/sdg', 2, 'gp2', 100, true, false],
    ],
  );
  assert.equal(await stateOf(scene, id), 'running');
  const devices = [{ DeviceName: '/dev/sdg', Ebs: { DeleteOnTermination: true } }];
  await scene.ec2('ModifyInstanceAttribute', { InstanceId: id, BlockDeviceMappings: devices });
  await scene.ec2('TerminateInstances', { InstanceIds: [id] });
  await scene.upload();
  const { Volumes: left = [] } = await scene.ec2('DescribeVolumes', {
    VolumeIds: [volumes[0]?.VolumeId ?? ''],
  });
  assert.deepEqual(
    left.map(({ State, Attachments }) => [State, Attachments]),
    [['available', []]],
  );
  for (const gone of volumes.slice(1)) {
    const refusal = await refusalOf(scene.ec2('DescribeVolumes', { VolumeIds: [gone.VolumeId ?? ''] }));
    assert.match(refusal, /^InvalidVolume.NotFound/);
  }
  const wrong = [
    [{ DeviceName: '/dev/sda1', NoDevice: '' }],
    [
      { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1 } },
      { DeviceName: '/dev/xvdf', Ebs: { VolumeSize: 1 } },
    ],
    [{ DeviceName: 'sdf', Ebs: { VolumeSize: 1 } }],
    [{ DeviceName: '/dev/sda1', Ebs: { SnapshotId: 'snap-0123456789abcdef0' } }],
  ];
  for (const BlockDeviceMappings of wrong) {
    assert.match(await refusalOf(run(made, { BlockDeviceMappings })), /^InvalidBlockDeviceMapping/);
  }
  const small = [{ DeviceName: '/dev/sda1', Ebs: { VolumeSize: 1 } }];
  assert.match(await refusalOf(run(made, { BlockDeviceMappings: small })), /smaller than snapshot/);
});

test('a volume is attached to a running and to a stopped instance, shown, and detached', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const InstanceId = await run(made);
  const { VolumeId = '' } = await scene.ec2('CreateVolume', { AvailabilityZone: 'us-east-1a', Size: 1 });
  const far = await scene.ec2('CreateVolume', { AvailabilityZone: 'us-east-1b', Size: 1 });
  const Device = '/dev/sdf';
  const attach = (some: object = {}) => scene.ec2('AttachVolume', { InstanceId, VolumeId, Device, ...some });
  assert.match(await refusalOf(attach({ Device: 'f' })), /^InvalidParameterValue: Value \(f\) for parameter device/);
  assert.match(await refusalOf(attach({ VolumeId: far.VolumeId })), /^InvalidVolume.ZoneMismatch/);
  assert.match(await refusalOf(attach({ InstanceId: 'i-0123456789abcdef0' })), /^InvalidInstanceID.NotFound/);
  assert.match(await refusalOf(attach({ DryRun: true })), /^DryRunOperation/);
  assert.match(await refusalOf(scene.ec2('DetachVolume', { VolumeId })), /^IncorrectState/);
  const attached = await attach();
  assert.deepEqual([attached.State, attached.Device, attached.DeleteOnTermination], ['attaching', Device, false]);
  assert.match(await refusalOf(attach({ Device: '/dev/sdg' })), /^VolumeInUse/);
  await scene.upload();
  const shown = async (): Promise<readonly string[]> => {
    const Filters = [
      { Name: 'attachment.device', Values: [Device] },
      { Name: 'attachment.instance-id', Values: [InstanceId] },
    ];
    const { Volumes = [] } = await scene.ec2('DescribeVolumes', { VolumeIds: [VolumeId], Filters });
    return Volumes.map(({ State, Attachments }) => `${State} ${Attachments?.[0]?.State}`);
  };
  assert.deepEqual(await shown(), ['in-use attached']);
  const other = await scene.ec2('CreateVolume', { AvailabilityZone: 'us-east-1a', Size: 1 });
  assert.match(await refusalOf(attach({ VolumeId: other.VolumeId, Device: '/dev/xvdf' })), /already in use/);
  assert.match(
    await refusalOf(scene.ec2('DetachVolume', { VolumeId, Device: '/dev/sdg' })),
    /^InvalidAttachment.NotFound/,
  );
  const { Reservations: [held] = [] } = await scene.ec2('DescribeInstances', { InstanceIds: [InstanceId] });
  const root = held?.Instances?.[0]?.BlockDeviceMappings?.[0]?.Ebs?.VolumeId ?? '';
  assert.match(await refusalOf(scene.ec2('DetachVolume', { VolumeId: root })), /^OperationNotPermitted/);
  assert.match(await refusalOf(attach({ VolumeId: other.VolumeId, Device: '/dev/sda1' })), /already in use/);
  assert.equal((await scene.ec2('DetachVolume', { VolumeId })).State, 'detaching');
  await scene.upload();
  assert.deepEqual(await shown(), []);
  await scene.ec2('StopInstances', { InstanceIds: [InstanceId] });
  await scene.upload();
  await attach();
  assert.deepEqual(await shown(), ['in-use attached']);
});

test('a guest that keeps a disk loses it when that is asked for by force', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const InstanceId = await run(made);
  const { VolumeId = '' } = await scene.ec2('CreateVolume', { AvailabilityZone: 'us-east-1a', Size: 1 });
  await scene.ec2('AttachVolume', { InstanceId, VolumeId, Device: '/dev/sdf' });
  await scene.upload();
  const [id] = scene.world.machines.byId.keys();
  assert.ok(id !== undefined);
  scene.world.hypervisor.guest(id).letsGo = false;
  const attachment = async (): Promise<string | undefined> =>
    (await scene.ec2('DescribeVolumes', { VolumeIds: [VolumeId] })).Volumes?.[0]?.Attachments?.[0]?.State;
  const settled = async (expected: string | undefined): Promise<void> => {
    const reconciling = scene.world.control.run('reconcile-instances');
    const deadlineMs = performance.now() + 20_000;
    while ((await attachment()) !== expected) {
      assert.ok(performance.now() < deadlineMs, `the attachment becomes ${expected}`);
      await scene.clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await reconciling;
  };
  await scene.ec2('DetachVolume', { VolumeId });
  await settled('attached');
  await scene.ec2('DetachVolume', { VolumeId, Force: true });
  await settled(undefined);
});

test('a token launches once; protected instances stay; sizes and user data change while they are stopped', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const id = await run(made, { ClientToken: 'once', DisableApiTermination: true });
  assert.equal(await run(made, { ClientToken: 'once', DisableApiTermination: true }), id);
  assert.match(await refusalOf(run(made, { ClientToken: 'once' })), /^IdempotentParameterMismatch/);
  const InstanceIds = [id];
  assert.match(
    await refusalOf(scene.ec2('TerminateInstances', { InstanceIds })),
    /^OperationNotPermitted: .*disableApiTermination/,
  );
  const modify = (some: object) => scene.ec2('ModifyInstanceAttribute', { InstanceId: id, ...some });
  assert.match(await refusalOf(modify({ InstanceType: { Value: 'm5.large' } })), /^IncorrectInstanceState/);
  await scene.ec2('StopInstances', { InstanceIds });
  await scene.upload();
  await modify({ InstanceType: { Value: 'm5.large' } });
  await modify({ UserData: { Value: Buffer.from('hello') } });
  await modify({ DisableApiTermination: { Value: false } });
  assert.match(await refusalOf(modify({ InstanceType: { Value: 'm5.huge' } })), /^InvalidParameterValue/);
  assert.match(await refusalOf(modify({ SourceDestCheck: { Value: false } })), /^UnsupportedOperation/);
  const attribute = (Attribute: 'userData' | 'instanceType' | 'disableApiTermination') =>
    scene.ec2('DescribeInstanceAttribute', { InstanceId: id, Attribute });
  assert.equal((await attribute('instanceType')).InstanceType?.Value, 'm5.large');
  assert.equal((await attribute('userData')).UserData?.Value, Buffer.from('hello').toString('base64'));
  assert.equal((await attribute('disableApiTermination')).DisableApiTermination?.Value, false);
  await scene.ec2('StartInstances', { InstanceIds });
  await scene.upload();
  const [machine] = scene.world.machines.byId.values();
  assert.equal(machine?.spec.memoryMib, 8192);
  await scene.ec2('TerminateInstances', { InstanceIds });
});

test('what cannot be launched is refused, and a dry run launches nothing', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const cases: readonly (readonly [Parameters<typeof run>[1], RegExp])[] = [
    [{ ImageId: 'ami-0123456789abcdef0' }, /^InvalidAMIID.NotFound/],
    [{ ImageId: 'ami-1' }, /^InvalidAMIID.Malformed/],
    [{ InstanceType: 't3.huge' }, /^InvalidParameterValue: Invalid value 't3.huge'/],
    [{ KeyName: 'none' }, /^InvalidKeyPair.NotFound/],
    [{ MinCount: 2 }, /^InvalidParameterCombination/],
    [{ MinCount: 0 }, /^InvalidParameterValue/],
    [{ MinCount: 21, MaxCount: 21 }, /^InstanceLimitExceeded/],
    [{ SubnetId: 'subnet-0123456789abcdef0' }, /^InvalidSubnetID.NotFound/],
    [{ SecurityGroupIds: ['sg-0123456789abcdef0'] }, /^InvalidGroup.NotFound/],
    [{ Placement: { AvailabilityZone: 'us-east-1z' } }, /^InvalidZone.NotFound/],
    [{ UserData: '*' }, /^InvalidUserData.Malformed/],
    [{ UserData: Buffer.alloc(16_385).toString('base64') }, /^InvalidParameterValue: User data/],
    [{ IamInstanceProfile: { Name: 'role' } }, /^UnsupportedOperation: .*IamInstanceProfile/],
    [{ DryRun: true }, /^DryRunOperation/],
  ];
  for (const [some, expected] of cases) assert.match(await refusalOf(run(made, some)), expected);
  assert.deepEqual((await scene.ec2('DescribeInstances', {})).Reservations, []);
});

test('a blueprint is an image of every account and region, under an id that stays', async () => {
  await using scene = await Scene.open();
  const { snapshot } = await withImage(scene);
  const id = parseSnapshotId(snapshot);
  assert.ok(id !== null);
  const blueprint = {
    id: 'tiny_1',
    name: 'Tiny',
    group: 'tiny',
    description: 'small',
    version: '1',
    userName: 'root',
    minimumPower: 0,
    replaces: false,
    snapshot: id,
  };
  await registerBlueprint(scene.ports, blueprint);
  const images = async (options: object): Promise<readonly string[]> => {
    const { Images = [] } = await scene.ec2('DescribeImages', { Owners: ['amazon'] }, options);
    return Images.map(({ ImageId, Name, State }) => `${ImageId} ${Name} ${State}`);
  };
  const here = await images({});
  assert.equal(here.length, 1);
  assert.match(here[0] ?? '', /^ami-0[0-9a-f]{16} tiny_1 available$/);
  assert.deepEqual(await images({ account: '210987654321' }), here);
  const there = await images({ region: 'eu-west-1', account: '210987654321' });
  assert.notDeepEqual(there, here);
  const ImageId = there[0]?.split(' ')[0] ?? '';
  const options = { region: 'eu-west-1', account: '210987654321' };
  const ran = await scene.ec2('RunInstances', { ImageId, MinCount: 1, MaxCount: 1 }, options);
  await scene.upload();
  const InstanceIds = [ran.Instances?.[0]?.InstanceId ?? ''];
  const { Reservations: [one] = [] } = await scene.ec2('DescribeInstances', { InstanceIds }, options);
  assert.equal(one?.Instances?.[0]?.State?.Name, 'running');
  assert.equal(one.Instances[0].Placement?.AvailabilityZone, 'eu-west-1a');
  assert.match(await refusalOf(scene.ec2('DeregisterImage', { ImageId }, options)), /^OperationNotPermitted/);
});

test('several instances of one request are made, or none; its token finds all of them', async () => {
  await using scene = await Scene.open({ volumeCountMax: 4 });
  const { image } = await withImage(scene);
  const request = { ImageId: image, MinCount: 3, MaxCount: 3, ClientToken: 'once' };
  const answer = await scene.ec2('RunInstances', request);
  await scene.upload();
  const idsOf = (one: typeof answer) => one.Instances?.map(({ InstanceId }) => InstanceId) ?? [];
  assert.equal(new Set(idsOf(answer)).size, 3);
  const again = await scene.ec2('RunInstances', request);
  assert.deepEqual([again.ReservationId, idsOf(again)], [answer.ReservationId, idsOf(answer)]);
  const other = scene.ec2('RunInstances', { ...request, MinCount: 2, MaxCount: 2 });
  assert.match(await refusalOf(other), /^IdempotentParameterMismatch/);
  const { Reservations: [shown] = [] } = await scene.ec2('DescribeInstances', {});
  const addresses = shown?.Instances?.map(({ PublicIpAddress }) => PublicIpAddress) ?? [];
  assert.equal(new Set(addresses).size, 3, addresses.join(' '));
  // The image's own volume is the fourth: there is no room for two more machines' volumes.
  const more = { ImageId: image, MinCount: 2, MaxCount: 2 };
  assert.match(await refusalOf(scene.ec2('RunInstances', more)), /^VolumeLimitExceeded/);
  const { Reservations: all = [] } = await scene.ec2('DescribeInstances', {});
  assert.equal(all.flatMap(({ Instances = [] }) => Instances).length, 3);
  const { Volumes = [] } = await scene.ec2('DescribeVolumes', {});
  assert.equal(Volumes.length, 4);
});
