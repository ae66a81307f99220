import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';

import { encodeFrame, type Frame, FRAME_BYTES_MAX, FrameError, FrameReader } from './host-frame.ts';

function bytesOf(header: unknown, payload: Uint8Array | null = null): Buffer {
  const pieces = encodeFrame(header, payload);
  assert.ok(pieces !== null);
  return Buffer.concat(pieces);
}

test('frames come out as they went in, however the stream is cut', (t) => {
  const seed = Number(process.env['VARVE_SEED'] ?? 20_260_101);
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  for (let round = 0; round < 50; round += 1) {
    const sent: Frame[] = Array.from({ length: 1 + random.below(6) }, (_, index) => ({
      header: { id: index, text: 'ü'.repeat(random.below(3000)) },
      payload: random.below(2) === 0 ? null : random.bytes(1 + random.below(20_000)),
    }));
    const stream = Buffer.concat(sent.map((frame) => bytesOf(frame.header, frame.payload)));
    const reader = new FrameReader();
    const received: Frame[] = [];
    for (let start = 0; start < stream.length;) {
      const length = 1 + random.below(random.below(2) === 0 ? 12 : 9000);
      received.push(...reader.push(stream.subarray(start, start + length)));
      start += length;
    }
    assert.deepEqual(received, sent);
  }
});

test('what does not fit in a frame is not made into one', () => {
  assert.equal(encodeFrame({}, Buffer.alloc(FRAME_BYTES_MAX)), null);
  assert.equal(encodeFrame('x'.repeat(FRAME_BYTES_MAX)), null);
  assert.notEqual(encodeFrame({}, Buffer.alloc(FRAME_BYTES_MAX - 2)), null);
});

test('a frame that says an impossible length is refused before its bytes come', () => {
  const tooLong = Buffer.alloc(8);
  tooLong.writeUInt32BE(FRAME_BYTES_MAX + 1, 0);
  assert.throws(() => new FrameReader().push(tooLong), FrameError);
  const headerBeyond = Buffer.alloc(8);
  headerBeyond.writeUInt32BE(4, 0);
  headerBeyond.writeUInt32BE(5, 4);
  assert.throws(() => new FrameReader().push(headerBeyond), FrameError);
});

test('a header that is not JSON is refused', () => {
  const frame = bytesOf({ id: 1 });
  frame[8] = 0x7d;
  assert.throws(() => new FrameReader().push(frame), FrameError);
});
