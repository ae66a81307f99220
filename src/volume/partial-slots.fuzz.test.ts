import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { SeededRandom } from '#base/random.ts';
import { SECTOR_KEY_BYTES, SectorCipher } from '#base/sector-cipher.ts';
import { hasBlock } from '#chunk/block-set.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, VolumeId } from '#domain/ids.ts';

import { CrashError, FragileFiles } from './fragile-files.fake.ts';
import { VolumeDevice } from './volume-device.ts';

/*
 * Small writes, mostly of parts of blocks, cuts upon cuts, releases and merges, on a volume whose process is killed and whose
 * power is lost at any operation. Every write has a number, which fills the 512 bytes of each of its sectors. For each sector
 * the run keeps what it may show: after a kill the newest write, after a loss of power any one from the last that a flush
 * covers on. A cut shows what it was, read as an upload reads it; and what it does not name as changed since an older cut, is
 * in the older one: of that one, a snapshot may be all that is left.
 */

const SECTOR_BYTES = 512;
const SECTORS_A_CHUNK = CHUNK_BYTES / SECTOR_BYTES;
const CHUNKS = 2;
const SECTORS = CHUNKS * SECTORS_A_CHUNK;
const PATH = '/volume';
const LIVES = 5;
const HISTORY_MAX = 4;
const ZEROS = Buffer.alloc(CHUNK_BYTES);
const MERGES = { chunksARest: 1, bytesARest: CHUNK_BYTES, restMs: 0, pauseMs: 0 };
const COMPACTION = { freeSlotsMin: 1, freePartMin: 0, pauseMs: 0, bytesPerSecond: Infinity };
const LIMITS = { logBytesMin: 900, logBytesMax: 900, uncommittedBytesMax: 400 };

