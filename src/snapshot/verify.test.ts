import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { ObjectStoreError } from '#chunk/object-store.ts';
import { checkPack, parsePackObjectKey, type PackEntry } from '#chunk/pack.ts';
import { accountKeys } from '#chunk/seal.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { manifestObjectKey } from './manifest.ts';
import { openTestStore, snapshotId, testLabel } from './snapshot-store.fixture.ts';
import type { ChunkChange, SnapshotStore } from './snapshot-store.ts';
import type { TreeRoot } from './tree.ts';
import { ThreadPackChecker } from './verify-pool.ts';
import type { VerifyProgress } from './verify-report.ts';
import { verifyTest } from './verify.fixture.ts';
import { verify } from './verify.ts';

const CHUNK_COUNT = 300;
const directory = scratchDirectory('verify');
const random = new SeededRandom(7);
let fileCount = 0;

/** Versions of one chunk of noise, each with one block more than the one before that is another. */
function versionsOf(count: number): readonly string[] {
  const chunk = random.bytes(CHUNK_BYTES);
  return Array.from({ length: count }, (_, version) => {
    chunk.set(random.bytes(BLOCK_BYTES), version * BLOCK_BYTES);
    const path = join(directory, String((fileCount += 1)));
    writeFileSync(path, chunk);
    return path;
  });
}

async function write(
  store: SnapshotStore,
  snapshot: SnapshotId,
  base: TreeRoot | null,
  changes: readonly (readonly [number, string])[],
): Promise<TreeRoot> {
  const manifest = await store.write({
    label: testLabel(snapshot, CHUNK_COUNT),
    base,
    keepZeroChunks: false,
    changes: { count: changes.length, items: changes.map(([index, path]) => ({ index, source: { path, offset: 0 } })) },
    signal: new AbortController().signal,
    onProgress: () => {},
  });
  return manifest.root;
}

/** Three snapshots of chunk 5, the second and third as deltas one on the other, and chunk 290 of the first in all. */
async function chainOfThree(objects: MemoryStore): Promise<readonly SnapshotId[]> {
  await using store = await openTestStore(objects);
  const [first = '', second = '', third = ''] = versionsOf(3);
  const [other = ''] = versionsOf(1);
  const ids = [snapshotId(1), snapshotId(2), snapshotId(3)] as const;
  const one = await write(store, ids[0], null, [
    [5, first],
    [290, other],
  ]);
  const two = await write(store, ids[1], one, [[5, second]]);
  await write(store, ids[2], two, [[5, third]]);
  return ids;
}

interface Found {
  readonly object: string;
  readonly entry: PackEntry;
}

async function entriesOf(objects: MemoryStore): Promise<readonly Found[]> {
  const keys = accountKeys(TEST_MASTER_KEY, TEST_ACCOUNT);
  const found: Found[] = [];
  for await (const { key } of objects.list('packs/')) {
    const pack = present(await objects.get(key), 'a pack');
    for (const entry of checkPack(keys, present(parsePackObjectKey(key), 'a name'), pack))
      found.push({ object: key, entry });
  }
  return found;
}

async function flip(objects: MemoryStore, object: string, at: number): Promise<void> {
  const bytes = present(await objects.get(object), 'an object');
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  await objects.put(object, [bytes]);
}

const chunkRange = (index: number, count = 1) => ({ offset: index * CHUNK_BYTES, length: count * CHUNK_BYTES });

