import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { type Clock, systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { SECTOR_KEY_BYTES, SectorCipher } from '#base/sector-cipher.ts';
import { BLOCK_COUNT, hasBlock } from '#chunk/block-set.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, SnapshotId, VolumeId } from '#domain/ids.ts';

import type { PresentChunks } from './chunk-presence.ts';
import { VolumeDevice } from './volume-device.ts';
import { SINCE_NOTHING } from './volume-map.ts';

/*
 * A volume and a flat buffer get the same requests. Many are in flight together, but none that overlap: so a request that
 * waits for the origin meets cuts, trims of its neighbours and fetches of the same chunk. Each happens in one step, so the
 * buffer follows when its promise resolves, and a cut may come between any two steps.
 */

const CHUNKS = 7;
const BYTES = CHUNKS * CHUNK_BYTES;
const ORIGIN_CHUNKS = 5;
const CUTS_MAX = 4;

const seed = Number(process.env['FUZZ_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e9));
const budgetMs = Number(process.env['FUZZ_MS'] ?? 4_000);

test(
  `a volume is what a flat buffer is, and so is every cut (seed ${seed})`,
  { timeout: budgetMs * 10 + 60_000 },
  async () => {
    const startMs = performance.now();
    for (let run = seed; performance.now() - startMs < budgetMs || Object.values(seen).includes(0); run += 1) {
      const path = await mkdtemp(join(tmpdir(), 'varve-volume-fuzz-'));
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

const HISTORY_MAX = 6;
/** Whenever there is something to merge. */
const MERGES = { chunksARest: 1, bytesARest: CHUNK_BYTES, restMs: 0, pauseMs: 0 };
const ZEROS = Buffer.alloc(BYTES);
/** How many chunks of cuts told which blocks changed, and how many cuts there were of detached volumes. */
const seen = { partials: 0, marks: 0, detached: 0 };
const NEVER = new AbortController().signal;

class World {
  readonly #random: SeededRandom;
  readonly #path: string;
  readonly #origin: Buffer;
  readonly #model: Buffer;
  #device: VolumeDevice | null = null;
  #cuts: { readonly cut: CutId; readonly epoch: number; readonly view: Buffer }[] = [];
  /** What cuts held that may be released by now: any of them may be what a snapshot is compared with. */
  readonly #history: { readonly epoch: number; readonly view: Buffer }[] = [];
  #flights: { readonly start: number; readonly end: number; readonly done: Promise<void> }[] = [];
  #generation = 0;
  #isDetaching = false;
  #cutCount = 0;
  readonly #fetching = new Set<number>();
  /** Whether the volume can ask which chunks the origin holds. */
  readonly #tellsPresence: boolean;
  /** Of an encrypted volume. */
  readonly #dataKey: Buffer | null;

  /** By it, some reads are slow, so that those that follow are done by other threads. */
  readonly #clock: Clock = { ...systemClock, monotonicMs: () => (this.#nowMs += this.#random.below(3) === 0 ? 5 : 0) };
  #nowMs = 0;

  constructor(seedOfRun: number, path: string) {
    this.#random = new SeededRandom(seedOfRun);
    this.#path = path;
    this.#tellsPresence = this.#random.below(2) === 0;
    this.#dataKey = this.#random.below(2) === 0 ? this.#random.bytes(SECTOR_KEY_BYTES) : null;
    this.#origin = Buffer.alloc(BYTES);
    for (let index = 0; index < ORIGIN_CHUNKS; index += 1) {
      if (!isHole(index)) this.#pattern(this.#origin.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES));
    }
    this.#model = Buffer.from(this.#origin);
  }

  async live(): Promise<void> {
    const root = { key: 'ab'.repeat(32), depth: 1, chunkCount: ORIGIN_CHUNKS, presentCount: 4 };
    await VolumeDevice.create(this.#path, {
      volume: 'vol-00000001' as VolumeId,
      account: '000000000001' as AccountId,
      sizeBytes: BYTES,
      origin: { snapshot: 'snap-00000001' as SnapshotId, root, chunkCount: ORIGIN_CHUNKS },
      sealedKey: this.#dataKey === null ? null : 'sealed',
    });
    await this.#open();
    for (let step = 0; step < 150; step += 1) await this.#step();
    await this.#settle();
    await this.#checkAll();
    for (const { cut } of this.#cuts) await this.#open_.release(cut);
    await this.#open_.compact();
    await this.#open_.flush();
    assert(this.#open_.slotBytes <= BYTES, 'without cuts, a chunk has one slot at most');
    await this.#open_.close();
  }

  get #open_(): VolumeDevice {
    assert(this.#device !== null);
    return this.#device;
  }

  async #open(): Promise<void> {
    this.#generation += 1;
    this.#device = await VolumeDevice.open(this.#path, {
      generation: this.#generation,
      limits: { logBytesMin: 3_000, logBytesMax: 3_000, uncommittedBytesMax: 1_500 },
      fetchOrigin: (index) => this.#fetch(index),
      ...(this.#tellsPresence ? { originPresence: (start, end) => this.#list(start, end) } : {}),
      clock: this.#clock,
      merges: MERGES,
      openKey: () => this.#dataKey ?? assert.fail('only an encrypted volume needs a key'),
      onTrouble: (error) => {
        throw error;
      },
    });
    assert.deepEqual(
      this.#device.cuts(),
      this.#cuts.map(({ cut, epoch }) => ({ cut, epoch })),
    );
  }

  async #fetch(index: number): Promise<Buffer | null> {
    assert(index < ORIGIN_CHUNKS, 'what is beyond the origin is not asked for');
    assert(this.#device?.isDetached !== true, 'nothing is fetched from an origin that may be gone');
    assert(!this.#fetching.has(index), 'a chunk is fetched once, however many wait');
    this.#fetching.add(index);
    for (let turns = this.#random.below(6); turns > 0; turns -= 1) await setImmediate();
    this.#fetching.delete(index);
    assert(!this.#tellsPresence || !isHole(index), 'what is known to be absent is not fetched');
    return isHole(index) ? null : this.#origin.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
  }

  async #list(start: number, end: number): Promise<PresentChunks> {
    for (let turns = this.#random.below(6); turns > 0; turns -= 1) await setImmediate();
    const indexes = Array.from({ length: end - start }, (_, at) => start + at);
    return { present: indexes.filter((index) => !isHole(index)), next: null };
  }

  async #step(): Promise<void> {
    const choice = this.#random.below(100);
    if (choice < 40) await this.#write();
    else if (choice < 52) this.#zero();
    else if (choice < 70) this.#read();
    else if (choice < 78) await this.#cut();
    else if (choice < 84) this.#release();
    else if (choice < 88) this.#flights.push({ start: 0, end: 0, done: this.#open_.flush() });
    else if (choice < 95) for (let turns = this.#random.below(4); turns > 0; turns -= 1) await setImmediate();
    else if (choice < 96) this.#flights.push({ start: 0, end: 0, done: this.#open_.compact() });
    else if (choice < 97) await this.#reopen();
    else if (choice < 98) await this.#detach();
    else await this.#checkAll();
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#flights.map(({ done }) => done));
    this.#flights = [];
  }

  async #reopen(): Promise<void> {
    await this.#settle();
    await this.#open_.close();
    await this.#open();
  }

  /** Fetches all, and lets the origin go, while requests and cuts go on. */
  async #detach(): Promise<void> {
    if (this.#isDetaching) return;
    await this.#settle();
    await this.#open_.read(0, Buffer.alloc(BYTES));
    if (this.#random.below(2) === 0) while (this.#cuts.length > 0) this.#release();
    this.#isDetaching = true;
    const detach = async (): Promise<void> => {
      const isDone = await this.#open_.detach(NEVER);
      this.#isDetaching = false;
      assert.equal(isDone, this.#open_.isDetached);
    };
    this.#flights.push({ start: 0, end: 0, done: detach() });
  }

  /** A range that nothing in flight touches. */
  #range(): { readonly start: number; readonly length: number } | null {
    const lengths = [1, 700, 4096, 70_000, CHUNK_BYTES, CHUNK_BYTES + 5, 3 * CHUNK_BYTES];
    const length = lengths[this.#random.below(lengths.length)] ?? 1;
    let start = this.#random.below(BYTES - length + 1);
    const align = [1, 4096, CHUNK_BYTES][this.#random.below(3)] ?? 1;
    start -= start % align;
    const isFree = this.#flights.every((flight) => flight.end <= start || start + length <= flight.start);
    return isFree ? { start, length } : null;
  }

  async #write(): Promise<void> {
    const range = this.#range();
    if (range === null) return;
    const source = Buffer.alloc(range.length);
    this.#pattern(source);
    const fua = this.#random.below(8) === 0;
    const answer = this.#open_.write(range.start, source, { fua });
    if (fua) {
      // Waited for: what is there before the answer would be in a cut that comes between.
      await answer;
      source.copy(this.#model, range.start);
      return;
    }
    this.#follow(range, answer, () => source.copy(this.#model, range.start));
  }

  #zero(): void {
    const range = this.#range();
    if (range === null) return;
    const answer = this.#open_.zero(range.start, range.length, { fua: false, punch: this.#random.below(2) === 0 });
    this.#follow(range, answer, () => this.#model.fill(0, range.start, range.start + range.length));
  }

  #read(): void {
    const range = this.#range();
    if (range === null) return;
    const target = Buffer.alloc(range.length, 0x5a);
    this.#follow(range, this.#open_.read(range.start, target), () => {
      const expected = this.#model.subarray(range.start, range.start + range.length);
      assert(target.equals(expected), `bytes ${range.start} to ${range.start + range.length}`);
    });
  }

  #follow(range: { start: number; length: number }, answer: Promise<void> | void, then: () => void): void {
    if (answer === undefined) {
      then();
      return;
    }
    const follow = async (): Promise<void> => {
      await answer;
      then();
      this.#flights = this.#flights.filter((other) => other !== flight);
    };
    const flight = { start: range.start, end: range.start + range.length, done: follow() };
    this.#flights.push(flight);
  }

  async #cut(): Promise<void> {
    if (this.#cuts.length >= CUTS_MAX) return;
    // Between two turns, so that the buffer has what the volume has.
    await setImmediate();
    this.#cutCount += 1;
    const cut = `cut-${this.#cutCount}` as CutId;
    const { epoch, durable } = this.#open_.beginCut(cut);
    const view = Buffer.from(this.#model);
    this.#cuts.push({ cut, epoch, view });
    this.#history.push({ epoch, view });
    if (this.#history.length > HISTORY_MAX) this.#history.shift();
    const again = this.#open_.beginCut(cut);
    assert.equal(again.epoch, epoch);
    this.#flights.push({ start: 0, end: 0, done: durable }, { start: 0, end: 0, done: again.durable });
  }

  #release(): void {
    const [released] = this.#cuts.splice(this.#random.below(this.#cuts.length), 1);
    if (released === undefined) return;
    this.#flights.push({ start: 0, end: 0, done: this.#open_.release(released.cut) });
    assert(this.#open_.cuts().every(({ cut }) => cut !== released.cut));
  }

  /** The volume, every cut, and what a cut changed since an older one. */
  async #checkAll(): Promise<void> {
    await this.#settle();
    const content = Buffer.alloc(BYTES);
    await this.#open_.read(0, content);
    assert(content.equals(this.#model), 'the volume');
    await this.#checkExtents();
    const data = await readFile(this.#open_.dataPath);
    if (this.#dataKey !== null) new SectorCipher(this.#dataKey).decrypt(0, data, 0, data.length);
    for (const [at, { cut, epoch, view }] of this.#cuts.entries()) {
      assert(this.#viewSince(cut, 0, this.#origin, data).equals(view), `the view of ${cut}`);
      if (this.#open_.isDetached) {
        seen.detached += 1;
        assert(this.#viewSince(cut, SINCE_NOTHING, ZEROS, data).equals(view), `the view of ${cut} by itself`);
      }
      for (const older of [{ epoch: 0, view: this.#origin }, ...this.#history]) {
        if (older.epoch < epoch) this.#checkMarks(cut, older.epoch, older.view, view);
      }
      for (const older of this.#cuts.slice(0, at)) {
        assert(this.#viewSince(cut, older.epoch, older.view, data).equals(view), `${cut} on top of ${older.cut}`);
      }
    }
  }

  #viewSince(cut: CutId, sinceEpoch: number, base: Buffer, data: Buffer): Buffer {
    const view = Buffer.from(base);
    const changes = [...this.#open_.changes(cut, sinceEpoch)];
    assert.equal(this.#open_.changeCount(cut, sinceEpoch), changes.length);
    assert.deepEqual(
      changes,
      changes.toSorted((a, b) => a.index - b.index),
    );
    for (const { index, slotOffset, under } of changes) {
      if (slotOffset === null) view.fill(0, index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
      else if (under === null) data.copy(view, index * CHUNK_BYTES, slotOffset, slotOffset + CHUNK_BYTES);
      else {
        seen.partials += 1;
        for (let block = 0; block < BLOCK_COUNT; block += 1) {
          const from = (hasBlock(under.above, block) ? slotOffset : under.offset) + block * BLOCK_BYTES;
          data.copy(view, index * CHUNK_BYTES + block * BLOCK_BYTES, from, from + BLOCK_BYTES);
        }
      }
    }
    return view;
  }

  /** Blocks that are not told of as changed are what they were. */
  #checkMarks(cut: CutId, sinceEpoch: number, base: Buffer, view: Buffer): void {
    for (const { index, slotOffset, changedBlocks } of this.#open_.changes(cut, sinceEpoch)) {
      if (slotOffset === null || changedBlocks === null) continue;
      seen.marks += 1;
      for (let block = 0; block < CHUNK_BYTES / BLOCK_BYTES; block += 1) {
        if ((((changedBlocks[block >>> 5] as number) >>> (block & 31)) & 1) === 1) continue;
        const start = index * CHUNK_BYTES + block * BLOCK_BYTES;
        const isSame = view.compare(base, start, start + BLOCK_BYTES, start, start + BLOCK_BYTES) === 0;
        assert(isSame, `block ${block} of chunk ${index} changed between ${sinceEpoch} and ${cut}`);
      }
    }
  }

  async #checkExtents(): Promise<void> {
    let offset = 0;
    for (const extent of await this.#open_.extents(0, BYTES, 1_000)) {
      assert.equal(extent.offset, offset);
      offset += extent.length;
      const isZero = this.#model.subarray(extent.offset, offset).every((byte) => byte === 0);
      assert(isZero || !extent.zero, 'an extent of zeros is zeros');
    }
    assert.equal(offset, BYTES);
  }

  /** Bytes that come nowhere else: a number and where it is. */
  #pattern(target: Buffer): void {
    target.fill(this.#random.bytes(13));
  }
}

function isHole(index: number): boolean {
  return index === 2;
}
