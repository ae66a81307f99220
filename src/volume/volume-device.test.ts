import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { DeviceError } from '#block/device.ts';
import { deviceSuite } from '#block/device.suite.ts';
import { BLOCK_BYTES, CHUNK_BYTES, GIB_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, SnapshotId, VolumeId } from '#domain/ids.ts';

import { VolumeHostError, type VolumeHostErrorKind } from './host.ts';
import { type Change, VolumeDevice, type VolumeDeviceOptions } from './volume-device.ts';
import { SINCE_NOTHING } from './volume-map.ts';
import type { VolumeOrigin } from './volume-origin.ts';
import { nodeVolumeFiles } from './volume-files.ts';

const NO_FUA = { fua: false };
const PUNCH = { fua: false, punch: true };

/** A directory of its own, and devices in it that are closed with it. */
class Scene implements AsyncDisposable {
  readonly path: string;
  readonly #base: string;
  readonly #devices: VolumeDevice[] = [];
  fetches: number[] = [];
  fetchOrigin: VolumeDeviceOptions['fetchOrigin'] = async () => null;

  private constructor(base: string) {
    this.#base = base;
    this.path = join(base, 'volume');
  }

  static async make(options: { sizeBytes?: number; originChunks?: number } = {}): Promise<Scene> {
    const scene = new Scene(await mkdtemp(join(tmpdir(), 'varve-volume-')));
    await scene.create(options);
    return scene;
  }

  async create(options: { sizeBytes?: number; originChunks?: number } = {}): Promise<void> {
    const chunkCount = options.originChunks ?? 0;
    const root = { key: 'cd'.repeat(32), depth: 1, chunkCount, presentCount: chunkCount };
    const origin: VolumeOrigin = { snapshot: 'snap-00000001' as SnapshotId, root, chunkCount };
    await VolumeDevice.create(this.path, {
      volume: 'vol-00000001' as VolumeId,
      account: '000000000001' as AccountId,
      sizeBytes: options.sizeBytes ?? 8 * CHUNK_BYTES,
      origin: chunkCount === 0 ? null : origin,
    });
  }

  async open(options: Partial<VolumeDeviceOptions> = {}): Promise<VolumeDevice> {
    const device = await VolumeDevice.open(this.path, {
      generation: 1,
      onTrouble: (error) => {
        throw error;
      },
      ...options,
      fetchOrigin: (index) => {
        this.fetches.push(index);
        return this.fetchOrigin(index);
      },
    });
    this.#devices.push(device);
    return device;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const device of this.#devices) await device.close();
    await rm(this.#base, { recursive: true });
  }
}

deviceSuite('volume', async (sizeBytes) => {
  const scene = await Scene.make({ sizeBytes });
  return { device: await scene.open(), [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose]() };
});

deviceSuite('volume with an origin of zeros', async (sizeBytes) => {
  const scene = await Scene.make({ sizeBytes, originChunks: sizeBytes / CHUNK_BYTES - 1 });
  scene.fetchOrigin = async (index) => (index === 0 ? null : Buffer.alloc(CHUNK_BYTES));
  return { device: await scene.open(), [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose]() };
});

function chunkOf(byte: number): Buffer {
  return Buffer.alloc(CHUNK_BYTES, byte);
}

async function byteAt(device: VolumeDevice, offset: number): Promise<number | undefined> {
  const target = Buffer.alloc(1);
  await device.read(offset, target);
  return target[0];
}

function named(name: string): CutId {
  return name as CutId;
}

function isHostError(kind: VolumeHostErrorKind): (error: unknown) => boolean {
  return (error) => error instanceof VolumeHostError && error.kind === kind;
}

test('a volume is what it was created as', async () => {
  await using scene = await Scene.make({ originChunks: 3 });
  const device = await scene.open({ generation: 7 });
  assert.equal(device.volume, 'vol-00000001');
  assert.equal(device.account, '000000000001');
  assert.equal(device.sizeBytes, 8 * CHUNK_BYTES);
  assert.equal(device.generation, 7);
  assert.equal(device.epoch, 1);
  assert.equal(device.slotBytes, 0);
  assert.equal(device.dataPath, join(scene.path, 'data'));
  assert.equal(device.origin?.snapshot, 'snap-00000001');
  assert.equal(device.origin?.root.presentCount, 3);
  assert.equal(device.origin?.chunkCount, 3);
});

test('creating a volume that is there leaves it as it is', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  await device.write(0, chunkOf(1), NO_FUA);
  await device.close();
  await scene.create();
  assert.equal(await byteAt(await scene.open(), 0), 1);
});

