import assert from 'node:assert/strict';
import { existsSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { present } from '#base/assert.ts';
import { TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';
import { Database } from '#chunk/database.ts';
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

/** Counts the rows that are read, of the index and of the counts. */
function countRows(context: TestContext): { readonly take: () => number } {
  const row = context.mock.method(Database.prototype, 'row').mock;
  const rows = context.mock.method(Database.prototype, 'rows').mock;
  return {
    take: () => {
      let count = row.callCount();
      for (const { result } of rows.calls) count += 1 + (result?.length ?? 0);
      row.resetCalls();
      rows.resetCalls();
      return count;
    },
  };
}

test('following an upload and a deletion reads as many rows beside 500 other snapshots as beside one', async (context) => {
  const objects = new MemoryStore();
  const paths = { indexPath: join(content.directory, 'i3.db'), sizesPath: join(content.directory, 's3.db') };
  const store = await openTestStore(objects, paths);
  const changes = new Map([[0, 1]]);
  const { root } = await store.write(testWrite(content, { snapshot: FIRST, chunkCount: CHUNK_COUNT, changes }));
  const counted = countRows(context);
  let count = 1;
  /** Until an increment came, was counted, and went. */
  const rowsOfOne = async (snapshot: SnapshotId, change: number): Promise<number> => {
    await store.sizes([], []); // Whatever was to be followed before.
    counted.take();
    const more = new Map([[change, 2 + change]]);
    await store.write(testWrite(content, { snapshot, chunkCount: CHUNK_COUNT, base: root, changes: more }));
    await store.sizes([], []);
    assert.equal((await store.storeSize()).snapshotCount, count + 1);
    await store.deleteManifest(snapshot);
    await store.sizes([], []);
    assert.equal((await store.storeSize()).snapshotCount, count);
    return counted.take();
  };
  const besideOne = await rowsOfOne(snapshotId(1001), 1);
  for (; count < 501; count += 1) {
    const other = { snapshot: snapshotId(1 + count), chunkCount: CHUNK_COUNT, base: root, changes: new Map() };
    await store.write(testWrite(content, other));
  }
  const besideMany = await rowsOfOne(snapshotId(1002), 2);
  context.diagnostic(JSON.stringify({ besideOne, besideMany }));
  assert.ok(besideOne > 10 && besideMany < besideOne + 20, `${besideOne} rows, then ${besideMany}`);
  await store[Symbol.asyncDispose]();

  // After a start all are compared, a few in each turn of the event loop.
  await using again = await openTestStore(objects, paths);
  const asked = { isAnswered: false };
  const answer = again.sizes([], []).finally(() => (asked.isAnswered = true));
  const turns: number[] = [];
  for (counted.take(); !asked.isAnswered; turns.push(counted.take())) await nextTurn();
  await answer;
  const all = turns.reduce((sum, one) => sum + one, 0);
  assert.ok(all > 1000 && Math.max(...turns) < 300, `rows in each turn: ${turns.join(' ')}`);
});

test('a snapshot that did not read is counted when it reads again', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects);
  await writeTwo(store);
  const name = `snapshots/${SECOND}`;
  const manifest = present(await objects.get(name), 'a manifest');
  const damaged = Buffer.from(manifest);
  damaged.writeUInt8(damaged.readUInt8(20) ^ 1, 20);
  await objects.put(name, [damaged]);
  for (let count = 0; count < 2; count += 1) assert.equal((await sizesOf(store)).length, 1);
  await objects.put(name, [manifest]);
  await using other = await openTestStore(objects);
  assert.deepEqual(await sizesOf(store), await sizesOf(other));
  assert.equal((await sizesOf(store)).length, 2);
});

test('a write that fails after its manifest was put is counted', async () => {
  const objects = new FailingReads();
  await using store = await openTestStore(objects);
  const changes = new Map([[0, 1]]);
  const write = { chunkCount: CHUNK_COUNT, changes };
  await store.write(testWrite(content, { ...write, snapshot: FIRST }));
  assert.equal((await sizesOf(store)).length, 1);
  objects.failing = `snapshots/${SECOND}`;
  await assert.rejects(store.write(testWrite(content, { ...write, snapshot: SECOND })), /does not read/);
  objects.failing = null;
  const sizes = await sizesOf(store);
  assert.deepEqual(
    sizes.map(({ snapshot }) => snapshot),
    [FIRST, SECOND],
  );
  assert.ok(sizes.every(({ sharedBytes }) => sharedBytes > 0));
});

/** Fails to read one object, once it is there. */
class FailingReads extends MemoryStore {
  failing: string | null = null;

  override async get(...values: Parameters<MemoryStore['get']>): ReturnType<MemoryStore['get']> {
    const bytes = await super.get(...values);
    if (bytes !== null && values[0] === this.failing) throw new Error('the object does not read');
    return bytes;
  }
}

test('a tally counts beyond a byte', () => {
  const tally = new Tally();
  for (let count = 1; count <= 600; count += 1) {
    assert.equal(tally.add(5_000_000), count);
    if (count <= 3) assert.equal(tally.add(4_095), count);
  }
  assert.equal(tally.add(4_096), 1);
});
