import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { type Clock, systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, VolumeId } from '#domain/ids.ts';

import { ChunkMap, PAGE_CHUNKS } from './chunk-map.ts';
import { FragileFiles } from './fragile-files.fake.ts';
import { MERGE_LIMITS, type MergeLimits } from './partial-merges.ts';
import { BLOCKS_A_CHUNK, OWN_BLOCKS_MAX, OWN_BLOCKS_MAX_FLUSHED } from './partials.ts';
import { VolumeDevice } from './volume-device.ts';
import type { VolumeFiles } from './volume-files.ts';

const PATH = '/volume';
/** A rest after each chunk, of a clock that stands. */
const RESTING = { chunksARest: 1, bytesARest: CHUNK_BYTES, restMs: 1_000, pauseMs: 10_000 };
const CHUNKS = 4;
const A = 'a' as CutId;
const B = 'b' as CutId;
/** With a clock by which every read is one of a disk. */
const SLOW = { ...MERGE_LIMITS };
let slowMs = 0;
const slowClock: Clock = { ...systemClock, monotonicMs: () => (slowMs += 5) };

/** A volume of four chunks of ones, and what its data file was asked for. */
class Scene {
  readonly files = new FragileFiles(new SeededRandom(1));
  readonly io = { readBytes: 0, writtenBytes: 0 };
  readonly clock = new VirtualClock(0);
  readonly merges: MergeLimits;
  /** Reads of the data file in one step fail; those of other threads do not. */
  isFailing = false;
  /** What syncs of the data file wait for. */
  gate: Promise<void> = Promise.resolve();
  device!: VolumeDevice;

  constructor(merges: MergeLimits) {
    this.merges = merges;
  }

  static async make(merges: MergeLimits = MERGE_LIMITS): Promise<Scene> {
    const scene = new Scene(merges);
    const spec = { volume: 'vol-00000001' as VolumeId, account: '000000000001' as AccountId, origin: null };
    await VolumeDevice.create(PATH, { ...spec, sizeBytes: CHUNKS * CHUNK_BYTES }, scene.files.process());
    await scene.open();
    for (let index = 0; index < CHUNKS; index += 1) scene.write(index * CHUNK_BYTES, CHUNK_BYTES, 1);
    await scene.device.flush();
    scene.#forget();
    return scene;
  }

  async open(bootId = 'boot'): Promise<void> {
    const { merges } = this;
    const clock = merges === RESTING ? this.clock : merges === SLOW ? slowClock : systemClock;
    const files = counted(this.files.process(), this);
    const fetchOrigin = (): never => assert.fail('there is no origin');
    this.device = await VolumeDevice.open(PATH, { generation: 1, bootId, files, fetchOrigin, clock, merges });
  }

  write(offset: number, length: number, byte: number): void {
    assert.equal(this.device.write(offset, Buffer.alloc(length, byte), { fua: false }), undefined);
  }

  /** What the data file was asked for since the last time. */
  asked(): { readonly readBytes: number; readonly writtenBytes: number } {
    const { readBytes, writtenBytes } = this.io;
    this.#forget();
    return { readBytes, writtenBytes };
  }

  /** The bytes of a chunk from block to block, each as long as it goes on. */
  async runs(index = 0): Promise<readonly (readonly [byte: number, count: number])[]> {
    const bytes = Buffer.alloc(CHUNK_BYTES);
    await this.device.read(index * CHUNK_BYTES, bytes);
    return runsOf(bytes);
  }

  /** A chunk of a cut, as an upload reads it. */
  runsOfCut(cut: CutId, wanted = 0): readonly (readonly [byte: number, count: number])[] {
    const data = this.files.content(this.device.dataPath);
    const change = [...this.device.changes(cut, 0)].find(({ index }) => index === wanted);
    assert(change !== undefined && change.slotOffset !== null, 'the chunk has changed');
    const { slotOffset, under } = change;
    const blocks = Array.from({ length: BLOCKS_A_CHUNK }, (_, block) => {
      const isAbove = under === null || (((under.above[block >>> 5] as number) >>> (block & 31)) & 1) === 1;
      const offset = (isAbove ? slotOffset : under.offset) + block * BLOCK_BYTES;
      return data.subarray(offset, offset + BLOCK_BYTES);
    });
    return runsOf(Buffer.concat(blocks));
  }

