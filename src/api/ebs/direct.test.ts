import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { refusalOf, Scene } from '#api/ec2/scene.fake.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function block(byte: number): Uint8Array {
  return new Uint8Array(CHUNK_BYTES).fill(byte);
}

function putRequest(SnapshotId: string, BlockIndex: number, BlockData: Uint8Array) {
  const Checksum = sha256(BlockData).toString('base64');
  return {
    SnapshotId,
    BlockIndex,
    BlockData,
    DataLength: BlockData.length,
    Checksum,
    ChecksumAlgorithm: 'SHA256',
  } as const;
}

/** A completed snapshot of 1 GiB that holds these blocks. */
async function makeSnapshot(scene: Scene, blocks: ReadonlyMap<number, number>, parent?: string): Promise<string> {
  const { SnapshotId = '' } = await scene.ebs('StartSnapshot', { VolumeSize: 1, ParentSnapshotId: parent });
  for (const [index, byte] of blocks) await scene.ebs('PutSnapshotBlock', putRequest(SnapshotId, index, block(byte)));
  await scene.ebs('CompleteSnapshot', { SnapshotId, ChangedBlocksCount: blocks.size });
  await scene.upload();
  return SnapshotId;
}

test('a snapshot is written block by block, sealed, and read back', async () => {
  await using scene = await Scene.open();
  const started = await scene.ebs('StartSnapshot', {
    VolumeSize: 1,
    Description: 'from elsewhere',
    Tags: [{ Key: 'Name', Value: 'x' }],
    ClientToken: 'token-1',
  });
  const SnapshotId = started.SnapshotId ?? '';
  assert.deepEqual(
    [started.Status, started.VolumeSize, started.BlockSize, started.OwnerId, started.Description],
    ['pending', 1, CHUNK_BYTES, '012345678910', 'from elsewhere'],
  );
  assert.deepEqual(started.Tags, [{ Key: 'Name', Value: 'x' }]);

  // Out of order on purpose: the aggregated checksum is in the order of the indexes.
  for (const index of [2047, 0, 5]) {
    const request = putRequest(SnapshotId, index, block(index % 251));
    assert.deepEqual(await scene.ebs('PutSnapshotBlock', request), {
      Checksum: request.Checksum,
      ChecksumAlgorithm: 'SHA256',
    });
  }
  const total = sha256(Buffer.concat([0, 5, 2047].map((index) => sha256(block(index % 251))))).toString('base64');
  const completed = await scene.ebs('CompleteSnapshot', {
    SnapshotId,
    ChangedBlocksCount: 3,
    Checksum: total,
    ChecksumAlgorithm: 'SHA256',
    ChecksumAggregationMethod: 'LINEAR',
  });
  assert.equal(completed.Status, 'pending');
  await scene.upload();

  const list = await scene.ebs('ListSnapshotBlocks', { SnapshotId });
  assert.deepEqual([list.VolumeSize, list.BlockSize, list.NextToken], [1, CHUNK_BYTES, undefined]);
  assert.ok((list.ExpiryTime?.getTime() ?? 0) > scene.clock.nowMs());
  assert.deepEqual(
    list.Blocks?.map((entry) => entry.BlockIndex),
    [0, 5, 2047],
  );
  for (const { BlockIndex = -1, BlockToken = '' } of list.Blocks ?? []) {
    assert.match(BlockToken, /^[A-Za-z0-9+/=]{1,256}$/);
    const got = await scene.ebs('GetSnapshotBlock', { SnapshotId, BlockIndex, BlockToken });
    assert.equal(got.DataLength, CHUNK_BYTES);
    assert.equal(got.ChecksumAlgorithm, 'SHA256');
    assert.equal(got.Checksum, sha256(block(BlockIndex % 251)).toString('base64'));
    assert.deepEqual(sha256(got.BlockData ?? new Uint8Array()).toString('base64'), got.Checksum);
  }
  const [described] = (await scene.ec2('DescribeSnapshots', { SnapshotIds: [SnapshotId] })).Snapshots ?? [];
  assert.deepEqual([described?.State, described?.VolumeId, described?.VolumeSize], ['completed', 'vol-ffffffff', 1]);
  assert.equal(described?.FullSnapshotSizeInBytes, 3 * CHUNK_BYTES);
});

