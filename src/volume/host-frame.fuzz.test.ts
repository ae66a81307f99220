import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { FuzzWatch, mutated } from '#base/mutations.fixture.ts';
import { SeededRandom } from '#base/random.ts';

import { DecodeError } from './host-decode.ts';
import { encodeFrame, FRAME_BYTES_MAX, FrameError, FrameReader } from './host-frame.ts';
import { decodeRequest, decodeResponse, type Verb, verbNamed, VERBS } from './host-protocol.ts';

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

const SCALARS: readonly unknown[] = [
  null,
  true,
  0,
  1,
  -1,
  1.5,
  2 ** 53,
  1e300,
  '',
  'x',
  'vol-00000001',
  'snap-00000001',
  '000000000001',
  'us-east-1',
  'cut 1',
  'no-space',
  'control',
];
const NAMES = [
  ...['hello', 'abort', 'id', 'verb', 'params', 'value', 'error', 'kind', 'message', 'volume', 'volumes', 'snapshot'],
  ...[
    'generation',
    'account',
    'sizeBytes',
    'origin',
    'label',
    'cut',
    'epoch',
    'base',
    'blocks',
    'next',
    'index',
    'key',
  ],
  ...['version', 'build', 'settings', 'pid', 'varve', '__proto__', 'constructor', 'toString'],
];

function json(random: SeededRandom, depth: number): unknown {
  const shape = depth === 0 ? 0 : random.below(4);
  if (shape < 2) return SCALARS[random.below(SCALARS.length)];
  if (shape === 2) return Array.from({ length: random.below(4) }, () => json(random, depth - 1));
  const entries = Array.from(
    { length: random.below(8) },
    () => [pick(random, NAMES), json(random, depth - 1)] as const,
  );
  return JSON.parse(`{${entries.map(([name, value]) => `"${name}":${JSON.stringify(value)}`).join()}}`);
}

function pick<T>(random: SeededRandom, items: readonly T[]): T {
  const item = items[random.below(items.length)];
  assert(item !== undefined);
  return item;
}

test(`a header, whatever is in it, is decoded or refused (FUZZ_SEED=${SEED})`, (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const ends = { decoded: 0, refused: 0 };
  const verbs: readonly Verb<unknown, unknown>[] = Object.keys(VERBS).flatMap((name) => verbNamed(name) ?? []);
  const decoders: readonly ((value: unknown) => unknown)[] = [
    decodeRequest,
    decodeResponse,
    ...verbs.map((verb) => (value: unknown) => verb.params(value, verb.name)),
    ...verbs.map((verb) => (value: unknown) => verb.result(value, random.below(2) === 0 ? null : random.bytes(3))),
  ];
  for (let input = 0; input < INPUTS; input += 1) {
    const decode = decoders[input % decoders.length] ?? decodeRequest;
    const value = json(random, 4);
    try {
      watch.run(() => decode(value));
      ends.decoded += 1;
    } catch (error) {
      assert(error instanceof DecodeError, `input ${input}, ${JSON.stringify(value)}: ${String(error)}`);
      ends.refused += 1;
    }
  }
  t.diagnostic(`${watch.summary()}; ${JSON.stringify(ends)}`);
  assert(ends.decoded > 0 && ends.refused > 0, 'both ends were seen');
});
