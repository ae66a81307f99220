import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTool, requireTools } from '../clients.ts';
import { MountedVolume } from '../mounted-volume.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { rawCall } from './raw-call.ts';

/** Rows C and D: EC2's CreateSnapshot, with the real `aws`, raw requests, and a real file system. */

let server: RunningServer;
let work: string;

before(async () => {
  server = await RunningServer.start();
  work = await mkdtemp(join(tmpdir(), 'varve-ec2-'));
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

interface Snapshot {
  readonly SnapshotId: string;
  readonly VolumeId: string;
  readonly State: string;
  readonly StartTime: string;
  readonly Progress?: string;
  readonly OwnerId: string;
  readonly Description: string;
  readonly VolumeSize: number;
  readonly Encrypted: boolean;
  readonly Tags: readonly { readonly Key: string; readonly Value: string }[];
  readonly StorageTier?: string;
  readonly CompletionTime?: string;
  readonly FullSnapshotSizeInBytes?: number;
}

async function ec2<T>(...words: readonly string[]): Promise<T> {
  return await server.awsJson<T>(['ec2', ...words]);
}

async function createVolume(...more: readonly string[]): Promise<string> {
  const words = ['--availability-zone', 'us-east-1a', ...(more.length === 0 ? ['--size', '1'] : more)];
  return (await ec2<{ readonly VolumeId: string }>('create-volume', ...words)).VolumeId;
}

async function createSnapshot(volume: string, ...more: readonly string[]): Promise<Snapshot> {
  return await ec2<Snapshot>('create-snapshot', '--volume-id', volume, ...more);
}

async function describe(id: string): Promise<Snapshot> {
  const { Snapshots } = await ec2<{ readonly Snapshots: readonly Snapshot[] }>(
    'describe-snapshots',
    '--snapshot-ids',
    id,
  );
  const [snapshot] = Snapshots;
  assert.ok(snapshot !== undefined && Snapshots.length === 1);
  return snapshot;
}

async function completed(id: string): Promise<Snapshot> {
  for (let tries = 0; tries < 200; tries += 1) {
    const snapshot = await describe(id);
    if (snapshot.State === 'completed') return snapshot;
    assert.equal(snapshot.State, 'pending');
    await systemClock.sleep(50);
  }
  throw new Error(`${id} is still pending`);
}

/** The error code and message of a raw EC2 request that must be refused. */
async function refusal(operation: string, body: string): Promise<{ status: number; code: string; message: string }> {
  const { status, text } = await rawCall(server, { service: 'ec2', operation, body });
  const code = /<Code>([^<]*)<\/Code>/.exec(text)?.[1];
  const message = /<Message>([^<]*)<\/Message>/.exec(text)?.[1];
  assert.ok(code !== undefined && message !== undefined && message !== '', `${operation} ${body}: ${text}`);
  return { status, code, message };
}

async function qemuIo(uri: string, ...commands: readonly string[]): Promise<void> {
  const result = await run('qemu-io', ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri]);
  assert.equal(result.code, 0, result.stdout + result.stderr);
  assert.doesNotMatch(result.stdout + result.stderr, /verification failed|error/i);
}

test('C1 C2 C4 D20: a snapshot of a volume in use is stored in the object store, and volumes are made from it', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'nbdcopy'])) return;
  const volume = await createVolume();
  const uri = await server.uri(volume);
  await qemuIo(uri, 'write -P 0x61 0 8M', 'flush');
  const snapshot = await createSnapshot(volume);
  await completed(snapshot.SnapshotId);
  const objects = await readdir(join(server.dataDirectory, 'objects'), { recursive: true, withFileTypes: true });
  assert.ok(objects.some((entry) => entry.isFile() && entry.name.includes(snapshot.SnapshotId)));
  const copy = await createVolume('--snapshot-id', snapshot.SnapshotId);
  await qemuIo(await server.uri(copy), 'read -P 0x61 0 8M', 'read -P 0 8M 56M');
  await runOk('sh', [
    '-c',
    'nbdcopy "$1" "$3/a" && nbdcopy "$2" "$3/b" && cmp "$3/a" "$3/b"',
    'sh',
    uri,
    await server.uri(copy),
    work,
  ]);
});

