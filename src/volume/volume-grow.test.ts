import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { SeededRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, VolumeId } from '#domain/ids.ts';

import { PAGE_CHUNKS } from './chunk-map.ts';
import { CrashError, FragileFiles } from './fragile-files.fake.ts';
import { VolumeDevice } from './volume-device.ts';

const PATH = '/volume';
const SMALL = 2 * CHUNK_BYTES;
/** Its last chunk is on a page of the map that the volume did not have before. */
const LARGE = (PAGE_CHUNKS + 3) * CHUNK_BYTES;
const FLUSHED = { fua: true };
/** The log begins anew, with a checkpoint, all the time. */
const LIMITS = { logBytesMin: 200, logBytesMax: 200, uncommittedBytesMax: 200 };

/** What a life of the volume has been told. */
interface Told {
  grown: boolean;
  startWritten: boolean;
  endWritten: boolean;
  cut: boolean;
}

function isCrash(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (at instanceof CrashError) return true;
  return false;
}

async function open(files: FragileFiles, generation: number): Promise<VolumeDevice> {
  return await VolumeDevice.open(PATH, {
    generation,
    files: files.process(),
    fetchOrigin: async () => null,
    bootId: String(generation),
    limits: LIMITS,
  });
}

async function live(device: VolumeDevice, told: Told): Promise<void> {
  const bytes = Buffer.alloc(CHUNK_BYTES, 1);
  await device.write(0, bytes, FLUSHED);
  told.startWritten = true;
  await device.grow(LARGE);
  told.grown = true;
  await device.write(LARGE - CHUNK_BYTES, bytes, FLUSHED);
  told.endWritten = true;
  for (let time = 0; time < 6; time += 1) {
    await device.zero(CHUNK_BYTES, CHUNK_BYTES, { fua: false, punch: true });
    await device.write(CHUNK_BYTES, bytes.subarray(0, 4096), FLUSHED);
    await setImmediate();
  }
  await device.beginCut('cut' as CutId).durable;
  told.cut = true;
  await device.close();
}

test('a volume that grows is of the one size or the other after a crash at any point, and whole', async () => {
  const random = new SeededRandom(3);
  let crashes = 0;
  for (const powerLost of [false, true]) {
    for (let crashAfter = 1; ; crashAfter += 1) {
      const files = new FragileFiles(random);
      const spec = { volume: 'vol-00000001' as VolumeId, account: '000000000001' as AccountId, origin: null };
      await VolumeDevice.create(PATH, { ...spec, sizeBytes: SMALL }, files.process());
      const told: Told = { grown: false, startWritten: false, endWritten: false, cut: false };
      files.crashAfter = crashAfter;
      const hasEnded = await open(files, 1)
        .then((device) => live(device, told))
        .then(
          () => true,
          (error: unknown) => {
            assert.ok(isCrash(error), String(error));
            return false;
          },
        );
      files.crashAfter = null;
      for (let turn = 0; turn < 5; turn += 1) await setImmediate();
      files.restart({ powerLost });
      const device = await open(files, 2);
      assert.ok([SMALL, LARGE].includes(device.sizeBytes));
      if (told.grown) assert.equal(device.sizeBytes, LARGE);
      const first = Buffer.alloc(1);
      await device.read(0, first);
      if (told.startWritten) assert.equal(first[0], 1);
      const last = Buffer.alloc(1);
      if (device.sizeBytes === LARGE) await device.read(LARGE - 1, last);
      if (told.endWritten) assert.equal(last[0], 1);
      if (told.cut) assert.deepEqual(device.cuts(), [{ cut: 'cut', epoch: 1 }]);
      await device.grow(2 * LARGE);
      assert.equal(device.sizeBytes, 2 * LARGE);
      await device.close();
      if (hasEnded) break;
      crashes += 1;
    }
  }
  assert.ok(crashes > 40, `it crashed ${crashes} times`);
});

test('a volume does not shrink, and the same size again is no error', async () => {
  const files = new FragileFiles(new SeededRandom(4));
  const spec = { volume: 'vol-00000001' as VolumeId, account: '000000000001' as AccountId, origin: null };
  await VolumeDevice.create(PATH, { ...spec, sizeBytes: SMALL }, files.process());
  await using device = await open(files, 1);
  await Promise.all([device.grow(LARGE), device.grow(2 * SMALL), device.grow(LARGE)]);
  assert.equal(device.sizeBytes, LARGE);
});
