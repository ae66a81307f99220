import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diskRequest } from '#control/request.fake.ts';
import { createVolume } from '#control/volumes.ts';
import { refusalOf, Scene, scopeOf } from './scene.fake.ts';

interface Pair {
  readonly volume: string;
  readonly snapshot: string;
}

async function makePair(scene: Scene): Promise<Pair> {
  const { VolumeId: volume = '' } = await scene.ec2('CreateVolume', { AvailabilityZone: 'us-east-1a', Size: 1 });
  const { SnapshotId: snapshot = '' } = await scene.ec2('CreateSnapshot', { VolumeId: volume });
  return { volume, snapshot };
}

/** `resource key=value` of every tag that DescribeTags shows. */
async function tagsOf(
  scene: Scene,
  Filters?: Parameters<typeof scene.ec2<'DescribeTags'>>[1]['Filters'],
): Promise<readonly string[]> {
  const { Tags: tags = [] } = await scene.ec2('DescribeTags', { Filters });
  return tags.map((tag) => `${tag.ResourceType} ${tag.Key}=${tag.Value}`).sort();
}

test('tags are set on several resources at once and shown everywhere', async () => {
  await using scene = await Scene.open();
  const { volume, snapshot } = await makePair(scene);
  const Tags = [{ Key: 'Name', Value: 'x' }, { Key: 'empty' }];
  assert.deepEqual(await scene.ec2('CreateTags', { Resources: [volume, snapshot], Tags }), {});
  const expected = [
    { Key: 'Name', Value: 'x' },
    { Key: 'empty', Value: '' },
  ];
  assert.deepEqual((await scene.ec2('DescribeVolumes', {})).Volumes?.[0]?.Tags, expected);
  assert.deepEqual((await scene.ec2('DescribeSnapshots', {})).Snapshots?.[0]?.Tags, expected);
  assert.deepEqual(await tagsOf(scene), ['snapshot Name=x', 'snapshot empty=', 'volume Name=x', 'volume empty=']);
  await scene.ec2('CreateTags', { Resources: [volume], Tags: [{ Key: 'Name', Value: 'y' }] });
  assert.deepEqual(await tagsOf(scene, [{ Name: 'key', Values: ['Name'] }]), ['snapshot Name=x', 'volume Name=y']);
});

test('when one resource refuses, none is tagged', async () => {
  await using scene = await Scene.open();
  const { volume } = await makePair(scene);
  const Tags = [{ Key: 'a', Value: 'b' }];
  assert.match(
    await refusalOf(scene.ec2('CreateTags', { Resources: [volume, 'snap-1a2b3c4d'], Tags })),
    /^InvalidSnapshot\.NotFound: /,
  );
  assert.deepEqual(await tagsOf(scene), []);
});

test('ids that are none are told apart', async () => {
  await using scene = await Scene.open();
  const Tags = [{ Key: 'a', Value: 'b' }];
  const tag = (id: string): Promise<string> => refusalOf(scene.ec2('CreateTags', { Resources: [id], Tags }));
  assert.match(await tag('vol-1'), /^InvalidVolumeID\.Malformed: /);
  assert.match(await tag('snap-1'), /^InvalidSnapshotID\.Malformed: /);
  assert.equal(await tag('x'), "InvalidID: The ID 'x' is not valid");
  assert.match(await tag('vol-1234abcd'), /^InvalidVolume\.NotFound: /);
});

test('a resource has at most 50 tags, counted over requests', async () => {
  await using scene = await Scene.open();
  const { volume } = await makePair(scene);
  const tags = (from: number, count: number): { Key: string; Value: string }[] =>
    Array.from({ length: count }, (_, index) => ({ Key: `k${from + index}`, Value: 'v' }));
  await scene.ec2('CreateTags', { Resources: [volume], Tags: tags(0, 49) });
  assert.match(
    await refusalOf(scene.ec2('CreateTags', { Resources: [volume], Tags: tags(49, 2) })),
    /^TagLimitExceeded: /,
  );
  await scene.ec2('CreateTags', { Resources: [volume], Tags: tags(48, 2) });
  assert.equal((await tagsOf(scene)).length, 50);
});

test('tags are deleted by key, by key and value, or all', async () => {
  await using scene = await Scene.open();
  const { volume } = await makePair(scene);
  const Resources = [volume];
  const all = [
    { Key: 'a', Value: '1' },
    { Key: 'b', Value: '2' },
    { Key: 'c', Value: '' },
    { Key: 'd', Value: '4' },
  ];
  await scene.ec2('CreateTags', { Resources, Tags: all });
  await scene.ec2('DeleteTags', { Resources, Tags: [{ Key: 'a' }, { Key: 'b', Value: 'other' }, { Key: 'absent' }] });
  assert.deepEqual(await tagsOf(scene), ['volume b=2', 'volume c=', 'volume d=4']);
  await scene.ec2('DeleteTags', {
    Resources,
    Tags: [
      { Key: 'b', Value: '2' },
      { Key: 'c', Value: '' },
      { Key: 'd', Value: '' },
    ],
  });
  assert.deepEqual(await tagsOf(scene), ['volume d=4']);
  await scene.ec2('DeleteTags', { Resources });
  assert.deepEqual(await tagsOf(scene), []);
});

