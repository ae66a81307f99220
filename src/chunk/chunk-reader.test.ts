import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { ChunkReader } from './chunk-reader.ts';
import { objectKeys, openChunkStore, storeChunks, TEST_ACCOUNT, TEST_MASTER_KEY } from './chunk-store.fixture.ts';
import { StoreError } from './errors.ts';
import { MemoryStore } from './memory-store.ts';
import { UnsealThreads } from './unseal-threads.ts';

const random = new SeededRandom(9);
const directory = scratchDirectory('chunk-reader');
const COUNT = 20;

/** Counts what is asked of it. */
class CountingStore extends MemoryStore {
  ranges: number[] = [];
  gate: Promise<void> = Promise.resolve();

  override async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    this.ranges.push(length);
    await this.gate;
    return super.getRange(key, offset, length);
  }
}

/** Some chunks, one behind the other in a pack, half of them compressible; and a reader with this many threads, all of them ready. */
async function readerOf(t: TestContext, threadCountMax: number) {
  const objects = new CountingStore();
  const store = await openChunkStore(objects);
  const plains = Array.from({ length: COUNT }, (_, at) =>
    at % 2 === 0 ? random.bytes(CHUNK_BYTES) : Buffer.alloc(CHUNK_BYTES, random.bytes(100)),
  );
  const keys = await storeChunks(store, plains);
  const threads = new UnsealThreads({ masterKey: TEST_MASTER_KEY, clock: systemClock, threadCountMax });
  const reader = new ChunkReader({ store, threads, threadCountMax });
  t.after(async () => {
    await reader[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  });
  threads.start(threadCountMax);
  while (threads.readyCount < threadCountMax) await systemClock.sleep(5);
  objects.ranges = [];
  return { objects, store, plains, keys, reader, threads };
}

const FOREGROUND = { background: false };

for (const threadCount of [0, 2]) {
  test(`chunks are what was stored, in the order in which they are asked for (${threadCount} threads)`, async (t) => {
    const { plains, keys, reader } = await readerOf(t, threadCount);
    const order = keys.map((_, at) => (at * 7) % COUNT);
    const orders = order.map((at) => ({ key: present(keys[at], 'a key'), place: null }));
    const reads = await Promise.all(reader.read(TEST_ACCOUNT, orders, FOREGROUND));
    for (const [turn, read] of reads.entries()) {
      assert.equal(read.kind, 'bytes');
      assert.ok(read.kind === 'bytes' && read.bytes.equals(present(plains[order[turn] ?? -1], 'a plaintext')));
    }
  });
}

test('what lies side by side is read in one go', async (t) => {
  const { keys, reader, objects } = await readerOf(t, 1);
  const orders = keys.slice(4, 10).map((key) => ({ key, place: null }));
  await Promise.all(reader.read(TEST_ACCOUNT, orders, FOREGROUND));
  assert.equal(objects.ranges.length, 1);
});

test('threads write chunks where they belong', async (t) => {
  const { plains, keys, reader } = await readerOf(t, 2);
  const path = join(directory, 'data');
  const descriptor = openSync(path, 'w+');
  t.after(() => closeSync(descriptor));
  const orders = keys.map((key, at) => ({ key, place: { descriptor, position: (COUNT - 1 - at) * CHUNK_BYTES } }));
  const reads = await Promise.all(reader.read(TEST_ACCOUNT, orders, { background: true }));
  assert.deepEqual(new Set(reads.map(({ kind }) => kind)), new Set(['placed']));
  assert.ok(readFileSync(path).equals(Buffer.concat(plains.toReversed())));
});

test('what cannot be written to its place is answered', async (t) => {
  const { plains, keys, reader } = await readerOf(t, 1);
  const descriptor = openSync(join(directory, 'data-read-only'), 'a+');
  closeSync(descriptor);
  const readOnly = openSync(join(directory, 'data-read-only'), 'r');
  t.after(() => closeSync(readOnly));
  const orders = keys.map((key, at) => ({ key, place: { descriptor: readOnly, position: at * CHUNK_BYTES } }));
  const reads = await Promise.all(reader.read(TEST_ACCOUNT, orders, FOREGROUND));
  for (const [at, read] of reads.entries()) {
    assert.ok(read.kind === 'bytes' && read.bytes.equals(present(plains[at], 'a plaintext')));
  }
});

test('a damaged chunk is told of as the store does it, and the others of its batch are there', async (t) => {
  const { objects, store, plains, keys, reader } = await readerOf(t, 1);
  const [pack] = await objectKeys(objects);
  const bytes = present(await objects.get(present(pack, 'a pack')), 'its bytes');
  const { offset, length } = present(store.index.find(TEST_ACCOUNT, present(keys[3], 'a key')), 'its place');
  bytes.writeUInt8(bytes.readUInt8(offset + length - 100) ^ 1, offset + length - 100);
  await objects.put(present(pack, 'a pack'), [bytes]);
  const orders = keys.slice(0, 8).map((key) => ({ key, place: null }));
  const reads = await Promise.allSettled(reader.read(TEST_ACCOUNT, orders, FOREGROUND));
  for (const [at, read] of reads.entries()) {
    if (at === 3) {
      assert.ok(read.status === 'rejected' && read.reason instanceof StoreError && read.reason.kind === 'damaged');
    } else {
      assert.ok(read.status === 'fulfilled' && read.value.kind === 'bytes');
      assert.ok(read.value.bytes.equals(present(plains[at], 'a plaintext')));
    }
  }
});

test('once it is aborted, what waits for the store ends at once and is written nowhere', async (t) => {
  const { objects, keys, reader } = await readerOf(t, 1);
  const path = join(directory, 'data-aborted');
  const descriptor = openSync(path, 'w+');
  t.after(() => closeSync(descriptor));
  const gate = Promise.withResolvers<void>();
  objects.gate = gate.promise;
  const abort = new AbortController();
  const orders = keys.map((key, at) => ({ key, place: { descriptor, position: at * CHUNK_BYTES } }));
  const reads = reader.read(TEST_ACCOUNT, orders, { background: false, signal: abort.signal });
  const settled = Promise.allSettled(reads);
  await systemClock.sleep(20);
  abort.abort(new Error('closed'));
  for (const read of await settled) assert.ok(read.status === 'rejected' && /closed/.test(String(read.reason)));
  gate.resolve();
  await systemClock.sleep(50);
  assert.equal(readFileSync(path).length, 0);
});

test('what waits behind the reads of others ends at once, too, when it is aborted', async (t) => {
  const { plains, objects, keys, reader } = await readerOf(t, 1);
  const gate = Promise.withResolvers<void>();
  objects.gate = gate.promise;
  const orders = keys.map((key) => ({ key, place: null }));
  const others = Promise.all([0, 1].flatMap(() => reader.read(TEST_ACCOUNT, orders, FOREGROUND)));
  const abort = new AbortController();
  const options = { background: false, signal: abort.signal };
  const own = Promise.allSettled(reader.read(TEST_ACCOUNT, orders, options));
  await systemClock.sleep(20);
  abort.abort(new Error('closed'));
  for (const read of await own) assert.ok(read.status === 'rejected' && /closed/.test(String(read.reason)));
  gate.resolve();
  assert.equal((await others).length, 2 * plains.length);
});

test('what is read in the background goes on while others read all the time', async (t) => {
  const { keys, reader } = await readerOf(t, 1);
  const orders = keys.map((key) => ({ key, place: null }));
  let doneCount = 0;
  const others = [0, 1, 2, 3, 4, 5].flatMap(() => reader.read(TEST_ACCOUNT, orders, FOREGROUND));
  const counted = Promise.all(others.map((other) => other.then(() => (doneCount += 1))));
  await Promise.all(reader.read(TEST_ACCOUNT, orders.slice(0, 1), { background: true }));
  assert.ok(doneCount < others.length / 2, `${doneCount} of ${others.length} came before it`);
  await counted;
});

test('a thread that ends leaves its chunks to the store', async (t) => {
  const { plains, keys, reader, threads } = await readerOf(t, 1);
  const orders = keys.map((key) => ({ key, place: null }));
  const reads = reader.read(TEST_ACCOUNT, orders, FOREGROUND);
  await threads[Symbol.asyncDispose]();
  for (const [at, read] of (await Promise.all(reads)).entries()) {
    assert.ok(read.kind === 'bytes' && read.bytes.equals(present(plains[at], 'a plaintext')));
  }
});