  slotCount(): number {
    return this.device.slotBytes / CHUNK_BYTES;
  }

  #forget(): void {
    this.io.readBytes = 0;
    this.io.writtenBytes = 0;
  }
}

function counted(files: VolumeFiles, scene: Scene): VolumeFiles {
  const { io } = scene;
  return {
    ...files,
    open: (path, mode) => {
      const file = files.open(path, mode);
      if (!path.endsWith('/data')) return file;
      return {
        ...file,
        read: (target, start, length, position) => {
          if (scene.isFailing) throw Object.assign(new Error('a bad sector'), { code: 'EIO' });
          io.readBytes += length;
          return file.read(target, start, length, position);
        },
        write: (source, start, length, position) => {
          io.writtenBytes += length;
          return file.write(source, start, length, position);
        },
        sync: async () => {
          await scene.gate;
          await file.sync();
        },
      };
    },
  };
}

/** Lets what goes on in the background come to where it waits for the clock. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 40; turn += 1) await setImmediate();
}

function runsOf(bytes: Buffer): readonly (readonly [byte: number, count: number])[] {
  const runs: [number, number][] = [];
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at] as number;
    let end = at;
    while (end < bytes.length && bytes[end] === byte) end += 1;
    runs.push([byte, end - at]);
    at = end;
  }
  return runs;
}

test('a block that is written after a cut is all that is written, and nothing is read', async () => {
  const scene = await Scene.make();
  scene.device.beginCut(A);
  scene.write(5 * BLOCK_BYTES, BLOCK_BYTES, 2);
  assert.deepEqual(scene.asked(), { readBytes: 0, writtenBytes: BLOCK_BYTES });
  scene.write(5 * BLOCK_BYTES, BLOCK_BYTES, 3);
  scene.write(6 * BLOCK_BYTES, BLOCK_BYTES, 3);
  assert.deepEqual(scene.asked(), { readBytes: 0, writtenBytes: 2 * BLOCK_BYTES });
  assert.deepEqual(await scene.runs(), [
    [1, 5 * BLOCK_BYTES],
    [3, 2 * BLOCK_BYTES],
    [1, 121 * BLOCK_BYTES],
  ]);
  assert.deepEqual(scene.runsOfCut(A), [[1, CHUNK_BYTES]]);
  await scene.device.close();
});

test('of a block that is written in part, the rest comes along, once', async () => {
  const scene = await Scene.make();
  scene.device.beginCut(A);
  scene.write(5 * BLOCK_BYTES - 10, 20, 2);
  assert.deepEqual(scene.asked(), { readBytes: 2 * BLOCK_BYTES, writtenBytes: 2 * BLOCK_BYTES });
  scene.write(5 * BLOCK_BYTES - 10, 5, 3);
  assert.deepEqual(scene.asked(), { readBytes: 0, writtenBytes: 5 });
  scene.write(6 * BLOCK_BYTES - 1, 2, 4);
  assert.deepEqual(scene.asked(), { readBytes: BLOCK_BYTES, writtenBytes: BLOCK_BYTES + 1 }, 'one block is there');
  assert.deepEqual(await scene.runs(), [
    [1, 5 * BLOCK_BYTES - 10],
    [3, 5],
    [2, 15],
    [1, BLOCK_BYTES - 11],
    [4, 2],
    [1, CHUNK_BYTES - 6 * BLOCK_BYTES - 1],
  ]);
  await scene.device.close();
});

test('a read of which other threads do a part ends when they have, also when another part fails', async () => {
  const scene = await Scene.make(SLOW);
  scene.device.beginCut(A);
  for (let block = 0; block < BLOCKS_A_CHUNK; block += 2) scene.write(block * BLOCK_BYTES, BLOCK_BYTES, 2);
  const target = Buffer.alloc(CHUNK_BYTES);
  for (let tries = 0; tries < 8; tries += 1) {
    target.fill(0);
    const answer = scene.device.read(0, target);
    if (answer !== undefined) await answer;
    assert.equal(runsOf(target).length, BLOCKS_A_CHUNK);
  }
  let failed = 0;
  for (let tries = 0; tries < 8; tries += 1) {
    const answer = Promise.withResolvers<void>();
    scene.isFailing = true;
    try {
      answer.resolve(scene.device.read(0, target));
    } catch (error) {
      answer.reject(error);
    }
    scene.isFailing = false;
    await answer.promise.catch(() => (failed += 1));
    target.fill(7);
    await turns();
    assert.deepEqual(runsOf(target), [[7, CHUNK_BYTES]], 'nothing is written to it any more');
  }
  assert(failed > 0, 'some of them failed');
  await scene.device.close();
});

test('a chunk of which more than half was written is whole, and a larger part is not begun', async () => {
  const scene = await Scene.make();
  scene.device.beginCut(A);
  for (let block = 0; block < OWN_BLOCKS_MAX; block += 1) scene.write(block * 2 * BLOCK_BYTES, BLOCK_BYTES, 2);
  scene.write(CHUNK_BYTES, (OWN_BLOCKS_MAX + 1) * BLOCK_BYTES, 2);
  scene.device.beginCut(B);
  assert.deepEqual(
    [...scene.device.changes(B, 1)].map(({ under }) => under === null),
    [false, true],
  );
  await scene.device.close();

  const again = await Scene.make();
  again.device.beginCut(A);
  for (let block = 0; block <= OWN_BLOCKS_MAX; block += 1) again.write(block * BLOCK_BYTES, BLOCK_BYTES, 2);
  const missingBytes = (BLOCKS_A_CHUNK - OWN_BLOCKS_MAX - 1) * BLOCK_BYTES;
  assert.deepEqual(again.asked(), { readBytes: missingBytes, writtenBytes: CHUNK_BYTES });
  again.device.beginCut(B);
  assert.deepEqual(
    [...again.device.changes(B, 1)].map(({ under }) => under),
    [null],
  );
  assert.deepEqual(await again.runs(), [
    [2, (OWN_BLOCKS_MAX + 1) * BLOCK_BYTES],
    [1, missingBytes],
  ]);
  await again.device.close();
});

test('where each write is flushed, a few blocks make a chunk whole', async () => {
  const scene = await Scene.make();
  scene.device.beginCut(A);
  for (let block = 0; block < OWN_BLOCKS_MAX_FLUSHED; block += 1) {
    scene.write(block * BLOCK_BYTES, BLOCK_BYTES, 2);
    await scene.device.flush();
  }
  assert.equal(scene.asked().writtenBytes, OWN_BLOCKS_MAX_FLUSHED * BLOCK_BYTES);
  scene.write(9 * BLOCK_BYTES, BLOCK_BYTES, 2);
  assert.equal(scene.asked().writtenBytes, (BLOCKS_A_CHUNK - OWN_BLOCKS_MAX_FLUSHED) * BLOCK_BYTES);
  // Until many come without a flush between them.
  for (let block = 0; block < 100; block += 1) {
    scene.write((1 + (block % 3)) * CHUNK_BYTES + block * BLOCK_BYTES, BLOCK_BYTES, 3);
  }
  assert.equal(scene.asked().writtenBytes, 100 * BLOCK_BYTES);
  await scene.device.close();
});

test('when no cut is pending, what was written is copied down, and its slot is free', async () => {
  const scene = await Scene.make();
  scene.device.beginCut(A);
  scene.write(5 * BLOCK_BYTES, 3 * BLOCK_BYTES, 2);
  scene.write(CHUNK_BYTES, BLOCK_BYTES, 2);
  assert.equal(scene.slotCount(), CHUNKS + 2);
  await scene.device.compact();
  assert.equal(scene.slotCount(), CHUNKS + 2, 'not while the cut is pending');
  await scene.device.release(A);
  assert.equal(scene.slotCount(), CHUNKS + 2, 'what is under a slot is kept');
  scene.asked();
  await scene.device.compact();
  assert.equal(scene.slotCount(), CHUNKS);
  assert.equal(scene.asked().writtenBytes, 4 * BLOCK_BYTES);
  scene.write(0, BLOCK_BYTES, 3);
  assert.equal(scene.slotCount(), CHUNKS, 'it is of this epoch, and written in place');
  assert.deepEqual(await scene.runs(), [
    [3, BLOCK_BYTES],
    [1, 4 * BLOCK_BYTES],
    [2, 3 * BLOCK_BYTES],
    [1, 120 * BLOCK_BYTES],
  ]);
  scene.device.beginCut(B);
  assert.deepEqual(
    [...scene.device.changes(B, 1)].map(({ index, slotOffset, under, changedBlocks }) => [
      index,
      slotOffset,
      under,
      changedBlocks?.[0],
    ]),
    [
      [0, 0, null, 0b1110_0001],
      [1, CHUNK_BYTES, null, 1],
    ],
    'which blocks changed is known as before',
  );
  await scene.device.close();
});

test('a merge waits until it is durable that the slot is partial', async () => {
  const scene = await Scene.make(RESTING);
  await scene.device.beginCut(A).durable;
  await scene.device.release(A);
  scene.write(0, BLOCK_BYTES, 2);
  assert.equal(scene.asked().writtenBytes, BLOCK_BYTES);
  const synced = Promise.withResolvers<void>();
  scene.gate = synced.promise;
  const flushed = scene.device.flush();
  await turns();
  assert.equal(scene.asked().writtenBytes, 0);
  synced.resolve();
  await flushed;
  await turns();
  assert.equal(scene.asked().writtenBytes, BLOCK_BYTES);
  await scene.device.close();
});

test('a merge passes over what has become partial anew since the flush that it waited for', async () => {
  const scene = await Scene.make(RESTING);
  scene.device.beginCut(A);
  for (const index of [0, 1]) scene.write(index * CHUNK_BYTES, BLOCK_BYTES, 2);
  await scene.device.release(A);
  await turns();
  assert.equal(scene.asked().writtenBytes, 3 * BLOCK_BYTES, 'one of them is merged');

  // In its rest, the other one comes into a slot of its own, and that under a new one.
  scene.device.beginCut(B);
  scene.write(CHUNK_BYTES, BLOCK_BYTES, 3);
  scene.device.beginCut('c' as CutId);
  scene.write(CHUNK_BYTES, BLOCK_BYTES, 4);
  const synced = Promise.withResolvers<void>();
  scene.gate = synced.promise;
  const released = [B, 'c' as CutId].map((cut) => scene.device.release(cut));
  scene.asked();
  await scene.clock.advance(1_000);
  await turns();
  assert.equal(scene.asked().writtenBytes, 0, 'the releases may be lost');
  synced.resolve();
  await Promise.all(released);
  await scene.clock.advance(10_000);
  await scene.device.flush();
  await turns();
  assert.equal(scene.asked().writtenBytes, BLOCK_BYTES);
  assert.deepEqual(await scene.runs(1), [
    [4, BLOCK_BYTES],
    [1, 127 * BLOCK_BYTES],
  ]);
  await scene.device.close();
});

test('what is shown after a failed sync is on the disk, also under a partial slot whose merge was not committed', async () => {
  const scene = await Scene.make(RESTING);
  scene.device.beginCut(A);
  scene.write(0, BLOCK_BYTES, 2);
  await scene.device.release(A);
  await turns();
  assert.equal(scene.asked().writtenBytes, 2 * BLOCK_BYTES, 'it is merged');
  scene.write(BLOCK_BYTES, BLOCK_BYTES, 3);
  scene.files.failNext = { kind: 'sync', path: /data$/, code: 'EIO' };
  await assert.rejects(scene.device.flush());
  await scene.device.close();
  scene.files.restart({ powerLost: false });

  await scene.open();
  const shown = await scene.runs();
  assert.deepEqual(shown, [
    [2, BLOCK_BYTES],
    [3, BLOCK_BYTES],
    [1, 126 * BLOCK_BYTES],
  ]);
  await scene.device.flush();
  scene.files.restart({ powerLost: true });
  await scene.open('another');
  assert.deepEqual(await scene.runs(), shown);
  await scene.device.close();
});

test('a cut freezes a chunk that lies in two places, and what is under it outlives the cut before', async () => {
  const scene = await Scene.make();
  scene.device.beginCut(A);
  scene.write(0, BLOCK_BYTES, 2);
  scene.device.beginCut(B);
  scene.write(BLOCK_BYTES, BLOCK_BYTES, 3);
  const ofB = [
    [2, BLOCK_BYTES],
    [1, 127 * BLOCK_BYTES],
  ];
  const now = [
    [2, BLOCK_BYTES],
    [3, BLOCK_BYTES],
    [1, 126 * BLOCK_BYTES],
  ];
  assert.deepEqual([scene.runsOfCut(A), scene.runsOfCut(B), await scene.runs()], [[[1, CHUNK_BYTES]], ofB, now]);
  await scene.device.release(A);
  for (let index = 1; index < CHUNKS; index += 1) scene.write(index * CHUNK_BYTES, CHUNK_BYTES, 9);
  assert.deepEqual([scene.runsOfCut(B), await scene.runs()], [ofB, now]);
  await scene.device.close();
  await scene.open();
  assert.deepEqual([scene.runsOfCut(B), await scene.runs()], [ofB, now]);
  await scene.device.release(B);
  await scene.device.compact();
  assert.equal(scene.slotCount(), CHUNKS);
  assert.deepEqual(await scene.runs(), now);
  await scene.device.close();
});

test('zeros that are written and chunks that are trimmed end a partial slot', async () => {
  const scene = await Scene.make();
  scene.device.beginCut(A);
  scene.write(0, BLOCK_BYTES, 2);
  scene.write(CHUNK_BYTES, BLOCK_BYTES, 2);
  await scene.device.zero(BLOCK_BYTES, BLOCK_BYTES, { fua: false, punch: true });
  assert.deepEqual(await scene.runs(), [
    [2, BLOCK_BYTES],
    [0, BLOCK_BYTES],
    [1, 126 * BLOCK_BYTES],
  ]);
  assert.equal(scene.slotCount(), CHUNKS + 2);
  await scene.device.zero(0, CHUNK_BYTES, { fua: true, punch: true });
  assert.equal(scene.slotCount(), CHUNKS + 1, 'the cut keeps what was under it');
  await scene.device.zero(CHUNK_BYTES, CHUNK_BYTES, { fua: true, punch: false });
  assert.equal(scene.slotCount(), CHUNKS + 1, 'the space stays the client’s');
  assert.deepEqual([await scene.runs(0), await scene.runs(1)], [[[0, CHUNK_BYTES]], [[0, CHUNK_BYTES]]]);
  assert.deepEqual([scene.runsOfCut(A, 0), scene.runsOfCut(A, 1)], [[[1, CHUNK_BYTES]], [[1, CHUNK_BYTES]]]);
  await scene.device.release(A);
  assert.equal(scene.slotCount(), CHUNKS - 1);
  await scene.device.close();
});

test('beyond the memory that there is for them, no partial slot is begun', () => {
  const chunkCount = 1024 * 1024 - 1;
  const map = new ChunkMap({ chunkCount, originCount: 0, watch: { stamp: 0, saver: null } });
  const pages = Math.floor((16 * 1024 * 1024) / (PAGE_CHUNKS * 20));
  for (let page = 0; page < pages; page += 1) {
    const index = page * PAGE_CHUNKS;
    assert(map.admitsPartial(index));
    map.set(index, 2 + 2 * page, 1);
    map.setPartial(index, 2 * page + 1, 2);
  }
  const next = pages * PAGE_CHUNKS;
  assert.deepEqual([map.admitsPartial(next), map.admitsPartial(next - 1), map.partialCount], [false, true, pages]);
  map.set(0, 2, 2);
  assert(map.admitsPartial(next), 'what is merged makes room');
});
