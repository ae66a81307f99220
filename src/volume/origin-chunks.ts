import { setImmediate } from 'node:timers/promises';

import { assert } from '#base/assert.ts';
import { DeviceError } from '#block/device.ts';
import { CHUNK_BYTES, chunkIndexFloor } from '#domain/geometry.ts';

import { type ChunkKeeper, ChunkFetches, FETCHES_MAX } from './chunk-fetches.ts';
import { type ChunkMap, STATE_ORIGIN } from './chunk-map.ts';
import { ChunkPresence, type ListPresent, PRESENCE_PAGE_CHUNKS, type Presence } from './chunk-presence.ts';
import type { ReadOrigin } from './origin-source.ts';
import { ReadAhead } from './read-ahead.ts';

/** Chunks of the origin by index; null: the origin holds nothing there. Those that are kept by now may be missing. */
export type FetchedChunks = ReadonlyMap<number, Uint8Array | null>;

/** Chunks that one volume fetches at once. */
export const ORIGIN_FETCHES_MAX = FETCHES_MAX;

/**
 * What a volume reads through to. Chunks that are read are kept (see SlotKeeper), and those ahead of a reader that goes on in
 * order are fetched before it asks. What a write covers in part is fetched for it alone: it writes the whole chunk anew.
 * What is not there is not fetched: `list` tells (see ChunkPresence). Without it any chunk may be there, and the fetch tells.
 */
export class OriginChunks {
  readonly #chunks: ChunkMap;
  readonly #chunkCount: number;
  #presence: ChunkPresence | null;
  readonly #fetches: ChunkFetches;
  readonly #readAhead = new ReadAhead();
  /** Told of the chunks that those who read and write need, in the order in which they need them; of one perhaps more than once. */
  onNeeded: ((index: number) => void) | null = null;

  constructor(options: {
    readonly chunks: ChunkMap;
    readonly chunkCount: number;
    readonly read: ReadOrigin;
    readonly keeper: ChunkKeeper;
    readonly list: ListPresent | null;
  }) {
    const { chunks, chunkCount, read, keeper, list } = options;
    this.#chunks = chunks;
    this.#chunkCount = Math.min(chunkCount, chunks.chunkCount);
    this.#presence = list === null ? null : new ChunkPresence({ chunkCount, list });
    this.#fetches = new ChunkFetches({ read, keeper });
  }

  /** Chunks from here on are not the origin's. */
  get chunkCount(): number {
    return this.#chunkCount;
  }

  /** Somebody waits for a chunk. */
  get isAsked(): boolean {
    return this.#fetches.isAsked;
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
    const presence = this.#presence;
    if (presence?.at(index) !== 'unknown') return;
    try {
      await presence.load(index);
    } catch (error) {
      if (this.#presence !== presence) return; // It was let go meanwhile, and may be gone: nothing is there.
      throw new DeviceError('EIO', `list the origin around chunk ${index}`, { cause: error });
    }
  }

  /** The chunks of [offset, end) that are not here yet; null when all are, or are nowhere. They are kept. Rejects with DeviceError. */
  needed(offset: number, end: number): Promise<FetchedChunks> | null {
    let indexes: number[] | null = null;
    for (let index = chunkIndexFloor(offset); index * CHUNK_BYTES < end; index += 1) {
      if (this.isNeeded(index)) (indexes ??= []).push(index);
    }
    return indexes === null ? null : this.#fetchAll(indexes, true);
  }

  /** As `needed`, of those chunks only that the range covers in part: the two at its ends. They are not kept. */
  neededAtEnds(offset: number, end: number): Promise<FetchedChunks> | null {
    if (offset === end) return null;
    const first = chunkIndexFloor(offset);
    const last = chunkIndexFloor(end - 1);
    const isFirst = (offset % CHUNK_BYTES !== 0 || end < (first + 1) * CHUNK_BYTES) && this.isNeeded(first);
    const isLast = last > first && end % CHUNK_BYTES !== 0 && this.isNeeded(last);
    if (!isFirst && !isLast) return null;
    return this.#fetchAll([...(isFirst ? [first] : []), ...(isLast ? [last] : [])], false);
  }

  /** Whether the chunk is still the origin's, and may be there. */
  isNeeded(index: number): boolean {
    return this.#chunks.stateAt(index) === STATE_ORIGIN && !this.isAbsent(index);
  }

  /** Fetches chunks that nobody waits for, behind those that somebody does, and keeps them. Rejects with DeviceError. */
  async hydrate(indexes: readonly number[]): Promise<void> {
    await this.#fetches.fetchInBackground(indexes.filter((index) => this.isNeeded(index)));
  }

  /** Nothing is on its way. */
  get isIdle(): boolean {
    return this.#fetches.isIdle;
  }

  /** Whether nothing is to be fetched; once it is so, it stays so. Looks at every chunk, in turns with others. Rejects with DeviceError. */
  async isWhole(signal: AbortSignal): Promise<boolean> {
    for (let index = 0; index < this.#chunkCount; index += 1) {
      if (index % PRESENCE_PAGE_CHUNKS === 0) {
        await setImmediate();
        if (signal.aborted) return false;
        await this.learn(index);
      }
      if (this.isNeeded(index)) return false;
    }
    return true;
  }

  /** Nothing of the origin is wanted any more: what is not in the volume is zeros. */
  detach(): void {
    assert(this.#fetches.isIdle, 'nothing is fetched from an origin that is let go');
    this.#presence = new ChunkPresence({ chunkCount: 0, list: nothingThere });
    this.onNeeded = null;
  }

  /** Those who wait are told ESHUTDOWN. Resolves when nothing is written to any slot any more. */
  async close(): Promise<void> {
    await this.#fetches.close();
  }

  async #fetchAll(indexes: readonly number[], isRead: boolean): Promise<FetchedChunks> {
    const unknown = indexes.filter((index) => this.presenceAt(index) === 'unknown');
    if (unknown.length > 0) await Promise.all(unknown.map((index) => this.learn(index)));
    const needed = unknown.length === 0 ? indexes : indexes.filter((index) => this.isNeeded(index));
    const fetching = this.#fetches.fetch(needed, isRead);
    for (const index of needed) this.onNeeded?.(index);
    if (isRead) for (const index of needed) this.#goAhead(index);
    const fetched = await Promise.all(fetching);
    const chunks = new Map<number, Uint8Array | null>();
    for (const [at, bytes] of fetched.entries()) {
      if (bytes !== 'kept') chunks.set(needed[at] as number, bytes);
    }
    return chunks;
  }

  /** Ahead goes only what surely is there. Its reader is taken to need it: it does not ask for what is here in time. */
  #goAhead(read: number): void {
    const { first, end } = this.#readAhead.after(read);
    for (let index = first; index < Math.min(end, this.#chunkCount); index += 1) {
      if (this.presenceAt(index) !== 'present' || !this.isNeeded(index)) continue;
      this.#fetches.ahead([index]);
      this.onNeeded?.(index);
    }
  }
}

const nothingThere: ListPresent = async () => ({ present: [], next: null });
