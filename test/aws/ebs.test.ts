import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import {
  CompleteSnapshotCommand,
  EBSClient,
  GetSnapshotBlockCommand,
  ListChangedBlocksCommand,
  ListSnapshotBlocksCommand,
  PutSnapshotBlockCommand,
  StartSnapshotCommand,
} from '@aws-sdk/client-ebs';
import {
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DeleteSnapshotCommand,
  DescribeSnapshotsCommand,
  EC2Client,
  waitUntilSnapshotCompleted,
} from '@aws-sdk/client-ec2';
import { requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { rawCall } from './raw-call.ts';

/** EBS direct, with the AWS SDK for JavaScript: blocks of snapshots that EC2 and Lightsail made, and snapshots made of blocks. */

const BLOCK_BYTES = 524_288;

let server: RunningServer;
let ebs: EBSClient;
let ec2: EC2Client;

before(async () => {
  server = await RunningServer.start();
  const { endpoint, credentials } = server;
  ebs = new EBSClient({ endpoint, credentials, region: 'us-east-1' });
  ec2 = new EC2Client({ endpoint, credentials, region: 'us-east-1' });
});

after(async () => {
  ebs.destroy();
  ec2.destroy();
  await server[Symbol.asyncDispose]();
});

async function completed(id: string): Promise<void> {
  await waitUntilSnapshotCompleted({ client: ec2, maxWaitTime: 60, minDelay: 1, maxDelay: 1 }, { SnapshotIds: [id] });
}

async function volumeWith(...commands: readonly string[]): Promise<string> {
  const { VolumeId = '' } = await ec2.send(new CreateVolumeCommand({ AvailabilityZone: 'us-east-1a', Size: 1 }));
  await writeTo(VolumeId, ...commands);
  return VolumeId;
}

async function writeTo(volume: string, ...commands: readonly string[]): Promise<void> {
  const words = [...commands, 'flush'].flatMap((command) => ['-c', command]);
  await runOk('qemu-io', ['-f', 'raw', ...words, await server.uri(volume)]);
}

async function snapshot(volume: string): Promise<string> {
  const { SnapshotId = '' } = await ec2.send(new CreateSnapshotCommand({ VolumeId: volume }));
  await completed(SnapshotId);
  return SnapshotId;
}

const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64');

/** Starts, fills and completes a snapshot; its id. */
async function direct(blocks: ReadonlyMap<number, Uint8Array>, parent?: string): Promise<string> {
  const started = await ebs.send(
    new StartSnapshotCommand({ VolumeSize: 1, ...(parent === undefined ? {} : { ParentSnapshotId: parent }) }),
  );
  const SnapshotId = started.SnapshotId ?? '';
  assert.equal(started.BlockSize, BLOCK_BYTES);
  assert.equal(started.Status, 'pending');
  for (const [BlockIndex, bytes] of blocks) {
    const put = await ebs.send(
      new PutSnapshotBlockCommand({
        SnapshotId,
        BlockIndex,
        BlockData: bytes,
        DataLength: bytes.length,
        Checksum: sum(bytes),
        ChecksumAlgorithm: 'SHA256',
      }),
    );
    assert.equal(put.Checksum, sum(bytes));
  }
  await ebs.send(new CompleteSnapshotCommand({ SnapshotId, ChangedBlocksCount: blocks.size }));
  await completed(SnapshotId);
  return SnapshotId;
}

async function read(SnapshotId: string, BlockIndex: number): Promise<Uint8Array> {
  const listed = await ebs.send(new ListSnapshotBlocksCommand({ SnapshotId, StartingBlockIndex: BlockIndex }));
  const block = listed.Blocks?.find((one) => one.BlockIndex === BlockIndex);
  assert.ok(block?.BlockToken !== undefined, `block ${BlockIndex} is listed`);
  const got = await ebs.send(new GetSnapshotBlockCommand({ SnapshotId, BlockIndex, BlockToken: block.BlockToken }));
  const bytes = await got.BlockData?.transformToByteArray();
  assert.ok(bytes !== undefined);
  assert.equal(got.Checksum, sum(bytes));
  assert.equal(got.DataLength, BLOCK_BYTES);
  return bytes;
}

test('blocks of an EC2 snapshot are listed, read and compared', async (t) => {
  if (!requireTools(t, ['qemu-io', 'nbdinfo'])) return;
  const volume = await volumeWith('write -P 1 0 512k', 'write -P 2 100M 1M', 'write -P 3 1023M 4k');
  const first = await snapshot(volume);
  const listed = await ebs.send(new ListSnapshotBlocksCommand({ SnapshotId: first }));
  assert.deepEqual(
    listed.Blocks?.map((block) => block.BlockIndex),
    [0, 200, 201, 2046],
  );
  assert.equal(listed.BlockSize, BLOCK_BYTES);
  assert.equal(listed.VolumeSize, 1);
  assert.ok(Buffer.from(await read(first, 200)).equals(Buffer.alloc(BLOCK_BYTES, 2)));
  await writeTo(volume, 'write -P 9 100M 4k', 'discard 0 512k', 'write -P 4 500M 512k');
  const second = await snapshot(volume);
  const changed = await ebs.send(new ListChangedBlocksCommand({ FirstSnapshotId: first, SecondSnapshotId: second }));
  const kinds = changed.ChangedBlocks?.map((block) => [
    block.BlockIndex,
    block.FirstBlockToken !== undefined,
    block.SecondBlockToken !== undefined,
  ]);
  assert.deepEqual(kinds, [
    [0, true, false],
    [200, true, true],
    [1000, false, true],
  ]);
});

test('one snapshot by three names: made by Lightsail, described by EC2, read by EBS direct', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
  await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'shared', ...zone]);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 0x77 2G 512k', '-c', 'flush', await server.uri('shared')]);
  await server.awsJson([
    'lightsail',
    'create-disk-snapshot',
    '--disk-name',
    'shared',
    '--disk-snapshot-name',
    'shared-s',
  ]);
  const { diskSnapshot } = await server.awsJson<{ readonly diskSnapshot: { readonly supportCode: string } }>([
    ...['lightsail', 'get-disk-snapshot', '--disk-snapshot-name', 'shared-s'],
  ]);
  const id = diskSnapshot.supportCode.split('/')[1] ?? '';
  await completed(id);
  const described = await ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [id] }));
  assert.equal(described.Snapshots?.[0]?.VolumeSize, 8);
  assert.ok(Buffer.from(await read(id, 4096)).equals(Buffer.alloc(BLOCK_BYTES, 0x77)));
  const made = await ec2.send(new CreateVolumeCommand({ AvailabilityZone: 'us-east-1a', SnapshotId: id }));
  await runOk('qemu-io', ['-f', 'raw', '-c', 'read -P 0x77 2G 512k', await server.uri(made.VolumeId ?? '')]);
});

