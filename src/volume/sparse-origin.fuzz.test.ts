import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { SeededRandom } from '#base/random.ts';
import { CheckedDevice } from '#block/checked.ts';
import { DeviceError } from '#block/device.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, SnapshotId, VolumeId } from '#domain/ids.ts';
import { emptyRoot } from '#snapshot/tree.ts';

import { type PresentChunks, PRESENCE_PAGE_CHUNKS } from './chunk-presence.ts';
import { VolumeDevice } from './volume-device.ts';

/*
 * A volume of several pages whose origin holds little, and a map of the chunks that are not zeros, get the same requests.
 * They lie around the places where pages meet and where the origin ends. Several are in flight together, each in a window of
 * its own; listings and fetches take their time, and some fail: then the request is EIO and nothing has changed.
 */

const PAGE = PRESENCE_PAGE_CHUNKS;
const CHUNKS = 5 * PAGE + 40;
const ORIGIN_CHUNKS = 5 * PAGE + 2;
const WINDOW_CHUNKS = 6;
const WINDOWS = [0, PAGE - 3, 2 * PAGE - 3, 3 * PAGE + 7, 5 * PAGE - 3, ORIGIN_CHUNKS + 1, CHUNKS - WINDOW_CHUNKS];
const ZERO_CHUNK = Buffer.alloc(CHUNK_BYTES);

