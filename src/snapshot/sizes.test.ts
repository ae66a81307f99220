import assert from 'node:assert/strict';
import { existsSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { Tally } from './sizes-tally.ts';
import { ContentFile, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';
import type { SnapshotStore } from './snapshot-store.ts';

const CHUNK_COUNT = 600;
const content = new ContentFile(20);
const [FIRST, SECOND] = [snapshotId(1), snapshotId(2)];

/** A snapshot, and an increment on it in another leaf. */
async function writeTwo(store: SnapshotStore): Promise<void> {
  const changes = new Map([0, 1, 2, 3].map((index) => [index, index + 1]));
  const { root } = await store.write(testWrite(content, { snapshot: FIRST, chunkCount: CHUNK_COUNT, changes }));
  const more = new Map([[300, 10]]);
  await store.write(testWrite(content, { snapshot: SECOND, chunkCount: CHUNK_COUNT, base: root, changes: more }));
}

async function sizesOf(store: SnapshotStore, ...snapshots: SnapshotId[]) {
  return await store.sizes(snapshots.length === 0 ? [FIRST, SECOND] : snapshots, []);
}

test('a file of counts that is lost, cut off, no database or of another version is counted anew', async () => {
  const objects = new MemoryStore();
  const paths = { indexPath: join(content.directory, 'i1.db'), sizesPath: join(content.directory, 's1.db') };
  const store = await openTestStore(objects, paths);
  await writeTwo(store);
  const expected = await sizesOf(store);
  assert.ok(expected.length === 2 && expected.every(({ sharedBytes }) => sharedBytes > 0));
  await store[Symbol.asyncDispose]();
  const spoil: readonly (() => void)[] = [
    () => rmSync(paths.sizesPath),
    () => truncateSync(paths.sizesPath, statSync(paths.sizesPath).size - 5000),
    () => writeFileSync(paths.sizesPath, 'not a database, and longer than a header of one would be: '.repeat(80)),
    () => change(paths.sizesPath, "UPDATE meta SET value = 99 WHERE name = 'version'"),
    () => change(paths.sizesPath, 'DELETE FROM item WHERE children IS NULL'),
    () => change(paths.sizesPath, 'UPDATE item SET refs = 0'),
    () => change(paths.sizesPath, 'UPDATE root SET exclusive_bytes = needed_bytes + 1, needed_bytes = 0'),
  ];
  for (const [number, spoilNow] of spoil.entries()) {
    spoilNow();
    await using again = await openTestStore(objects, paths);
    // The first of several askers finds out.
    const answers = await Promise.all([sizesOf(again), sizesOf(again)]);
    assert.deepEqual(answers, [expected, expected], `after ${number}`);
  }
});

function change(path: string, sql: string): void {
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
}

test('a snapshot that does not read has no sizes, and the others keep theirs', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  await writeTwo(store);
  const changes = new Map([[5, 12]]);
  await store.write(testWrite(content, { snapshot: snapshotId(3), chunkCount: CHUNK_COUNT, changes }));
  const manifest = present(await objects.get(`snapshots/${snapshotId(3)}`), 'a manifest');
  manifest.writeUInt8(manifest.readUInt8(20) ^ 1, 20);
  await objects.put(`snapshots/${snapshotId(3)}`, [manifest]);
  const sizes = await sizesOf(store, FIRST, SECOND, snapshotId(3), snapshotId(4));
  assert.deepEqual(
    sizes.map(({ snapshot }) => snapshot),
    [FIRST, SECOND],
  );
});

test('what deleting would free is what a deletion and a collection free', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  await writeTwo(store);
  const [, second] = await sizesOf(store);
  const before = await store.storeSize();
  await store.deleteManifest(SECOND);
  const after = await store.storeSize();
  assert.equal(before.neededBytes - after.neededBytes, second?.exclusiveBytes);
  await store.collect({ extraRoots: () => [], signal: new AbortController().signal });
  let packBytes = 0;
  for await (const { sizeBytes } of objects.list('packs/')) packBytes += sizeBytes;
  const { storedBytes, neededBytes } = await store.storeSize();
  const manifest = present(await objects.get(`snapshots/${FIRST}`), 'a manifest').length;
  assert.equal(storedBytes, packBytes + manifest);
  assert.equal(neededBytes, after.neededBytes);
});

test('two snapshots with nothing between them have nothing for themselves but their manifests', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  const changes = new Map([[0, 1]]);
  const { root } = await store.write(testWrite(content, { snapshot: FIRST, chunkCount: CHUNK_COUNT, changes }));
  const none = { snapshot: SECOND, chunkCount: CHUNK_COUNT, base: root, changes: new Map() };
  await store.write(testWrite(content, none));
  for (const { snapshot, exclusiveBytes, sharedBytes } of await sizesOf(store)) {
    assert.equal(exclusiveBytes, present(await objects.get(`snapshots/${snapshot}`), 'a manifest').length);
    assert.ok(sharedBytes > 0);
  }
  const volume = { volume: 'vol-00000000000000009', account: TEST_ACCOUNT, root };
  await store.deleteManifest(SECOND);
  const manifestBytes = present(await objects.get(`snapshots/${FIRST}`), 'a manifest').length;
  const [alone] = await store.sizes([FIRST], []);
  const [held] = await store.sizes([FIRST], [volume]);
  assert.deepEqual([alone?.sharedBytes, held?.exclusiveBytes], [0, manifestBytes]);
  assert.equal(held?.sharedBytes, (alone?.exclusiveBytes ?? 0) - manifestBytes);
});

test('an empty snapshot takes its manifest', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  await store.write(testWrite(content, { snapshot: FIRST, chunkCount: CHUNK_COUNT, changes: new Map() }));
  const [size] = await sizesOf(store, FIRST);
  const exclusiveBytes = present(await objects.get(`snapshots/${FIRST}`), 'a manifest').length;
  assert.deepEqual(size, { snapshot: FIRST, fullBytes: 0, newBytes: 0, exclusiveBytes, sharedBytes: 0 });
});

test('counting behind an upload stops with the store, and goes on with the next', async () => {
  const objects = new MemoryStore();
  const paths = { indexPath: join(content.directory, 'i2.db'), sizesPath: join(content.directory, 's2.db') };
  const store = await openTestStore(objects, paths);
  await writeTwo(store);
  await store[Symbol.asyncDispose]();
  assert.ok(existsSync(paths.sizesPath));
  await using next = await openTestStore(objects, paths);
  const inMemory = await openTestStore(objects);
  assert.deepEqual(await sizesOf(next), await sizesOf(inMemory));
  await inMemory[Symbol.asyncDispose]();
});

test('a tally counts beyond a byte', () => {
  const tally = new Tally();
  for (let count = 1; count <= 600; count += 1) {
    assert.equal(tally.add(5_000_000), count);
    if (count <= 3) assert.equal(tally.add(4_095), count);
  }
  assert.equal(tally.add(4_096), 1);
});
