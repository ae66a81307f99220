import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { GIB_BYTES } from '#domain/geometry.ts';
import { parseVolumeId } from '#domain/ids.ts';
import { refusalOf, Scene } from './scene.fake.ts';

const ZONE = { AvailabilityZone: 'us-east-1a' };
const HOUR_MS = 3_600_000;

async function volumeOf(
  scene: Scene,
  input: { Size?: number; VolumeType?: string; Iops?: number } = {},
): Promise<string> {
  const made = await scene.ec2('CreateVolume', { ...ZONE, Size: 8, VolumeType: 'gp3', ...input });
  return present(made.VolumeId, 'a volume has an id');
}

test('a modification is modifying, then optimizing, then completed, by the clock', async () => {
  await using scene = await Scene.open({ modifyingMs: 1000, optimizingMs: 10_000 });
  const VolumeId = await volumeOf(scene);
  const { VolumeModification: modification } = await scene.ec2('ModifyVolume', { VolumeId, Size: 20, Iops: 4000 });
  assert.deepEqual(
    { ...modification, StartTime: null },
    {
      VolumeId,
      ModificationState: 'modifying',
      TargetSize: 20,
      TargetIops: 4000,
      TargetVolumeType: 'gp3',
      TargetThroughput: 125,
      TargetMultiAttachEnabled: false,
      OriginalSize: 8,
      OriginalIops: 3000,
      OriginalVolumeType: 'gp3',
      OriginalThroughput: 125,
      OriginalMultiAttachEnabled: false,
      Progress: 0,
      StartTime: null,
    },
  );
  const id = present(parseVolumeId(VolumeId), 'a volume');
  assert.equal(scene.world.host.volumes.get(id)?.sizeBytes, 20 * GIB_BYTES, 'it has grown at the host');
  const { Volumes: [volume] = [] } = await scene.ec2('DescribeVolumes', { VolumeIds: [VolumeId] });
  assert.deepEqual([volume?.Size, volume?.Iops, volume?.Throughput], [20, 4000, 125]);

  const state = async () => {
    const { VolumesModifications: [one] = [] } = await scene.ec2('DescribeVolumesModifications', {
      VolumeIds: [VolumeId],
    });
    return [one?.ModificationState, one?.Progress, one?.EndTime?.getTime()];
  };
  const startMs = scene.clock.nowMs();
  assert.deepEqual(await state(), ['modifying', 0, undefined]);
  assert.match(
    await refusalOf(scene.ec2('ModifyVolume', { VolumeId, Size: 30 })),
    new RegExp(`^IncorrectModificationState: Volume ${VolumeId} is in modification state 'modifying'`),
  );
  await scene.clock.advance(6000);
  assert.deepEqual(await state(), ['optimizing', 50, undefined]);
  assert.match(await refusalOf(scene.ec2('ModifyVolume', { VolumeId, Size: 30 })), /^IncorrectModificationState: /);
  await scene.clock.advance(6000);
  assert.deepEqual(await state(), ['completed', 100, startMs + 11_000]);
  assert.equal((await scene.ec2('ModifyVolume', { VolumeId, Size: 30 })).VolumeModification?.OriginalSize, 20);
});

test('a request that changes nothing succeeds at once and leaves no modification', async () => {
  await using scene = await Scene.open();
  const VolumeId = await volumeOf(scene);
  for (const request of [{}, { Size: 8 }, { VolumeType: 'gp3', Iops: 3000, Throughput: 125 }]) {
    const { VolumeModification: modification } = await scene.ec2('ModifyVolume', { VolumeId, ...request });
    assert.equal(modification?.ModificationState, 'completed');
    assert.deepEqual([modification?.OriginalSize, modification?.TargetSize], [8, 8]);
  }
  assert.equal(
    await refusalOf(scene.ec2('DescribeVolumesModifications', { VolumeIds: [VolumeId] })),
    `InvalidVolumeModification.NotFound: Modification for volume '${VolumeId}' does not exist.`,
  );
  assert.deepEqual(await scene.ec2('DescribeVolumesModifications', {}), { VolumesModifications: [] });
});

test('four modifications in a rolling day, and a fifth when the first is a day old', async () => {
  await using scene = await Scene.open();
  const VolumeId = await volumeOf(scene);
  for (let count = 1; count <= 4; count += 1) {
    await scene.ec2('ModifyVolume', { VolumeId, Size: 8 + count });
    await scene.clock.advance(HOUR_MS);
  }
  const modify = (): Promise<unknown> => scene.ec2('ModifyVolume', { VolumeId, Size: 100 });
  assert.match(await refusalOf(modify()), /^VolumeModificationRateExceeded: /);
  await scene.clock.advance(20 * HOUR_MS - 1);
  assert.match(await refusalOf(modify()), /^VolumeModificationRateExceeded: /);
  // What changes nothing is no modification.
  await scene.ec2('ModifyVolume', { VolumeId });
  await scene.clock.advance(1);
  await modify();
});

