import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom, systemRandom } from '#base/random.ts';
import { TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { FaultStore } from '#chunk/fault-store.ts';
import { FsStore } from '#chunk/fs-store.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { accountKeys, addressOf } from '#chunk/seal.ts';
import { ThreadSealPool } from '#chunk/thread-seal-pool.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';

import type { Manifest } from './manifest.ts';
import { openSnapshotStore } from './object-snapshot-store.ts';
import { ContentFile, contentOf, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import type { TreeRoot } from './tree.ts';

const content = new ContentFile(20);
const keys = accountKeys(TEST_MASTER_KEY, TEST_ACCOUNT);
const keyOf = (n: number): string => addressOf(keys, 'chunk', contentOf(n)).toString('hex');
const [one, two, three] = [snapshotId(1), snapshotId(2), snapshotId(3)];
const isKind = (kind: string) => (error: unknown) => error instanceof StoreError && error.kind === kind;

async function assertHolds(
  store: SnapshotStore,
  snapshot: typeof one,
  expected: ReadonlyMap<number, number>,
): Promise<void> {
  using held = await store.hold(snapshot);
  const page = await store.listBlocks(snapshot, 0, 10_000);
  assert.deepEqual(
    page.blocks,
    [...expected].map(([index, n]) => ({ index, key: keyOf(n) })),
  );
  for (const [index, n] of expected) {
    const chunk = await store.readChunk(held.account, held.root, index);
    assert(present(chunk, 'a chunk').bytes.equals(contentOf(n)));
  }
}

test('a snapshot holds what was written, and its manifest says how much', async () => {
  await using store = await openTestStore(new MemoryStore());
  const changes = new Map([
    [0, 1],
    [3, 2],
    [299, 1],
    [5, 0],
  ]);
  const progress: number[] = [];
  const manifest = await store.write(
    testWrite(content, {
      snapshot: one,
      chunkCount: 300,
      changes,
      onProgress: ({ doneCount }) => progress.push(doneCount),
    }),
  );
  assert.equal(manifest.fullBytes, 3 * CHUNK_BYTES);
  assert.equal(manifest.changedBytes, 3 * CHUNK_BYTES);
  assert(manifest.storedBytes > 0);
  assert.deepEqual(progress, [4]);
  assert.deepEqual(await store.read(one), manifest);
  await assertHolds(
    store,
    one,
    new Map([
      [0, 1],
      [3, 2],
      [299, 1],
    ]),
  );
  assert.equal(await store.readChunk(TEST_ACCOUNT, manifest.root, 5), null);
  assert.equal(await store.readChunk(TEST_ACCOUNT, manifest.root, 1000), null);
  assert.equal(await store.chunkKey(TEST_ACCOUNT, manifest.root, 3), keyOf(2));
});

test('zeros that were written are kept when asked for, and trims never are', async () => {
  await using store = await openTestStore(new MemoryStore());
  const changes = new Map<number, number | null>([
    [0, 0],
    [1, null],
    [2, 1],
  ]);
  await store.write(testWrite(content, { snapshot: one, chunkCount: 10, changes, keepZeroChunks: true }));
  await assertHolds(
    store,
    one,
    new Map([
      [0, 0],
      [2, 1],
    ]),
  );
});

test('a write whose sources changed has no manifest, whenever that is seen', async () => {
  await using store = await openTestStore(new MemoryStore());
  const job = testWrite(content, { snapshot: one, chunkCount: 10, changes: new Map([[0, 1]]) });
  for (const goodCount of [0, 1]) {
    let asked = 0;
    const checkSources = (): void => {
      asked += 1;
      if (asked > goodCount) throw new Error('changed');
    };
    await assert.rejects(store.write({ ...job, checkSources }), /changed/);
    assert.equal(await store.read(one), null);
  }
  await store.write({ ...job, checkSources: () => {} });
});

test('an increment holds its base but for what changed, and counts what changed', async () => {
  await using store = await openTestStore(new MemoryStore());
  const changes = new Map([
    [0, 1],
    [1, 2],
    [2, 3],
  ]);
  const base = await store.write(testWrite(content, { snapshot: one, chunkCount: 300, changes }));
  const increment = new Map<number, number | null>([
    [1, 4],
    [2, null],
    [0, 1],
    [400, 5],
  ]);
  const next = await store.write(
    testWrite(content, { snapshot: two, chunkCount: 500, base: base.root, changes: increment }),
  );
  assert.equal(next.changedBytes, 3 * CHUNK_BYTES);
  assert.equal(next.fullBytes, 3 * CHUNK_BYTES);
  await assertHolds(
    store,
    two,
    new Map([
      [0, 1],
      [1, 4],
      [400, 5],
    ]),
  );
  await assertHolds(store, one, changes);
  assert.deepEqual(await store.changedBlocks(one, two, 0, 10), {
    blocks: [
      { index: 1, firstKey: keyOf(2), secondKey: keyOf(4) },
      { index: 2, firstKey: keyOf(3), secondKey: null },
      { index: 400, firstKey: null, secondKey: keyOf(5) },
    ],
    next: null,
  });
  assert.equal((await store.changedBlocks(null, two, 0, 10)).blocks.length, 3);
});

test('an increment without changes stores no pack', async () => {
  await using store = await openTestStore(new MemoryStore());
  const base = await store.write(testWrite(content, { snapshot: one, chunkCount: 300, changes: new Map([[7, 1]]) }));
  const next = await store.write(
    testWrite(content, { snapshot: two, chunkCount: 300, base: base.root, changes: new Map() }),
  );
  assert.deepEqual(next.root, base.root);
  assert.equal(next.storedBytes, 0);
});

test('pages follow one another without gap or overlap', async () => {
  await using store = await openTestStore(new MemoryStore());
  const changes = new Map(Array.from({ length: 30 }, (_, index) => [index * 37, 1 + (index % 19)]));
  await store.write(testWrite(content, { snapshot: one, chunkCount: 2000, changes }));
  for (const countMax of [1, 7, 30, 100]) {
    const indexes: number[] = [];
    let start: number | null = 0;
    while (start !== null) {
      const page: Awaited<ReturnType<SnapshotStore['listBlocks']>> = await store.listBlocks(one, start, countMax);
      assert(page.blocks.length <= countMax && page.blocks.length > 0);
      indexes.push(...page.blocks.map(({ index }) => index));
      start = page.next;
    }
    assert.deepEqual(indexes, [...changes.keys()]);
  }
});

test('a snapshot that is there is answered at once, and two writes of one are one', async () => {
  await using store = await openTestStore(new MemoryStore());
  const job = testWrite(content, { snapshot: one, chunkCount: 300, changes: new Map([[7, 1]]) });
  const [first, second] = await Promise.all([store.write(job), store.write(job)]);
  assert.deepEqual(first, second);
  const never = testWrite(content, {
    snapshot: one,
    chunkCount: 300,
    changes: new Map([[9, 9]]),
    onProgress: () => assert.fail(),
  });
  assert.deepEqual(await store.write(never), first);
});

test('a write that was stopped leaves no snapshot, and goes on from what was stored', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  const stop = new AbortController();
  const changes = new Map(Array.from({ length: 100 }, (_, index) => [index, 1 + (index % 19)]));
  const job = { snapshot: one, chunkCount: 300, changes };
  const stopping = testWrite(content, { ...job, signal: stop.signal, onProgress: () => stop.abort() });
  await assert.rejects(store.write(stopping), isKind('aborted'));
  assert.equal(await store.read(one), null);
  await assert.rejects(store.hold(one), isKind('snapshot-not-found'));
  await store.write(testWrite(content, job));
  await assertHolds(store, one, changes);
});

test('closing the store stops what runs', async () => {
  const store = await openTestStore(new MemoryStore());
  const changes = new Map(Array.from({ length: 200 }, (_, index) => [index, 1 + (index % 19)]));
  const closing: Promise<void>[] = [];
  const onProgress = (): void => {
    if (closing.length === 0) closing.push((async () => store[Symbol.asyncDispose]())());
  };
  await assert.rejects(
    store.write(testWrite(content, { snapshot: one, chunkCount: 300, changes, onProgress })),
    isKind('aborted'),
  );
  await Promise.all(closing);
});

test('a full disk at any point is told as such, and the same write succeeds later', async () => {
  const objects = new FaultStore(new MemoryStore(), new SeededRandom(1));
  await using store = await openTestStore(objects);
  const job = { snapshot: one, chunkCount: 300, changes: new Map([[7, 1]]) };
  objects.rates = { noSpace: 1 };
  await assert.rejects(store.write(testWrite(content, job)), isKind('no-space'));
  objects.rates = {};
  await store.write(testWrite(content, job));
  await assertHolds(store, one, job.changes);
});

test('a manifest that does not read back as it was put makes no snapshot', async () => {
  const inner = new MemoryStore();
  const objects = new FaultStore(inner, new SeededRandom(2));
  await using store = await openTestStore(objects);
  await store.write(testWrite(content, { snapshot: one, chunkCount: 300, changes: new Map([[7, 1]]) }));
  objects.rates = { badPut: 1 };
  const job = { snapshot: two, chunkCount: 300, changes: new Map([[7, 1]]) };
  await assert.rejects(store.write(testWrite(content, job)), isKind('damaged'));
  objects.rates = {};
  assert.equal(await store.read(two), null);
  await store.write(testWrite(content, job));
  await assertHolds(store, two, job.changes);
});

test('a deleted snapshot is gone at once, and its chunks with the next collection, unless another holds them', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  const base = await store.write(
    testWrite(content, {
      snapshot: one,
      chunkCount: 300,
      changes: new Map([
        [0, 1],
        [1, 2],
      ]),
    }),
  );
  await store.write(
    testWrite(content, { snapshot: two, chunkCount: 300, base: base.root, changes: new Map([[1, null]]) }),
  );
  const collection = { extraRoots: () => [], signal: new AbortController().signal };
  await store.deleteManifest(one);
  await store.deleteManifest(three);
  await assert.rejects(store.listBlocks(one, 0, 10), isKind('snapshot-not-found'));
  const report = await store.collect(collection);
  assert.deepEqual([report.liveChunks, report.deletedChunks], [1, 1]);
  await assertHolds(store, two, new Map([[0, 1]]));
  await store.deleteManifest(two);
  assert.deepEqual((await store.collect(collection)).liveChunks, 0);
  for await (const { key } of objects.list('packs/')) assert.fail(key);
});

