import assert from 'node:assert/strict';
import {
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { requireFuse, requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const directory = scratchDirectory('cli-mount');
const MIB = 1024 ** 2;
let server: RunningServer;

before(async () => {
  server = await RunningServer.start();
});
after(async () => {
  // What a test that failed left would hold the directories.
  const { mounts } = JSON.parse(await varve('umount', '--list', '--json')) as {
    readonly mounts: readonly { readonly directory: string }[];
  };
  for (const one of mounts) await server.varve(['umount', one.directory]);
  await server[Symbol.asyncDispose]();
});

async function varve(...words: readonly string[]): Promise<string> {
  const result = await server.varve(words);
  assert.equal(result.code, 0, `varve ${words.join(' ')}: ${result.stderr}`);
  return `${result.stdout}${result.stderr}`;
}

async function snapshot(disk: string, name: string): Promise<void> {
  await server.awsJson(['lightsail', 'create-disk-snapshot', '--disk-name', disk, '--disk-snapshot-name', name]);
  for (;;) {
    const { snapshots } = JSON.parse(await varve('snapshots', '--json')) as {
      readonly snapshots: readonly { name: string; state: string }[];
    };
    if (snapshots.some((one) => one.name === name && one.state === 'completed')) return;
    await systemClock.sleep(50);
  }
}

/** What is left of a mount: records, directories, mounts and programs. */
function leftOvers(): readonly string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const ofOurs = mounts.filter((line) => line.includes(directory) || line.includes(server.dataDirectory));
  const programs = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((line) => /^(?:nbdfuse|qemu-nbd|fuse2fs) /.test(line) && line.includes(server.dataDirectory));
  return [...ofOurs, ...programs, ...readdirSync(join(server.dataDirectory, 'run', 'mounts'))];
}

function point(name: string): string {
  const path = join(directory, name);
  mkdirSync(path);
  return path;
}

test('a disk is mounted, written and unmounted by each way; a snapshot of it is read while it is in use', async (t) => {
  if (!requireTools(t, ['aws', 'mke2fs', 'nbdfuse', 'fusermount3', 'fuse2fs', 'qemu-nbd', 'mount']) || !requireFuse(t))
    return;
  const image = join(directory, 'image');
  writeFileSync(image, '');
  truncateSync(image, 32 * MIB);
  await runOk('mke2fs', ['-q', '-F', '-t', 'ext4', image]);
  await varve('import', image, '--name', 'disk');

  const at = point('loop');
  assert.match(
    await varve('mount', 'disk', at),
    /disk is mounted at .*loop, to be read and written, by nbdfuse and a loop device/,
  );
  writeFileSync(join(at, 'hello'), 'world');
  await runOk('sync', ['-f', at]);
  assert.match((await server.varve(['mount', 'disk', at])).stderr, /something is mounted at .* already/);
  const second = point('second');
  assert.match((await server.varve(['mount', 'disk', second])).stderr, /is in use: an NBD client is connected/);
  assert.match(await varve('umount', '--list'), new RegExp(`^disk {2}${at} {2}loop$`, 'm'));
  await snapshot('disk', 'busy');
  assert.match(await varve('mount', 'busy', second), /to be read, .*its journal is replayed above it/);
  assert.equal(readFileSync(join(second, 'hello'), 'utf8'), 'world');
  assert.throws(() => writeFileSync(join(second, 'x'), ''), /EROFS/);
  await varve('umount', second);

  // A file that is open holds the mount, and nothing is taken away below it.
  const held = openSync(join(at, 'hello'), 'r');
  assert.match((await server.varve(['umount', at])).stderr, /cannot be unmounted: .*busy.*fuser -vm/);
  assert.equal(readFileSync(join(at, 'hello'), 'utf8'), 'world');
  closeSync(held);
  await varve('umount', at);
  assert.deepEqual(readdirSync(at), []);
  assert.deepEqual(leftOvers(), []);
  assert.match((await server.varve(['umount', at])).stderr, /varve mounted nothing at .*; nothing is mounted/);

  await varve('mount', 'disk', at, '--way', 'fuse2fs');
  assert.equal(readFileSync(join(at, 'hello'), 'utf8'), 'world');
  writeFileSync(join(at, 'by-fuse'), Buffer.alloc(3 * MIB, 7));
  await varve('umount', at);
  assert.equal((await server.varve(['cp', 'disk:/by-fuse', '-'])).stdout, '\u0007'.repeat(3 * MIB));
  await varve('mount', 'busy', at, '--way', 'fuse2fs');
  assert.equal(readFileSync(join(at, 'hello'), 'utf8'), 'world');
  await varve('umount', at);

  await varve('mount', 'disk', at, '--file', '--read-only');
  assert.equal(statSync(join(at, 'disk')).size, 8 * 1024 * MIB);
  assert.throws(() => openSync(join(at, 'disk'), 'r+'));
  await varve('umount', at);
  assert.deepEqual(leftOvers(), []);
});

test('what cannot be mounted leaves nothing behind, nor does a mount that something else ended', async (t) => {
  if (!requireTools(t, ['aws', 'mke2fs', 'nbdfuse', 'fusermount3', 'mount']) || !requireFuse(t)) return;
  const image = join(directory, 'nothing');
  writeFileSync(image, '');
  truncateSync(image, 8 * MIB);
  await runOk('mke2fs', ['-q', '-F', '-t', 'ext4', image]);
  const bytes = readFileSync(image);
  await varve('import', image, '--name', 'whole');
  // The superblock stays; the root directory does not.
  bytes.fill(0xff, 64 * 1024, 1024 * 1024);
  writeFileSync(image, bytes);
  await varve('import', image, '--name', 'broken');
  const at = point('broken');
  const broken = await server.varve(['mount', 'broken', at]);
  assert.equal(broken.code, 1, broken.stderr);
  assert.deepEqual(leftOvers(), []);
  assert.match((await server.varve(['mount', 'absent', at])).stderr, /there is no disk/);
  assert.match((await server.varve(['mount', 'whole', join(at, 'deeper')])).stderr, /make it with "mkdir/);

  await varve('mount', 'whole', at);
  await runOk('umount', [at]); // By hand: the file of the disk stays.
  await varve('mount', 'whole', at); // Finds what is left, and begins anew.
  assert.ok(readdirSync(at).includes('lost+found'));
  await varve('umount', at);
  assert.deepEqual(leftOvers(), []);
});

test('the data directory is found from below it, as by every command', async () => {
  const below = join(directory, 'project', 'sub');
  mkdirSync(below, { recursive: true });
  const { VARVE_DATA: _, ...env } = server.environment();
  const cli = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
  const list = [cli, 'umount', '--list', '--json'];
  const missing = await run(process.execPath, [...list, '--data', join(below, 'nothing')], { env });
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^varve: there is no data directory .*nothing; say where .* --data DIR\n$/);
  mkdirSync(join(directory, 'project', '.varve'), { mode: 0o700 });
  const found = await run(process.execPath, list, { env, cwd: below });
  assert.deepEqual(JSON.parse(found.stdout), { mounts: [] }, found.stderr);
  assert.deepEqual(readdirSync(below), []);
});

test('a disk on which nothing was ever written gets a file system with --mkfs, and no other disk does', async (t) => {
  if (!requireTools(t, ['nbdfuse', 'fusermount3']) || !requireFuse(t)) return;
  const where = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
  await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'fresh', ...where]);
  const at = join(directory, 'fresh');
  mkdirSync(at);
  const bare = await server.varve(['mount', 'fresh', at]);
  assert.deepEqual([bare.code, /--mkfs makes one/.test(bare.stderr)], [1, true], bare.stderr);
  await varve('mount', 'fresh', at, '--mkfs');
  writeFileSync(join(at, 'note'), 'kept');
  await varve('umount', at);
  const again = await server.varve(['mount', 'fresh', at, '--mkfs']);
  assert.deepEqual([again.code, /something is written on fresh/.test(again.stderr)], [1, true], again.stderr);
  await varve('mount', 'fresh', at);
  assert.equal(readFileSync(join(at, 'note'), 'utf8'), 'kept');
  await varve('umount', at);
  assert.deepEqual(leftOvers(), []);
  assert.equal((await server.varve(['mount', 'fresh', at, '--mkfs', '--file'])).code, 2);
});
