import { assert } from '#base/assert.ts';
import { DeviceError } from '#block/device.ts';
import { CHUNK_BYTES, chunkIndexFloor } from '#domain/geometry.ts';

import { type ChunkMap, STATE_ORIGIN } from './chunk-map.ts';
import { ChunkPresence, type ListPresent, type Presence } from './chunk-presence.ts';

/** Chunks of the origin by index; null: the origin holds nothing there. */
export type FetchedChunks = ReadonlyMap<number, Uint8Array | null>;

/**
 * Chunks that one volume fetches at once. Each costs about a MiB while it is read, opened and checked by the threads of the
 * pool; a request that needs more waits for its own.
 */
export const ORIGIN_FETCHES_MAX = 8;

/**
 * What a volume reads through to. Chunks are fetched, each once, however many requests wait for it, and so many at a time.
 * What is not there is not fetched: `list` tells (see ChunkPresence). Without it any chunk may be there, and the fetch tells.
 */
export class OriginChunks {
  readonly #fetchOrigin: (index: number) => Promise<Uint8Array | null>;
  readonly #presence: ChunkPresence | null;
  readonly #running = new Map<number, Promise<Uint8Array | null>>();
  /** Fetches that wait for a place. */
  readonly #waiting: (() => void)[] = [];
  #fetchCount = 0;

  constructor(options: {
    readonly chunkCount: number;
    readonly fetch: (index: number) => Promise<Uint8Array | null>;
    readonly list: ListPresent | null;
  }) {
    const { chunkCount, fetch, list } = options;
    this.#fetchOrigin = fetch;
    this.#presence = list === null ? null : new ChunkPresence({ chunkCount, list });
  }

  /** What can be said at once; 'unknown' turns into an answer after `learn`, null never does. */
  presenceAt(index: number): Presence | null {
    return this.#presence === null ? null : this.#presence.at(index);
  }

  isAbsent(index: number): boolean {
    return this.#presence !== null && this.#presence.at(index) === 'absent';
  }

  /** The first chunk from `index` on, at most `until`, that may be there, as far as that is quickly said. */
  skipEmpty(index: number, until: number): number {
    return this.#presence === null ? index : this.#presence.skipEmpty(index, until);
  }

  /** Afterwards it is known whether the chunk is there, and what its neighbours are. Rejects with DeviceError. */
  async learn(index: number): Promise<void> {
    if (this.#presence?.at(index) !== 'unknown') return;
    try {
      await this.#presence.load(index);
    } catch (error) {
      throw new DeviceError('EIO', `list the origin around chunk ${index}`, { cause: error });
    }
  }

  /** The chunks of [offset, end) that are not here yet; null when all are, or are nowhere. Rejects with DeviceError. */
  needed(chunks: ChunkMap, offset: number, end: number): Promise<FetchedChunks> | null {
    let indexes: number[] | null = null;
    for (let index = chunkIndexFloor(offset); index * CHUNK_BYTES < end; index += 1) {
      if (this.#isNeeded(chunks, index)) (indexes ??= []).push(index);
    }
    return indexes === null ? null : this.#fetchAll(chunks, indexes);
  }

  /** As `needed`, of those chunks only that the range covers in part: the two at its ends. */
  neededAtEnds(chunks: ChunkMap, offset: number, end: number): Promise<FetchedChunks> | null {
    if (offset === end) return null;
    const first = chunkIndexFloor(offset);
    const last = chunkIndexFloor(end - 1);
    const isFirst = (offset % CHUNK_BYTES !== 0 || end < (first + 1) * CHUNK_BYTES) && this.#isNeeded(chunks, first);
    const isLast = last > first && end % CHUNK_BYTES !== 0 && this.#isNeeded(chunks, last);
    if (!isFirst && !isLast) return null;
    return this.#fetchAll(chunks, [...(isFirst ? [first] : []), ...(isLast ? [last] : [])]);
  }

  #isNeeded(chunks: ChunkMap, index: number): boolean {
    return chunks.stateAt(index) === STATE_ORIGIN && !this.isAbsent(index);
  }

  async #fetchAll(chunks: ChunkMap, indexes: readonly number[]): Promise<FetchedChunks> {
    const unknown = indexes.filter((index) => this.presenceAt(index) === 'unknown');
    if (unknown.length > 0) await Promise.all(unknown.map((index) => this.learn(index)));
    const needed = unknown.length === 0 ? indexes : indexes.filter((index) => this.#isNeeded(chunks, index));
    const fetched = await Promise.all(needed.map((index) => this.#fetch(index)));
    return new Map(needed.map((index, at) => [index, fetched[at] ?? null]));
  }

  #fetch(index: number): Promise<Uint8Array | null> {
    let fetching = this.#running.get(index);
    if (fetching === undefined) {
      fetching = this.#fetchNow(index).finally(() => this.#running.delete(index));
      this.#running.set(index, fetching);
    }
    return fetching;
  }

  async #fetchNow(index: number): Promise<Uint8Array | null> {
    if (this.#fetchCount === ORIGIN_FETCHES_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#fetchCount += 1;
    let bytes: Uint8Array | null;
    try {
      bytes = await this.#fetchOrigin(index);
    } catch (error) {
      throw new DeviceError('EIO', `fetch chunk ${index} of the origin`, { cause: error });
    } finally {
      this.#passOn();
    }
    assert(bytes === null || bytes.length === CHUNK_BYTES, 'a chunk of the origin is whole');
    return bytes;
  }

  /** The place goes to who has waited longest. */
  #passOn(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#fetchCount -= 1;
    else next();
  }
}
