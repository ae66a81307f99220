import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { createSnapshots } from '#control/snapshot-sets.ts';
import { asRoot, PLAIN_KEY, policyWith } from '#control/kms/kms-world.fake.ts';
import { createKey, putPolicy } from '#control/kms/keys.ts';
import { TEST_OUTPOSTS } from '#control/outposts.fake.ts';
import { parseSnapshotId, parseVolumeId } from '#domain/ids.ts';
import type { OutputOf } from '#wire/aws/operations.ts';
import { type CallOptions, refusalOf, Scene, scopeOf } from './scene.fake.ts';

const [HERE, SECOND, ELSEWHERE, FOREIGN] = TEST_OUTPOSTS;
const ZONE = { AvailabilityZone: 'us-east-1a', Size: 1 } as const;
const LOCAL = { OutpostArn: HERE.arn };
const SOURCE = { SourceRegion: 'us-east-1' } as const;
const OTHER = { account: '210987654321' } as const satisfies CallOptions;

async function volumeAt(scene: Scene, more: { readonly OutpostArn?: string; readonly SnapshotId?: string } = {}) {
  const { VolumeId } = await scene.ec2('CreateVolume', { ...ZONE, ...more });
  return present(VolumeId, 'a volume');
}

async function snapshotAt(scene: Scene, VolumeId: string, more: { readonly OutpostArn?: string } = {}) {
  const { SnapshotId } = await scene.ec2('CreateSnapshot', { VolumeId, ...more });
  await scene.upload();
  return present(SnapshotId, 'a snapshot');
}

async function described(scene: Scene, id: string) {
  const { Snapshots } = await scene.ec2('DescribeSnapshots', { SnapshotIds: [id] });
  const [snapshot]: NonNullable<OutputOf<'ec2', 'DescribeSnapshots'>['Snapshots']> = Snapshots ?? [];
  return present(snapshot, 'a snapshot');
}

/** Where the host was told to store it; null: nowhere. */
function storedAt(scene: Scene, id: string): string | null {
  const stored = scene.world.host.snapshots.get(present(parseSnapshotId(id), 'a snapshot id'));
  return stored === undefined ? null : (stored.label.outpost ?? 'region');
}

test('D2 D3: a snapshot of a volume on an Outpost is stored there when that is asked for, and in the region otherwise', async () => {
  await using scene = await Scene.open();
  const made = await scene.ec2('CreateVolume', { ...ZONE, ...LOCAL });
  assert.deepEqual([made.OutpostArn, made.Encrypted], [HERE.arn, true], 'Outposts have nothing that is not encrypted');
  const volume = present(made.VolumeId, 'a volume');
  const started = await scene.ec2('CreateSnapshot', { VolumeId: volume, ...LOCAL });
  assert.equal(started.OutpostArn, HERE.arn);
  await scene.upload();
  const local = present(started.SnapshotId, 'a snapshot');
  const regional = await snapshotAt(scene, volume);
  assert.deepEqual([storedAt(scene, local), storedAt(scene, regional)], [HERE.id, 'region']);
  const views = [await described(scene, local), await described(scene, regional)];
  assert.deepEqual(
    views.map(({ State, OutpostArn = null }) => [State, OutpostArn]),
    [
      ['completed', HERE.arn],
      ['completed', null],
    ],
  );
  const Filters = [{ Name: 'outpost-arn', Values: [HERE.arn] }];
  const { Snapshots } = await scene.ec2('DescribeSnapshots', { Filters });
  assert.deepEqual(
    Snapshots?.map(({ SnapshotId }) => SnapshotId),
    [local],
  );
  await volumeAt(scene);
  const { Volumes } = await scene.ec2('DescribeVolumes', { Filters });
  assert.deepEqual(
    Volumes?.map(({ VolumeId, OutpostArn }) => [VolumeId, OutpostArn]),
    [[volume, HERE.arn]],
  );
});