test('C5 C6 C7 C8 D20: a frozen, and an unmounted, file system come back clean; use goes on while pending', async (t) => {
  if (!requireTools(t, ['aws', 'nbdfuse', 'mkfs.ext4', 'e2fsck', 'fsfreeze'])) return;
  assert.equal(process.getuid?.(), 0, 'mounting needs root');
  const volume = await createVolume();
  const mounted = await MountedVolume.attach(await server.uri(volume), join(work, 'frozen'));
  await mounted.makeFileSystem();
  await mounted.mount();
  for (let index = 0; index < 40; index += 1) {
    await writeFile(join(mounted.path, `file-${index}`), Buffer.alloc(500_000, index));
  }
  // Paused long enough for the call alone: the snapshot is complete.
  await runOk('fsfreeze', ['-f', mounted.path]);
  const freezing = createSnapshot(volume);
  await freezing.catch(() => {}); // Thawed whatever happened.
  await runOk('fsfreeze', ['-u', mounted.path]);
  const frozen = await freezing;
  for (let index = 0; index < 40; index += 1) await writeFile(join(mounted.path, `file-${index}`), 'later');
  await mounted.sync();
  // Unmounted, snapshot, mounted again.
  await mounted.unmount();
  const unmounted = await createSnapshot(volume);
  await mounted.mount();
  await rm(join(mounted.path, 'file-0'));
  await mounted.unmount();
  await mounted.detach();
  for (const [snapshot, size] of [
    [frozen, 500_000],
    [unmounted, 5],
  ] as const) {
    await completed(snapshot.SnapshotId);
    const restored = await createVolume('--snapshot-id', snapshot.SnapshotId);
    const copy = await MountedVolume.attach(await server.uri(restored), join(work, restored));
    const check = await run('e2fsck', ['-fn', copy.devicePath]);
    assert.equal(check.code, 0, check.stdout);
    await copy.mount();
    for (let index = 0; index < 40; index += 1) {
      assert.equal((await stat(join(copy.path, `file-${index}`))).size, size);
    }
    await copy.unmount();
    await copy.detach();
  }
});

test('C13 C15 D17: --dry-run acts not and says so; --no-dry-run is an ordinary call', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const volume = await createVolume();
  const count = async (): Promise<number> =>
    (await ec2<{ readonly Snapshots: readonly Snapshot[] }>('describe-snapshots', '--owner-ids', 'self')).Snapshots
      .length;
  const before = await count();
  const dry = await server.aws(['ec2', 'create-snapshot', '--volume-id', volume, '--dry-run']);
  assert.notEqual(dry.code, 0);
  assert.match(dry.stderr, /\(DryRunOperation\).*Request would have succeeded, but DryRun flag is set\./);
  assert.equal(await count(), before);
  assert.equal((await refusal('CreateSnapshot', `VolumeId=${volume}&DryRun=true`)).status, 412);
  await createSnapshot(volume, '--no-dry-run');
  assert.equal(await count(), before + 1);
});

