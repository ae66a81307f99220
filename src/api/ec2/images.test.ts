import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalOf, Scene } from './scene.fake.ts';

/** A running instance with a disk of 1 GiB at /dev/sdf; ids of it, of its image and of its volumes. */
async function withInstance(
  scene: Scene,
): Promise<Readonly<Record<'id' | 'image' | 'root' | 'disk' | 'snapshot', string>>> {
  const AvailabilityZone = 'us-east-1a';
  const made = await scene.ec2('CreateVolume', { AvailabilityZone, Size: 1 });
  const cut = await scene.ec2('CreateSnapshot', { VolumeId: made.VolumeId ?? '' });
  await scene.upload();
  const snapshot = cut.SnapshotId ?? '';
  const { ImageId: image = '' } = await scene.ec2('RegisterImage', {
    Name: 'first',
    RootDeviceName: '/dev/xvda',
    BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: snapshot } }],
  });
  const TagSpecifications = [{ ResourceType: 'volume', Tags: [{ Key: 'kind', Value: 'root' }] }] as const;
  const ran = await scene.ec2('RunInstances', { ImageId: image, MinCount: 1, MaxCount: 1, TagSpecifications });
  await scene.upload();
  const id = ran.Instances?.[0]?.InstanceId ?? '';
  const { VolumeId: disk = '' } = await scene.ec2('CreateVolume', {
    AvailabilityZone,
    Size: 1,
    TagSpecifications: [{ ResourceType: 'volume', Tags: [{ Key: 'kind', Value: 'data' }] }],
  });
  await scene.ec2('AttachVolume', { InstanceId: id, VolumeId: disk, Device: '/dev/sdf' });
  await scene.upload();
  const { Volumes = [] } = await scene.ec2('DescribeVolumes', {
    Filters: [{ Name: 'attachment.device', Values: ['/dev/xvda'] }],
  });
  return { id, image, root: Volumes[0]?.VolumeId ?? '', disk, snapshot };
}

test('a registered snapshot is an image, which has a name of its own and keeps the snapshot', async () => {
  await using scene = await Scene.open();
  const { image, snapshot } = await withInstance(scene);
  const register = (some: object) =>
    scene.ec2('RegisterImage', {
      Name: 'second',
      RootDeviceName: '/dev/sda1',
      BlockDeviceMappings: [{ DeviceName: '/dev/sda1', Ebs: { SnapshotId: snapshot } }],
      ...some,
    });
  assert.match(await refusalOf(register({ Name: 'first' })), /^InvalidAMIName.Duplicate/);
  assert.match(await refusalOf(register({ Name: '!' })), /^InvalidAMIName.Malformed/);
  assert.match(await refusalOf(register({ RootDeviceName: '/dev/xvda' })), /^InvalidBlockDeviceMapping/);
  assert.match(await refusalOf(register({ DryRun: true })), /^DryRunOperation/);
  const far = { account: '210987654321' };
  assert.match(await refusalOf(scene.ec2('DescribeImages', { ImageIds: [image] }, far)), /^InvalidAMIID.NotFound/);
  const shown = async (Filters: readonly { Name: string; Values: string[] }[]): Promise<readonly unknown[]> =>
    ((await scene.ec2('DescribeImages', { Owners: ['self'], Filters })).Images ?? []).map(({ ImageId }) => ImageId);
  assert.deepEqual(await shown([{ Name: 'block-device-mapping.snapshot-id', Values: [snapshot] }]), [image]);
  assert.deepEqual(await shown([{ Name: 'name', Values: ['f?rst'] }]), [image]);
  assert.deepEqual(await shown([{ Name: 'is-public', Values: ['true'] }]), []);
  const remove = () => scene.ec2('DeleteSnapshot', { SnapshotId: snapshot });
  assert.match(await refusalOf(remove()), new RegExp(`^InvalidSnapshot.InUse: .*${image}`));
  await scene.ec2('CreateTags', { Resources: [image], Tags: [{ Key: 'a', Value: 'b' }] });
  const { Tags = [] } = await scene.ec2('DescribeTags', { Filters: [{ Name: 'resource-type', Values: ['image'] }] });
  assert.deepEqual(Tags, [{ Key: 'a', ResourceId: image, ResourceType: 'image', Value: 'b' }]);
  await scene.ec2('DeregisterImage', { ImageId: image });
  assert.match(await refusalOf(scene.ec2('DescribeImages', { ImageIds: [image] })), /^InvalidAMIID.NotFound/);
  await remove();
});

