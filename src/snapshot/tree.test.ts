import assert from 'node:assert/strict';
import { test } from 'node:test';

import { openChunkStore, TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';
import { FaultStore } from '#chunk/fault-store.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { SeededRandom } from '#base/random.ts';

import { buildTree, diffAll, walkAll } from './tree.fixture.ts';
import { depthFor, emptyRoot, findChunk, parseTreeRoot } from './tree.ts';

const key = (n: number): string => n.toString(16).padStart(64, '0');

test('the depth follows from the count of chunks', () => {
  const depths = [0, 1, 256, 257, 65_536, 65_537, 16_777_216, 16_777_217, 134_217_728].map(depthFor);
  assert.deepEqual(depths, [1, 1, 1, 2, 2, 3, 3, 4, 4]);
});

test('a tree of nothing has no nodes', async () => {
  await using chunks = await openChunkStore(new MemoryStore());
  const { root, writtenNodes } = await buildTree(chunks, { base: null, chunkCount: 1000, changes: new Map() });
  assert.deepEqual(root, emptyRoot(1000));
  assert.equal(writtenNodes, 0);
  assert.deepEqual(await walkAll(chunks, root), []);
  assert.equal(await findChunk(chunks, TEST_ACCOUNT, root, 5), null);
});

test('equal content has one root, however it came about', async () => {
  await using chunks = await openChunkStore(new MemoryStore());
  const content = new Map([0, 255, 256, 70_000].map((index) => [index, key(index + 1)]));
  const whole = await buildTree(chunks, { base: null, chunkCount: 100_000, changes: content });
  let { root } = await buildTree(chunks, {
    base: null,
    chunkCount: 300,
    changes: new Map([
      [255, key(9)],
      [1, key(9)],
    ]),
  });
  root = (await buildTree(chunks, { base: root, chunkCount: 100_000, changes: new Map([[1, null]]) })).root;
  for (const change of content) {
    root = (await buildTree(chunks, { base: root, chunkCount: 100_000, changes: new Map([change]) })).root;
  }
  assert.deepEqual(root, whole.root);
});

test('removing the last chunk of a subtree removes its nodes', async () => {
  await using chunks = await openChunkStore(new MemoryStore());
  const one = await buildTree(chunks, { base: null, chunkCount: 70_000, changes: new Map([[69_999, key(1)]]) });
  const none = await buildTree(chunks, { base: one.root, chunkCount: 70_000, changes: new Map([[69_999, null]]) });
  assert.deepEqual(none.root, emptyRoot(70_000));
  assert.equal(none.changedCount, 1);
});

test('setting what is there already changes nothing and writes nothing', async () => {
  await using chunks = await openChunkStore(new MemoryStore());
  const content = new Map([
    [5, key(1)],
    [500, key(2)],
  ]);
  const first = await buildTree(chunks, { base: null, chunkCount: 1000, changes: content });
  const changes = new Map<number, string | null>([...content, [7, null]]);
  const second = await buildTree(chunks, { base: first.root, chunkCount: 1000, changes });
  assert.deepEqual(second, { root: first.root, changedCount: 0, writtenNodes: 0 });
});

test('a volume that grew keeps its old tree as it is', async () => {
  await using chunks = await openChunkStore(new MemoryStore());
  const small = await buildTree(chunks, { base: null, chunkCount: 200, changes: new Map([[3, key(1)]]) });
  for (const chunkCount of [256, 1000, 20_000_000]) {
    const grown = await buildTree(chunks, { base: small.root, chunkCount, changes: new Map() });
    assert.deepEqual(grown.root, { ...grown.root, chunkCount, depth: depthFor(chunkCount), presentCount: 1 });
    assert.deepEqual(await walkAll(chunks, grown.root), [[3, key(1)]]);
    assert.deepEqual(await diffAll(chunks, small.root, grown.root), []);
    const more = await buildTree(chunks, {
      base: small.root,
      chunkCount,
      changes: new Map([
        [4, key(2)],
        [chunkCount - 1, key(3)],
      ]),
    });
    assert.deepEqual(await walkAll(chunks, more.root), [
      [3, key(1)],
      [4, key(2)],
      [chunkCount - 1, key(3)],
    ]);
    assert.deepEqual(await diffAll(chunks, small.root, more.root), [
      [4, null, key(2)],
      [chunkCount - 1, null, key(3)],
    ]);
    assert.deepEqual(await diffAll(chunks, more.root, small.root), [
      [4, key(2), null],
      [chunkCount - 1, key(3), null],
    ]);
  }
});

test('ten changed chunks of 16 TiB read and write about ten paths of nodes, and comparing reads no more', async () => {
  const objects = new FaultStore(new MemoryStore(), new SeededRandom(1));
  await using chunks = await openChunkStore(objects);
  const chunkCount = 2 ** 25;
  const content = new Map(Array.from({ length: 2000 }, (_, index) => [index * 16_000, key(index + 1)]));
  const base = await buildTree(chunks, { base: null, chunkCount, changes: content });
  chunks.dropCaches();
  const changes = new Map(Array.from({ length: 10 }, (_, index) => [index * 3_000_000 + 5, key(9999)]));
  objects.callsLeft = Number.MAX_SAFE_INTEGER;
  const next = await buildTree(chunks, { base: base.root, chunkCount, changes });
  assert(next.writtenNodes <= 10 * 4, `${next.writtenNodes} nodes written`);
  // A read takes two from the budget of calls, and so does what storing the one pack takes.
  assert(Number.MAX_SAFE_INTEGER - objects.callsLeft <= 2 * (10 * 4 + 8));
  chunks.dropCaches();
  objects.callsLeft = 2 * 2 * 10 * 4;
  assert.equal((await diffAll(chunks, base.root, next.root)).length, 10);
});

test('a root read from JSON is one that could be, or none', () => {
  const root = { key: key(1), depth: 2, chunkCount: 300, presentCount: 1 };
  assert.deepEqual(parseTreeRoot(JSON.parse(JSON.stringify(root))), root);
  assert.deepEqual(parseTreeRoot(emptyRoot(5)), emptyRoot(5));
  for (const wrong of [
    null,
    5,
    {},
    { ...root, key: 'x' },
    { ...root, depth: 1 },
    { ...root, presentCount: 301 },
    { ...root, presentCount: 0 },
    { ...root, key: null },
    { ...root, chunkCount: 2 ** 40 },
  ]) {
    assert.equal(parseTreeRoot(wrong), null);
  }
});
