import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { InlineSealPool } from '#chunk/inline-seal-pool.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { BATCH_COUNT_MAX, type Claim, type SealBatch, type SealedChunk, type SealPool } from '#chunk/seal-pool.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { openSnapshotStore } from './object-snapshot-store.ts';
import { ContentFile, contentNumber, snapshotId, testWrite } from './snapshot-store.fixture.ts';
import type { JobOptions, SnapshotStore } from './snapshot-store.ts';

const content = new ContentFile(20);
const [first, second] = [snapshotId(1), snapshotId(2)];
const never = new AbortController().signal;
const quiet: JobOptions = { signal: never, onProgress: () => {} };

async function open(objects: MemoryStore, pool: SealPool | null = null): Promise<SnapshotStore> {
  const random = new SeededRandom(11);
  return await openSnapshotStore({
    objects,
    indexPath: ':memory:',
    masterKey: TEST_MASTER_KEY,
    random,
    log: silentLog,
    clock: new VirtualClock(),
    spoolDirectory: join(scratchDirectory('archive'), 'spool'),
    pool: pool ?? new InlineSealPool({ masterKey: TEST_MASTER_KEY, random }),
  });
}

/** More chunks than a part has, some of zeros, one at the end. */
const changes = new Map([...Array.from({ length: 90 }, (_, at) => [2 * at, at % 20] as const), [299, 3] as const]);

async function write(store: SnapshotStore, snapshot: SnapshotId): Promise<void> {
  await store.write(testWrite(content, { snapshot, chunkCount: 300, changes, keepZeroChunks: true }));
}

async function numbersOf(store: SnapshotStore, snapshot: SnapshotId): Promise<ReadonlyMap<number, number>> {
  using held = await store.hold(snapshot);
  const numbers = new Map<number, number>();
  for (const { index } of (await store.listBlocks(snapshot, 0, 1000)).blocks) {
    const chunk = await store.readChunk(held.account, held.root, index);
    assert.ok(chunk !== null);
    numbers.set(index, contentNumber(chunk.bytes));
  }
  return numbers;
}

async function collect(store: SnapshotStore): Promise<void> {
  await store.collect({ extraRoots: () => [], signal: never });
}

async function keysUnder(objects: MemoryStore, prefix: string): Promise<readonly string[]> {
  return (await Array.fromAsync(objects.list(prefix))).map(({ key }) => key);
}

test('a snapshot moves into the archive, its chunks leave the store, and it comes back as it was', async () => {
  const objects = new MemoryStore();
  await using store = await open(objects);
  await write(store, first);
  const before = await store.read(first);
  const progress: number[] = [];
  const bytes = await store.archive(first, { signal: never, onProgress: ({ doneCount }) => progress.push(doneCount) });
  assert.ok(bytes > 0);
  assert.deepEqual([progress.length, progress.at(-1)], [3, changes.size]);
  assert.equal(await store.archive(first, quiet), bytes, 'it is there already');
  assert.deepEqual(await numbersOf(store, first), changes, 'and the snapshot stays');

  await store.deleteManifest(first);
  await collect(store);
  assert.deepEqual(await keysUnder(objects, 'packs/'), [], 'the store needs none of its chunks');
  assert.equal(await store.read(first), null);

  const back = await store.unarchive(first, quiet);
  assert.deepEqual([back.label, back.fullBytes], [before?.label, before?.fullBytes]);
  assert.deepEqual(await numbersOf(store, first), changes);
  await store.deleteArchive(first);
  assert.deepEqual(await keysUnder(objects, 'archive/'), []);
  assert.deepEqual(await numbersOf(store, first), changes);
});

test('what comes back shares its chunks with what is there', async () => {
  const objects = new MemoryStore();
  await using store = await open(objects);
  await write(store, first);
  await write(store, second);
  await store.archive(first, quiet);
  await store.deleteManifest(first);
  const size = async () => (await Array.fromAsync(objects.list('packs/'))).reduce((sum, one) => sum + one.sizeBytes, 0);
  const before = await size();
  await store.unarchive(first, quiet);
  assert.equal(await size(), before);
  const keys = async (snapshot: SnapshotId) => (await store.listBlocks(snapshot, 0, 1000)).blocks;
  assert.deepEqual(await keys(first), await keys(second));
});

test('an archive that was not written to its end is none; it is written again, and removed whole', async () => {
  const objects = new MemoryStore();
  await using store = await open(objects);
  await write(store, first);
  const abort = new AbortController();
  await assert.rejects(
    store.archive(first, { signal: abort.signal, onProgress: () => abort.abort(new StoreError('aborted', 'enough')) }),
    (error) => error instanceof StoreError && error.kind === 'aborted',
  );
  assert.equal((await keysUnder(objects, 'archive/')).length, 1);
  await store.archive(first, quiet);
  assert.equal((await keysUnder(objects, 'archive/')).length, 4);
  await store.deleteArchive(first);
  await store.deleteArchive(first);
  assert.deepEqual(await keysUnder(objects, 'archive/'), []);
  await assert.rejects(
    store.archive(second, quiet),
    (error) => error instanceof StoreError && error.kind === 'snapshot-not-found',
  );
});