test('what a delta needs outlives the snapshot that it came from, and goes with the delta', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  const write = (snapshot: SnapshotId, base: TreeRoot | null, n: number): Promise<Manifest> =>
    store.write(testWrite(content, { snapshot, chunkCount: 300, base, changes: new Map([[1, n]]) }));
  const first = await write(one, null, 2);
  const second = await write(two, first.root, 3);
  assert(second.storedBytes < first.storedBytes);
  const collection = { extraRoots: () => [], signal: new AbortController().signal };
  await store.deleteManifest(one);
  const report = await store.collect(collection);
  assert.deepEqual([report.liveChunks, report.deletedChunks], [2, 0]);
  await assertHolds(store, two, new Map([[1, 3]]));
  await store.deleteManifest(two);
  assert.equal((await store.collect(collection)).deletedChunks, 2);
  for await (const { key } of objects.list('packs/')) assert.fail(key);
});

test('what is held, and what is an extra root, outlives its manifest', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  const { root } = await store.write(
    testWrite(content, { snapshot: one, chunkCount: 300, changes: new Map([[0, 1]]) }),
  );
  const signal = new AbortController().signal;
  const readable = async (): Promise<boolean> =>
    (await store.readChunk(TEST_ACCOUNT, root, 0))?.bytes.equals(contentOf(1)) === true;
  {
    using _held = await store.hold(one);
    await store.deleteManifest(one);
    await store.collect({ extraRoots: () => [], signal });
    assert(await readable());
  }
  await store.collect({ extraRoots: () => [{ account: TEST_ACCOUNT, root }], signal });
  assert(await readable());
  assert.equal((await store.collect({ extraRoots: () => [], signal })).deletedChunks, 1);
});

