import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { AssertionError } from '#base/assert.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { FaultStore } from '#chunk/fault-store.ts';
import { InlineSealPool } from '#chunk/inline-seal-pool.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import type { Claim, SealBatch, SealedChunk, SealPool } from '#chunk/seal-pool.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import { openTestStore, snapshotId } from '#snapshot/snapshot-store.fixture.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';

import { FragileFiles } from './fragile-files.fake.ts';
import { cutOf, jobOf } from './host-under-test.suite.ts';
import { Uploads } from './upload.ts';
import { VolumeDevice } from './volume-device.ts';

/*
 * Cuts, uploads, releases, deletions and collections on a volume and an object store that die together at any operation of
 * either, with or without the loss of power, and whose object store also fails and is full now and then. Each block shows
 * which write it is from. A cut that was durable is pending or stored after every start, until it is deleted; a snapshot
 * that is stored reads exactly what the volume held at its cut, in every later life.
 */

const CHUNKS = 3;
const BLOCKS_A_CHUNK = CHUNK_BYTES / BLOCK_BYTES;
const BLOCKS = CHUNKS * BLOCKS_A_CHUNK;
const VOLUME = 'vol-00000001' as VolumeId;
const PATH = '/volume';
/** Whenever there is a free slot. */
const COMPACTION = { freeSlotsMin: 1, freePartMin: 0, pauseMs: 0, bytesPerSecond: Infinity };
const MERGES = { chunksARest: 1, bytesARest: CHUNK_BYTES, restMs: 0, pauseMs: 0 };
const LIMITS = { logBytesMin: 900, logBytesMax: 900, uncommittedBytesMax: 400 };
const LIVES = 5;