test('DescribeTags filters by key, value, resource and kind', async () => {
  await using scene = await Scene.open();
  const { volume, snapshot } = await makePair(scene);
  await scene.ec2('CreateTags', { Resources: [volume, snapshot], Tags: [{ Key: 'Owner', Value: 'TeamA' }] });
  await scene.ec2('CreateTags', { Resources: [volume], Tags: [{ Key: 'Env', Value: 'prod' }] });
  assert.deepEqual(await tagsOf(scene, [{ Name: 'resource-type', Values: ['snapshot'] }]), ['snapshot Owner=TeamA']);
  assert.deepEqual(await tagsOf(scene, [{ Name: 'resource-id', Values: [volume] }]), [
    'volume Env=prod',
    'volume Owner=TeamA',
  ]);
  assert.deepEqual(await tagsOf(scene, [{ Name: 'value', Values: ['p*'] }]), ['volume Env=prod']);
  assert.deepEqual(await tagsOf(scene, [{ Name: 'tag:Owner', Values: ['TeamA'] }]), [
    'snapshot Owner=TeamA',
    'volume Owner=TeamA',
  ]);
  assert.deepEqual(await tagsOf(scene, [{ Name: 'tag:Owner', Values: ['TeamB'] }]), []);
  assert.match(
    await refusalOf(scene.ec2('DescribeTags', { Filters: [{ Name: 'tag-key', Values: ['x'] }] })),
    /^InvalidParameterValue: The filter 'tag-key' is invalid/,
  );
});

test('pages of DescribeTags are complete and without repetition', async () => {
  await using scene = await Scene.open();
  const { volume, snapshot } = await makePair(scene);
  const Tags = Array.from({ length: 8 }, (_, index) => ({ Key: `k${index}`, Value: 'v' }));
  await scene.ec2('CreateTags', { Resources: [volume, snapshot], Tags });
  const seen: string[] = [];
  let NextToken: string | undefined;
  do {
    const page = await scene.ec2('DescribeTags', { MaxResults: 5, NextToken });
    assert.ok((page.Tags ?? []).length <= 5);
    seen.push(...(page.Tags ?? []).map((tag) => `${tag.ResourceId} ${tag.Key}`));
    NextToken = page.NextToken;
  } while (NextToken !== undefined);
  assert.equal(seen.length, 16);
  assert.equal(new Set(seen).size, 16);
});

test('a dry run checks everything and changes nothing', async () => {
  await using scene = await Scene.open();
  const { volume } = await makePair(scene);
  const Tags = [{ Key: 'a', Value: 'b' }];
  await scene.ec2('CreateTags', { Resources: [volume], Tags });
  const passed = /^DryRunOperation: /;
  assert.match(
    await refusalOf(scene.ec2('CreateTags', { Resources: [volume], Tags: [{ Key: 'c' }], DryRun: true })),
    passed,
  );
  assert.match(await refusalOf(scene.ec2('DeleteTags', { Resources: [volume], DryRun: true })), passed);
  assert.match(
    await refusalOf(scene.ec2('CreateTags', { Resources: ['vol-1234abcd'], Tags, DryRun: true })),
    /^InvalidVolume\.NotFound: /,
  );
  assert.match(
    await refusalOf(scene.ec2('CreateTags', { Resources: [volume], Tags: [{ Key: 'aws:x' }], DryRun: true })),
    /^InvalidParameterValue: /,
  );
  assert.deepEqual(await tagsOf(scene), ['volume a=b']);
});

test('a stranger can neither tag nor see tags', async () => {
  await using scene = await Scene.open();
  const { volume } = await makePair(scene);
  const Tags = [{ Key: 'a', Value: 'b' }];
  await scene.ec2('CreateTags', { Resources: [volume], Tags });
  const stranger = { account: '210987654321' };
  assert.match(
    await refusalOf(scene.ec2('CreateTags', { Resources: [volume], Tags }, stranger)),
    /^InvalidVolume\.NotFound/,
  );
  assert.match(await refusalOf(scene.ec2('DeleteTags', { Resources: [volume] }, stranger)), /^InvalidVolume\.NotFound/);
  assert.deepEqual((await scene.ec2('DescribeTags', {}, stranger)).Tags, []);
});

test('DescribeTags shows the tags of what EC2 lists, and of what is named by its id', async () => {
  await using scene = await Scene.open();
  const { volume } = await makePair(scene);
  await scene.ec2('CreateTags', { Resources: [volume], Tags: [{ Key: 'of', Value: 'volume' }] });
  const request = diskRequest('Disk-1', { tags: [{ key: 'of', value: 'disk' }] });
  const { volume: disk } = await createVolume(scene.ports, scopeOf({}), request);
  const byId = (...Values: readonly string[]) => tagsOf(scene, [{ Name: 'resource-id', Values: [...Values] }]);
  assert.deepEqual(await tagsOf(scene), ['volume of=volume']);
  assert.deepEqual(await byId(disk.id), ['volume of=disk']);
  assert.deepEqual(await byId(disk.id, volume, 'vol-1234abcd', 'not an id'), ['volume of=disk', 'volume of=volume']);
  assert.deepEqual(await byId(`${disk.id.slice(0, 8)}*`, 'vol-*'), ['volume of=volume']);
  assert.deepEqual(await byId(), []);
  const wrongKey = [
    { Name: 'resource-id', Values: [disk.id] },
    { Name: 'key', Values: ['other'] },
  ];
  assert.deepEqual(await tagsOf(scene, wrongKey), []);
});
