import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { parseVolumeId } from '#domain/ids.ts';
import type { InputOf } from '#wire/aws/operations.ts';
import { refusalOf, Scene } from './scene.fake.ts';

const ZONE = { AvailabilityZone: 'us-east-1a' };
const OWNER = '012345678910';
const OTHER = '210987654321';
const THIRD = '333333333333';
const ATTRIBUTE = 'createVolumePermission';

/** A completed snapshot of the first account whose chunk 3 is full of sevens. */
async function snapshotOf(scene: Scene, ...tags: readonly { Key: string; Value: string }[]): Promise<string> {
  const { VolumeId = '' } = await scene.ec2('CreateVolume', { ...ZONE, Size: 1 });
  scene.world.host.write(present(parseVolumeId(VolumeId), 'a volume'), 3, 7);
  const { SnapshotId } = await scene.ec2('CreateSnapshot', {
    VolumeId,
    ...(tags.length === 0 ? {} : { TagSpecifications: [{ ResourceType: 'snapshot', Tags: tags }] }),
  });
  await scene.upload();
  return present(SnapshotId, 'a snapshot has an id');
}

async function idsOf(scene: Scene, account: string, input: InputOf<'ec2', 'DescribeSnapshots'> = {}) {
  const { Snapshots = [] } = await scene.ec2('DescribeSnapshots', input, { account });
  return Snapshots.map((one) => one.SnapshotId);
}

async function permissions(scene: Scene, SnapshotId: string) {
  const { CreateVolumePermissions } = await scene.ec2('DescribeSnapshotAttribute', {
    SnapshotId,
    Attribute: ATTRIBUTE,
  });
  return CreateVolumePermissions;
}

test('permissions are added and removed in both forms of the request', async () => {
  await using scene = await Scene.open();
  const SnapshotId = await snapshotOf(scene);
  assert.deepEqual(await permissions(scene, SnapshotId), []);
  await scene.ec2('ModifySnapshotAttribute', {
    SnapshotId,
    CreateVolumePermission: {
      Add: [{ UserId: OTHER }, { Group: 'all' }, { UserId: THIRD }],
      Remove: [{ UserId: THIRD }],
    },
  });
  assert.deepEqual(await permissions(scene, SnapshotId), [{ UserId: OTHER }, { Group: 'all' }, { UserId: THIRD }]);
  await scene.ec2('ModifySnapshotAttribute', {
    SnapshotId,
    Attribute: ATTRIBUTE,
    OperationType: 'remove',
    GroupNames: ['all'],
    UserIds: ['3333-3333-3333'],
  });
  assert.deepEqual(await permissions(scene, SnapshotId), [{ UserId: OTHER }]);
  await scene.ec2('ModifySnapshotAttribute', { SnapshotId, OperationType: 'add', UserIds: [OTHER, THIRD] });
  assert.deepEqual(await permissions(scene, SnapshotId), [{ UserId: OTHER }, { UserId: THIRD }]);
  await scene.ec2('ResetSnapshotAttribute', { SnapshotId, Attribute: ATTRIBUTE });
  assert.deepEqual(await permissions(scene, SnapshotId), []);
  assert.deepEqual(await scene.ec2('DescribeSnapshotAttribute', { SnapshotId, Attribute: 'productCodes' }), {
    SnapshotId,
    ProductCodes: [],
  });
});