const seed = Number(process.env['FUZZ_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e9));
const budgetMs = Number(process.env['FUZZ_MS'] ?? 3_000);

test(
  `a volume of a sparse origin is what a map of chunks is (seed ${seed})`,
  { timeout: budgetMs * 10 + 60_000 },
  async () => {
    const startMs = performance.now();
    for (let run = seed; performance.now() - startMs < budgetMs; run += 1) {
      const path = await mkdtemp(join(tmpdir(), 'varve-sparse-fuzz-'));
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

class World {
  readonly #random: SeededRandom;
  readonly #path: string;
  readonly #origin = new Map<number, Buffer>();
  /** What is not here is zeros. */
  readonly #model = new Map<number, Buffer>();
  /** Chunks that a request may have given a slot, or taken it from. */
  readonly #touched = new Set<number>();
  readonly #listing = new Set<number>();
  #generation = 0;
  #cutCount = 0;

  constructor(seedOfRun: number, path: string) {
    this.#random = new SeededRandom(seedOfRun);
    this.#path = path;
    const spread = this.#random.below(3);
    for (const first of WINDOWS) {
      for (let index = first; index < first + WINDOW_CHUNKS && index < ORIGIN_CHUNKS; index += 1) {
        if (this.#random.below(3) < spread) this.#putOrigin(index);
      }
    }
    for (let count = this.#random.below(4); count > 0; count -= 1) this.#putOrigin(this.#random.below(ORIGIN_CHUNKS));
  }

  async live(): Promise<void> {
    const presentCount = this.#origin.size;
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
      for (let step = 0; step < 15; step += 1) {
        const windows = WINDOWS.filter(() => this.#random.below(2) === 0);
        const requests = windows.map((first) => this.#request(device, first));
        if (this.#random.below(4) === 0) requests.push(this.#checkExtents(device, false));
        if (this.#random.below(6) === 0) this.#cut(bare);
        await Promise.all(requests);
        assert.equal(device.flyingCount, 0);
        if (this.#random.below(12) === 0) await this.#trim(device);
      }
      for (const first of WINDOWS) await this.#checkWindow(device, first);
      await this.#checkExtents(device, true);
      await device[Symbol.asyncDispose]();
    }
  }

  async #open(): Promise<VolumeDevice> {
    this.#generation += 1;
    return await VolumeDevice.open(this.#path, {
      generation: this.#generation,
      originPresence: (start, end) => this.#list(start, end),
      fetchOrigin: (index) => this.#fetch(index),
      onTrouble: (error) => {
        throw error;
      },
    });
  }

  async #list(start: number, end: number): Promise<PresentChunks> {
    assert(end <= ORIGIN_CHUNKS && !this.#listing.has(start), 'a page is listed once, however many wait');
    this.#listing.add(start);
    for (let turns = this.#random.below(6); turns > 0; turns -= 1) await setImmediate();
    this.#listing.delete(start);
    this.#maybeFail();
    const there = [...this.#origin.keys()].toSorted((a, b) => a - b);
    const present = there.filter((index) => index >= start && index < end);
    return { present, next: there.find((index) => index >= end) ?? null };
  }

  async #fetch(index: number): Promise<Buffer> {
    for (let turns = this.#random.below(4); turns > 0; turns -= 1) await setImmediate();
    this.#maybeFail();
    const bytes = this.#origin.get(index);
    assert(bytes !== undefined, 'what is not there is not fetched');
    return bytes;
  }

  #maybeFail(): void {
    if (this.#random.below(12) === 0) throw new Error('not now');
  }

  /** A request in the window; when it is EIO, nothing has happened. */
  async #request(device: CheckedDevice, first: number): Promise<void> {
    const lengths = [1, 700, 4096, 70_000, CHUNK_BYTES, CHUNK_BYTES + 5, 3 * CHUNK_BYTES];
    const length = lengths[this.#random.below(lengths.length)] ?? 1;
    const align = [1, 4096, CHUNK_BYTES][this.#random.below(3)] ?? 1;
    let offset = first * CHUNK_BYTES + this.#random.below(WINDOW_CHUNKS * CHUNK_BYTES - length + 1);
    offset = Math.max(first * CHUNK_BYTES, offset - (offset % align));
    const choice = this.#random.below(3);
    const source = choice === 0 ? Buffer.alloc(length, this.#random.bytes(13)) : Buffer.alloc(length);
    const punch = this.#random.below(2) === 0;
    if (choice < 2) {
      const end = Math.ceil((offset + length) / CHUNK_BYTES);
      for (let index = Math.floor(offset / CHUNK_BYTES); index < end; index += 1) this.#touched.add(index);
    }
    try {
      if (choice === 0) await device.write(offset, source, { fua: false });
      else if (choice === 1) await device.zero(offset, length, { fua: false, punch });
      else await device.read(offset, source);
    } catch (error) {
      if (!isEio(error)) throw error;
      return;
    }
    if (choice === 2) assert(source.equals(this.#content(offset, length)), `bytes ${offset} to ${offset + length}`);
    else this.#change(offset, source);
  }

  /** Many chunks at once, whole. */
  async #trim(device: CheckedDevice): Promise<void> {
    const first = WINDOWS[this.#random.below(WINDOWS.length)] ?? 0;
    const count = 1 + this.#random.below(Math.min(CHUNKS - first, PAGE + 10));
    for (const index of this.#origin.keys()) if (index >= first && index < first + count) this.#touched.add(index);
    await device.zero(first * CHUNK_BYTES, count * CHUNK_BYTES, { fua: false, punch: true });
    for (const index of this.#model.keys()) if (index >= first && index < first + count) this.#model.delete(index);
  }

  #cut(device: VolumeDevice): void {
    this.#cutCount += 1;
    const { durable } = device.beginCut(`cut-${this.#cutCount}` as CutId);
    durable.catch(() => {});
  }

  async #checkWindow(device: CheckedDevice, first: number): Promise<void> {
    const target = Buffer.alloc(WINDOW_CHUNKS * CHUNK_BYTES, 0xee);
    await this.#untilItWorks(async () => device.read(first * CHUNK_BYTES, target));
    assert(target.equals(this.#content(first * CHUNK_BYTES, target.length)), `chunks from ${first} on`);
  }

  /** What is said to be zeros is zeros; what is said to be data is in the origin, or was written. */
  async #checkExtents(device: CheckedDevice, isAtRest: boolean): Promise<void> {
    const countMax = [1, 3, 1000][this.#random.below(3)] ?? 1;
    const extents = await this.#untilItWorks(async () => device.extents(0, CHUNKS * CHUNK_BYTES, countMax));
    const touched = new Set([...this.#origin.keys(), ...this.#touched]);
    for (const { offset, length, zero, hole } of extents) {
      assert.equal(zero, hole);
      const [first, end] = [offset / CHUNK_BYTES, (offset + length) / CHUNK_BYTES];
      if (zero) {
        for (const [index, bytes] of this.#model) {
          if (index < first || index >= end) continue;
          // While requests go on, what was written may be so only since; what the origin has was there from the beginning.
          const isSure = isAtRest || !this.#touched.has(index);
          assert(!isSure || bytes.equals(ZERO_CHUNK), `chunk ${index} is not zeros`);
        }
      } else {
        for (let index = first; index < end; index += 1) assert(touched.has(index), `chunk ${index} is not data`);
      }
    }
  }

  async #untilItWorks<R>(work: () => Promise<R>): Promise<R> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isEio(error)) throw error;
      }
    }
  }

  #content(offset: number, length: number): Buffer {
    const first = Math.floor(offset / CHUNK_BYTES);
    const last = Math.ceil((offset + length) / CHUNK_BYTES);
    const chunks = Array.from({ length: last - first }, (_, at) => this.#model.get(first + at) ?? ZERO_CHUNK);
    return Buffer.concat(chunks).subarray(offset - first * CHUNK_BYTES, offset - first * CHUNK_BYTES + length);
  }

  #change(offset: number, source: Buffer): void {
    const first = Math.floor(offset / CHUNK_BYTES);
    const last = Math.ceil((offset + source.length) / CHUNK_BYTES);
    const bytes = Buffer.from(this.#content(first * CHUNK_BYTES, (last - first) * CHUNK_BYTES));
    source.copy(bytes, offset - first * CHUNK_BYTES);
    for (let index = first; index < last; index += 1) {
      this.#model.set(index, bytes.subarray((index - first) * CHUNK_BYTES, (index - first + 1) * CHUNK_BYTES));
    }
  }

  #putOrigin(index: number): void {
    const bytes = Buffer.alloc(CHUNK_BYTES, this.#random.bytes(13));
    this.#origin.set(index, bytes);
    this.#model.set(index, bytes);
  }
}

function isEio(error: unknown): boolean {
  return error instanceof DeviceError && error.errno === 'EIO';
}
