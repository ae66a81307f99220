import assert from 'node:assert/strict';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { FatFileSystem } from './fat-file-system.ts';
import { describeTree, digest, imageReader, makeImage, tool } from './image.fixture.ts';

const directory = scratchDirectory('fat');
const MIB = 1024 ** 2;

for (const { bits, sizeBytes, options } of [
  { bits: 12, sizeBytes: 4 * MIB, options: ['-s', '4'] },
  { bits: 16, sizeBytes: 32 * MIB, options: ['-s', '4'] },
  { bits: 32, sizeBytes: 48 * MIB, options: ['-s', '1'] },
]) {
  test(`every file of FAT${bits} is as it was, with its long name`, async () => {
    const image = join(directory, `image-${bits}`);
    makeImage(image, sizeBytes);
    tool('mkfs.fat', ['-F', String(bits), '-n', 'BOOT', ...options, image]);
    const random = new SeededRandom(bits);
    const from = join(directory, `from-${bits}`);
    mkdirSync(join(from, 'EFI', 'Some Loader', 'x'), { recursive: true });
    const contents = new Map([
      ['KERNEL.IMG', random.bytes(300_001)],
      ['lower.txt', Buffer.from('case is kept')],
      ['empty', Buffer.alloc(0)],
      ['EFI/Some Loader/a long name with ünïcödé and 多 characters.config', random.bytes(5000)],
    ]);
    for (let index = 0; index < 150; index += 1)
      contents.set(`EFI/Some Loader/x/file number ${index}`, Buffer.from(`${index}`));
    for (const [name, bytes] of contents) {
      writeFileSync(join(from, name), bytes);
      utimesSync(join(from, name), 1_000_000_000, 1_000_000_000);
    }
    process.env['TZ'] = 'UTC';
    process.env['LC_ALL'] = 'C.UTF-8';
    tool('mcopy', [
      '-i',
      image,
      '-s',
      '-m',
      ...['KERNEL.IMG', 'lower.txt', 'empty', 'EFI'].map((name) => join(from, name)),
      '::/',
    ]);
    const files = await FatFileSystem.open(imageReader(image));
    assert.equal(files.kind, `fat${bits}`);
    assert.equal(files.label, 'BOOT');
    const expected = [...contents]
      .map(([name, bytes]) => `/${name} file 755 0:0 1000000000 ${bytes.length} ${digest(bytes)}`)
      .sort();
    assert.deepEqual(
      (await describeTree(files)).filter((line) => line.includes(' file 755 ')),
      expected,
    );
  });
}
