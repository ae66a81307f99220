import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { DeviceError } from '#block/device.ts';
import { StoreError } from '#chunk/errors.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { newSnapshotId, newVolumeId } from '#domain/ids.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';

import { ChunkCache } from './chunk-cache.ts';
import { PRESENCE_PAGE_CHUNKS } from './chunk-presence.ts';
import { SnapshotDevice } from './snapshot-device.ts';

const random = new SeededRandom(7);
const COUNT = 40;

/** A snapshot whose chunks are in a map; listings after the first come when `listed` lets them. */
async function deviceOf(
  chunks: ReadonlyMap<number, Buffer>,
  options: { readonly listed?: () => Promise<void>; readonly damaged?: number; readonly chunkCount?: number } = {},
) {
  const reads: number[] = [];
  const troubles: unknown[] = [];
  let held = true;
  const { chunkCount = COUNT } = options;
  const root = { key: null, depth: 1, chunkCount, presentCount: chunks.size };
  const account = '000000000001' as never;
  const label = {
    snapshot: newSnapshotId(random),
    account,
    region: 'us-east-1' as never,
    volume: newVolumeId(random),
    sizeBytes: chunkCount * CHUNK_BYTES,
    description: '',
    startedAtMs: 0,
    tags: {},
    parent: null,
  };
  const manifest = { label, completedAtMs: 0, root, fullBytes: 0, changedBytes: 0, storedBytes: 0 };
  const store: Pick<SnapshotStore, 'readChunk' | 'listRoot'> = {
    readChunk: async (_account, _root, index) => {
      reads.push(index);
      if (index === options.damaged) throw new StoreError('damaged', `chunk ${index}`);
      const bytes = chunks.get(index);
      return bytes === undefined ? null : { key: 'k', bytes };
    },
    listRoot: async (_account, _root, start, countMax, end = Infinity) => {
      if (start > 0) await options.listed?.();
      const there = [...chunks.keys()].filter((index) => index >= start).toSorted((a, b) => a - b);
      const indexes = there.filter((index) => index < end).slice(0, countMax);
      return { blocks: indexes.map((index) => ({ index, key: 'k' })), next: there[indexes.length] ?? null };
    },
  };
  const device = await SnapshotDevice.open({
    store,
    held: {
      account,
      root,
      manifest,
      [Symbol.dispose]: () => {
        held = false;
      },
    },
    cache: new ChunkCache({ bytesMax: 4 * CHUNK_BYTES }),
    onTrouble: (error) => troubles.push(error),
  });
  return { device, reads, troubles, isHeld: () => held };
}

function someChunks(): Map<number, Buffer> {
  return new Map([1, 2, 3, 17, 39].map((index) => [index, random.bytes(CHUNK_BYTES)]));
}

test('every range reads as the snapshot has it', async (t) => {
  const seed = Number(process.env['VARVE_SEED'] ?? 11);
  t.diagnostic(`seed ${seed}`);
  const chance = new SeededRandom(seed);
  const chunks = someChunks();
  const whole = Buffer.alloc(COUNT * CHUNK_BYTES);
  for (const [index, bytes] of chunks) bytes.copy(whole, index * CHUNK_BYTES);
  const { device } = await deviceOf(chunks);
  for (let round = 0; round < 200; round += 1) {
    const offset = chance.below(whole.length);
    const target = Buffer.alloc(Math.min(whole.length - offset, 1 + chance.below(3 * CHUNK_BYTES)), 0xee);
    await device.read(offset, target);
    assert.ok(target.equals(whole.subarray(offset, offset + target.length)), `${offset}+${target.length}`);
  }
});

test('a read of holes or of cached chunks is done at once and asks nobody', async () => {
  const { device, reads } = await deviceOf(someChunks());
  assert.equal(device.read(4 * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES)), undefined);
  const target = Buffer.alloc(10);
  await device.read(CHUNK_BYTES, target);
  assert.equal(device.read(CHUNK_BYTES, target), undefined);
  assert.deepEqual(reads, [1]);
});

