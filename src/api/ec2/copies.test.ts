import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { parseVolumeId } from '#domain/ids.ts';
import type { InputOf } from '#wire/aws/operations.ts';
import { refusalOf, Scene } from './scene.fake.ts';

const ZONE = { AvailabilityZone: 'us-east-1a' };
const ABROAD = { region: 'eu-west-1' };

async function volumeOf(scene: Scene, input: Partial<InputOf<'ec2', 'CreateVolume'>> = {}): Promise<string> {
  const { VolumeId = '' } = await scene.ec2('CreateVolume', { ...ZONE, Size: 1, ...input });
  scene.world.host.write(present(parseVolumeId(VolumeId), 'a volume'), 3, 7);
  return VolumeId;
}

async function snapshotOf(scene: Scene): Promise<string> {
  const VolumeId = await volumeOf(scene);
  const { SnapshotId = '' } = await scene.ec2('CreateSnapshot', { VolumeId });
  await scene.upload();
  return SnapshotId;
}

test('a copy is pending at once, and completed with what it was asked to have', async () => {
  await using scene = await Scene.open();
  const SourceSnapshotId = await snapshotOf(scene);
  const copy = await scene.ec2(
    'CopySnapshot',
    {
      SourceRegion: 'us-east-1',
      SourceSnapshotId,
      Description: 'a copy',
      DestinationRegion: 'eu-west-1',
      PresignedUrl: 'https://ec2.us-east-1.amazonaws.com/?Action=CopySnapshot',
      CompletionDurationMinutes: 45,
      TagSpecifications: [{ ResourceType: 'snapshot', Tags: [{ Key: 'of', Value: SourceSnapshotId }] }],
    },
    ABROAD,
  );
  assert.deepEqual(copy.Tags, [{ Key: 'of', Value: SourceSnapshotId }]);
  const SnapshotId = present(copy.SnapshotId, 'a copy has an id');
  const shown = async () =>
    present(
      (await scene.ec2('DescribeSnapshots', { SnapshotIds: [SnapshotId] }, ABROAD)).Snapshots?.[0],
      'it is shown',
    );
  const before = await shown();
  assert.deepEqual([before.State, before.VolumeId, before.VolumeSize], ['pending', 'vol-ffffffff', 1]);
  await scene.upload();
  const after = await shown();
  assert.deepEqual([after.State, after.Progress, after.Description], ['completed', '100%', 'a copy']);
  assert.deepEqual([after.TransferType, after.CompletionDurationMinutes], ['time-based', 45]);
  assert.equal(after.FullSnapshotSizeInBytes, CHUNK_BYTES);
  const filtered = async (Name: string, ...Values: string[]) =>
    (await scene.ec2('DescribeSnapshots', { Filters: [{ Name, Values }] }, ABROAD)).Snapshots?.length;
  assert.equal(await filtered('transfer-type', 'time-based'), 1);
  assert.equal(await filtered('transfer-type', 'standard'), 0);
  assert.equal(await filtered('volume-id', 'vol-ffffffff'), 1);
  // Attempts of one call of an SDK make one copy.
  const request = { SourceRegion: 'us-east-1', SourceSnapshotId };
  const first = await scene.ec2('CopySnapshot', request, { ...ABROAD, invocationId: 'a' });
  const again = await scene.ec2('CopySnapshot', request, { ...ABROAD, invocationId: 'a' });
  assert.equal(first.SnapshotId, again.SnapshotId);
});

test('what CopySnapshot refuses, with the code that EC2 has for it', async () => {
  await using scene = await Scene.open({ pendingCopyCountMax: 1 });
  const SourceSnapshotId = await snapshotOf(scene);
  const refusal = (input: Partial<InputOf<'ec2', 'CopySnapshot'>>): Promise<string> =>
    refusalOf(scene.ec2('CopySnapshot', { SourceRegion: 'us-east-1', SourceSnapshotId, ...input }));
  assert.match(await refusal({ SourceSnapshotId: 'snap-1234abcd' }), /^InvalidSnapshot\.NotFound: /);
  assert.match(await refusal({ SourceSnapshotId: 'snap-1' }), /^InvalidSnapshotID\.Malformed: /);
  assert.match(await refusal({ SourceRegion: 'us-west-2' }), /^InvalidSnapshot\.NotFound: /);
  assert.match(await refusal({ SourceRegion: 'mars-1' }), /^InvalidParameterValue: .*mars-1/);
  assert.match(await refusal({ SourceRegion: '' }), /^MissingParameter: /);
  assert.match(await refusal({ DestinationRegion: 'eu-west-1' }), /^InvalidParameterValue: /);
  for (const minutes of [0, 10, 20, 2895, -15]) {
    assert.match(await refusal({ CompletionDurationMinutes: minutes }), /^InvalidParameterValue: /);
  }
  assert.match(await refusal({ KmsKeyId: 'alias/x' }), /^InvalidParameterCombination: /);
  assert.match(await refusal({ Description: 'x'.repeat(256) }), /^InvalidParameterValue: /);
  assert.match(await refusal({ Description: 'bell \u0007' }), /^InvalidParameterValue: /);
  assert.match(
    await refusal({ TagSpecifications: [{ ResourceType: 'volume', Tags: [{ Key: 'a' }] }] }),
    /^InvalidParameterValue: /,
  );
  assert.match(await refusal({ DestinationOutpostArn: 'arn' }), /^InvalidParameterValue: /);
  assert.match(await refusal({ DryRun: true }), /^DryRunOperation: /);
  assert.match(await refusal({ DryRun: true, SourceSnapshotId: 'snap-1234abcd' }), /^InvalidSnapshot\.NotFound: /);
  // Characters are code points: 255 of them, though they take twice as many units.
  await scene.ec2('CopySnapshot', {
    SourceRegion: 'us-east-1',
    SourceSnapshotId,
    Description: '🗻'.repeat(255),
  });
  assert.match(await refusal({}), /^ResourceLimitExceeded: /);
});