test('a directory without a volume, or with one that is not readable, is said to be so', async () => {
  await using scene = await Scene.make();
  await assert.rejects(
    VolumeDevice.open(join(scene.path, 'other'), { generation: 1, fetchOrigin: async () => null }),
    isHostError('volume-not-found'),
  );
  await writeFile(join(scene.path, 'volume.json'), '{"format":"varve-volume","version":1}');
  await assert.rejects(scene.open(), isHostError('damaged'));
  await writeFile(join(scene.path, 'volume.json'), '{"format":"varve-volume","version":99}');
  await assert.rejects(scene.open(), isHostError('internal'));
});

test('a generation opens a volume again, and a lower one does not', async () => {
  await using scene = await Scene.make();
  await (await scene.open({ generation: 3 })).close();
  await assert.rejects(scene.open({ generation: 2 }), isHostError('fenced'));
  await (await scene.open({ generation: 3 })).close();
  await (await scene.open({ generation: 4 })).close();
  await assert.rejects(scene.open({ generation: 3 }), isHostError('fenced'));
});

test('a request that lies in one chunk is done when it returns', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  assert.equal(device.write(5, Buffer.from('new'), NO_FUA), undefined);
  assert.equal(device.write(5, Buffer.from('old'), NO_FUA), undefined);
  assert.equal(device.read(5, Buffer.alloc(3)), undefined);
  assert.equal(device.zero(0, 6 * CHUNK_BYTES, PUNCH), undefined);
});

test('the data file holds slots, in place as long as no cut comes', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  for (let round = 0; round < 3; round += 1) await device.write(3 * CHUNK_BYTES, chunkOf(round), NO_FUA);
  assert.equal(device.slotBytes, CHUNK_BYTES);
  device.beginCut(named('a'));
  await device.write(3 * CHUNK_BYTES, Buffer.from([9]), NO_FUA);
  assert.equal(device.slotBytes, 2 * CHUNK_BYTES);
  await device.write(3 * CHUNK_BYTES, Buffer.from([8]), NO_FUA);
  assert.equal(device.slotBytes, 2 * CHUNK_BYTES);
});

test('a cut answers the epoch that it ends, and the same one when asked again', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  const first = device.beginCut(named('first'));
  const second = device.beginCut(named('second'));
  assert.deepEqual([first.epoch, second.epoch, device.epoch], [1, 2, 3]);
  assert.equal(device.beginCut(named('first')).epoch, 1);
  await Promise.all([first.durable, second.durable]);
  assert.deepEqual(device.cuts(), [
    { cut: 'first', epoch: 1 },
    { cut: 'second', epoch: 2 },
  ]);
});

