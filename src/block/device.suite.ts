import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { CheckedDevice } from './checked.ts';
import { type BlockDevice, DeviceError } from './device.ts';

export interface DeviceUnderTest extends AsyncDisposable {
  /** New, zeros, writable. */
  readonly device: BlockDevice;
}

const NO_FUA = { fua: false };
const PUNCH = { fua: false, punch: true };

/** What every BlockDevice does, as tests. `make` gives a new device of the size. */
export function deviceSuite(name: string, make: (sizeBytes: number) => Promise<DeviceUnderTest>): void {
  const sizeBytes = 4 * CHUNK_BYTES;

  /** A test on a new device, with the contract asserted. */
  function fact(text: string, body: (device: CheckedDevice, bare: BlockDevice) => Promise<void>): void {
    test(`${name}: ${text}`, async () => {
      await using made = await make(sizeBytes);
      const device = new CheckedDevice(made.device);
      await body(device, made.device);
      assert.equal(device.flyingCount, 0, 'every request was answered');
    });
  }

  async function content(device: BlockDevice, offset: number, length: number): Promise<Buffer> {
    const target = Buffer.alloc(length, 0xee);
    await device.read(offset, target);
    return target;
  }

  fact('a new device reads as zeros, to its last byte', async (device) => {
    assert.equal(device.sizeBytes, sizeBytes);
    assert(isZero(await content(device, 0, sizeBytes)));
  });

  fact('what was written is read, at any alignment', async (device) => {
    await device.write(4097, Buffer.from('varve'), NO_FUA);
    assert.equal((await content(device, 4090, 20)).toString('latin1'), `${'\0'.repeat(7)}varve${'\0'.repeat(8)}`);
  });

  fact('nothing is changed for who is gone', async (device) => {
    await device.write(0, Buffer.alloc(2 * CHUNK_BYTES, 7), NO_FUA);
    const signal = AbortSignal.abort();
    const isGone = (error: unknown): boolean => error instanceof DeviceError && error.errno === 'ESHUTDOWN';
    await assert.rejects(async () => device.write(5, Buffer.from('varve'), { fua: true, signal }), isGone);
    await assert.rejects(async () => device.zero(0, CHUNK_BYTES, { fua: true, punch: true, signal }), isGone);
    assert((await content(device, 0, 2 * CHUNK_BYTES)).equals(Buffer.alloc(2 * CHUNK_BYTES, 7)));
  });

  fact('a write may span chunks', async (device) => {
    const source = pattern(2 * CHUNK_BYTES + 11, 1);
    await device.write(CHUNK_BYTES - 5, source, NO_FUA);
    assert((await content(device, CHUNK_BYTES - 5, source.length)).equals(source));
    assert(isZero(await content(device, 0, CHUNK_BYTES - 5)));
    assert(isZero(await content(device, 3 * CHUNK_BYTES + 6, CHUNK_BYTES - 6)));
  });

  fact('a write of nothing, a read of nothing and a trim of nothing do nothing', async (device) => {
    await device.write(sizeBytes, Buffer.alloc(0), { fua: true });
    await device.read(sizeBytes, Buffer.alloc(0));
    await device.zero(sizeBytes, 0, PUNCH);
    await device.zero(7, 0, PUNCH);
    assert(isZero(await content(device, 0, sizeBytes)));
  });

  for (const punch of [true, false]) {
    fact(`zeroing leaves zeros there and nowhere else (punch: ${punch})`, async (device) => {
      const source = pattern(sizeBytes, 2);
      await device.write(0, source, NO_FUA);
      const ranges = [
        [0, CHUNK_BYTES],
        [CHUNK_BYTES + 1, 10],
        [2 * CHUNK_BYTES - 3, CHUNK_BYTES + 6],
      ] as const;
      for (const [offset, length] of ranges) {
        await device.zero(offset, length, { fua: false, punch });
        source.fill(0, offset, offset + length);
      }
      assert((await content(device, 0, sizeBytes)).equals(source));
    });

    fact(`what was zeroed can be written again (punch: ${punch})`, async (device) => {
      await device.write(0, pattern(CHUNK_BYTES, 3), NO_FUA);
      await device.zero(0, CHUNK_BYTES, { fua: false, punch });
      await device.write(100, Buffer.from([1, 2, 3]), NO_FUA);
      const expected = Buffer.alloc(CHUNK_BYTES);
      expected.set([1, 2, 3], 100);
      assert((await content(device, 0, CHUNK_BYTES)).equals(expected));
    });
  }

  fact('a buffer that was written belongs to its owner again', async (device) => {
    const source = pattern(8192, 4);
    const kept = Buffer.from(source);
    await device.write(0, source, NO_FUA);
    source.fill(0xff);
    assert((await content(device, 0, 8192)).equals(kept));
  });

  fact('requests in flight together that do not overlap do not disturb each other', async (device) => {
    const source = pattern(sizeBytes, 5);
    const waiting: Promise<void>[] = [];
    for (let offset = 0; offset < sizeBytes; offset += 30_011) {
      const answer = device.write(offset, source.subarray(offset, Math.min(sizeBytes, offset + 30_011)), NO_FUA);
      if (answer !== undefined) waiting.push(answer);
    }
    await Promise.all(waiting);
    assert((await content(device, 0, sizeBytes)).equals(source));
  });

  fact('flushes can be asked for together, and writes with fua among them', async (device) => {
    const source = pattern(4096, 6);
    await Promise.all([device.flush(), device.write(0, source, { fua: true }), device.flush(), device.flush()]);
    await device.zero(4096, 4096, { fua: true, punch: true });
    await device.flush();
    assert((await content(device, 0, 4096)).equals(source));
  });

  fact('extents cover a range; those that say zero are zeros', async (device) => {
    await device.write(CHUNK_BYTES, pattern(CHUNK_BYTES, 7), NO_FUA);
    await device.zero(3 * CHUNK_BYTES, 1, PUNCH);
    for (const [offset, length] of [
      [0, sizeBytes],
      [5, 10],
      [CHUNK_BYTES - 1, 2],
      [CHUNK_BYTES + 1, sizeBytes / 2],
    ] as const) {
      for (const extent of await device.extents(offset, length, 100)) {
        if (extent.zero) assert(isZero(await content(device, extent.offset, extent.length)));
      }
    }
  });

  fact('extents end with as many as asked for', async (device) => {
    await device.write(CHUNK_BYTES, pattern(CHUNK_BYTES, 8), NO_FUA);
    const all = await device.extents(0, sizeBytes, 100);
    for (let count = 1; count <= all.length; count += 1) {
      assert.deepEqual(await device.extents(0, sizeBytes, count), all.slice(0, count));
    }
  });

  fact('after it was disposed of it answers ESHUTDOWN', async (_checked, device) => {
    await device[Symbol.asyncDispose]();
    await device[Symbol.asyncDispose]();
    const isShutDown = (error: unknown): boolean => error instanceof DeviceError && error.errno === 'ESHUTDOWN';
    await assert.rejects(async () => device.read(0, Buffer.alloc(1)), isShutDown);
    await assert.rejects(async () => device.write(0, Buffer.alloc(1), NO_FUA), isShutDown);
    await assert.rejects(async () => device.zero(0, 1, PUNCH), isShutDown);
    await assert.rejects(async () => device.flush(), isShutDown);
  });

  fact('it does what a flat buffer does', async (device) => {
    const random = new SeededRandom(9);
    const model = Buffer.alloc(sizeBytes);
    for (let step = 0; step < 200; step += 1) {
      const length = random.below([3, 5_000, CHUNK_BYTES, 2 * CHUNK_BYTES][random.below(4)] ?? 1);
      const offset = random.below(sizeBytes - length + 1);
      if (random.below(3) > 0) {
        const source = pattern(length, step);
        await device.write(offset, source, NO_FUA);
        source.copy(model, offset);
      } else {
        await device.zero(offset, length, { fua: false, punch: random.below(2) === 0 });
        model.fill(0, offset, offset + length);
      }
      const start = random.below(sizeBytes - 9_000);
      assert((await content(device, start, 9_000)).equals(model.subarray(start, start + 9_000)), `step ${step}`);
    }
    assert((await content(device, 0, sizeBytes)).equals(model));
  });
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** Bytes without a period that blocks or chunks have. */
function pattern(length: number, seed: number): Buffer {
  const random = new SeededRandom(seed);
  const bytes = Buffer.alloc(length);
  if (length > 0) bytes.fill(random.bytes(251));
  return bytes;
}
