import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { SeededRandom } from '#base/random.ts';
import { BLOCK_COUNT, hasBlock } from '#chunk/block-set.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, SnapshotId, VolumeId } from '#domain/ids.ts';

import { CrashError, FragileFiles } from './fragile-files.fake.ts';
import { VolumeDevice } from './volume-device.ts';
import { SINCE_NOTHING } from './volume-map.ts';

/*
 * Every block written holds one number, used once, all over; so what a block shows says which write it is from. For each
 * block the run keeps the versions since the last flush that covers it. After a killed process, a block must show the newest;
 * after a loss of power, one of them. Requests that died in the crash may have happened to each of their blocks or not.
 *
 * With faults, writes fail too (EIO, ENOSPC) and syncs: a failed write may have happened to each of its blocks or not, and
 * after a failed sync the volume must be opened again and may show what it shows after a loss of power. What an opening
 * shows stays, whatever is lost next.
 */

const CHUNKS = 5;
const ORIGIN_CHUNKS = 3;
const BLOCKS_A_CHUNK = CHUNK_BYTES / BLOCK_BYTES;
const BLOCKS = CHUNKS * BLOCKS_A_CHUNK;
const PATH = '/volume';
/** Whenever there is a free slot. */
const COMPACTION = { freeSlotsMin: 1, freePartMin: 0, pauseMs: 0, bytesPerSecond: Infinity };
const MERGES = { chunksARest: 1, bytesARest: CHUNK_BYTES, restMs: 0, pauseMs: 0 };
const LIMITS = { logBytesMin: 900, logBytesMax: 900, uncommittedBytesMax: 400 };