test('a cut names the chunks that were written or trimmed since an epoch, in order', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  await device.write(5 * CHUNK_BYTES, chunkOf(5), NO_FUA);
  await device.write(CHUNK_BYTES, chunkOf(1), NO_FUA);
  device.beginCut(named('a'));
  await device.write(3 * CHUNK_BYTES, chunkOf(3), NO_FUA);
  await device.zero(5 * CHUNK_BYTES, CHUNK_BYTES, PUNCH);
  device.beginCut(named('b'));
  await device.write(0, chunkOf(9), NO_FUA);
  const changes = (cut: string, since: number): unknown => placesOf(device.changes(named(cut), since));
  assert.deepEqual(changes('a', 0), [
    { index: 1, slotOffset: CHUNK_BYTES },
    { index: 5, slotOffset: 0 },
  ]);
  assert.deepEqual(changes('b', 1), [
    { index: 3, slotOffset: 2 * CHUNK_BYTES },
    { index: 5, slotOffset: null },
  ]);
  assert.deepEqual(changes('b', 0), [
    { index: 1, slotOffset: CHUNK_BYTES },
    { index: 3, slotOffset: 2 * CHUNK_BYTES },
    { index: 5, slotOffset: null },
  ]);
  assert.deepEqual([device.changeCount(named('a'), 0), device.changeCount(named('b'), 1)], [2, 2]);
  assert.equal(device.changeCount(named('a'), 1), 0);
});

test('trimming zeros changes nothing', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  await device.zero(0, device.sizeBytes, PUNCH);
  device.beginCut(named('a'));
  assert.equal(device.changeCount(named('a'), 0), 0);
});

test('the view of a cut stays while it is gone through, whatever is written', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  for (let index = 0; index < 8; index += 1) await device.write(index * CHUNK_BYTES, chunkOf(index + 1), NO_FUA);
  device.beginCut(named('a'));
  const seen: number[] = [];
  for (const change of device.changes(named('a'), 0)) {
    await device.write(7 * CHUNK_BYTES, chunkOf(99), NO_FUA);
    device.beginCut(named(`during-${change.index}`));
    await device.zero(0, device.sizeBytes, PUNCH);
    const data = await readFile(device.dataPath);
    seen.push(data[change.slotOffset ?? -1] ?? -1);
  }
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
});

test('a cut that was released is gone, once and for all; releasing it again is no error', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  await device.write(0, chunkOf(1), NO_FUA);
  device.beginCut(named('a'));
  await device.release(named('a'));
  await device.release(named('a'));
  await device.release(named('never was'.replaceAll(' ', '-')));
  assert.deepEqual(device.cuts(), []);
  assert.throws(() => [...device.changes(named('a'), 0)], isHostError('aborted'));
});

test('slots that a release gives back are used again, and the data file does not grow', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  for (let round = 0; round < 20; round += 1) {
    for (let index = 0; index < 4; index += 1) await device.write(index * CHUNK_BYTES, chunkOf(round), NO_FUA);
    device.beginCut(named(`cut-${round}`));
    if (round > 0) await device.release(named(`cut-${round - 1}`));
  }
  assert.equal(device.slotBytes, 4 * CHUNK_BYTES);
  await device.close();
  await (await scene.open()).close();
  assert((await stat(device.dataPath)).size <= 12 * CHUNK_BYTES);
});

test('a slot that was trimmed is not used again before a flush', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  const dataBytes = async (): Promise<Buffer> => (await readFile(device.dataPath)).subarray(0, CHUNK_BYTES);
  await device.write(0, chunkOf(1), { fua: false });
  await device.flush();
  await device.zero(0, CHUNK_BYTES, PUNCH);
  await device.write(CHUNK_BYTES, chunkOf(2), NO_FUA);
  assert((await dataBytes()).equals(chunkOf(1)), 'power may be lost: the old record points there');
  await device.flush();
  await device.write(2 * CHUNK_BYTES, chunkOf(3), NO_FUA);
  assert((await dataBytes()).equals(chunkOf(3)));
});

test('a part of a chunk in a used slot leaves nothing of what was there', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  await device.write(0, chunkOf(7), NO_FUA);
  await device.zero(0, CHUNK_BYTES, PUNCH);
  await device.flush();
  await device.write(2 * CHUNK_BYTES + 100, Buffer.from([1]), NO_FUA);
  const target = Buffer.alloc(CHUNK_BYTES);
  await device.read(2 * CHUNK_BYTES, target);
  const expected = Buffer.alloc(CHUNK_BYTES);
  expected[100] = 1;
  assert(target.equals(expected));
  assert.equal((await readFile(device.dataPath))[100], 1, 'it is the used slot');
});

