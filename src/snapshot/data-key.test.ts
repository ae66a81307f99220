import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { TEST_ACCOUNT, TEST_ACCOUNT_OTHER, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { dataKeyIdOf } from '#chunk/data-key-ring.ts';
import { StoreError } from '#chunk/errors.ts';
import { InlineSealPool } from '#chunk/inline-seal-pool.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { parsePackObjectKey, readPackEntries } from '#chunk/pack.ts';
import type { SealPool } from '#chunk/seal-pool.ts';
import { accountKeys, associatedData, derive, parseRecordHeader } from '#chunk/seal.ts';
import { ThreadSealPool } from '#chunk/thread-seal-pool.ts';
import { BLOCK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { openSnapshotStore } from './object-snapshot-store.ts';
import { ContentFile, contentNumber, contentOf, snapshotId, testLabel, testWrite } from './snapshot-store.fixture.ts';
import type { SnapshotCopy, SnapshotStore, SnapshotWrite } from './snapshot-store.ts';
import { verifyTest } from './verify.fixture.ts';

const content = new ContentFile(20);
const keyA = Buffer.alloc(32, 0xa1);
const keyB = Buffer.alloc(32, 0xb2);
const idA = dataKeyIdOf(keyA);
const idB = dataKeyIdOf(keyB);
const never = new AbortController().signal;
const quiet = { signal: never, onProgress: () => {} };
const [first, second, third, fourth] = [snapshotId(1), snapshotId(2), snapshotId(3), snapshotId(4)];

async function open(
  objects: MemoryStore,
  pool: SealPool | null = null,
  readThreadCountMax = 0,
): Promise<SnapshotStore> {
  const random = new SeededRandom(23);
  return await openSnapshotStore({
    objects,
    indexPath: ':memory:',
    masterKey: TEST_MASTER_KEY,
    random,
    log: silentLog,
    clock: pool === null ? new VirtualClock() : systemClock,
    spoolDirectory: join(scratchDirectory('data-key'), 'spool'),
    readThreadCountMax,
    pool: pool ?? new InlineSealPool({ masterKey: TEST_MASTER_KEY, random }),
  });
}

function copyJob(
  snapshot: SnapshotId,
  source: SnapshotId,
  dataKey: string | null,
  account = TEST_ACCOUNT,
): SnapshotCopy {
  return { label: { ...testLabel(snapshot, 300), account }, source, dataKey, ...quiet };
}

function job(
  snapshot: SnapshotId,
  changes: ReadonlyMap<number, number | null>,
  more: Partial<SnapshotWrite> = {},
): SnapshotWrite {
  return { ...testWrite(content, { snapshot, chunkCount: 300, changes }), dataKey: idA, ...more };
}

async function numbersOf(store: SnapshotStore, snapshot: SnapshotId): Promise<ReadonlyMap<number, number>> {
  using held = await store.hold(snapshot);
  const { blocks } = await store.listBlocks(snapshot, 0, 1000);
  const wanted = blocks.map(({ index }) => ({ index, place: null }));
  const reads = await Promise.all(store.readChunks(held.account, held.root, wanted, { background: false }));
  return new Map(
    blocks.map(({ index }, at) => {
      const read = reads[at];
      assert.ok(read !== null && read !== undefined && read.kind === 'bytes');
      return [index, contentNumber(read.bytes)];
    }),
  );
}

async function keysOf(store: SnapshotStore, snapshot: SnapshotId): Promise<ReadonlySet<string>> {
  return new Set((await store.listBlocks(snapshot, 0, 1000)).blocks.map(({ key }) => key));
}

async function needsKey(work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => error instanceof StoreError && error.kind === 'key-needed');
}

const some = new Map(Array.from({ length: 50 }, (_, at) => [3 * at, 1 + (at % 19)] as const));

/** Of three contents: others are deltas of them. */
const few = new Map(Array.from({ length: 50 }, (_, at) => [3 * at, 1 + (at % 3)] as const));

/** Everything that can be had of a store by who has the master key, and every key that it gives, but no data key. */
async function openedWithoutDataKeys(objects: MemoryStore): Promise<readonly Buffer[]> {
  const found: Buffer[] = [];
  for await (const { key } of objects.list('')) {
    const bytes = (await objects.get(key)) ?? Buffer.alloc(0);
    found.push(bytes);
    const name = parsePackObjectKey(key);
    if (name === null) continue;
    const purposes = ['seal', 'segment', 'chunk address', 'node address'].map(
      (purpose) => `${purpose} ${name.account}`,
    );
    const keys = [...purposes, 'volume keys', 'manifest', 'repository', 'archive', 'kms'].map((one) =>
      derive(TEST_MASTER_KEY, one),
    );
    for (const entry of await readPackEntries(name, bytes.length, async (at, length) =>
      bytes.subarray(at, at + length),
    )) {
      const record = bytes.subarray(entry.offset, entry.offset + entry.length);
      const header = parseRecordHeader(record);
      const end = header.headerBytes + header.payloadBytes;
      const seal = createDecipheriv('aes-256-gcm', accountKeys(TEST_MASTER_KEY, name.account).seal, header.nonce);
      seal.setAAD(associatedData(name.account, record, header.headerBytes)).setAuthTag(record.subarray(end));
      const payload = Buffer.concat([seal.update(record.subarray(header.headerBytes, end)), seal.final()]);
      for (const candidate of [payload, ...keys.map((one) => decrypted(one, header.nonce, payload))]) {
        found.push(candidate);
        try {
          found.push(zstdDecompressSync(candidate, { maxOutputLength: 1024 * 1024 }));
        } catch {
          // No frame.
        }
      }
    }
  }
  return found;
}

function decrypted(key: Buffer, nonce: Uint8Array, payload: Buffer): Buffer {
  return createDecipheriv('aes-256-ctr', key, Buffer.concat([nonce, Buffer.alloc(4)])).update(payload);
}

/** In every content of tests but 0. */
const marker = contentOf(3).subarray(0, BLOCK_BYTES).subarray(1000, 1064);

test('a snapshot under a data key reads back with it, and not without: not from memory, either', async () => {
  await using store = await open(new MemoryStore());
  {
    using _lent = store.lend([keyA]);
    const { root } = await store.write(job(first, some));
    assert.equal(root.dataKey, idA);
    await store.write(
      job(
        second,
        new Map([
          [3, 7],
          [9, null],
        ]),
        { base: root },
      ),
    );
    assert.deepEqual(await numbersOf(store, first), some);
    assert.equal((await numbersOf(store, second)).get(3), 7);
  }
  using held = await store.hold(first);
  await needsKey(store.readChunk(held.account, held.root, 0));
  await needsKey(numbersOf(store, second));
  await needsKey(store.write(job(third, some)));
  assert.throws(() => store.checkKey(held.root), StoreError);
  {
    using _other = store.lend([keyB]);
    await needsKey(store.readChunk(held.account, held.root, 0));
  }
  // What is asked of the trees needs none.
  assert.equal((await store.listBlocks(second, 0, 1000)).blocks.length, some.size - 1);
  assert.deepEqual(
    (await store.changedBlocks(first, second, 0, 10)).blocks.map(({ index }) => index),
    [3, 9],
  );
  using _lent = store.lend([keyA]);
  using again = store.lend([keyA]);
  again[Symbol.dispose]();
  assert.deepEqual(await numbersOf(store, first), some);
});

test('without the data key nothing of the content comes out of the store, whatever else is known', async () => {
  const objects = new MemoryStore();
  await using store = await open(objects);
  using _lent = store.lend([keyA]);
  const { root } = await store.write(job(first, few));
  // Deltas, sparse chunks, and the archive.
  await store.write(
    job(
      second,
      new Map([
        [0, 5],
        [3, 6],
      ]),
      { base: root },
    ),
  );
  await store.archive(first, quiet);
  const hasMarker = (all: readonly Buffer[]): boolean => all.some((bytes) => bytes.includes(marker));
  assert.equal(hasMarker(await openedWithoutDataKeys(objects)), false);
  await store.write(job(third, new Map([[0, 5]]), { dataKey: null }));
  assert.equal(hasMarker(await openedWithoutDataKeys(objects)), true, 'what is looked for would be found');
});

test('equal content shares nothing between data keys, and all within one', async () => {
  await using store = await open(new MemoryStore());
  using _lent = store.lend([keyA, keyB]);
  await store.write(job(first, some));
  assert.equal((await store.write(job(second, some))).storedBytes, 0);
  assert.ok((await store.write(job(third, some, { dataKey: idB }))).storedBytes > 0);
  assert.ok((await store.write(job(fourth, some, { dataKey: null }))).storedBytes > 0);
  assert.deepEqual(await keysOf(store, first), await keysOf(store, second));
  for (const [a, b] of [
    [first, third],
    [first, fourth],
    [third, fourth],
  ] as const) {
    assert.equal((await keysOf(store, a)).intersection(await keysOf(store, b)).size, 0);
  }
});

test('on a base without a data key, or with another one, everything is sealed again', async () => {
  await using store = await open(new MemoryStore());
  using _lent = store.lend([keyA, keyB]);
  const plain = await store.write(job(first, some, { dataKey: null }));
  // Within the base, behind it, in place of nothing, and a chunk that goes.
  const changes = new Map<number, number | null>([
    [0, 2],
    [1, 4],
    [6, null],
    [150, 9],
    [299, 8],
  ]);
  const expected = new Map(some);
  for (const [index, n] of changes) if (n === null) expected.delete(index);
  for (const [index, n] of changes) if (n !== null) expected.set(index, n);
  const under = await store.write({
    ...job(second, changes, { base: plain.root }),
    changes: testWrite(content, {
      snapshot: second,
      chunkCount: 300,
      changes,
      changedBlocks: new Uint32Array([0, 0, 0, 1 << 31]),
    }).changes,
  });
  assert.deepEqual(
    new Map([...(await numbersOf(store, second))].toSorted(([a], [b]) => a - b)),
    new Map([...expected].toSorted(([a], [b]) => a - b)),
  );
  assert.equal((await keysOf(store, second)).intersection(await keysOf(store, first)).size, 0);
  assert.equal(under.root.dataKey, idA);
  await store.write(job(third, new Map([[2, 1]]), { base: under.root, dataKey: idB }));
  assert.equal((await numbersOf(store, third)).size, expected.size + 1);
  assert.equal((await keysOf(store, third)).intersection(await keysOf(store, second)).size, 0);
});

test('a copy shares chunks under the same data key, and is sealed again under another, or for another account', async () => {
  await using store = await open(new MemoryStore());
  using _lent = store.lend([keyA, keyB]);
  await store.write(job(first, some));
  assert.equal((await store.copy(copyJob(second, first, idA))).storedBytes, 0);
  for (const [snapshot, dataKey, account] of [
    [third, idB, TEST_ACCOUNT],
    [fourth, idA, TEST_ACCOUNT_OTHER],
  ] as const) {
    const copied = await store.copy(copyJob(snapshot, first, dataKey, account));
    assert.ok(copied.storedBytes > 0);
    assert.equal(copied.root.dataKey, dataKey);
    assert.deepEqual(await numbersOf(store, snapshot), some);
    assert.equal((await keysOf(store, snapshot)).intersection(await keysOf(store, first)).size, 0);
  }
});

test('an archive is under the data key of its snapshot, and comes back with it only', async () => {
  const objects = new MemoryStore();
  await using store = await open(objects);
  {
    using _lent = store.lend([keyA]);
    await store.write(job(first, some));
    await store.archive(first, quiet);
    await store.write(job(second, some));
  }
  await needsKey(store.archive(second, quiet));
  await store.deleteManifest(first);
  await needsKey(store.unarchive(first, quiet));
  using _lent = store.lend([keyA]);
  assert.equal((await store.unarchive(first, quiet)).root.dataKey, idA);
  assert.deepEqual(await numbersOf(store, first), some);
});

test('collecting, rewriting packs, making the index anew and verifying need no data key', async () => {
  const objects = new MemoryStore();
  {
    await using store = await open(objects);
    {
      using _lent = store.lend([keyA]);
      let base = (await store.write(job(snapshotId(100), few))).root;
      // Many small packs, with deltas.
      for (let n = 1; n <= 12; n += 1) {
        const changes = new Map([[3 * n, n + 3]]);
        base = (await store.write(job(snapshotId(100 + n), changes, { base }))).root;
      }
    }
    for (let n = 0; n < 6; n += 1) await store.deleteManifest(snapshotId(100 + n));
    const before = (await listOf(objects)).length;
    const { freedBytes } = await store.collect({ extraRoots: () => [], signal: never });
    assert.ok((await listOf(objects)).length < before, `packs were put together (${freedBytes})`);
  }
  await using store = await open(objects); // Its index is new.
  const whole = await verifyTest(objects);
  assert.equal(whole.damageCount, 0);
  assert.ok(whole.counts.deltas > 0, 'deltas were looked at');
  assert.equal(whole.counts.underDataKeys, whole.counts.chunks + whole.counts.deltas);
  assert.equal((await verifyTest(objects, { snapshot: snapshotId(112) })).damageCount, 0);
  using _lent = store.lend([keyA]);
  const numbers = await numbersOf(store, snapshotId(112));
  for (let n = 1; n <= 12; n += 1) assert.equal(numbers.get(3 * n), n + 3);
});

test('damage of what is under a data key is found without it', async () => {
  const objects = new MemoryStore();
  await using store = await open(objects);
  using _lent = store.lend([keyA]);
  await store.write(job(first, some));
  const pack = (await listOf(objects)).find((key) => parsePackObjectKey(key) !== null) ?? '';
  const bytes = Buffer.from((await objects.get(pack)) ?? []);
  bytes.writeUInt8(bytes.readUInt8(300) ^ 1, 300);
  await objects.delete(pack);
  await objects.put(pack, [bytes]);
  const report = await verifyTest(objects);
  assert.equal(report.damageCount, 1);
  assert.equal(report.damages[0]?.affects[0]?.id, first);
});

test('threads seal and open under a data key, too', async () => {
  await using pool = new ThreadSealPool({ masterKey: TEST_MASTER_KEY, clock: systemClock, threadCountMax: 1 });
  await using store = await open(new MemoryStore(), pool, 1);
  using _lent = store.lend([keyA]);
  const { root } = await store.write(job(first, some));
  await store.write(job(second, new Map([[0, 5]]), { base: root }));
  for (let round = 0; round < 3; round += 1) assert.deepEqual(await numbersOf(store, first), some);
  assert.equal((await numbersOf(store, second)).get(0), 5);
});

async function listOf(objects: MemoryStore): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const { key } of objects.list('')) keys.push(key);
  return keys;
}