test('what the requests about permissions refuse', async () => {
  await using scene = await Scene.open();
  const SnapshotId = await snapshotOf(scene);
  const modify = (input: object, account = OWNER): Promise<string> =>
    refusalOf(scene.ec2('ModifySnapshotAttribute', { SnapshotId, ...input }, { account }));
  const add = (...Add: readonly object[]): object => ({ CreateVolumePermission: { Add } });
  assert.match(await modify({}), /^MissingParameter: /);
  assert.match(await modify({ UserIds: [OTHER] }), /^MissingParameter: .*OperationType/);
  assert.match(await modify({ OperationType: 'set', UserIds: [OTHER] }), /^InvalidParameterValue: /);
  assert.match(await modify({ Attribute: 'productCodes', ...add({ UserId: OTHER }) }), /^InvalidParameterValue: /);
  assert.match(await modify(add({ UserId: '12345' })), /^InvalidUserID\.Malformed: /);
  assert.match(await modify(add({ UserId: 'self' })), /^InvalidUserID\.Malformed: /);
  assert.match(await modify(add({ Group: 'some' })), /^InvalidParameterValue: /);
  assert.match(await modify(add({})), /^MissingParameter: /);
  assert.match(await modify({ ...add({ UserId: OTHER }), OperationType: 'add' }), /^InvalidParameterCombination: /);
  const many = Array.from({ length: 501 }, (_, at) => ({ UserId: String(100_000_000_000 + at) }));
  assert.match(await modify(add(...many)), /^InvalidParameterValue: .*500/);
  assert.match(
    await modify({ SnapshotId: 'snap-1234abcd', ...add({ UserId: OTHER }) }),
    /^InvalidSnapshot\.NotFound: /,
  );
  assert.match(await modify({ SnapshotId: 'snap-1', ...add({ UserId: OTHER }) }), /^InvalidSnapshotID\.Malformed: /);
  assert.match(await modify({ DryRun: true, ...add({ UserId: OTHER }) }), /^DryRunOperation: /);
  assert.deepEqual(await permissions(scene, SnapshotId), []);
  await scene.ec2('ModifySnapshotAttribute', { SnapshotId, ...add(...many.slice(0, 500)) });
  // Who it is shared with may use it, and not more.
  await scene.ec2('ModifySnapshotAttribute', { SnapshotId, ...add({ UserId: OTHER }) });
  const theirs = { account: OTHER };
  assert.match(await modify(add({ UserId: THIRD }), OTHER), /^InvalidSnapshot\.NotFound: /);
  assert.match(await refusalOf(scene.ec2('DeleteSnapshot', { SnapshotId }, theirs)), /^InvalidSnapshot\.NotFound: /);
  assert.match(
    await refusalOf(scene.ec2('DescribeSnapshotAttribute', { SnapshotId, Attribute: ATTRIBUTE }, theirs)),
    /^InvalidSnapshot\.NotFound: /,
  );
  const tagging = scene.ec2('CreateTags', { Resources: [SnapshotId], Tags: [{ Key: 'a', Value: 'b' }] }, theirs);
  assert.match(await refusalOf(tagging), /^InvalidSnapshot\.NotFound: /);
  for (const Attribute of ['productCodes', 'other']) {
    assert.match(
      await refusalOf(scene.ec2('ResetSnapshotAttribute', { SnapshotId, Attribute })),
      /^InvalidParameterValue: /,
    );
  }
  assert.match(
    await refusalOf(scene.ec2('DescribeSnapshotAttribute', { SnapshotId, Attribute: 'tags' })),
    /^InvalidParameterValue: /,
  );
});

test('shared and public snapshots are seen by whom they are for, without their tags', async () => {
  await using scene = await Scene.open();
  const secret = await snapshotOf(scene, { Key: 'Name', Value: 'secret' });
  const shared = await snapshotOf(scene, { Key: 'Name', Value: 'shared' });
  const open = await snapshotOf(scene, { Key: 'Name', Value: 'open' });
  await scene.ec2('ModifySnapshotAttribute', { SnapshotId: shared, OperationType: 'add', UserIds: [OTHER] });
  await scene.ec2('ModifySnapshotAttribute', { SnapshotId: open, OperationType: 'add', GroupNames: ['all'] });
  assert.deepEqual(await idsOf(scene, OWNER), [secret, shared, open]);
  assert.deepEqual(await idsOf(scene, OTHER), [shared, open]);
  assert.deepEqual(await idsOf(scene, THIRD), [open]);
  assert.deepEqual(await idsOf(scene, OTHER, { OwnerIds: ['self'] }), []);
  assert.deepEqual(await idsOf(scene, OTHER, { OwnerIds: [OWNER] }), [shared, open]);
  assert.deepEqual(await idsOf(scene, OTHER, { RestorableByUserIds: ['self'] }), [shared]);
  assert.deepEqual(await idsOf(scene, OTHER, { RestorableByUserIds: ['all'] }), [open]);
  assert.deepEqual(await idsOf(scene, OWNER, { RestorableByUserIds: [OTHER] }), [shared]);
  assert.deepEqual(await idsOf(scene, OWNER, { RestorableByUserIds: ['self'] }), [secret, shared, open]);
  assert.deepEqual(await idsOf(scene, OWNER, { RestorableByUserIds: ['all'], OwnerIds: ['self'] }), [open]);
  assert.deepEqual(await idsOf(scene, OTHER, { SnapshotIds: [shared, open] }), [shared, open]);
  assert.match(await refusalOf(idsOf(scene, OTHER, { SnapshotIds: [secret] })), /^InvalidSnapshot\.NotFound: /);
  assert.match(await refusalOf(idsOf(scene, THIRD, { SnapshotIds: [shared] })), /^InvalidSnapshot\.NotFound: /);
  const { Snapshots: [seen] = [] } = await scene.ec2(
    'DescribeSnapshots',
    { SnapshotIds: [shared] },
    { account: OTHER },
  );
  assert.deepEqual([seen?.OwnerId, seen?.Tags, seen?.OwnerAlias], [OWNER, [], undefined]);
  const named = (Value: string) => ({ Filters: [{ Name: 'tag:Name', Values: [Value] }] });
  assert.deepEqual(await idsOf(scene, OTHER, named('shared')), []);
  assert.deepEqual(await idsOf(scene, OWNER, named('shared')), [shared]);
  const owned = { Filters: [{ Name: 'owner-id', Values: [OWNER] }] };
  assert.deepEqual(await idsOf(scene, OTHER, owned), [shared, open]);
  // Each region has its own.
  assert.deepEqual((await scene.ec2('DescribeSnapshots', {}, { account: OTHER, region: 'us-west-2' })).Snapshots, []);
});

