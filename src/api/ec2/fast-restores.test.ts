import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { refusalOf, Scene } from './scene.fake.ts';

async function completedSnapshot(scene: Scene): Promise<string> {
  const { VolumeId } = await scene.ec2('CreateVolume', { Size: 1, AvailabilityZone: 'us-east-1a' });
  const { SnapshotId } = await scene.ec2('CreateSnapshot', { VolumeId: present(VolumeId, 'a volume') });
  await scene.upload();
  return present(SnapshotId, 'a snapshot');
}

test('zones are named by their names or their ids, not both, and all of them are known', async () => {
  await using scene = await Scene.open();
  const SourceSnapshotIds = [await completedSnapshot(scene)];
  const { Successful } = await scene.ec2('EnableFastSnapshotRestores', {
    SourceSnapshotIds,
    AvailabilityZoneIds: ['use1-az1'],
  });
  const [item] = present(Successful, 'what succeeded');
  assert.deepEqual([item?.AvailabilityZoneId, item?.State], ['use1-az1', 'enabling']);
  assert.deepEqual([item?.OptimizingTime, item?.StateTransitionReason], [undefined, 'Client.UserInitiated']);
  const enable = (zones: { readonly AvailabilityZones?: string[]; readonly AvailabilityZoneIds?: string[] }) =>
    scene.ec2('EnableFastSnapshotRestores', { SourceSnapshotIds, ...zones });
  const both = { AvailabilityZones: ['us-east-1a'], AvailabilityZoneIds: ['use1-az1'] };
  assert.match(await refusalOf(enable(both)), /^InvalidParameterCombination:/);
  assert.match(await refusalOf(enable({})), /^MissingParameter:/);
  assert.match(await refusalOf(enable({ AvailabilityZoneIds: ['euw1-az1'] })), /^InvalidParameterValue:/);
  assert.match(await refusalOf(enable({ AvailabilityZones: ['eu-west-1a'] })), /^InvalidZone\.NotFound:/);
});

test('a dry run changes nothing, and filters are AWS’s', async () => {
  await using scene = await Scene.open();
  const SourceSnapshotIds = [await completedSnapshot(scene)];
  const request = { SourceSnapshotIds, AvailabilityZones: ['us-east-1a', 'us-east-1b', 'us-east-1c'] };
  for (const operation of ['EnableFastSnapshotRestores', 'DisableFastSnapshotRestores'] as const) {
    assert.match(await refusalOf(scene.ec2(operation, { ...request, DryRun: true })), /^DryRunOperation:/);
  }
  const listed = async (name: string, value: string): Promise<number> => {
    const Filters = [{ Name: name, Values: [value] }];
    return (await scene.ec2('DescribeFastSnapshotRestores', { Filters })).FastSnapshotRestores?.length ?? 0;
  };
  assert.equal(await listed('state', '*'), 0);
  await scene.ec2('EnableFastSnapshotRestores', request);
  assert.deepEqual(
    [
      await listed('state', 'enabling'),
      await listed('state', 'enabled'),
      await listed('snapshot-id', SourceSnapshotIds[0] ?? ''),
      await listed('availability-zone', 'us-east-1?'),
      await listed('availability-zone', 'us-east-1b'),
    ],
    [3, 0, 3, 3, 1],
  );
  assert.match(await refusalOf(listed('tag:Name', 'x')), /^InvalidParameterValue:/);
});
