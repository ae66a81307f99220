/**
 * Three stores as one against a model: snapshots on any base into any place, copies from anywhere to anywhere, deletions,
 * roots that only a volume keeps, collections while others write. What exists has its content, in its store alone; at the end
 * every store is empty by itself.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { type OutpostId, parseOutpostId } from '#domain/outpost.ts';

import type { AccountRoot } from './holds.ts';
import { PlacedStores } from './placed-stores.ts';
import {
  ContentFile,
  contentNumber,
  openTestStore,
  snapshotId,
  testLabel,
  testWrite,
} from './snapshot-store.fixture.ts';
import type { TreeRoot } from './tree.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);
const STEPS = 200;
const CHUNK_COUNT = 24;
const CONTENT_COUNT = 40;
const CHANGES_MAX = 6;
const ALIVE_MAX = 6;

const content = new ContentFile(CONTENT_COUNT);
const never = new AbortController().signal;

type Content = ReadonlyMap<number, number>;
type Place = OutpostId | undefined;

const PLACES: readonly Place[] = [
  undefined,
  ...[1, 2].map((n) => parseOutpostId(`op-${String(n).padStart(17, '0')}`) ?? assert.fail()),
];

/** What exists: a snapshot, or a root that a volume keeps. */
interface Known {
  readonly place: Place;
  readonly content: Content;
}

async function openStores() {
  const objects = PLACES.map((place) => ({ place, objects: new MemoryStore() }));
  const [region, ...others] = await Promise.all(objects.map((one) => openTestStore(one.objects)));
  const outposts = new Map(others.map((store, at) => [present(PLACES[at + 1], 'an Outpost'), store] as const));
  return { objects, stores: new PlacedStores(present(region, 'a region'), outposts) };
}

async function contentOf(stores: PlacedStores, root: TreeRoot): Promise<Content> {
  const { blocks } = await stores.listRoot(TEST_ACCOUNT, root, 0, CHUNK_COUNT);
  const found = new Map<number, number>();
  for (const { index } of blocks) {
    const chunk = await stores.readChunk(TEST_ACCOUNT, root, index);
    found.set(index, contentNumber(present(chunk, 'a chunk that is listed is there').bytes));
  }
  return found;
}

async function keysOf(objects: MemoryStore, prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const { key } of objects.list(prefix)) keys.push(key);
  return keys;
}

test(`stores of several places against a model (VARVE_SEED=${SEED})`, async () => {
  const random = new SeededRandom(SEED);
  const { objects, stores } = await openStores();
  await using _stores = stores;
  const snapshots = new Map<SnapshotId, Known>();
  const volumes = new Map<TreeRoot, Known>();
  let count = 0;
  const one = <T>(items: readonly T[]): T => present(items[random.below(items.length)], 'one of some');
  const label = (id: SnapshotId, place: Place) => ({
    ...testLabel(id, CHUNK_COUNT),
    ...(place === undefined ? {} : { outpost: place }),
  });
  const extraRoots = (): readonly AccountRoot[] => [...volumes.keys()].map((root) => ({ account: TEST_ACCOUNT, root }));
  const collect = async (): Promise<void> => {
    await stores.collect({ extraRoots, signal: never });
  };

  /** On a snapshot, on what a volume keeps, or on nothing; the base may be deleted and collected while it is written. */
  const write = async (): Promise<void> => {
    const id = snapshotId((count += 1));
    const place = PLACES[random.below(PLACES.length)];
    const bases = [null, ...snapshots.keys(), ...volumes.keys()];
    const base = bases[random.below(bases.length)] ?? null;
    using held = typeof base === 'string' ? await stores.hold(base) : null;
    const root = held?.root ?? (typeof base === 'string' ? null : base);
    const known = typeof base === 'string' ? snapshots.get(base) : base === null ? null : volumes.get(base);
    const changes = new Map<number, number | null>();
    for (let left = random.below(CHANGES_MAX); left > 0; left -= 1) {
      changes.set(random.below(CHUNK_COUNT), random.below(5) === 0 ? null : 1 + random.below(CONTENT_COUNT - 1));
    }
    const job = testWrite(content, { snapshot: id, chunkCount: CHUNK_COUNT, changes, base: root });
    const writing = stores.write({ ...job, label: label(id, place) });
    held?.[Symbol.dispose]();
    if (typeof base === 'string' && random.below(3) === 0) {
      snapshots.delete(base);
      await stores.deleteManifest(base);
    }
    await Promise.all([writing, ...(random.below(3) === 0 ? [collect()] : [])]);
    const whole = new Map(known?.content);
    for (const [index, n] of changes) {
      if (n === null) whole.delete(index);
      else whole.set(index, n);
    }
    snapshots.set(id, { place, content: whole });
  };

  const copy = async (source: SnapshotId): Promise<void> => {
    const id = snapshotId((count += 1));
    const place = PLACES[random.below(PLACES.length)];
    const copying = stores.copy({ label: label(id, place), source, signal: never, onProgress: () => {} });
    await Promise.all([copying, ...(random.below(3) === 0 ? [collect()] : [])]);
    snapshots.set(id, { place, content: present(snapshots.get(source), 'a snapshot that is there').content });
  };

  /** As a host does: the root is among those of collections before it is let go of. */
  const restore = async (source: SnapshotId): Promise<void> => {
    using held = await stores.hold(source);
    volumes.set(held.root, present(snapshots.get(source), 'a snapshot that is there'));
  };

  const check = async (): Promise<void> => {
    for (const { place, objects: store } of objects) {
      const here = [...snapshots].filter(([, known]) => known.place === place).map(([id]) => `snapshots/${id}`);
      assert.deepEqual(await keysOf(store, 'snapshots/'), here.toSorted());
    }
    for (const [root, known] of volumes) assert.deepEqual(await contentOf(stores, root), sorted(known.content));
    for (const [id, known] of snapshots) {
      using held = await stores.hold(id);
      assert.equal(held.root.outpost, known.place);
      assert.deepEqual(await contentOf(stores, held.root), sorted(known.content));
    }
  };

  for (let step = 0; step < STEPS; step += 1) {
    const ids = [...snapshots.keys()];
    const kind = random.below(10);
    if (ids.length === 0 || (kind < 4 && ids.length < ALIVE_MAX)) await write();
    else if (kind < 6 && ids.length < ALIVE_MAX) await copy(one(ids));
    else if (kind === 6 && volumes.size < 3) await restore(one(ids));
    else if (kind === 7 && volumes.size > 0) volumes.delete(one([...volumes.keys()]));
    else if (kind === 8) await collect();
    else {
      const id = one(ids);
      snapshots.delete(id);
      await stores.deleteManifest(id);
    }
    if (step % 10 === 9) await check();
  }
  await check();
  const sizes = await stores.sizes([...snapshots.keys()], []);
  assert.equal(sizes.length, snapshots.size);
  volumes.clear();
  for (const id of snapshots.keys()) await stores.deleteManifest(id);
  snapshots.clear();
  await collect();
  for (const { objects: store } of objects) assert.deepEqual(await keysOf(store, 'packs/'), []);
});

function sorted(known: Content): Content {
  return new Map([...known].toSorted(([a], [b]) => a - b));
}