test('an image of an instance has all its volumes at one instant, is pending, and makes instances with the same disks', async () => {
  await using scene = await Scene.open();
  const { id, root, disk } = await withInstance(scene);
  const create = (some: object) => scene.ec2('CreateImage', { InstanceId: id, Name: 'whole', ...some });
  assert.match(await refusalOf(create({ Name: 'first' })), /^InvalidAMIName.Duplicate/);
  const { ImageId = '' } = await create({
    TagSpecifications: [{ ResourceType: 'snapshot', Tags: [{ Key: 'of', Value: 'whole' }] }],
  });
  const imageOf = async () => (await scene.ec2('DescribeImages', { ImageIds: [ImageId] })).Images?.[0];
  assert.equal((await imageOf())?.State, 'pending');
  const run = () => scene.ec2('RunInstances', { ImageId, MinCount: 1, MaxCount: 1 });
  assert.match(await refusalOf(run()), /^InvalidAMIID.Unavailable/);
  await scene.upload();
  const image = await imageOf();
  assert.equal(image?.State, 'available');
  assert.equal(image.SourceInstanceId, id);
  assert.deepEqual(
    image.BlockDeviceMappings?.map(({ DeviceName, Ebs }) => [DeviceName, Ebs?.VolumeSize, Ebs?.DeleteOnTermination]),
    [
      ['/dev/xvda', 1, true],
      ['/dev/sdf', 1, false],
    ],
  );
  const { Snapshots = [] } = await scene.ec2('DescribeSnapshots', { Filters: [{ Name: 'tag:of', Values: ['whole'] }] });
  assert.deepEqual(new Set(Snapshots.map(({ VolumeId }) => VolumeId)), new Set([root, disk]));
  assert.equal(scene.world.hypervisor.calls.filter((call) => call.startsWith('quiesce')).length, 1);
  const ran = await run();
  await scene.upload();
  const { Volumes = [] } = await scene.ec2('DescribeVolumes', {
    Filters: [{ Name: 'attachment.instance-id', Values: [ran.Instances?.[0]?.InstanceId ?? ''] }],
  });
  assert.deepEqual(
    Volumes.map(({ Attachments, SnapshotId }) => [Attachments?.[0]?.Device, SnapshotId]),
    image.BlockDeviceMappings?.map(({ DeviceName, Ebs }) => [DeviceName, Ebs?.SnapshotId]),
  );
  const gone = await scene.ec2('DeregisterImage', { ImageId, DeleteAssociatedSnapshots: true });
  assert.deepEqual(
    gone.DeleteSnapshotResults?.map(({ ReturnCode }) => ReturnCode),
    ['success', 'success'],
  );
});

test('an image whose name was taken meanwhile leaves no snapshot behind', async () => {
  await using scene = await Scene.open();
  const { id } = await withInstance(scene);
  const create = () => scene.ec2('CreateImage', { InstanceId: id, Name: 'race' });
  const outcomes = await Promise.all([refusalOf(create()), refusalOf(create())]);
  assert.equal(outcomes.filter((outcome) => outcome === 'not refused').length, 1, outcomes.join('\n'));
  await scene.upload();
  const { Snapshots = [] } = await scene.ec2('DescribeSnapshots', {
    OwnerIds: ['self'],
    Filters: [{ Name: 'description', Values: ['Created by CreateImage*'] }],
  });
  assert.equal(Snapshots.length, 2);
});