test('D2: a snapshot is nowhere but where its volume is, or in the region, and nothing is made of what is refused', async () => {
  await using scene = await Scene.open();
  const [inRegion, onOutpost] = [await volumeAt(scene), await volumeAt(scene, LOCAL)];
  for (const [VolumeId, OutpostArn, reason] of [
    [inRegion, HERE.arn, /is not on an Outpost/],
    [onOutpost, SECOND.arn, /stored on the Outpost of its volume/],
    [onOutpost, ELSEWHERE.arn, /is in the Region eu-west-1/],
    [onOutpost, FOREIGN.arn, /does not exist/],
    [onOutpost, HERE.arn.replace(HERE.id, 'op-0123456789abcdef0'), /does not exist/],
    [onOutpost, HERE.id, /is not the ARN of an Outpost/],
  ] as const) {
    for (const DryRun of [false, true]) {
      const said = await refusalOf(scene.ec2('CreateSnapshot', { VolumeId, OutpostArn, DryRun }));
      assert.match(said, /^InvalidParameterValue: /);
      assert.match(said, reason);
    }
  }
  const both = { VolumeId: onOutpost, ...LOCAL };
  const location = scene.ec2('CreateSnapshot', { ...both, Location: 'local' });
  assert.match(await refusalOf(location), /^InvalidParameterCombination: /);
  assert.match(await refusalOf(scene.ec2('CreateSnapshot', { ...both, DryRun: true })), /^DryRunOperation: /);
  assert.deepEqual((await scene.ec2('DescribeSnapshots', {})).Snapshots, []);
});

test('snapshots of several volumes are local together, or none is made', async () => {
  await using scene = await Scene.open();
  const volumes = [await volumeAt(scene, LOCAL), await volumeAt(scene, LOCAL), await volumeAt(scene)].map((id) =>
    present(parseVolumeId(id), 'a volume id'),
  );
  const set = { face: 'ec2', description: '', tags: [], copiesTags: false, outpost: HERE.arn } as const;
  await assert.rejects(createSnapshots(scene.ports, scopeOf({}), { ...set, volumes }));
  const made = await createSnapshots(scene.ports, scopeOf({}), { ...set, volumes: volumes.slice(0, 2) });
  await scene.upload();
  assert.deepEqual(
    made.map(({ id }) => storedAt(scene, id)),
    [HERE.id, HERE.id],
  );
  assert.equal((await scene.ec2('DescribeSnapshots', {})).Snapshots?.length, 2);
});

test('a volume lies on an Outpost that its account may use, in that zone; a local snapshot makes volumes there only', async () => {
  await using scene = await Scene.open();
  const refused = async (more: object, options: CallOptions = {}): Promise<string> =>
    await refusalOf(scene.ec2('CreateVolume', { ...ZONE, ...more }, options));
  assert.match(await refused({ ...LOCAL, AvailabilityZone: 'us-east-1b' }), /^InvalidParameterValue: .*us-east-1a/);
  assert.match(await refused({ OutpostArn: FOREIGN.arn }), /^InvalidParameterValue: .*does not exist/);
  assert.equal(await refused({ OutpostArn: FOREIGN.arn }, OTHER), 'not refused');
  const SnapshotId = await snapshotAt(scene, await volumeAt(scene, LOCAL), LOCAL);
  assert.match(await refused({ SnapshotId }), /^InvalidParameterValue: .*on that Outpost only/);
  assert.match(await refused({ SnapshotId, OutpostArn: SECOND.arn }), /^InvalidParameterValue: /);
  const restored = await volumeAt(scene, { SnapshotId, ...LOCAL });
  assert.equal(storedAt(scene, await snapshotAt(scene, restored, LOCAL)), HERE.id);
  // One of the region goes to an Outpost.
  const regional = await snapshotAt(scene, await volumeAt(scene));
  const brought = await volumeAt(scene, { SnapshotId: regional, ...LOCAL });
  assert.equal(storedAt(scene, await snapshotAt(scene, brought, LOCAL)), HERE.id);
  const copied = await scene.ec2('CopyVolumes', { SourceVolumeId: restored });
  assert.equal(copied.Volumes?.[0]?.OutpostArn, HERE.arn);
});

test('a snapshot is copied to an Outpost of its region, encrypted, and from none', async () => {
  await using scene = await Scene.open();
  const SourceSnapshotId = await snapshotAt(scene, await volumeAt(scene));
  const job = { ...SOURCE, SourceSnapshotId, DestinationOutpostArn: HERE.arn };
  const { SnapshotId } = await scene.ec2('CopySnapshot', job);
  await scene.upload();
  const copy = present(SnapshotId, 'a copy');
  const view = await described(scene, copy);
  assert.deepEqual([view.OutpostArn, view.Encrypted, storedAt(scene, copy)], [HERE.arn, true, HERE.id]);
  for (const DestinationOutpostArn of [undefined, HERE.arn, SECOND.arn]) {
    const again = { ...SOURCE, SourceSnapshotId: copy, DestinationOutpostArn };
    assert.match(await refusalOf(scene.ec2('CopySnapshot', again)), /^UnsupportedOperation: .*stored on an Outpost/);
  }
  const far = scene.ec2('CopySnapshot', { ...job, DestinationOutpostArn: ELSEWHERE.arn }, { region: 'eu-west-1' });
  assert.match(await refusalOf(far), /^InvalidParameterValue: .*eu-west-1/);
});

