/** Deltas in a store: what they rest on, what becomes of them when that is damaged, lost, collected or stored again. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';

import { differingBlocks, emptyBlockSet, type BlockSet } from './block-set.ts';
import { objectKeys, openChunkStore, storeChunks, TEST_ACCOUNT } from './chunk-store.fixture.ts';
import type { ChunkStore } from './chunk-store.ts';
import { DELTA_DEPTH_MAX, type SealWish } from './chunk-writer.ts';
import { StoreError } from './errors.ts';
import { MarkSet } from './mark-set.ts';
import { MemoryStore } from './memory-store.ts';
import { PackBuilder, packObjectKey } from './pack.ts';
import { adoptUnknown } from './reconcile.ts';
import { sealAsOrdered, type Sealed } from './seal-batch.ts';
import { addressOf, NONCE_BYTES, sealDelta, sealRecord, type AccountKeys } from './seal.ts';
import { sweep } from './sweep.ts';

const random = new SeededRandom(11);
const directory = scratchDirectory('deltas');
let indexCount = 0;
const newIndexPath = (): string => join(directory, `index-${(indexCount += 1)}.db`);
const never = new AbortController().signal;

/** The n-th content of a row: each differs from the one before in one block, and from the first in some. */
const first = random.bytes(CHUNK_BYTES);
const contents = [first];
for (let n = 1; n < 14; n += 1) {
  const next = Buffer.from(present(contents[n - 1], 'the content before'));
  random.bytes(BLOCK_BYTES).copy(next, (n % 5) * BLOCK_BYTES);
  contents.push(next);
}
const contentAt = (n: number): Buffer => present(contents[n], 'a content');
const keyAt = (store: ChunkStore, n: number): Buffer => addressOf(store.keysOf(TEST_ACCOUNT), 'chunk', contentAt(n));

/** Stores a content on top of another, as an upload does; what became of it. */
async function storeOn(
  store: ChunkStore,
  n: number,
  base: number | null,
  changed: BlockSet | null = null,
): Promise<Sealed> {
  await using writer = store.beginWrite(TEST_ACCOUNT);
  const key = keyAt(store, n);
  const [order] = await writer.order([{ key, base: base === null ? null : keyAt(store, base), changed }]);
  const chunk = { plain: contentAt(n), key };
  const sealed = sealAsOrdered(store.keysOf(TEST_ACCOUNT), chunk, present(order, 'an order'), random);
  if (sealed.record !== null) await writer.add(sealed.record);
  await writer.finish();
  return sealed;
}

const kindAt = (store: ChunkStore, n: number): string | null =>
  store.index.find(TEST_ACCOUNT, keyAt(store, n))?.kind ?? null;

async function assertReads(store: ChunkStore, ...ns: number[]): Promise<void> {
  store.dropCaches();
  for (const n of ns)
    assert((await store.readChunk(TEST_ACCOUNT, keyAt(store, n))).equals(contentAt(n)), `content ${n}`);
}

async function assertDamaged(store: ChunkStore, n: number, why: RegExp): Promise<void> {
  store.dropCaches();
  await assert.rejects(store.readChunk(TEST_ACCOUNT, keyAt(store, n)), (error) => {
    assert(error instanceof StoreError && error.kind === 'damaged', String(error));
    assert.match(error.message, why);
    return true;
  });
}

/** Flips a bit in the record that the index names. */
async function damage(objects: MemoryStore, store: ChunkStore, n: number): Promise<void> {
  const place = present(store.index.find(TEST_ACCOUNT, keyAt(store, n)), 'a record');
  const objectKey = packObjectKey({ account: TEST_ACCOUNT, id: place.pack });
  const pack = present(await objects.get(objectKey), 'a pack');
  const at = place.offset + place.length - 20;
  pack.writeUInt8(pack.readUInt8(at) ^ 1, at);
  await objects.put(objectKey, [pack]);
}

test('a chunk of which some blocks changed is stored as those blocks, with a hint or without', async () => {
  await using store = await openChunkStore(new MemoryStore());
  await storeOn(store, 0, null);
  const { record } = await storeOn(store, 1, 0);
  assert((record?.length ?? 0) < BLOCK_BYTES + 200);
  const hinted = await storeOn(store, 2, 1, differingBlocks(contentAt(2), contentAt(1)));
  assert((hinted.record?.length ?? 0) < BLOCK_BYTES + 200);
  assert.deepEqual([kindAt(store, 0), kindAt(store, 1), kindAt(store, 2)], ['chunk', 'delta', 'delta']);
  await assertReads(store, 2, 1, 0);
  assert.equal((await storeOn(store, 1, 0)).record, null);
});

