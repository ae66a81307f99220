import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { FuzzWatch, mutated } from '#base/mutations.fixture.ts';
import { SeededRandom } from '#base/random.ts';
import type { CutId } from '#domain/ids.ts';

import { VolumeHostError } from './host.ts';
import { decodeFrame, encodeFrame, FRAME_BYTES_MAX, FRAME_BYTES_MIN, type LogRecord, sealFrame } from './log-record.ts';
import { LogReplay } from './log-replay.ts';
import { encodeFirstLog, LOG_HEADER_BYTES, LogReader } from './map-log.ts';
import { VolumeMap } from './volume-map.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? systemClock.nowMs() % 1_000_000);
const INPUTS = Number(process.env['FUZZ_INPUTS'] ?? 40_000);
const MEMORY_BYTES_MAX = 256 * 1024 * 1024;
const IDENTITY = { volumeTag: 7, number: 1 };
const CHUNKS = 40;

/** A log as a volume writes it: mostly what may follow, now and then what may not. */
function logOf(random: SeededRandom): Buffer {
  const first = encodeFirstLog(IDENTITY, 'boot');
  const pieces: Buffer[] = [first];
  let crc = first.readUInt32LE(first.length - 4);
  let epoch = 1;
  let sequence = 0;
  for (let count = random.below(40); count > 0; count -= 1) {
    const record = recordOf(random, epoch, sequence);
    if (record.kind === 'cut') epoch += 1;
    if (record.kind !== 'commit' && record.kind !== 'start') sequence += 1;
    const frame = Buffer.alloc(FRAME_BYTES_MAX);
    const frameBytes = encodeFrame(record, frame);
    crc = sealFrame(frame, frameBytes, crc);
    pieces.push(frame.subarray(0, frameBytes));
  }
  return Buffer.concat([...pieces, Buffer.alloc(random.below(200))]);
}

function recordOf(random: SeededRandom, epoch: number, sequence: number): LogRecord {
  const wild = random.below(30) === 0;
  switch (random.below(11)) {
    case 8:
    case 9:
      return {
        kind: 'part',
        index: random.below(wild ? CHUNKS + 2 : CHUNKS / 8),
        slot: wild ? random.below(2 ** 32) : random.below(20),
        epoch: wild ? random.below(9) : epoch,
        first: random.below(wild ? 2 ** 16 : 100),
        count: random.below(wild ? 2 ** 16 : 28),
      };
    case 0:
      return {
        kind: 'cut',
        cut: `cut-${random.below(wild ? 2 : 1e6)}` as CutId,
        epoch: wild ? random.below(5) : epoch,
      };
    case 1:
      return { kind: 'release', epoch: random.below(epoch + 1) };
    case 2:
      return { kind: 'commit', sequence: wild ? random.below(100) : sequence, syncedBytes: random.below(3000) };
    case 3:
      if (!wild) break;
      return random.below(2) === 0
        ? { kind: 'start', firstSequence: random.below(50), tailBytes: random.below(500), bootId: 'boot' }
        : { kind: 'open', generation: 1, voidSequence: random.below(sequence + 2), bootId: 'boot' };
    default:
  }
  const state = random.below(30);
  const count = state === 0 ? 1 + random.below(5) : 1;
  return { kind: 'put', index: random.below(CHUNKS - count + 1), count, state, epoch: wild ? random.below(9) : epoch };
}

/** Makes the checksums good again behind what was changed, so that it is the decoder that must find it. */
function resealed(bytes: Buffer): Buffer {
  if (bytes.length < LOG_HEADER_BYTES) return bytes;
  let crc = bytes.readUInt32LE(LOG_HEADER_BYTES - 4);
  for (let at = LOG_HEADER_BYTES; at + FRAME_BYTES_MIN <= bytes.length;) {
    const frameBytes = bytes.readUInt16LE(at + 2);
    if (frameBytes < FRAME_BYTES_MIN || frameBytes % 8 !== 0 || at + frameBytes > bytes.length) break;
    crc = sealFrame(bytes.subarray(at), frameBytes, crc);
    at += frameBytes;
  }
  return bytes;
}

/** Slots under partial ones, of all that was replayed. */
let seenUnders = 0;

/** Replays as recovery does; answers whether the log was taken for a good one. */
function replay(bytes: Buffer, isSameBoot: boolean): boolean {
  const reader = LogReader.of(bytes, IDENTITY);
  if (reader === null) return false;
  const map = new VolumeMap({ chunkCount: CHUNKS, originCount: CHUNKS / 2 });
  const log = new LogReplay(map, 0, isSameBoot ? 'boot' : 'another');
  for (let record = reader.next(); record !== null; record = reader.next()) if (!log.take(record)) return false;
  reader.isDamaged(isSameBoot);
  log.finish();
  for (const table of map.tables.filter(({ released }) => released)) for (const _page of map.drain(table, () => {}));
  for (const { cut, released } of map.tables) if (!released) map.changeCount(cut, 0);
  for (const slots of map.references()) assert(slots.every((slot) => slot >= 0));
  for (const unders of map.unders()) seenUnders += unders.length;
  return true;
}

test(`a log of the map, whatever is in it, is replayed or refused as damage (FUZZ_SEED=${SEED})`, (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const ends = { replayed: 0, ended: 0, damaged: 0 };
  for (let input = 0; input < INPUTS; input += 1) {
    const whole = logOf(random);
    const shape = random.below(8);
    const wrong = shape === 0 ? whole : shape === 1 ? random.bytes(random.below(300)) : mutated(random, whole);
    const bytes = shape < 4 ? wrong : resealed(wrong);
    try {
      ends[watch.run(() => replay(bytes, random.below(2) === 0)) ? 'replayed' : 'ended'] += 1;
    } catch (error) {
      assert(error instanceof VolumeHostError && error.kind === 'damaged', `input ${input}: ${String(error)}`);
      ends.damaged += 1;
    }
  }
  t.diagnostic(`${watch.summary()}; ${JSON.stringify(ends)}`);
  assert(ends.replayed > 0 && ends.ended > 0 && ends.damaged > 0 && seenUnders > 0, 'all ends were seen');
  assert(watch.slowestMs < 2000 && watch.growthBytes < MEMORY_BYTES_MAX, watch.summary());
});

test('a frame is decoded from any bytes at any place', (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  for (let input = 0; input < INPUTS / 4; input += 1) {
    const bytes = random.bytes(random.below(300));
    const at = random.below(bytes.length + 20);
    watch.run(() => decodeFrame(bytes, at, random.below(2 ** 32)));
  }
  t.diagnostic(watch.summary());
});