const seed = Number(process.env['FUZZ_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e9));
const budgetMs = Number(process.env['FUZZ_MS'] ?? 4_000);
const seen = { runs: 0, crashes: 0, powerLosses: 0, partials: 0, twoCuts: 0 };

test(
  `chunks in two places, through cuts and crashes (FUZZ_SEED=${seed})`,
  { timeout: budgetMs * 10 + 60_000 },
  async (t) => {
    const startMs = performance.now();
    for (let run = seed; performance.now() - startMs < budgetMs || Object.values(seen).includes(0); run += 1) {
      try {
        await new World(run).live();
        seen.runs += 1;
      } catch (error) {
        throw new Error(`FUZZ_SEED=${run}`, { cause: error });
      }
    }
    t.diagnostic(JSON.stringify(seen));
  },
);

interface Cut {
  readonly cut: CutId;
  readonly epoch: number;
  readonly view: Uint32Array;
  /** How many versions each sector had. */
  readonly counts: Uint32Array;
  isDurable: boolean;
  released: 'no' | 'asked' | 'done';
}

class World {
  readonly #random: SeededRandom;
  readonly #files: FragileFiles;
  readonly #dataKey: Buffer | null;
  readonly #cipher: SectorCipher | null;
  readonly #cutsMax: number;
  #device: VolumeDevice | null = null;
  #boot = 1;
  #nextVersion = 1;
  /** Of each sector, what it may show after a loss of power; the last is what it shows. */
  #versions: number[][] = Array.from({ length: SECTORS }, () => [0]);
  /** Of each sector, the first of its versions that may come back. */
  readonly #durable = new Uint32Array(SECTORS);
  /** Sectors of a write that the crash ended, and its version. */
  #flying: { readonly first: number; readonly count: number; readonly version: number } | null = null;
  #cuts: Cut[] = [];
  /** Cuts that were durable, released or not. */
  #history: Cut[] = [];
  #pending = new Set<Promise<void>>();
  #powerLost = false;

  constructor(run: number) {
    this.#random = new SeededRandom(run);
    this.#files = new FragileFiles(this.#random);
    this.#dataKey = this.#random.below(2) === 0 ? this.#random.bytes(SECTOR_KEY_BYTES) : null;
    this.#cipher = this.#dataKey === null ? null : new SectorCipher(this.#dataKey);
    this.#cutsMax = 1 + this.#random.below(3);
  }

  async live(): Promise<void> {
    const spec = { volume: 'vol-00000001' as VolumeId, account: '000000000001' as AccountId, origin: null };
    const sealedKey = this.#dataKey === null ? null : 'sealed';
    await VolumeDevice.create(PATH, { ...spec, sizeBytes: CHUNKS * CHUNK_BYTES, sealedKey }, this.#files.process());
    for (let life = 0; life < LIVES; life += 1) {
      await this.#open();
      if (this.#random.below(3) > 0) this.#files.crashAfter = 1 + this.#random.below(250);
      try {
        for (let step = 10 + this.#random.below(90); step > 0; step -= 1) await this.#step();
      } catch (error) {
        if (!isCrash(error)) throw error;
      }
      this.#files.crash();
      await this.#restart();
    }
    await this.#open();
    await this.#device?.close();
  }

  async #open(): Promise<void> {
    for (;;) {
      if (this.#random.below(3) === 0) this.#files.crashAfter = 1 + this.#random.below(40);
      try {
        this.#device = await VolumeDevice.open(PATH, {
          generation: 1,
          bootId: `boot-${this.#boot}`,
          files: this.#files.process(),
          fetchOrigin: () => assert.fail('there is no origin'),
          openKey: () => this.#dataKey ?? assert.fail('only an encrypted volume needs a key'),
          limits: LIMITS,
          merges: MERGES,
          compaction: COMPACTION,
          onTrouble: (error) => assert(isCrash(error), 'nothing goes wrong in the background'),
        });
        this.#files.crashAfter = null;
        await this.#check(this.#device);
        return;
      } catch (error) {
        if (!isCrash(error)) throw error;
        await this.#restart();
      }
    }
  }

  async #restart(): Promise<void> {
    await Promise.allSettled(this.#pending);
    for (let turn = 0; turn < 5; turn += 1) await setImmediate();
    const powerLost = this.#random.below(2) === 0;
    this.#files.restart({ powerLost });
    seen.crashes += 1;
    if (powerLost) {
      this.#boot += 1;
      seen.powerLosses += 1;
    }
    this.#powerLost ||= powerLost;
  }

  async #step(): Promise<void> {
    const device = this.#device as VolumeDevice;
    const choice = this.#random.below(100);
    if (choice < 62) this.#write(device);
    else if (choice < 66) this.#zero(device);
    else if (choice < 74) this.#flush(device);
    else if (choice < 81) this.#cut(device);
    else if (choice < 88) this.#release(device);
    else if (choice < 92) await this.#read(device);
    else if (choice < 95) this.#track(device.compact());
    else for (let turns = this.#random.below(6); turns > 0; turns -= 1) await setImmediate();
    if (this.#files.isCrashed) throw new CrashError('the process died in the background');
    if (device.failure !== null) throw device.failure;
  }

  #range(): { readonly first: number; readonly count: number } {
    const lengths = [1, 1, 1, 3, 8, 8, 8, 9, 20, 64, 800, SECTORS_A_CHUNK, SECTORS_A_CHUNK + 3];
    const count = lengths[this.#random.below(lengths.length)] ?? 1;
    // Often in the same few blocks, so that slots meet.
    const near = this.#random.below(3) > 0 ? Math.min(SECTORS, count + 80) : SECTORS;
    let first = this.#random.below(near - count + 1);
    if (this.#random.below(2) === 0) first -= first % 8;
    return { first, count };
  }

  #write(device: VolumeDevice): void {
    const { first, count } = this.#range();
    const version = (this.#nextVersion += 1);
    const bytes = Buffer.alloc(count * SECTOR_BYTES);
    new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4).fill(version);
    this.#flying = { first, count, version };
    assert.equal(device.write(first * SECTOR_BYTES, bytes, { fua: false }), undefined);
    this.#landed();
  }

  #zero(device: VolumeDevice): void {
    const { first, count } = this.#range();
    this.#flying = { first, count, version: 0 };
    const punch = this.#random.below(2) === 0;
    assert.equal(device.zero(first * SECTOR_BYTES, count * SECTOR_BYTES, { fua: false, punch }), undefined);
    this.#landed();
  }

  #landed(): void {
    const { first, count, version } = this.#flying as { first: number; count: number; version: number };
    for (let sector = first; sector < first + count; sector += 1) this.#versions[sector]?.push(version);
    this.#flying = null;
  }

  #track(promise: Promise<void>): void {
    const tracked: Promise<void> = promise
      .catch((error: unknown) => {
        if (!isCrash(error)) throw error;
      })
      .finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  }

  #counts(): Uint32Array {
    return Uint32Array.from(this.#versions, (versions) => versions.length);
  }

  #settle(counts: Uint32Array): void {
    for (const [sector, count] of counts.entries()) {
      this.#durable[sector] = Math.max(this.#durable[sector] as number, count - 1);
    }
  }

  #flush(device: VolumeDevice): void {
    const counts = this.#counts();
    this.#track(device.flush().then(() => this.#settle(counts)));
  }

  #cut(device: VolumeDevice): void {
    if (this.#cuts.filter(({ released }) => released === 'no').length >= this.#cutsMax) return;
    const name = `cut-${(this.#nextVersion += 1)}` as CutId;
    const view = Uint32Array.from(this.#versions, (versions) => versions.at(-1) as number);
    const counts = this.#counts();
    const { epoch, durable } = device.beginCut(name);
    const cut: Cut = { cut: name, epoch, view, counts, isDurable: false, released: 'no' };
    this.#cuts.push(cut);
    const follow = async (): Promise<void> => {
      await durable;
      this.#settle(counts);
      this.#keep(cut);
    };
    this.#track(follow());
  }

  #keep(cut: Cut): void {
    if (cut.isDurable) return;
    cut.isDurable = true;
    this.#history.push(cut);
    if (this.#history.length > HISTORY_MAX) this.#history.shift();
  }

  #release(device: VolumeDevice): void {
    const candidates = this.#cuts.filter(({ released }) => released === 'no');
    const cut = candidates[this.#random.below(candidates.length + 1)];
    if (cut === undefined) return;
    cut.released = 'asked';
    const follow = async (): Promise<void> => {
      await device.release(cut.cut);
      cut.released = 'done';
    };
    this.#track(follow());
  }

  async #read(device: VolumeDevice): Promise<void> {
    const { first, count } = this.#range();
    const target = Buffer.alloc(count * SECTOR_BYTES);
    await device.read(first * SECTOR_BYTES, target);
    for (let at = 0; at < count; at += 1) {
      assert.equal(versionOf(target, at), this.#versions[first + at]?.at(-1), `sector ${first + at}`);
    }
  }

  async #check(device: VolumeDevice): Promise<void> {
    const epochs = new Map(device.cuts().map(({ cut, epoch }) => [cut, epoch]));
    if (epochs.size > 1) seen.twoCuts += 1;
    for (const cut of this.#cuts) {
      const isPresent = epochs.get(cut.cut) === cut.epoch;
      assert(!isPresent || cut.released !== 'done', 'what was released stays so');
      assert(isPresent || !cut.isDurable || cut.released !== 'no', 'what is durable is there');
      if (!isPresent) continue;
      this.#settle(cut.counts);
      this.#checkCut(device, cut);
    }
    this.#cuts = this.#cuts.filter(({ cut, epoch }) => epochs.get(cut) === epoch);
    for (const cut of this.#cuts) {
      cut.released = 'no';
      cut.counts.fill(1); // `#versions` begins anew.
      this.#keep(cut);
    }
    const content = Buffer.alloc(SECTORS * SECTOR_BYTES);
    await device.read(0, content);
    const { first = 0, count = 0, version: flying = 0 } = this.#flying ?? {};
    for (let sector = 0; sector < SECTORS; sector += 1) {
      const versions = this.#versions[sector] as number[];
      const allowed = this.#powerLost ? versions.slice(this.#durable[sector]) : versions.slice(-1);
      if (sector >= first && sector < first + count) allowed.push(flying);
      const shown = versionOf(content, sector);
      if (!allowed.includes(shown)) assert.fail(`sector ${sector} shows ${shown}, not ${allowed.join()}`);
      this.#versions[sector] = [shown];
    }
    this.#durable.fill(0);
    this.#flying = null;
    this.#powerLost = false;
  }

  /** All of it; and again, on top of what an older one holds. */
  #checkCut(device: VolumeDevice, cut: Cut): void {
    const bases = [{ epoch: 0, view: new Uint32Array(SECTORS) }, ...this.#history];
    const slots = new Map<number | null, Buffer>([[null, ZEROS]]);
    for (const base of bases) {
      if (base.epoch >= cut.epoch) continue;
      const view = Uint32Array.from(base.view);
      for (const { index, slotOffset, under } of device.changes(cut.cut, base.epoch)) {
        if (under !== null) seen.partials += 1;
        for (let block = 0; block < CHUNK_BYTES / BLOCK_BYTES; block += 1) {
          const place = under === null || hasBlock(under.above, block) ? slotOffset : under.offset;
          const bytes = slots.get(place) ?? this.#slot(device, place as number);
          slots.set(place, bytes);
          for (let sector = block * 8; sector < block * 8 + 8; sector += 1) {
            view[index * SECTORS_A_CHUNK + sector] = bytes.readUInt32LE(sector * SECTOR_BYTES);
          }
        }
      }
      const wrong = view.findIndex((version, sector) => version !== cut.view[sector]);
      if (wrong >= 0) {
        const what = `sector ${wrong} of ${cut.cut} since epoch ${base.epoch}`;
        assert.fail(`${what} shows ${view[wrong]}, not ${cut.view[wrong]}`);
      }
    }
  }

  #slot(device: VolumeDevice, position: number): Buffer {
    const bytes = Buffer.alloc(CHUNK_BYTES);
    const file = this.#files.process().open(device.dataPath, 'existing');
    assert.equal(file.read(bytes, 0, CHUNK_BYTES, position), CHUNK_BYTES);
    this.#cipher?.decrypt(position / BLOCK_BYTES, bytes, 0, CHUNK_BYTES);
    return bytes;
  }
}

function versionOf(bytes: Buffer, sector: number): number {
  const [start, end] = [sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES];
  assert(bytes.compare(bytes, start, end - 4, start + 4, end) === 0, `the sector at ${start} is of two writes`);
  return bytes.readUInt32LE(start);
}

function isCrash(error: unknown): boolean {
  if (error instanceof CrashError) return true;
  return error instanceof Error && error.cause !== undefined && isCrash(error.cause);
}
