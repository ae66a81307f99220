import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from './constants.ts';
import {
  DATA_HEADER_BYTES,
  ERROR_CHUNK_BYTES,
  HOLE_BYTES,
  SIMPLE_REPLY_BYTES,
  putDataHeader,
  putErrorChunk,
  putHole,
  putSimpleReply,
  putStatusChunk,
  statusChunkBytes,
  statusRuns,
} from './reply.ts';

const cookie = { cookieHigh: 0xfedcba98 | 0, cookieLow: 0x76543210 };
const COOKIE = 'fedcba9876543210';

/** What `put` wrote at 3, with a byte before and after it that must stay. */
function written(count: number, put: (bytes: Buffer, at: number) => void): string {
  const bytes = Buffer.alloc(count + 4, 0xaa);
  put(bytes, 3);
  assert.equal(bytes[2], 0xaa);
  assert.equal(bytes[count + 3], 0xaa);
  return bytes.subarray(3, 3 + count).toString('hex');
}

test('replies are as the protocol document draws them', () => {
  const high = 2 ** 32 + 5;
  assert.equal(
    written(SIMPLE_REPLY_BYTES, (bytes, at) => putSimpleReply(bytes, at, cookie, ERRNO.ENOSPC)),
    `674466980000001c${COOKIE}`,
  );
  assert.equal(
    written(DATA_HEADER_BYTES, (bytes, at) => putDataHeader(bytes, at, cookie, high, 4096, true)),
    `668e33ef00010001${COOKIE}000010080000000100000005`,
  );
  assert.equal(
    written(HOLE_BYTES, (bytes, at) => putHole(bytes, at, cookie, high, 4096, false)),
    `668e33ef00000002${COOKIE}0000000c000000010000000500001000`,
  );
  assert.equal(
    written(ERROR_CHUNK_BYTES, (bytes, at) => putErrorChunk(bytes, at, cookie, ERRNO.EIO)),
    `668e33ef00018001${COOKIE}00000006000000050000`,
  );
});

test('block status tells zeros that are stored, holes, and data', () => {
  const extents = [
    { length: 4096, zero: false, hole: false },
    { length: 4096, zero: true, hole: true },
    { length: 4096, zero: true, hole: false },
  ];
  const runs = statusRuns(extents);
  assert.equal(
    written(statusChunkBytes(3), (bytes, at) => putStatusChunk(bytes, at, cookie, 7, runs)),
    `668e33ef00010005${COOKIE}0000001c00000007000010000000000000001000000000030000100000000002`,
  );
});

test('what is not stored here and not zero is data to a client', () => {
  const extents = [
    { length: 4096, zero: false, hole: true },
    { length: 4096, zero: false, hole: false },
    { length: 512, zero: true, hole: true },
  ];
  assert.deepEqual(statusRuns(extents), [
    { length: 8192, state: 0 },
    { length: 512, state: 3 },
  ]);
});
