import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mapAhead } from './map-ahead.ts';
import { SeededRandom } from './random.ts';
import { VirtualClock } from './virtual-clock.ts';

async function* numbers(count: number): AsyncGenerator<number> {
  for (let index = 0; index < count; index += 1) yield index;
}

test('map ahead: answers come in the order of the items, and so many are worked on at once', async () => {
  const random = new SeededRandom(4);
  for (const limit of [1, 2, 7, 100]) {
    const clock = new VirtualClock();
    let running = 0;
    let runningMax = 0;
    const answers: number[] = [];
    const reading = (async () => {
      const work = async (item: number): Promise<number> => {
        running += 1;
        runningMax = Math.max(runningMax, running);
        await clock.sleep(1 + random.below(50));
        running -= 1;
        return item * 2;
      };
      for await (const answer of mapAhead(numbers(40), limit, work)) answers.push(answer);
    })();
    // Time moves on only while somebody waits for it.
    for (let round = 0; round < 100; round += 1) await clock.advance(50);
    await reading;
    assert.deepEqual(
      answers,
      Array.from({ length: 40 }, (_, index) => index * 2),
    );
    assert(runningMax <= limit && runningMax >= Math.min(limit, 30), `${runningMax} of ${limit} at once`);
  }
});

test('map ahead: an error comes in its turn, and nothing runs on after it', async () => {
  let running = 0;
  const seen: number[] = [];
  const work = async (item: number): Promise<number> => {
    running += 1;
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (item >= 5) throw new Error(`number ${item}`);
    return item;
  };
  const reading = (async () => {
    for await (const answer of mapAhead(numbers(20), 4, work)) seen.push(answer);
  })();
  await assert.rejects(reading, /number 5/);
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
  assert.equal(running, 0);
});

test('map ahead: who stops early leaves nothing running', async () => {
  let running = 0;
  const work = async (item: number): Promise<number> => {
    running += 1;
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return item;
  };
  for await (const answer of mapAhead(numbers(20), 4, work)) if (answer === 3) break;
  assert.equal(running, 0);
});