test('CreateSnapshots of an instance that is not there', async () => {
  await using scene = await Scene.open();
  const refusal = (InstanceId: string, more: object = {}): Promise<string> =>
    refusalOf(scene.ec2('CreateSnapshots', { InstanceSpecification: { InstanceId }, ...more }));
  assert.match(await refusal('i-1234567890abcdef0'), /^InvalidInstanceID\.NotFound: The instance ID/);
  assert.match(await refusal('i-123'), /^InvalidInstanceID\.Malformed: /);
  assert.match(await refusal('vol-1234abcd'), /^InvalidParameterValue: /);
  assert.match(await refusal(''), /^MissingParameter: /);
  assert.match(await refusal('i-1234abcd', { CopyTagsFromSource: 'instance' }), /^InvalidParameterValue: /);
  assert.match(await refusal('i-1234abcd', { Location: 'local' }), /^UnsupportedOperation: /);
});

test('a volume is copied as it is at one instant', async () => {
  await using scene = await Scene.open();
  const SourceVolumeId = await volumeOf(scene, { VolumeType: 'gp3', Iops: 3500, Size: 10 });
  const { Volumes: [made] = [] } = await scene.ec2('CopyVolumes', {
    SourceVolumeId,
    Size: 12,
    TagSpecifications: [{ ResourceType: 'volume', Tags: [{ Key: 'a', Value: 'b' }] }],
    ClientToken: 'once',
  });
  const VolumeId = present(made?.VolumeId, 'a copy has an id');
  assert.deepEqual([made?.State, made?.SourceVolumeId, made?.SnapshotId], ['creating', SourceVolumeId, '']);
  assert.deepEqual([made?.Size, made?.VolumeType, made?.Iops], [12, 'gp3', 3500]);
  const { Volumes: [again] = [] } = await scene.ec2('CopyVolumes', {
    SourceVolumeId,
    Size: 12,
    TagSpecifications: [{ ResourceType: 'volume', Tags: [{ Key: 'a', Value: 'b' }] }],
    ClientToken: 'once',
  });
  assert.equal(again?.VolumeId, VolumeId);
  // Too late to be in it.
  const source = present(parseVolumeId(SourceVolumeId), 'a volume');
  scene.world.host.write(source, 3, 8);
  assert.deepEqual((await scene.ec2('DescribeSnapshots', {})).Snapshots, [], 'what it is stored as is not shown');
  await scene.upload();
  const { Volumes: [copy] = [] } = await scene.ec2('DescribeVolumes', { VolumeIds: [VolumeId] });
  assert.deepEqual([copy?.State, copy?.SourceVolumeId], ['available', SourceVolumeId]);
  const id = present(parseVolumeId(VolumeId), 'a volume');
  assert.deepEqual(scene.world.host.read(id, 3), new Uint8Array(CHUNK_BYTES).fill(7));
  assert.equal(scene.world.host.snapshots.size, 0);
  await scene.ec2('DeleteVolume', { VolumeId: SourceVolumeId });
  await scene.ec2('DeleteVolume', { VolumeId });
});

test('a copy of a volume is encrypted when its source is, or when it is asked for', async () => {
  await using scene = await Scene.open();
  const copyOf = async (SourceVolumeId: string, input: object = {}) => {
    const { Volumes: [made] = [] } = await scene.ec2('CopyVolumes', { SourceVolumeId, ...input });
    await scene.upload();
    const { Volumes: [copy] = [] } = await scene.ec2('DescribeVolumes', { VolumeIds: [made?.VolumeId ?? ''] });
    assert.equal(copy?.State, 'available');
    const id = present(parseVolumeId(made?.VolumeId ?? ''), 'a volume');
    assert.deepEqual(scene.world.host.read(id, 3), new Uint8Array(CHUNK_BYTES).fill(7));
    return [copy?.Encrypted, copy?.KmsKeyId];
  };
  const plain = await volumeOf(scene);
  assert.deepEqual(await copyOf(plain), [false, undefined]);
  const [isEncrypted, keyId] = await copyOf(plain, { Encrypted: true });
  assert.equal(isEncrypted, true);
  assert.match(String(keyId), /^arn:aws:kms:/);
  const sealed = await volumeOf(scene, { Encrypted: true });
  assert.deepEqual(await copyOf(sealed), [true, keyId]);
  assert.deepEqual(await copyOf(sealed, { Encrypted: false }), [true, keyId]);
});

test('what CopyVolumes refuses', async () => {
  await using scene = await Scene.open();
  const SourceVolumeId = await volumeOf(scene, { Size: 10 });
  const refusal = (input: object): Promise<string> => refusalOf(scene.ec2('CopyVolumes', { SourceVolumeId, ...input }));
  assert.match(await refusal({ SourceVolumeId: 'vol-1234abcd' }), /^InvalidVolume\.NotFound: /);
  assert.match(await refusal({ Size: 9 }), /^InvalidParameterValue: .*smaller/);
  assert.match(await refusal({ VolumeType: 'io9' }), /^UnknownVolumeType: /);
  assert.match(await refusal({ Iops: 100 }), /^InvalidParameterCombination: /);
  assert.match(await refusal({ KmsKeyId: 'alias/x' }), /^InvalidParameterCombination: /);
  assert.match(await refusal({ DryRun: true }), /^DryRunOperation: /);
  assert.equal((await scene.ec2('DescribeVolumes', {})).Volumes?.length, 1);
});
