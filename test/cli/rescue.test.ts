import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, cp, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { FakeS3Server } from '#chunk/s3-server.fake.ts';
import { CHUNK_BYTES, GIB_BYTES } from '#domain/geometry.ts';
import { requireTools } from '../clients.ts';
import { run, runOk, type RunResult } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
const SNAPSHOTS = 5;
const scratch = scratchDirectory('cli-rescue');

/** What a disaster has left: a copy of the objects and of the key; and what they should hold. */
interface Remains {
  readonly store: string;
  readonly key: string;
  /** Snapshots in the order in which they were taken, each with a raw image of the disk at that moment. */
  readonly snapshots: readonly { readonly id: string; readonly image: string }[];
}

let made: Promise<Remains> | null = null;
/** Made once, by a real server that is gone afterwards with all that it had. */
function remains(): Promise<Remains> {
  return (made ??= makeRemains());
}

async function makeRemains(): Promise<Remains> {
  const data = join(scratch, 'data');
  const snapshots: { id: string; image: string }[] = [];
  {
    await using server = await RunningServer.start({ data });
    const model = join(scratch, 'model.raw');
    await using file = await open(model, 'w+');
    await file.truncate(GIB_BYTES);
    const volume = await server.awsJson<{ readonly VolumeId: string }>([
      ...['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '1'],
    ]);
    const uri = await server.uri(volume.VolumeId);
    for (let n = 0; n < SNAPSHOTS; n += 1) {
      // A large piece, some small ones, and one at the very end; later ones lie over earlier ones.
      const writes = [
        { offset: n * 7 * CHUNK_BYTES, length: 10 * CHUNK_BYTES },
        { offset: (3 + n) * CHUNK_BYTES + 4096 * n, length: 4096 },
        { offset: 300 * 1024 * 1024 + n * 64 * 1024, length: 12_288 },
        { offset: GIB_BYTES - 4096 * (n + 1), length: 4096 },
      ];
      const commands: string[] = [];
      for (const [at, { offset, length }] of writes.entries()) {
        const bytes = randomBytes(length);
        await file.write(bytes, 0, length, offset);
        await writeFile(join(scratch, `piece-${at}`), bytes);
        commands.push('-c', `write -s ${join(scratch, `piece-${at}`)} ${offset} ${length}`);
      }
      await runOk('qemu-io', ['-f', 'raw', ...commands, '-c', 'flush', uri]);
      const created = ['ec2', 'create-snapshot', '--volume-id', volume.VolumeId, '--description', `state ${n}`];
      const { SnapshotId: id } = await server.awsJson<{ readonly SnapshotId: string }>(created);
      // A snapshot is served once it is complete.
      for (let served = false; !served; await systemClock.sleep(50)) {
        const asked = await server.varve(['connect', id]);
        served = asked.code === 0;
        if (!served) assert.match(asked.stderr, /it is pending/);
      }
      const image = join(scratch, `state-${n}.raw`);
      await runOk('cp', [model, image]); // Holes stay holes.
      snapshots.push({ id, image });
    }
  }
  const store = join(scratch, 'store');
  const key = join(scratch, 'key');
  await cp(join(data, 'objects'), store, { recursive: true });
  await cp(join(data, 'master.key'), key);
  await rm(data, { recursive: true });
  return { store, key, snapshots };
}

async function rescue(from: { readonly store: string; readonly key: string }, ...words: string[]): Promise<RunResult> {
  return await run(process.execPath, [CLI, 'rescue', ...words, '--store', from.store, '--key', from.key]);
}

/** A copy of the remains whose store may be damaged. */
async function copyOf(t: TestContext, name: string): Promise<Remains> {
  const whole = await remains();
  const store = join(scratch, name);
  await cp(whole.store, store, { recursive: true });
  t.after(() => rm(store, { recursive: true, force: true }));
  return { ...whole, store };
}

async function filesOf(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory, { recursive: true, withFileTypes: true });
  return names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Files of the store's packs, the largest first. */
async function packs(store: string): Promise<readonly string[]> {
  const paths = await filesOf(join(store, 'packs'));
  const sizes = new Map<string, number>();
  for (const path of paths) sizes.set(path, (await stat(path)).size);
  return paths.toSorted((a, b) => (sizes.get(b) ?? 0) - (sizes.get(a) ?? 0));
}

/** Every file and its content, to see that nothing was changed. */
async function contentOf(store: string): Promise<ReadonlyMap<string, string>> {
  const { stdout } = await runOk('sh', ['-c', 'cd "$1" && find . -type f -exec sha256sum {} +', 'sh', store]);
  return new Map(stdout.split('\n').map((line) => [line.slice(66), line.slice(0, 64)]));
}

/** Byte ranges that `rescue` names as damaged, by snapshot. */
function named(text: string): readonly { readonly id: string; readonly start: number; readonly end: number }[] {
  return [...text.matchAll(/(snap-[0-9a-f]+): bytes (\d+) to (\d+) are damaged/g)].map((match) => ({
    id: match[1] ?? '',
    start: Number(match[2]),
    end: Number(match[3]) + 1,
  }));
}

test('with a copy of the objects and the key alone, every snapshot is listed, verified and exported byte for byte', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'qemu-img', 'cmp', 'sha256sum'])) return;
  const left = await remains();
  const before = await contentOf(left.store);

  const listed = await rescue(left, 'list', '--json');
  assert.equal(listed.code, 0, listed.stderr);
  const found = JSON.parse(listed.stdout) as readonly Readonly<Record<string, unknown>>[];
  assert.deepEqual(
    found.map(({ snapshot, sizeBytes, description }) => ({ snapshot, sizeBytes, description })),
    left.snapshots.map(({ id }, n) => ({ snapshot: id, sizeBytes: GIB_BYTES, description: `state ${n}` })),
  );
  const table = await rescue(left, 'list');
  for (const { id } of left.snapshots) assert.ok(table.stdout.includes(id));

  const verified = await rescue(left, 'verify');
  assert.equal(verified.code, 0, verified.stderr);
  assert.match(verified.stdout, /^5 snapshots /);

  for (const [n, { id, image }] of left.snapshots.entries()) {
    const out = join(scratch, 'out.raw');
    const exported = await rescue(left, 'export', id, out);
    assert.equal(exported.code, 0, exported.stderr);
    // Both compare every byte; cmp reads the holes, too.
    if (n === SNAPSHOTS - 1) await runOk('cmp', [out, image]);
    else await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', out, image]);
    assert.ok((await stat(out)).blocks * 512 < 100 * 1024 * 1024, 'holes are holes');
    await rm(out);
  }
  assert.deepEqual(await contentOf(left.store), before, 'nothing in the store was changed');
});