class CountingStore extends MemoryStore {
  readCount = 0;

  override getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    this.readCount += 1;
    return super.getRange(key, offset, length);
  }
}

test('a hint spares the reading of the base', async () => {
  const objects = new CountingStore();
  await using store = await openChunkStore(objects);
  await storeOn(store, 0, null);
  // Of some hints one is checked, by the address: of these, none is.
  const ns = [1, 2, 3, 4].filter((n) => keyAt(store, n).readUInt8(0) % 64 !== 0);
  await using writer = store.beginWrite(TEST_ACCOUNT);
  const wish = (n: number, changed: BlockSet | null): SealWish => ({
    key: keyAt(store, n),
    base: keyAt(store, 0),
    changed,
  });
  objects.readCount = 0;
  const hinted = await writer.order(ns.map((n) => wish(n, differingBlocks(contentAt(n), contentAt(0)))));
  assert.equal(objects.readCount, 0);
  assert(hinted.every((order) => order.type === 'delta' && order.chain === null));
  // Without hints the base of all of them is read once.
  const orders = await writer.order([5, 6, 7].map((n) => wish(n, null)));
  assert.equal(objects.readCount, 1);
  for (const order of orders) assert(order.type === 'delta' && order.chain?.[0]?.record.length === order.fullBytes);
});

test('a chunk of which most changed, or that takes little room anyway, is stored whole', async () => {
  await using store = await openChunkStore(new MemoryStore());
  const small = Buffer.alloc(CHUNK_BYTES, 'small');
  const other = Buffer.from(small);
  other.fill('other', 0, BLOCK_BYTES);
  const half = Buffer.from(first);
  for (let block = 0; block < 65; block += 1) random.bytes(BLOCK_BYTES).copy(half, block * BLOCK_BYTES);
  const keys = store.keysOf(TEST_ACCOUNT);
  for (const [base, plain] of [
    [small, other],
    [first, half],
  ] as const) {
    await storeChunks(store, [base]);
    await using writer = store.beginWrite(TEST_ACCOUNT);
    const key = addressOf(keys, 'chunk', plain);
    const [order] = await writer.order([{ key, base: addressOf(keys, 'chunk', base), changed: null }]);
    const { record } = sealAsOrdered(keys, { plain, key }, present(order, 'an order'), random);
    assert.equal(record?.readUInt8(0), 1);
    await writer.add(present(record, 'a record'));
    await writer.finish();
  }
});

test(`no more than ${DELTA_DEPTH_MAX} deltas rest on each other`, async () => {
  await using store = await openChunkStore(new MemoryStore());
  await storeOn(store, 0, null);
  const kinds: (string | null)[] = [];
  for (let n = 1; n < 12; n += 1) {
    await storeOn(store, n, n - 1, n % 2 === 0 ? null : differingBlocks(contentAt(n), contentAt(n - 1)));
    kinds.push(kindAt(store, n));
  }
  assert.deepEqual(kinds.indexOf('chunk'), DELTA_DEPTH_MAX);
  assert.equal(kinds.filter((kind) => kind === 'chunk').length, 1);
  await assertReads(store, ...kinds.keys());
});

test('damage of a base is damage of all that need it, by name; stored again, it heals all', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  await storeOn(store, 0, null);
  for (let n = 1; n < 4; n += 1) await storeOn(store, n, n - 1);
  await damage(objects, store, 0);
  for (const n of [3, 1, 2]) {
    await assertDamaged(store, n, new RegExp(`${keyAt(store, n).toString('hex')}.*${keyAt(store, 0).toString('hex')}`));
  }
  await assertDamaged(store, 0, /fails its authentication/);
  await storeOn(store, 0, null);
  await assertReads(store, 0, 1, 2, 3);
  // Damage in the middle leaves what is below it.
  await damage(objects, store, 2);
  await assertDamaged(store, 3, new RegExp(keyAt(store, 2).toString('hex')));
  await assertReads(store, 0, 1);
});

