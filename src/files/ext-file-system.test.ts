import assert from 'node:assert/strict';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { contentOf, describeTree, digest, imageReader, makeImage, tool, writeAt } from './image.fixture.ts';
import { ExtFileSystem } from './ext-file-system.ts';
import { nodeAt } from './paths.ts';

const directory = scratchDirectory('ext');
const tree = join(directory, 'tree');
const MIB = 1024 ** 2;

/** Short and long names and targets, holes at the beginning, in the middle and at the end, a directory with a hash tree. */
before(() => {
  const random = new SeededRandom(7);
  mkdirSync(join(tree, 'deep', 'er', 'and', 'deeper'), { recursive: true });
  mkdirSync(join(tree, 'many'));
  mkdirSync(join(tree, 'empty'));
  for (let index = 0; index < 900; index += 1) {
    writeFileSync(join(tree, 'many', `a-file-with-a-name-that-takes-room-${index}`), `number ${index}\n`);
  }
  writeFileSync(join(tree, 'small'), 'inline?');
  writeFileSync(join(tree, 'medium'), random.bytes(150));
  writeFileSync(join(tree, 'nothing'), '');
  writeFileSync(join(tree, 'deep', 'er', 'large'), random.bytes(700_001));
  writeFileSync(join(tree, 'sparse'), '');
  truncateSync(join(tree, 'sparse'), 40 * MIB + 5);
  writeAt(join(tree, 'sparse'), 20 * MIB, random.bytes(100_000));
  writeAt(join(tree, 'sparse'), 33 * MIB + 77, Buffer.from('far away'));
  writeFileSync(join(tree, `name-${'é'.repeat(100)}`), 'long');
  symlinkSync('deep/er/large', join(tree, 'link'));
  symlinkSync(`/${'long/'.repeat(30)}target`, join(tree, 'long-link'));
  symlinkSync('/deep/../many', join(tree, 'to-many'));
  symlinkSync('loop', join(tree, 'loop'));
  chmodSync(join(tree, 'small'), 0o4711);
  chmodSync(join(tree, 'empty'), 0o1777);
  utimesSync(join(tree, 'medium'), 1_000_000_000, 2_000_000_000);
});

/** What `describeTree` says of a directory on this machine. */
function described(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .map((name) => {
      const at = join(path, name);
      const found = lstatSync(at);
      const kind = found.isDirectory() ? 'directory' : found.isSymbolicLink() ? 'symlink' : 'file';
      const mode = (found.mode & 0o7777).toString(8);
      const common = `/${name} ${kind} ${mode} ${found.uid}:${found.gid} ${Math.floor(found.mtimeMs / 1000)}`;
      if (kind === 'directory') return common;
      if (kind === 'symlink') return `${common} -> ${readlinkSync(at)}`;
      return `${common} ${found.size} ${digest(readFileSync(at))}`;
    })
    .sort();
}

const WAYS: readonly (readonly [string, readonly string[]])[] = [
  ['ext2', ['-t', 'ext2', '-b', '1024', '-I', '256']],
  ['ext3', ['-t', 'ext3', '-b', '2048', '-I', '256']],
  ['ext4', ['-t', 'ext4', '-O', '64bit,metadata_csum,^metadata_csum_seed']],
  ['ext4', ['-t', 'ext4', '-O', 'inline_data', '-I', '512', '-b', '1024']],
  ['ext4', ['-t', 'ext4', '-O', 'meta_bg,^resize_inode,^flex_bg', '-b', '1024', '-g', '1024']],
  ['ext4', ['-t', 'ext4', '-O', '^64bit,^has_journal,sparse_super2,^filetype', '-g', '2048']],
  ['ext4', ['-t', 'ext4', '-O', 'bigalloc,casefold', '-E', 'encoding=utf8']],
];

for (const [kind, options] of WAYS) {
  test(`every file of ${kind} made with ${options.join(' ')} is as it was`, async () => {
    const path = join(directory, 'image');
    makeImage(path, 96 * MIB);
    tool('mke2fs', ['-q', '-F', '-L', 'label', ...options, '-d', tree, path]);
    const files = await ExtFileSystem.open(imageReader(path));
    assert.equal(files.kind, kind);
    assert.equal(files.label, 'label');
    assert.deepEqual(files.notes, []);
    // mke2fs forgets the hole at the end of a file where contents may lie in inodes.
    if (options.includes('inline_data')) tool('debugfs', ['-w', '-R', `sif /sparse size ${40 * MIB + 5}`, path]);
    const found = (await describeTree(files)).filter((line) => !line.startsWith('/lost+found '));
    assert.deepEqual(found, described(tree));
  });
}

test('paths lead through symlinks, and nowhere else than inside', async () => {
  const path = join(directory, 'paths');
  makeImage(path, 96 * MIB);
  tool('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', tree, path]);
  const files = await ExtFileSystem.open(imageReader(path));
  const follow = { follow: true };
  assert.equal((await nodeAt(files, '/link', follow)).sizeBytes, 700_001);
  assert.equal((await nodeAt(files, '/link', { follow: false })).kind, 'symlink');
  assert.equal((await nodeAt(files, '../../to-many/../small', follow)).mode, 0o4711);
  assert.equal((await nodeAt(files, '/', follow)).kind, 'directory');
  assert.equal((await nodeAt(files, '/to-many/', { follow: false })).kind, 'directory');
  await assert.rejects(nodeAt(files, '/loop', follow), /too many symlinks/);
  await assert.rejects(nodeAt(files, '/absent/file', follow), /there is no/);
  await assert.rejects(nodeAt(files, '/small/file', follow), /not a directory/);
  await assert.rejects(nodeAt(files, '/small/', follow), /not a directory/);
});

test('what debugfs makes is read: devices, blocks that were reserved and not written', async () => {
  const path = join(directory, 'odd');
  makeImage(path, 16 * MIB);
  tool('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', tree.replace(/tree$/, 'tree/empty'), path]);
  writeFileSync(join(directory, 'payload'), Buffer.alloc(50_000, 7));
  const commands = [
    'mknod null c 1 3',
    'mknod disk b 259 4097',
    'mknod pipe p',
    `write ${join(directory, 'payload')} reserved`,
    'fallocate reserved 20 60',
    'sif reserved size 200000',
    'sif reserved mtime 1',
    'sif reserved mtime_extra 0x9',
  ];
  tool('debugfs', ['-w', '-f', '-', path], `${commands.join('\n')}\n`);
  const files = await ExtFileSystem.open(imageReader(path));
  assert.deepEqual((await nodeAt(files, '/null', { follow: true })).device, { major: 1, minor: 3 });
  assert.deepEqual((await nodeAt(files, '/disk', { follow: true })).device, { major: 259, minor: 4097 });
  assert.equal((await nodeAt(files, '/pipe', { follow: true })).kind, 'fifo');
  const reserved = await contentOf(files, await nodeAt(files, '/reserved', { follow: true }));
  assert.deepEqual((await nodeAt(files, '/reserved', { follow: true })).modified, {
    seconds: 2 ** 32 + 1,
    nanoseconds: 2,
  });
  const expected = Buffer.alloc(200_000);
  expected.fill(7, 0, 50_000);
  assert.ok(reserved.equals(expected));
});
