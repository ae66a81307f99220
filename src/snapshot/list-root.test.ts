import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MemoryStore } from '#chunk/memory-store.ts';

import { ContentFile, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';

const content = new ContentFile(20);

test('a listing ends where it is told to, and says what comes next', async () => {
  await using store = await openTestStore(new MemoryStore());
  const snapshot = snapshotId(1);
  const changes = new Map([0, 3, 255, 256, 4000].map((index, at) => [index, 1 + at]));
  await store.write(testWrite(content, { snapshot, chunkCount: 5000, changes }));
  using held = await store.hold(snapshot);
  const list = async (start: number, countMax: number, end?: number) => {
    const { blocks, next } = await store.listRoot(held.account, held.root, start, countMax, end);
    return { indexes: blocks.map(({ index }) => index), next };
  };
  assert.deepEqual(await list(0, 10, 256), { indexes: [0, 3, 255], next: 256 });
  assert.deepEqual(await list(0, 10, 4), { indexes: [0, 3], next: 255 });
  assert.deepEqual(await list(0, 2, 256), { indexes: [0, 3], next: 255 });
  assert.deepEqual(await list(257, 10, 300), { indexes: [], next: 4000 });
  assert.deepEqual(await list(4000, 10, 4001), { indexes: [4000], next: null });
  assert.deepEqual(await list(4001, 10, 5000), { indexes: [], next: null });
  assert.deepEqual(await list(0, 10), { indexes: [0, 3, 255, 256, 4000], next: null });
});