test('what rests on damage counts as absent, is stored again whole, and nothing new rests on it', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  await storeOn(store, 0, null);
  for (let n = 1; n < 4; n += 1) await storeOn(store, n, n - 1);
  await damage(objects, store, 1);
  await assertDamaged(store, 3, /authentication/);
  assert.equal((await storeOn(store, 4, 3)).record?.readUInt8(0), 1);
  assert.equal((await storeOn(store, 3, 4)).record?.readUInt8(0), 3);
  await assertReads(store, 3, 4, 0);
  // Content 2 rests on 1 still.
  await assertDamaged(store, 2, /authentication/);
  await storeOn(store, 1, 2);
  assert.equal(kindAt(store, 1), 'chunk');
  await assertReads(store, 0, 1, 2, 3, 4);
});

test('a base that does not read is found out by who compares with it', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  await storeOn(store, 0, null);
  await damage(objects, store, 0);
  const { record, finding } = await storeOn(store, 1, 0);
  assert.equal(finding, 'base-damaged');
  assert.equal(record?.readUInt8(0), 1);
  await assertReads(store, 1);
});

test('a wrong hint is found when it is compared, and by the address when it is not', async () => {
  await using store = await openChunkStore(new MemoryStore());
  await storeOn(store, 0, null);
  const key = keyAt(store, 1);
  const keys = store.keysOf(TEST_ACCOUNT);
  const wrong = emptyBlockSet();
  wrong[3] = 1;
  const links = present(store.index.claimBase(TEST_ACCOUNT, keyAt(store, 0), key), 'a base');
  const [record] = await store.fetchLinks(TEST_ACCOUNT, links);
  const chain = [{ key: keyAt(store, 0), record: present(record, 'a record') }];
  const order = { type: 'delta', base: keyAt(store, 0), fullBytes: CHUNK_BYTES, changed: wrong } as const;
  const chunk = { plain: contentAt(1), key };
  assert.equal(sealAsOrdered(keys, chunk, { ...order, chain }, random).finding, 'hint-wrong');
  const empty = { ...order, changed: emptyBlockSet(), chain: null };
  assert.equal(sealAsOrdered(keys, chunk, empty, random).finding, 'hint-wrong');
  await using writer = store.beginWrite(TEST_ACCOUNT);
  writer.claim([key]);
  await writer.add(present(sealAsOrdered(keys, chunk, { ...order, chain: null }, random).record, 'a record'));
  await writer.finish();
  await writer.distrustDeltas();
  await storeOn(store, 1, null);
  await assertReads(store, 1, 0);
});

test('a delta that gives another chunk is to blame itself, not its base', async () => {
  await using store = await openChunkStore(new MemoryStore());
  await storeOn(store, 0, null);
  const wrong = emptyBlockSet();
  wrong[3] = 1;
  const n = present(
    [1, 2, 3].find((candidate) => keyAt(store, candidate).readUInt8(0) % 64 !== 0),
    'a content whose hint is not checked',
  );
  await storeOn(store, n, 0, wrong);
  await assertDamaged(store, n, /does not have its address/);
  await assertReads(store, 0);
  assert.equal((await storeOn(store, n, 0)).record?.readUInt8(0), 3);
  await assertReads(store, n);
});

test('a base that is whole and wrong is to blame for what rests on it', async () => {
  await using store = await openChunkStore(new MemoryStore());
  await storeOn(store, 0, null);
  const wrong = emptyBlockSet();
  wrong[3] = 1;
  const isUnchecked = (n: number): boolean => keyAt(store, n).readUInt8(0) % 64 !== 0;
  const n = present(
    contents.keys().find((at) => at > 0 && isUnchecked(at) && isUnchecked(at + 1)),
    'two contents whose hints are not checked',
  );
  await storeOn(store, n, 0, wrong);
  await storeOn(store, n + 1, n, differingBlocks(contentAt(n + 1), contentAt(n)));
  await assertDamaged(store, n + 1, new RegExp(`${keyAt(store, n).toString('hex')} .*does not have its address`));
  // The other one is not suspect itself: it heals with its base.
  await storeOn(store, n, null);
  await assertReads(store, n + 1, n, 0);
});

/** Puts the pack with the n-th content into the objects, made by a store that sees nothing of what is there. */
async function putApart(objects: MemoryStore, fill: (apart: ChunkStore) => Promise<unknown>, n: number): Promise<void> {
  const apart = new MemoryStore();
  await apart.put('repository', [present(await objects.get('repository'), 'an object')]);
  await using store = await openChunkStore(apart);
  await fill(store);
  const place = present(store.index.find(TEST_ACCOUNT, keyAt(store, n)), 'a record');
  const key = packObjectKey({ account: TEST_ACCOUNT, id: place.pack });
  await objects.put(key, [present(await apart.get(key), 'a pack')]);
}

