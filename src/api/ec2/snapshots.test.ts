import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalOf, Scene } from './scene.fake.ts';

const OWN = '012345678910';
const STRANGER = '210987654321';

async function makeVolume(scene: Scene, Size = 8): Promise<string> {
  const { VolumeId = '' } = await scene.ec2('CreateVolume', { AvailabilityZone: 'us-east-1a', Size });
  return VolumeId;
}

async function snapshotIds(
  scene: Scene,
  request: Parameters<typeof scene.ec2<'DescribeSnapshots'>>[1] = {},
): Promise<readonly string[]> {
  const { Snapshots: snapshots = [] } = await scene.ec2('DescribeSnapshots', request);
  return snapshots.map((snapshot) => snapshot.SnapshotId ?? '');
}

test('a snapshot is pending, then completed with its size and time, then gone', async () => {
  await using scene = await Scene.open();
  const VolumeId = await makeVolume(scene);
  const made = await scene.ec2('CreateSnapshot', {
    VolumeId,
    Description: 'This is my root volume snapshot.',
    TagSpecifications: [{ ResourceType: 'snapshot', Tags: [{ Key: 'Name', Value: 'root' }] }],
  });
  const SnapshotId = made.SnapshotId ?? '';
  assert.match(SnapshotId, /^snap-0[0-9a-f]{16}$/);
  assert.deepEqual(
    [made.State, made.Progress, made.OwnerId, made.VolumeSize, made.VolumeId, made.Description],
    ['pending', '', OWN, 8, VolumeId, 'This is my root volume snapshot.'],
  );
  assert.deepEqual(made.Tags, [{ Key: 'Name', Value: 'root' }]);
  assert.deepEqual(made.StartTime, new Date(scene.clock.nowMs()));

  const [pending] = (await scene.ec2('DescribeSnapshots', { SnapshotIds: [SnapshotId] })).Snapshots ?? [];
  assert.equal(pending?.State, 'pending');
  assert.match(pending?.Progress ?? '', /^[0-9]{1,3}%$/);

  await scene.upload();
  const [completed] = (await scene.ec2('DescribeSnapshots', { SnapshotIds: [SnapshotId] })).Snapshots ?? [];
  assert.deepEqual([completed?.State, completed?.Progress, completed?.StorageTier], ['completed', '100%', 'standard']);
  assert.ok(completed?.CompletionTime instanceof Date);
  assert.equal(typeof completed.FullSnapshotSizeInBytes, 'number');
  assert.deepEqual(completed.StartTime, made.StartTime);

  assert.deepEqual(await scene.ec2('DeleteSnapshot', { SnapshotId }), {});
  assert.equal(
    await refusalOf(scene.ec2('DeleteSnapshot', { SnapshotId })),
    `InvalidSnapshot.NotFound: The snapshot '${SnapshotId}' does not exist.`,
  );
  assert.deepEqual(await snapshotIds(scene), []);
});

test('a call whose answer was lost makes one snapshot, also after a restart of the server', async () => {
  await using scene = await Scene.open();
  const VolumeId = await makeVolume(scene);
  const request = { VolumeId, Description: 'nightly' };
  const call = { invocationId: 'a1b2c3d4-0000-4000-8000-000000000001' };
  const [first, second] = await Promise.all([
    scene.ec2('CreateSnapshot', request, call),
    scene.ec2('CreateSnapshot', request, call),
  ]);
  await scene.world.restartControl();
  const third = await scene.ec2('CreateSnapshot', request, call);
  assert.deepEqual([second, third], [first, first]);
  assert.deepEqual(await snapshotIds(scene), [first.SnapshotId]);
  const next = await scene.ec2('CreateSnapshot', request, { invocationId: 'a1b2c3d4-0000-4000-8000-000000000002' });
  const plain = await scene.ec2('CreateSnapshot', request);
  assert.deepEqual(await snapshotIds(scene), [first.SnapshotId, next.SnapshotId, plain.SnapshotId]);
});

test('a deletion whose answer was lost is answered after a restart of the server, and a new one is refused', async () => {
  await using scene = await Scene.open();
  const VolumeId = await makeVolume(scene);
  const { SnapshotId = '' } = await scene.ec2('CreateSnapshot', { VolumeId });
  await scene.upload();
  const call = { invocationId: 'a1b2c3d4-0000-4000-8000-000000000001' };
  const removeBoth = async (options?: typeof call): Promise<readonly string[]> => [
    await refusalOf(scene.ec2('DeleteSnapshot', { SnapshotId }, options)),
    await refusalOf(scene.ec2('DeleteVolume', { VolumeId }, options)),
  ];
  const done = ['not refused', 'not refused'];
  assert.deepEqual(await removeBoth(call), done);
  await scene.world.restartControl();
  assert.deepEqual(await removeBoth(call), done);
  const [snapshot, volume] = await removeBoth();
  assert.match(snapshot ?? '', /^InvalidSnapshot\.NotFound: /);
  assert.match(volume ?? '', /^InvalidVolume\.NotFound: /);
});

