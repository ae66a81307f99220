import { setMaxListeners } from 'node:events';

import { assert, present } from '#base/assert.ts';
import { DeviceError } from '#block/device.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import type { OriginChunk, ReadOrigin } from './origin-source.ts';
import type { ChunkPlace } from './origin-source.ts';

/** Chunks that are asked for together: written one after another, they mostly lie side by side in the store. */
const FETCH_COUNT_MAX = 8;
/**
 * Chunks that one device fetches at once: enough that one batch is read while others are opened. Each costs up to half a MiB
 * while it is read; a request that needs more waits for its own.
 */
export const FETCHES_MAX = 24;
/** Of them, those that nobody asked for: what somebody asks for next finds a place. */
const UNASKED_FETCHES_MAX = 16;

/** Where fetched chunks are kept. None of it throws. */
export interface ChunkKeeper {
  /** Room for a chunk that may be written from outside until `keep` or `giveUp`; null: it is to be answered instead. */
  reserve(): KeptPlace | null;
  /** It is there: in its place, or these bytes. False when it could not be kept. The place is the keeper's again. */
  keep(index: number, place: KeptPlace | null, bytes: Uint8Array | null): boolean;
  giveUp(place: KeptPlace): void;
}

/** `id` is the keeper's own. */
export interface KeptPlace {
  readonly id: number;
  readonly at: ChunkPlace;
}

/** The bytes of a chunk; null: nothing is there; 'kept': it is where the keeper keeps it, and the bytes are not at hand. */
export type Fetched = Uint8Array | null | 'kept';

interface Fetch {
  readonly index: number;
  /** Whether the keeper gets it. */
  readonly keep: boolean;
  /** Somebody waits for it. */
  isAsked: boolean;
  readonly ended: PromiseWithResolvers<Fetched>;
}

/**
 * Fetches of one device: each chunk once, however many wait for it; so many at a time, a few together; what somebody waits
 * for before what is only fetched ahead.
 *
 *   asked or ahead → waiting → in a batch → kept or not → answered
 *
 * A fetch that fails rejects for those who wait, with DeviceError; the next one tries again.
 */
export class ChunkFetches {
  readonly #read: ReadOrigin;
  readonly #keeper: ChunkKeeper | null;
  readonly #fetches = new Map<number, Fetch>();
  /** Not begun, in the order in which they were asked for. */
  readonly #asked = new Map<number, Fetch>();
  readonly #unasked = new Map<number, Fetch>();
  readonly #closing = new AbortController();
  /** Batches that may still write to places. */
  readonly #placing = new Set<Promise<unknown>>();
  #count = 0;
  #isDispatching = false;
  #askedCount = 0;