test('C16 C20 D18: ids that are missing, malformed, unknown, short and long', async () => {
  assert.deepEqual(await refusal('CreateSnapshot', ''), {
    status: 400,
    code: 'MissingParameter',
    message: 'The request must contain the parameter VolumeId',
  });
  // Both lengths of the reference pages are legal; nobody has such a volume here.
  for (const id of ['vol-1234abcd', 'vol-1234567890abcdef0']) {
    const { status, code, message } = await refusal('CreateSnapshot', `VolumeId=${id}`);
    assert.deepEqual({ status, code }, { status: 400, code: 'InvalidVolume.NotFound' });
    assert.match(message, new RegExp(id));
  }
  for (const id of ['vol-123', 'disk-1', 'vol-1234ABCD', '__proto__']) {
    const { status, code } = await refusal('CreateSnapshot', `VolumeId=${id}`);
    assert.equal(status, 400);
    assert.match(code, /^(?:InvalidVolumeID\.Malformed|InvalidParameterValue)$/);
  }
  assert.equal((await refusal('DescribeSnapshots', 'SnapshotId.1=snap-1a2b3c4d')).code, 'InvalidSnapshot.NotFound');
  assert.equal((await refusal('DescribeSnapshots', 'SnapshotId.1=snap-1a2b')).code, 'InvalidSnapshotID.Malformed');
  assert.equal((await refusal('DescribeSnapshots', 'SnapshotId.1=nothing')).code, 'InvalidParameterValue');
});

test('C17 C18 C21 C23 C25 C26 C28 C36 D10 D12: the reply has the shape of the page', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const volume = await createVolume('--size', '8');
  const plain = await createSnapshot(volume);
  assert.equal(plain.Description, '');
  assert.deepEqual(plain.Tags, []);
  const made = await createSnapshot(volume, '--description', 'This is my <root> & "volume" é snapshot.');
  assert.equal(made.Description, 'This is my <root> & "volume" é snapshot.');
  assert.equal(made.VolumeId, volume);
  assert.equal(made.State, 'pending');
  assert.equal(made.VolumeSize, 8);
  assert.match(made.OwnerId, /^\d{12}$/);
  assert.match(made.SnapshotId, /^snap-[0-9a-f]{17}$/);
  assert.equal(made.Encrypted, false);
  for (const absent of ['StateMessage', 'DataEncryptionKeyId', 'OwnerAlias', 'KmsKeyId', 'OutpostArn']) {
    assert.ok(!(absent in made), absent);
  }
  const raw = await rawCall(server, { service: 'ec2', operation: 'CreateSnapshot', body: `VolumeId=${volume}` });
  assert.match(raw.text, /<startTime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z<\/startTime>/);
  assert.match(raw.text, /<tagSet\/>|<tagSet><\/tagSet>/);
  assert.match(raw.text, /<ownerId>\d{12}<\/ownerId>/);
  const described = await completed(made.SnapshotId);
  assert.equal(described.StartTime, made.StartTime);
  assert.equal(described.Progress, '100%');
  assert.equal(described.StorageTier, 'standard');
});

test('C19: every snapshot has an id of its own', async () => {
  const { newSnapshotId } = await import('#domain/ids.ts');
  const { systemRandom } = await import('#base/random.ts');
  const ids = new Set(Array.from({ length: 10_000 }, () => newSnapshotId(systemRandom)));
  assert.equal(ids.size, 10_000);
});

test('C24: progress rises to 100% and never falls', async (t) => {
  if (!requireTools(t, ['aws', 'fio'])) return;
  const volume = await createVolume();
  await runOk('fio', [
    ...['--name=fill', '--ioengine=nbd', `--uri=${await server.uri(volume)}`, '--rw=write', '--bs=1M', '--iodepth=4'],
    ...['--size=900M', '--refill_buffers', '--end_fsync=1'],
  ]);
  const { SnapshotId } = await createSnapshot(volume);
  const percents: number[] = [];
  for (;;) {
    const { text } = await rawCall(server, {
      service: 'ec2',
      operation: 'DescribeSnapshots',
      body: `SnapshotId.1=${SnapshotId}`,
    });
    percents.push(Number(/<progress>(\d+)%<\/progress>/.exec(text)?.[1]));
    if (/<status>completed<\/status>/.test(text)) break;
    await systemClock.sleep(40);
  }
  assert.deepEqual(
    percents,
    percents.toSorted((a, b) => a - b),
  );
  assert.equal(percents.at(-1), 100);
  assert.ok(new Set(percents).size > 3, percents.join(' '));
});