test('volumes are made from shared snapshots, and live on when the share ends', async () => {
  await using scene = await Scene.open();
  const SnapshotId = await snapshotOf(scene);
  const make = () => scene.ec2('CreateVolume', { ...ZONE, SnapshotId }, { account: OTHER });
  assert.match(await refusalOf(make()), /^InvalidSnapshot\.NotFound: /);
  await scene.ec2('ModifySnapshotAttribute', { SnapshotId, OperationType: 'add', UserIds: [OTHER] });
  const made = await make();
  assert.deepEqual([made.State, made.SnapshotId, made.Size], ['creating', SnapshotId, 1]);
  const VolumeId = present(made.VolumeId, 'a volume has an id');
  // What is stored for it is nobody's to see.
  assert.deepEqual(await idsOf(scene, OTHER), [SnapshotId]);
  await scene.upload();
  const { Volumes: [volume] = [] } = await scene.ec2('DescribeVolumes', { VolumeIds: [VolumeId] }, { account: OTHER });
  assert.equal(volume?.State, 'available');
  await scene.ec2('ResetSnapshotAttribute', { SnapshotId, Attribute: ATTRIBUTE });
  await scene.ec2('DeleteSnapshot', { SnapshotId });
  await scene.upload();
  const id = present(parseVolumeId(VolumeId), 'a volume');
  assert.deepEqual(scene.world.host.read(id, 3), new Uint8Array(CHUNK_BYTES).fill(7));
  assert.equal(scene.world.host.snapshots.size, 0, 'nothing that was stored for it is left');
});

test('blocks are read by whom a snapshot is shared with, not by everybody', async () => {
  await using scene = await Scene.open();
  const SnapshotId = await snapshotOf(scene);
  const read = async (account: string): Promise<number> => {
    const { Blocks = [] } = await scene.ebs('ListSnapshotBlocks', { SnapshotId }, { account });
    const [block] = Blocks;
    const { DataLength } = await scene.ebs(
      'GetSnapshotBlock',
      { SnapshotId, BlockIndex: block?.BlockIndex ?? -1, BlockToken: block?.BlockToken ?? '' },
      { account },
    );
    return DataLength ?? 0;
  };
  assert.equal(await read(OWNER), CHUNK_BYTES);
  assert.match(await refusalOf(read(OTHER)), /^ResourceNotFoundException: /);
  await scene.ec2('ModifySnapshotAttribute', {
    SnapshotId,
    OperationType: 'add',
    UserIds: [OTHER],
    GroupNames: ['all'],
  });
  assert.equal(await read(OTHER), CHUNK_BYTES);
  assert.match(await refusalOf(read(THIRD)), /^ResourceNotFoundException: /);
});

test('product codes go from a volume to its snapshots, their copies, and the volumes made of them', async () => {
  await using scene = await Scene.open();
  const { VolumeId = '' } = await scene.ec2('CreateVolume', { ...ZONE, Size: 1 });
  await scene.ports.meta.transact(async (tx) => {
    const volume = present(await tx.volumes.find(present(parseVolumeId(VolumeId), 'an id')), 'a volume');
    await tx.volumes.update({ ...volume, productCodes: ['a1b2c3'] });
  });
  const codes = [{ ProductCodeId: 'a1b2c3', ProductCodeType: 'marketplace' }];
  const { SnapshotId = '' } = await scene.ec2('CreateSnapshot', { VolumeId });
  await scene.upload();
  const { SnapshotId: copy = '' } = await scene.ec2('CopySnapshot', {
    SourceRegion: 'us-east-1',
    SourceSnapshotId: SnapshotId,
  });
  await scene.upload();
  for (const id of [SnapshotId, copy]) {
    const attribute = await scene.ec2('DescribeSnapshotAttribute', { SnapshotId: id, Attribute: 'productCodes' });
    assert.deepEqual(attribute.ProductCodes, codes);
  }
  const { VolumeId: made = '' } = await scene.ec2('CreateVolume', { ...ZONE, SnapshotId: copy });
  const { Volumes: [twin] = [] } = await scene.ec2('CopyVolumes', { SourceVolumeId: VolumeId });
  for (const id of [made, twin?.VolumeId ?? '']) {
    const attribute = await scene.ec2('DescribeVolumeAttribute', { VolumeId: id, Attribute: 'productCodes' });
    assert.deepEqual(attribute.ProductCodes, codes);
  }
});