test('zeroing without punch keeps the slot; with punch it is given back', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  await device.write(0, chunkOf(7), NO_FUA);
  await device.zero(0, CHUNK_BYTES, { fua: false, punch: false });
  assert.equal(device.slotBytes, CHUNK_BYTES);
  assert.equal(await byteAt(device, 5), 0);
  await device.zero(0, CHUNK_BYTES, PUNCH);
  assert.equal(device.slotBytes, 0);
});

test('what was written, trimmed and cut is there after the volume was closed and opened', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  await device.write(0, chunkOf(1), NO_FUA);
  await device.write(CHUNK_BYTES, chunkOf(2), NO_FUA);
  device.beginCut(named('a'));
  await device.write(0, chunkOf(3), NO_FUA);
  await device.zero(CHUNK_BYTES, CHUNK_BYTES, PUNCH);
  device.beginCut(named('b'));
  const before = placesOf([...device.changes(named('a'), 0), ...device.changes(named('b'), 0)]);
  await device.close();
  const again = await scene.open();
  assert.deepEqual([await byteAt(again, 0), await byteAt(again, CHUNK_BYTES)], [3, 0]);
  assert.deepEqual(again.cuts(), device.cuts());
  assert.equal(again.epoch, 3);
  assert.deepEqual(placesOf([...again.changes(named('a'), 0), ...again.changes(named('b'), 0)]), before);
  assert.equal(again.slotBytes, 3 * CHUNK_BYTES);
});

test('a chunk of the origin is fetched once, however many wait, and kept', async () => {
  await using scene = await Scene.make({ originChunks: 2 });
  const device = await scene.open();
  const fetched = Promise.withResolvers<Buffer>();
  scene.fetchOrigin = () => fetched.promise;
  const target = Buffer.alloc(3);
  const reading = device.read(CHUNK_BYTES + 1, target);
  const writing = device.write(CHUNK_BYTES + 5, Buffer.from([5]), NO_FUA);
  const zeroing = device.zero(CHUNK_BYTES + 9, 2, PUNCH);
  fetched.resolve(chunkOf(4));
  await reading;
  await writing;
  await zeroing;
  assert.deepEqual(scene.fetches, [1]);
  assert.deepEqual([...target], [4, 4, 4]);
  const after = Buffer.alloc(12);
  assert.equal(device.read(CHUNK_BYTES, after), undefined, 'it is here now');
  assert.deepEqual([...after], [4, 4, 4, 4, 4, 5, 4, 4, 4, 0, 0, 4]);
});

test('a request that waits for the origin keeps nobody waiting', async () => {
  await using scene = await Scene.make({ originChunks: 2 });
  const device = await scene.open();
  const fetched = Promise.withResolvers<null>();
  scene.fetchOrigin = () => fetched.promise;
  const waiting = device.write(1, Buffer.from([1]), NO_FUA);
  assert.equal(device.write(4 * CHUNK_BYTES, Buffer.from([1]), NO_FUA), undefined);
  await device.beginCut(named('meanwhile')).durable;
  await device.flush();
  fetched.resolve(null);
  await waiting;
  assert.equal(device.changeCount(named('meanwhile'), 0), 1, 'the write that waited is behind the cut');
  assert.equal(await byteAt(device, 1), 1);
});

test('a write that waits meets what was done to the chunk meanwhile', async () => {
  await using scene = await Scene.make({ originChunks: 2 });
  const device = await scene.open();
  await device.write(7 * CHUNK_BYTES, chunkOf(9), NO_FUA);
  await device.zero(7 * CHUNK_BYTES, CHUNK_BYTES, PUNCH);
  await device.flush(); // Now there is a used slot to be filled.
  const fetched = Promise.withResolvers<Buffer>();
  scene.fetchOrigin = () => fetched.promise;
  const waiting = device.write(1, Buffer.from([1]), NO_FUA);
  await device.zero(0, CHUNK_BYTES, PUNCH);
  fetched.resolve(chunkOf(4));
  await waiting;
  assert.deepEqual([await byteAt(device, 0), await byteAt(device, 1), await byteAt(device, 2)], [0, 1, 0]);
});

