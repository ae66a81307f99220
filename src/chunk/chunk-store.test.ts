import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { SeededRandom, systemRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { objectKeys, openChunkStore, storeChunks, TEST_ACCOUNT, TEST_ACCOUNT_OTHER } from './chunk-store.fixture.ts';
import type { ChunkStore } from './chunk-store.ts';
import { StoreError } from './errors.ts';
import { FaultStore } from './fault-store.ts';
import { MarkSet } from './mark-set.ts';
import { MemoryStore } from './memory-store.ts';
import { PACK_RECORDS_MAX } from './pack.ts';
import { adoptUnknown } from './reconcile.ts';
import { sweep } from './sweep.ts';

const random = new SeededRandom(4);
const directory = scratchDirectory('chunks');
let count = 0;
const newIndexPath = (): string => join(directory, `index-${(count += 1)}.db`);
const never = new AbortController().signal;

async function assertReads(store: ChunkStore, keys: readonly Buffer[], plains: readonly Buffer[]): Promise<void> {
  store.dropCaches();
  for (const [index, key] of keys.entries()) {
    assert((await store.readChunk(TEST_ACCOUNT, key)).equals(present(plains[index], 'a plaintext')));
  }
}

async function flipByte(objects: MemoryStore, objectKey: string, offset: number): Promise<void> {
  const bytes = present(await objects.get(objectKey), 'an object');
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
  await objects.put(objectKey, [bytes]);
}

test('what was stored reads back, also in the next process, also with the index lost', async () => {
  const objects = new MemoryStore();
  const indexPath = newIndexPath();
  const plains = [random.bytes(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES, 1), random.bytes(100)];
  let keys: Buffer[];
  {
    await using store = await openChunkStore(objects, { indexPath });
    keys = await storeChunks(store, plains);
    await assertReads(store, keys, plains);
  }
  for (const path of [indexPath, newIndexPath()]) {
    await using store = await openChunkStore(objects, { indexPath: path });
    await assertReads(store, keys, plains);
  }
});

test('an index that is no database, or one of another version, is made anew', async () => {
  const objects = new MemoryStore();
  const indexPath = newIndexPath();
  const plain = random.bytes(1000);
  let keys: Buffer[];
  {
    await using store = await openChunkStore(objects, { indexPath });
    keys = await storeChunks(store, [plain]);
  }
  await writeFile(indexPath, 'this is no database at all, but it is here'.repeat(100));
  await using store = await openChunkStore(objects, { indexPath });
  await assertReads(store, keys, [plain]);
});

test('equal content of one account is stored once, in one write or several', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  const plain = random.bytes(CHUNK_BYTES);
  await storeChunks(store, [plain, plain]);
  await storeChunks(store, [plain]);
  assert.equal((await objectKeys(objects)).length, 1);
});

test('one account finds nothing of another', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  const plain = random.bytes(1000);
  const [key] = await storeChunks(store, [plain]);
  const [otherKey] = await storeChunks(store, [plain], TEST_ACCOUNT_OTHER);
  assert.equal((await objectKeys(objects)).length, 2);
  assert(!present(key, 'a key').equals(present(otherKey, 'a key')));
  await assert.rejects(store.readChunk(TEST_ACCOUNT_OTHER, present(key, 'a key')), StoreError);
});

test('a full pack is stored while the next is being filled', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  const plains = Array.from({ length: 40 }, () => systemRandom.bytes(CHUNK_BYTES));
  const keys = await storeChunks(store, plains);
  assert((await objectKeys(objects)).length >= 2);
  await assertReads(store, keys, plains);
});

test('damage names chunk and pack, is never answered with bytes, and the chunk is stored anew by the next upload', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  const plain = random.bytes(CHUNK_BYTES);
  const [key] = await storeChunks(store, [plain]);
  assert(key !== undefined);
  const [pack] = await objectKeys(objects);
  assert(pack !== undefined);
  await flipByte(objects, pack, 5000);
  await assert.rejects(store.readChunk(TEST_ACCOUNT, key), (error) => {
    assert(error instanceof StoreError);
    assert.equal(error.kind, 'damaged');
    assert(error.message.includes(key.toString('hex')) && error.message.includes(pack));
    return true;
  });
  await storeChunks(store, [plain]);
  await assertReads(store, [key], [plain]);
});

