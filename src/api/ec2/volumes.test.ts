import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { createVolume } from '#control/volumes.ts';
import { parseVolumeId } from '#domain/ids.ts';
import { refusalOf, Scene, scopeOf } from './scene.fake.ts';

const ZONE = { AvailabilityZone: 'us-east-1a' };

async function volumeCount(scene: Scene): Promise<number> {
  return (await scene.ec2('DescribeVolumes', {})).Volumes?.length ?? 0;
}

test('a volume is made, described and deleted', async () => {
  await using scene = await Scene.open();
  const made = await scene.ec2('CreateVolume', {
    ...ZONE,
    Size: 8,
    VolumeType: 'gp3',
    TagSpecifications: [{ ResourceType: 'volume', Tags: [{ Key: 'Name', Value: 'data' }] }],
  });
  assert.match(made.VolumeId ?? '', /^vol-0[0-9a-f]{16}$/);
  assert.equal(made.State, 'creating');
  assert.deepEqual(made.Tags, [{ Key: 'Name', Value: 'data' }]);
  assert.deepEqual([made.Iops, made.Throughput, made.Size, made.SnapshotId], [3000, 125, 8, '']);

  const VolumeId = made.VolumeId ?? '';
  const { Volumes: volumes = [] } = await scene.ec2('DescribeVolumes', { VolumeIds: [VolumeId] });
  assert.equal(volumes.length, 1);
  assert.equal(volumes[0]?.State, 'available');
  assert.deepEqual(volumes[0]?.Attachments, []);

  assert.deepEqual(await scene.ec2('DeleteVolume', { VolumeId }), {});
  const gone = `InvalidVolume.NotFound: The volume '${VolumeId}' does not exist.`;
  assert.equal(await refusalOf(scene.ec2('DescribeVolumes', { VolumeIds: [VolumeId] })), gone);
  assert.equal(await refusalOf(scene.ec2('DeleteVolume', { VolumeId })), gone);
  assert.equal(await volumeCount(scene), 0);
});

test('a zone is given by name or by id', async () => {
  await using scene = await Scene.open();
  const made = await scene.ec2('CreateVolume', { AvailabilityZoneId: 'use1-az4', Size: 1 });
  assert.equal(made.AvailabilityZone, 'us-east-1c');
  assert.equal(made.AvailabilityZoneId, 'use1-az4');
  assert.equal(
    await refusalOf(scene.ec2('CreateVolume', { Size: 1 })),
    'MissingParameter: The request must contain the parameter AvailabilityZone',
  );
  assert.match(
    await refusalOf(scene.ec2('CreateVolume', { ...ZONE, AvailabilityZoneId: 'use1-az1', Size: 1 })),
    /^InvalidParameterCombination: /,
  );
  for (const zone of ['us-east-1z', 'us-west-2a', 'US-EAST-1A', '']) {
    assert.equal(
      await refusalOf(scene.ec2('CreateVolume', { AvailabilityZone: zone, Size: 1 })),
      `InvalidZone.NotFound: The zone '${zone}' does not exist.`,
    );
  }
});

test('a client token makes one volume, and is refused with another request', async () => {
  await using scene = await Scene.open();
  const request = { ...ZONE, Size: 1, ClientToken: 'terraform-1' };
  const first = await scene.ec2('CreateVolume', request);
  const second = await scene.ec2('CreateVolume', request);
  assert.equal(second.VolumeId, first.VolumeId);
  assert.match(await refusalOf(scene.ec2('CreateVolume', { ...request, Size: 2 })), /^IdempotentParameterMismatch: /);
  assert.notEqual((await scene.ec2('CreateVolume', request, { account: '210987654321' })).VolumeId, first.VolumeId);
  assert.equal(await volumeCount(scene), 1);
});

test('attempts of one call of an SDK make one volume', async () => {
  await using scene = await Scene.open();
  const request = { ...ZONE, Size: 1 };
  const first = await scene.ec2('CreateVolume', request, { invocationId: 'b7e5' });
  const second = await scene.ec2('CreateVolume', request, { invocationId: 'b7e5' });
  const other = await scene.ec2('CreateVolume', request, { invocationId: 'b7e6' });
  assert.equal(second.VolumeId, first.VolumeId);
  assert.notEqual(other.VolumeId, first.VolumeId);
});

