import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { imageReader, makeImage, memoryReader, tool, writeAt } from './image.fixture.ts';
import { openDisk, partsInWords, partsOf } from './open-disk.ts';

const directory = scratchDirectory('disk');
const MIB = 1024 ** 2;

/** An ext4 file system with one name in it. */
function makeExt(name: string): Buffer {
  const path = join(directory, name);
  makeImage(path, 8 * MIB);
  tool('mke2fs', ['-q', '-F', '-t', 'ext4', '-L', name, path]);
  return readFileSync(path);
}

function makeFat(name: string): Buffer {
  const path = join(directory, name);
  makeImage(path, 4 * MIB);
  tool('mkfs.fat', ['-n', 'ESP', path]);
  return readFileSync(path);
}

/** A sector with a partition table: type, first sector and count of each. */
function mbr(...entries: readonly (readonly [number, number, number])[]): Buffer {
  const sector = Buffer.alloc(512);
  for (const [index, [type, first, count]] of entries.entries()) {
    const at = 446 + index * 16;
    sector.writeUInt8(type, at + 4);
    sector.writeUInt32LE(first, at + 8);
    sector.writeUInt32LE(count, at + 12);
  }
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

test('of a disk with a GPT the ext partition is read, whichever header is left', async () => {
  const disk = join(directory, 'gpt');
  makeImage(disk, 64 * MIB);
  tool('sgdisk', [
    '-a',
    '1',
    '-n',
    '14:2048:+1M',
    '-t',
    '14:ef02',
    '-n',
    '15:4096:+4M',
    '-t',
    '15:ef00',
    '-n',
    '1:16384:+8M',
    '-c',
    '1:rootfs',
    disk,
  ]);
  writeAt(disk, 16_384 * 512, makeExt('root'));
  writeAt(disk, 4096 * 512, makeFat('esp'));
  for (const _header of ['both', 'the copy at the end']) {
    const { part, files } = await openDisk(imageReader(disk), null);
    assert.deepEqual(
      [part.partition?.number, part.partition?.name, files.kind, files.label],
      [1, 'rootfs', 'ext4', 'root'],
    );
    assert.equal((await openDisk(imageReader(disk), 15)).files.label, 'ESP');
    await assert.rejects(openDisk(imageReader(disk), 14), /partition 14 is empty/);
    await assert.rejects(openDisk(imageReader(disk), 2), /no partition 2; 1: ext "rootfs", 14: empty/);
    writeAt(disk, 512, Buffer.alloc(512)); // The header at the beginning.
  }
  writeAt(disk, 64 * MIB - 512, Buffer.alloc(512));
  await assert.rejects(openDisk(imageReader(disk), null), /neither GPT header is whole/);
});

test('of a disk with an MBR the logical partitions are found, too', async () => {
  const disk = join(directory, 'mbr');
  makeImage(disk, 64 * MIB);
  // A primary partition and an extended one, in which each logical one has a table that names itself and the next.
  writeAt(disk, 0, mbr([0x0c, 2048, 8192], [0x05, 16_384, 49_152]));
  writeAt(disk, 16_384 * 512, mbr([0x83, 2048, 16_384], [0x05, 22_528, 22_528]));
  writeAt(disk, (16_384 + 22_528) * 512, mbr([0x83, 2048, 20_480], [0x05, 0, 1]));
  writeAt(disk, 18_432 * 512, makeExt('five'));
  writeAt(disk, 40_960 * 512, makeExt('six'));
  assert.equal(partsInWords(await partsOf(imageReader(disk))), '1: empty, 5: ext, 6: ext');
  await assert.rejects(
    openDisk(imageReader(disk), null),
    /several file systems can be read; say which with --partition N/,
  );
  assert.equal((await openDisk(imageReader(disk), 6)).files.label, 'six');
});

test('a file system without a partition table is the whole disk', async () => {
  for (const [bytes, kind] of [
    [makeExt('whole'), 'ext4'],
    [makeFat('floppy'), 'fat12'],
  ] as const) {
    const { part, files } = await openDisk(memoryReader(bytes), null);
    assert.deepEqual([part.partition, files.kind], [null, kind]);
  }
});

test('what cannot be read is told by its name', async () => {
  const other = async (name: string, at: number, text: string): Promise<void> => {
    const bytes = Buffer.alloc(2 * MIB);
    bytes.write(text, at, 'latin1');
    await assert.rejects(
      openDisk(memoryReader(bytes), null),
      new RegExp(`it is ${name}, and only ext2, ext3, ext4 and FAT`),
    );
  };
  await other('a Btrfs file system', 65_600, '_BHRfS_M');
  await other('a LUKS encrypted volume', 0, 'LUKS\xba\xbe');
  await other('a physical volume of LVM', 512, 'LABELONE');
  const path = join(directory, 'other');
  makeImage(path, 2 * MIB);
  tool('mkswap', [path]);
  await assert.rejects(openDisk(imageReader(path), null), /it is swap space/);
  await assert.rejects(openDisk(memoryReader(Buffer.alloc(MIB)), null), /it is empty: nothing but zeros/);
  await assert.rejects(openDisk(memoryReader(Buffer.alloc(MIB, 0x5a)), null), /no known file system/);
  writeFileSync(path, '');
});
