import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { FaultStore } from '#chunk/fault-store.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { type OutpostId, parseOutpostId } from '#domain/outpost.ts';

import { PlacedStores, type StoreOfPlace } from './placed-stores.ts';
import { ContentFile, contentNumber, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';

const content = new ContentFile(200);
const outpost = parseOutpostId('op-00000000000000001') ?? assert.fail();
const never = new AbortController().signal;
const noExtraRoots = (): readonly [] => [];

/** A region, and an Outpost whose store goes wrong as told. */
async function open() {
  const [region, site] = [new MemoryStore(), new MemoryStore()];
  const faults = new FaultStore(site, new SeededRandom(3));
  const at: ReadonlyMap<OutpostId, StoreOfPlace> = new Map([[outpost, await openTestStore(faults)]]);
  return { region, site, faults, stores: new PlacedStores(await openTestStore(region), at) };
}

async function write(
  stores: PlacedStores,
  id: SnapshotId,
  changes: ReadonlyMap<number, number>,
  at?: OutpostId,
): Promise<void> {
  const job = testWrite(content, { snapshot: id, chunkCount: 300, changes });
  await stores.write(at === undefined ? job : { ...job, label: { ...job.label, outpost: at } });
}

async function keysOf(objects: ObjectStore, prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const { key } of objects.list(prefix)) keys.push(key);
  return keys;
}

async function numbersOf(stores: PlacedStores, id: SnapshotId): Promise<ReadonlyMap<number, number>> {
  using held = await stores.hold(id);
  const numbers = new Map<number, number>();
  for (const { index } of (await stores.listBlocks(id, 0, 1000)).blocks) {
    const chunk = await stores.readChunk(held.account, held.root, index);
    assert.ok(chunk !== null);
    numbers.set(index, contentNumber(chunk.bytes));
  }
  return numbers;
}

test('changes of a base in another store make the whole of it, however much does not change', async () => {
  const { stores, site } = await open();
  await using _stores = stores;
  const [base, moved] = [snapshotId(1), snapshotId(2)];
  const before = new Map(Array.from({ length: 100 }, (_, n) => [3 * n, n + 1] as const));
  await write(stores, base, before);
  assert.deepEqual(await keysOf(site, 'packs/'), [], 'nothing of it is there');
  const changes = new Map([
    [0, 150],
    [1, 151],
    [150, 152],
    [299, 153],
  ]);
  using held = await stores.hold(base);
  const progress: number[] = [];
  const job = testWrite(content, {
    ...{ snapshot: moved, chunkCount: 300, changes, base: held.root },
    onProgress: ({ doneCount, totalCount }) => {
      assert.equal(totalCount, changes.size);
      progress.push(doneCount);
    },
  });
  // The base is held by the write from its call on.
  const writing = stores.write({ ...job, label: { ...job.label, outpost } });
  held[Symbol.dispose]();
  await stores.deleteManifest(base);
  await stores.collect({ extraRoots: noExtraRoots, signal: never });
  await writing;
  assert.equal(progress.at(-1), changes.size);
  assert.deepEqual(
    [...(await numbersOf(stores, moved))],
    [...new Map([...before, ...changes])].toSorted(([a], [b]) => a - b),
  );
  assert.equal((await stores.read(moved))?.root.outpost, outpost);
});

test('an Outpost that is away holds up nothing of the region, and is collected when it is back', async () => {
  const { stores, region, faults, site } = await open();
  await using _stores = stores;
  const [local, regional, later] = [snapshotId(1), snapshotId(2), snapshotId(3)];
  await write(stores, local, new Map([[1, 1]]), outpost);
  await write(stores, regional, new Map([[2, 2]]));
  await stores.deleteManifest(local);
  faults.rates = { before: 1 };
  await write(stores, later, new Map([[3, 3]]));
  assert.deepEqual([...(await numbersOf(stores, later))], [[3, 3]]);
  await stores.deleteManifest(regional);
  await stores.deleteManifest(later);
  await assert.rejects(stores.collect({ extraRoots: noExtraRoots, signal: never }));
  assert.deepEqual(await keysOf(region, 'packs/'), []);
  assert.notDeepEqual(await keysOf(site, 'packs/'), []);
  await assert.rejects(write(stores, snapshotId(4), new Map([[4, 4]]), outpost));
  faults.rates = {};
  await stores.collect({ extraRoots: noExtraRoots, signal: never });
  assert.deepEqual(await keysOf(site, 'packs/'), []);
});