/** [first chunk, chunks, whether it is a hole] of the range. */
async function kindsOf(device: SnapshotDevice, offset: number, length: number, countMax: number) {
  const extents = await device.extents(offset * CHUNK_BYTES, length * CHUNK_BYTES, countMax);
  return extents.map((extent) => [
    extent.offset / CHUNK_BYTES,
    extent.length / CHUNK_BYTES,
    extent.hole && extent.zero,
  ]);
}

test('extents say where data is, cut at the range and at the count', async () => {
  const { device } = await deviceOf(someChunks());
  const kinds = (offset: number, length: number, countMax: number) => kindsOf(device, offset, length, countMax);
  assert.deepEqual(await kinds(0, COUNT, 100), [
    [0, 1, true],
    [1, 3, false],
    [4, 13, true],
    [17, 1, false],
    [18, 21, true],
    [39, 1, false],
  ]);
  assert.deepEqual(await kinds(2.5, 3, 100), [
    [2.5, 1.5, false],
    [4, 1.5, true],
  ]);
  assert.deepEqual((await kinds(0, COUNT, 2)).length, 2);
});

test('what is not known yet is looked up when it is asked about, and looked up again when that failed', async () => {
  const chunkCount = 3 * PRESENCE_PAGE_CHUNKS;
  const [hole, data] = [PRESENCE_PAGE_CHUNKS + 20, PRESENCE_PAGE_CHUNKS + 30];
  const bytes = random.bytes(CHUNK_BYTES);
  let listed: () => Promise<void> = async () => {
    throw new StoreError('damaged', 'node');
  };
  const { device, reads, troubles } = await deviceOf(new Map([[data, bytes]]), { chunkCount, listed: () => listed() });
  const target = Buffer.alloc(CHUNK_BYTES, 1);
  const isEio = (error: unknown): boolean => error instanceof DeviceError && error.errno === 'EIO';
  await assert.rejects(async () => device.read(hole * CHUNK_BYTES, target), isEio);
  await assert.rejects(async () => device.extents(0, chunkCount * CHUNK_BYTES, 9), isEio);
  assert.equal(troubles.length, 2);
  listed = async () => {};
  await device.read(hole * CHUNK_BYTES, target);
  assert.deepEqual(target, Buffer.alloc(CHUNK_BYTES));
  assert.deepEqual(reads, []);
  await device.read(data * CHUNK_BYTES, target);
  assert.deepEqual(target, bytes);
  assert.deepEqual(await kindsOf(device, 0, chunkCount, 9), [
    [0, data, true],
    [data, 1, false],
    [data + 1, chunkCount - data - 1, true],
  ]);
});

test('extents that are looked up when the export is closed end with ESHUTDOWN', async () => {
  const gate = Promise.withResolvers<void>();
  const chunks = new Map([[2 * PRESENCE_PAGE_CHUNKS, random.bytes(CHUNK_BYTES)]]);
  const { device } = await deviceOf(chunks, { chunkCount: 3 * PRESENCE_PAGE_CHUNKS, listed: () => gate.promise });
  const waiting = device.extents(0, device.sizeBytes, 9);
  await device[Symbol.asyncDispose]();
  gate.resolve();
  await assert.rejects(async () => waiting, /closed/);
});

test('a damaged chunk is EIO for its readers and no others', async () => {
  const { device, troubles } = await deviceOf(someChunks(), { damaged: 2 });
  const isEio = (error: unknown): boolean => error instanceof DeviceError && error.errno === 'EIO';
  await assert.rejects(async () => device.read(2 * CHUNK_BYTES - 1, Buffer.alloc(2)), isEio);
  await device.read(CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES));
  assert.equal(troubles.length, 1);
});

test('it cannot be written, and lets go of its snapshot when it is closed', async () => {
  const { device, isHeld } = await deviceOf(someChunks());
  assert.throws(() => device.write(), /cannot be written/);
  assert.throws(() => device.zero(), /cannot be written/);
  assert.ok(isHeld());
  await device[Symbol.asyncDispose]();
  assert.ok(!isHeld());
  assert.throws(() => device.read(0, Buffer.alloc(1)), /closed/);
});
