import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { TEST_ACCOUNT_OTHER, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { parsePackObjectKey, readPackEntries } from '#chunk/pack.ts';
import { accountKeys } from '#chunk/seal.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { contentNumber, snapshotId } from '#snapshot/snapshot-store.fixture.ts';
import { rootChild } from '#snapshot/tree.ts';

import type { Damage } from './damage.ts';
import type { RescueStore } from './rescue-store.ts';
import { BadSectors, type Lineage, makeLineage, type Model, openRescued, readAll } from './rescue.fixture.ts';
import { findRecords } from './salvage.ts';
import { SnapshotImage } from './snapshot-image.ts';
import { verifySnapshots } from './verify.ts';

const CHUNKS = 700; // Two levels of the tree.

async function verifyAll(
  store: RescueStore,
): Promise<{ readonly damage: readonly Damage[]; readonly bytes: number; readonly chunkCount: number }> {
  await using packs = await store.openPacks({ kind: 'all' });
  const manifests = [];
  for await (const { manifest } of store.manifests.list()) if (manifest !== null) manifests.push(manifest);
  let bytes = 0;
  const told: Damage[] = [];
  const report = await verifySnapshots(packs.chunks, manifests, {
    signal: new AbortController().signal,
    onProgress: (more) => (bytes += more),
    onDamage: (one) => told.push(one),
  });
  assert.deepEqual(told, report.damage);
  return { damage: report.damage, bytes, chunkCount: report.chunkCount };
}

async function assertHolds(store: RescueStore, n: number, model: Model): Promise<void> {
  const { chunks, damage } = await readAll(store, await store.manifests.read(snapshotId(n)));
  assert.deepEqual(damage, []);
  const found = new Map([...chunks].map(([index, bytes]) => [index, contentNumber(bytes)]));
  assert.deepEqual(found, new Map([...model].toSorted(([a], [b]) => a - b)));
}

async function packKeys(objects: MemoryStore): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const { key } of objects.list('packs/')) keys.push(key);
  return keys;
}

async function change(objects: MemoryStore, key: string, edit: (bytes: Buffer) => Buffer): Promise<void> {
  const bytes = await objects.get(key);
  assert.ok(bytes !== null);
  await objects.put(key, [edit(bytes)]);
}

let known: Lineage | null = null;
async function lineage(): Promise<Lineage> {
  return (known ??= await makeLineage({ count: 5, chunkCount: CHUNKS, seed: 5 }));
}

test('every snapshot of a chain of increments is read as it was, from objects that nobody changes', async () => {
  const { objects, models } = await lineage();
  const store = await openRescued(objects);
  assert.equal(store.warning, null);
  for (const [at, model] of models.entries()) await assertHolds(store, at + 1, model);
});

test('the chain has chunks that are stored as the blocks that changed, with and without a footer', async () => {
  const { objects } = await lineage();
  let deltaCount = 0;
  for (const key of await packKeys(objects)) {
    const name = parsePackObjectKey(key);
    const pack = await objects.get(key);
    assert.ok(name !== null && pack !== null);
    const entries = findRecords(accountKeys(TEST_MASTER_KEY, name.account), name, pack);
    const told = await readPackEntries(name, pack.length, async (offset, length) =>
      pack.subarray(offset, offset + length),
    );
    assert.deepEqual(entries, told);
    deltaCount += told.filter(({ kind }) => kind === 'delta').length;
  }
  assert.ok(deltaCount > 0);
});

test('a verification goes through all snapshots and reads what they share once', async () => {
  const { objects, models } = await lineage();
  const { damage, bytes, chunkCount } = await verifyAll(await openRescued(objects));
  assert.deepEqual(damage, []);
  const all = models.flatMap((model) => Array.from(model.values()));
  assert.equal(bytes, all.length * CHUNK_BYTES);
  assert.equal(chunkCount, new Set(all).size);
});

test('another key opens nothing, and says so', async () => {
  const { objects } = await lineage();
  await assert.rejects(openRescued(objects, Buffer.alloc(32, 8)), (error: unknown) => {
    assert.ok(error instanceof StoreError);
    assert.match(error.message, /made with another master key/);
    return true;
  });
});

