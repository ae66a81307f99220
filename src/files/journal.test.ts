import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { ExtFileSystem } from './ext-file-system.ts';
import { contentOf, describeTree, imageReader, makeImage, tool } from './image.fixture.ts';
import { nodeAt } from './paths.ts';

const directory = scratchDirectory('journal');
const MIB = 1024 ** 2;
const JOURNAL_MAGIC = Buffer.from([0xc0, 0x3b, 0x39, 0x98]);

/** Journals of every layout: checksums of each kind, block numbers of 32 and 64 bits. */
const WAYS: readonly (readonly [string, readonly string[], string])[] = [
  ['no checksums, 32 bits', ['-O', '^64bit,^metadata_csum'], ''],
  ['no checksums, 64 bits', ['-O', '64bit,^metadata_csum'], ''],
  ['checksums of version 2, 32 bits', ['-O', '^64bit,metadata_csum'], '-c -v 2'],
  ['checksums of version 2, 64 bits', ['-O', '64bit,metadata_csum'], '-c -v 2'],
  ['checksums of version 3', ['-O', '64bit,metadata_csum'], '-c -v 3'],
];

/** The blocks of a file, by debugfs. */
function blocksOf(image: string, path: string): readonly number[] {
  return tool('debugfs', ['-R', `blocks ${path}`, image])
    .trim()
    .split(/\s+/)
    .map(Number);
}

for (const [what, options, journalOptions] of WAYS) {
  test(`a journal with ${what} says what e2fsck makes of it`, async () => {
    const image = join(directory, 'image');
    makeImage(image, 16 * MIB);
    tool('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '1024', ...options, image]);
    const random = new SeededRandom(11);
    const old = random.bytes(12 * 1024);
    writeFileSync(join(directory, 'old'), old);
    tool('debugfs', ['-w', '-R', `write ${join(directory, 'old')} file`, image]);
    const blocks = blocksOf(image, 'file');
    assert.equal(blocks.length, 12);

    // What is written later stands; what is revoked later does not; what looks like the journal's own is escaped.
    const first = random.bytes(6 * 1024);
    const second = random.bytes(3 * 1024);
    JOURNAL_MAGIC.copy(first, 1024);
    JOURNAL_MAGIC.copy(second, 0);
    writeFileSync(join(directory, 'first'), first);
    writeFileSync(join(directory, 'second'), second);
    const commands = [
      `jo ${journalOptions}`,
      `jw -b ${blocks.slice(0, 6).join(',')} ${join(directory, 'first')}`,
      `jw -r ${blocks.slice(3, 5).join(',')}`,
      `jw -b ${blocks.slice(4, 7).join(',')} ${join(directory, 'second')}`,
      'jc',
    ];
    tool('debugfs', ['-w', '-f', '-', image], `${commands.join('\n')}\n`);

    const files = await ExtFileSystem.open(imageReader(image));
    assert.match(files.notes[0] ?? '', /^It was in use: 3 transactions/);
    const found = await contentOf(files, await nodeAt(files, '/file', { follow: true }));
    const expected = Buffer.from(old);
    first.copy(expected, 0, 0, 3 * 1024);
    first.copy(expected, 5 * 1024, 5 * 1024, 6 * 1024);
    second.copy(expected, 4 * 1024);
    assert.ok(found.equals(expected));

    const fixed = join(directory, 'fixed');
    copyFileSync(image, fixed);
    tool('e2fsck', ['-E', 'journal_only', '-p', fixed]);
    const after = await ExtFileSystem.open(imageReader(fixed));
    assert.deepEqual(after.notes, []);
    assert.deepEqual(await describeTree(files), await describeTree(after));
  });
}

test('a transaction whose commit was not written, or not whole, did not happen', async () => {
  const image = join(directory, 'torn');
  makeImage(image, 16 * MIB);
  tool('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '1024', image]);
  writeFileSync(join(directory, 'old'), Buffer.alloc(2048, 1));
  tool('debugfs', ['-w', '-R', `write ${join(directory, 'old')} file`, image]);
  const [one, two] = blocksOf(image, 'file');
  writeFileSync(join(directory, 'new'), Buffer.alloc(1024, 2));
  const commands = [
    'jo -c -v 3',
    `jw -b ${one} ${join(directory, 'new')}`,
    `jw -c -b ${two} ${join(directory, 'new')}`,
    'jc',
  ];
  tool('debugfs', ['-w', '-f', '-', image], `${commands.join('\n')}\n`);
  const files = await ExtFileSystem.open(imageReader(image));
  const found = await contentOf(files, await nodeAt(files, '/file', { follow: true }));
  assert.deepEqual([found[0], found[1024]], [2, 1]);
});
