import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { present } from '#base/assert.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { objectKeys, TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { ChunkIndex } from '#chunk/chunk-index.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { decodeManifest, encodeManifest, manifestKey, manifestObjectKey } from './manifest.ts';
import { PausingStore } from './pausing-store.fixture.ts';
import { ContentFile, contentOf, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';
import type { SnapshotStore } from './snapshot-store.ts';

const content = new ContentFile(4);
const base = scratchDirectory('late-manifest');
const [one, two] = [snapshotId(1), snapshotId(2)];
const never = new AbortController().signal;

/** As a bucket that another process had: what that asked for may come until the test says that it is settled. */
class UnsettledStore extends PausingStore {
  readonly #settled = Promise.withResolvers<void>();

  settle(): void {
    this.#settled.resolve();
  }

  settled(): Promise<void> {
    return this.#settled.promise;
  }
}

function write(store: SnapshotStore, snapshot: typeof one): ReturnType<SnapshotStore['write']> {
  const changes = new Map([
    [0, 1],
    [1, 2],
  ]);
  return store.write(testWrite(content, { snapshot, chunkCount: 300, changes }));
}

/** A process is killed while the manifest is on its way to the store. */
async function killedAtItsManifest(
  objects: MemoryStore,
  indexPath: string,
): Promise<{ readonly land: () => Promise<void> }> {
  const dead = new PausingStore(objects);
  const store = await openTestStore(dead, { indexPath });
  const pause = dead.pause('put', 'snapshots/');
  void write(store, one).catch(() => {});
  await pause.reached;
  return {
    land: async () => {
      pause.resume();
      while ((await objects.get(manifestObjectKey(one))) === null) await nextTurn();
    },
  };
}

/** The index of a process before, as it is left on the disk; it noted these manifests. */
async function leftIndex(objects: MemoryStore, name: string, noted: readonly SnapshotId[]): Promise<string> {
  const indexPath = join(base, name);
  await (await openTestStore(objects, { indexPath }))[Symbol.asyncDispose]();
  using index = ChunkIndex.open(indexPath);
  index.addManifests(noted);
  return indexPath;
}

async function assertWhole(store: SnapshotStore): Promise<void> {
  const { root } = present(await store.read(one), 'the manifest');
  for (const [index, n] of [
    [0, 1],
    [1, 2],
  ] as const) {
    assert((await store.readChunk(TEST_ACCOUNT, root, index))?.bytes.equals(contentOf(n)));
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await nextTurn();
}

test('a manifest that a killed process had on its way finds its chunks, since no collection begins before it can come no more', async () => {
  const objects = new MemoryStore();
  const killed = await killedAtItsManifest(objects, ':memory:');
  const indexPath = await leftIndex(objects, 'taken.db', []);
  const taken = new UnsettledStore(objects);
  await using store = await openTestStore(taken, { indexPath });
  let isCollected = false;
  const collecting = store.collect({ extraRoots: () => [], signal: never }).finally(() => (isCollected = true));
  await turns(50);
  assert(!isCollected);
  await killed.land();
  taken.settle();
  await collecting;
  await assertWhole(store);
});

test('without that it would not: the store is not what makes the test pass', async () => {
  const objects = new MemoryStore();
  const killed = await killedAtItsManifest(objects, ':memory:');
  await using store = await openTestStore(new PausingStore(objects));
  await store.collect({ extraRoots: () => [], signal: never });
  await killed.land();
  await assert.rejects(assertWhole(store), /is in no pack/);
});

test('a manifest of which nobody knew, and that is there before the first record goes, keeps its records', async () => {
  const objects = new MemoryStore();
  const killed = await killedAtItsManifest(objects, ':memory:');
  await using store = await openTestStore(objects);
  const extraRoots = async (): Promise<[]> => {
    await killed.land(); // The manifests were listed and marked.
    return [];
  };
  await store.collect({ extraRoots, signal: never });
  await assertWhole(store);
  await store.deleteManifest(one);
  await store.collect({ extraRoots: () => [], signal: never });
  assert.deepEqual(await objectKeys(objects, 'packs/'), [], 'it is collected as any other once it is deleted');
});

test('a collection that waits for the store to be settled ends when it is told to', async () => {
  const objects = new MemoryStore();
  const indexPath = await leftIndex(objects, 'waits.db', []);
  await using store = await openTestStore(new UnsettledStore(objects), { indexPath });
  const abort = new AbortController();
  const collecting = store.collect({ extraRoots: () => [], signal: abort.signal });
  await turns(5);
  abort.abort(new Error('enough'));
  await assert.rejects(collecting, /enough/);
});

test('what the index noted and is not there is remembered until the store is settled, and a list that leaves it out does no harm', async () => {
  const objects = new MemoryStore();
  const killed = await killedAtItsManifest(objects, ':memory:');
  const indexPath = await leftIndex(objects, 'index.db', [one, two]);

  class ForgetfulStore extends UnsettledStore {
    override async *list(prefix: string): ReturnType<ObjectStore['list']> {
      for await (const object of super.list(prefix)) if (!object.key.startsWith('snapshots/')) yield object;
    }
  }
  const taken = new ForgetfulStore(objects);
  {
    await using store = await openTestStore(taken, { indexPath });
    await killed.land();
    taken.settle();
    await store.collect({ extraRoots: () => [], signal: never });
    await assertWhole(store);
  }
  using after = ChunkIndex.open(indexPath);
  assert.deepEqual(after.manifestsAfter('', 10), [one], 'the one that never came is forgotten');
});

test('a snapshot whose manifest is in doubt is not deleted before it can come no more', async () => {
  const objects = new MemoryStore();
  const killed = await killedAtItsManifest(objects, ':memory:');
  const indexPath = await leftIndex(objects, 'deleted.db', [one]);
  const taken = new UnsettledStore(objects);
  await using store = await openTestStore(taken, { indexPath });
  const deleting = store.deleteManifest(one);
  await turns(20);
  await killed.land();
  taken.settle();
  await deleting;
  assert.equal(await store.read(one), null);
});

test('an index that is made anew rests on no pack whose deletion a killed process had on its way', async () => {
  const objects = new MemoryStore();
  const dead = new PausingStore(objects);
  const before = await openTestStore(dead);
  await write(before, one);
  await before.deleteManifest(one);
  const pause = dead.pause('delete', 'packs/');
  void before.collect({ extraRoots: () => [], signal: never }).catch(() => {});
  await pause.reached; // Its rows are gone; of that the next one has no index.
  const taken = new UnsettledStore(objects);
  const opening = openTestStore(taken);
  let isOpen = false;
  void opening.then(() => (isOpen = true));
  await turns(50);
  assert(!isOpen);
  pause.resume();
  while ((await objectKeys(objects, 'packs/')).length > 0) await nextTurn();
  taken.settle();
  await using store = await opening;
  await write(store, one);
  await assertWhole(store);
});

test('thousands of names are gone through in turns with others', async () => {
  const objects = new MemoryStore();
  const COUNT = 5_000;
  {
    await using store = await openTestStore(objects);
    await write(store, one);
  }
  const key = manifestKey(TEST_MASTER_KEY);
  const manifest = decodeManifest(key, one, present(await objects.get(manifestObjectKey(one)), 'a manifest'));
  for (let n = 2; n <= COUNT; n += 1) {
    const snapshot = snapshotId(n);
    const bytes = encodeManifest(key, { ...manifest, label: { ...manifest.label, snapshot } });
    await objects.put(manifestObjectKey(snapshot), [bytes]);
  }
  const turn = { names: 0, namesMax: 0, isOver: false };
  class CountingStore extends PausingStore {
    override async *list(prefix: string): ReturnType<ObjectStore['list']> {
      for await (const object of super.list(prefix)) {
        turn.names += 1;
        turn.namesMax = Math.max(turn.namesMax, turn.names);
        yield object;
      }
    }
  }
  const watch = async (): Promise<void> => {
    while (!turn.isOver) {
      await nextTurn();
      turn.names = 0;
    }
  };
  const watching = watch();
  const indexPath = join(base, 'many.db');
  for (const doing of ['remembered', 'known']) {
    await using store = await openTestStore(new CountingStore(objects), { indexPath });
    const report = await store.collect({ extraRoots: () => [], signal: never });
    assert.equal(report.liveChunks, 2);
    assert(turn.namesMax <= 500, `${doing}: ${turn.namesMax} names in one turn`);
  }
  turn.isOver = true;
  await watching;
});
