import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { rawCall } from './raw-call.ts';

/** Rows A1 to A32 of Lightsail's CreateDiskSnapshot, with the real `aws` and real NBD clients. */

let server: RunningServer;
let work: string;

before(async () => {
  server = await RunningServer.start();
  work = await mkdtemp(join(tmpdir(), 'varve-lightsail-'));
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

interface Operation {
  readonly id: string;
  readonly resourceName: string;
  readonly resourceType: string;
  readonly createdAt: number | string;
  readonly location: { readonly availabilityZone: string; readonly regionName: string };
  readonly isTerminal: boolean;
  readonly operationDetails: string;
  readonly operationType: string;
  readonly status: string;
  readonly statusChangedAt: number | string;
  readonly errorCode?: string;
}

interface Operations {
  readonly operations: readonly Operation[];
}

interface DiskSnapshot {
  readonly name: string;
  readonly arn: string;
  readonly supportCode: string;
  readonly state: string;
  readonly progress: string;
  readonly sizeInGb: number;
  readonly fromDiskName: string;
  readonly tags: readonly { readonly key: string; readonly value?: string }[];
  readonly createdAt: number | string;
}

async function createDisk(name: string, region = 'us-west-2'): Promise<void> {
  const words = ['--disk-name', name, '--availability-zone', `${region}a`, '--size-in-gb', '8', '--region', region];
  await server.awsJson(['lightsail', 'create-disk', ...words]);
}

async function snapshotDisk(disk: string, snapshot: string, more: readonly string[] = []): Promise<Operations> {
  const words = ['--disk-name', disk, '--disk-snapshot-name', snapshot, '--region', 'us-west-2', ...more];
  return await server.awsJson<Operations>(['lightsail', 'create-disk-snapshot', ...words]);
}

async function getSnapshot(name: string): Promise<DiskSnapshot> {
  const words = ['get-disk-snapshot', '--disk-snapshot-name', name, '--region', 'us-west-2'];
  return (await server.awsJson<{ readonly diskSnapshot: DiskSnapshot }>(['lightsail', ...words])).diskSnapshot;
}

async function completed(name: string): Promise<DiskSnapshot> {
  for (let tries = 0; tries < 200; tries += 1) {
    const snapshot = await getSnapshot(name);
    if (snapshot.state === 'completed') return snapshot;
    assert.equal(snapshot.state, 'pending');
    await systemClock.sleep(50);
  }
  throw new Error(`${name} is still pending`);
}

async function restore(snapshot: string, disk: string): Promise<void> {
  const words = ['--disk-name', disk, '--disk-snapshot-name', snapshot, '--availability-zone', 'us-west-2b'];
  await server.awsJson([
    'lightsail',
    'create-disk-from-snapshot',
    ...words,
    '--size-in-gb',
    '8',
    '--region',
    'us-west-2',
  ]);
}

/** Writes a pattern with qemu-io, and flushes. */
async function write(name: string, pattern: number, offset: string, length: string): Promise<void> {
  const commands = ['-c', `write -P ${pattern} ${offset} ${length}`, '-c', 'flush'];
  await runOk('qemu-io', ['-f', 'raw', ...commands, await server.uri(name)]);
}

/** Whether the range holds the pattern everywhere. */
async function holds(name: string, pattern: number, offset: string, length: string): Promise<boolean> {
  const command = `read -P ${pattern} ${offset} ${length}`;
  const result = await run('qemu-io', ['-f', 'raw', '-r', '-c', command, await server.uri(name)]);
  return result.code === 0 && !/verification failed/i.test(result.stdout + result.stderr);
}

/** A copy of all bytes, as a sparse file. */
async function copyOf(name: string): Promise<string> {
  const path = join(work, name);
  await runOk('nbdcopy', [await server.uri(name), path]);
  return path;
}

/** Whether the export has, byte for byte, what the file has. */
async function equals(name: string, path: string): Promise<boolean> {
  return (await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', await server.uri(name), path])).code === 0;
}

const CLIENTS = ['aws', 'qemu-io', 'qemu-img', 'nbdcopy', 'nbdinfo'];

test('A1 A2 A31: a snapshot copies a disk byte for byte, and outlives it', async (t) => {
  if (!requireTools(t, CLIENTS)) return;
  await createDisk('copied');
  await write('copied', 0x11, '0', '3M');
  await write('copied', 0x22, '5G', '64k');
  await snapshotDisk('copied', 'copied-s');
  await completed('copied-s');
  const listed = await server.awsJson<{ readonly diskSnapshots: readonly DiskSnapshot[] }>([
    'lightsail',
    'get-disk-snapshots',
    '--region',
    'us-west-2',
  ]);
  assert.ok(listed.diskSnapshots.some((snapshot) => snapshot.name === 'copied-s'));
  const copy = await copyOf('copied');
  await restore('copied-s', 'copied-r');
  assert.ok(await equals('copied-r', copy));
  await server.awsJson(['lightsail', 'delete-disk', '--disk-name', 'copied', '--region', 'us-west-2']);
  assert.equal((await getSnapshot('copied-s')).state, 'completed');
  await restore('copied-s', 'copied-r2');
  assert.ok(await equals('copied-r2', copy));
  await write('copied-r2', 0x12, '6G', '4k');
  assert.ok(!(await equals('copied-r2', copy)), 'a difference of 4 KiB is seen');
});

test('A3 A4 A5: a snapshot of a disk in use holds all that was flushed before the call', async (t) => {
  if (!requireTools(t, [...CLIENTS, 'fio'])) return;
  await createDisk('busy');
  await write('busy', 0x33, '1G', '8M');
  const uri = await server.uri('busy');
  const load = run('fio', [
    ...['--name=load', '--ioengine=nbd', `--uri=${uri}`, '--rw=randwrite', '--bs=4k', '--iodepth=16'],
    ...['--size=256M', '--time_based', '--runtime=4', '--allow_mounted_write=1'],
  ]);
  await systemClock.sleep(1000);
  await snapshotDisk('busy', 'busy-s');
  const done = await load;
  assert.equal(done.code, 0, done.stderr);
  await completed('busy-s');
  assert.ok(await holds('busy-s', 0x33, '1G', '8M'));
  const writes = /write: IOPS/.test(done.stdout);
  assert.ok(writes, 'the disk was written all the time');
});

test('A6 A7 A8: the cut is fixed when the call returns; what is written while it is pending does not leak in', async (t) => {
  if (!requireTools(t, CLIENTS)) return;
  await createDisk('cut');
  await write('cut', 0x44, '0', '96M');
  await snapshotDisk('cut', 'cut-s');
  await write('cut', 0x55, '0', '96M');
  await completed('cut-s');
  assert.ok(await holds('cut-s', 0x44, '0', '96M'));
  assert.ok(await holds('cut', 0x55, '0', '96M'));
  await restore('cut-s', 'cut-r');
  assert.ok(await holds('cut-r', 0x44, '0', '96M'));
});

test('A13 A14 A15 A16 A29: names and zones that are not there, not given, taken or badly formed', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  await createDisk('named');
  await snapshotDisk('named', 'named-s');
  const refused = async (words: readonly string[]): Promise<string> => {
    const result = await server.aws(['lightsail', ...words, '--region', 'us-west-2']);
    assert.notEqual(result.code, 0);
    return result.stderr;
  };
  const snapshot = ['create-disk-snapshot', '--disk-snapshot-name'];
  assert.match(await refused([...snapshot, 'x-s', '--disk-name', 'nobody']), /NotFoundException/);
  assert.match(await refused([...snapshot, 'x-s']), /InvalidInputException/);
  assert.match(
    await refused([...snapshot, 'x-s', '--disk-name', 'named', '--instance-name', 'i']),
    /InvalidInputException/,
  );
  assert.match(await refused([...snapshot, 'named-s', '--disk-name', 'named']), /InvalidInputException/);
  for (const bad of ['-x', 'x-', 'a b', 'x', 'é!']) {
    const { status, text } = await rawCall(server, {
      service: 'lightsail',
      operation: 'CreateDiskSnapshot',
      region: 'us-west-2',
      body: JSON.stringify({ diskName: 'named', diskSnapshotName: bad }),
    });
    assert.equal(status, 400, bad);
    assert.match(text, /InvalidInputException/, bad);
  }
  const disk = ['create-disk', '--disk-name', 'zoned', '--size-in-gb', '8', '--availability-zone'];
  assert.match(await refused([...disk, 'US-WEST-2A']), /InvalidInputException/);
});

test('A17 A18 A19: tags are set at creation, added later, and checked', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  await createDisk('tagged');
  await snapshotDisk('tagged', 'tagged-s', ['--tags', 'key=team,value=storage', 'key=only-key']);
  const snapshot = await getSnapshot('tagged-s');
  const byKey = new Map(snapshot.tags.map((tag) => [tag.key, tag.value]));
  assert.equal(byKey.get('team'), 'storage');
  assert.ok(byKey.has('only-key'));
  await server.awsJson([
    ...[
      'lightsail',
      'tag-resource',
      '--resource-name',
      'tagged-s',
      '--tags',
      'key=later,value=yes',
      '--region',
      'us-west-2',
    ],
  ]);
  assert.ok((await getSnapshot('tagged-s')).tags.some((tag) => tag.key === 'later' && tag.value === 'yes'));
  await server.awsJson([
    ...['lightsail', 'untag-resource', '--resource-name', 'tagged-s', '--tag-keys', 'later', '--region', 'us-west-2'],
  ]);
  assert.ok((await getSnapshot('tagged-s')).tags.every((tag) => tag.key !== 'later'));
  const tag = async (key: string, value: string | null): Promise<number> =>
    (
      await rawCall(server, {
        service: 'lightsail',
        operation: 'TagResource',
        region: 'us-west-2',
        body: JSON.stringify({ resourceName: 'tagged', tags: [value === null ? { key } : { key, value }] }),
      })
    ).status;
  assert.equal(await tag('k'.repeat(128), 'v'), 200);
  assert.equal(await tag('k'.repeat(129), 'v'), 400);
  assert.equal(await tag('no!', 'v'), 400);
  assert.equal(await tag('clé + - = . _ : / @', 'v'), 200);
  assert.equal(await tag('long', 'v'.repeat(256)), 200);
  assert.equal(await tag('longer', 'v'.repeat(257)), 400);
  assert.equal(await tag('absent', null), 200);
});

test('A20 to A28, A30: two operations, exactly as on the page; they end; the state starts pending', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  await createDisk('Disk-1');
  const raw = await rawCall(server, {
    service: 'lightsail',
    operation: 'CreateDiskSnapshot',
    region: 'us-west-2',
    body: JSON.stringify({ diskName: 'Disk-1', diskSnapshotName: 'DiskSnapshot-1' }),
  });
  assert.equal(raw.status, 200, raw.text);
  const { operations } = JSON.parse(raw.text) as Operations;
  assert.equal(operations.length, 2);
  const [first, second] = operations;
  assert.ok(first !== undefined && second !== undefined);
  for (const operation of operations) {
    assert.match(operation.id, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    assert.equal(typeof operation.createdAt, 'number');
    assert.ok(Number(operation.createdAt) > 1_500_000_000 && Number(operation.createdAt) < 10_000_000_000);
    assert.equal(operation.createdAt, operation.statusChangedAt);
    assert.equal(operation.operationType, 'CreateDiskSnapshot');
    assert.equal(operation.status, 'Started');
    assert.equal(operation.isTerminal, false);
  }
  assert.deepEqual(Object.keys(first), [
    ...['id', 'resourceName', 'resourceType', 'createdAt', 'location', 'isTerminal', 'operationDetails'],
    ...['operationType', 'status', 'statusChangedAt'],
  ]);
  assert.deepEqual(
    [
      first.resourceName,
      first.resourceType,
      first.location.availabilityZone,
      first.location.regionName,
      first.operationDetails,
    ],
    ['DiskSnapshot-1', 'DiskSnapshot', 'all', 'us-west-2', 'Disk-1'],
  );
  assert.deepEqual(
    [second.resourceName, second.resourceType, second.location.availabilityZone, second.operationDetails],
    ['Disk-1', 'Disk', 'us-west-2a', 'DiskSnapshot-1'],
  );
  assert.equal((await completed('DiskSnapshot-1')).progress, '100%');
  for (const operation of operations) {
    const { operation: ended } = await server.awsJson<{ readonly operation: Operation }>([
      ...['lightsail', 'get-operation', '--operation-id', operation.id, '--region', 'us-west-2'],
    ]);
    assert.equal(ended.isTerminal, true);
    assert.equal(ended.status, 'Succeeded');
    assert.notEqual(ended.statusChangedAt, ended.createdAt);
    assert.ok(!('errorCode' in ended));
  }
  const ofResource = await server.awsJson<Operations>([
    ...['lightsail', 'get-operations-for-resource', '--resource-name', 'DiskSnapshot-1', '--region', 'us-west-2'],
  ]);
  assert.equal(ofResource.operations.length, 1);
});

test('A30: a snapshot with bytes to store is seen pending, its progress rises to 100%', async (t) => {
  if (!requireTools(t, [...CLIENTS, 'fio'])) return;
  await createDisk('large');
  await runOk('fio', [
    ...['--name=fill', '--ioengine=nbd', `--uri=${await server.uri('large')}`, '--rw=write', '--bs=1M', '--iodepth=4'],
    ...['--size=1G', '--refill_buffers', '--end_fsync=1'],
  ]);
  await snapshotDisk('large', 'large-s');
  const seen: { state: string; percent: number }[] = [];
  for (;;) {
    const { text } = await rawCall(server, {
      service: 'lightsail',
      operation: 'GetDiskSnapshot',
      region: 'us-west-2',
      body: '{"diskSnapshotName":"large-s"}',
    });
    const { diskSnapshot } = JSON.parse(text) as { readonly diskSnapshot: DiskSnapshot };
    assert.match(diskSnapshot.progress, /^\d{1,3}%$/);
    seen.push({ state: diskSnapshot.state, percent: Number.parseInt(diskSnapshot.progress, 10) });
    if (diskSnapshot.state !== 'pending') break;
    await systemClock.sleep(50);
  }
  assert.equal(seen[0]?.state, 'pending');
  assert.deepEqual(seen.at(-1), { state: 'completed', percent: 100 });
  const percents = seen.map(({ percent }) => percent);
  assert.deepEqual(
    percents,
    percents.toSorted((a, b) => a - b),
  );
  assert.ok(new Set(percents).size > 3, `progress moved: ${[...new Set(percents)].join(' ')}`);
});

test('A32: each refusal carries code, docs, message and tip; unknown operations have their own', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  const absent = await rawCall(server, {
    service: 'lightsail',
    operation: 'GetDisk',
    body: '{"diskName":"nobody-here"}',
  });
  const body = JSON.parse(absent.text) as Record<string, unknown>;
  assert.match(String(body['__type']), /NotFoundException$/);
  for (const member of ['code', 'docs', 'message', 'tip']) assert.equal(typeof body[member], 'string', member);
  const unknown = await rawCall(server, { service: 'lightsail', operation: 'constructor', body: '{}' });
  assert.match(unknown.text, /UnknownOperationException/);
  assert.ok(unknown.status === 400 || unknown.status === 404);
  // What this server has none of: lists are empty, and nothing is made.
  const none = await rawCall(server, { service: 'lightsail', operation: 'GetDomains', body: '{}' });
  assert.deepEqual([none.status, JSON.parse(none.text)], [200, { domains: [] }]);
  const made = await rawCall(server, {
    service: 'lightsail',
    operation: 'CreateDomain',
    body: '{"domainName":"example.com"}',
  });
  assert.ok(made.status >= 400 && made.status < 500);
  assert.match(made.text, /NotSupported/);
  const wrongType = await rawCall(server, { service: 'lightsail', operation: 'GetDisk', body: '{"diskName":5}' });
  assert.equal(wrongType.status, 400);
  const notJson = await rawCall(server, { service: 'lightsail', operation: 'GetDisk', body: '{' });
  assert.match(notJson.text, /SerializationException/);
});

test('GetRegions shows zones when asked', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  type Regions = {
    readonly regions: readonly {
      readonly name: string;
      readonly availabilityZones?: readonly { readonly zoneName: string }[];
    }[];
  };
  const plain = await server.awsJson<Regions>(['lightsail', 'get-regions']);
  const zoned = await server.awsJson<Regions>(['lightsail', 'get-regions', '--include-availability-zones']);
  assert.equal(plain.regions.find((region) => region.name === 'us-east-2')?.availabilityZones?.length ?? 0, 0);
  const zones = zoned.regions.find((region) => region.name === 'us-east-2')?.availabilityZones ?? [];
  assert.ok(zones.some((zone) => zone.zoneName === 'us-east-2a'));
});
