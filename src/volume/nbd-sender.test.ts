import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NbdBudget } from './nbd-budget.ts';
import { NbdBuffers } from './nbd-buffers.ts';
import { NbdSender } from './nbd-sender.ts';
import type { NbdTransport } from './nbd-transport.ts';

/** A client that takes nothing. */
const FULL: NbdTransport = { send: () => false, resume: () => {}, end: () => {}, destroy: () => {} };

test('a reply that is not taken counts with all the memory that it keeps', () => {
  const buffers = new NbdBuffers();
  const sender = new NbdSender(buffers, FULL, new NbdBudget(1024 ** 3));
  for (const count of [40_000, 70_000, 200_000]) {
    const reply = buffers.takeReply(count);
    const { heldBytes, unsentBytes } = sender;
    sender.append(reply);
    assert.equal(sender.heldBytes - heldBytes, reply.buffer.byteLength);
    assert.equal(sender.unsentBytes - unsentBytes, count);
  }
  for (let reply = 0; reply < 3; reply += 1) sender.sent();
  assert.deepEqual([sender.heldBytes, sender.unsentBytes], [0, 0]);
});
