import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { requireFuse, requireTools } from '../clients.ts';
import { MountedVolume } from '../mounted-volume.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const directory = scratchDirectory('cli-files');
const tree = join(directory, 'tree');
const MIB = 1024 ** 2;
let server: RunningServer;

/** Makes a disk of an image, and a snapshot of that. */
async function importImage(path: string, name: string): Promise<void> {
  const made = await server.varve(['import', path, '--name', name]);
  assert.equal(made.code, 0, made.stderr);
}

async function snapshotOf(disk: string, name: string): Promise<void> {
  await server.awsJson(['lightsail', 'create-disk-snapshot', '--disk-name', disk, '--disk-snapshot-name', name]);
}

async function completed(name: string): Promise<void> {
  for (;;) {
    const result = await server.varve(['snapshots', '--json']);
    const { snapshots } = JSON.parse(result.stdout) as {
      readonly snapshots: readonly { name: string; state: string }[];
    };
    if (snapshots.some((one) => one.name === name && one.state === 'completed')) return;
    await systemClock.sleep(50);
  }
}

before(async () => {
  server = await RunningServer.start();
  const random = new SeededRandom(5);
  mkdirSync(join(tree, 'etc', 'deep'), { recursive: true });
  writeFileSync(join(tree, 'etc', 'hosts'), '127.0.0.1 localhost\n', { mode: 0o640 });
  writeFileSync(join(tree, 'etc', 'deep', 'data'), random.bytes(300_000));
  writeFileSync(join(tree, 'etc', 'sparse'), 'begin');
  truncateSync(join(tree, 'etc', 'sparse'), 30 * MIB);
  symlinkSync('deep/data', join(tree, 'etc', 'link'));
  symlinkSync('/etc', join(tree, 'away'));
  utimesSync(join(tree, 'etc', 'hosts'), 1_000_000_000, 1_000_000_000.5);
});

after(async () => await server[Symbol.asyncDispose]());

function makeImage(name: string, from: string, sizeBytes: number): string {
  const path = join(directory, name);
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  assert.ok(statSync(from).isDirectory());
  return path;
}

function requireServerTools(t: TestContext): boolean {
  return requireTools(t, ['aws', 'mke2fs', 'debugfs']);
}

test('ls and cp show and copy what is in a snapshot: modes, times, symlinks and holes', async (t) => {
  if (!requireServerTools(t)) return;
  const image = makeImage('image', tree, 64 * MIB);
  await runOk('mke2fs', ['-q', '-F', '-t', 'ext4', '-L', 'root', '-d', tree, image]);
  await runOk('debugfs', ['-w', '-f', '-', image], {
    input: 'ln etc/hosts etc/hosts2\nsif etc/hosts links_count 2\nmknod null c 1 3\n',
  });
  await importImage(image, 'disk');
  await snapshotOf('disk', 'snap');
  await completed('snap');

  const listed = await server.varve(['ls', 'snap:/etc']);
  assert.equal(listed.stdout, 'deep/\nhosts\nhosts2\nlink\nsparse\n', listed.stderr);
  const long = await server.varve(['ls', '-l', 'snap:etc/hosts', '--partition', '1']);
  assert.match(long.stderr, /no partition 1/);
  assert.match(
    (await server.varve(['ls', '-l', 'snap:etc'])).stdout,
    /^-rw-r----- +2 +0 +0 +20 +2001-09-09T01:46:40Z +hosts$/m,
  );
  assert.match((await server.varve(['ls', '-l', 'snap:etc'])).stdout, /link -> deep\/data$/m);
  const all = JSON.parse((await server.varve(['ls', '-R', 'snap', '--json'])).stdout) as {
    readonly label: string;
    readonly entries: readonly { readonly path: string; readonly kind: string; readonly sizeBytes: number }[];
  };
  assert.equal(all.label, 'root');
  assert.deepEqual(all.entries.map(({ path }) => path).sort(), [
    '/away',
    '/etc',
    '/etc/deep',
    '/etc/deep/data',
    '/etc/hosts',
    '/etc/hosts2',
    '/etc/link',
    '/etc/sparse',
    '/lost+found',
    '/null',
  ]);
  assert.match((await server.varve(['ls', 'snap:/absent'])).stderr, /^varve: snap: there is no \/absent\n$/);

  const out = join(directory, 'out');
  mkdirSync(out);
  const copied = await server.varve(['cp', '-r', 'snap:/etc', 'snap:away', out]);
  assert.equal(copied.code, 0, copied.stderr);
  assert.match(copied.stderr, /^4 files, 2 directories, 2 symlinks copied/);
  await runOk('diff', ['-r', '--no-dereference', '-x', 'hosts2', join(tree, 'etc'), join(out, 'etc')]);
  const hosts = lstatSync(join(out, 'etc', 'hosts'));
  assert.deepEqual([hosts.mode & 0o777, Math.floor(hosts.mtimeMs), hosts.nlink], [0o640, 1_000_000_000_000, 2]);
  assert.ok(statSync(join(out, 'etc', 'sparse')).blocks * 512 < MIB);
  assert.equal(readlinkSync(join(out, 'away')), '/etc');

  const again = await server.varve(['cp', 'snap:/etc/hosts', join(out, 'etc')]);
  assert.match(again.stderr, /it is there already; --force replaces it/);
  assert.equal(again.code, 1);
  assert.equal((await server.varve(['cp', '--force', 'snap:/etc/hosts', join(out, 'etc')])).code, 0);
  assert.match((await server.varve(['cp', 'snap:/etc', join(out, 'x')])).stderr, /it is a directory: add -r/);
  const away = await server.varve(['cp', 'snap:/etc/hosts', join(out, 'nowhere', 'x')]);
  assert.equal(away.stderr.split('nowhere').length, 2, `the path is told once: ${away.stderr}`);
  assert.match((await server.varve(['cp', 'snap:/null', out])).stderr, /character-device, which is not copied/);
  assert.equal((await server.varve(['cp', 'snap:/etc/link', '-'])).stdout.length > 0, true);
  assert.equal((await server.varve(['cp', 'snap:/etc/hosts', '-'])).stdout, '127.0.0.1 localhost\n');
});

