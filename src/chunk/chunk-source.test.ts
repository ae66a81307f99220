import assert from 'node:assert/strict';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { SECTOR_BYTES, SECTOR_KEY_BYTES, SectorCipher } from '#base/sector-cipher.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';

import { BLOCK_COUNT, emptyBlockSet, hasBlock } from './block-set.ts';
import { readSource } from './chunk-source.ts';
import { StoreError } from './errors.ts';

const path = join(scratchDirectory('chunk-source'), 'data');

for (const isEncrypted of [false, true]) {
  test(`any blocks of a chunk are read, also where it lies in two places${isEncrypted ? ' of an encrypted file' : ''}`, () => {
    const random = new SeededRandom(7);
    const plain = random.bytes(3 * CHUNK_BYTES);
    const dataKey = isEncrypted ? random.bytes(SECTOR_KEY_BYTES) : null;
    const stored = Buffer.from(plain);
    if (dataKey !== null) new SectorCipher(dataKey).encrypt(0, plain, 0, plain.length, stored, 0);
    writeFileSync(path, stored);
    const file = openSync(path, 'r');
    const [offset, underOffset] = [2 * CHUNK_BYTES, CHUNK_BYTES];
    for (let round = 0; round < 60; round += 1) {
      const above = emptyBlockSet().map(() => (random.below(4) === 0 ? 0 : random.below(2 ** 32)));
      const under = random.below(3) === 0 ? null : { offset: underOffset, above };
      const first = random.below(BLOCK_COUNT);
      const target = Buffer.alloc((1 + random.below(BLOCK_COUNT - first)) * BLOCK_BYTES, 0xee);
      readSource(file, { path, offset, dataKey, under }, first * BLOCK_BYTES, target);
      for (let at = 0; at < target.length; at += BLOCK_BYTES) {
        const block = first + at / BLOCK_BYTES;
        const from = (under === null || hasBlock(above, block) ? offset : underOffset) + block * BLOCK_BYTES;
        assert(
          target.subarray(at, at + BLOCK_BYTES).equals(plain.subarray(from, from + BLOCK_BYTES)),
          `block ${block}`,
        );
      }
    }
    closeSync(file);
  });
}

test('a file that ends within what is read is damage, and one that ends behind it is not', () => {
  writeFileSync(path, Buffer.alloc(CHUNK_BYTES - SECTOR_BYTES));
  const file = openSync(path, 'r');
  readSource(file, { path, offset: 0 }, 0, Buffer.alloc(CHUNK_BYTES - SECTOR_BYTES));
  assert.throws(
    () => readSource(file, { path, offset: 0 }, CHUNK_BYTES - 2 * SECTOR_BYTES, Buffer.alloc(2 * SECTOR_BYTES)),
    (error) => error instanceof StoreError && error.kind === 'damaged',
  );
  closeSync(file);
});