test('a directory without anything of ours is no store', async () => {
  const { objects } = await makeLineage({ count: 1, chunkCount: 10, seed: 1 });
  const copy = await objects.copy(new MemoryStore());
  for (const key of [...(await packKeys(copy)), `snapshots/${snapshotId(1)}`, 'repository']) await copy.delete(key);
  await assert.rejects(openRescued(copy), /no object store of Varve/);
});

test('a store whose mark is missing or damaged is read when its snapshots prove the key, and only then', async () => {
  const { objects, models } = await lineage();
  const copy = await objects.copy(new MemoryStore());
  for (const damaged of ['', 'garbage\n', null]) {
    if (damaged === null) await copy.delete('repository');
    else await copy.put('repository', [Buffer.from(damaged)]);
    const store = await openRescued(copy);
    assert.notEqual(store.warning, null);
    await assertHolds(store, 3, models[2] ?? new Map());
    await assert.rejects(openRescued(copy, Buffer.alloc(32, 8)), /no snapshot in it is of this key/);
  }
});

test('a damaged manifest is told of and hides no other', async () => {
  const { objects } = await lineage();
  const copy = await objects.copy(new MemoryStore());
  await change(copy, `snapshots/${snapshotId(2)}`, (bytes) => Buffer.from(bytes.toString().replace('vol-', 'vol_')));
  const found = [];
  for await (const one of (await openRescued(copy)).manifests.list()) found.push(one);
  assert.deepEqual(
    found.map(({ snapshot, manifest }) => [snapshot, manifest === null]),
    [1, 2, 3, 4, 5].map((n) => [snapshotId(n), n === 2]),
  );
});

test('a pack without its footer gives up every record that is whole', async () => {
  const { objects, models } = await lineage();
  for (const bytesCut of [1, 32, 40]) {
    const copy = await objects.copy(new MemoryStore());
    for (const key of await packKeys(copy)) await change(copy, key, (bytes) => bytes.subarray(0, -bytesCut));
    const store = await openRescued(copy);
    for (const [at, model] of models.entries()) await assertHolds(store, at + 1, model);
    await using packs = await store.openPacks({ kind: 'all' });
    assert.equal(packs.salvaged.length, (await packKeys(copy)).length);
  }
});

test('a missing pack costs what was in it: named in every snapshot that needs it, and the others are whole', async () => {
  const { objects, models } = await lineage();
  const key = (await packKeys(objects))[0] ?? '';
  const copy = await objects.copy(new MemoryStore());
  await copy.delete(key);
  const store = await openRescued(copy);
  const { damage } = await verifyAll(store);
  assert.ok(damage.length > 0);
  for (const [at, model] of models.entries()) {
    const own = damage.filter(({ snapshot }) => snapshot === snapshotId(at + 1));
    const lost = new Set(
      own.flatMap(({ offset, length }) =>
        Array.from({ length: length / CHUNK_BYTES }, (_, index) => offset / CHUNK_BYTES + index),
      ),
    );
    const { chunks } = await readAll(store, await store.manifests.read(snapshotId(at + 1)));
    for (const [index, number] of model) {
      const bytes = chunks.get(index);
      assert.equal(bytes === undefined, lost.has(index), `chunk ${index} is read or named`);
      if (bytes !== undefined) assert.equal(contentNumber(bytes), number);
    }
  }
});

test('where the tree is damaged, every chunk below it is named, and reads as zeros for whoever goes on', async () => {
  const { objects } = await lineage();
  const manifest = await (await openRescued(objects)).manifests.read(snapshotId(1));
  const top = rootChild(manifest.root);
  assert.ok(top !== null);
  const copy = await objects.copy(new MemoryStore());
  for (const key of await packKeys(copy)) {
    await change(copy, key, (bytes) => {
      const at = bytes.indexOf(top.key);
      if (at >= 0) bytes[at + 40] = (bytes[at + 40] ?? 0) ^ 1;
      return bytes;
    });
  }
  const store = await openRescued(copy);
  const { damage } = await verifyAll(store);
  assert.deepEqual(
    damage.map(({ snapshot, offset, length }) => ({ snapshot, offset, length })),
    [{ snapshot: snapshotId(1), offset: 0, length: CHUNKS * CHUNK_BYTES }],
  );
  await using packs = await store.openPacks({ kind: 'all' });
  const told: Damage[] = [];
  const image = new SnapshotImage({
    chunks: packs.chunks,
    manifest,
    damaged: 'zeros',
    onDamage: (one) => told.push(one),
  });
  const zeros = Buffer.alloc(CHUNK_BYTES);
  let count = 0;
  for await (const { offset, length } of image.data()) {
    assert.ok(zeros.equals(await image.read(offset, length)));
    count += 1;
  }
  assert.equal(count, CHUNKS);
  assert.equal(told.length, CHUNKS);
  const page = await image.listRoot(manifest.label.account, manifest.root, 256, 300, 400);
  assert.deepEqual([page.blocks.length, page.blocks[0]?.index, page.next], [144, 256, 400]);
});

