import type { Scene } from './scene.fake.ts';

// Instances of EC2, for tests: an image that they are made of, and the calls that every test makes.

export interface Made {
  readonly scene: Scene;
  readonly image: string;
  readonly snapshot: string;
}

/** A scene with one image of the account, of a snapshot of 2 GiB. */
export async function withImage(scene: Scene): Promise<Made> {
  const volume = await scene.ec2('CreateVolume', { AvailabilityZone: 'us-east-1a', Size: 2 });
  const cut = await scene.ec2('CreateSnapshot', { VolumeId: volume.VolumeId ?? '' });
  const snapshot = cut.SnapshotId ?? '';
  await scene.upload();
  const { ImageId: image = '' } = await scene.ec2('RegisterImage', {
    Name: 'plain',
    RootDeviceName: '/dev/sda1',
    BlockDeviceMappings: [{ DeviceName: '/dev/sda1', Ebs: { SnapshotId: snapshot } }],
  });
  return { scene, image, snapshot };
}

export async function run(
  { scene, image }: Made,
  some: Partial<Parameters<typeof scene.ec2<'RunInstances'>>[1]> = {},
): Promise<string> {
  const { Instances: [one] = [] } = await scene.ec2('RunInstances', {
    ImageId: image,
    InstanceType: 't3.micro',
    MinCount: 1,
    MaxCount: 1,
    ...some,
  });
  await scene.upload();
  return one?.InstanceId ?? '';
}

export async function stateOf(scene: Scene, id: string): Promise<string> {
  const { Reservations: [one] = [] } = await scene.ec2('DescribeInstances', { InstanceIds: [id] });
  return one?.Instances?.[0]?.State?.Name ?? 'none';
}
