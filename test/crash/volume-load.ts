import { setImmediate } from 'node:timers/promises';
import { systemClock } from '#base/clock.ts';
import type { SeededRandom } from '#base/random.ts';
import { type NbdLoad, SECTOR_BYTES } from './nbd-load.ts';
import type { VolumeModel } from './sector-model.ts';

const MIB = 1024 * 1024;
/** The part of a volume that is used: chunks on both sides of the border between two leaves of the snapshot's tree. */
export const REGION_OFFSET = 509 * MIB;
export const REGION_BYTES = 6 * MIB;
export const REGION_SECTORS = REGION_BYTES / SECTOR_BYTES;
const BLOCK_SECTORS = 8;
const CHUNK_SECTORS = 1024;

/** What was done, and answered without an error. */
export interface LoadCounts {
  writes: number;
  zeros: number;
  trims: number;
  flushes: number;
  reads: number;
}

export function noCounts(): LoadCounts {
  return { writes: 0, zeros: 0, trims: 0, flushes: 0, reads: 0 };
}

export function requestCount(counts: LoadCounts): number {
  return counts.writes + counts.zeros + counts.trims + counts.flushes + counts.reads;
}

/** Gives every write of a run a version of its own. */
export class Versions {
  #next = 1;

  take(): number {
    this.#next += 1;
    return this.#next - 1;
  }
}

interface LoadOptions {
  readonly load: NbdLoad;
  readonly random: SeededRandom;
  readonly model: VolumeModel;
  /** Names the volume in messages. */
  readonly volume: string;
  readonly versions: Versions;
  readonly counts: LoadCounts;
}

/** Random I/O on one volume over several connections, several requests in flight on each, until told to stop or cut off. */
export class VolumeLoad {
  readonly #options: LoadOptions;
  readonly #random: SeededRandom;
  /** A few places that are written again and again, so that chunks are also changed in place. */
  readonly #hot: number;
  #isGoing = true;
  #workers: readonly Promise<void>[] = [];
  /** Errnos that a server which was alive may not have answered. */
  readonly errnos: number[] = [];
  /** How long the slowest request took until it was answered. */
  slowestMs = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#random = options.random;
    this.#hot = this.#random.below(REGION_SECTORS / CHUNK_SECTORS) * CHUNK_SECTORS;
  }

  start(connections: readonly string[], depth: number): void {
    this.#workers = connections.flatMap((name) => Array.from({ length: depth }, () => this.#work(name)));
    // Thrown by `stop`; a run that ends without that has another error to tell of.
    for (const worker of this.#workers) worker.catch(() => {});
  }

  /** Ends when all in flight has ended. Throws what a check of a read threw. */
  async stop(): Promise<void> {
    this.#isGoing = false;
    await Promise.all(this.#workers);
  }

  async #work(connection: string): Promise<void> {
    while (this.#isGoing) {
      const startMs = systemClock.monotonicMs();
      const errno = await this.#step(connection);
      this.slowestMs = Math.max(this.slowestMs, systemClock.monotonicMs() - startMs);
      if (errno === 0) continue;
      this.errnos.push(errno);
      return;
    }
  }

  async #step(connection: string): Promise<number> {
    const { load, counts } = this.#options;
    const choice = this.#random.below(100);
    if (choice < 8) {
      const errno = await load.flush(connection);
      if (errno === 0) counts.flushes += 1;
      return errno;
    }
    const range = this.#range();
    if (range === null) {
      await setImmediate();
      return 0;
    }
    if (choice < 18) return await this.#read(connection, range);
    return await this.#change(connection, range, choice);
  }

  async #change(connection: string, { first, count }: Range, choice: number): Promise<number> {
    const { load, model, versions, counts } = this.#options;
    const offset = REGION_OFFSET + first * SECTOR_BYTES;
    const length = count * SECTOR_BYTES;
    const fua = this.#random.below(12) === 0;
    const kind = choice < 27 ? 'zeros' : choice < 34 ? 'trims' : 'writes';
    const change = model.send(first, count, kind === 'writes' ? versions.take() : 0);
    const errno = await (kind === 'writes'
      ? load.write(connection, offset, length, change.version, fua)
      : kind === 'zeros'
        ? load.zero(connection, offset, length, fua, this.#random.below(2) === 0)
        : load.trim(connection, offset, length, fua));
    if (errno === 0) {
      model.acknowledge(change);
      counts[kind] += 1;
    } else {
      model.lose(change);
    }
    return errno;
  }

  async #read(connection: string, { first, count }: Range): Promise<number> {
    const { load, model, volume, counts } = this.#options;
    model.beginRead(first, count);
    const found = await load.read(connection, REGION_OFFSET + first * SECTOR_BYTES, count * SECTOR_BYTES);
    const isFound = typeof found !== 'number';
    model.endRead(first, count, isFound ? found : null, `a read of ${volume}`);
    if (isFound) counts.reads += 1;
    return isFound ? 0 : found;
  }

  /** Sectors that no request in flight touches: odd ones, blocks, chunks, more than a chunk. */
  #range(): Range | null {
    const random = this.#random;
    const shape = random.below(20);
    const unit = shape < 3 ? 1 : shape < 18 ? BLOCK_SECTORS : CHUNK_SECTORS;
    const count = unit * (shape === 17 || shape === 2 ? 1 + random.below(200) : shape === 19 ? 3 : 1);
    const within = random.below(2) === 0 ? this.#hot + random.below(CHUNK_SECTORS) : random.below(REGION_SECTORS);
    const first = Math.min(within - (within % unit), REGION_SECTORS - count);
    return this.#options.model.isFree(first, count) ? { first, count } : null;
  }
}

interface Range {
  readonly first: number;
  readonly count: number;
}
