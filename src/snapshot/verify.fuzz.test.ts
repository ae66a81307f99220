/**
 * Random bits are flipped in random objects of a small store. Each is found and named, and what is said to be affected is
 * exactly what a store that knows nothing but the objects cannot read any more; everything else reads as it was written.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { ContentFile, contentOf, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';
import type { TreeRoot } from './tree.ts';
import type { VerifyReport } from './verify-report.ts';
import { verifyTest } from './verify.fixture.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);
const FLIPS = Number(process.env['VARVE_FLIPS'] ?? 200);
const CHUNK_COUNT = 300;
const CONTENT_COUNT = 16;
const content = new ContentFile(CONTENT_COUNT);

type Model = ReadonlyMap<number, number>;

interface World {
  readonly objects: MemoryStore;
  readonly snapshots: ReadonlyMap<SnapshotId, Model>;
  /** Chunks that are looked at: all that are in any snapshot, and some that are in none. */
  readonly looked: ReadonlySet<number>;
  /** A volume that lives on a snapshot that was deleted. */
  readonly origin: { readonly root: TreeRoot; readonly model: Model };
}

/** Some snapshots that share chunks and nodes, a volume on one that is deleted, and what nothing needs any more. */
async function makeWorld(random: SeededRandom): Promise<World> {
  const objects = new MemoryStore();
  const snapshots = new Map<SnapshotId, Model>();
  const roots = new Map<SnapshotId, TreeRoot>();
  await using store = await openTestStore(objects, { seed: random.below(1e9) });
  let model = new Map<number, number>();
  let base: TreeRoot | null = null;
  for (let n = 1; n <= 7; n += 1) {
    const changes = new Map<number, number | null>();
    // What later ones change is there.
    if (n === 1) for (const index of [0, 1, 2, 3]) changes.set(index, 1 + index);
    for (let count = 0; count < 3; count += 1) {
      const index = random.below(random.below(2) === 0 ? 6 : CHUNK_COUNT);
      changes.set(index, random.below(5) === 0 ? null : 1 + random.below(CONTENT_COUNT - 1));
    }
    model = new Map(model);
    for (const [index, number] of changes) {
      if (number === null) model.delete(index);
      else model.set(index, number);
    }
    const snapshot = snapshotId(n);
    const written = await store.write(testWrite(content, { snapshot, chunkCount: CHUNK_COUNT, base, changes }));
    base = written.root;
    snapshots.set(snapshot, model);
    roots.set(snapshot, written.root);
  }
  const kept = snapshotId(3);
  const origin = {
    root: present(roots.get(kept), 'a root'),
    model: present(snapshots.get(kept), 'content'),
  };
  for (const deleted of [kept, snapshotId(5)]) {
    await store.deleteManifest(deleted);
    snapshots.delete(deleted);
  }
  const looked = new Set([0, 255, 256, CHUNK_COUNT - 1]);
  for (const known of [...snapshots.values(), origin.model]) for (const index of known.keys()) looked.add(index);
  return { objects, snapshots, looked, origin };
}

async function flip(objects: MemoryStore, key: string, bit: number): Promise<void> {
  const bytes = present(await objects.get(key), 'an object');
  const at = Math.floor(bit / 8);
  bytes[at] = present(bytes[at], 'a byte') ^ (1 << (bit % 8));
  await objects.put(key, [bytes]);
}

async function unlessDamaged<R>(body: () => Promise<R>): Promise<R | 'damaged'> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'damaged') return 'damaged';
    throw error;
  }
}

/** Chunks that do not read, as `id index`. What reads must be what was written. */
async function unreadable(world: World): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  // A copy: opening a store writes to it.
  const objects = new MemoryStore();
  for await (const { key } of world.objects.list('')) {
    await objects.put(key, [present(await world.objects.get(key), 'an object')]);
  }
  await using store = await openTestStore(objects);
  /** By key: the content; null: it does not read. */
  const read = new Map<string, Buffer | null>();
  const look = async (id: string, root: TreeRoot, model: Model): Promise<void> => {
    for (const index of world.looked) {
      const key = await unlessDamaged(() => store.chunkKey(TEST_ACCOUNT, root, index));
      if (key !== null && key !== 'damaged' && !read.has(key)) {
        const chunk = await unlessDamaged(() => store.readChunk(TEST_ACCOUNT, root, index));
        read.set(key, chunk === 'damaged' ? null : present(chunk, 'a chunk').bytes);
      }
      const bytes = key === null ? null : (read.get(key) ?? 'damaged');
      const expected = model.get(index);
      if (bytes === 'damaged') found.add(`${id} ${index}`);
      else if (expected === undefined) assert.equal(bytes, null);
      else assert(bytes?.equals(contentOf(expected)), `chunk ${index} of ${id} is not what was written`);
    }
  };
  for (const [snapshot, model] of world.snapshots) {
    try {
      const manifest = present(await store.read(snapshot), 'a manifest');
      await look(snapshot, manifest.root, model);
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'damaged') throw error;
      found.add(snapshot);
    }
  }
  await look('vol-1', world.origin.root, world.origin.model);
  return found;
}

