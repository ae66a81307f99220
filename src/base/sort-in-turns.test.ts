import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from './random.ts';
import { sortInTurns } from './sort-in-turns.ts';

async function* each(texts: readonly string[]): AsyncGenerator<string> {
  yield* texts;
}

test('texts come in the order of sort, whatever came in', async () => {
  const random = new SeededRandom(7);
  for (const count of [0, 1, 2, 1023, 1024, 1025, 5000]) {
    const texts = Array.from({ length: count }, () => `${random.below(3000)}/${'ab/'.slice(random.below(4))}`);
    const sorted: string[] = [];
    for await (const text of await sortInTurns(each(texts))) sorted.push(text);
    assert.deepEqual(sorted, texts.toSorted());
  }
});