test('what the server cannot give is refused, and nothing is made', async () => {
  await using scene = await Scene.open();
  const request = { ...ZONE, Size: 1 };
  const outpost = 'arn:aws:outposts:us-east-1:012345678910:outpost/op-1234567890abcdef0';
  assert.match(
    await refusalOf(scene.ec2('CreateVolume', { ...request, OutpostArn: outpost })),
    /^InvalidParameterValue: .*does not exist/,
  );
  assert.match(
    await refusalOf(scene.ec2('CreateVolume', { ...request, KmsKeyId: 'alias/aws/ebs' })),
    /^InvalidParameterCombination: .*KmsKeyId/,
  );
  assert.equal((await scene.ec2('CreateVolume', { ...request, Encrypted: false })).Encrypted, false);
  assert.equal(await volumeCount(scene), 1);
});

test('a volume made from a snapshot is filled at the rate that was asked for, and shows it', async () => {
  await using scene = await Scene.open();
  const { VolumeId: source = '' } = await scene.ec2('CreateVolume', { ...ZONE, Size: 1 });
  const { SnapshotId = '' } = await scene.ec2('CreateSnapshot', { VolumeId: source });
  await scene.upload();
  const request = { ...ZONE, SnapshotId };
  for (const rate of [99, 301, 0, -1]) {
    assert.match(
      await refusalOf(scene.ec2('CreateVolume', { ...request, VolumeInitializationRate: rate })),
      /^InvalidParameterValue: .*100 and 300/,
    );
  }
  assert.match(
    await refusalOf(scene.ec2('CreateVolume', { ...ZONE, Size: 1, VolumeInitializationRate: 100 })),
    /^InvalidParameterCombination: .*SnapshotId/,
  );
  assert.equal(await volumeCount(scene), 1);
  for (const [rate, bytesPerSecond] of [
    [100, 100 * 1024 ** 2],
    [300, 300 * 1024 ** 2],
    [undefined, null],
  ] as const) {
    const made = await scene.ec2('CreateVolume', { ...request, VolumeInitializationRate: rate });
    assert.equal(made.VolumeInitializationRate, rate);
    const id = present(parseVolumeId(made.VolumeId ?? ''), 'a volume has an id');
    assert.equal(scene.world.host.volumes.get(id)?.spec.hydrationBytesPerSecond, bytesPerSecond);
    const { Volumes } = await scene.ec2('DescribeVolumes', { VolumeIds: [id] });
    assert.equal(Volumes?.[0]?.VolumeInitializationRate, rate);
  }
});

test('a dry run checks everything and makes nothing', async () => {
  await using scene = await Scene.open();
  const request = { ...ZONE, Size: 1, DryRun: true };
  const passed = 'DryRunOperation: Request would have succeeded, but DryRun flag is set.';
  assert.equal(await refusalOf(scene.ec2('CreateVolume', request)), passed);
  assert.match(await refusalOf(scene.ec2('CreateVolume', { ...request, Size: 20_000 })), /^InvalidParameterValue: /);
  assert.match(
    await refusalOf(scene.ec2('CreateVolume', { ...request, SnapshotId: 'snap-1a2b3c4d' })),
    /^InvalidSnapshot\.NotFound: /,
  );
  assert.equal(await volumeCount(scene), 0);

  const { VolumeId = '' } = await scene.ec2('CreateVolume', { ...ZONE, Size: 1 });
  assert.equal(await refusalOf(scene.ec2('DeleteVolume', { VolumeId, DryRun: true })), passed);
  assert.match(
    await refusalOf(scene.ec2('DeleteVolume', { VolumeId: 'vol-1234abcd', DryRun: true })),
    /^InvalidVolume\.NotFound: /,
  );
  assert.equal(await volumeCount(scene), 1);
});

test('ids and filters apply together', async () => {
  await using scene = await Scene.open();
  const ids: string[] = [];
  for (const Size of [1, 2, 3]) ids.push((await scene.ec2('CreateVolume', { ...ZONE, Size })).VolumeId ?? '');
  const [first = '', second = '', third = ''] = ids;
  const sizes = async (request: Parameters<typeof scene.ec2<'DescribeVolumes'>>[1]): Promise<unknown> =>
    (await scene.ec2('DescribeVolumes', request)).Volumes?.map((volume) => volume.Size);
  assert.deepEqual(await sizes({}), [1, 2, 3]);
  assert.deepEqual(await sizes({ Filters: [{ Name: 'size', Values: ['1', '3'] }] }), [1, 3]);
  assert.deepEqual(await sizes({ VolumeIds: [third, first] }), [3, 1]);
  assert.deepEqual(await sizes({ VolumeIds: [first, second], Filters: [{ Name: 'size', Values: ['2', '3'] }] }), [2]);
  assert.match(
    await refusalOf(scene.ec2('DescribeVolumes', { VolumeIds: [first, 'vol-1234abcd'] })),
    /^InvalidVolume\.NotFound: The volume 'vol-1234abcd'/,
  );
});