test('damage of a chunk affects what rests on it as a delta, and damage of a delta what rests on that', async () => {
  const objects = new MemoryStore();
  const [first, second, third] = await chainOfThree(objects);
  const entries = await entriesOf(objects);
  const deltas = entries.filter(({ entry }) => entry.kind === 'delta');
  assert.equal(deltas.length, 2);
  const report = await verifyTest(objects);
  assert.deepEqual(report.damages, []);
  assert.deepEqual(report.counts, {
    packs: 3,
    records: entries.length,
    chunks: 2,
    deltas: 2,
    nodes: 3 + 4,
    snapshots: 3,
    underDataKeys: 0,
  });

  const base = present(
    deltas.find(({ entry }) => !deltas.some((other) => other.entry.key.equals(present(entry.base, '')))),
    'a delta',
  );
  const chunk = present(
    entries.find(({ entry }) => entry.key.equals(present(base.entry.base, 'a base'))),
    'a chunk',
  );
  const affectedBy = async ({ object, entry }: Found): Promise<readonly string[]> => {
    await flip(objects, object, entry.offset + entry.length - 1);
    const { damages, damageCount } = await verifyTest(objects);
    await flip(objects, object, entry.offset + entry.length - 1);
    assert.equal(damageCount, 1);
    const [damage] = damages;
    assert.equal(damage?.object, object);
    assert.equal(damage.lost, true);
    for (const { ranges } of damage.affects) assert.deepEqual(ranges, [chunkRange(5)]);
    return damage.affects.map(({ id }) => id);
  };
  assert.deepEqual(await affectedBy(chunk), [first, second, third]);
  assert.deepEqual(await affectedBy(base), [second, third]);
  const last = present(
    deltas.find((one) => one !== base),
    'a delta',
  );
  assert.deepEqual(await affectedBy(last), [third]);
});

test('a pack that is gone is told by what needs it', async () => {
  const objects = new MemoryStore();
  const [first, second, third] = await chainOfThree(objects);
  const entries = await entriesOf(objects);
  const firstPack = present(
    entries.find(({ entry }) => entry.kind === 'chunk'),
    'a chunk',
  ).object;
  await objects.delete(firstPack);
  const { damages } = await verifyTest(objects);
  const missing = damages.filter(({ what }) => what === 'missing');
  assert.deepEqual(
    new Set(missing.flatMap(({ affects }) => affects.map(({ id }) => id))),
    new Set([first, second, third]),
  );
  const ofFirst = missing.flatMap(({ affects }) => affects.filter(({ id }) => id === first));
  // Its nodes lay in the same pack: what is below them is not known.
  assert.equal(Math.max(...ofFirst.map(({ bytes }) => bytes)), CHUNK_COUNT * CHUNK_BYTES);
});

test('one snapshot is verified by what it needs alone', async () => {
  const objects = new MemoryStore();
  const [first, second] = await chainOfThree(objects);
  const entries = await entriesOf(objects);
  const isNeededByFirst = (entry: PackEntry): boolean => entry.kind === 'chunk';
  const clean = await verifyTest(objects, { snapshot: first });
  assert.deepEqual(clean.damages, []);
  assert.equal(clean.counts.chunks, entries.filter(({ entry }) => isNeededByFirst(entry)).length);
  assert.equal(clean.counts.deltas, 0);
  assert.equal(clean.counts.nodes, 3);
  const ofSecond = await verifyTest(objects, { snapshot: second });
  assert.deepEqual([ofSecond.counts.chunks, ofSecond.counts.deltas], [2, 1]);

  const delta = present(
    entries.find(({ entry }) => entry.kind === 'delta'),
    'a delta',
  );
  await flip(objects, delta.object, delta.entry.offset + 100);
  assert.deepEqual((await verifyTest(objects, { snapshot: first })).damages, []);
  const chunk = present(
    entries.find(({ entry }) => entry.kind === 'chunk'),
    'a chunk',
  );
  await flip(objects, chunk.object, chunk.entry.offset + 100);
  const { damages } = await verifyTest(objects, { snapshot: first });
  assert.deepEqual(
    damages.map(({ what }) => what),
    ['record'],
  );
  assert.deepEqual(
    damages[0]?.affects.map(({ id, rangeCount }) => [id, rangeCount]),
    [[first, 1]],
  );
  await assert.rejects(verifyTest(objects, { snapshot: snapshotId(99) }), /there is no snapshot/);
});

test('with the key of another store nothing is told as damaged, but that', async () => {
  const objects = new MemoryStore();
  await chainOfThree(objects);
  await assert.rejects(verifyTest(objects, { masterKey: Buffer.alloc(32, 9) }), (error) => {
    assert.ok(error instanceof StoreError);
    assert.match(error.message, /another master key/);
    return true;
  });
});

