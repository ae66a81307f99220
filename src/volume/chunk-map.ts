import { assert } from '#base/assert.ts';
import type { Epoch } from '#domain/ids.ts';

import { EpochCounts } from './epoch-counts.ts';

/** Entries of a page: 32 KiB, so that saving one takes microseconds, and a 16 TiB map has 8,192 of them. */
export const PAGE_CHUNKS = 4096;
const PAGE_SHIFT = 12;
const PAGE_MASK = PAGE_CHUNKS - 1;
export const PAGE_WORDS = PAGE_CHUNKS * 2;

/** The chunk is all zeros and lies nowhere. */
export const STATE_ZERO = 0;
/** The chunk is what the origin has; not fetched yet. */
export const STATE_ORIGIN = 1;
/** States from here on are slots: state − SLOT_BASE. */
export const SLOT_BASE = 2;

/** State and epoch of PAGE_CHUNKS chunks, interleaved. */
export interface MapPage {
  readonly words: Uint32Array<ArrayBuffer>;
  /** No entry has a higher one. */
  epochMax: Epoch;
  /** The checkpoint that has it, or for which it is too new: PageWatch.stamp. */
  stamp: number;
}

/**
 * How a checkpoint sees the map of one instant while the map goes on changing: whoever is about to change a page that is
 * not of the current stamp yet hands it to the saver first.
 */
export interface PageWatch {
  stamp: number;
  saver: PageSaver | null;
}

export interface PageSaver {
  savePage(pageIndex: number, page: MapPage): void;
  saveFrozenPage(epoch: Epoch, pageIndex: number, words: Uint32Array<ArrayBuffer>): void;
}

/**
 * For each chunk: where it is (state) and the epoch in which it came there. Pages are made when something in them differs
 * from the beginning: origin below `originCount`, zero above, epoch 0.
 */
export class ChunkMap {
  chunkCount: number;
  pageCount: number;
  readonly counts = new EpochCounts();
  readonly #originCount: number;
  readonly #pages: (MapPage | null)[];
  readonly #watch: PageWatch;
  #pagesHeld = 0;

  constructor(options: { readonly chunkCount: number; readonly originCount: number; readonly watch: PageWatch }) {
    assert(options.originCount <= options.chunkCount, 'an origin is not larger than its volume');
    this.chunkCount = options.chunkCount;
    this.pageCount = Math.ceil(options.chunkCount / PAGE_CHUNKS);
    this.#originCount = options.originCount;
    this.#pages = Array.from<MapPage | null>({ length: this.pageCount }).fill(null);
    this.#watch = options.watch;
  }

  /** Bytes of the pages held, as in a checkpoint. */
  get pageBytes(): number {
    return this.#pagesHeld * PAGE_WORDS * 4;
  }

  /** The volume is larger from now on; what is added is zeros. */
  grow(chunkCount: number): void {
    assert(chunkCount >= this.chunkCount, 'a volume grows');
    this.chunkCount = chunkCount;
    this.pageCount = Math.ceil(chunkCount / PAGE_CHUNKS);
    while (this.#pages.length < this.pageCount) this.#pages.push(null);
  }

  stateAt(index: number): number {
    const page = this.#pages[index >>> PAGE_SHIFT];
    if (page === null || page === undefined) return index < this.#originCount ? STATE_ORIGIN : STATE_ZERO;
    return page.words[(index & PAGE_MASK) << 1] as number;
  }

  epochAt(index: number): Epoch {
    const page = this.#pages[index >>> PAGE_SHIFT];
    if (page === null || page === undefined) return 0;
    return page.words[((index & PAGE_MASK) << 1) + 1] as number;
  }

  /** The slot of the chunk when it came there in `epoch`, so that it may be written in place; −1 otherwise. */
  slotOfEpoch(index: number, epoch: Epoch): number {
    const page = this.#pages[index >>> PAGE_SHIFT];
    if (page === null || page === undefined) return -1;
    const at = (index & PAGE_MASK) << 1;
    return page.words[at + 1] === epoch ? (page.words[at] as number) - SLOT_BASE : -1;
  }

  set(index: number, state: number, epoch: Epoch): void {
    assert(index < this.chunkCount, 'a chunk is inside the volume');
    const page = this.#changing(index >>> PAGE_SHIFT);
    const at = (index & PAGE_MASK) << 1;
    this.#count(page.words[at] as number, page.words[at + 1] as number, -1);
    this.#count(state, epoch, 1);
    page.words[at] = state;
    page.words[at + 1] = epoch;
    if (epoch > page.epochMax) page.epochMax = epoch;
  }

  pageAt(pageIndex: number): MapPage | null {
    return this.#pages[pageIndex] ?? null;
  }

  /** The first chunk from `index` on, below `until`, that may have another state than `state` has: skips pages that were never made. */
  skip(index: number, until: number, state: number): number {
    let at = index;
    while (at < until && this.#pages[at >>> PAGE_SHIFT] === null) {
      if (this.stateAt(at) !== state) return at;
      const pageEnd = ((at >>> PAGE_SHIFT) + 1) * PAGE_CHUNKS;
      at = Math.min(until, pageEnd, state === STATE_ORIGIN ? this.#originCount : Infinity);
    }
    return at;
  }

  /** Puts a page of a checkpoint in place. */
  load(pageIndex: number, words: Uint32Array<ArrayBuffer>): void {
    assert(this.#pages[pageIndex] === null && words.length === PAGE_WORDS, 'a page is loaded once, whole');
    let epochMax = 0;
    for (let at = 0; at < PAGE_WORDS; at += 2) {
      const epoch = words[at + 1] as number;
      this.#count(words[at] as number, epoch, 1);
      if (epoch > epochMax) epochMax = epoch;
    }
    this.#pages[pageIndex] = { words, epochMax, stamp: this.#watch.stamp };
    this.#pagesHeld += 1;
  }

  /** What the volume was made with is not counted. */
  #count(state: number, epoch: Epoch, count: number): void {
    if (epoch > 0 || state >= SLOT_BASE) this.counts.add(epoch, count);
  }

  #changing(pageIndex: number): MapPage {
    const page = this.#pages[pageIndex];
    if (page === null || page === undefined) return this.#make(pageIndex);
    if (page.stamp !== this.#watch.stamp) {
      this.#watch.saver?.savePage(pageIndex, page);
      page.stamp = this.#watch.stamp;
    }
    return page;
  }

  #make(pageIndex: number): MapPage {
    const words = new Uint32Array(PAGE_WORDS);
    const origins = Math.min(PAGE_CHUNKS, this.#originCount - pageIndex * PAGE_CHUNKS);
    for (let chunk = 0; chunk < origins; chunk += 1) words[chunk << 1] = STATE_ORIGIN;
    const page = { words, epochMax: 0, stamp: this.#watch.stamp };
    this.#pages[pageIndex] = page;
    this.#pagesHeld += 1;
    return page;
  }
}
