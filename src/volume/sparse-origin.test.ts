import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { deviceSuite } from '#block/device.suite.ts';
import { DeviceError } from '#block/device.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, SnapshotId, VolumeId } from '#domain/ids.ts';
import { emptyRoot } from '#snapshot/tree.ts';

import { PRESENCE_PAGE_CHUNKS } from './chunk-presence.ts';
import { ORIGIN_FETCHES_MAX } from './origin-chunks.ts';
import { VolumeDevice } from './volume-device.ts';

const PAGE = PRESENCE_PAGE_CHUNKS;
const NO_FUA = { fua: false };
const isEio = (error: unknown): boolean => error instanceof DeviceError && error.errno === 'EIO';

/** A volume of an origin that holds some chunks, each filled with its index + 1. */
class Scene implements AsyncDisposable {
  readonly #base: string;
  readonly device: VolumeDevice;
  readonly lists: number[];
  readonly fetches: number[];
  /** What a listing, and a fetch, waits for. */
  readonly gates: { list: Promise<void>; fetch: Promise<void> };

  private constructor(base: string, parts: Pick<Scene, 'device' | 'lists' | 'fetches' | 'gates'>) {
    this.#base = base;
    this.device = parts.device;
    this.lists = parts.lists;
    this.fetches = parts.fetches;
    this.gates = parts.gates;
  }

  static async make(options: {
    readonly chunks: readonly number[];
    readonly originCount: number;
    readonly chunkCount?: number;
  }): Promise<Scene> {
    const { chunks, originCount, chunkCount = originCount } = options;
    const base = await mkdtemp(join(tmpdir(), 'varve-sparse-'));
    const path = join(base, 'volume');
    const presentCount = chunks.length;
    const root = { ...emptyRoot(originCount), key: presentCount === 0 ? null : 'cd'.repeat(32), presentCount };
    await VolumeDevice.create(path, {
      volume: 'vol-00000001' as VolumeId,
      account: '000000000001' as AccountId,
      sizeBytes: chunkCount * CHUNK_BYTES,
      origin: { snapshot: 'snap-00000001' as SnapshotId, root, chunkCount: originCount },
    });
    const lists: number[] = [];
    const fetches: number[] = [];
    const gates = { list: Promise.resolve(), fetch: Promise.resolve() };
    const device = await VolumeDevice.open(path, {
      generation: 1,
      originPresence: async (start, end) => {
        lists.push(start);
        await gates.list;
        const present = chunks.filter((index) => index >= start && index < end);
        return { present, next: chunks.find((index) => index >= end) ?? null };
      },
      fetchOrigin: async (index) => {
        fetches.push(index);
        await gates.fetch;
        assert(chunks.includes(index), 'what is not there is not fetched');
        return Buffer.alloc(CHUNK_BYTES, index + 1);
      },
      onTrouble: (error) => {
        throw error;
      },
    });
    return new Scene(base, { device, lists, fetches, gates });
  }