test('an object that is none of this store is told, and what cannot be read', async () => {
  const objects = new MemoryStore();
  const [first] = await chainOfThree(objects);
  await objects.put('packs/of-somebody', [Buffer.from('else')]);
  const chunk = present(
    (await entriesOf(withoutStrangers(objects))).find(({ entry }) => entry.kind === 'chunk'),
    'a chunk',
  );
  const broken = Object.assign(Object.create(objects) as MemoryStore, {
    list: (prefix: string) => objects.list(prefix),
    get: (key: string) => objects.get(key),
    getRange: async (key: string, offset: number, length: number) => {
      const isBad =
        key === chunk.object && offset < chunk.entry.offset + 200 && offset + length > chunk.entry.offset + 100;
      if (isBad) throw new ObjectStoreError('get', { retryable: false });
      return await objects.getRange(key, offset, length);
    },
  });
  const { damages, strangers } = await verifyTest(broken);
  assert.deepEqual(strangers, ['packs/of-somebody']);
  assert.deepEqual(damages.map(({ what }) => what).toSorted(), ['pack', 'record']);
  const lost = damages.filter((damage) => damage.lost);
  assert.deepEqual(
    lost.map(({ what, affects }) => [what, affects[0]?.id]),
    [['record', first]],
  );
});

function withoutStrangers(objects: MemoryStore): MemoryStore {
  return Object.assign(Object.create(objects) as MemoryStore, {
    async *list(prefix: string) {
      for await (const found of objects.list(prefix)) if (parsePackObjectKey(found.key) !== null) yield found;
    },
    get: (key: string) => objects.get(key),
  });
}

test('beside a server that deletes, collects and rewrites packs, nothing whole is told as damaged', async () => {
  const objects = new MemoryStore();
  const store = await openTestStore(objects);
  const roots: TreeRoot[] = [];
  for (let n = 1; n <= 12; n += 1) {
    const changes = versionsOf(2).map((path, at) => [n * 20 + at, path] as const);
    roots.push(await write(store, snapshotId(n), roots.at(-1) ?? null, changes));
  }
  let deleted = 0;
  // Between any two reads of the verification the server does something.
  const meddled = Object.assign(Object.create(objects) as MemoryStore, {
    list: (prefix: string) => objects.list(prefix),
    get: (key: string) => objects.get(key),
    getRange: async (key: string, offset: number, length: number) => {
      if (deleted < 9 && random.below(3) === 0) {
        deleted += 1;
        await store.deleteManifest(snapshotId(deleted));
        await store.collect({ extraRoots: () => [], signal: new AbortController().signal });
        await write(store, snapshotId(100 + deleted), roots.at(-1) ?? null, [
          [deleted, present(versionsOf(1)[0], 'a path')],
        ]);
      }
      return await objects.getRange(key, offset, length);
    },
  });
  const report = await verifyTest(meddled);
  assert.ok(deleted > 3, 'the server did something');
  assert.deepEqual(report.damages, []);
  await store[Symbol.asyncDispose]();
  assert.deepEqual((await verifyTest(objects)).damages, []);
});

test('deltas that nothing needs and whose bases are gone are no damage, and hide no others', async () => {
  const count = 210;
  const blocks = 8;
  const path = join(directory, String((fileCount += 1)));
  const file = openSync(path, 'w');
  const source = (version: number, index: number): { path: string; offset: number } => ({
    path,
    offset: (version * CHUNK_COUNT + index) * CHUNK_BYTES,
  });
  for (let index = 0; index < count; index += 1) {
    const content = random.bytes(blocks * BLOCK_BYTES);
    writeSync(file, content, 0, content.length, source(0, index).offset);
    content.set(random.bytes(BLOCK_BYTES));
    writeSync(file, content, 0, content.length, source(1, index).offset);
  }
  ftruncateSync(file, source(2, 0).offset);
  closeSync(file);
  const objects = new MemoryStore();
  const store = await openTestStore(objects);
  const all = [...Array(count).keys()];
  const put = async (n: number, base: TreeRoot | null, items: readonly ChunkChange[]): Promise<TreeRoot> => {
    const job = { label: testLabel(snapshotId(n), CHUNK_COUNT), base, keepZeroChunks: false };
    const { signal } = new AbortController();
    return (await store.write({ ...job, changes: { count: items.length, items }, signal, onProgress: () => {} })).root;
  };
  const noise = versionsOf(4).map((one, at) => ({ index: count + at, source: { path: one, offset: 0 } }));
  const first = await put(
    1,
    null,
    all.map((index) => ({ index, source: source(0, index) })),
  );
  const second = await put(2, first, [...all.map((index) => ({ index, source: source(1, index) })), ...noise]);
  await put(
    3,
    second,
    all.slice(0, -1).map((index) => ({ index, source: null })),
  );
  await store.deleteManifest(snapshotId(1));
  await store.deleteManifest(snapshotId(2));
  await store.collect({ extraRoots: () => [], signal: new AbortController().signal });
  await store[Symbol.asyncDispose]();
  const report = await verifyTest(objects);
  assert.deepEqual(report.damages, []);
  assert.equal(report.damageCount, 0);
  assert.equal(report.counts.deltas, count, 'the dead ones are still in their pack');
});