  constructor(options: { readonly read: ReadOrigin; readonly keeper: ChunkKeeper | null }) {
    this.#read = options.read;
    this.#keeper = options.keeper;
    setMaxListeners(0, this.#closing.signal);
  }

  /** Somebody waits for a chunk. */
  get isAsked(): boolean {
    return this.#askedCount > 0;
  }

  /** Nothing is on its way, and nobody waits. */
  get isIdle(): boolean {
    return this.#fetches.size === 0 && this.#count === 0;
  }

  has(index: number): boolean {
    return this.#fetches.has(index);
  }

  /** Chunks that somebody waits for. `keep`: the keeper gets them. Rejects with DeviceError. */
  fetch(indexes: readonly number[], keep: boolean): Promise<Fetched>[] {
    const fetches = indexes.map((index) => this.#ask(index, keep));
    this.#dispatchSoon();
    return fetches;
  }

  /** Chunks that the keeper is to have; nobody waits. What is on its way already is left as it is. */
  ahead(indexes: Iterable<number>): void {
    for (const index of indexes)
      if (!this.#fetches.has(index)) this.#unasked.set(index, this.#make(index, true, false));
    this.#dispatchSoon();
  }

  /** As `ahead`, and resolves when they are there or failed; rejects with the first DeviceError. */
  async fetchInBackground(indexes: readonly number[]): Promise<void> {
    this.ahead(indexes);
    const fetches = indexes.map((index) => this.#fetches.get(index)).filter((fetch) => fetch !== undefined);
    await Promise.all(fetches.map(({ ended }) => ended.promise));
  }

  /** Those who wait are told ESHUTDOWN; resolves when nothing is written to any place any more. */
  async close(): Promise<void> {
    const closed = new DeviceError('ESHUTDOWN', 'the device is closed');
    this.#closing.abort(closed);
    this.#asked.clear();
    this.#unasked.clear();
    for (const { ended } of this.#fetches.values()) ended.reject(closed);
    this.#fetches.clear();
    await Promise.all(this.#placing);
  }

  #ask(index: number, keep: boolean): Promise<Fetched> {
    let fetch = this.#fetches.get(index);
    if (fetch === undefined) {
      fetch = this.#make(index, keep, true);
      this.#asked.set(index, fetch);
    } else if (!fetch.isAsked) {
      fetch.isAsked = true;
      this.#askedCount += 1;
      if (this.#unasked.delete(index)) this.#asked.set(index, fetch);
    }
    return fetch.ended.promise;
  }

  #make(index: number, keep: boolean, isAsked: boolean): Fetch {
    const fetch: Fetch = { index, keep, isAsked, ended: Promise.withResolvers() };
    fetch.ended.promise.catch(() => {}); // There may be nobody who waits.
    if (this.#closing.signal.aborted) fetch.ended.reject(this.#closing.signal.reason);
    if (isAsked) this.#askedCount += 1;
    this.#fetches.set(index, fetch);
    return fetch;
  }

  /** What is asked for in one go is fetched in one go. */
  #dispatchSoon(): void {
    if (this.#isDispatching) return;
    this.#isDispatching = true;
    queueMicrotask(() => {
      this.#isDispatching = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    while (!this.#closing.signal.aborted) {
      const waiting = this.#asked.size > 0 ? this.#asked : this.#unasked;
      const room = (waiting === this.#asked ? FETCHES_MAX : UNASKED_FETCHES_MAX) - this.#count;
      // Not one by one as places become free: a batch costs little more than a chunk.
      if (waiting.size === 0 || room < Math.min(waiting.size, FETCH_COUNT_MAX)) return;
      const batch = takeBatch(waiting, FETCH_COUNT_MAX);
      this.#count += batch.length;
      this.#begin(batch, waiting === this.#unasked);
    }
  }

  #begin(batch: readonly Fetch[], background: boolean): void {
    const places = batch.map(({ keep }) => (keep ? (this.#keeper?.reserve() ?? null) : null));
    const wanted = batch.map(({ index }, at) => ({ index, place: places[at]?.at ?? null }));
    const answers = this.#read(wanted, { background, signal: this.#closing.signal });
    const ended = Promise.all(
      batch.map((fetch, at) => this.#end(fetch, places[at] ?? null, present(answers[at], 'a chunk is answered'))),
    );
    if (!places.some((place) => place !== null)) return;
    this.#placing.add(ended);
    void ended.finally(() => this.#placing.delete(ended));
  }

  async #end(fetch: Fetch, place: KeptPlace | null, answer: Promise<OriginChunk | null>): Promise<void> {
    try {
      const fetched = this.#keep(fetch, place, await orGiveUp(answer, this.#keeper, place));
      fetch.ended.resolve(fetched === undefined ? await this.#readAgain(fetch.index) : fetched);
    } catch (error) {
      const { aborted, reason } = this.#closing.signal;
      const message = `fetch chunk ${fetch.index}`;
      fetch.ended.reject(aborted ? reason : new DeviceError('EIO', message, { cause: error }));
    } finally {
      this.#settle(fetch);
    }
  }

  /** Undefined when it was written to its place and could not be kept there: its bytes are gone. */
  #keep(fetch: Fetch, place: KeptPlace | null, chunk: OriginChunk | null): Fetched | undefined {
    const keeper = this.#keeper;
    if (chunk === null || keeper === null || !fetch.keep || this.#closing.signal.aborted) {
      if (place !== null) keeper?.giveUp(place);
      if (chunk?.kind === 'placed') return undefined;
      return chunk === null ? null : whole(chunk.bytes);
    }
    if (chunk.kind === 'placed') return keeper.keep(fetch.index, place, null) ? 'kept' : undefined;
    keeper.keep(fetch.index, place, whole(chunk.bytes));
    return chunk.bytes;
  }

  async #readAgain(index: number): Promise<Uint8Array | null> {
    const [answer] = this.#read([{ index, place: null }], { background: false, signal: this.#closing.signal });
    const chunk = await present(answer, 'a chunk is answered');
    assert(chunk?.kind !== 'placed', 'what has no place is answered');
    return chunk === null ? null : whole(chunk.bytes);
  }

  #settle(fetch: Fetch): void {
    if (this.#fetches.get(fetch.index) === fetch) this.#fetches.delete(fetch.index);
    if (fetch.isAsked) this.#askedCount -= 1;
    this.#count -= 1;
    this.#dispatchSoon();
  }
}

async function orGiveUp<R>(answer: Promise<R>, keeper: ChunkKeeper | null, place: KeptPlace | null): Promise<R> {
  try {
    return await answer;
  } catch (error) {
    if (place !== null) keeper?.giveUp(place);
    throw error;
  }
}

/** The one that waits longest and those right behind it, then the next that waits longest, and so on. */
function takeBatch(waiting: Map<number, Fetch>, countMax: number): readonly Fetch[] {
  const batch: Fetch[] = [];
  for (const first of waiting.values()) {
    for (let fetch: Fetch | undefined = first; fetch !== undefined && batch.length < countMax;) {
      waiting.delete(fetch.index);
      batch.push(fetch);
      fetch = waiting.get(fetch.index + 1);
    }
    if (batch.length >= countMax) break;
  }
  return batch;
}

function whole(bytes: Uint8Array): Uint8Array {
  assert(bytes.length === CHUNK_BYTES, 'a chunk of the origin is whole');
  return bytes;
}