const seed = Number(process.env['FUZZ_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e9));
const budgetMs = Number(process.env['FUZZ_MS'] ?? 5_000);

test(`snapshots through crashes (FUZZ_SEED=${seed})`, { timeout: budgetMs * 10 + 60_000 }, async (t) => {
  const startMs = performance.now();
  const counts = {
    runs: 0,
    lives: 0,
    cuts: 0,
    stored: 0,
    failedUploads: 0,
    deleted: 0,
    givenUp: 0,
    collections: 0,
    checked: 0,
  };
  for (let run = seed; performance.now() - startMs < budgetMs; run += 1) {
    try {
      await new World(run, counts).live();
      counts.runs += 1;
    } catch (error) {
      throw new Error(`FUZZ_SEED=${run}`, { cause: error });
    }
  }
  t.diagnostic(JSON.stringify(counts));
  assert(counts.stored > 0 && counts.failedUploads > 0 && counts.checked > 0, 'the run saw what it is for');
});

/** So that other things are begun and done between two steps of an upload: before its cut is read, or before its manifest is put. */
const SLOW = [
  null,
  { calls: 'get ', turnsMax: 100 },
  { calls: 'put ', turnsMax: 200 },
  { calls: 'put snapshots/', turnsMax: 1000 },
] as const;
/** How long what is under way may go on when no more is begun. */
const LAST_TURNS = 3000;

type Counts = Record<
  'lives' | 'cuts' | 'stored' | 'failedUploads' | 'deleted' | 'givenUp' | 'collections' | 'checked',
  number
>;

const scratch = scratchDirectory('upload-crash');
/** Of batches, so that one that goes on with what it read finds it: more than are under way at once. */
const SCRATCH_FILES = 8;

/** Seals what is in a fragile file, by way of a real one. It reads one place after another, as threads do: the world goes on between. */
class FragileSealPool implements SealPool {
  readonly batchesInFlightMax = 1;
  readonly #pool: InlineSealPool;
  readonly #files: FragileFiles;
  readonly #random: SeededRandom;
  #batchCount = 0;

  constructor(files: FragileFiles, random: SeededRandom) {
    this.#files = files;
    this.#random = random;
    this.#pool = new InlineSealPool({ masterKey: TEST_MASTER_KEY, random });
  }

  async seal(batch: SealBatch, claim: Claim): Promise<readonly SealedChunk[]> {
    const bytes = Buffer.alloc(CHUNK_BYTES);
    const copy = join(scratch, String((this.#batchCount += 1) % SCRATCH_FILES));
    const file = openSync(copy, 'w');
    for (const { path, offset, under } of batch.sources) {
      // Of a chunk in two places, both, one behind the other.
      for (const place of [offset, under?.offset ?? offset]) {
        for (let turns = this.#random.below(40); turns > 0; turns -= 1) await setImmediate();
        const count = this.#files.process().open(path, 'existing').read(bytes, 0, CHUNK_BYTES, place);
        // Released meanwhile, and cut off with the end of the file.
        if (count < CHUNK_BYTES) throw new Error('the data file ends');
        writeSync(file, bytes);
      }
    }
    closeSync(file);
    const sources = batch.sources.map(({ under = null }, at) => {
      const offset = 2 * at * CHUNK_BYTES;
      return { path: copy, offset, under: under === null ? null : { ...under, offset: offset + CHUNK_BYTES } };
    });
    return await this.#pool.seal({ ...batch, sources }, claim);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
  }
}

interface Cut {
  readonly snapshot: SnapshotId;
  readonly view: Uint32Array;
  epoch: number;
  isDurable: boolean;
  /** Its upload was answered. */
  isStored: boolean;
  deleted: 'no' | 'asked' | 'done';
}

class World {
  readonly #random: SeededRandom;
  readonly #files: FragileFiles;
  readonly #objects = new MemoryStore();
  readonly #counts: Counts;
  #faults: FaultStore;
  #device: VolumeDevice | null = null;
  #store: SnapshotStore | null = null;
  #uploads: Uploads | null = null;
  #content: Uint32Array = new Uint32Array(BLOCKS);
  #cuts: Cut[] = [];
  #boot = 1;
  #version = 0;
  #pending = new Set<Promise<void>>();
  #broken: unknown = null;

  constructor(seedOfRun: number, counts: Counts) {
    this.#random = new SeededRandom(seedOfRun);
    this.#files = new FragileFiles(this.#random);
    this.#faults = new FaultStore(this.#objects, this.#random);
    this.#counts = counts;
  }

  async live(): Promise<void> {
    const spec = { volume: VOLUME, account: TEST_ACCOUNT, sizeBytes: CHUNKS * CHUNK_BYTES, origin: null };
    await VolumeDevice.create(PATH, spec, this.#files.process());
    for (let life = 0; life < LIVES; life += 1) {
      await this.#begin();
      await this.#check();
      this.#arm();
      for (let step = 10 + this.#random.below(50); step > 0 && !this.#isDead; step -= 1) await this.#step();
      if (this.#random.below(4) > 0) await this.#finish();
      await this.#end();
      this.#counts.lives += 1;
    }
    await this.#begin();
    await this.#check();
    await this.#end();
  }

  get #isDead(): boolean {
    return this.#files.isCrashed || this.#faults.dead;
  }

  #arm(): void {
    if (this.#random.below(2) === 0) this.#files.crashAfter = 1 + this.#random.below(150);
    else this.#faults.callsLeft = this.#random.below(80);
    if (this.#random.below(2) === 0) this.#faults.rates = { before: 0.03, after: 0.03, noSpace: 0.03 };
    this.#faults.slow = SLOW[this.#random.below(SLOW.length)] ?? null;
  }

  async #begin(): Promise<void> {
    this.#faults = new FaultStore(this.#objects, this.#random);
    this.#device = await VolumeDevice.open(PATH, {
      generation: 1,
      files: this.#files.process(),
      bootId: `boot-${this.#boot}`,
      limits: LIMITS,
      compaction: COMPACTION,
      merges: MERGES,
      fetchOrigin: async () => null,
    });
    const device = this.#device;
    this.#store = await openTestStore(this.#faults, { pool: new FragileSealPool(this.#files, this.#random) });
    this.#uploads = new Uploads({ store: this.#store, deviceOf: async () => device });
  }

  async #finish(): Promise<void> {
    for (let turn = 0; turn < LAST_TURNS && this.#pending.size > 0 && !this.#isDead; turn += 1) await setImmediate();
  }

  async #end(): Promise<void> {
    this.#files.crash();
    this.#faults.dead = true;
    await Promise.allSettled([...this.#pending]);
    await this.#uploads?.[Symbol.asyncDispose]();
    await this.#attempt(async () => this.#store?.[Symbol.asyncDispose]());
    for (let turn = 0; turn < 5; turn += 1) await setImmediate();
    if (this.#broken !== null) throw this.#broken;
    const powerLost = this.#random.below(2) === 0;
    this.#files.restart({ powerLost });
    if (powerLost) this.#boot += 1;
  }

  async #step(): Promise<void> {
    const device = this.#device as VolumeDevice;
    const choice = this.#random.below(100);
    if (choice < 45) await this.#attempt(() => this.#write(device));
    else if (choice < 55) await this.#attempt(() => device.flush());
    else if (choice < 68) await this.#attempt(() => this.#cut(device));
    else if (choice < 81) this.#follow(this.#upload());
    else if (choice < 85) this.#follow(this.#delete());
    else if (choice < 88) this.#follow(this.#giveUp(device));
    else if (choice < 92) this.#follow(this.#collect());
    else for (let turns = this.#random.below(choice < 97 ? 30 : 600); turns > 0; turns -= 1) await setImmediate();
  }

  /** What a crash or a fault of the store ends is no failure; a broken invariant is. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      for (let cause = error; cause instanceof Error; cause = cause.cause) {
        if (cause instanceof AssertionError || cause instanceof assert.AssertionError) this.#broken ??= error;
      }
    }
  }

  #follow(work: Promise<void>): void {
    const followed: Promise<void> = this.#attempt(() => work).finally(() => this.#pending.delete(followed));
    this.#pending.add(followed);
  }

  async #write(device: VolumeDevice): Promise<void> {
    const count = [1, 1, 1, 5, 60, BLOCKS_A_CHUNK][this.#random.below(6)] ?? 1;
    const first = this.#random.below(BLOCKS - count + 1);
    const isZero = this.#random.below(6) === 0;
    this.#version += 1;
    if (isZero) await device.zero(first * BLOCK_BYTES, count * BLOCK_BYTES, { fua: false, punch: true });
    else await device.write(first * BLOCK_BYTES, filled(count, this.#version), { fua: false });
    this.#content.fill(isZero ? 0 : this.#version, first, first + count);
  }

  async #cut(device: VolumeDevice): Promise<void> {
    if (device.cuts().length >= 4) return;
    this.#version += 1;
    const snapshot = snapshotId(this.#version);
    const view = Uint32Array.from(this.#content);
    const cut: Cut = { snapshot, view, epoch: 0, isDurable: false, isStored: false, deleted: 'no' };
    this.#cuts.push(cut);
    const { epoch, durable } = device.beginCut(cutOf(snapshot));
    cut.epoch = epoch;
    await durable;
    cut.isDurable = true;
    this.#counts.cuts += 1;
  }

  /** Of the oldest cut that is not stored, on the newest before it that is, as control does it; then the cut is released. */
  async #upload(): Promise<void> {
    const cut = this.#cuts.find(({ isDurable, isStored, deleted }) => isDurable && !isStored && deleted === 'no');
    if (cut === undefined) return;
    const stored = this.#cuts.filter(
      ({ epoch, isStored, deleted }) => isStored && deleted === 'no' && epoch < cut.epoch,
    );
    const newest = stored.toSorted((one, other) => one.epoch - other.epoch).at(-1);
    const base = newest === undefined ? null : { snapshot: newest.snapshot, epoch: newest.epoch };
    const job = jobOf(cut.snapshot, VOLUME, cut.epoch, { base, sizeBytes: CHUNKS * CHUNK_BYTES });
    try {
      await this.#uploads?.upload(
        { ...job, label: { ...job.label, account: TEST_ACCOUNT } },
        new AbortController().signal,
      );
    } catch (error) {
      this.#counts.failedUploads += 1;
      throw error;
    }
    if (cut.isStored || cut.deleted !== 'no') return;
    cut.isStored = true;
    this.#counts.stored += 1;
    await this.#device?.release(cutOf(cut.snapshot));
  }

  /** Also of one that is pending, or being uploaded; in the order in which control and the host do it. */
  async #delete(): Promise<void> {
    const living = this.#cuts.filter(({ isDurable, deleted }) => isDurable && deleted === 'no');
    const cut = living[this.#random.below(living.length + 2)];
    if (cut === undefined) return;
    cut.deleted = 'asked';
    await this.#uploads?.abortSnapshot(cut.snapshot);
    await this.#store?.deleteManifest(cut.snapshot);
    await this.#uploads?.abortCut(VOLUME, cutOf(cut.snapshot));
    await this.#device?.release(cutOf(cut.snapshot));
    cut.deleted = 'done';
    this.#counts.deleted += 1;
  }

  /**
   * A cut is released, and its upload, which may be half-way, is not told: its slots get other content. There may be a
   * snapshot then, but none of that.
   */
  async #giveUp(device: VolumeDevice): Promise<void> {
    const pending = this.#cuts.filter(({ isDurable, isStored, deleted }) => isDurable && !isStored && deleted === 'no');
    // The oldest is the one that is being uploaded.
    const cut = pending[this.#random.below(2) * this.#random.below(Math.max(1, pending.length))];
    if (cut === undefined) return;
    cut.deleted = 'asked';
    await device.release(cutOf(cut.snapshot));
    this.#counts.givenUp += 1;
  }

  async #collect(): Promise<void> {
    await this.#store?.collect({ extraRoots: async () => [], signal: new AbortController().signal });
    this.#counts.collections += 1;
  }

  async #check(): Promise<void> {
    const device = this.#device as VolumeDevice;
    const store = this.#store as SnapshotStore;
    const pending = new Map(device.cuts().map(({ cut, epoch }) => [cut, epoch]));
    const kept: Cut[] = [];
    for (const cut of this.#cuts) {
      const manifest = await store.read(cut.snapshot);
      const epoch = pending.get(cutOf(cut.snapshot));
      assert(cut.deleted !== 'done' || manifest === null, `${cut.snapshot} was deleted and is there`);
      const mustBe = cut.isDurable && cut.deleted === 'no';
      assert(!mustBe || manifest !== null || epoch !== undefined, `${cut.snapshot} is neither pending nor stored`);
      assert(!cut.isStored || cut.deleted !== 'no' || manifest !== null, `${cut.snapshot} was stored and is gone`);
      if (manifest !== null) await this.#checkSnapshot(store, cut);
      if (manifest === null && epoch === undefined) continue;
      kept.push(cut);
      // What was asked for and not done stays as it is, and may be asked for again.
      if (cut.deleted === 'asked') cut.deleted = 'no';
      cut.isStored &&= manifest !== null;
      cut.epoch = epoch ?? cut.epoch;
      cut.isDurable = true;
    }
    this.#cuts = kept;
    const content = Buffer.alloc(BLOCKS * BLOCK_BYTES);
    await device.read(0, content);
    this.#content = versionsOf(content);
  }

  async #checkSnapshot(store: SnapshotStore, { snapshot, view }: Cut): Promise<void> {
    using held = await store.hold(snapshot);
    for (let index = 0; index < CHUNKS; index += 1) {
      const found = await store.readChunk(held.account, held.root, index);
      const versions = found === null ? new Uint32Array(BLOCKS_A_CHUNK) : versionsOf(Buffer.from(found.bytes));
      const expected = view.subarray(index * BLOCKS_A_CHUNK, (index + 1) * BLOCKS_A_CHUNK);
      const wrong = versions.findIndex((version, block) => version !== expected[block]);
      if (wrong >= 0) {
        const what = `block ${wrong} of chunk ${index} of ${snapshot}`;
        assert.fail(`${what} shows ${versions[wrong]}, not ${expected[wrong]}`);
      }
    }
    this.#counts.checked += 1;
  }
}

function filled(blockCount: number, version: number): Buffer {
  const bytes = Buffer.alloc(blockCount * BLOCK_BYTES);
  new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4).fill(version);
  return bytes;
}

function versionsOf(bytes: Buffer): Uint32Array {
  return Uint32Array.from({ length: bytes.length / BLOCK_BYTES }, (_, block) => {
    const [start, end] = [block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES];
    assert(bytes.compare(bytes, start, end - 4, start + 4, end) === 0, `block ${block} is of two writes`);
    return bytes.readUInt32LE(start);
  });
}
