import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';

import { Lru } from './lru.ts';
import { MarkSet } from './mark-set.ts';

test('a mark set has what was added, and nothing else', () => {
  const random = new SeededRandom(3);
  const marks = new MarkSet();
  const model = new Set<number>();
  for (let count = 0; count < 20_000; count += 1) {
    const mark = random.below(4) === 0 ? random.below(2 ** 31) : random.below(50_000);
    assert.equal(marks.add(mark), !model.has(mark));
    model.add(mark);
  }
  assert.equal(marks.size, model.size);
  for (const mark of model) assert(marks.has(mark));
  for (let mark = 0; mark < 60_000; mark += 1) assert.equal(marks.has(mark), model.has(mark));
});

test('what was used last stays within the bound', () => {
  const lru = new Lru<Buffer>({ sizeMax: 10 });
  lru.set('a', Buffer.alloc(4));
  lru.set('b', Buffer.alloc(4));
  lru.get('a');
  lru.set('c', Buffer.alloc(4));
  assert.equal(lru.get('b'), undefined);
  assert.equal(lru.get('a')?.length, 4);
  assert.equal(lru.get('c')?.length, 4);
  lru.set('large', Buffer.alloc(11));
  assert.equal(lru.get('large'), undefined);
  assert.equal(lru.get('a')?.length, 4);
});