test('a bad read is read again', async () => {
  const inner = new MemoryStore();
  const objects = new FaultStore(inner, new SeededRandom(5));
  await using store = await openChunkStore(objects);
  const plain = random.bytes(2000);
  const [key] = await storeChunks(store, [plain]);
  assert(key !== undefined);
  objects.rates = { bitFlip: 0.3, truncated: 0.2 };
  let goodCount = 0;
  for (let attempt = 0; attempt < 100; attempt += 1) {
    store.dropCaches();
    try {
      assert((await store.readChunk(TEST_ACCOUNT, key)).equals(plain));
      goodCount += 1;
    } catch (error) {
      assert(error instanceof StoreError && error.kind === 'damaged');
    }
  }
  assert(goodCount > 60, `${goodCount} of 100 reads`);
});

test('a write does not finish when the store holds something else than was put, and leaves nothing', async () => {
  const inner = new MemoryStore();
  const objects = new FaultStore(inner, new SeededRandom(6));
  await using store = await openChunkStore(objects);
  objects.rates = { badPut: 1 };
  await assert.rejects(storeChunks(store, [random.bytes(1000)]), (error) => {
    return error instanceof StoreError && error.kind === 'damaged';
  });
  assert.deepEqual(await objectKeys(inner), []);
  assert(store.index.isEmpty);
});

test('a full disk is told as such, and the same write succeeds later', async () => {
  const objects = new FaultStore(new MemoryStore(), new SeededRandom(7));
  await using store = await openChunkStore(objects);
  const plain = random.bytes(1000);
  objects.rates = { noSpace: 1 };
  await assert.rejects(storeChunks(store, [plain]), (error) => {
    return error instanceof StoreError && error.kind === 'no-space';
  });
  objects.rates = {};
  await assertReads(store, await storeChunks(store, [plain]), [plain]);
});

test('another master key, or a store that is suddenly empty, is refused', async () => {
  const objects = new MemoryStore();
  const indexPath = newIndexPath();
  {
    await using store = await openChunkStore(objects, { indexPath });
    await storeChunks(store, [random.bytes(10)]);
  }
  await assert.rejects(openChunkStore(objects, { masterKey: Buffer.alloc(32, 8) }), /another master key/);
  await assert.rejects(openChunkStore(new MemoryStore(), { indexPath }), /is its disk mounted/);
  await objects.put('repository', [Buffer.from('{"format":"varve-repository","version":9}')]);
  await assert.rejects(openChunkStore(objects), /of format 9/);
  const old = { format: 'varve-repository', version: 1, keyCheck: '0'.repeat(64) };
  await objects.put('repository', [Buffer.from(`${JSON.stringify(old)}\n`)]);
  await assert.rejects(openChunkStore(objects), (error) => {
    assert(error instanceof StoreError && error.kind === 'damaged');
    assert.match(
      error.message,
      /^the object store is of format 1, and this version of varve reads and writes format 2 only$/,
    );
    return true;
  });
  await objects.delete('repository');
  await assert.rejects(openChunkStore(objects), /no object repository/);
});

/** Packs made by a process that sees none of the others: a record that is stored already is stored again. */
async function makePacksApart(objects: MemoryStore, packs: readonly (readonly Buffer[])[]): Promise<Buffer[]> {
  const keys: Buffer[] = [];
  for (const plains of packs) {
    const apart = new MemoryStore();
    await apart.put('repository', [present(await objects.get('repository'), 'an object')]);
    await using store = await openChunkStore(apart);
    keys.push(...(await storeChunks(store, plains)));
    for (const key of await objectKeys(apart)) await objects.put(key, [present(await apart.get(key), 'an object')]);
  }
  return keys;
}