test('threads find what the calling thread finds, and progress rises to the end', async () => {
  const objects = new MemoryStore();
  await chainOfThree(objects);
  const entries = await entriesOf(objects);
  const chunk = present(
    entries.find(({ entry }) => entry.kind === 'chunk'),
    'a chunk',
  );
  await flip(objects, chunk.object, chunk.entry.offset + 70);
  const seen: VerifyProgress[] = [];
  await using checker = new ThreadPackChecker({ masterKey: TEST_MASTER_KEY, threadCount: 2 });
  const report = await verify({
    objects,
    masterKey: TEST_MASTER_KEY,
    checker,
    snapshot: null,
    origins: async () => [],
    indexId: null,
    onProgress: (progress) => seen.push(progress),
    signal: new AbortController().signal,
  });
  assert.deepEqual(report, await verifyTest(objects));
  assert.equal(report.damageCount, 1);
  const packs = seen.filter(({ phase }) => phase === 'packs');
  assert.ok(packs.every(({ doneBytes }, at) => doneBytes >= (packs[at - 1]?.doneBytes ?? 0)));
  const last = present(packs.at(-1), 'progress');
  assert.equal(last.doneBytes, last.totalBytes);
});

test('a verification stops when it is told to', async () => {
  const objects = new MemoryStore();
  await chainOfThree(objects);
  const stop = new AbortController();
  stop.abort();
  await using checker = new ThreadPackChecker({ masterKey: TEST_MASTER_KEY, threadCount: 1 });
  const stopped = verify({
    objects,
    masterKey: TEST_MASTER_KEY,
    checker,
    snapshot: null,
    origins: async () => [],
    indexId: null,
    onProgress: () => {},
    signal: stop.signal,
  });
  await assert.rejects(stopped, (error) => error instanceof StoreError && error.kind === 'aborted');
});

test('a snapshot that is known as completed and has no manifest is told; one that was deleted meanwhile is not', async () => {
  const objects = new MemoryStore();
  await chainOfThree(objects);
  const [kept, lost, deleted] = [snapshotId(1), snapshotId(2), snapshotId(3)];
  await objects.delete(manifestObjectKey(lost));
  await objects.delete(manifestObjectKey(deleted));
  const known = new Map([kept, lost, deleted].map((id) => [id, CHUNK_COUNT * CHUNK_BYTES]));
  let asked = 0;
  const expected = async (): Promise<ReadonlyMap<SnapshotId, number>> => {
    asked += 1;
    if (asked === 2) known.delete(deleted);
    return known;
  };
  const report = await verifyTest(objects, { expected });
  assert.equal(report.damageCount, 1);
  assert.deepEqual(report.damages, [
    {
      what: 'manifest',
      object: manifestObjectKey(lost),
      place: null,
      message: `it is gone: ${lost} is known as completed, and the store has no such snapshot`,
      lost: true,
      affects: [
        {
          kind: 'snapshot',
          id: lost,
          ranges: [{ offset: 0, length: CHUNK_COUNT * CHUNK_BYTES }],
          rangeCount: 1,
          bytes: CHUNK_COUNT * CHUNK_BYTES,
        },
      ],
    },
  ]);
  await assert.rejects(
    verifyTest(objects, { snapshot: lost, expected }),
    (error) => error instanceof StoreError && error.kind === 'damaged' && /is gone/.test(error.message),
  );
  await assert.rejects(
    verifyTest(objects, { snapshot: deleted, expected }),
    (error) => error instanceof StoreError && error.kind === 'snapshot-not-found',
  );
  assert.equal((await verifyTest(objects, { snapshot: kept, expected })).damageCount, 0);
});