test('what ModifyVolume refuses, with the code that EC2 has for it', async () => {
  await using scene = await Scene.open({ volumeGibTotalMax: 1000 });
  const VolumeId = await volumeOf(scene);
  const magnetic = await volumeOf(scene, { VolumeType: 'standard' });
  const refusal = (input: object): Promise<string> => refusalOf(scene.ec2('ModifyVolume', { VolumeId, ...input }));
  assert.equal(await refusal({ Size: 7 }), 'InvalidParameterValue: New size cannot be smaller than existing size');
  assert.match(await refusal({ Size: 0 }), /^InvalidParameterValue: /);
  assert.match(await refusal({ Size: 70_000 }), /^InvalidParameterValue: .*too large/);
  assert.match(await refusal({ Size: 1000 }), /^VolumeModificationSizeLimitExceeded: .*1000 GiB/);
  assert.match(await refusal({ VolumeType: 'gp9' }), /^UnknownVolumeType: /);
  assert.match(await refusal({ VolumeType: 'gp2', Iops: 100 }), /^InvalidParameterCombination: /);
  assert.match(await refusal({ VolumeType: 'st1' }), /^InvalidParameterValue: .*at least 125 GiB/);
  assert.match(await refusal({ Iops: 100_000 }), /^InvalidParameterValue: .*too high/);
  assert.match(await refusal({ Throughput: 2000 }), /^InvalidParameterValue: .*ratio/);
  assert.match(await refusal({ MultiAttachEnabled: true }), /^InvalidParameterCombination: /);
  assert.match(await refusal({ VolumeType: 'standard' }), /^UnsupportedOperation: /);
  assert.match(await refusal({ VolumeId: magnetic, Size: 9 }), /^UnsupportedOperation: /);
  assert.match(await refusal({ VolumeId: 'vol-1234abcd' }), /^InvalidVolume\.NotFound: /);
  assert.match(await refusal({ VolumeId: 'vol-1234' }), /^InvalidVolumeID\.Malformed: /);
  assert.match(await refusal({ VolumeId: 'disk' }), /^InvalidParameterValue: /);
  assert.match(await refusal({ Size: 9, DryRun: true }), /^DryRunOperation: /);
  const other = scene.ec2('ModifyVolume', { VolumeId, Size: 9 }, { account: '210987654321' });
  assert.match(await refusalOf(other), /^InvalidVolume\.NotFound: /);
  assert.deepEqual((await scene.ec2('DescribeVolumesModifications', {})).VolumesModifications, []);
});

test('another type begins with its own IOPS and throughput; the same type keeps them', async () => {
  await using scene = await Scene.open({ modifyingMs: 0, optimizingMs: 0 });
  const VolumeId = await volumeOf(scene, { Size: 100, Iops: 5000 });
  const modify = async (input: object) => {
    const { VolumeModification: one } = await scene.ec2('ModifyVolume', { VolumeId, ...input });
    return [one?.TargetVolumeType, one?.TargetSize, one?.TargetIops, one?.TargetThroughput];
  };
  assert.deepEqual(await modify({ Size: 200 }), ['gp3', 200, 5000, 125]);
  assert.deepEqual(await modify({ VolumeType: 'gp2' }), ['gp2', 200, 600, undefined]);
  assert.deepEqual(await modify({ VolumeType: 'io2' }), ['io2', 200, 3000, undefined]);
  assert.deepEqual(await modify({ VolumeType: 'gp3', Throughput: 250 }), ['gp3', 200, 3000, 250]);
});

test('modifications are listed by page and filtered', async () => {
  await using scene = await Scene.open();
  const ids: string[] = [];
  for (let count = 0; count < 7; count += 1) ids.push(await volumeOf(scene));
  for (const [count, VolumeId] of ids.entries()) {
    if (count !== 3) await scene.ec2('ModifyVolume', { VolumeId, Size: 10 + count });
  }
  const first = await scene.ec2('DescribeVolumesModifications', { MaxResults: 5 });
  assert.equal(first.VolumesModifications?.length, 5);
  const second = await scene.ec2('DescribeVolumesModifications', {
    MaxResults: 5,
    NextToken: present(first.NextToken, 'there is more'),
  });
  assert.deepEqual(
    [...(first.VolumesModifications ?? []), ...(second.VolumesModifications ?? [])].map((one) => one.VolumeId),
    ids.filter((_, count) => count !== 3),
  );
  assert.equal(second.NextToken, undefined);
  const named = async (Name: string, ...Values: string[]): Promise<number> =>
    (await scene.ec2('DescribeVolumesModifications', { Filters: [{ Name, Values }] })).VolumesModifications?.length ??
    0;
  assert.equal(await named('target-size', '10', '12'), 2);
  assert.equal(await named('modification-state', 'modifying'), 6);
  assert.equal(await named('modification-state', 'completed'), 0);
  assert.equal(await named('original-volume-type', 'gp?'), 6);
  assert.equal(await named('originalMultiAttachEnabled', 'false'), 6);
  assert.equal(await named('volume-id', ids[0] ?? '', ids[3] ?? ''), 1);
  assert.match(
    await refusalOf(scene.ec2('DescribeVolumesModifications', { Filters: [{ Name: 'size', Values: [] }] })),
    /^InvalidParameterValue: /,
  );
  assert.match(
    await refusalOf(scene.ec2('DescribeVolumesModifications', { MaxResults: 4 })),
    /^InvalidParameterValue: /,
  );
});
