import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';

import { ChunkPresence, type ListPresent, PRESENCE_PAGE_CHUNKS } from './chunk-presence.ts';

const PAGE = PRESENCE_PAGE_CHUNKS;

/** What a listing of these chunks answers. */
function listOf(chunks: readonly number[]): { readonly list: ListPresent; readonly asked: number[] } {
  const asked: number[] = [];
  const list: ListPresent = async (start, end) => {
    asked.push(start);
    const present = chunks.filter((index) => index >= start && index < end);
    return { present, next: chunks.find((index) => index >= end) ?? null };
  };
  return { list, asked };
}

test('a page is unknown until it is looked at, then every chunk of it is there or not', async () => {
  const { list, asked } = listOf([0, 9, PAGE - 1, PAGE]);
  const presence = new ChunkPresence({ chunkCount: 3 * PAGE - 7, list });
  assert.equal(presence.at(9), 'unknown');
  await presence.load(5);
  assert.deepEqual(
    [0, 1, 8, 9, 10, PAGE - 1, PAGE].map((index) => presence.at(index)),
    ['present', 'absent', 'absent', 'present', 'absent', 'present', 'unknown'],
  );
  assert.equal(presence.at(3 * PAGE - 7), 'absent', 'beyond the end');
  await presence.load(0);
  assert.deepEqual(asked, [0], 'what is known is not listed again');
});

test('a listing tells how far it is empty behind its page', async () => {
  const { list, asked } = listOf([7 * PAGE + 3]);
  const presence = new ChunkPresence({ chunkCount: 20 * PAGE, list });
  await presence.load(2 * PAGE);
  assert.deepEqual(
    [2 * PAGE, 7 * PAGE - 1, 7 * PAGE, 8 * PAGE, 2 * PAGE - 1].map((index) => presence.at(index)),
    ['absent', 'absent', 'unknown', 'unknown', 'unknown'],
  );
  assert.equal(presence.skipEmpty(2 * PAGE + 5, 20 * PAGE), 7 * PAGE);
  assert.equal(presence.skipEmpty(2 * PAGE + 5, 3 * PAGE + 1), 3 * PAGE + 1);
  await presence.load(7 * PAGE);
  assert.equal(presence.skipEmpty(7 * PAGE, 20 * PAGE), 7 * PAGE, 'something is in that page');
  assert.equal(presence.skipEmpty(8 * PAGE, 21 * PAGE), 21 * PAGE, 'to the end and beyond it');
  assert.deepEqual(asked, [2 * PAGE, 7 * PAGE]);
});

test('a page is listed once, however many wait; a failure is told to them all, and the next one tries again', async () => {
  const { list, asked } = listOf([1]);
  const gate = Promise.withResolvers<void>();
  let isBroken = true;
  const presence = new ChunkPresence({
    chunkCount: PAGE,
    list: async (start, end) => {
      const listed = await list(start, end);
      if (isBroken) await gate.promise;
      return listed;
    },
  });
  const waiting = [presence.load(0), presence.load(1), presence.load(PAGE - 1)];
  gate.reject(new Error('no disk'));
  for (const settled of await Promise.allSettled(waiting)) {
    assert(settled.status === 'rejected');
    assert.match(String(settled.reason), /no disk/);
  }
  assert.equal(presence.at(1), 'unknown');
  assert.equal(asked.length, 1);
  isBroken = false;
  await presence.load(1);
  assert.equal(presence.at(1), 'present');
  assert.equal(asked.length, 2);
});

test('what is known is what is there, in whatever order it was learned', async (t) => {
  const seed = Number(process.env['FUZZ_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e9));
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  for (let run = 0; run < 20; run += 1) {
    const chunkCount = 1 + random.below(30 * PAGE);
    const count = random.below(12);
    const chunks = [...new Set(Array.from({ length: count }, () => random.below(chunkCount)))].toSorted(
      (a, b) => a - b,
    );
    const presence = new ChunkPresence({ chunkCount, list: listOf(chunks).list });
    for (let step = 0; step < 12; step += 1) {
      await Promise.all([presence.load(random.below(chunkCount)), presence.load(random.below(chunkCount))]);
      for (const index of [...chunks, ...chunks.map((chunk) => chunk + 1), random.below(chunkCount)]) {
        const known = presence.at(index);
        if (known !== 'unknown') assert.equal(known, chunks.includes(index) ? 'present' : 'absent', `chunk ${index}`);
        const skipped = presence.skipEmpty(index, chunkCount + 5);
        assert(!chunks.some((chunk) => chunk >= index && chunk < skipped), 'only what is empty is skipped');
      }
    }
  }
});
