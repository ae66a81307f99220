import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { TEST_ACCOUNT, TEST_MASTER_KEY } from './chunk-store.fixture.ts';
import { StoreError } from './errors.ts';
import type { ChunkSource } from './chunk-source.ts';
import type { Claim, SealPool } from './seal-pool.ts';
import { accountKeys, addressOf, unsealRecord } from './seal.ts';

/** What every SealPool does. `open` gives a new one, made with TEST_MASTER_KEY. */
export function sealPoolSuite(name: string, open: () => SealPool): void {
  const keys = accountKeys(TEST_MASTER_KEY, TEST_ACCOUNT);
  const directory = scratchDirectory('seal');
  const path = join(directory, 'data');
  const zeros = Buffer.alloc(CHUNK_BYTES);
  const chunks = [systemRandom.bytes(CHUNK_BYTES), zeros, Buffer.alloc(CHUNK_BYTES, 'ab'), zeros];
  writeFileSync(path, Buffer.concat([...chunks, Buffer.alloc(1000)]));
  const source = (index: number): ChunkSource => ({ path, offset: index * CHUNK_BYTES });
  const batch = (indexes: readonly number[], keepZeroChunks = false) => ({
    account: TEST_ACCOUNT,
    sources: indexes.map(source),
    keepZeroChunks,
  });
  const allNew: Claim = async (asked) => asked.map((key) => ({ type: key === null ? 'none' : 'full' }));

  const check = (fact: string, body: (pool: SealPool) => Promise<void>): void => {
    test(`${name}: ${fact}`, async () => {
      await using pool = open();
      await body(pool);
    });
  };

  check('new chunks are sealed, zeros are left out, in the order of the sources', async (pool) => {
    const sealed = await pool.seal(batch([2, 1, 0]), allNew);
    assert.equal(sealed.length, 3);
    assert.deepEqual(sealed[1], { key: null, record: null, finding: 'none' });
    for (const [place, index] of [
      [0, 2],
      [2, 0],
    ] as const) {
      const { key, record } = sealed[place] ?? assert.fail();
      const plain = chunks[index] ?? assert.fail();
      assert(key !== null && record !== null);
      assert(key.equals(addressOf(keys, 'chunk', plain)));
      assert(unsealRecord(keys, 'chunk', key, record).equals(plain));
    }
  });

  check('zeros are kept when asked for', async (pool) => {
    const sealed = await pool.seal(batch([1, 3], true), async (asked) => {
      assert(asked.every((key) => key !== null));
      return [{ type: 'full' }, { type: 'none' }];
    });
    const { key, record } = sealed[0] ?? assert.fail();
    assert(key !== null && record !== null);
    assert(unsealRecord(keys, 'chunk', key, record).equals(zeros));
    assert.deepEqual(sealed[1], { key, record: null, finding: 'none' });
  });

  check('what is stored already is not sealed', async (pool) => {
    const sealed = await pool.seal(batch([0, 1, 2]), async (asked) => {
      assert.deepEqual(
        asked.map((key) => key === null),
        [false, true, false],
      );
      return [{ type: 'none' }, { type: 'none' }, { type: 'full' }];
    });
    assert(sealed[0]?.key !== null && sealed[0]?.record === null);
    assert(sealed[2]?.key !== null && sealed[2]?.record !== null);
  });

  check('a file that ends within a chunk is damage, a missing one is told, and the pool works on', async (pool) => {
    await assert.rejects(pool.seal(batch([0, 4]), allNew), (error) => {
      return error instanceof StoreError && error.kind === 'damaged' && /ends within the chunk/.test(error.message);
    });
    const missing = { path: join(directory, 'none'), offset: 0 };
    await assert.rejects(pool.seal({ ...batch([]), sources: [missing] }, allNew), /none/);
    for (let round = 0; round < 3; round += 1) assert.equal((await pool.seal(batch([0]), allNew)).length, 1);
  });

  check('what the claim throws is thrown, and the pool works on', async (pool) => {
    for (let round = 0; round < 3; round += 1) {
      await assert.rejects(
        pool.seal(batch([0]), async () => {
          throw new Error('the index is full');
        }),
        /the index is full/,
      );
    }
    assert.equal((await pool.seal(batch([0]), allNew)).length, 1);
  });

  check('more batches than it takes at once are all sealed', async (pool) => {
    const indexes = [0, 1, 2, 3, 0, 2, 1, 0];
    const results = await Promise.all(Array.from({ length: 12 }, () => pool.seal(batch(indexes), allNew)));
    for (const sealed of results) {
      assert.deepEqual(
        sealed.map(({ key }) => key?.toString('hex') ?? null),
        indexes.map((index) => {
          const plain = chunks[index] ?? assert.fail();
          return plain === zeros ? null : addressOf(keys, 'chunk', plain).toString('hex');
        }),
      );
    }
  });
}