test('two snapshots of one line differ where the child was written', async () => {
  await using scene = await Scene.open();
  const parent = await makeSnapshot(
    scene,
    new Map([
      [0, 1],
      [1, 2],
    ]),
  );
  const child = await makeSnapshot(
    scene,
    new Map([
      [1, 3],
      [7, 4],
    ]),
    parent,
  );
  const changes = await scene.ebs('ListChangedBlocks', { FirstSnapshotId: parent, SecondSnapshotId: child });
  assert.deepEqual(
    changes.ChangedBlocks?.map((change) => [
      change.BlockIndex,
      change.FirstBlockToken !== undefined,
      change.SecondBlockToken !== undefined,
    ]),
    [
      [1, true, true],
      [7, false, true],
    ],
  );
  const { FirstBlockToken: token = '' } = changes.ChangedBlocks?.[0] ?? {};
  const before = await scene.ebs('GetSnapshotBlock', { SnapshotId: parent, BlockIndex: 1, BlockToken: token });
  assert.equal(before.BlockData?.[0], 2);
  const all = await scene.ebs('ListChangedBlocks', { SecondSnapshotId: child });
  assert.equal(all.ChangedBlocks?.length, 3);

  const stranger = await makeSnapshot(scene, new Map([[0, 1]]));
  assert.match(
    await refusalOf(scene.ebs('ListChangedBlocks', { FirstSnapshotId: parent, SecondSnapshotId: stranger })),
    /^ValidationException: /,
  );
});

test('lists go on where they stopped, or begin at an index', async () => {
  await using scene = await Scene.open();
  const SnapshotId = await makeSnapshot(scene, new Map(Array.from({ length: 7 }, (_, index) => [index * 10, index])));
  const indexes = (list: { readonly Blocks?: readonly { readonly BlockIndex?: number | undefined }[] | undefined }) =>
    list.Blocks?.map((entry) => entry.BlockIndex);
  assert.deepEqual(indexes(await scene.ebs('ListSnapshotBlocks', { SnapshotId, StartingBlockIndex: 41 })), [50, 60]);
  const first = await scene.ebs('ListSnapshotBlocks', { SnapshotId, MaxResults: 5 });
  assert.deepEqual(indexes(first), [0, 10, 20, 30, 40]);
  assert.match(first.NextToken ?? '', /^[A-Za-z0-9+/=]{1,256}$/);
  const rest = { SnapshotId, NextToken: first.NextToken, StartingBlockIndex: 0 };
  assert.deepEqual(indexes(await scene.ebs('ListSnapshotBlocks', rest)), [50, 60], 'the token wins over the index');
  assert.match(
    await refusalOf(scene.ebs('ListSnapshotBlocks', { SnapshotId, NextToken: 'AAAA' })),
    /^Validation.*page token/,
  );
});

test('a block token is for one block of one snapshot of one account, until it expires', async () => {
  await using scene = await Scene.open({ blockTokenMs: 60_000 });
  const SnapshotId = await makeSnapshot(
    scene,
    new Map([
      [0, 1],
      [1, 1],
    ]),
  );
  const other = await makeSnapshot(scene, new Map([[0, 1]]));
  const { Blocks: blocks = [] } = await scene.ebs('ListSnapshotBlocks', { SnapshotId });
  const BlockToken = blocks[0]?.BlockToken ?? '';
  const refused = /^ValidationException: The block token/;
  const get = (id: string, BlockIndex: number, token = BlockToken): Promise<string> =>
    refusalOf(scene.ebs('GetSnapshotBlock', { SnapshotId: id, BlockIndex, BlockToken: token }));
  assert.equal(await get(SnapshotId, 0), 'not refused');
  assert.match(await get(SnapshotId, 1), refused);
  assert.match(await get(other, 0), refused);
  assert.match(await get(SnapshotId, 0, 'AAAA'), refused);
  await scene.clock.advance(60_001);
  assert.match(await get(SnapshotId, 0), refused);
});

