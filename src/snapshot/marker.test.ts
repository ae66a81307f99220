import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { MemoryStore } from '#chunk/memory-store.ts';
import type { ObjectStore } from '#chunk/object-store.ts';

import { PausingStore } from './pausing-store.fixture.ts';
import { ContentFile, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';
import { FAN_OUT } from './tree-node.ts';

const content = new ContentFile(60);

/** Each read takes some turns, as of a bucket. */
class SlowStore extends PausingStore {
  reading = 0;
  readingMax = 0;

  override async get(key: string): ReturnType<ObjectStore['get']> {
    return await this.#slowly(() => super.get(key));
  }

  override async getRange(key: string, offset: number, length: number): ReturnType<ObjectStore['getRange']> {
    return await this.#slowly(() => super.getRange(key, offset, length));
  }

  async #slowly<R>(read: () => Promise<R>): Promise<R> {
    this.reading += 1;
    this.readingMax = Math.max(this.readingMax, this.reading);
    for (let turn = 0; turn < 20; turn += 1) await nextTurn();
    this.reading -= 1;
    return await read();
  }
}

test('a collection reads manifests and nodes several at a time, and no more than some', async () => {
  const objects = new MemoryStore();
  const LEAVES = 16;
  const SNAPSHOTS = 20;
  {
    await using store = await openTestStore(objects);
    for (let n = 1; n <= SNAPSHOTS; n += 1) {
      const changes = new Map(Array.from({ length: LEAVES }, (_, leaf) => [leaf * FAN_OUT, 1 + ((n + leaf) % 59)]));
      const chunkCount = LEAVES * FAN_OUT;
      await store.write(testWrite(content, { snapshot: snapshotId(n), chunkCount, changes, volume: n }));
    }
  }
  const slow = new SlowStore(objects);
  await using store = await openTestStore(slow);
  slow.readingMax = 0;
  const { liveChunks } = await store.collect({ extraRoots: () => [], signal: new AbortController().signal });
  assert(liveChunks > 0);
  assert(slow.readingMax >= 12, `${slow.readingMax} at once`);
  assert(slow.readingMax <= 40, `${slow.readingMax} at once`);
});