test('all snapshots are found in the object store alone', async () => {
  const objects = new MemoryStore();
  {
    await using store = await openTestStore(objects);
    for (const snapshot of [two, one]) {
      await store.write(testWrite(content, { snapshot, chunkCount: 300, changes: new Map([[0, 1]]) }));
    }
  }
  await using store = await openTestStore(objects);
  const found: string[] = [];
  for await (const manifest of store.list()) found.push(manifest.label.snapshot);
  assert.deepEqual(found, [one, two]);
  await assertHolds(store, two, new Map([[0, 1]]));
});

test('with threads and a directory: a snapshot is written, read in the next process, and collected', async () => {
  await using objects = await FsStore.open(join(content.directory, 'objects'));
  await using pool = new ThreadSealPool({ masterKey: TEST_MASTER_KEY, clock: systemClock, threadCountMax: 2 });
  const options = {
    objects,
    pool,
    indexPath: join(content.directory, 'index.db'),
    masterKey: TEST_MASTER_KEY,
    random: systemRandom,
    clock: systemClock,
    log: silentLog,
  };
  const changes = new Map(Array.from({ length: 100 }, (_, index) => [index * 3, 1 + (index % 19)]));
  {
    await using store = await openSnapshotStore(options);
    await store.write(testWrite(content, { snapshot: one, chunkCount: 300, changes }));
  }
  await using store = await openSnapshotStore(options);
  await assertHolds(store, one, changes);
  await store.deleteManifest(one);
  await store.collect({ extraRoots: () => [], signal: new AbortController().signal });
  for await (const { key } of objects.list('packs/')) assert.fail(key);
});
