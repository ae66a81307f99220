import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { TEST_ACCOUNT, TEST_MASTER_KEY } from './chunk-store.fixture.ts';
import { StoreError } from './errors.ts';
import { InlineSealPool } from './inline-seal-pool.ts';
import type { Claim, SealBatch } from './seal-pool.ts';
import { sealPoolSuite } from './seal-pool.suite.ts';
import { ThreadSealPool } from './thread-seal-pool.ts';

sealPoolSuite('inline', () => new InlineSealPool({ masterKey: TEST_MASTER_KEY, random: systemRandom }));
sealPoolSuite(
  'threads',
  () => new ThreadSealPool({ masterKey: TEST_MASTER_KEY, clock: systemClock, threadCountMax: 2 }),
);

const sealAll: Claim = async (keys) => keys.map(() => ({ type: 'full' }));
const sealNone: Claim = async (keys) => keys.map(() => ({ type: 'none' }));
const directory = scratchDirectory('pool');
const path = join(directory, 'data');
writeFileSync(path, systemRandom.bytes(CHUNK_BYTES));
const batch: SealBatch = { account: TEST_ACCOUNT, sources: [{ path, offset: 0 }], keepZeroChunks: false };

test('threads start with work, end after five idle seconds, and start again', async () => {
  const clock = new VirtualClock();
  await using pool = new ThreadSealPool({ masterKey: TEST_MASTER_KEY, clock, threadCountMax: 2 });
  assert.equal(pool.threadCount, 0);
  await Promise.all([1, 2, 3].map(() => pool.seal(batch, sealAll)));
  assert.equal(pool.threadCount, 2);
  await clock.advance(4_999);
  assert.equal(pool.threadCount, 2);
  await pool.seal(batch, sealNone);
  await clock.advance(4_999);
  assert.equal(pool.threadCount, 2);
  await clock.advance(1);
  assert.equal(pool.threadCount, 0);
  assert.equal((await pool.seal(batch, sealAll)).length, 1);
});

test('one batch at a time needs one thread', async () => {
  await using pool = new ThreadSealPool({ masterKey: TEST_MASTER_KEY, clock: systemClock, threadCountMax: 4 });
  for (let round = 0; round < 3; round += 1) await pool.seal(batch, sealAll);
  assert.equal(pool.threadCount, 1);
});

test('a pool that is disposed of gives up what it was doing', async () => {
  const pool = new ThreadSealPool({ masterKey: TEST_MASTER_KEY, clock: systemClock, threadCountMax: 1 });
  const sealing = [1, 2, 3, 4].map(() => pool.seal(batch, sealAll));
  const outcomes = Promise.allSettled(sealing);
  await pool[Symbol.asyncDispose]();
  for (const outcome of await outcomes) {
    assert(outcome.status === 'rejected' && outcome.reason instanceof StoreError && outcome.reason.kind === 'aborted');
  }
  assert.equal(pool.threadCount, 0);
});
