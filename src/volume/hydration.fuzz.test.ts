import assert from 'node:assert/strict';
import { openSync, closeSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';

import type { Clock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { CheckedDevice } from '#block/checked.ts';
import { DeviceError } from '#block/device.ts';
import { readSource } from '#chunk/chunk-source.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, SnapshotId, VolumeId } from '#domain/ids.ts';
import { emptyRoot } from '#snapshot/tree.ts';

import { Hydration } from './hydration.ts';
import type { OriginChunk, ReadOrigin, WantedOriginChunk } from './origin-source.ts';
import { VolumeDevice } from './volume-device.ts';

/*
 * A restored volume is hydrated while it is read, written, zeroed, cut, released, closed in the middle and opened again; a
 * buffer gets the same changes. What the origin has comes late, in two halves, in its place or not, and sometimes not at all.
 * Whatever comes when: a read is the buffer, a cut is what the buffer was, and in the end all of it is here.
 */

const CHUNKS = 24;
const ORIGIN_CHUNKS = 20;
const LANES = 4;
const LANE_BYTES = (CHUNKS / LANES) * CHUNK_BYTES;
const ZERO_CHUNK = Buffer.alloc(CHUNK_BYTES);

const seed = Number(process.env['FUZZ_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e9));
const budgetMs = Number(process.env['FUZZ_MS'] ?? 3_000);

test(
  `a volume that is being hydrated is what a buffer is (seed ${seed})`,
  { timeout: budgetMs * 10 + 60_000 },
  async () => {
    const startMs = performance.now();
    for (let run = seed; performance.now() - startMs < budgetMs; run += 1) {
      const path = await mkdtemp(join(tmpdir(), 'varve-hydration-fuzz-'));
      try {
        await new World(run, join(path, 'volume')).live();
      } catch (error) {
        throw new Error(`FUZZ_SEED=${run}`, { cause: error });
      } finally {
        await rm(path, { recursive: true });
      }
    }
  },
);

/** Time that passes by turns of the event loop. */
class TurnClock implements Clock {
  #ms = 0;

  nowMs(): number {
    return this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  async sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    await setImmediate();
    this.#ms += durationMs;
    signal?.throwIfAborted();
  }
}

class World {
  readonly #random: SeededRandom;
  readonly #path: string;
  readonly #origin: readonly (Buffer | null)[];
  readonly #model = Buffer.alloc(CHUNKS * CHUNK_BYTES);
  /** What the buffer was at each pending cut. */
  readonly #cuts = new Map<CutId, Buffer>();
  /** Resolves when those who write to slots slowly go on. */
  #slowWriters = Promise.resolve();
  /** Writes to slots of a volume that was closed. */
  readonly #lateWrites: unknown[] = [];
  #generation = 0;
  #cutCount = 0;

  constructor(seedOfRun: number, path: string) {
    this.#random = new SeededRandom(seedOfRun);
    this.#path = path;
    this.#origin = Array.from({ length: ORIGIN_CHUNKS }, (_, index) => {
      const bytes = this.#random.below(5) === 0 ? null : Buffer.alloc(CHUNK_BYTES, this.#random.bytes(13));
      bytes?.copy(this.#model, index * CHUNK_BYTES);
      return bytes;
    });
  }

  async live(): Promise<void> {
    const presentCount = this.#origin.filter((bytes) => bytes !== null).length;
    const root = { ...emptyRoot(ORIGIN_CHUNKS), key: presentCount === 0 ? null : 'ab'.repeat(32), presentCount };
    await VolumeDevice.create(this.#path, {
      volume: 'vol-00000001' as VolumeId,
      account: '000000000001' as AccountId,
      sizeBytes: CHUNKS * CHUNK_BYTES,
      origin: { snapshot: 'snap-00000001' as SnapshotId, root, chunkCount: ORIGIN_CHUNKS },
    });
    for (let life = 0; life < 3; life += 1) {
      const bare = await this.#open();
      const device = new CheckedDevice(bare);
      const abort = new AbortController();
      const hydration = this.#hydrationOf(bare, presentCount);
      const hydrated = hydration.run(abort.signal);
      hydrated.catch(() => {}); // Looked at below.
      for (let step = this.#random.below(8); step > 0; step -= 1) {
        this.#slowWriters = setTimeout(this.#random.below(3));
        await Promise.all(Array.from({ length: LANES }, (_, lane) => this.#request(device, lane * LANE_BYTES)));
        if (this.#random.below(3) === 0) this.#cut(bare);
        if (this.#random.below(3) === 0) await this.#release(bare);
        this.#checkCuts(bare);
      }
      if (life === 2) {
        await hydrated;
        const { state, presentBytes, totalBytes } = hydration.status();
        assert.deepEqual([state, presentBytes, totalBytes], ['hydrated', totalBytes, presentCount * CHUNK_BYTES]);
        for (let index = 0; index < CHUNKS; index += 1) assert(bare.originChunks?.isNeeded(index) === false);
      }
      if (this.#random.below(2) === 0) await this.#checkAll(device);
      this.#slowWriters = setTimeout(30);
      await setImmediate();
      abort.abort(new Error('enough'));
      if (this.#random.below(2) === 0) await Promise.allSettled([hydrated]);
      await device[Symbol.asyncDispose]();
      await Promise.allSettled([hydrated, this.#slowWriters]);
      assert.deepEqual(this.#lateWrites, []);
    }
  }

  async #open(): Promise<VolumeDevice> {
    this.#generation += 1;
    return await VolumeDevice.open(this.#path, {
      generation: this.#generation,
      originPresence: async () => ({
        present: [...this.#origin.keys()].filter((index) => this.#origin[index] !== null),
        next: null,
      }),
      fetchOrigin: () => Promise.reject(new Error('it reads several')),
      readOrigin: (wanted, how) => this.#read(wanted, how),
      onTrouble: (error) => {
        throw error;
      },
    });
  }

  #hydrationOf(device: VolumeDevice, totalCount: number): Hydration {
    assert(device.originChunks !== null);
    return new Hydration({
      origin: device.originChunks,
      totalCount,
      first: Array.from({ length: this.#random.below(6) }, () => this.#random.below(CHUNKS + 5)),
      bytesPerSecond: 100 * CHUNK_BYTES,
      freeBytes: async () => (this.#random.below(10) === 0 ? 0 : Number.MAX_SAFE_INTEGER),
      turn: async () => ({ [Symbol.dispose]: () => {} }),
      isOwnRate: false,
      clock: new TurnClock(),
    });
  }

  #read(wanted: readonly WantedOriginChunk[], { signal }: Parameters<ReadOrigin>[1]): ReturnType<ReadOrigin> {
    return wanted.map(async ({ index, place }): Promise<OriginChunk> => {
      for (let turns = this.#random.below(5); turns > 0; turns -= 1) {
        await setImmediate();
        signal.throwIfAborted();
      }
      if (this.#random.below(12) === 0) throw new Error('not now');
      const bytes = this.#origin[index] ?? null;
      assert(bytes !== null, 'what is not there is not fetched');
      if (place === null || this.#random.below(4) === 0) return { kind: 'bytes', bytes };
      // What was begun is finished, whatever is closed meanwhile.
      const half = CHUNK_BYTES / 2;
      assert.equal(writeSync(place.descriptor, bytes, 0, half, place.position), half);
      if (this.#random.below(4) === 0) await this.#slowWriters;
      else for (let turns = this.#random.below(4); turns > 0; turns -= 1) await setImmediate();
      try {
        assert.equal(writeSync(place.descriptor, bytes, half, half, place.position + half), half);
      } catch (error) {
        this.#lateWrites.push(error);
        throw error;
      }
      return { kind: 'placed' };
    });
  }

  /** A request in the lane; when it is EIO, nothing has happened. */
  async #request(device: CheckedDevice, laneStart: number): Promise<void> {
    const lengths = [1, 4096, 70_000, CHUNK_BYTES, CHUNK_BYTES + 5, 3 * CHUNK_BYTES];
    const length = lengths[this.#random.below(lengths.length)] ?? 1;
    const align = [1, 4096, CHUNK_BYTES][this.#random.below(3)] ?? 1;
    const at = this.#random.below(LANE_BYTES - length + 1);
    const offset = laneStart + at - (at % align);
    const choice = this.#random.below(4);
    const source = choice === 0 ? Buffer.alloc(length, this.#random.bytes(13)) : Buffer.alloc(length);
    const punch = this.#random.below(2) === 0;
    try {
      if (choice === 0) await device.write(offset, source, { fua: this.#random.below(4) === 0 });
      else if (choice === 1) await device.zero(offset, length, { fua: false, punch });
      else await device.read(offset, source);
    } catch (error) {
      if (!(error instanceof DeviceError && error.errno === 'EIO')) throw error;
      return;
    }
    const model = this.#model.subarray(offset, offset + length);
    if (choice >= 2) assert(source.equals(model), `bytes ${offset} to ${offset + length}`);
    else source.copy(model);
  }

  #cut(device: VolumeDevice): void {
    this.#cutCount += 1;
    const cut = `cut-${this.#cutCount}` as CutId;
    device.beginCut(cut).durable.catch(() => {});
    this.#cuts.set(cut, Buffer.from(this.#model));
  }

  async #release(device: VolumeDevice): Promise<void> {
    const [cut] = this.#cuts.keys();
    if (cut === undefined) return;
    this.#cuts.delete(cut);
    await device.release(cut);
  }

  /** What a cut does not name is what the origin has. */
  #checkCuts(device: VolumeDevice): void {
    const descriptor = openSync(device.dataPath, 'r');
    try {
      for (const [cut, model] of this.#cuts) {
        const view = Array.from({ length: CHUNKS }, (_, index) => this.#origin[index] ?? ZERO_CHUNK);
        for (const { index, slotOffset, under } of device.changes(cut, 0)) {
          const bytes = Buffer.alloc(CHUNK_BYTES);
          if (slotOffset !== null)
            readSource(descriptor, { path: device.dataPath, offset: slotOffset, under }, 0, bytes);
          view[index] = bytes;
        }
        assert(Buffer.concat(view).equals(model), `${cut} is what the volume was`);
      }
    } finally {
      closeSync(descriptor);
    }
  }

  async #checkAll(device: CheckedDevice): Promise<void> {
    const target = Buffer.alloc(CHUNKS * CHUNK_BYTES, 0xee);
    for (let isRead = false; !isRead;) {
      try {
        await device.read(0, target);
        isRead = true;
      } catch (error) {
        if (!(error instanceof DeviceError && error.errno === 'EIO')) throw error;
      }
    }
    assert(target.equals(this.#model), 'the volume is what the buffer is');
  }
}