test('a pack that the index does not know is taken in, unless it is damaged', async () => {
  const objects = new MemoryStore();
  const indexPath = newIndexPath();
  const [one, two, three] = [random.bytes(1000), random.bytes(1000), random.bytes(1000)];
  {
    await using store = await openChunkStore(objects, { indexPath });
    await storeChunks(store, [one]);
  }
  const before = await objectKeys(objects);
  const [damagedKey] = await makePacksApart(objects, [[three]]);
  for (const pack of await objectKeys(objects)) if (!before.includes(pack)) await flipByte(objects, pack, 100);
  const keys = await makePacksApart(objects, [[one], [two]]);
  await using store = await openChunkStore(objects, { indexPath });
  await assertReads(store, keys, [one, two]);
  await assert.rejects(store.readChunk(TEST_ACCOUNT, present(damagedKey, 'a key')), /is in no pack/);
  assert.equal((await objectKeys(objects)).length, 4);
});

test('when a pack is gone, its chunks are read from wherever else they lie, and are told damaged otherwise', async () => {
  const objects = new MemoryStore();
  const indexPath = newIndexPath();
  const twice = random.bytes(1000);
  const once = random.bytes(1000);
  let keys: Buffer[];
  {
    await using store = await openChunkStore(objects, { indexPath });
    keys = await storeChunks(store, [twice, once]);
  }
  const [gone] = await objectKeys(objects);
  await makePacksApart(objects, [[twice]]);
  {
    await using store = await openChunkStore(objects, { indexPath });
    await assertReads(store, keys, [twice, once]);
  }
  await objects.delete(present(gone, 'a pack'));
  await using store = await openChunkStore(objects, { indexPath });
  await assertReads(store, keys.slice(0, 1), [twice]);
  await assert.rejects(store.readChunk(TEST_ACCOUNT, present(keys[1], 'a key')), /is in no pack/);
});

test('an index from before it was last made anew is made anew again', async () => {
  const objects = new MemoryStore();
  const indexPath = newIndexPath();
  const [kept, doomed] = [Buffer.alloc(1000, 1), Buffer.alloc(1000, 2)];
  let keys: Buffer[];
  {
    // Half of the pack is deleted: the record is still in it, and the index does not say so.
    await using store = await openChunkStore(objects, { indexPath });
    keys = await storeChunks(store, [kept, doomed]);
    const marks = new MarkSet();
    marks.add(present(store.index.findMark(TEST_ACCOUNT, present(keys[0], 'a key')), 'a mark').mark);
    await sweep(store, { marks, bound: store.index.nextEpoch(), signal: never });
    await assert.rejects(store.readChunk(TEST_ACCOUNT, present(keys[1], 'a key')), StoreError);
  }
  {
    // A new index finds it there, and an upload builds on it.
    await using store = await openChunkStore(objects);
    await storeChunks(store, [doomed]);
    assert.equal((await objectKeys(objects)).length, 1);
  }
  await using store = await openChunkStore(objects, { indexPath });
  await assertReads(store, keys, [kept, doomed]);
});

test('a list that leaves packs out at open loses nothing', async () => {
  const inner = new MemoryStore();
  const indexPath = newIndexPath();
  const plain = random.bytes(1000);
  let keys: Buffer[];
  {
    await using store = await openChunkStore(inner, { indexPath });
    keys = await storeChunks(store, [plain]);
  }
  const objects = new FaultStore(inner, new SeededRandom(8));
  objects.rates = { forgetful: 1 };
  await using store = await openChunkStore(objects, { indexPath });
  await assertReads(store, keys, [plain]);
});

test('a sweep deletes what is not marked and is older than the bound, and the packs with it', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  const [kept, , doomed] = await storeChunks(
    store,
    [1, 2, 3].map((byte) => Buffer.alloc(1000, byte)),
  );
  await storeChunks(store, [random.bytes(1000)]);
  const bound = store.index.nextEpoch();
  const marks = new MarkSet();
  marks.add(present(store.index.findMark(TEST_ACCOUNT, present(kept, 'a key')), 'a mark').mark);
  const report = await sweep(store, { marks, bound, signal: never });
  assert.equal(report.deletedChunks, 3);
  assert(report.freedBytes > 0);
  // One pack was deleted and the other, two thirds unread, rewritten.
  assert.equal((await objectKeys(objects)).length, 1);
  await assertReads(store, [present(kept, 'a key')], [Buffer.alloc(1000, 1)]);
  await assert.rejects(store.readChunk(TEST_ACCOUNT, present(doomed, 'a key')), /is in no pack/);
});

