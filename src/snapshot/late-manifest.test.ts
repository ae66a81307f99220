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
  const taken = new UnsettledStore(objects);
  await using store = await openTestStore(taken);
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
  assert.deepEqual([...(await objectKeys(objects, 'packs/'))], [], 'it is collected as any other once it is deleted');
});

test('a collection that waits for the store to be settled ends when it is told to', async () => {
  await using store = await openTestStore(new UnsettledStore(new MemoryStore()));
  const abort = new AbortController();
  const collecting = store.collect({ extraRoots: () => [], signal: abort.signal });
  await turns(5);
  abort.abort(new Error('enough'));
  await assert.rejects(collecting, /enough/);
});

test('what the index noted and is not there is remembered until the store is settled, and a list that leaves it out does no harm', async () => {
  const objects = new MemoryStore();
  const indexPath = join(base, 'index.db');
  // The index of a process that was killed, as it is left on the disk.
  const index = ChunkIndex.open(indexPath);
  index.addManifests([one, two]);
  const { id } = index;
  index[Symbol.dispose]();
  assert.equal(id, 0);
  const killed = await killedAtItsManifest(objects, ':memory:');

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
  const after = ChunkIndex.open(indexPath);
  assert.deepEqual(after.manifestsAfter('', 10), [one], 'the one that never came is forgotten');
  after[Symbol.dispose]();
});

test('a snapshot whose manifest is in doubt is not deleted before it can come no more', async () => {
  const objects = new MemoryStore();
  const indexPath = join(base, 'deleted.db');
  const index = ChunkIndex.open(indexPath);
  index.addManifests([one]);
  index[Symbol.dispose]();
  const killed = await killedAtItsManifest(objects, ':memory:');
  const taken = new UnsettledStore(objects);
  await using store = await openTestStore(taken, { indexPath });
  const deleting = store.deleteManifest(one);
  await turns(20);
  await killed.land();
  taken.settle();
  await deleting;
  assert.equal(await store.read(one), null);
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