test('snapshots of an instance: all volumes at one instant, those that are not excluded, with their tags', async () => {
  await using scene = await Scene.open();
  const { id, root, disk } = await withInstance(scene);
  const create = (specification: object, some: object = {}) =>
    scene.ec2('CreateSnapshots', { InstanceSpecification: { InstanceId: id, ...specification }, ...some });
  const all = await create({}, { CopyTagsFromSource: 'volume', Description: 'both' });
  assert.deepEqual(
    all.Snapshots?.map(({ VolumeId, State, Tags, Description }) => [VolumeId, State, Tags?.[0]?.Value, Description]),
    [
      [root, 'pending', 'root', 'both'],
      [disk, 'pending', 'data', 'both'],
    ],
  );
  await scene.upload();
  const volumes = (made: Awaited<ReturnType<typeof create>>) => made.Snapshots?.map(({ VolumeId }) => VolumeId);
  assert.deepEqual(volumes(await create({ ExcludeBootVolume: true })), [disk]);
  await scene.upload();
  assert.deepEqual(volumes(await create({ ExcludeDataVolumeIds: [disk] })), [root]);
  await scene.upload();
  assert.match(
    await refusalOf(create({ ExcludeBootVolume: true, ExcludeDataVolumeIds: [disk] })),
    /^InvalidParameterValue: All volumes/,
  );
  assert.match(await refusalOf(create({ ExcludeDataVolumeIds: [root] })), /^InvalidParameterValue: .*boot volume/);
  assert.match(await refusalOf(create({}, { DryRun: true })), /^DryRunOperation/);
  // Of one that is stopped, the root device alone, as of any volume.
  await scene.ec2('StopInstances', { InstanceIds: [id] });
  await scene.upload();
  const single = await scene.ec2('CreateSnapshot', { VolumeId: root });
  assert.equal(single.VolumeId, root);
  await scene.upload();
  assert.deepEqual(volumes(await create({})), [root, disk]);
});

test('key pairs are made, brought, shown without their private half, and deleted', async () => {
  await using scene = await Scene.open();
  const made = await scene.ec2('CreateKeyPair', { KeyName: 'mine', KeyType: 'ed25519' });
  assert.match(made.KeyMaterial ?? '', /^-----BEGIN OPENSSH PRIVATE KEY-----/);
  const rsa = await scene.ec2('CreateKeyPair', { KeyName: 'old' });
  assert.match(rsa.KeyMaterial ?? '', /^-----BEGIN RSA PRIVATE KEY-----/);
  assert.match(await refusalOf(scene.ec2('CreateKeyPair', { KeyName: 'mine' })), /^InvalidKeyPair.Duplicate/);
  const { KeyPairs: [shown] = [] } = await scene.ec2('DescribeKeyPairs', {
    KeyNames: ['mine'],
    IncludePublicKey: true,
  });
  assert.equal(shown?.KeyPairId, made.KeyPairId);
  assert.equal(shown?.KeyType, 'ed25519');
  const key = shown?.PublicKey ?? '';
  assert.match(key, /^ssh-ed25519 /);
  const bring = (text: string) =>
    scene.ec2('ImportKeyPair', { KeyName: 'brought', PublicKeyMaterial: Buffer.from(text) });
  assert.match(await refusalOf(bring('nothing')), /^InvalidKey.Format/);
  assert.equal((await bring(key)).KeyFingerprint, made.KeyFingerprint);
  const names = async (): Promise<unknown> =>
    (await scene.ec2('DescribeKeyPairs', {})).KeyPairs?.map(({ KeyName }) => KeyName);
  assert.deepEqual(await names(), ['mine', 'old', 'brought']);
  await scene.ec2('DeleteKeyPair', { KeyPairId: made.KeyPairId });
  await scene.ec2('DeleteKeyPair', { KeyName: 'old' });
  await scene.ec2('DeleteKeyPair', { KeyName: 'never' });
  assert.deepEqual(await names(), ['brought']);
  assert.match(await refusalOf(scene.ec2('DescribeKeyPairs', { KeyNames: ['mine'] })), /^InvalidKeyPair.NotFound/);
});