test('a sweep spares what was stored or found again since the bound', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  const old = Buffer.alloc(1000, 1);
  const keys = await storeChunks(store, [old]);
  const bound = store.index.nextEpoch();
  const fresh = Buffer.alloc(1000, 2);
  keys.push(...(await storeChunks(store, [old, fresh])).slice(1));
  const report = await sweep(store, { marks: new MarkSet(), bound, signal: never });
  assert.equal(report.deletedChunks, 0);
  await assertReads(store, keys, [old, fresh]);
});

test('a pack of many small records is closed early, and rewritten a page of rows at a time', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  const plains = Array.from({ length: PACK_RECORDS_MAX + 100 }, (_, n) => Buffer.from(`content ${n}`));
  const keys = await storeChunks(store, plains);
  assert.equal((await objectKeys(objects)).length, 2);
  const marks = new MarkSet();
  const isKept = (_: unknown, n: number): boolean => n % 3 === 0;
  const kept = keys.filter(isKept);
  for (const key of kept) marks.add(present(store.index.findMark(TEST_ACCOUNT, key), 'a mark').mark);
  const report = await sweep(store, { marks, bound: store.index.nextEpoch(), signal: never });
  assert.equal(report.deletedChunks, keys.length - kept.length);
  assert.equal((await objectKeys(objects)).length, 1);
  await assertReads(store, kept, plains.filter(isKept));
});

test('many small packs are put together, once', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  const plains = Array.from({ length: 20 }, () => random.bytes(500));
  const keys: Buffer[] = [];
  for (const plain of plains) keys.push(...(await storeChunks(store, [plain])));
  assert.equal((await objectKeys(objects)).length, 20);
  const keepAll = { marks: new MarkSet(), bound: 0, signal: never };
  await sweep(store, keepAll);
  const packs = await objectKeys(objects);
  assert.equal(packs.length, 1);
  await sweep(store, keepAll);
  assert.deepEqual(await objectKeys(objects), packs);
  await assertReads(store, keys, plains);
});

for (const fate of ['lost', 'kept'] as const) {
  test(`a chunk that rotted and was stored again outlives a sweep, its index ${fate}`, async () => {
    for (let round = 0; round < 8; round += 1) {
      const objects = new MemoryStore();
      const indexPath = newIndexPath();
      const plain = random.bytes(CHUNK_BYTES);
      let keys: Buffer[];
      {
        await using store = await openChunkStore(objects, { indexPath });
        keys = await storeChunks(store, [plain]);
        const [rotten] = await objectKeys(objects);
        await flipByte(objects, present(rotten, 'a pack'), 5000);
        await assert.rejects(store.readChunk(TEST_ACCOUNT, present(keys[0], 'a key')), StoreError);
        await storeChunks(store, [plain]);
      }
      await using store = await openChunkStore(objects, fate === 'lost' ? {} : { indexPath });
      await sweep(store, { marks: new MarkSet(), bound: 0, signal: never });
      await assertReads(store, keys, [plain]);
    }
  });
}

test('a sweep does not delete the only whole copy, though the index reads from a damaged one', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  const plain = random.bytes(CHUNK_BYTES);
  const keys = await storeChunks(store, [plain]);
  const [rotten] = await objectKeys(objects);
  await makePacksApart(objects, [[plain]]);
  await adoptUnknown(store, { checkRecords: true });
  // After it was taken in, so that only the sweep can see it.
  await flipByte(objects, present(rotten, 'a pack'), 5000);
  await sweep(store, { marks: new MarkSet(), bound: 0, signal: never });
  await assertReads(store, keys, [plain]);
});
