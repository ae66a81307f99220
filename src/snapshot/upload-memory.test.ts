import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { InlineSealPool } from '#chunk/inline-seal-pool.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import type { Claim, SealBatch, SealedChunk } from '#chunk/seal-pool.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { openSnapshotStore } from './object-snapshot-store.ts';
import { PausingStore } from './pausing-store.fixture.ts';
import { snapshotId, testLabel } from './snapshot-store.fixture.ts';
import type { SnapshotStore, SnapshotWrite } from './snapshot-store.ts';

const UPLOADS = 8;
const CHUNKS = 20;
const MIB = 1024 ** 2;
const BUDGET = 16 * MIB;

/** Bytes that do not compress, for all uploads. */
const path = join(scratchDirectory('upload-memory'), 'content');
const file = openSync(path, 'w');
for (let n = 0; n < UPLOADS * CHUNKS; n += 1) writeSync(file, new SeededRandom(n + 1).bytes(CHUNK_BYTES));
closeSync(file);

/** Bytes that were sealed and are not stored, whatever anybody counts. */
class Tally {
  bytes = 0;
  bytesMax = 0;

  add(bytes: number): void {
    this.bytes += bytes;
    this.bytesMax = Math.max(this.bytesMax, this.bytes);
  }
}

class TallyPool extends InlineSealPool {
  readonly tally = new Tally();

  override async seal(batch: SealBatch, claim: Claim): Promise<readonly SealedChunk[]> {
    const sealed = await super.seal(batch, claim);
    this.tally.add(sealed.reduce((sum, { record }) => sum + (record?.length ?? 0), 0));
    return sealed;
  }
}

/** Puts take long, one more so than another. */
class SlowStore extends PausingStore {
  readonly #tally: Tally;
  #count = 0;

  constructor(tally: Tally) {
    super(new MemoryStore());
    this.#tally = tally;
  }

  override async put(
    key: string,
    parts: readonly Uint8Array[],
    options?: Parameters<ObjectStore['put']>[2],
  ): Promise<void> {
    this.#count += 1;
    for (let turns = 50 + (this.#count % 7) * 40; turns > 0; turns -= 1) await nextTurn();
    await super.put(key, parts, options);
    if (key.startsWith('packs/')) this.#tally.add(-parts.reduce((sum, part) => sum + part.length, 0));
  }
}

function job(volume: number, chunkCount: number): SnapshotWrite {
  const items = Array.from({ length: chunkCount }, (_, index) => ({
    index,
    source: { path, offset: (volume * CHUNKS + index) * CHUNK_BYTES },
  }));
  return {
    label: testLabel(snapshotId(volume + 1), CHUNKS, volume + 1),
    base: null,
    keepZeroChunks: false,
    changes: { count: items.length, items },
    signal: new AbortController().signal,
    onProgress: () => {},
  };
}

async function opened(uploadBytesMax: number): Promise<{ readonly store: SnapshotStore; readonly tally: Tally }> {
  const random = new SeededRandom(1);
  const pool = new TallyPool({ masterKey: TEST_MASTER_KEY, random });
  const store = await openSnapshotStore({
    objects: new SlowStore(pool.tally),
    indexPath: ':memory:',
    masterKey: TEST_MASTER_KEY,
    random,
    log: silentLog,
    clock: new VirtualClock(),
    pool,
    uploadBytesMax,
  });
  return { store, tally: pool.tally };
}

test(
  'eight uploads to a slow store have no more in memory than the budget of all, and all end',
  { timeout: 120_000 },
  async (t) => {
    const { store, tally } = await opened(BUDGET);
    await using _store = store;
    const ended: number[] = [];
    await Promise.all(
      Array.from({ length: UPLOADS }, async (_, volume) => {
        // The last one wants little.
        await store.write(job(volume, volume === UPLOADS - 1 ? 2 : CHUNKS));
        ended.push(volume);
      }),
    );
    t.diagnostic(`${(tally.bytesMax / MIB).toFixed(1)} MiB at once; ended: ${ended.join()}`);
    assert(tally.bytesMax <= BUDGET + MIB, `${(tally.bytesMax / MIB).toFixed(1)} MiB at once`);
    assert(tally.bytesMax >= BUDGET / 2, 'it was used');
    assert(
      ended.indexOf(UPLOADS - 1) < UPLOADS / 2,
      `who wants little does not wait for all who want much: ${ended.join()}`,
    );
  },
);

test(
  'the same without a budget has several times as much in memory: it is what bounds it',
  { timeout: 120_000 },
  async () => {
    const { store, tally } = await opened(1024 * MIB);
    await using _store = store;
    await Promise.all(Array.from({ length: UPLOADS }, (_, volume) => store.write(job(volume, CHUNKS))));
    assert(tally.bytesMax >= 3 * BUDGET, `${(tally.bytesMax / MIB).toFixed(1)} MiB at once`);
  },
);

test('an upload that is aborted while it waits for memory gives back what it has', { timeout: 120_000 }, async () => {
  const { store } = await opened(BUDGET);
  await using _store = store;
  const abort = new AbortController();
  const writing = Array.from({ length: UPLOADS - 1 }, (_, volume) =>
    store.write({ ...job(volume, CHUNKS), signal: abort.signal }),
  );
  for (let turn = 0; turn < 60; turn += 1) await nextTurn();
  abort.abort(new Error('enough'));
  for (const one of await Promise.allSettled(writing)) assert.equal(one.status, 'rejected');
  const { storedBytes } = await store.write(job(UPLOADS - 1, CHUNKS));
  assert(storedBytes > CHUNKS * CHUNK_BYTES);
});