test('an archive that lost a part, or the end of one, is written again before the snapshot leaves the store', async () => {
  const objects = new MemoryStore();
  await using store = await open(objects);
  await write(store, first);
  const bytes = await store.archive(first, quiet);
  const part = `archive/${first}/00000001`;
  const whole = (await objects.get(part)) ?? Buffer.alloc(0);
  const damages = [
    () => objects.delete(part),
    () => objects.put(part, [whole.subarray(0, -1)]),
    () => objects.put(part, [whole, Buffer.alloc(1)]),
  ];
  for (const damage of damages) {
    await damage();
    assert.equal(await store.archive(first, quiet), bytes);
    assert.equal((await objects.get(part))?.length, whole.length);
  }
  await store.deleteManifest(first);
  assert.equal(await store.archive(first, quiet), bytes, 'it is there already');
  await objects.delete(part);
  await assert.rejects(
    store.archive(first, quiet),
    (error) => error instanceof StoreError && error.kind === 'snapshot-not-found',
  );
});

test('a flipped bit or a lost part of an archive is damage that is named, and nothing is made of it', async () => {
  const objects = new MemoryStore();
  await using store = await open(objects);
  await write(store, first);
  await store.archive(first, quiet);
  await store.deleteManifest(first);
  for (const key of await keysUnder(objects, 'archive/')) {
    const whole = (await objects.get(key)) ?? Buffer.alloc(0);
    for (const at of [0, 13, whole.length >> 1, whole.length - 2]) {
      const flipped = Buffer.from(whole);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
      await objects.put(key, [flipped]);
      await assert.rejects(
        store.unarchive(first, quiet),
        (error) => error instanceof StoreError && error.kind === 'damaged',
        key,
      );
      assert.equal(await store.read(first), null);
    }
    await objects.put(key, [whole]);
  }
  await objects.delete(`archive/${first}/00000001`);
  await assert.rejects(store.unarchive(first, quiet), /00000001: a part of the archive is missing/);
});

/** Calls back before it seals. */
class NoticingPool extends InlineSealPool {
  onSeal: (() => Promise<void>) | null = null;

  override async seal(batch: SealBatch, claim: Claim): Promise<readonly SealedChunk[]> {
    await this.onSeal?.();
    return await super.seal(batch, claim);
  }
}

test('what is asked to come back again, while it does, comes back as it was', async () => {
  const pool = new NoticingPool({ masterKey: TEST_MASTER_KEY, random: new SeededRandom(12) });
  await using store = await open(new MemoryStore(), pool);
  await write(store, first);
  await store.archive(first, quiet);
  await store.deleteManifest(first);
  const again: Promise<unknown>[] = [];
  // What waits to be sealed is in a file, which the second one must not touch.
  pool.onSeal = async () => {
    if (again.length === 0) again.push(store.unarchive(first, quiet));
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await store.unarchive(first, quiet);
  assert.equal((await Promise.all(again)).length, 1);
  assert.deepEqual(await numbersOf(store, first), changes);
});

test('an archive of which the store keeps something else than what was put is none', async () => {
  class LosingStore extends MemoryStore {
    override async put(key: string, parts: readonly Uint8Array[]): Promise<void> {
      const bytes = Buffer.concat(parts);
      if (key.endsWith('/00000001')) bytes.writeUInt8(bytes.readUInt8(1000) ^ 1, 1000);
      await super.put(key, [bytes]);
    }
  }
  const objects = new LosingStore();
  await using store = await open(objects);
  await write(store, first);
  await assert.rejects(
    store.archive(first, quiet),
    (error) => error instanceof StoreError && error.kind === 'damaged' && error.message.includes('00000001'),
  );
  await store.deleteManifest(first);
  await assert.rejects(
    store.unarchive(first, quiet),
    (error) => error instanceof StoreError && error.kind === 'snapshot-not-found',
  );
});

test('a snapshot moves only when no deletion of a killed process can come any more', async () => {
  class UnsettledStore extends MemoryStore {
    calm: Promise<void> = Promise.resolve();

    settled(): Promise<void> {
      return this.calm;
    }
  }
  const objects = new UnsettledStore();
  await using store = await open(objects);
  await write(store, first);
  const calm = Promise.withResolvers<void>();
  objects.calm = calm.promise;
  const archived = store.archive(first, quiet);
  const abort = new AbortController();
  const aborted = store.unarchive(second, { ...quiet, signal: abort.signal });
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(await keysUnder(objects, 'archive/'), []);
  abort.abort(new StoreError('aborted', 'enough'));
  await assert.rejects(aborted, (error) => error instanceof StoreError && error.kind === 'aborted');
  calm.resolve();
  assert.ok((await archived) > 0);
});

test('others have their turn between the chunks that come back', async () => {
  const pool = new NoticingPool({ masterKey: TEST_MASTER_KEY, random: new SeededRandom(12) });
  await using store = await open(new MemoryStore(), pool);
  await write(store, first);
  await store.archive(first, quiet);
  await store.deleteManifest(first);
  let turns = 0;
  const ending = new AbortController();
  const over = ending.signal;
  const others = (async () => {
    for (; !over.aborted; turns += 1) await nextTurn();
  })();
  const turnsAtBatch: number[] = [];
  pool.onSeal = async () => {
    turnsAtBatch.push(turns);
  };
  await store.unarchive(first, quiet);
  ending.abort();
  await others;
  const between = turnsAtBatch.slice(1).map((at, batch) => at - (turnsAtBatch[batch] ?? 0));
  // The last batch has the chunks that are left.
  assert.ok(Math.min(...between.slice(0, -1)) >= BATCH_COUNT_MAX - 1, `${between.join()} turns`);
});