const seed = Number(process.env['FUZZ_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e9));
const budgetMs = Number(process.env['FUZZ_MS'] ?? 5_000);

for (const faults of [false, true]) {
  const what = faults ? 'what crashes, failed writes and failed syncs may take' : 'what a crash may take';
  test(`${what}, and what not (FUZZ_SEED=${seed})`, { timeout: budgetMs * 10 + 60_000 }, async (t) => {
    const startMs = performance.now();
    const counts = { runs: 0, crashes: 0, powerLosses: 0, cutsKept: 0, failedWrites: 0, failedSyncs: 0, detached: 0 };
    for (let run = seed; performance.now() - startMs < budgetMs; run += 1) {
      try {
        const world = new World(run, faults);
        await world.live();
        counts.runs += 1;
        counts.crashes += world.crashes;
        counts.powerLosses += world.powerLosses;
        counts.cutsKept += world.cutsKept;
        counts.failedWrites += world.failedWrites;
        counts.failedSyncs += world.failedSyncs;
        counts.detached += world.detachedCuts;
      } catch (error) {
        throw new Error(`FUZZ_SEED=${run}`, { cause: error });
      }
    }
    t.diagnostic(JSON.stringify(counts));
    assert(counts.powerLosses > 0 && counts.cutsKept > 0 && counts.detached > 0, 'the run saw what it is for');
    assert(!faults || (counts.failedWrites > 0 && counts.failedSyncs > 0), 'and faults');
  });
}

interface Cut {
  readonly cut: CutId;
  readonly view: Uint32Array;
  /** Of blocks of which a write had failed: what else they may show. */
  readonly others: ReadonlyMap<number, readonly number[]>;
  /** Versions of each block at the cut, by how many there were. */
  readonly versionCounts: Uint32Array;
  /** beginCut answered. */
  isBegun: boolean;
  isDurable: boolean;
  /** 'no' | asked for, not answered | answered. */
  released: 'no' | 'asked' | 'done';
}

function originVersion(block: number): number {
  const chunk = Math.floor(block / BLOCKS_A_CHUNK);
  return chunk < ORIGIN_CHUNKS && chunk % 3 !== 1 ? 0x8000_0000 + block : 0;
}

/** What the volume was made from, all of it. */
const ORIGIN = Buffer.alloc(BLOCKS * BLOCK_BYTES);
for (let block = 0; block < BLOCKS; block += 1) fillBlock(ORIGIN, block * BLOCK_BYTES, originVersion(block));
/** For one look at the whole volume at a time. */
const CONTENT = Buffer.alloc(BLOCKS * BLOCK_BYTES);

class World {
  readonly #random: SeededRandom;
  readonly #files: FragileFiles;
  #device: VolumeDevice | null = null;
  #generation = 1;
  #boot = 1;
  #nextVersion = 1;
  /** Of each block: what it may show after a loss of power; the last is what it shows. */
  #versions: number[][] = Array.from({ length: BLOCKS }, (_, block) => [originVersion(block)]);
  /** Of each block: the oldest of its versions that may come back. */
  #durable = new Uint32Array(BLOCKS);
  /** Of each block: what requests in flight may turn it into. */
  #flying = new Map<number, number>();
  #cuts: Cut[] = [];
  #pending = new Set<Promise<void>>();
  #detaching: VolumeDevice | null = null;
  readonly #faults: boolean;
  /** Nothing moves in the data file while a cut is pending. */
  readonly #cutsMax: number;
  crashes = 0;
  powerLosses = 0;
  cutsKept = 0;
  failedWrites = 0;
  failedSyncs = 0;
  /** Cuts found after a crash in a volume that is detached from its origin. */
  detachedCuts = 0;

  constructor(seedOfRun: number, faults: boolean) {
    this.#random = new SeededRandom(seedOfRun);
    this.#files = new FragileFiles(this.#random);
    this.#faults = faults;
    this.#cutsMax = [0, 1, 4][this.#random.below(3)] as number;
  }

  async live(): Promise<void> {
    await this.#create();
    for (let life = 0; life < 4; life += 1) {
      await this.#open();
      await this.#check();
      // Now and then it is quiet, so that what goes on in the background ends.
      if (this.#random.below(3) > 0) this.#files.crashAfter = 1 + this.#random.below(220);
      try {
        for (let step = 5 + this.#random.below(60); step > 0; step -= 1) await this.#step();
      } catch (error) {
        if (!isCrash(error) && !isInjected(error)) throw error;
      }
      // A process that dies before it notes that a sync failed leaves the next one without a way to know.
      if (this.#faults) await setImmediate();

      this.#files.crash();
      await this.#restart();
      this.#seeFailure();
    }
    await this.#open();
    await this.#check();
    await this.#device?.close();
  }

  #seeFailure(): void {
    if (!isInjected(this.#device?.failure ?? null)) return;
    this.#syncFailed = true;
    this.failedSyncs += 1;
  }

  async #create(): Promise<void> {
    for (;;) {
      if (this.#random.below(2) === 0) this.#files.crashAfter = 1 + this.#random.below(30);
      try {
        await VolumeDevice.create(
          PATH,
          {
            volume: 'vol-00000001' as VolumeId,
            account: '000000000001' as AccountId,
            sizeBytes: CHUNKS * CHUNK_BYTES,
            origin: {
              snapshot: 'snap-00000001' as SnapshotId,
              root: { key: 'ab'.repeat(32), depth: 1, chunkCount: ORIGIN_CHUNKS, presentCount: 2 },
              chunkCount: ORIGIN_CHUNKS,
            },
          },
          this.#files.process(),
        );
        this.#files.crashAfter = null;
        return;
      } catch (error) {
        if (!isCrash(error)) throw error;
        await this.#restart();
      }
    }
  }

  async #open(): Promise<void> {
    for (;;) {
      if (this.#random.below(2) === 0) this.#files.crashAfter = 1 + this.#random.below(12);
      else if (this.#faults && this.#random.below(4) === 0) this.#arm();
      try {
        this.#generation += this.#random.below(2);
        this.#device = await VolumeDevice.open(PATH, {
          generation: this.#generation,
          files: this.#files.process(),
          bootId: `boot-${this.#boot}`,
          limits: LIMITS,
          compaction: COMPACTION,
          merges: MERGES,
          onTrouble: (error) => {
            if (!isCrash(error) && !this.#faults) this.#troubles.push(error);
          },
          fetchOrigin: async (index) => {
            assert(this.#device?.isDetached !== true, 'nothing is fetched from an origin that may be gone');
            for (let turns = this.#random.below(3); turns > 0; turns -= 1) await setImmediate();
            if (originVersion(index * BLOCKS_A_CHUNK) === 0) return null;
            return ORIGIN.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
          },
        });
        this.#files.crashAfter = null;
        this.#files.failNext = null;
        return;
      } catch (error) {
        if (isInjected(error)) {
          if (this.#armed === 'sync') {
            this.#syncFailed = true;
            this.failedSyncs += 1;
          }
          await setImmediate();
          continue;
        }
        if (!isCrash(error)) throw error;
        await this.#restart();
      }
    }
  }

  #armed: 'write' | 'sync' = 'write';

  /** The next write, or sync, of some file fails. Not together with a crash: a process that dies with the news of a failed sync leaves no note of it. */
  #arm(): void {
    this.#files.crashAfter = null;
    this.#armed = this.#random.below(3) === 0 ? 'sync' : 'write';
    const path = [/data$/, /log/, /map/, /./][this.#random.below(4)] as RegExp;
    this.#files.failNext = { kind: this.#armed, path, code: this.#random.below(2) === 0 ? 'EIO' : 'ENOSPC' };
  }

  readonly #troubles: unknown[] = [];

  /** After a crash: lets what is in flight end, and loses power or not. */
  async #restart(): Promise<void> {
    await Promise.allSettled(this.#pending);
    for (let turn = 0; turn < 5; turn += 1) await setImmediate();
    const powerLost = this.#random.below(2) === 0;
    this.#files.restart({ powerLost });
    this.crashes += 1;
    this.#doubt([...this.#flying.keys()]);
    if (powerLost) {
      this.#boot += 1;
      this.powerLosses += 1;
    }
    this.#powerLost ||= powerLost;
  }

  /** Since the last check: */
  #powerLost = false;
  /** Then what no flush covers may be gone as well. */
  #syncFailed = false;
  /** Of each block: how many of its newest versions may be there or not. */
  readonly #doubts = new Map<number, number>();

  /** Requests on these blocks ended without an acknowledgement. */
  #doubt(blocks: readonly number[]): void {
    for (const block of blocks) {
      const version = this.#flying.get(block);
      if (version === undefined) continue;
      this.#flying.delete(block);
      this.#versions[block]?.push(version);
      this.#doubts.set(block, (this.#doubts.get(block) ?? 0) + 1);
    }
  }

  /** What a block may show as long as nothing is lost. */
  #newest(block: number): readonly number[] {
    return (this.#versions[block] as number[]).slice(-1 - (this.#doubts.get(block) ?? 0));
  }

  async #step(): Promise<void> {
    const device = this.#device as VolumeDevice;
    const choice = this.#random.below(100);
    if (this.#faults && this.#random.below(12) === 0) this.#arm();
    if (choice < 45) this.#write(device);
    else if (choice < 55) this.#zero(device);
    else if (choice < 70) this.#flush(device);
    else if (choice < 80) this.#cut(device);
    else if (choice < 87) this.#release(device);
    else if (choice < 92) await this.#read(device);
    else if (choice < 96) this.#detach(device);
    else await this.#turns();
    if (this.#files.isCrashed) throw new CrashError('the process died in the background');
    if (device.failure !== null) throw device.failure;
    assert.deepEqual(this.#troubles, [], 'nothing goes wrong in the background');
  }

  /** Fetches all, and lets the origin go, while requests and cuts go on. */
  #detach(device: VolumeDevice): void {
    if (this.#detaching === device) return;
    this.#detaching = device;
    const isAlone = this.#random.below(4) > 0;
    const detach = async (): Promise<void> => {
      try {
        await device.read(0, Buffer.alloc(BLOCKS * BLOCK_BYTES));
        // Of cuts that are pending, one would stand in its way.
        if (isAlone) while (this.#cuts.some((cut) => cut.released === 'no')) this.#release(device);
        await device.detach(new AbortController().signal);
      } finally {
        this.#detaching = null;
      }
    };
    this.#track(detach());
  }

  async #turns(): Promise<void> {
    for (let turns = this.#random.below(8); turns > 0; turns -= 1) await setImmediate();
  }

  /** A range of blocks that no request in flight touches. */
  #range(): { readonly first: number; readonly count: number } | null {
    const lengths = [1, 1, 1, 1, 1, 4, 4, 9, BLOCKS_A_CHUNK, BLOCKS_A_CHUNK + 9, 2 * BLOCKS_A_CHUNK];
    const length = lengths[this.#random.below(lengths.length)] ?? 1;
    const isAligned = this.#random.below(2) === 0 && length >= BLOCKS_A_CHUNK;
    let first = this.#random.below(BLOCKS - length + 1);
    if (isAligned) first -= first % BLOCKS_A_CHUNK;
    const count = Math.min(length, BLOCKS - first);
    for (let block = first; block < first + count; block += 1) if (this.#flying.has(block)) return null;
    return { first, count };
  }

  #write(device: VolumeDevice): void {
    const range = this.#range();
    if (range === null) return;
    const bytes = Buffer.alloc(range.count * BLOCK_BYTES);
    for (let at = 0; at < range.count; at += 1) {
      const version = this.#nextVersion;
      this.#nextVersion += 1;
      this.#flying.set(range.first + at, version);
      fillBlock(bytes, at * BLOCK_BYTES, version);
    }
    this.#follow(range, () => device.write(range.first * BLOCK_BYTES, bytes, { fua: false }));
  }

  #zero(device: VolumeDevice): void {
    const range = this.#range();
    if (range === null) return;
    for (let at = 0; at < range.count; at += 1) this.#flying.set(range.first + at, 0);
    const punch = this.#random.below(2) === 0;
    this.#follow(range, () => device.zero(range.first * BLOCK_BYTES, range.count * BLOCK_BYTES, { fua: false, punch }));
  }

  #follow(range: { readonly first: number; readonly count: number }, request: () => Promise<void> | void): void {
    const blocks = Array.from({ length: range.count }, (_, at) => range.first + at);
    const acknowledge = (): void => {
      for (const block of blocks) {
        this.#versions[block]?.push(this.#flying.get(block) as number);
        this.#flying.delete(block);
        this.#doubts.delete(block);
      }
    };
    const fail = (error: unknown): void => {
      if (!isInjected(error)) throw error;
      this.failedWrites += 1;
      this.#doubt(blocks);
    };
    try {
      const answer = request();
      if (answer === undefined) acknowledge();
      else this.#track(answer.then(acknowledge, fail));
    } catch (error) {
      fail(error);
    }
  }

  /** A promise that may end with the crash, or with a fault. */
  #track(promise: Promise<void>): void {
    const tracked: Promise<void> = promise
      .catch((error: unknown) => {
        if (!isCrash(error) && !isInjected(error)) throw error;
      })
      .finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  }

  #versionCounts(): Uint32Array {
    return Uint32Array.from(this.#versions, (versions, block) => versions.length - (this.#doubts.get(block) ?? 0));
  }

  #settle(versionCounts: Uint32Array): void {
    for (let block = 0; block < BLOCKS; block += 1) {
      this.#durable[block] = Math.max(this.#durable[block] as number, (versionCounts[block] as number) - 1);
    }
  }

  #flush(device: VolumeDevice): void {
    const versionCounts = this.#versionCounts();
    this.#track(device.flush().then(() => this.#settle(versionCounts)));
  }

  #cut(device: VolumeDevice): void {
    if (this.#cuts.filter((cut) => cut.released === 'no').length >= this.#cutsMax) return;
    const versionCounts = this.#versionCounts();
    const view = Uint32Array.from(this.#versions, (versions) => versions.at(-1) as number);
    const name = `cut-${this.#nextVersion}` as CutId;
    this.#nextVersion += 1;
    const others = new Map([...this.#doubts.keys()].map((block) => [block, this.#newest(block)]));
    const cut: Cut = { cut: name, view, others, versionCounts, isBegun: false, isDurable: false, released: 'no' };
    this.#cuts.push(cut);
    const durable = this.#begin(device, cut);
    if (durable === null) return;
    cut.isBegun = true;
    const follow = async (): Promise<void> => {
      await durable;
      cut.isDurable = true;
      this.#settle(versionCounts);
    };
    this.#track(follow());
  }

  /** Null when it failed: then there is no such cut. */
  #begin(device: VolumeDevice, { cut }: Cut): Promise<void> | null {
    try {
      return device.beginCut(cut).durable;
    } catch (error) {
      if (!isInjected(error)) throw error;
      this.#cuts.pop();
      return null;
    }
  }

  #release(device: VolumeDevice): void {
    const candidates = this.#cuts.filter((cut) => cut.released === 'no');
    const cut = candidates[this.#random.below(candidates.length)];
    if (cut === undefined) return;
    cut.released = 'asked';
    const follow = async (): Promise<void> => {
      await device.release(cut.cut);
      cut.released = 'done';
    };
    this.#track(follow());
  }

  async #read(device: VolumeDevice): Promise<void> {
    const block = this.#random.below(BLOCKS);
    const target = Buffer.alloc(BLOCK_BYTES);
    const before = this.#newest(block);
    const flying = this.#flying.get(block);
    await device.read(block * BLOCK_BYTES, target);
    const version = versionOf(target, 0);
    assert([...before, flying, ...this.#newest(block)].includes(version), `block ${block}`);
  }

  /** After recovery: the content, and every cut. What is there is durable from here on. */
  async #check(): Promise<void> {
    const device = this.#device as VolumeDevice;
    const content = CONTENT;
    const present = new Set(device.cuts().map(({ cut }) => cut));
    for (const cut of this.#cuts) this.#checkCut(device, cut, present.has(cut.cut));
    this.#cuts = this.#cuts.filter((cut) => present.has(cut.cut));
    for (const cut of this.#cuts) {
      cut.released = 'no';
      cut.isBegun = true;
      cut.isDurable = true;
    }
    await device.read(0, content);
    for (let block = 0; block < BLOCKS; block += 1) this.#checkBlock(block, versionOf(content, block * BLOCK_BYTES));
    this.#durable.fill(0);
    this.#powerLost = false;
    this.#syncFailed = false;
    this.#doubts.clear();
  }

  #checkBlock(block: number, version: number): void {
    const versions = this.#versions[block] as number[];
    const isLost = this.#powerLost || this.#syncFailed;
    const allowed = isLost ? versions.slice(this.#durable[block]) : this.#newest(block);
    if (!allowed.includes(version)) {
      assert.fail(`block ${block} shows ${version}, not ${allowed.join()}; may be lost: ${isLost}`);
    }
    this.#versions[block] = [version];
  }

  #checkCut(device: VolumeDevice, cut: Cut, isPresent: boolean): void {
    if (cut.released === 'done') assert(!isPresent, 'what was released stays so');
    const mustBe = cut.released === 'no' && (cut.isDurable || (cut.isBegun && !this.#powerLost && !this.#syncFailed));
    if (mustBe) assert(isPresent, `cut ${cut.cut} is there`);
    if (!isPresent) return;
    this.cutsKept += 1;
    // A cut that is there has its whole content, so nothing older can be in the volume.
    this.#settle(cut.versionCounts);
    const view = viewOf(device, cut.cut, this.#files);
    if (device.isDetached) {
      this.detachedCuts += 1;
      const byItself = viewOf(device, cut.cut, this.#files, SINCE_NOTHING);
      assert(byItself.equals(view), `${cut.cut} needs nothing of the origin`);
    }
    for (let block = 0; block < BLOCKS; block += 1) {
      const version = versionOf(view, block * BLOCK_BYTES);
      if (version !== cut.view[block] && cut.others.get(block)?.includes(version) !== true) {
        assert.fail(`block ${block} of ${cut.cut} shows ${version}, not ${cut.view[block]}`);
      }
    }
    cut.versionCounts.fill(1); // `#versions` begins anew.
  }
}

/** All bytes of a cut, until the next look: what the volume was made from, and its changes. */
function viewOf(device: VolumeDevice, cut: CutId, files: FragileFiles, since = 0): Buffer {
  const view = since === SINCE_NOTHING ? Buffer.alloc(ORIGIN.length) : CONTENT;
  if (since !== SINCE_NOTHING) view.set(ORIGIN);
  const data = files.process().open(device.dataPath, 'existing');
  let count = 0;
  let before = -1;
  for (const { index, slotOffset, under } of device.changes(cut, since)) {
    assert(index > before, 'changes come in the order of their index');
    before = index;
    count += 1;
    if (slotOffset === null) view.fill(0, index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
    else if (under === null) assert.equal(data.read(view, index * CHUNK_BYTES, CHUNK_BYTES, slotOffset), CHUNK_BYTES);
    else {
      for (let block = 0; block < BLOCK_COUNT; block += 1) {
        const from = (hasBlock(under.above, block) ? slotOffset : under.offset) + block * BLOCK_BYTES;
        data.read(view, index * CHUNK_BYTES + block * BLOCK_BYTES, BLOCK_BYTES, from);
      }
    }
  }
  assert.equal(device.changeCount(cut, since), count);
  return view;
}

function fillBlock(bytes: Buffer, position: number, version: number): void {
  new Uint32Array(bytes.buffer, bytes.byteOffset + position, BLOCK_BYTES / 4).fill(version);
}

function versionOf(bytes: Buffer, position: number): number {
  const isOne = bytes.compare(bytes, position, position + BLOCK_BYTES - 4, position + 4, position + BLOCK_BYTES) === 0;
  if (!isOne) assert.fail(`the block at ${position} is of two writes`);
  return bytes.readUInt32LE(position);
}

function isCrash(error: unknown): boolean {
  if (error instanceof CrashError) return true;
  return error instanceof Error && error.cause !== undefined && isCrash(error.cause);
}

/** Whether an injected fault is behind it. */
function isInjected(error: unknown): boolean {
  if (!(error instanceof Error) || isCrash(error)) return false;
  if ('code' in error && (error.code === 'EIO' || error.code === 'ENOSPC')) return true;
  return isInjected(error.cause);
}