test('a sector that the disk cannot read costs the records in it, wherever it is, and the object is named', async () => {
  const { objects, models } = await lineage();
  const keys = await packKeys(objects);
  for (const [round, key] of keys.entries()) {
    const size = (await objects.get(key))?.length ?? 0;
    // In the middle; in the footer; the header.
    const start = [Math.floor(size / 2), size - 20, 10][round % 3] ?? 0;
    const failing = await objects.copy(new BadSectors({ key, start, end: start + 1 }));
    const unreadable: string[] = [];
    const store = await openRescued(failing, TEST_MASTER_KEY, (object) => unreadable.push(object));
    const { damage } = await verifyAll(store);
    assert.deepEqual(unreadable, [key]);
    for (const [at, model] of models.entries()) {
      const { chunks } = await readAll(store, await store.manifests.read(snapshotId(at + 1)));
      for (const [index, bytes] of chunks) assert.equal(contentNumber(bytes), model.get(index));
      if (!damage.some(({ snapshot }) => snapshot === snapshotId(at + 1))) assert.equal(chunks.size, model.size);
    }
  }
  const key = `snapshots/${snapshotId(3)}`;
  const store = await openRescued(await objects.copy(new BadSectors({ key, start: 0, end: 1 })));
  const found = [];
  for await (const { snapshot, manifest } of store.manifests.list()) if (manifest === null) found.push(snapshot);
  assert.deepEqual(found, [snapshotId(3)]);
});

test('the packs of one account are opened without those of another', async () => {
  const { objects, models } = await lineage();
  const copy = await objects.copy(new MemoryStore());
  await copy.put(`packs/${TEST_ACCOUNT_OTHER}/${'0'.repeat(32)}`, [Buffer.from('not ours to read')]);
  const store = await openRescued(copy);
  await assertHolds(store, 5, models[4] ?? new Map());
  const { label } = await store.manifests.read(snapshotId(1));
  await using own = await store.openPacks({ kind: 'account', account: label.account });
  assert.deepEqual(own.salvaged, []);
  await using all = await store.openPacks({ kind: 'all' });
  assert.deepEqual(
    all.salvaged.map(({ recordCount }) => recordCount),
    [0],
  );
});

test('damage anywhere: what is read is what was written, what is not is named, and the rest is whole', async () => {
  const { objects, models } = await lineage();
  const seed = Number(process.env['VARVE_SEED'] ?? 20261121);
  const random = new SeededRandom(seed);
  for (let round = 0; round < 15; round += 1) {
    const context = `seed ${seed}, round ${round}`;
    const copy = await objects.copy(new MemoryStore());
    const keys = await packKeys(copy);
    const key = keys[random.below(keys.length)] ?? '';
    await change(copy, key, (bytes) => {
      // The parts that say where things lie as often as those that are things.
      const ends = [random.below(64), bytes.length - 1 - random.below(600), random.below(bytes.length)];
      const at = ends[random.below(3)] ?? 0;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return bytes;
    });
    const store = await openRescued(copy);
    const { damage } = await verifyAll(store);
    for (const [at, model] of models.entries()) {
      const { chunks, damage: met } = await readAll(store, await store.manifests.read(snapshotId(at + 1)));
      const isNamed = damage.some(({ snapshot }) => snapshot === snapshotId(at + 1));
      assert.equal(met.length > 0, isNamed, `${context}: a verification finds what a reader meets`);
      for (const [index, bytes] of chunks) assert.equal(contentNumber(bytes), model.get(index), context);
      const isTreeHit = damage.some(({ length }) => length > CHUNK_BYTES);
      if (!isNamed) assert.equal(chunks.size, model.size, `${context}: all of it is read`);
      else if (!isTreeHit) assert.ok(met.length + chunks.size === model.size, `${context}: the rest is read`);
    }
  }
});