test('a snapshot goes to standard output, and to qcow2', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'qemu-img', 'cmp'])) return;
  const left = await remains();
  const [first] = left.snapshots;
  assert.ok(first !== undefined);
  const piped = await run('sh', [
    ...['-c', '"$1" "$2" rescue export "$3" - --store "$4" --key "$5" | cmp - "$6"', 'sh'],
    ...[process.execPath, CLI, first.id, left.store, left.key, first.image],
  ]);
  assert.deepEqual([piped.code, piped.stdout], [0, ''], piped.stderr);

  const out = join(scratch, 'out.qcow2');
  const converted = await rescue(left, 'export', first.id, out);
  assert.equal(converted.code, 0, converted.stderr);
  await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', first.image, out]);
  const again = await rescue(left, 'export', first.id, out);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /is there already/);
  await rm(out);
});

test('a store that nobody may write to is served read-only over NBD until it is interrupted', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'qemu-img', 'nbdinfo'])) return;
  const left = await copyOf(t, 'read-only');
  await runOk('chmod', ['-R', 'a-w', left.store]);
  t.after(() => run('chmod', ['-R', 'u+w', left.store]));
  const last = left.snapshots.at(-1);
  assert.ok(last !== undefined);
  const socket = join(scratch, 'rescued.sock');
  const words = ['rescue', 'serve', last.id, '--socket', socket, '--store', left.store, '--key', left.key];
  const child = spawn(process.execPath, [CLI, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const uri = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    void exited.then(() => reject(new Error('it ended')));
  });
  assert.equal((await stat(socket)).mode & 0o777, 0o600);
  const info = await runOk('nbdinfo', ['--json', uri]);
  assert.match(info.stdout, /"is_read_only": true/);
  await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', last.image, uri]);
  assert.notEqual((await run('qemu-io', ['-f', 'raw', '-c', 'write 0 4096', uri])).code, 0);
  child.kill('SIGINT');
  assert.equal(await exited, 0);
  await assert.rejects(stat(socket), /ENOENT/);
});

test('a bucket is as good as a directory, and nothing is put into it', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'qemu-img'])) return;
  const left = await remains();
  await using bucket = await FakeS3Server.start();
  const place = bucket.location();
  for (const path of await filesOf(left.store)) {
    bucket.objects.set(`some/prefix/${relative(left.store, path)}`, await readFile(path));
  }
  const s3 = async (...words: string[]): Promise<RunResult> =>
    await run(
      process.execPath,
      [
        ...[CLI, 'rescue', ...words, '--key', left.key],
        ...['--store', `s3://${place.bucket}/some/prefix`, '--s3-region', place.region],
        ...['--s3-endpoint', bucket.endpoint],
      ],
      { env: { PATH: process.env['PATH'] ?? '', ...bucket.environment() } },
    );
  assert.equal((await s3('list')).stdout, (await rescue(left, 'list')).stdout);
  const [first] = left.snapshots;
  assert.ok(first !== undefined);
  const out = join(scratch, 's3.raw');
  const exported = await s3('export', first.id, out);
  assert.equal(exported.code, 0, exported.stderr);
  await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', first.image, out]);
  await rm(out);
  assert.deepEqual(
    bucket.seen.filter((request) => !request.startsWith('GET ')),
    [],
  );
});

