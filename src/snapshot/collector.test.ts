import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { present } from '#base/assert.ts';
import { SeededRandom } from '#base/random.ts';
import { objectKeys, TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { FaultStore } from '#chunk/fault-store.ts';
import { MemoryStore } from '#chunk/memory-store.ts';

import { manifestObjectKey } from './manifest.ts';
import { PausingStore } from './pausing-store.fixture.ts';
import { ContentFile, contentOf, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';
import type { SnapshotStore } from './snapshot-store.ts';

const content = new ContentFile(10);
const [one, two] = [snapshotId(1), snapshotId(2)];
const collection = { extraRoots: () => [], signal: new AbortController().signal };

function write(
  store: SnapshotStore,
  snapshot: typeof one,
  chunks: readonly number[],
): ReturnType<SnapshotStore['write']> {
  const changes = new Map(chunks.map((n, index) => [index, n]));
  return store.write(testWrite(content, { snapshot, chunkCount: 300, changes }));
}

async function assertHolds(store: SnapshotStore, snapshot: typeof one, chunks: readonly number[]): Promise<void> {
  const { root } = present(await store.read(snapshot), 'a manifest');
  assert.equal(root.presentCount, chunks.length);
  for (const [index, n] of chunks.entries()) {
    assert((await store.readChunk(TEST_ACCOUNT, root, index))?.bytes.equals(contentOf(n)));
  }
}

test('a snapshot whose manifest is being put keeps its chunks', async () => {
  const objects = new PausingStore(new MemoryStore());
  await using store = await openTestStore(objects);
  const pause = objects.pause('put', 'snapshots/');
  const writing = write(store, one, [1, 2]);
  await pause.reached;
  await store.collect(collection);
  pause.resume();
  await writing;
  await assertHolds(store, one, [1, 2]);
});

test('a chunk that is found again while a collection runs stays, though nothing needed it when the collection began', async () => {
  const objects = new PausingStore(new MemoryStore());
  await using store = await openTestStore(objects);
  await write(store, one, [1, 2]);
  await store.deleteManifest(one);
  const pause = objects.pause('list', 'snapshots/');
  const collecting = store.collect(collection);
  await pause.reached;
  await write(store, two, [1]);
  pause.resume();
  await collecting;
  await assertHolds(store, two, [1]);
});

test('a chunk that was found again before a collection, by a write that ends between its listing and its deleting, stays', async () => {
  const objects = new PausingStore(new MemoryStore());
  await using store = await openTestStore(objects);
  await write(store, one, [1, 2, 3]);
  await store.deleteManifest(one);
  const putting = objects.pause('put', 'snapshots/');
  const writing = write(store, two, [1, 2, 3]);
  await putting.reached;
  // Asked for once the manifests were read.
  const extraRoots = async (): Promise<[]> => {
    putting.resume();
    await writing;
    return [];
  };
  await store.collect({ ...collection, extraRoots });
  await assertHolds(store, two, [1, 2, 3]);
});

test('a write keeps its base, though the base is deleted and collected meanwhile', async () => {
  const objects = new PausingStore(new MemoryStore());
  await using store = await openTestStore(objects);
  const base = await write(store, one, [1, 2]);
  const pause = objects.pause('get', manifestObjectKey(two));
  const changes = new Map([[2, 3]]);
  const writing = store.write(testWrite(content, { snapshot: two, chunkCount: 300, base: base.root, changes }));
  await pause.reached;
  await store.deleteManifest(one);
  await store.collect(collection);
  pause.resume();
  await writing;
  await assertHolds(store, two, [1, 2, 3]);
});

test('a snapshot that is being opened while it is deleted and collected is whole, or is not found', async () => {
  const objects = new PausingStore(new MemoryStore());
  await using store = await openTestStore(objects);
  await write(store, one, [1]);
  const pause = objects.pause('got', manifestObjectKey(one));
  const opening = store.hold(one);
  await pause.reached;
  await store.deleteManifest(one);
  const collecting = store.collect(collection);
  // More than a collection of so little takes, if it does not wait.
  for (let turn = 0; turn < 100; turn += 1) await nextTurn();
  pause.resume();
  using held = await opening;
  await collecting;
  assert((await store.readChunk(TEST_ACCOUNT, held.root, 0))?.bytes.equals(contentOf(1)));
});

test('nothing is deleted while a manifest cannot be read, and it is once that snapshot is deleted', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  await write(store, one, [1]);
  await write(store, two, [2]);
  await objects.put(manifestObjectKey(one), [Buffer.from('this is no manifest\n')]);
  await store.deleteManifest(two);
  const before = await objectKeys(objects);
  await assert.rejects(store.collect(collection), (error) => error instanceof StoreError && error.kind === 'damaged');
  assert.deepEqual(await objectKeys(objects), before);
  await store.deleteManifest(one);
  assert.equal((await store.collect(collection)).deletedChunks, 2);
});

test('nothing is deleted while a snapshot misses a chunk', async () => {
  const objects = new MemoryStore();
  {
    await using store = await openTestStore(objects);
    await write(store, one, [1]);
  }
  for (const pack of await objectKeys(objects)) await objects.delete(pack);
  await using store = await openTestStore(objects);
  await write(store, two, [2]);
  await store.deleteManifest(two);
  await assert.rejects(store.collect(collection), /is needed, and is in no pack/);
  assert.equal((await objectKeys(objects)).length, 1);
});

test('a list that leaves a manifest out does no harm', async () => {
  const objects = new FaultStore(new MemoryStore(), new SeededRandom(1));
  await using store = await openTestStore(objects);
  await write(store, one, [1]);
  objects.rates = { forgetful: 1 };
  assert.equal((await store.collect(collection)).deletedChunks, 0);
  objects.rates = {};
  await assertHolds(store, one, [1]);
});

test('a collection that was stopped deleted nothing by halves', async () => {
  const objects = new PausingStore(new MemoryStore());
  await using store = await openTestStore(objects);
  await write(store, one, [1]);
  await write(store, two, [2]);
  await store.deleteManifest(one);
  const stop = new AbortController();
  const pause = objects.pause('list', 'snapshots/');
  const collecting = store.collect({ ...collection, signal: stop.signal });
  await pause.reached;
  stop.abort();
  pause.resume();
  await assert.rejects(collecting, (error) => error instanceof StoreError && error.kind === 'aborted');
  await assertHolds(store, two, [2]);
  assert.equal((await store.collect(collection)).deletedChunks, 1);
});

test('a process that dies at any call of a collection that deletes and rewrites leaves every snapshot whole, and no leak for the next', async () => {
  for (let callCount = 0; callCount < 200; callCount += 1) {
    const disk = new MemoryStore();
    const objects = new FaultStore(disk, new SeededRandom(callCount));
    const died = await (async () => {
      await using store = await openTestStore(objects);
      // One pack that goes whole, and one of which a third stays.
      await write(store, one, [1, 2, 3, 4, 5]);
      await write(store, two, [1]);
      await write(store, snapshotId(3), [6, 7]);
      await store.deleteManifest(one);
      await store.deleteManifest(snapshotId(3));
      objects.callsLeft = callCount;
      return await store.collect(collection).then(
        () => false,
        () => true,
      );
    })();
    await using store = await openTestStore(disk);
    await assertHolds(store, two, [1]);
    await store.collect(collection);
    await store.collect(collection);
    await assertHolds(store, two, [1]);
    // The pack of the tree, and the one that what is left of the first was copied to.
    assert.equal((await objectKeys(disk)).length, 2, `${callCount} calls`);
    if (died) continue;
    assert(callCount > 20);
    return;
  }
  assert.fail('the collection never ends');
});

test('a manifest that is there and cannot be read is not deleted by a write of the same snapshot', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  const pausing = new PausingStore(objects);
  await using late = await openTestStore(pausing);
  const pause = pausing.pause('put', manifestObjectKey(one));
  const writing = write(late, one, [1]);
  await pause.reached;
  await write(store, one, [1]);
  const later = Buffer.from('of a later version\n');
  await objects.put(manifestObjectKey(one), [later]);
  pause.resume();
  await assert.rejects(writing, (error) => error instanceof StoreError && error.kind === 'damaged');
  assert.deepEqual(await objects.get(manifestObjectKey(one)), later);
});