test('a record that is turned to a copy that is a delta keeps what that needs', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  await storeOn(store, 0, null);
  await storeOn(store, 1, null);
  await putApart(objects, async (apart) => [await storeOn(apart, 0, null), await storeOn(apart, 1, 0)], 1);
  await damage(objects, store, 1);
  const bound = store.index.nextEpoch();
  store.index.claim(TEST_ACCOUNT, [keyAt(store, 1)]);
  await adoptUnknown(store, { checkRecords: true });
  assert.equal(kindAt(store, 1), 'delta');
  await sweep(store, { marks: new MarkSet(), bound, signal: never });
  await assertReads(store, 1, 0);
});

test('a record is not turned to a delta whose base is not there', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  await storeOn(store, 1, null);
  store.index.suspect(TEST_ACCOUNT, keyAt(store, 1));
  await putApart(objects, async (apart) => [await storeOn(apart, 0, null), await storeOn(apart, 1, 0)], 1);
  await adoptUnknown(store, { checkRecords: true });
  assert.equal(kindAt(store, 1), 'chunk');
  await assertReads(store, 1);
});

test('an index made anew knows what deltas need, in whatever order the packs come', async () => {
  for (let round = 0; round < 6; round += 1) {
    const objects = new MemoryStore();
    {
      await using store = await openChunkStore(objects);
      await storeOn(store, 0, null);
      for (let n = 1; n < 5; n += 1) await storeOn(store, n, n - 1);
    }
    await using store = await openChunkStore(objects);
    await assertReads(store, 4, 3, 2, 1, 0);
    assert.equal(store.index.chain(TEST_ACCOUNT, keyAt(store, 4))?.length, 5);
    await sweep(store, { marks: new MarkSet(), bound: 0, signal: never });
    await assertReads(store, 4, 3, 2, 1, 0);
  }
});

test('of two copies an index made anew takes the whole one, so that two deltas never need each other', async () => {
  for (let round = 0; round < 8; round += 1) {
    const objects = new MemoryStore();
    {
      await using store = await openChunkStore(objects);
      await storeOn(store, 0, null);
      await storeOn(store, 1, 0);
    }
    {
      // In a store that sees none of that: the other way round.
      const apart = new MemoryStore();
      await apart.put('repository', [present(await objects.get('repository'), 'an object')]);
      await using store = await openChunkStore(apart);
      await storeOn(store, 1, null);
      await storeOn(store, 0, 1);
      for (const key of await objectKeys(apart)) await objects.put(key, [present(await apart.get(key), 'a pack')]);
    }
    await using store = await openChunkStore(objects);
    assert.deepEqual([kindAt(store, 0), kindAt(store, 1)], ['chunk', 'chunk']);
    await assertReads(store, 0, 1);
    await sweep(store, { marks: new MarkSet(), bound: 0, signal: never });
    await assertReads(store, 0, 1);
  }
});

test('an index made anew finds the copies that read, though those that rest on lost bases come first', async () => {
  const objects = new MemoryStore();
  let keys: AccountKeys;
  {
    await using store = await openChunkStore(objects);
    keys = store.keysOf(TEST_ACCOUNT);
  }
  const nonce = (): Buffer => random.bytes(NONCE_BYTES);
  const address = (n: number): Buffer => addressOf(keys, 'chunk', contentAt(n));
  const deltaOf = (n: number, base: number): Buffer =>
    sealDelta({
      ...{ keys, key: address(n), plain: contentAt(n), base: address(base), nonce: nonce() },
      changed: differingBlocks(contentAt(n), contentAt(base)),
    });
  const whole = sealRecord({ keys, kind: 'chunk', key: address(5), plain: contentAt(5), nonce: nonce() });
  // In the order in which they are read. Content 0 is lost.
  const records = [deltaOf(1, 0), deltaOf(2, 0), deltaOf(3, 0), deltaOf(3, 2), deltaOf(2, 1), deltaOf(1, 5), whole];
  for (const [at, record] of records.entries()) {
    const builder = new PackBuilder({ account: TEST_ACCOUNT, id: String(at).padStart(32, '0') });
    builder.add(record);
    await objects.put(packObjectKey(builder.name), builder.finish());
  }
  await using store = await openChunkStore(objects);
  await assertReads(store, 3, 2, 1, 5);
  assert.deepEqual(store.index.claim(TEST_ACCOUNT, [address(3)]), [true]);
});

