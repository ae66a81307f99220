import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { crc32c } from '#base/crc32c.ts';
import { FuzzWatch, mutated } from '#base/mutations.fixture.ts';
import { SeededRandom } from '#base/random.ts';
import type { CutId } from '#domain/ids.ts';

import { CheckpointWriter, loadCheckpoint } from './checkpoint.ts';
import { slotOf } from './chunk-map.ts';
import { VolumeHostError } from './host.ts';
import type { VolumeFile } from './volume-files.ts';
import { VolumeMap } from './volume-map.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? systemClock.nowMs() % 1_000_000);
const INPUTS = Number(process.env['FUZZ_INPUTS'] ?? 1500);
const MEMORY_BYTES_MAX = 256 * 1024 * 1024;
const IDENTITY = { volumeTag: 7, number: 1 };
/** Two pages. */
const SHAPE = { chunkCount: 4100, originCount: 50 };
const SECTION_HEADER_BYTES = 16;

/** A file in memory, as long as what was written to it. */
class MemoryFile implements VolumeFile {
  bytes: Buffer;

  constructor(bytes: Buffer = Buffer.alloc(0)) {
    this.bytes = bytes;
  }

  sizeBytes(): number {
    return this.bytes.length;
  }

  read(target: Uint8Array, start: number, length: number, position: number): number {
    return this.bytes.copy(target, start, position, position + length);
  }

  async readLater(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    return this.read(target, start, length, position);
  }

  write(source: Uint8Array, start: number, length: number, position: number): number {
    if (this.bytes.length < position + length) {
      this.bytes = Buffer.concat([this.bytes, Buffer.alloc(position + length - this.bytes.length)]);
    }
    this.bytes.set(source.subarray(start, start + length), position);
    return length;
  }

  truncate(): void {}

  async sync(): Promise<void> {}

  close(): void {}
}

async function checkpointOf(random: SeededRandom): Promise<Buffer> {
  const map = new VolumeMap(SHAPE);
  let slot = 2;
  for (let count = random.below(60); count > 0; count -= 1) {
    const index = random.below(4) === 0 ? SHAPE.chunkCount - 1 - random.below(4) : random.below(12);
    if (random.below(8) === 0) map.addCut(`cut-${map.epoch}` as CutId, map.epoch);
    const pending = map.tables.filter(({ released }) => !released);
    if (random.below(12) === 0 && pending.length > 0) map.releaseCut(pending[random.below(pending.length)]?.epoch ?? 0);
    const isIn = map.chunks.epochAt(index) === map.epoch && map.chunks.isPartial(index);
    const isAbove = map.chunks.wholeSlotAt(index) >= 0 && map.chunks.epochAt(index) < map.epoch;
    if (isIn) map.putPart(index, slotOf(map.chunks.stateAt(index)), map.epoch, random.below(60), 1 + random.below(4));
    else if (isAbove) map.putPart(index, (slot += 1), map.epoch, random.below(60), 1 + random.below(4));
    else map.put(index, (slot += 1), map.epoch, () => {});
  }
  const file = new MemoryFile();
  await new CheckpointWriter(file, map, IDENTITY, random.below(1000)).finish();
  return file.bytes;
}

/** Makes the checksums good again behind what was changed. */
function resealed(bytes: Buffer): Buffer {
  const headerBytes = bytes.length < 48 ? Infinity : bytes.readUInt32LE(40);
  if (headerBytes < 52 || headerBytes > bytes.length) return bytes;
  const seed = crc32c(bytes.subarray(0, headerBytes - 4));
  bytes.writeUInt32LE(seed, headerBytes - 4);
  for (let at = headerBytes; at + SECTION_HEADER_BYTES + 4 <= bytes.length;) {
    const end = at + SECTION_HEADER_BYTES + bytes.readUInt32LE(at + 12) * 4;
    if (end + 4 > bytes.length) break;
    bytes.writeUInt32LE(crc32c(bytes.subarray(at, end), seed), end);
    at = end + 4;
  }
  return bytes;
}

/** A wrong number in the header or at the head of a section or entry: in the bulk of a page it would hardly ever be. */
function wrongInPlace(random: SeededRandom, bytes: Buffer): Buffer {
  const headerBytes = bytes.readUInt32LE(40);
  const parts = [bytes.subarray(0, headerBytes), bytes.subarray(headerBytes, headerBytes + 60), bytes.subarray(-200)];
  const part = parts[random.below(parts.length)] ?? bytes;
  const at = random.below(Math.max(1, Math.floor(part.length / 4) - 1)) * 4;
  part.writeUInt32LE(random.below(2) === 0 ? random.below(6) : random.below(2 ** 32), at);
  return bytes;
}

/** Slots under partial ones, of all that was loaded. */
let seenUnders = 0;

async function load(bytes: Buffer): Promise<void> {
  const { map } = await loadCheckpoint(new MemoryFile(bytes), IDENTITY, SHAPE);
  for (const { cut, released } of map.tables) {
    if (!released) assert.equal([...map.changes(cut, 0)].length, map.changeCount(cut, 0));
  }
  for (const unders of map.unders()) seenUnders += unders.length;
  for (const table of map.tables.filter(({ released }) => released)) for (const _page of map.drain(table, () => {}));
  for (const slots of map.references()) assert(slots.every((slot) => slot >= 0));
}

test(`a checkpoint, whatever is in it, is loaded or refused as damage (FUZZ_SEED=${SEED})`, async (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const ends = { loaded: 0, damaged: 0 };
  for (let input = 0; input < INPUTS; input += 1) {
    const whole = await checkpointOf(random);
    const shape = random.below(8);
    const wrong = shape === 0 ? whole : shape < 4 ? mutated(random, whole) : wrongInPlace(random, whole);
    const bytes = shape < 2 ? wrong : resealed(wrong);
    try {
      await watch.runAsync(() => load(bytes));
      ends.loaded += 1;
    } catch (error) {
      // `internal`: of a version that this program does not know.
      const isRefused = error instanceof VolumeHostError && (error.kind === 'damaged' || /version/.test(error.message));
      assert(isRefused, `input ${input}: ${String(error)}`);
      ends.damaged += 1;
    }
  }
  t.diagnostic(`${watch.summary()}; ${JSON.stringify(ends)}`);
  assert(ends.loaded > 0 && ends.damaged > 0 && seenUnders > 0, 'both ends were seen');
  assert(watch.slowestMs < 2000 && watch.growthBytes < MEMORY_BYTES_MAX, watch.summary());
});