test('a whole chunk is written without asking the origin, and what came from it is no change', async () => {
  await using scene = await Scene.make({ originChunks: 4 });
  scene.fetchOrigin = async () => chunkOf(4);
  const device = await scene.open();
  await device.write(CHUNK_BYTES, chunkOf(1), NO_FUA);
  await device.zero(2 * CHUNK_BYTES, CHUNK_BYTES, PUNCH);
  assert.deepEqual(scene.fetches, []);
  await device.read(0, Buffer.alloc(1));
  assert.deepEqual(scene.fetches, [0]);
  device.beginCut(named('a'));
  assert.deepEqual(
    [...device.changes(named('a'), 0)].map(({ index }) => index),
    [1, 2],
  );
});

test('beyond the origin there are zeros', async () => {
  await using scene = await Scene.make({ originChunks: 2 });
  const device = await scene.open();
  assert.equal(await byteAt(device, 2 * CHUNK_BYTES), 0);
  assert.deepEqual(scene.fetches, []);
  assert.deepEqual(device.extents(0, device.sizeBytes, 9), [
    { offset: 0, length: 2 * CHUNK_BYTES, zero: false, hole: true },
    { offset: 2 * CHUNK_BYTES, length: 6 * CHUNK_BYTES, zero: true, hole: true },
  ]);
});

test('a chunk of the origin that cannot be had is EIO, and is asked for again', async () => {
  await using scene = await Scene.make({ originChunks: 1 });
  const device = await scene.open();
  scene.fetchOrigin = async (index) => {
    throw new VolumeHostError('damaged', `chunk ${index}`);
  };
  const isEio = (error: unknown): boolean => error instanceof DeviceError && error.errno === 'EIO';
  await assert.rejects(async () => device.read(0, Buffer.alloc(1)), isEio);
  await assert.rejects(async () => device.write(0, Buffer.alloc(1), NO_FUA), isEio);
  scene.fetchOrigin = async () => chunkOf(6);
  assert.equal(await byteAt(device, 3), 6);
});

test('a request that waits for the origin when the volume is closed ends with ESHUTDOWN', async () => {
  await using scene = await Scene.make({ originChunks: 1 });
  const device = await scene.open();
  const fetched = Promise.withResolvers<Buffer>();
  scene.fetchOrigin = () => fetched.promise;
  const ended = assert.rejects(
    async () => device.read(0, Buffer.alloc(1)),
    (error) => error instanceof DeviceError && error.errno === 'ESHUTDOWN',
  );
  await device.close();
  await ended;
  fetched.resolve(chunkOf(1));
});

test('a volume of 16 TiB is made, cut, trimmed and opened without a table of its size', async () => {
  await using scene = await Scene.make({ sizeBytes: 16 * 1024 * GIB_BYTES });
  const device = await scene.open();
  const last = device.sizeBytes - CHUNK_BYTES;
  await device.write(last, chunkOf(1), NO_FUA);
  device.beginCut(named('a'));
  await device.zero(0, device.sizeBytes, { fua: true, punch: true });
  assert.deepEqual(placesOf(device.changes(named('a'), 0)), [{ index: last / CHUNK_BYTES, slotOffset: 0 }]);
  assert.deepEqual(device.extents(0, device.sizeBytes, 2), [
    { offset: 0, length: device.sizeBytes, zero: true, hole: true },
  ]);
  await device.close();
  assert.equal((await scene.open()).changeCount(named('a'), 0), 1);
});

