import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { FuzzWatch } from '#base/mutations.fixture.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { piecesOf } from './content.ts';
import type { FileSystem } from './file-system.ts';
import { FileSystemError } from './file-system-error.ts';
import { describeTree, makeImage, memoryReader, tool } from './image.fixture.ts';
import { openDisk } from './open-disk.ts';
import { EnteredOnce, listDirectory, nodeAt } from './paths.ts';

/*
 * Images in which bytes are wrong, where they hurt: in the structures. Whatever they hold, reading all of them ends, soon and
 * with a FileSystemError or an answer; nothing else is thrown, and memory does not grow.
 */

const directory = scratchDirectory('files-fuzz');
const MIB = 1024 ** 2;
const ROUNDS = 150;
const images = new Map<string, Buffer>();

before(() => {
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'one', 'two'), { recursive: true });
  for (let index = 0; index < 60; index += 1)
    writeFileSync(join(tree, 'one', `some-name-${index}`), 'x'.repeat(index * 40));
  writeFileSync(join(tree, 'one', 'two', 'large'), new SeededRandom(3).bytes(300_000));
  symlinkSync('one/two/large', join(tree, 'link'));
  const make = (name: string, options: readonly string[]): string => {
    const path = join(directory, name);
    makeImage(path, 4 * MIB);
    tool('mke2fs', ['-q', '-F', '-b', '1024', ...options, '-d', tree, path]);
    return path;
  };
  for (const [name, options] of [
    ['ext2', ['-t', 'ext2']],
    ['inline', ['-t', 'ext4', '-O', 'inline_data,^has_journal', '-I', '256']],
    ['ext4', ['-t', 'ext4', '-J', 'size=1']],
  ] as const) {
    const path = make(name, options);
    if (name === 'ext4') {
      writeFileSync(join(directory, 'blocks'), Buffer.alloc(4096, 1));
      const commands = `jo -c -v 3\njw -b 1900,1901,1902,1903 ${join(directory, 'blocks')}\njw -r 1901\njc\n`;
      tool('debugfs', ['-w', '-f', '-', path], commands);
    }
    images.set(name, readFileSync(path));
  }
  const fat = join(directory, 'fat');
  makeImage(fat, MIB);
  tool('mkfs.fat', [fat]);
  tool('mcopy', ['-i', fat, '-s', join(tree, 'one'), '::/']);
  images.set('fat', readFileSync(fat));
});

const EDGES = [0, 1, 2, 12, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x8001, 0xffff, 0x7fff_ffff, 0xffff_ffff];

/** Offsets of bytes that are not zeros: changes elsewhere are mostly of what nobody reads. */
function used(image: Buffer): readonly number[] {
  const offsets: number[] = [];
  for (let at = 0; at + 4 <= image.length; at += 4) if (image.readUInt32LE(at) !== 0) offsets.push(at);
  return offsets;
}

function damage(random: SeededRandom, image: Buffer, offsets: readonly number[]): Buffer {
  const bytes = Buffer.from(image);
  for (let count = 1 + random.below(8); count > 0; count -= 1) {
    // Half of all in the first blocks: superblock, descriptors, inodes.
    const place = random.below(2) === 0 ? random.below(Math.min(600, offsets.length)) : random.below(offsets.length);
    const at = offsets[place] ?? 0;
    switch (random.below(4)) {
      case 0:
        bytes.writeUInt8(random.below(256), at + random.below(4));
        break;
      case 1:
        bytes.writeUInt16LE((EDGES[random.below(EDGES.length)] ?? 0) & 0xffff, at + 2 * random.below(2));
        break;
      case 2:
        bytes.writeUInt32LE((EDGES[random.below(EDGES.length)] ?? 0) >>> 0, at);
        break;
      default: {
        // What stands elsewhere: loops, and things of another kind.
        const from = offsets[random.below(offsets.length)] ?? 0;
        image.copy(bytes, at, from, from + 4 * (1 + random.below(32)));
      }
    }
  }
  return bytes;
}

/** Every name, target and content. A directory that cannot be read ends it. */
async function readAll(files: FileSystem): Promise<void> {
  const once = new EnteredOnce();
  const pending = [{ node: await files.root(), depth: 0 }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    once.enter(next.node, next.depth);
    for (const { node } of await listDirectory(next.node)) {
      if (node?.kind === 'directory') pending.push({ node, depth: next.depth + 1 });
      if (node?.kind === 'symlink') await node.linkTarget();
      if (node?.kind === 'file') for await (const { bytes } of piecesOf(files, node)) assert.ok(bytes.length > 0);
    }
  }
}

for (const name of ['ext2', 'inline', 'ext4', 'fat']) {
  test(`reading all of a damaged image ends: ${name}`, async () => {
    const image = images.get(name) ?? Buffer.alloc(0);
    const offsets = used(image);
    const watch = new FuzzWatch(() => systemClock.monotonicMs());
    for (let seed = 1; seed <= ROUNDS; seed += 1) {
      const bytes = damage(new SeededRandom(seed), image, offsets);
      await watch.runAsync(async () => {
        try {
          await readAll((await openDisk(memoryReader(bytes), null)).files);
        } catch (error) {
          if (!(error instanceof FileSystemError)) throw new Error(`${name}, seed ${seed}`, { cause: error });
        }
      });
    }
    assert.ok(watch.slowestMs < 20_000, watch.summary());
  });
}

test('a directory inside itself, one that is larger than its disk and a file that goes in circles are told', async () => {
  const path = join(directory, 'odd');
  const describe = async (commands: string): Promise<readonly string[]> => {
    writeFileSync(path, images.get('ext2') ?? Buffer.alloc(0));
    tool('debugfs', ['-w', '-f', '-', path], commands);
    return await describeTree((await openDisk(memoryReader(readFileSync(path)), null)).files);
  };
  await assert.rejects(describe('ln one one/two/again\n'), /a directory is in two places, or inside itself/);
  await assert.rejects(describe('sif one size 0x40000000\n'), /larger than the file system/);
  // The triple indirect block is full of its own address.
  const block = Buffer.alloc(1024);
  for (let at = 0; at < 1024; at += 4) block.writeUInt32LE(1500, at);
  writeFileSync(path, images.get('ext2') ?? Buffer.alloc(0));
  tool('debugfs', ['-w', '-f', '-', path], 'sif one/two/large block[TIND] 1500\nsif one/two/large size 0x40000000\n');
  const looped = readFileSync(path);
  block.copy(looped, 1500 * 1024);
  const { files } = await openDisk(memoryReader(looped), null);
  const node = await nodeAt(files, '/one/two/large', { follow: true });
  const drain = async (): Promise<void> => {
    for await (const run of node.content()) assert.ok(run.length > 0);
  };
  await assert.rejects(drain(), /names more blocks than there are/);
});
