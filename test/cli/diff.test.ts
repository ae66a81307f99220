import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const directory = scratchDirectory('cli-diff');
const MIB = 1024 ** 2;
let server: RunningServer;

before(async () => {
  server = await RunningServer.start();
});
after(async () => await server[Symbol.asyncDispose]());

async function snapshot(disk: string, name: string): Promise<void> {
  await server.awsJson(['lightsail', 'create-disk-snapshot', '--disk-name', disk, '--disk-snapshot-name', name]);
  for (;;) {
    const result = await server.varve(['snapshots', '--json']);
    const { snapshots } = JSON.parse(result.stdout) as {
      readonly snapshots: readonly { name: string; state: string }[];
    };
    if (snapshots.some((one) => one.name === name && one.state === 'completed')) return;
    await systemClock.sleep(50);
  }
}

interface Diff {
  readonly changedBytes: number;
  readonly changedBlocks: number;
  readonly ranges: readonly { readonly offset: number; readonly length: number }[];
  readonly files: readonly {
    readonly path: string;
    readonly change: string;
    readonly contentChanged: boolean;
    readonly attributes: readonly string[];
  }[];
  readonly filesNotCompared: string | null;
}

async function diff(...words: readonly string[]): Promise<Diff> {
  const result = await server.varve(['diff', '--json', ...words]);
  assert.equal(result.code, 0, result.stderr);
  return JSON.parse(result.stdout) as Diff;
}

/** The same as `diff` says, from two images of one size: bytes that differ, and runs of blocks with such bytes. */
function expected(one: Buffer, other: Buffer): Pick<Diff, 'changedBytes' | 'ranges'> {
  const ranges: { offset: number; length: number }[] = [];
  let changedBytes = 0;
  for (let at = 0; at < one.length; at += 4096) {
    if (one.compare(other, at, at + 4096, at, at + 4096) === 0) continue;
    let changed = 0;
    for (let byte = at; byte < at + 4096; byte += 1) if (one[byte] !== other[byte]) changed += 1;
    changedBytes += changed;
    const last = ranges.at(-1);
    if (last !== undefined && last.offset + last.length === at) last.length += 4096;
    else ranges.push({ offset: at, length: 4096 });
  }
  return { changedBytes, ranges };
}

test('diff tells the bytes and the files that changed, of two snapshots of one disk and of two disks', async (t) => {
  if (!requireTools(t, ['aws', 'mke2fs', 'debugfs', 'qemu-img'])) return;
  const random = new SeededRandom(21);
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'gone', 'too'), { recursive: true });
  mkdirSync(join(tree, 'same'));
  for (let index = 0; index < 200; index += 1) writeFileSync(join(tree, 'same', `file-${index}`), random.bytes(3000));
  writeFileSync(join(tree, 'rewritten'), random.bytes(20_000));
  writeFileSync(join(tree, 'larger'), 'short');
  writeFileSync(join(tree, 'copied'), random.bytes(9000));
  writeFileSync(join(tree, 'gone', 'too', 'file'), 'x');
  writeFileSync(join(tree, 'closed'), 'mode');
  symlinkSync('same', join(tree, 'link'));
  for (const name of ['copied', 'rewritten', 'closed', 'larger'])
    utimesSync(join(tree, name), 1_000_000_000, 1_000_000_000);
  const image = join(directory, 'image');
  writeFileSync(image, '');
  truncateSync(image, 24 * MIB);
  await runOk('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', tree, image]);
  const old = readFileSync(image);
  assert.equal((await server.varve(['import', image, '--name', 'disk'])).code, 0);
  await snapshot('disk', 'first');

  // A file in new blocks with what it had, one with other bytes in the same blocks, and the rest.
  writeFileSync(join(directory, 'larger'), 'much longer');
  const [block = 0] = (await runOk('debugfs', ['-R', 'blocks rewritten', image])).stdout.trim().split(' ').map(Number);
  const commands = [
    'rm larger',
    `write ${join(directory, 'larger')} larger`,
    'rm copied',
    `write ${join(tree, 'copied')} copied`,
    'rm gone/too/file',
    'rmdir gone/too',
    'rmdir gone',
    'mkdir added',
    `write ${join(directory, 'larger')} added/file`,
    'sif closed mode 0100600',
    'rm link',
    'symlink link added',
    ...['copied', 'larger'].map((name) => `sif ${name} mtime @1000000000`),
    ...['copied', 'larger'].map((name) => `sif ${name} mtime_extra 0`),
    ...['copied', 'larger'].map((name) => `sif ${name} mode 0100644`),
  ];
  await runOk('debugfs', ['-w', '-f', '-', image], { input: `${commands.join('\n')}\n` });
  const fresh = readFileSync(image);
  fresh.write('changed in its place', block * 1024 + 100);
  writeFileSync(image, fresh);
  const uri = await server.uri('disk');
  await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', image, uri]);
  await snapshot('disk', 'second');
  assert.equal((await server.varve(['import', image, '--name', 'other'])).code, 0);

  for (const [one, other] of [
    ['first', 'second'],
    ['first', 'other'],
  ] as const) {
    const found = await diff(one, other);
    const { changedBytes, ranges } = expected(old, fresh);
    assert.equal(found.changedBytes, changedBytes);
    assert.deepEqual(found.ranges, ranges);
    assert.equal(found.filesNotCompared, null);
    assert.deepEqual(
      found.files.map(
        ({ path, change, contentChanged, attributes }) => `${path} ${change} ${contentChanged} ${attributes.join()}`,
      ),
      [
        '/added added true ',
        '/closed modified false mode',
        '/gone removed true ',
        '/larger modified true ',
        '/link modified true time',
        '/rewritten modified true ',
        '/added/file added true ',
        '/gone/too removed true ',
        '/gone/too/file removed true ',
      ],
    );
  }
  const text = await server.varve(['diff', 'first', 'second']);
  assert.match(text.stdout, /^M \/larger {2}5 B -> 11 B$/m);
  assert.match(text.stdout, /^- \/gone\/$/m);
  assert.match(text.stdout, /^m \/closed {2}mode 644 -> 600$/m);
  const blocks = await server.varve(['diff', 'first', 'second', '--blocks']);
  assert.equal(blocks.stdout.split('\n').length, expected(old, fresh).ranges.length + 2);
  assert.match((await server.varve(['diff', 'first', 'first'])).stdout, /are the same\n$/);
  assert.match(
    (await server.varve(['diff', 'first', 'absent'])).stderr,
    /there is no disk, volume or snapshot "absent"/,
  );
});