test('a damaged chunk is named with its bytes; an export stops there, or goes on with zeros', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'qemu-img'])) return;
  const left = await copyOf(t, 'damaged');
  const [pack] = await packs(left.store);
  assert.ok(pack !== undefined);
  await using file = await open(pack, 'r+');
  await file.write(Buffer.from('damage'), 0, 6, 700_000); // In the second chunk of those written first.
  const verified = await rescue(left, 'verify');
  assert.equal(verified.code, 1);
  const damaged = named(verified.stderr);
  assert.ok(damaged.length > 0, verified.stderr);
  assert.match(verified.stderr, new RegExp(`damaged: ${new Set(damaged.map(({ id }) => id)).size} of 5 snapshots`));

  for (const { id, image } of left.snapshots) {
    const own = damaged.filter((one) => one.id === id);
    const out = join(scratch, 'part.raw');
    const stopped = await rescue(left, 'export', id, out);
    assert.equal(stopped.code, own.length === 0 ? 0 : 1);
    if (own.length > 0) {
      assert.match(stopped.stderr, /are damaged: .*--keep-going/);
      await assert.rejects(stat(out), /ENOENT/);
      await assert.rejects(stat(`${out}.partial`), /ENOENT/);
      const went = await rescue(left, 'export', id, out, '--keep-going');
      assert.equal(went.code, 1);
      assert.deepEqual(named(went.stderr), own);
    }
    // The same but for zeros in the ranges that were named.
    const expected = join(scratch, 'expected.raw');
    await runOk('cp', [image, expected]);
    await using hurt = await open(expected, 'r+');
    for (const { start, end } of own) await hurt.write(Buffer.alloc(end - start), 0, end - start, start);
    await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', out, expected]);
    await rm(out);
  }
});

test('a missing pack, a missing mark, a damaged footer: what can be had is had, and the rest is named', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'cmp'])) return;
  const left = await copyOf(t, 'partial');
  const [largest] = await packs(left.store);
  assert.ok(largest !== undefined);
  await rm(join(left.store, 'repository'));
  const { size } = await stat(largest);
  await runOk('truncate', ['-s', String(size - 7), largest]);
  const verified = await rescue(left, 'verify');
  assert.equal(verified.code, 0, verified.stderr);
  assert.match(verified.stderr, /is damaged; \d+ of its records were found whole and are used/);
  assert.match(verified.stderr, /has no object repository/);

  await rm(largest);
  const without = await rescue(left, 'verify');
  assert.equal(without.code, 1);
  assert.match(without.stderr, /is in no pack/);
  const ids = new Set(named(without.stderr).map(({ id }) => id));
  for (const { id } of left.snapshots) {
    assert.equal((await rescue(left, 'verify', id)).code, ids.has(id) ? 1 : 0);
  }
});

test('what cannot be opened is said in a sentence', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  const left = await remains();
  const other = join(scratch, 'other-key');
  await writeFile(other, randomBytes(32));
  await chmod(other, 0o600);
  const empty = join(scratch, 'empty');
  await mkdir(empty, { recursive: true });
  const cases: readonly [RunResult, number, RegExp][] = [
    [await rescue({ ...left, key: other }, 'list'), 1, /made with another master key/],
    [
      await rescue({ ...left, key: join(scratch, 'none') }, 'list'),
      1,
      /the master key cannot be read: .*there is no such file/,
    ],
    [
      await rescue({ ...left, key: left.snapshots[0]?.image ?? '' }, 'list'),
      1,
      /no master key: it has 1073741824 bytes/,
    ],
    [await rescue({ ...left, store: empty }, 'list'), 1, /no object store of Varve/],
    [await rescue({ ...left, store: join(scratch, 'none') }, 'list'), 1, /there is no directory/],
    [await rescue(left, 'export', 'snap-00000000000000000', '-'), 1, /there is no snapshot snap-0/],
    [await rescue(left, 'export', 'disk-1', '-'), 1, /no snapshot has the id or the name "disk-1"/],
    [
      await rescue(left, 'export', left.snapshots[0]?.id ?? '', '-', '--format', 'qcow2'),
      2,
      /cannot be written to a stream/,
    ],
    [await rescue(left, 'export', left.snapshots[0]?.id ?? ''), 2, /where to/],
    [await rescue(left, 'repair'), 2, /the verbs are/],
    [await run(process.execPath, [CLI, 'rescue', 'list', '--store', left.store]), 2, /--key: where is the master key/],
  ];
  for (const [result, code, message] of cases) {
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, message);
  }
});
