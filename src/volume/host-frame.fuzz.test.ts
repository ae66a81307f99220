import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { FuzzWatch, mutated } from '#base/mutations.fixture.ts';
import { SeededRandom } from '#base/random.ts';

import { encodeFrame, FRAME_BYTES_MAX, FrameError, FrameReader } from './host-frame.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? systemClock.nowMs() % 1_000_000);
const INPUTS = Number(process.env['FUZZ_INPUTS'] ?? 20_000);
const MEMORY_BYTES_MAX = 256 * 1024 * 1024;

function streamOf(random: SeededRandom): Buffer {
  const frames = Array.from({ length: 1 + random.below(4) }, (_, id) => {
    const payload = random.below(2) === 0 ? null : random.bytes(random.below(200));
    const pieces = encodeFrame(
      { id, verb: 'status', args: [`vol-${random.below(1e6)}`, null, { deep: [1] }] },
      payload,
    );
    assert(pieces !== null);
    return Buffer.concat(pieces);
  });
  return Buffer.concat(frames);
}

test(`a stream of frames, whatever is in it, is cut into frames or refused (FUZZ_SEED=${SEED})`, (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const ends = { frames: 0, waiting: 0, refused: 0 };
  for (let input = 0; input < INPUTS; input += 1) {
    const whole = streamOf(random);
    const shape = random.below(6);
    const bytes = shape === 0 ? whole : shape === 1 ? random.bytes(random.below(400)) : mutated(random, whole);
    try {
      const frames = watch.run(() => readInPieces(random, bytes));
      ends[frames > 0 ? 'frames' : 'waiting'] += 1;
    } catch (error) {
      assert(error instanceof FrameError, `input ${input}: ${String(error)}`);
      ends.refused += 1;
    }
  }
  t.diagnostic(`${watch.summary()}; ${JSON.stringify(ends)}`);
  assert(ends.frames > 0 && ends.waiting > 0 && ends.refused > 0, 'all ends were seen');
  assert(watch.slowestMs < 2000 && watch.growthBytes < MEMORY_BYTES_MAX, watch.summary());
});

function readInPieces(random: SeededRandom, bytes: Buffer): number {
  const reader = new FrameReader();
  let count = 0;
  for (let at = 0; at < bytes.length;) {
    const length = 1 + random.below(random.below(2) === 0 ? 10 : 400);
    for (const { header, payload } of reader.push(bytes.subarray(at, at + length))) {
      assert(header !== undefined && (payload === null || payload.length > 0));
      count += 1;
    }
    at += length;
  }
  return count;
}

test('a peer that never ends a frame is held to one frame of memory', (t) => {
  const reader = new FrameReader();
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const head = Buffer.alloc(8);
  head.writeUInt32BE(FRAME_BYTES_MAX, 0);
  reader.push(head);
  for (let sent = 0; sent < FRAME_BYTES_MAX - 4096; sent += 4096) {
    assert.equal(watch.run(() => reader.push(Buffer.alloc(4096))).length, 0);
  }
  assert.throws(() => reader.push(Buffer.alloc(64 * 1024)), FrameError);
  t.diagnostic(watch.summary());
});