test('a volume is made from a completed snapshot only, and takes its size', async () => {
  await using scene = await Scene.open();
  const { SnapshotId = '' } = await scene.ec2('CreateSnapshot', { VolumeId: await makeVolume(scene) });
  const request = { AvailabilityZone: 'us-east-1b', SnapshotId };
  const early = 'IncorrectState: Snapshot is in invalid state - pending';
  assert.equal(await refusalOf(scene.ec2('CreateVolume', request)), early);
  assert.equal(await refusalOf(scene.ec2('CreateVolume', { ...request, DryRun: true })), early);
  await scene.upload();
  const volume = await scene.ec2('CreateVolume', request);
  assert.deepEqual([volume.Size, volume.SnapshotId], [8, SnapshotId]);
  assert.equal((await scene.ec2('CreateVolume', { ...request, Size: 10 })).Size, 10);
  assert.equal(
    await refusalOf(scene.ec2('CreateVolume', { ...request, Size: 7 })),
    `InvalidParameterValue: Volume of size 7GB is smaller than snapshot '${SnapshotId}', expect size >= 8GB`,
  );
  const made = await scene.ec2('DescribeVolumes', { Filters: [{ Name: 'snapshot-id', Values: [SnapshotId] }] });
  assert.equal(made.Volumes?.length, 2);
});

test('a snapshot outlives its volume', async () => {
  await using scene = await Scene.open();
  const VolumeId = await makeVolume(scene);
  const { SnapshotId = '' } = await scene.ec2('CreateSnapshot', { VolumeId });
  await scene.upload();
  await scene.ec2('DeleteVolume', { VolumeId });
  const [kept] = (await scene.ec2('DescribeSnapshots', { SnapshotIds: [SnapshotId] })).Snapshots ?? [];
  assert.deepEqual([kept?.State, kept?.VolumeId], ['completed', VolumeId]);
});

test('a wrong volume id is told apart from an unknown one', async () => {
  await using scene = await Scene.open();
  assert.equal(
    await refusalOf(scene.ec2('CreateSnapshot', { VolumeId: 'vol-1234abcd' })),
    "InvalidVolume.NotFound: The volume 'vol-1234abcd' does not exist.",
  );
  assert.match(await refusalOf(scene.ec2('CreateSnapshot', { VolumeId: 'vol-12' })), /^InvalidVolumeID\.Malformed: /);
  assert.match(await refusalOf(scene.ec2('CreateSnapshot', { VolumeId: 'disk' })), /^InvalidParameterValue: /);
});

test('what a snapshot of a volume in a region cannot have is refused, and nothing is made', async () => {
  await using scene = await Scene.open();
  const VolumeId = await makeVolume(scene);
  const OutpostArn = 'arn:aws:outposts:us-east-1:012345678910:outpost/op-1234567890abcdef0';
  assert.match(await refusalOf(scene.ec2('CreateSnapshot', { VolumeId, OutpostArn })), /^InvalidParameterValue: /);
  assert.match(
    await refusalOf(scene.ec2('CreateSnapshot', { VolumeId, Location: 'local' })),
    /^UnsupportedOperation: /,
  );
  assert.match(
    await refusalOf(scene.ec2('CreateSnapshot', { VolumeId, Location: 'moon' })),
    /^InvalidParameterValue: /,
  );
  assert.match(
    await refusalOf(scene.ec2('CreateSnapshot', { VolumeId, Description: 'x'.repeat(256) })),
    /^InvalidParameterValue: /,
  );
  const forVolume = [{ ResourceType: 'volume', Tags: [{ Key: 'a', Value: 'b' }] }];
  assert.equal(
    await refusalOf(scene.ec2('CreateSnapshot', { VolumeId, TagSpecifications: forVolume })),
    "InvalidParameterValue: 'volume' is not a valid taggable resource type for this operation.",
  );
  assert.deepEqual(await snapshotIds(scene), []);
  assert.equal((await scene.ec2('CreateSnapshot', { VolumeId, Location: 'regional' })).State, 'pending');
});

