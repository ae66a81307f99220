import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { FuzzWatch, mutated } from '#base/mutations.fixture.ts';
import { SeededRandom } from '#base/random.ts';
import { DeviceError } from '#block/device.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, SnapshotId, VolumeId } from '#domain/ids.ts';

import { FragileFiles } from './fragile-files.fake.ts';
import { VolumeHostError } from './host.ts';
import { VolumeDevice } from './volume-device.ts';
import { decodeVolumeRecord, encodeMembers, encodeVolumeRecord, type VolumeRecord } from './volume-file.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? systemClock.nowMs() % 1_000_000);
const OPENINGS = Number(process.env['FUZZ_INPUTS'] ?? 400);
const RECORDS = OPENINGS * 40;
const MEMORY_BYTES_MAX = 256 * 1024 * 1024;
const PATH = '/volume';
const CHUNKS = 8;

const RECORD: VolumeRecord = {
  volume: 'vol-00000001' as VolumeId,
  account: '000000000001' as AccountId,
  sizeBytes: CHUNKS * CHUNK_BYTES,
  origin: {
    snapshot: 'snap-00000001' as SnapshotId,
    root: { key: 'ab'.repeat(32), depth: 1, chunkCount: 3, presentCount: 3 },
    chunkCount: 3,
  },
  detached: false,
  hydrationBytesPerSecond: null,
  generation: 1,
  sealedKey: null,
};

function open(files: FragileFiles, bootId: string): Promise<VolumeDevice> {
  return VolumeDevice.open(PATH, {
    generation: 1,
    bootId,
    files: files.process(),
    fetchOrigin: async () => null,
    limits: { logBytesMin: 600, logBytesMax: 600, uncommittedBytesMax: 300 },
  });
}

/** A volume that was used and closed, or not closed. */
async function used(random: SeededRandom): Promise<FragileFiles> {
  const files = new FragileFiles(random);
  await VolumeDevice.create(PATH, RECORD, files.process());
  const device = await open(files, 'boot');
  for (let step = random.below(40); step > 0; step -= 1) {
    const offset = random.below(CHUNKS) * CHUNK_BYTES + random.below(4) * BLOCK_BYTES;
    const choice = random.below(10);
    if (choice < 5) await device.write(offset, Buffer.alloc(BLOCK_BYTES, step), { fua: choice === 0 });
    else if (choice < 6) await device.zero(0, CHUNK_BYTES * 2, { fua: false, punch: true });
    else if (choice < 8) await device.beginCut(`cut-${step}` as CutId).durable;
    else if (choice < 9) await device.release(device.cuts()[0]?.cut ?? ('none' as CutId));
    else await device.flush();
  }
  if (random.below(2) === 0) await device.close();
  files.restart({ powerLost: false });
  return files;
}

async function damage(random: SeededRandom, files: FragileFiles): Promise<void> {
  const process = files.process();
  const names = (await process.list(PATH)).filter((name) => name !== 'data');
  const name = names[random.below(names.length)] ?? '';
  const path = `${PATH}/${name}`;
  if (random.below(12) === 0) {
    await process.remove(path);
    return;
  }
  const bytes = mutated(random, files.content(path));
  const file = process.open(path, 'replace');
  if (bytes.length > 0) file.write(bytes, 0, bytes.length, 0);
}

test(`a volume of which a file is not what it was opens, or says what is damaged (FUZZ_SEED=${SEED})`, async (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const ends = { opened: 0, refused: 0 };
  for (let input = 0; input < OPENINGS; input += 1) {
    const files = await used(new SeededRandom(random.below(2 ** 31)));
    await damage(random, files);
    try {
      await watch.runAsync(async () => {
        await using device = await open(files, random.below(2) === 0 ? 'boot' : 'another');
        await device.write(0, Buffer.alloc(BLOCK_BYTES, 1), { fua: true });
      });
      ends.opened += 1;
    } catch (error) {
      assert(error instanceof VolumeHostError || error instanceof DeviceError, `input ${input}: ${String(error)}`);
      ends.refused += 1;
    }
  }
  t.diagnostic(`${watch.summary()}; ${JSON.stringify(ends)}`);
  assert(ends.opened > 0 && ends.refused > 0, 'both ends were seen');
  assert(watch.slowestMs < 2000 && watch.growthBytes < MEMORY_BYTES_MAX, watch.summary());
});

test(`volume.json, whatever is in it, is read or refused (FUZZ_SEED=${SEED})`, (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const ends = { read: 0, refused: 0 };
  for (let input = 0; input < RECORDS; input += 1) {
    try {
      watch.run(() => decodeVolumeRecord(recordBytes(random)));
      ends.read += 1;
    } catch (error) {
      assert(error instanceof VolumeHostError, `input ${input}: ${String(error)}`);
      ends.refused += 1;
    }
  }
  t.diagnostic(`${watch.summary()}; ${JSON.stringify(ends)}`);
  assert(ends.read > 0 && ends.refused > 0, 'both ends were seen');
});

/** Values of other kinds under a good checksum, or wrong bytes. */
function recordBytes(random: SeededRandom): Buffer {
  if (random.below(3) === 0) return mutated(random, encodeVolumeRecord(RECORD));
  const values: readonly unknown[] = [null, 0, -1, 1.5, 2 ** 60, '', 'vol-1', [], {}, true, CHUNK_BYTES, RECORD.origin];
  const members = ['volume', 'account', 'sizeBytes', 'origin', 'generation'];
  const change = { [members[random.below(members.length)] ?? '']: values[random.below(values.length)] };
  const origin = { ...RECORD.origin, ...(random.below(2) === 0 ? { root: values[random.below(values.length)] } : {}) };
  return encodeMembers({ version: 1 + random.below(4), ...RECORD, origin, ...change });
}
