import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { SeededRandom } from '#base/random.ts';

import { ByteBudget, type Reserved } from './byte-budget.ts';

const never = new AbortController().signal;

test('who comes first is served first, also when what a later one wants would fit', async () => {
  const budget = new ByteBudget(10);
  const all = budget.take(8);
  const served: string[] = [];
  const want = async (name: string, bytes: number): Promise<Reserved> => {
    const reserved = await budget.reserve(bytes, { idleBytes: 0, signal: never });
    served.push(name);
    return reserved;
  };
  const large = want('large', 5);
  const small = want('small', 1);
  await nextTurn();
  assert.deepEqual(served, []);
  assert.equal(budget.tryReserve(1), null, 'nobody overtakes');
  all.resize(4);
  await Promise.all([large, small]);
  assert.deepEqual(served, ['large', 'small']);
  assert.equal(budget.usedBytes, 10);
  for (const reserved of [all, await large, await small]) reserved[Symbol.dispose]();
  assert.equal(budget.usedBytes, 0);
});

test('one that gives up waiting makes room for the next, and has nothing', async () => {
  const budget = new ByteBudget(10);
  using _held = budget.take(7);
  const abort = new AbortController();
  const large = budget.reserve(5, { idleBytes: 2, signal: abort.signal });
  const small = budget.reserve(3, { idleBytes: 0, signal: never });
  assert(budget.mayWaitWith(3) && !budget.mayWaitWith(4));
  abort.abort(new Error('enough'));
  await assert.rejects(large, /enough/);
  (await small)[Symbol.dispose]();
  assert(budget.mayWaitWith(5));
  assert.equal(budget.usedBytes, 7);
  await assert.rejects(budget.reserve(5, { idleBytes: 0, signal: abort.signal }), /enough/);
});

test('those who fill packs under one budget all come to their end, and never have more than it', async () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const random = new SeededRandom(seed);
    const budget = new ByteBudget(32);
    let usedMax = 0;
    const live = async (): Promise<void> => {
      let filling = budget.take(0);
      let fillingBytes = 0;
      const putting: Promise<void>[] = [];
      const put = (): void => {
        const held = filling;
        filling = budget.take(0);
        fillingBytes = 0;
        const store = async (): Promise<void> => {
          for (let turns = random.below(4); turns > 0; turns -= 1) await nextTurn();
          held[Symbol.dispose]();
        };
        putting.push(store());
      };
      for (let batch = 0; batch < 30; batch += 1) {
        const bytes = 1 + random.below(4);
        let held = budget.tryReserve(bytes);
        if (held === null) {
          if (!budget.mayWaitWith(fillingBytes)) put();
          held = await budget.reserve(bytes, { idleBytes: fillingBytes, signal: never });
        }
        usedMax = Math.max(usedMax, budget.usedBytes);
        await nextTurn();
        filling.resize((fillingBytes += bytes));
        held[Symbol.dispose]();
        if (fillingBytes >= 24) put();
      }
      put();
      await Promise.all(putting);
      filling[Symbol.dispose]();
    };
    await Promise.all(Array.from({ length: 12 }, live));
    assert.equal(budget.usedBytes, 0);
    assert(usedMax <= 32 + 4, `${usedMax} at most`);
  }
});