test('a dry run checks everything and does nothing', async () => {
  await using scene = await Scene.open();
  const VolumeId = await makeVolume(scene);
  const passed = 'DryRunOperation: Request would have succeeded, but DryRun flag is set.';
  assert.equal(await refusalOf(scene.ec2('CreateSnapshot', { VolumeId, DryRun: true })), passed);
  assert.match(
    await refusalOf(scene.ec2('CreateSnapshot', { VolumeId: 'vol-1234abcd', DryRun: true })),
    /^InvalidVolume\.NotFound: /,
  );
  assert.deepEqual(await snapshotIds(scene), []);

  const { SnapshotId = '' } = await scene.ec2('CreateSnapshot', { VolumeId, DryRun: false });
  assert.equal(await refusalOf(scene.ec2('DeleteSnapshot', { SnapshotId, DryRun: true })), passed);
  assert.equal(await refusalOf(scene.ec2('DescribeSnapshots', { DryRun: true })), passed);
  assert.deepEqual(await snapshotIds(scene), [SnapshotId]);
});

test('owners and restorers select among the own snapshots', async () => {
  await using scene = await Scene.open();
  const { SnapshotId = '' } = await scene.ec2('CreateSnapshot', { VolumeId: await makeVolume(scene) });
  for (const OwnerIds of [['self'], [OWN], ['amazon', 'self']]) {
    assert.deepEqual(await snapshotIds(scene, { OwnerIds }), [SnapshotId]);
  }
  for (const OwnerIds of [['amazon'], [STRANGER], ['aws-marketplace']]) {
    assert.deepEqual(await snapshotIds(scene, { OwnerIds }), []);
    assert.deepEqual(await snapshotIds(scene, { OwnerIds, SnapshotIds: [SnapshotId] }), []);
  }
  assert.deepEqual(await snapshotIds(scene, { RestorableByUserIds: ['self'] }), [SnapshotId]);
  assert.deepEqual(await snapshotIds(scene, { RestorableByUserIds: ['all'] }), []);
  assert.equal(
    await refusalOf(scene.ec2('DescribeSnapshots', { OwnerIds: ['me'] })),
    'InvalidUserID.Malformed: Invalid user id: "me"',
  );
  assert.match(
    await refusalOf(scene.ec2('DescribeSnapshots', { RestorableByUserIds: ['amazon'] })),
    /^InvalidUserID\.Malformed: /,
  );
});

test('wrong, malformed and unknown snapshot ids are three answers', async () => {
  await using scene = await Scene.open();
  const describe = (id: string): Promise<string> => refusalOf(scene.ec2('DescribeSnapshots', { SnapshotIds: [id] }));
  assert.equal(
    await describe('snap-066877671789bd71b'),
    "InvalidSnapshot.NotFound: The snapshot 'snap-066877671789bd71b' does not exist.",
  );
  assert.equal(await describe('snap-0668'), 'InvalidSnapshotID.Malformed: Invalid id: "snap-0668"');
  assert.match(await describe('mysnapshot'), /^InvalidParameterValue: /);
});

test('ids exclude MaxResults and combine with filters', async () => {
  await using scene = await Scene.open();
  const VolumeId = await makeVolume(scene);
  const { SnapshotId: first = '' } = await scene.ec2('CreateSnapshot', { VolumeId, Description: 'one' });
  const { SnapshotId: second = '' } = await scene.ec2('CreateSnapshot', { VolumeId, Description: 'two' });
  assert.equal(
    await refusalOf(scene.ec2('DescribeSnapshots', { SnapshotIds: [first], MaxResults: 5 })),
    'InvalidParameterCombination: The parameter snapshotSet cannot be used with the parameter maxResults',
  );
  const filter = [{ Name: 'description', Values: ['t?o'] }];
  assert.deepEqual(await snapshotIds(scene, { Filters: filter }), [second]);
  assert.deepEqual(await snapshotIds(scene, { Filters: filter, SnapshotIds: [first, second] }), [second]);
  assert.deepEqual(await snapshotIds(scene, { Filters: filter, SnapshotIds: [first] }), []);
});

test('the rate and the number of pending snapshots of a volume are limited', async () => {
  await using scene = await Scene.open({ snapshotIntervalMsMin: 15_000 });
  const VolumeId = await makeVolume(scene);
  await scene.ec2('CreateSnapshot', { VolumeId });
  assert.match(
    await refusalOf(scene.ec2('CreateSnapshot', { VolumeId })),
    /^SnapshotCreationPerVolumeRateExceeded: The maximum per volume CreateSnapshot request rate has been exceeded/,
  );
  for (let count = 1; count < 5; count += 1) {
    await scene.clock.advance(15_000);
    await scene.ec2('CreateSnapshot', { VolumeId });
  }
  await scene.clock.advance(15_000);
  assert.match(await refusalOf(scene.ec2('CreateSnapshot', { VolumeId })), /^ConcurrentSnapshotLimitExceeded: /);
});