test('pages are complete and without repetition while volumes come and go', async () => {
  await using scene = await Scene.open();
  const make = async (): Promise<string> => (await scene.ec2('CreateVolume', { ...ZONE, Size: 1 })).VolumeId ?? '';
  const ids: string[] = [];
  for (let count = 0; count < 12; count += 1) ids.push(await make());

  const seen: string[] = [];
  let NextToken: string | undefined;
  let pages = 0;
  do {
    const page = await scene.ec2('DescribeVolumes', { MaxResults: 5, NextToken });
    seen.push(...(page.Volumes ?? []).map((volume) => volume.VolumeId ?? ''));
    NextToken = page.NextToken;
    pages += 1;
    // The page that was just read loses its last volume: the next one must not skip because of it.
    if (pages === 1) await scene.ec2('DeleteVolume', { VolumeId: seen.at(-1) ?? '' });
    if (pages === 2) ids.push(await make());
  } while (NextToken !== undefined);
  assert.deepEqual(seen, ids);
  assert.equal(pages, 3);
});

test('a page token is good for one list of one account and region', async () => {
  await using scene = await Scene.open();
  for (let count = 0; count < 6; count += 1) await scene.ec2('CreateVolume', { ...ZONE, Size: 1 });
  const { NextToken = '' } = await scene.ec2('DescribeVolumes', { MaxResults: 5 });
  assert.match(NextToken, /^[A-Za-z0-9+/=_-]+$/);
  const refused = /^InvalidNextToken: /;
  const flipped = `${NextToken.startsWith('A') ? 'B' : 'A'}${NextToken.slice(1)}`;
  for (const token of ['nonsense', flipped, `${NextToken}AAAA`]) {
    assert.match(await refusalOf(scene.ec2('DescribeVolumes', { NextToken: token })), refused);
  }
  assert.match(await refusalOf(scene.ec2('DescribeSnapshots', { NextToken })), refused);
  assert.match(await refusalOf(scene.ec2('DescribeVolumes', { NextToken }, { account: '210987654321' })), refused);
  assert.match(await refusalOf(scene.ec2('DescribeVolumes', { NextToken }, { region: 'us-west-2' })), refused);
  assert.equal((await scene.ec2('DescribeVolumes', { NextToken })).Volumes?.length, 1);
});

test('another account and another region see nothing', async () => {
  await using scene = await Scene.open();
  const { VolumeId = '' } = await scene.ec2('CreateVolume', { ...ZONE, Size: 1 });
  for (const other of [{ account: '210987654321' }, { region: 'us-west-2' }]) {
    assert.deepEqual((await scene.ec2('DescribeVolumes', {}, other)).Volumes, []);
    const notFound = `InvalidVolume.NotFound: The volume '${VolumeId}' does not exist.`;
    assert.equal(await refusalOf(scene.ec2('DescribeVolumes', { VolumeIds: [VolumeId] }, other)), notFound);
    assert.equal(await refusalOf(scene.ec2('DeleteVolume', { VolumeId }, other)), notFound);
    assert.equal(await refusalOf(scene.ec2('CreateSnapshot', { VolumeId }, other)), notFound);
  }
});

test('a disk of Lightsail is not listed and is found by its id', async () => {
  await using scene = await Scene.open();
  const { volume } = await createVolume(scene.ports, scopeOf({}), {
    face: 'lightsail',
    name: 'Disk-1',
    zone: 'us-east-1a',
    sizeGib: 8,
    type: 'gp2',
    iops: null,
    throughputMibps: null,
    multiAttach: false,
    origin: null,
    tags: [],
    token: null,
    operation: null,
  });
  assert.deepEqual((await scene.ec2('DescribeVolumes', {})).Volumes, []);
  const found = await scene.ec2('DescribeVolumes', { VolumeIds: [volume.id] });
  assert.equal(present(found.Volumes?.[0], 'it is found').VolumeId, volume.id);
});