test('bytes that are not what was promised are refused', async () => {
  await using scene = await Scene.open();
  const { SnapshotId = '' } = await scene.ebs('StartSnapshot', { VolumeSize: 1 });
  const request = putRequest(SnapshotId, 0, block(1));
  const wrong = sha256(block(2)).toString('base64');
  assert.match(
    await refusalOf(scene.ebs('PutSnapshotBlock', { ...request, Checksum: wrong })),
    /^ValidationException: /,
  );
  assert.match(
    await refusalOf(scene.ebs('PutSnapshotBlock', { ...request, DataLength: 512 })),
    /^ValidationException: .*512/,
  );
  assert.match(
    await refusalOf(scene.ebs('PutSnapshotBlock', { ...request, BlockData: block(1).subarray(1) })),
    /^ValidationException: Failed to read block data/,
  );
  assert.match(
    await refusalOf(scene.ebs('PutSnapshotBlock', { ...request, BlockIndex: 2048 })),
    /^ValidationException: /,
  );
  assert.match(
    await refusalOf(scene.ebs('CompleteSnapshot', { SnapshotId, ChangedBlocksCount: 1 })),
    /^ValidationException: Changed blocks count mismatch/,
  );
  await scene.ebs('PutSnapshotBlock', request);
  const complete = { SnapshotId, ChangedBlocksCount: 1, ChecksumAlgorithm: 'SHA256' } as const;
  assert.match(await refusalOf(scene.ebs('CompleteSnapshot', complete)), /^ValidationException: .*checksum is missing/);
  assert.match(
    await refusalOf(
      scene.ebs('CompleteSnapshot', { ...complete, Checksum: wrong, ChecksumAggregationMethod: 'LINEAR' }),
    ),
    /^ValidationException: The checksum does not match/,
  );
});

test('a sealed snapshot takes no more blocks, and an unsealed one cannot be read', async () => {
  await using scene = await Scene.open();
  const sealed = await makeSnapshot(scene, new Map([[0, 1]]));
  assert.match(
    await refusalOf(scene.ebs('PutSnapshotBlock', putRequest(sealed, 1, block(1)))),
    /^ValidationException: /,
  );
  const { SnapshotId = '' } = await scene.ebs('StartSnapshot', { VolumeSize: 1 });
  assert.match(await refusalOf(scene.ebs('ListSnapshotBlocks', { SnapshotId })), /^ValidationException: .*pending/);
});

test('a start is made once for a token, and contradictions are refused', async () => {
  await using scene = await Scene.open();
  const request = { VolumeSize: 1, ClientToken: 'token-1' };
  const first = await scene.ebs('StartSnapshot', request);
  assert.equal((await scene.ebs('StartSnapshot', request)).SnapshotId, first.SnapshotId);
  assert.match(await refusalOf(scene.ebs('StartSnapshot', { ...request, VolumeSize: 2 })), /^ConflictException: /);
  const refusals = [
    { VolumeSize: 0 },
    { VolumeSize: 65_537 },
    { VolumeSize: 1, KmsKeyArn: 'arn:aws:kms:us-east-1:012345678910:key/x' },
    { VolumeSize: 1, ParentSnapshotId: 'snap-1a2b3c4d', Encrypted: false },
    { VolumeSize: 1, Tags: [{ Key: 'a' }, { Key: 'a' }] },
    { VolumeSize: 1, Tags: [{ Key: 'aws:x', Value: 'y' }] },
    { VolumeSize: 1, Timeout: 9 },
  ];
  for (const refused of refusals) {
    assert.match(
      await refusalOf(scene.ebs('StartSnapshot', refused)),
      /^ValidationException: /,
      JSON.stringify(refused),
    );
  }
  assert.match(
    await refusalOf(scene.ebs('StartSnapshot', { VolumeSize: 1, ParentSnapshotId: 'snap-1a2b3c4d' })),
    /^ResourceNotFoundException: /,
  );
});

test('a stranger meets what does not exist', async () => {
  await using scene = await Scene.open();
  const SnapshotId = await makeSnapshot(scene, new Map([[0, 1]]));
  const { Blocks: blocks = [] } = await scene.ebs('ListSnapshotBlocks', { SnapshotId });
  const BlockToken = blocks[0]?.BlockToken ?? '';
  const stranger = { account: '210987654321' };
  const notFound = `ResourceNotFoundException: The snapshot '${SnapshotId}' does not exist.`;
  const calls = [
    scene.ebs('ListSnapshotBlocks', { SnapshotId }, stranger),
    scene.ebs('ListChangedBlocks', { SecondSnapshotId: SnapshotId }, stranger),
    scene.ebs('GetSnapshotBlock', { SnapshotId, BlockIndex: 0, BlockToken }, stranger),
    scene.ebs('PutSnapshotBlock', putRequest(SnapshotId, 0, block(1)), stranger),
    scene.ebs('CompleteSnapshot', { SnapshotId, ChangedBlocksCount: 0 }, stranger),
  ];
  for (const call of calls) assert.equal(await refusalOf(call), notFound);
});