test('no name in an image leads a copy out of its destination', async (t) => {
  if (!requireServerTools(t)) return;
  const outside = join(directory, 'outside');
  mkdirSync(outside);
  const hostile = join(directory, 'hostile');
  mkdirSync(join(hostile, 'dir', 'aaaa'), { recursive: true });
  writeFileSync(join(hostile, 'dir', 'aaaa', 'evil'), 'evil');
  symlinkSync(outside, join(hostile, 'dir', 'bbbb'));
  writeFileSync(join(hostile, 'up'), 'evil');
  const image = makeImage('hostile-image', hostile, 8 * MIB);
  await runOk('mke2fs', ['-q', '-F', '-t', 'ext2', '-b', '1024', '-d', hostile, image]);
  // The directory takes the name of the symlink beside it; a file becomes "../x" by its bytes.
  const bytes = readFileSync(image);
  for (let at = bytes.indexOf('aaaa'); at >= 0; at = bytes.indexOf('aaaa', at + 1)) bytes.write('bbbb', at);
  writeFileSync(image, bytes);
  await importImage(image, 'hostile');
  const out = join(directory, 'safe');
  mkdirSync(out);
  const first = await server.varve(['cp', '-r', 'hostile:/dir', out]);
  assert.equal(first.code, 1);
  assert.deepEqual(readdirSync(outside), []);
  // A symlink that an earlier copy made is not followed either.
  const into = join(directory, 'into');
  mkdirSync(join(into, 'dir'), { recursive: true });
  symlinkSync(outside, join(into, 'dir', 'bbbb'));
  const second = await server.varve(['cp', '-r', '--force', 'hostile:/dir', into]);
  assert.match(second.stderr, /what is there is not a directory/);
  assert.deepEqual(readdirSync(outside), []);

  for (let at = bytes.indexOf('up\0\0'); at >= 0; at = bytes.indexOf('up\0\0', at + 1)) {
    if (bytes.readUInt8(at - 2) === 2) bytes.write('/x', at);
  }
  writeFileSync(image, bytes);
  await importImage(image, 'slashes');
  const third = await server.varve(['cp', '-r', 'slashes:/', out]);
  assert.match(third.stderr, /has a name that cannot be/);
});

test('a snapshot of a mounted file system is shown as it is once its journal is replayed', async (t) => {
  if (!requireTools(t, ['aws', 'mkfs.ext4', 'e2fsck', 'nbdfuse', 'mount']) || !requireFuse(t)) return;
  await server.awsJson([
    'lightsail',
    'create-disk',
    '--disk-name',
    'live',
    '--availability-zone',
    'us-east-1a',
    '--size-in-gb',
    '8',
  ]);
  const volume = await MountedVolume.attach(await server.uri('live'), join(directory, 'live'));
  try {
    await runOk('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0', '-N', '20000', volume.devicePath]);
    await volume.mount();
    // Directories that become files, and files that become directories: blocks of metadata are freed and used again.
    const random = new SeededRandom(9);
    for (let round = 0; round < 3; round += 1) {
      const at = join(volume.path, `round-${round}`);
      mkdirSync(at);
      for (let index = 0; index < 300; index += 1) {
        writeFileSync(
          join(at, `a-name-that-fills-a-block-of-the-directory-${index}`),
          random.bytes(random.below(6000)),
        );
      }
      await volume.sync();
      if (round < 2) {
        await runOk('rm', ['-r', at]);
        writeFileSync(join(volume.path, `after-${round}`), random.bytes(2 * MIB));
        await volume.sync();
      }
    }
    await snapshotOf('live', 'live-snap');
    await completed('live-snap');
  } finally {
    await volume.detach();
  }
  const shown = await server.varve(['ls', '-R', '--json', 'live-snap']);
  assert.match(shown.stderr, /It was in use: [1-9][0-9]* transactions? of its journal (?:is|are) replayed in memory/);
  const out = join(directory, 'replayed');
  const copied = await server.varve(['cp', '-r', 'live-snap:/', out]);
  assert.equal(copied.code, 0, copied.stderr);
  assert.equal(readdirSync(join(out, 'round-2')).length, 300);

  // The same by the tools that are made for it.
  const image = join(directory, 'live.img');
  assert.equal((await server.varve(['export', 'live-snap', image])).code, 0);
  await runOk('e2fsck', ['-f', '-p', image]).catch(() => {}); // It says that it repaired something.
  const fixed = join(directory, 'fixed');
  mkdirSync(fixed);
  await runOk('mount', ['-o', 'loop,ro', image, fixed]);
  try {
    await runOk('diff', ['-r', fixed, out]);
  } finally {
    await runOk('umount', [fixed]);
  }
});