test('a cut tells which blocks were written, as long as nothing lies between it and what it is compared with', async () => {
  await using scene = await Scene.make();
  const device = await scene.open();
  const blocksOf = (cut: string, since: number): readonly (readonly number[] | null)[] =>
    [...device.changes(named(cut), since)].map(({ changedBlocks }) => blocksIn(changedBlocks));
  await device.write(0, Buffer.alloc(CHUNK_BYTES, 1), { fua: false });
  device.beginCut(named('a'));
  await device.write(5 * BLOCK_BYTES - 1, Buffer.alloc(2, 2), { fua: false });
  await device.write(127 * BLOCK_BYTES, Buffer.alloc(10, 3), { fua: false });
  device.beginCut(named('b'));
  assert.deepEqual(blocksOf('b', 1), [[4, 5, 127]]);
  await device.write(40 * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES, 4), { fua: false });
  device.beginCut(named('c'));
  assert.deepEqual(blocksOf('b', 1), [[4, 5, 127]], 'the cut keeps them when the chunk moves on');
  assert.deepEqual(blocksOf('c', 2), [[40]]);
  assert.deepEqual(blocksOf('c', 1), [null], 'in between it changed as well');
  await device.release(named('b'));
  assert.deepEqual(blocksOf('c', 2), [[40]]);
  await device.close();
  const again = await scene.open();
  assert.deepEqual(
    [...again.changes(named('c'), 2)].map(({ changedBlocks }) => changedBlocks),
    [null],
    'after a start nothing is known',
  );
  await again.close();
});

test('what is trimmed makes the data file shorter, and what lay behind it moves', async () => {
  await using scene = await Scene.make({ sizeBytes: 64 * CHUNK_BYTES });
  const device = await scene.open();
  for (let index = 0; index < 64; index += 1) {
    await device.write(index * CHUNK_BYTES, Buffer.alloc(CHUNK_BYTES, index + 1), { fua: false });
  }
  await device.flush();
  await device.zero(0, 48 * CHUNK_BYTES, { fua: true, punch: true });
  device.beginCut(named('a'));
  await device.compact();
  assert.equal((await stat(device.dataPath)).size, 64 * CHUNK_BYTES, 'not while a cut is pending');
  await device.release(named('a'));
  await device.compact();
  assert.equal((await stat(device.dataPath)).size, 16 * CHUNK_BYTES);
  const read = Buffer.alloc(CHUNK_BYTES);
  for (let index = 0; index < 64; index += 1) {
    await device.read(index * CHUNK_BYTES, read);
    assert(read.equals(Buffer.alloc(CHUNK_BYTES, index < 48 ? 0 : index + 1)), `chunk ${index}`);
  }
  await device.write(5 * CHUNK_BYTES + 10, Buffer.from('x'), { fua: true });
  await device.read(5 * CHUNK_BYTES, read);
  assert.equal(read.indexOf('x'), 10);
  assert.equal(read.filter((byte) => byte !== 0).length, 1, 'a place that was cut off is zeros when it is used again');
});

test('a volume gives storage back by itself when much of it is free', async () => {
  await using scene = await Scene.make({ sizeBytes: 64 * CHUNK_BYTES });
  const compaction = { freeSlotsMin: 16, freePartMin: 0.25, pauseMs: 0, bytesPerSecond: Infinity };
  const device = await scene.open({ compaction });
  await device.write(0, Buffer.alloc(64 * CHUNK_BYTES, 7), { fua: true });
  await device.zero(8 * CHUNK_BYTES, 40 * CHUNK_BYTES, { fua: true, punch: true });
  for (let tries = 0; tries < 1000 && (await stat(device.dataPath)).size > 24 * CHUNK_BYTES; tries += 1) {
    await device.flush();
    await setImmediate();
  }
  assert.equal((await stat(device.dataPath)).size, 24 * CHUNK_BYTES);
});

function placesOf(changes: Iterable<Change>): readonly Pick<Change, 'index' | 'slotOffset'>[] {
  return [...changes].map(({ index, slotOffset }) => ({ index, slotOffset }));
}