test('a snapshot made of blocks restores to a volume; its child shares what it did not put', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'nbdcopy'])) return;
  const one = randomBytes(BLOCK_BYTES);
  const two = Buffer.alloc(BLOCK_BYTES); // Zeros that were put stay allocated.
  const first = await direct(
    new Map([
      [3, one],
      [7, two],
    ]),
  );
  const listed = await ebs.send(new ListSnapshotBlocksCommand({ SnapshotId: first }));
  assert.deepEqual(
    listed.Blocks?.map((block) => block.BlockIndex),
    [3, 7],
  );
  assert.ok(Buffer.from(await read(first, 3)).equals(one));
  const three = randomBytes(BLOCK_BYTES);
  const second = await direct(new Map([[2047, three]]), first);
  assert.ok(Buffer.from(await read(second, 3)).equals(one));
  const changed = await ebs.send(new ListChangedBlocksCommand({ FirstSnapshotId: first, SecondSnapshotId: second }));
  assert.deepEqual(
    changed.ChangedBlocks?.map((block) => block.BlockIndex),
    [2047],
  );
  await ec2.send(new DeleteSnapshotCommand({ SnapshotId: first }));
  const { VolumeId = '' } = await ec2.send(
    new CreateVolumeCommand({ AvailabilityZone: 'us-east-1a', SnapshotId: second }),
  );
  const expected = Buffer.alloc(1024 ** 3);
  one.copy(expected, 3 * BLOCK_BYTES);
  three.copy(expected, 2047 * BLOCK_BYTES);
  const copied = await runOk('sh', ['-c', 'nbdcopy "$1" - | sha256sum', 'sh', await server.uri(VolumeId)]);
  assert.equal(copied.stdout.split(' ')[0], createHash('sha256').update(expected).digest('hex'));
});