test('blocking public access: nothing new, or nothing at all', async () => {
  await using scene = await Scene.open();
  const SnapshotId = await snapshotOf(scene);
  const publish = () => scene.ec2('ModifySnapshotAttribute', { SnapshotId, OperationType: 'add', GroupNames: ['all'] });
  const state = async (region = 'us-east-1') =>
    (await scene.ec2('GetSnapshotBlockPublicAccessState', {}, { region })).State;
  assert.equal(await state(), 'unblocked');
  await publish();
  assert.deepEqual(await scene.ec2('EnableSnapshotBlockPublicAccess', { State: 'block-new-sharing' }), {
    State: 'block-new-sharing',
  });
  assert.equal(await state(), 'block-new-sharing');
  assert.equal(await state('us-west-2'), 'unblocked');
  assert.deepEqual(await idsOf(scene, THIRD), [SnapshotId]);
  assert.match(await refusalOf(publish()), /^OperationNotPermitted: /);
  // An account is not everybody.
  await scene.ec2('ModifySnapshotAttribute', { SnapshotId, OperationType: 'add', UserIds: [OTHER] });
  await scene.ec2('EnableSnapshotBlockPublicAccess', { State: 'block-all-sharing' });
  assert.deepEqual(await idsOf(scene, THIRD), []);
  assert.deepEqual(await idsOf(scene, OTHER), [SnapshotId]);
  assert.deepEqual(await idsOf(scene, OWNER), [SnapshotId]);
  assert.match(await refusalOf(idsOf(scene, THIRD, { SnapshotIds: [SnapshotId] })), /^InvalidSnapshot\.NotFound: /);
  const copy = { SourceRegion: 'us-east-1', SourceSnapshotId: SnapshotId };
  assert.match(await refusalOf(scene.ec2('CopySnapshot', copy, { account: THIRD })), /^InvalidSnapshot\.NotFound: /);
  assert.deepEqual(await permissions(scene, SnapshotId), [{ Group: 'all' }, { UserId: OTHER }]);
  assert.deepEqual(await scene.ec2('DisableSnapshotBlockPublicAccess', {}), { State: 'unblocked' });
  assert.deepEqual(await idsOf(scene, THIRD), [SnapshotId]);
  assert.match(
    await refusalOf(scene.ec2('EnableSnapshotBlockPublicAccess', { State: 'unblocked' })),
    /^InvalidParameterValue: /,
  );
});

test('lists of own and shared snapshots come in pages, each snapshot once', async () => {
  await using scene = await Scene.open();
  const { VolumeId = '' } = await scene.ec2('CreateVolume', { ...ZONE, Size: 1 });
  const { VolumeId: theirs = '' } = await scene.ec2('CreateVolume', { ...ZONE, Size: 1 }, { account: OTHER });
  const expected: (string | undefined)[] = [];
  for (let count = 0; count < 12; count += 1) {
    const isTheirs = count % 3 === 0;
    const account = isTheirs ? OTHER : OWNER;
    const { SnapshotId = '' } = await scene.ec2(
      'CreateSnapshot',
      { VolumeId: isTheirs ? theirs : VolumeId },
      { account },
    );
    await scene.upload();
    const request = { SnapshotId, OperationType: 'add' as const, GroupNames: ['all'], UserIds: [OTHER] };
    if (!isTheirs && count % 2 === 0) await scene.ec2('ModifySnapshotAttribute', request);
    if (isTheirs || count % 2 === 0) expected.push(SnapshotId);
  }
  const seen: (string | undefined)[] = [];
  for (let NextToken = ''; ;) {
    const page = await scene.ec2('DescribeSnapshots', { MaxResults: 5, NextToken }, { account: OTHER });
    seen.push(...(page.Snapshots ?? []).map((one) => one.SnapshotId));
    if (page.NextToken === undefined) break;
    NextToken = page.NextToken;
  }
  assert.deepEqual(seen, expected);
});

test('a snapshot is shared with a thousand accounts at most', async () => {
  await using scene = await Scene.open();
  const SnapshotId = await snapshotOf(scene);
  const accounts = (from: number, count: number): string[] =>
    Array.from({ length: count }, (_, index) => String(500_000_000_000 + from + index));
  const share = (OperationType: 'add' | 'remove', UserIds: string[]) =>
    scene.ec2('ModifySnapshotAttribute', { SnapshotId, Attribute: ATTRIBUTE, OperationType, UserIds });
  await share('add', accounts(0, 500));
  await share('add', accounts(500, 500));
  await share('add', accounts(0, 500));
  assert.match(await refusalOf(share('add', accounts(1000, 1))), /^ResourceLimitExceeded: /);
  await share('remove', accounts(999, 1));
  await share('add', accounts(1000, 1));
  assert.equal((await permissions(scene, SnapshotId))?.length, 1000);
});