function blocksIn(set: Uint32Array | null): readonly number[] | null {
  if (set === null) return null;
  return Array.from({ length: CHUNK_BYTES / BLOCK_BYTES }, (_, block) => block).filter(
    (block) => (((set[block >>> 5] as number) >>> (block & 31)) & 1) === 1,
  );
}

test('a volume is detached from its origin when all of it is here and no cut may need it, also after a restart', async () => {
  await using scene = await Scene.make({ originChunks: 3 });
  scene.fetchOrigin = async (index) => (index === 1 ? null : chunkOf(index + 1));
  const never = new AbortController().signal;
  const device = await scene.open({ originPresence: async () => ({ present: [0, 2], next: null }) });
  await device.read(0, Buffer.alloc(1));
  assert.equal(await device.detach(never), false, 'a chunk is still to be fetched');
  device.beginCut(named('before'));
  await device.read(0, Buffer.alloc(3 * CHUNK_BYTES));
  assert.equal(await device.detach(never), false, 'of what the cut holds, the origin has some');
  await device.release(named('before'));
  assert.equal(await device.detach(never), true);
  assert.equal(device.originChunks, null);
  scene.fetchOrigin = async () => assert.fail('the origin is gone');
  await device.close();

  const again = await scene.open({ generation: 2 });
  assert.equal(again.isDetached, true);
  assert.deepEqual(
    [await byteAt(again, 0), await byteAt(again, CHUNK_BYTES), await byteAt(again, 2 * CHUNK_BYTES)],
    [1, 0, 3],
  );
  const { epoch } = again.beginCut(named('after'));
  await again.write(0, chunkOf(9), NO_FUA);
  const ofCut = [...again.changes(named('after'), SINCE_NOTHING)].map(({ index }) => index);
  assert.deepEqual(ofCut, [0, 2], 'what came from the origin is of the cut, also where it was written over');
  assert.deepEqual([...again.changes(named('after'), 0)], [], 'and nothing differs from the origin');
  assert.equal(epoch, 2);
});

test('a cut that is made while a volume is being detached keeps what came from the origin', async () => {
  await using scene = await Scene.make({ originChunks: 1 });
  scene.fetchOrigin = async () => chunkOf(7);
  const renaming = Promise.withResolvers<void>();
  const isAsked = Promise.withResolvers<void>();
  const files = {
    ...nodeVolumeFiles,
    rename: async (from: string, to: string) => {
      if (to.endsWith('volume.json')) {
        isAsked.resolve();
        await renaming.promise;
      }
      await nodeVolumeFiles.rename(from, to);
    },
  };
  await (await scene.open()).close();
  const device = await scene.open({ files });
  await device.read(0, Buffer.alloc(1));
  const detaching = device.detach(new AbortController().signal);
  await isAsked.promise;
  await device.beginCut(named('meanwhile')).durable;
  await device.write(0, chunkOf(8), NO_FUA);
  renaming.resolve();
  assert.equal(await detaching, true);
  const [change, ...more] = [...device.changes(named('meanwhile'), SINCE_NOTHING)];
  assert.deepEqual(more, []);
  const data = await readFile(device.dataPath);
  assert.equal(data[change?.slotOffset ?? -1], 7);
});

test('what was fetched while it was written over keeps the origin until it has come', async () => {
  await using scene = await Scene.make({ originChunks: 1 });
  const fetched = Promise.withResolvers<void>();
  scene.fetchOrigin = async () => {
    await fetched.promise;
    return chunkOf(7);
  };
  const never = new AbortController().signal;
  const device = await scene.open();
  const reading = device.read(0, Buffer.alloc(1));
  await device.write(0, chunkOf(8), NO_FUA);
  assert.equal(await device.detach(never), false);
  fetched.resolve();
  await reading;
  assert.equal(await device.detach(never), true);
  assert.equal(await byteAt(device, 0), 8);
});