function affectedBy({ looked }: World, report: VerifyReport): ReadonlySet<string> {
  const found = new Set<string>();
  for (const damage of report.damages) {
    if (damage.what === 'manifest') found.add(damage.object.slice('snapshots/'.length));
    for (const { id, ranges } of damage.affects) {
      for (const { offset, length } of ranges) {
        for (const index of looked) {
          const at = index * CHUNK_BYTES;
          if (at >= offset && at < offset + length) found.add(`${id} ${index}`);
        }
      }
    }
  }
  return found;
}

test(`a bit that is flipped anywhere is found, and what it affects is told exactly (seed ${SEED})`, async (context) => {
  const random = new SeededRandom(SEED);
  const world = await makeWorld(random);
  const name = { kind: 'volume', id: 'vol-1' } as const;
  const origins = async () => [{ name, account: TEST_ACCOUNT, root: world.origin.root }];
  const sizes: { readonly key: string; readonly sizeBytes: number }[] = [];
  for await (const object of world.objects.list('')) sizes.push(object);
  const indexId = Number((await world.objects.get('index-id'))?.toString());
  const clean = await verifyTest(world.objects, { origins, indexId });
  assert.deepEqual(clean.damages, []);
  assert.equal(
    clean.bytes,
    sizes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  );
  const seen: Record<string, number> = { 'deltas in store': clean.counts.deltas };
  for (let count = 0; count < FLIPS; count += 1) {
    const { key, sizeBytes } = present(sizes[random.below(sizes.length)], 'an object');
    // A header, a footer and a trailer are a small part of a pack, and as likely to be hit here.
    const tail = 200 * 8;
    const bit =
      random.below(3) === 0
        ? sizeBytes * 8 - 1 - random.below(Math.min(tail, sizeBytes * 8))
        : random.below(sizeBytes * 8);
    const where = `bit ${bit} of ${key}, seed ${SEED}`;
    await flip(world.objects, key, bit);
    const report = await verifyTest(world.objects, { origins, indexId });
    const named = report.damages.filter((damage) => damage.object === key);
    assert.equal(named.length, 1, where);
    assert.equal(report.damageCount, 1, `${where}: ${JSON.stringify(report.damages)}`);
    const damage = present(named[0], 'a damage');
    seen[damage.what] = (seen[damage.what] ?? 0) + 1;
    if (damage.what === 'record') {
      const at = Math.floor(bit / 8);
      const place = present(damage.place, 'a place');
      assert(at >= place.offset && at < place.offset + place.length, where);
    }
    if (damage.what === 'repository') {
      await assert.rejects(openTestStore(world.objects), StoreError, where);
      assert.equal(affectedBy(world, report).size, 0);
    } else {
      const lost = await unreadable(world);
      if (damage.affects.length === 0 && damage.what !== 'manifest')
        seen['nothing live'] = (seen['nothing live'] ?? 0) + 1;
      for (const one of lost)
        assert(covers(affectedBy(world, report), one), `${one} does not read, and is not told of; ${where}`);
      // A damaged node hides which of its chunks were there: those that were not read as nothing, here as damaged too.
      for (const one of affectedBy(world, report))
        assert(lost.has(one), `${one} reads, and is told to be affected; ${where}`);
    }
    await flip(world.objects, key, bit);
  }
  assert.deepEqual((await verifyTest(world.objects, { origins, indexId })).damages, []);
  context.diagnostic(JSON.stringify(seen));
});

function covers(affected: ReadonlySet<string>, one: string): boolean {
  return affected.has(one) || affected.has(one.split(' ')[0] ?? '');
}