test('C27 D14: own snapshots have no OwnerAlias, and the filter works', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const volume = await createVolume();
  const { SnapshotId } = await createSnapshot(volume);
  assert.ok(!('OwnerAlias' in (await describe(SnapshotId))));
  type Reply = { readonly Snapshots: readonly Snapshot[] };
  const amazon = await ec2<Reply>('describe-snapshots', '--filters', 'Name=owner-alias,Values=amazon');
  assert.equal(amazon.Snapshots.length, 0);
  const own = await ec2<Reply>(
    'describe-snapshots',
    '--owner-ids',
    'self',
    '--filters',
    `Name=volume-id,Values=${volume}`,
  );
  assert.deepEqual(
    own.Snapshots.map((snapshot) => snapshot.SnapshotId),
    [SnapshotId],
  );
});

test('C35: --cli-input-json and --generate-cli-skeleton', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const volume = await createVolume();
  const file = join(work, 'create-snapshot.json');
  await writeFile(file, JSON.stringify({ VolumeId: volume, Description: 'from a file' }));
  const made = await ec2<Snapshot>('create-snapshot', '--cli-input-json', `file://${file}`);
  assert.equal(made.Description, 'from a file');
  const before = server.requestCount;
  const skeleton = await server.aws(['ec2', 'create-snapshot', '--generate-cli-skeleton']);
  assert.ok('VolumeId' in (JSON.parse(skeleton.stdout) as object));
  assert.equal(server.requestCount, before);
});

test('D1 D2: a snapshot lives in the region of its volume', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const volume = await createVolume();
  const { SnapshotId } = await createSnapshot(volume);
  const env = server.environment(server.credentials, 'eu-west-1');
  const elsewhere = await server.aws(['ec2', 'describe-snapshots', '--snapshot-ids', SnapshotId], { env });
  assert.match(elsewhere.stderr, /InvalidSnapshot\.NotFound/);
  const outpost = 'arn:aws:outposts:us-east-1:123456789012:outpost/op-1234567890abcdef0';
  const { code } = await refusal('CreateSnapshot', `VolumeId=${volume}&OutpostArn=${encodeURIComponent(outpost)}`);
  assert.match(code, /^(?:Invalid|Unsupported)/);
});

test('C29 C30 D4 D5 D6 D7 D8: tags at creation, their types and limits', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const volume = await createVolume();
  const words = '[{"ResourceType":"snapshot","Tags":[{"Key":"team","Value":"storage"},{"Key":"Team","Value":""}]}]';
  const made = await createSnapshot(volume, '--tag-specifications', words);
  const sorted = made.Tags.toSorted((a, b) => (a.Key < b.Key ? -1 : 1));
  assert.deepEqual(sorted, [
    { Key: 'Team', Value: '' },
    { Key: 'team', Value: 'storage' },
  ]);
  assert.deepEqual((await describe(made.SnapshotId)).Tags.length, 2);
  const tagged = (type: string, key: string, value: string): string =>
    `VolumeId=${volume}${type === '' ? '' : `&TagSpecification.1.ResourceType=${type}`}` +
    `&TagSpecification.1.Tag.1.Key=${encodeURIComponent(key)}&TagSpecification.1.Tag.1.Value=${value}`;
  const code = async (type: string, key: string, value: string): Promise<string> =>
    (await refusal('CreateSnapshot', tagged(type, key, value))).code;
  assert.match(await code('', 'k', 'v'), /^(?:MissingParameter|InvalidParameterValue|InvalidParameterCombination)$/);
  assert.equal(await code('volume', 'k', 'v'), 'InvalidParameterValue');
  assert.equal(await code('vpc-endpoint', 'k', 'v'), 'InvalidParameterValue');
  assert.match(await code('snapshot', 'aws:k', 'v'), /^Invalid/);
  assert.match(await code('snapshot', 'k'.repeat(129), 'v'), /^Invalid/);
  assert.match(await code('snapshot', 'k', 'v'.repeat(257)), /^Invalid/);
  const longest = await rawCall(server, {
    service: 'ec2',
    operation: 'CreateSnapshot',
    body: tagged('snapshot', 'k'.repeat(127), 'v'.repeat(256)),
  });
  assert.equal(longest.status, 200, longest.text);
});

