import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ReadAhead } from './read-ahead.ts';

/** What is fetched ahead after each of the reads. */
function ahead(reads: readonly number[]): readonly (readonly number[])[] {
  const readAhead = new ReadAhead();
  return reads.map((index) => {
    const { first, end } = readAhead.after(index);
    return Array.from({ length: end - first }, (_, at) => first + at);
  });
}

test('a reader that goes on in order is kept ahead of, further each time', () => {
  assert.deepEqual(ahead([10, 11, 12]), [[], [12], [13, 14]]);
  const reads = Array.from({ length: 60 }, (_, at) => at);
  const fetched = ahead(reads).flat();
  assert.equal(new Set(fetched).size, fetched.length, 'nothing is fetched ahead twice');
  assert.equal(Math.max(...fetched), 59 + 16, 'and not without bound');
});

test('readers at random fetch nothing ahead', () => {
  assert.deepEqual(ahead([5, 90, 7, 300, 2, 60]).flat(), []);
});

test('several readers in order are told apart', () => {
  assert.deepEqual(ahead([0, 1000, 1, 1001, 2, 1002]), [[], [], [2], [1002], [3, 4], [1003, 1004]]);
});

test('a reader that asks only when it has used up what was fetched goes on as before', () => {
  const [, , third = []] = ahead([0, 1, 3]);
  assert.ok(third.length > 0 && third[0] === 4);
});