test('a region has one network, whose ids are always the same, and instances are in it', async () => {
  await using scene = await Scene.open();
  const { id } = await withInstance(scene);
  const { Vpcs: [vpc] = [] } = await scene.ec2('DescribeVpcs', { Filters: [{ Name: 'is-default', Values: ['true'] }] });
  const { Subnets = [] } = await scene.ec2('DescribeSubnets', {
    Filters: [{ Name: 'vpc-id', Values: [vpc?.VpcId ?? ''] }],
  });
  assert.equal(Subnets.length, 6);
  const { SecurityGroups: [group] = [] } = await scene.ec2('DescribeSecurityGroups', { GroupNames: ['default'] });
  const { Reservations: [one] = [] } = await scene.ec2('DescribeInstances', { InstanceIds: [id] });
  const instance = one?.Instances?.[0];
  assert.equal(instance?.VpcId, vpc?.VpcId);
  assert.equal(instance?.SubnetId, Subnets.find(({ AvailabilityZone }) => AvailabilityZone === 'us-east-1a')?.SubnetId);
  assert.equal(instance?.SecurityGroups?.[0]?.GroupId, group?.GroupId);
  const { NetworkInterfaces = [] } = await scene.ec2('DescribeNetworkInterfaces', {
    Filters: [{ Name: 'attachment.instance-id', Values: [id] }],
  });
  assert.equal(NetworkInterfaces[0]?.NetworkInterfaceId, instance?.NetworkInterfaces?.[0]?.NetworkInterfaceId);
  const { PublicIpAddress: address = '' } = instance ?? {};
  assert.notEqual(address, '');
  const byAddress = await scene.ec2('DescribeNetworkInterfaces', {
    Filters: [{ Name: 'association.public-ip', Values: [address] }],
  });
  assert.equal(byAddress.NetworkInterfaces?.[0]?.Association?.PublicIp, address);
  const groupsOf = async (port: string): Promise<number | undefined> =>
    (await scene.ec2('DescribeSecurityGroups', { Filters: [{ Name: 'ip-permission.to-port', Values: [port] }] }))
      .SecurityGroups?.length;
  assert.deepEqual([await groupsOf('22'), await groupsOf('23')], [1, 0]);
  const { AccountAttributes: [attribute] = [] } = await scene.ec2('DescribeAccountAttributes', {
    AttributeNames: ['default-vpc'],
  });
  assert.equal(attribute?.AttributeValues?.[0]?.AttributeValue, vpc?.VpcId);
  const far = await scene.ec2('DescribeVpcs', {}, { account: '210987654321' });
  assert.notEqual(far.Vpcs?.[0]?.VpcId, vpc?.VpcId);
  const VpcIds = ['vpc-0123456789abcdef0'];
  assert.match(await refusalOf(scene.ec2('DescribeVpcs', { VpcIds })), /^InvalidVpcID.NotFound/);
  // What a subnet says of the zone is where the instance comes to be.
  const SubnetId = Subnets.at(-1)?.SubnetId;
  const ImageId = instance?.ImageId ?? '';
  const ran = await scene.ec2('RunInstances', { ImageId, SubnetId, MinCount: 1, MaxCount: 1 });
  assert.equal(ran.Instances?.[0]?.Placement?.AvailabilityZone, Subnets.at(-1)?.AvailabilityZone);
});

test('an image says which of its volumes are encrypted, and is found by it', async () => {
  await using scene = await Scene.open();
  const { image: plain } = await withInstance(scene);
  const ZONE = { AvailabilityZone: 'us-east-1a', Size: 1 };
  const { VolumeId = '' } = await scene.ec2('CreateVolume', { ...ZONE, Encrypted: true });
  const { SnapshotId = '' } = await scene.ec2('CreateSnapshot', { VolumeId });
  await scene.upload();
  const { ImageId: sealed = '' } = await scene.ec2('RegisterImage', {
    Name: 'sealed',
    RootDeviceName: '/dev/sda1',
    BlockDeviceMappings: [
      { DeviceName: '/dev/sda1', Ebs: { SnapshotId } },
      { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1 } },
    ],
  });
  const { Images: shown = [] } = await scene.ec2('DescribeImages', { ImageIds: [plain, sealed] });
  assert.deepEqual(
    shown.map(({ ImageId, BlockDeviceMappings = [] }) => [
      ImageId,
      BlockDeviceMappings.map(({ Ebs }) => Ebs?.Encrypted),
    ]),
    [
      [plain, [false]],
      [sealed, [true, false]],
    ],
  );
  const found = async (value: string): Promise<readonly unknown[]> => {
    const Filters = [{ Name: 'block-device-mapping.encrypted', Values: [value] }];
    return ((await scene.ec2('DescribeImages', { Owners: ['self'], Filters })).Images ?? []).map((one) => one.ImageId);
  };
  assert.deepEqual(await found('true'), [sealed]);
  assert.deepEqual(await found('false'), [plain, sealed]);
});