test('what AWS has not for local snapshots is refused, and the rest works as for others', async () => {
  await using scene = await Scene.open();
  const volume = await volumeAt(scene, LOCAL);
  const SnapshotId = await snapshotAt(scene, volume, LOCAL);
  const archive = scene.ec2('ModifySnapshotTier', { SnapshotId, StorageTier: 'archive' });
  assert.match(await refusalOf(archive), /^UnsupportedOperation: /);
  const zones = { AvailabilityZones: ['us-east-1a'], SourceSnapshotIds: [SnapshotId] };
  const { Unsuccessful } = await scene.ec2('EnableFastSnapshotRestores', zones);
  const [item] = Unsuccessful?.[0]?.FastSnapshotRestoreStateErrors ?? [];
  assert.equal(item?.Error?.Code, 'UnsupportedOperation');
  assert.match(await refusalOf(scene.ebs('ListSnapshotBlocks', { SnapshotId })), /^ValidationException: /);
  const child = scene.ebs('StartSnapshot', { VolumeSize: 1, ParentSnapshotId: SnapshotId });
  assert.match(await refusalOf(child), /^ValidationException: /);
  await scene.ec2('LockSnapshot', { SnapshotId, LockMode: 'governance', LockDuration: 1 });
  await scene.ec2('UnlockSnapshot', { SnapshotId });
  await scene.rbin('CreateRule', {
    RetentionPeriod: { RetentionPeriodValue: 1, RetentionPeriodUnit: 'DAYS' },
    ResourceType: 'EBS_SNAPSHOT',
  });
  await scene.ec2('DeleteSnapshot', { SnapshotId });
  const back = await scene.ec2('RestoreSnapshotFromRecycleBin', { SnapshotId });
  assert.equal(back.OutpostArn, HERE.arn);
});

test('a local snapshot that is shared makes volumes on its Outpost for others, too, and leaves it for nobody', async () => {
  await using scene = await Scene.open();
  const use = { Effect: 'Allow', Principal: { AWS: OTHER.account }, Action: ['kms:ReEncrypt*'], Resource: '*' };
  const owner = asRoot(scene.world, scopeOf({}));
  const { id: key } = await createKey(owner, PLAIN_KEY);
  await putPolicy(owner, key, policyWith(scopeOf({}).account, use), { mayLockOut: false });
  const made = await scene.ec2('CreateVolume', { ...ZONE, ...LOCAL, Encrypted: true, KmsKeyId: key });
  const SnapshotId = await snapshotAt(scene, present(made.VolumeId, 'a volume'), LOCAL);
  await scene.ec2('ModifySnapshotAttribute', {
    SnapshotId,
    Attribute: 'createVolumePermission',
    OperationType: 'add',
    UserIds: [OTHER.account],
  });
  const restore = (more: object) => scene.ec2('CreateVolume', { ...ZONE, SnapshotId, ...more }, OTHER);
  assert.match(await refusalOf(restore({})), /^InvalidParameterValue: .*on that Outpost only/);
  const staged: (string | null)[] = [];
  const before = new Set(scene.world.host.snapshots.keys());
  assert.equal((await restore(LOCAL)).OutpostArn, HERE.arn);
  await scene.world.control.run('upload-snapshots');
  for (const id of scene.world.host.snapshots.keys()) if (!before.has(id)) staged.push(storedAt(scene, id));
  assert.deepEqual(staged, [HERE.id]);
  await scene.upload();
  const { Volumes } = await scene.ec2('DescribeVolumes', {}, OTHER);
  assert.deepEqual(
    Volumes?.map(({ State, OutpostArn }) => [State, OutpostArn]),
    [['available', HERE.arn]],
  );
  const { VolumeStatuses } = await scene.ec2('DescribeVolumeStatus', {}, OTHER);
  assert.equal(VolumeStatuses?.[0]?.OutpostArn, HERE.arn);
});