test('D11: a filter for each state is taken, and an unknown filter is refused', async (t) => {
  if (!requireTool(t, 'aws')) return;
  for (const state of ['pending', 'completed', 'error', 'recoverable', 'recovering']) {
    const reply = await server.aws(['ec2', 'describe-snapshots', '--filters', `Name=status,Values=${state}`]);
    assert.equal(reply.code, 0, reply.stderr);
  }
  assert.equal(
    (await refusal('DescribeSnapshots', 'Filter.1.Name=constructor&Filter.1.Value.1=x')).code,
    'InvalidParameterValue',
  );
});

test('D19: replies carry a request id in header and body', async () => {
  const { headers, text } = await rawCall(server, {
    service: 'ec2',
    operation: 'DescribeSnapshots',
    body: 'Owner.1=self',
  });
  const id = /<requestId>([^<]+)<\/requestId>/.exec(text)?.[1];
  assert.match(id ?? '', /^[0-9a-f-]{36}$/);
  assert.equal(headers['x-amzn-requestid'], id);
});

test('D22: FullSnapshotSizeInBytes is the sum of what was written, CompletionTime is after StartTime', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  const volume = await createVolume();
  // Five chunks of 512 KiB: three whole, and one write across the border of two.
  await qemuIo(await server.uri(volume), 'write -P 7 0 1536k', 'write -P 8 10484736 2k', 'flush');
  const first = await completed((await createSnapshot(volume)).SnapshotId);
  assert.equal(first.FullSnapshotSizeInBytes, 5 * 524_288);
  assert.ok(new Date(first.CompletionTime ?? 0) >= new Date(first.StartTime));
  await qemuIo(await server.uri(volume), 'write -P 9 0 4k', 'flush');
  const second = await completed((await createSnapshot(volume)).SnapshotId);
  assert.equal(second.FullSnapshotSizeInBytes, 5 * 524_288);
});

test('unknown and unbuilt operations, prototype names and garbage answer in the protocol', async () => {
  for (const operation of ['NoSuchOperation', 'constructor', '__proto__', 'toString', '']) {
    const { status, code } = await refusal(operation, '');
    assert.equal(status, 400);
    assert.match(code, /^(?:InvalidAction|MissingAction|MissingParameter)$/, operation);
  }
  assert.equal((await refusal('DescribeCarrierGateways', '')).code, 'UnsupportedOperation');
  const garbage = await rawCall(server, { service: 'ec2', method: 'PUT', target: '/index.html', body: '<html>' });
  assert.ok(garbage.status >= 400 && garbage.status < 500);
  assert.doesNotMatch(garbage.text, /<html|at file:|node:internal/);
});

test('a volume that a client uses is not deleted under it', async (t) => {
  if (!requireTools(t, ['aws', 'nbdinfo', 'fio'])) return;
  const volume = await createVolume();
  const load = run('fio', [
    ...['--name=use', '--ioengine=nbd', `--uri=${await server.uri(volume)}`, '--rw=randread', '--bs=4k'],
    ...['--size=64M', '--time_based', '--runtime=3'],
  ]);
  await systemClock.sleep(1000);
  assert.equal((await refusal('DeleteVolume', `VolumeId=${volume}`)).code, 'VolumeInUse');
  assert.equal((await load).code, 0);
  await ec2('delete-volume', '--volume-id', volume);
  assert.equal((await refusal('DescribeVolumes', `VolumeId.1=${volume}`)).code, 'InvalidVolume.NotFound');
  assert.ok(!existsSync(join(server.dataDirectory, 'volumes', volume)));
});