  /** [first chunk, chunks, what is there] of the range. */
  async kinds(first: number, count: number, countMax = 100): Promise<readonly (readonly [number, number, string])[]> {
    const extents = await this.device.extents(first * CHUNK_BYTES, count * CHUNK_BYTES, countMax);
    return extents.map(({ offset, length, zero, hole }) => {
      const kind = zero ? 'zero' : 'data';
      return [offset / CHUNK_BYTES, length / CHUNK_BYTES, hole ? `${kind} hole` : kind];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.device.close();
    await rm(this.#base, { recursive: true });
  }
}

/** Begins the request now; a promise, whichever way it is answered. */
async function inTime(request: () => unknown): Promise<void> {
  await request();
}

async function byteAt(device: VolumeDevice, offset: number): Promise<number> {
  const target = Buffer.alloc(1, 0xee);
  await device.read(offset, target);
  return target[0] ?? -1;
}

deviceSuite('a volume of an origin that holds nothing', (sizeBytes) =>
  Scene.make({ chunks: [], originCount: sizeBytes / CHUNK_BYTES }),
);

test('extents of a restored volume are holes but for what the snapshot holds, fetched or not', async () => {
  await using scene = await Scene.make({ chunks: [1, 2, 5, PAGE], originCount: PAGE + 2, chunkCount: PAGE + 9 });
  const expected = [
    [0, 1, 'zero hole'],
    [1, 2, 'data'],
    [3, 2, 'zero hole'],
    [5, 1, 'data'],
    [6, PAGE - 6, 'zero hole'],
    [PAGE, 1, 'data'],
    [PAGE + 1, 8, 'zero hole'],
  ];
  assert.deepEqual(await scene.kinds(0, PAGE + 9), expected);
  assert.deepEqual(scene.lists, [0, PAGE]);
  assert.deepEqual(await scene.kinds(0, PAGE + 9, 3), expected.slice(0, 3));
  await byteAt(scene.device, 2 * CHUNK_BYTES);
  assert.deepEqual(await scene.kinds(0, PAGE + 9), expected);
  await scene.device.write(3 * CHUNK_BYTES, Buffer.from([1]), NO_FUA);
  await scene.device.zero(5 * CHUNK_BYTES, CHUNK_BYTES, { fua: false, punch: true });
  assert.deepEqual((await scene.kinds(0, PAGE)).slice(0, 3), [
    [0, 1, 'zero hole'],
    [1, 3, 'data'],
    [4, PAGE - 4, 'zero hole'],
  ]);
  assert.deepEqual(scene.fetches, [2]);
});

test('a chunk that is known to be absent is read at once, and leaves no trace', async () => {
  await using scene = await Scene.make({ chunks: [3], originCount: 8 });
  const { device } = scene;
  assert.equal(await byteAt(device, 0), 0);
  const target = Buffer.alloc(3 * CHUNK_BYTES, 0xee);
  assert.equal(device.read(0, target), undefined);
  assert(target.every((byte) => byte === 0));
  assert.deepEqual([scene.lists, scene.fetches, device.slotBytes], [[0], [], 0]);
  device.beginCut('a' as CutId);
  assert.equal(device.changeCount('a' as CutId, 0), 0);
});

test('a write over a chunk that is absent brings zeros along and asks for nothing', async () => {
  await using scene = await Scene.make({ chunks: [3], originCount: 8 });
  const { device } = scene;
  await byteAt(device, 0);
  assert.equal(device.write(CHUNK_BYTES - 1, Buffer.from([7, 7]), NO_FUA), undefined);
  assert.equal(device.zero(2 * CHUNK_BYTES + 5, 9, { fua: false, punch: false }), undefined);
  const target = Buffer.alloc(4 * CHUNK_BYTES, 0xee);
  await device.read(0, target);
  const expected = Buffer.alloc(4 * CHUNK_BYTES);
  expected.fill(7, CHUNK_BYTES - 1, CHUNK_BYTES + 1);
  expected.fill(4, 3 * CHUNK_BYTES);
  assert(target.equals(expected));
  assert.deepEqual(scene.fetches, [3]);
  assert.equal(device.slotBytes, 3 * CHUNK_BYTES, 'zeroing a part of zeros takes no slot');
});

test('a slot that was used before holds nothing of its past where the origin holds nothing', async () => {
  await using scene = await Scene.make({ chunks: [], originCount: 8 });
  const { device } = scene;
  await device.write(0, Buffer.alloc(CHUNK_BYTES, 0x99), NO_FUA);
  await device.zero(0, CHUNK_BYTES, { fua: true, punch: true });
  await device.write(CHUNK_BYTES + 10, Buffer.from([1]), NO_FUA);
  assert.deepEqual([await byteAt(device, CHUNK_BYTES), await byteAt(device, CHUNK_BYTES + 10)], [0, 1]);
});

test('reads, writes and extents that wait for one page wait for one listing', async () => {
  await using scene = await Scene.make({ chunks: [1], originCount: PAGE });
  const { device } = scene;
  const gate = Promise.withResolvers<void>();
  scene.gates.list = gate.promise;
  const target = Buffer.alloc(2 * CHUNK_BYTES, 0xee);
  const waiting = [
    inTime(() => device.read(0, target)),
    inTime(() => device.write(4 * CHUNK_BYTES + 1, Buffer.from([9]), NO_FUA)),
    inTime(() => device.extents(0, 3 * CHUNK_BYTES, 9)),
    inTime(() => device.zero(7 * CHUNK_BYTES, 10, { fua: false, punch: true })),
  ];
  // What needs no look does not wait, and what was done to a chunk meanwhile stays.
  assert.equal(device.write(CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, 5), NO_FUA), undefined);
  gate.resolve();
  await Promise.all(waiting);
  assert.deepEqual([target[0], target[CHUNK_BYTES]], [0, 5]);
  assert.equal(await byteAt(device, 4 * CHUNK_BYTES + 1), 9);
  assert.deepEqual([scene.lists, scene.fetches], [[0], []]);
});

test('a listing that fails is EIO for who waited, and the next request tries again', async () => {
  await using scene = await Scene.make({ chunks: [1], originCount: 8 });
  const { device } = scene;
  scene.gates.list = Promise.reject(new Error('damaged'));
  await assert.rejects(async () => device.read(0, Buffer.alloc(1)), isEio);
  await assert.rejects(async () => device.extents(0, 1, 1), isEio);
  await assert.rejects(async () => device.write(1, Buffer.alloc(1), NO_FUA), isEio);
  scene.gates.list = Promise.resolve();
  assert.equal(await byteAt(device, CHUNK_BYTES), 2);
  assert.equal(scene.lists.length, 4);
});

test('a request that waits to learn about the origin when the volume is closed ends with ESHUTDOWN', async () => {
  await using scene = await Scene.make({ chunks: [1], originCount: 8 });
  const gate = Promise.withResolvers<void>();
  scene.gates.list = gate.promise;
  const { device } = scene;
  const waiting = [inTime(() => device.extents(0, 1, 1)), inTime(() => device.read(0, Buffer.alloc(1)))];
  await scene.device.close();
  gate.resolve();
  for (const settled of await Promise.allSettled(waiting)) {
    assert(settled.status === 'rejected' && settled.reason instanceof DeviceError);
    assert.equal(settled.reason.errno, 'ESHUTDOWN');
  }
});

test('a read of many chunks fetches so many at once, in order, and each once', async () => {
  const chunks = Array.from({ length: 3 * ORIGIN_FETCHES_MAX }, (_, index) => index);
  await using scene = await Scene.make({ chunks, originCount: chunks.length });
  await scene.device.extents(0, 1, 1);
  const gate = Promise.withResolvers<void>();
  scene.gates.fetch = gate.promise;
  const target = Buffer.alloc(chunks.length * CHUNK_BYTES);
  const { device } = scene;
  const reading = [inTime(() => device.read(0, target)), inTime(() => device.read(CHUNK_BYTES - 1, Buffer.alloc(2)))];
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(scene.fetches, chunks.slice(0, ORIGIN_FETCHES_MAX));
  gate.resolve();
  await Promise.all(reading);
  assert.deepEqual(scene.fetches, chunks);
  for (const index of chunks) assert.equal(target[index * CHUNK_BYTES + 17], index + 1);
});

test('fetches that fail give their places to those that wait', async () => {
  const chunks = Array.from({ length: 3 * ORIGIN_FETCHES_MAX }, (_, index) => index);
  await using scene = await Scene.make({ chunks, originCount: chunks.length });
  scene.gates.fetch = Promise.reject(new Error('no network'));
  await assert.rejects(async () => scene.device.read(0, Buffer.alloc(chunks.length * CHUNK_BYTES)), isEio);
  scene.gates.fetch = Promise.resolve();
  for (const index of chunks) assert.equal(await byteAt(scene.device, index * CHUNK_BYTES), index + 1);
});

test('an origin of 16 TiB with one chunk is known after two listings', async () => {
  const last = 2 ** 25 - 1;
  await using scene = await Scene.make({ chunks: [last], originCount: 2 ** 25 });
  assert.deepEqual(await scene.kinds(0, 2 ** 25), [
    [0, last, 'zero hole'],
    [last, 1, 'data'],
  ]);
  assert.equal(scene.lists.length, 2);
});
