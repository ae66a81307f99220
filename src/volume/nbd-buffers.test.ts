import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NbdBuffers } from './nbd-buffers.ts';
import { READ_PIECE_BYTES_MAX } from './nbd-limits.ts';

const COUNT = 40;

test('of the memory of long replies some is kept, and the rest is the system’s again at once', () => {
  const buffers = new NbdBuffers();
  const replies = Array.from({ length: COUNT }, () => buffers.takeReply(READ_PIECE_BYTES_MAX));
  assert.equal(new Set(replies.map(({ buffer }) => buffer)).size, COUNT);
  const memory = replies.map(({ buffer }) => buffer);
  for (const reply of replies) buffers.giveReply(reply);
  const kept = memory.filter(({ byteLength }) => byteLength > 0);
  assert.ok(kept.length > 0 && kept.length < COUNT, `${kept.length} are kept`);
  // What is handed out next is never memory that was given back to the system.
  const next = Array.from({ length: COUNT }, () => buffers.takeReply(READ_PIECE_BYTES_MAX));
  assert.deepEqual(
    next.filter(({ length }) => length !== READ_PIECE_BYTES_MAX),
    [],
  );
  assert.equal(new Set(next.map(({ buffer }) => buffer)).size, COUNT);
  assert.equal(next.filter(({ buffer }) => kept.includes(buffer)).length, kept.length);
});

test('a part of longer memory, and a short reply, stay as they are when they are given back', () => {
  const buffers = new NbdBuffers();
  const segment = buffers.takeSegment(100);
  buffers.giveReply(segment.subarray(0, 10));
  const own = buffers.takeReply(READ_PIECE_BYTES_MAX * 2);
  buffers.giveReply(own);
  assert.ok(segment.length > 0 && own.length === READ_PIECE_BYTES_MAX * 2);
});