test('a start that is repeated with its token is one snapshot; with another request it is refused', async () => {
  const ClientToken = `token-${Date.now()}`;
  const first = await ebs.send(new StartSnapshotCommand({ VolumeSize: 1, ClientToken }));
  const again = await ebs.send(new StartSnapshotCommand({ VolumeSize: 1, ClientToken }));
  assert.equal(again.SnapshotId, first.SnapshotId);
  await assert.rejects(ebs.send(new StartSnapshotCommand({ VolumeSize: 2, ClientToken })), {
    name: 'ConflictException',
  });
});

test('damaged, misplaced and unfinished blocks are refused with a reason', async () => {
  const { SnapshotId = '' } = await ebs.send(new StartSnapshotCommand({ VolumeSize: 1 }));
  const bytes = randomBytes(BLOCK_BYTES);
  const put = (more: Partial<{ BlockIndex: number; Checksum: string; BlockData: Uint8Array; DataLength: number }>) =>
    ebs.send(
      new PutSnapshotBlockCommand({
        SnapshotId,
        BlockIndex: 0,
        BlockData: bytes,
        DataLength: BLOCK_BYTES,
        Checksum: sum(bytes),
        ChecksumAlgorithm: 'SHA256',
        ...more,
      }),
    );
  await assert.rejects(put({ Checksum: sum(randomBytes(8)) }), { name: 'ValidationException' });
  await assert.rejects(put({ BlockIndex: 2048 }), { name: 'ValidationException' });
  const short = randomBytes(4096);
  await assert.rejects(put({ BlockData: short, DataLength: 4096, Checksum: sum(short) }), {
    name: 'ValidationException',
  });
  await put({});
  await assert.rejects(ebs.send(new CompleteSnapshotCommand({ SnapshotId, ChangedBlocksCount: 2 })), {
    name: 'ValidationException',
  });
  await assert.rejects(ebs.send(new ListSnapshotBlocksCommand({ SnapshotId: 'snap-00000000000000000' })), {
    name: 'ResourceNotFoundException',
    Reason: 'SNAPSHOT_NOT_FOUND',
  });
  await assert.rejects(
    ebs.send(new GetSnapshotBlockCommand({ SnapshotId, BlockIndex: 0, BlockToken: 'AAAA' })),
    (error: Error) => /ValidationException|ResourceNotFoundException|ConflictException/.test(error.name),
  );
});

test('snapshots that share no lineage are not compared', async () => {
  const one = await direct(new Map([[0, randomBytes(BLOCK_BYTES)]]));
  const other = await direct(new Map([[0, randomBytes(BLOCK_BYTES)]]));
  await assert.rejects(ebs.send(new ListChangedBlocksCommand({ FirstSnapshotId: one, SecondSnapshotId: other })), {
    name: 'ValidationException',
    Reason: 'UNRELATED_SNAPSHOTS',
  });
});

test('statuses and headers are those of the model', async () => {
  const started = await rawCall(server, {
    service: 'ebs',
    target: '/snapshots',
    body: '{"VolumeSize":1,"ClientToken":"raw-token"}',
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(started.status, 201, started.text);
  const { SnapshotId } = JSON.parse(started.text) as { readonly SnapshotId: string };
  const bytes = randomBytes(BLOCK_BYTES);
  const put = await rawCall(server, {
    service: 'ebs',
    method: 'PUT',
    target: `/snapshots/${SnapshotId}/blocks/0`,
    body: bytes,
    headers: {
      'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
      'x-amz-data-length': String(BLOCK_BYTES),
      'x-amz-checksum': sum(bytes),
      'x-amz-checksum-algorithm': 'SHA256',
    },
  });
  assert.equal(put.status, 201, put.text);
  assert.equal(put.headers['x-amz-checksum'], sum(bytes));
  const done = await rawCall(server, {
    service: 'ebs',
    target: `/snapshots/completion/${SnapshotId}`,
    headers: { 'x-amz-changedblockscount': '1' },
  });
  assert.equal(done.status, 202, done.text);
  const absent = await rawCall(server, {
    service: 'ebs',
    method: 'GET',
    target: '/snapshots/snap-00000000000000000/blocks',
  });
  assert.equal(absent.status, 404);
  assert.match(String(absent.headers['x-amzn-errortype']), /ResourceNotFoundException/);
});
