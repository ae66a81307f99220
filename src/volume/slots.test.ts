import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Slots } from './slots.ts';

function freed(count: number): Slots {
  const slots = new Slots();
  for (let slot = 0; slot < count; slot += 1) slots.extend();
  for (let slot = 0; slot < count; slot += 1) slots.giveBack(slot);
  slots.beginCommit();
  slots.endCommit();
  return slots;
}

test('a slot given back is used again once a commit covers it, the lowest first', () => {
  const slots = new Slots();
  assert.deepEqual([slots.extend(), slots.extend()], [0, 1]);
  slots.giveBack(1);
  assert.equal(slots.reuse(), -1);
  slots.beginCommit();
  slots.giveBack(0);
  slots.endCommit();
  assert.deepEqual([slots.reuse(), slots.reuse()], [1, -1]);
});

test('a slot that is needed twice is given back twice', () => {
  const slots = new Slots();
  slots.extend();
  slots.share(0);
  slots.giveBack(0);
  assert.equal(slots.usedCount, 1);
  slots.giveBack(0);
  assert.equal(slots.usedCount, 0);
});

test('recovery: a slot under another one may be that of an entry, too, and is under one only', () => {
  const slots = new Slots(3);
  assert(slots.use(0));
  assert(slots.useUnder(0) && slots.isShared(0), 'of an entry, too');
  assert(slots.useUnder(1) && !slots.isShared(1), 'of none');
  assert(!slots.useUnder(0), 'under two');
  assert(!slots.useUnder(3), 'beyond the end');
  assert.equal(slots.reuse(), 2);
});

test('a slot that another thread reads is passed over until it has done so', () => {
  const slots = freed(3);
  slots.pin(0);
  slots.pin(1);
  slots.pin(1);
  assert.deepEqual([slots.reuse(), slots.reuse()], [2, -1]);
  slots.unpin(1);
  slots.unpin(0);
  assert.deepEqual([slots.reuse(), slots.reuse()], [0, -1]);
  slots.unpin(1);
  assert.equal(slots.reuse(), 1);
  assert.equal(slots.usedCount, 3);
});

test('the free end is forgotten in parts, and up to a slot that another thread reads', () => {
  const slots = freed(10);
  slots.trimEnd(3);
  assert.equal(slots.endSlot, 7);
  slots.pin(4);
  slots.trimEnd(100);
  assert.equal(slots.endSlot, 5);
  slots.unpin(4);
  slots.trimEnd(100);
  assert.deepEqual([slots.endSlot, slots.reuse(), slots.usedCount], [0, -1, 0]);
});