test('a delta whose base is gone is damage, counts as absent, and reads again once the base is back', async () => {
  const objects = new MemoryStore();
  const packs: string[] = [];
  {
    await using store = await openChunkStore(objects);
    await storeOn(store, 0, null);
    packs.push(...(await objectKeys(objects)));
    await storeOn(store, 1, 0);
  }
  await objects.delete(present(packs[0], 'a pack'));
  await using store = await openChunkStore(objects, { indexPath: newIndexPath() });
  await assertDamaged(store, 1, /needs chunk [0-9a-f]{64}, which is in no pack/);
  assert.deepEqual(store.index.claim(TEST_ACCOUNT, [keyAt(store, 1)]), [false]);
  assert.equal(store.index.claimBase(TEST_ACCOUNT, keyAt(store, 1), keyAt(store, 2)), null);
  await storeOn(store, 0, null);
  await assertReads(store, 1, 0);
});

test('no delta rests on itself, however it got there', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  await storeOn(store, 0, null);
  await storeOn(store, 1, 0);
  await damage(objects, store, 0);
  store.index.suspect(TEST_ACCOUNT, keyAt(store, 0));
  // Its own upload on top of what needs it: whole.
  assert.equal((await storeOn(store, 0, 1)).record?.readUInt8(0), 1);
  assert.equal(store.index.claimBase(TEST_ACCOUNT, keyAt(store, 1), keyAt(store, 0)), null);
  await assertReads(store, 0, 1);
});

test('a sweep keeps what a delta needs as long as it keeps the delta', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  await storeOn(store, 0, null);
  await storeOn(store, 1, 0);
  await storeOn(store, 2, 1);
  const bound = store.index.nextEpoch();
  // Found again in the new epoch: with all that it needs.
  assert.equal((await storeOn(store, 2, null)).record, null);
  const kept = await sweep(store, { marks: new MarkSet(), bound, signal: never });
  assert.equal(kept.deletedChunks, 0);
  await assertReads(store, 2, 1, 0);
  const later = store.index.nextEpoch();
  // A delta stored in the new epoch takes its base along too.
  await storeOn(store, 3, 1);
  const swept = await sweep(store, { marks: new MarkSet(), bound: later, signal: never });
  assert.equal(swept.deletedChunks, 1);
  await assertReads(store, 3, 1, 0);
  assert.equal(kindAt(store, 2), null);
  const all = await sweep(store, { marks: new MarkSet(), bound: store.index.nextEpoch(), signal: never });
  assert.equal(all.deletedChunks, 3);
  assert.deepEqual(await objectKeys(objects), []);
});

test('a delta added in a later epoch than its base was claimed in keeps the base', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  await storeOn(store, 0, null);
  const keys = store.keysOf(TEST_ACCOUNT);
  let bound: number;
  {
    await using writer = store.beginWrite(TEST_ACCOUNT);
    const key = keyAt(store, 1);
    const [order] = await writer.order([{ key, base: keyAt(store, 0), changed: null }]);
    bound = store.index.nextEpoch();
    const chunk = { plain: contentAt(1), key };
    await writer.add(present(sealAsOrdered(keys, chunk, present(order, 'an order'), random).record, 'a record'));
    await writer.finish();
  }
  // The writer is gone, and another began in between: the bound is the epoch of the delta's row.
  await sweep(store, { marks: new MarkSet(), bound, signal: never });
  await assertReads(store, 1, 0);
});

test('packs with deltas are rewritten as others are', async () => {
  const objects = new MemoryStore();
  await using store = await openChunkStore(objects);
  await storeOn(store, 0, null);
  for (let n = 1; n < 8; n += 1) await storeOn(store, n, n - 1);
  const before = (await objectKeys(objects)).length;
  const marks = new MarkSet();
  for (let n = 0; n < 8; n += 1) marks.add(present(store.index.findMark(TEST_ACCOUNT, keyAt(store, n)), 'a row').mark);
  await sweep(store, { marks, bound: store.index.nextEpoch(), signal: never });
  assert((await objectKeys(objects)).length < before);
  await assertReads(store, 7, 0, 3);
  assert.equal(kindAt(store, 7), 'delta');
});
