import assert from 'node:assert/strict';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { openChunkStore, TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';
import { MemoryStore } from '#chunk/memory-store.ts';

import { buildTree, diffAll, walkAll, type TreeModel } from './tree.fixture.ts';
import { findChunk, type TreeRoot } from './tree.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);
const DURATION_MS = 3_000;

interface Version {
  readonly root: TreeRoot;
  readonly model: TreeModel;
}

/** Indexes near each other, near the ends of nodes, and anywhere. */
function pickIndex(random: SeededRandom, chunkCount: number): number {
  const edges = [0, 255, 256, 511, 65_535, 65_536, 131_072, chunkCount - 1];
  const near = (edges[random.below(edges.length)] ?? 0) + random.below(5) - 2;
  const index = random.below(3) === 0 ? random.below(chunkCount) : near;
  return Math.min(chunkCount - 1, Math.max(0, index));
}

test(`trees hold, find, walk and compare what a map does (seed ${SEED})`, async () => {
  const random = new SeededRandom(SEED);
  const end = systemClock.monotonicMs() + DURATION_MS;
  for (let round = 0; systemClock.monotonicMs() < end; round += 1) {
    await using chunks = await openChunkStore(new MemoryStore());
    const versions: Version[] = [];
    let chunkCount = 1 + random.below(400);
    for (let step = 0; step < 8; step += 1) {
      const base = versions.length > 0 && random.below(5) > 0 ? present(versions.at(-1), 'a version') : null;
      if (random.below(3) === 0) chunkCount = Math.min(20_000_000, chunkCount * (1 + random.below(300)));
      const changes = new Map<number, string | null>();
      for (let count = random.below(30); count > 0; count -= 1) {
        const key =
          random.below(3) === 0
            ? null
            : random
                .below(2 ** 31)
                .toString(16)
                .padStart(64, '1');
        changes.set(pickIndex(random, chunkCount), key);
      }
      const model = new Map(base?.model);
      let changed = 0;
      for (const [index, key] of changes) {
        if ((model.get(index) ?? null) !== key) changed += 1;
        if (key === null) model.delete(index);
        else model.set(index, key);
      }
      chunks.dropCaches();
      const built = await buildTree(chunks, { base: base?.root ?? null, chunkCount, changes });
      assert.equal(built.changedCount, changed);
      assert.equal(built.root.presentCount, model.size);
      versions.push({ root: built.root, model });

      const start = random.below(2) === 0 ? 0 : pickIndex(random, chunkCount);
      const expected = [...model].filter(([index]) => index >= start).toSorted(([a], [b]) => a - b);
      assert.deepEqual(await walkAll(chunks, built.root, start), expected);
      for (let count = 0; count < 5; count += 1) {
        const index = pickIndex(random, chunkCount);
        const found = await findChunk(chunks, TEST_ACCOUNT, built.root, index);
        assert.equal(found?.toString('hex') ?? null, model.get(index) ?? null);
      }
      const other = present(versions[random.below(versions.length)], 'a version');
      const differing = [...new Set([...model.keys(), ...other.model.keys()])]
        .filter((index) => index >= start && model.get(index) !== other.model.get(index))
        .toSorted((a, b) => a - b)
        .map((index) => [index, other.model.get(index) ?? null, model.get(index) ?? null]);
      assert.deepEqual(await diffAll(chunks, other.root, built.root, start), differing);
    }
  }
});
