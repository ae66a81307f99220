import { assert } from '#base/assert.ts';
import type { Epoch } from '#domain/ids.ts';

import { EpochCounts } from './epoch-counts.ts';
import { addBlocks, beginPartial, PARTIAL_WORDS } from './partials.ts';

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
/** Added to the state of a slot that is partial: partials.ts. */
export const PARTIAL = 0x8000_0000;

/** What the descriptions of partial slots of a volume may take: this, and as much again for each 512 GiB. Where there is no room for one, a chunk is copied whole. */
const PARTIAL_BYTES_MIN = 16 * 1024 * 1024;
const CHUNKS_PER_SHARE = 1024 * 1024;
const PARTIAL_PAGE_BYTES = PAGE_CHUNKS * PARTIAL_WORDS * 4;

/** The slot of a state, partial or not; negative when it is none. */
export function slotOf(state: number): number {
  return (state & 0x7fff_ffff) - SLOT_BASE;
}

/** State and epoch of PAGE_CHUNKS chunks, interleaved. */
export interface MapPage {
  readonly words: Uint32Array<ArrayBuffer>;
  /** PARTIAL_WORDS for each chunk, of those that are partial; null: none is. */
  partials: Uint32Array<ArrayBuffer> | null;
  partialCount: number;
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
  /** `partials`: PARTIAL_WORDS for each entry; null: none is partial. */
  saveFrozenPage(
    epoch: Epoch,
    pageIndex: number,
    words: Uint32Array<ArrayBuffer>,
    partials: Uint32Array<ArrayBuffer> | null,
  ): void;
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
  #partialPagesHeld = 0;
  #partialCount = 0;

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
    return this.#pagesHeld * PAGE_WORDS * 4 + this.#partialCount * (PARTIAL_WORDS + 1) * 4;
  }

  /** Chunks in partial slots. */
  get partialCount(): number {
    return this.#partialCount;
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

  /** The slot that has all of the chunk; negative when there is none. */
  wholeSlotAt(index: number): number {
    const page = this.#pages[index >>> PAGE_SHIFT];
    if (page === null || page === undefined) return -1;
    // As a signed number, the state of a partial slot is negative.
    return ((page.words[(index & PAGE_MASK) << 1] as number) | 0) - SLOT_BASE;
  }

  /** The slot that has all of the chunk when it came there in `epoch`, so that it may be written in place; negative otherwise. */
  slotOfEpoch(index: number, epoch: Epoch): number {
    const page = this.#pages[index >>> PAGE_SHIFT];
    if (page === null || page === undefined) return -1;
    const at = (index & PAGE_MASK) << 1;
    return page.words[at + 1] === epoch ? ((page.words[at] as number) | 0) - SLOT_BASE : -1;
  }

  /** As `slotOfEpoch`, also a partial one. */
  ownSlotOfEpoch(index: number, epoch: Epoch): number {
    return this.epochAt(index) === epoch ? slotOf(this.stateAt(index)) : -1;
  }

  isPartial(index: number): boolean {
    return this.stateAt(index) >= PARTIAL;
  }

  /** What describes the chunk's partial slot is at `partialOffset` of it; null when it has none. */
  partialsOf(index: number): Uint32Array<ArrayBuffer> | null {
    return this.isPartial(index) ? (this.#pages[index >>> PAGE_SHIFT]?.partials ?? null) : null;
  }

  /** Whether there is room to describe one more. */
  admitsPartial(index: number): boolean {
    const page = this.#pages[index >>> PAGE_SHIFT];
    if ((page?.partials ?? null) !== null) return true;
    const bytesMax = PARTIAL_BYTES_MIN * (1 + Math.floor(this.chunkCount / CHUNKS_PER_SHARE));
    return (this.#partialPagesHeld + 1) * PARTIAL_PAGE_BYTES <= bytesMax;
  }

  /** Puts the chunk into a partial slot, without blocks yet, above the one in which it was. */
  setPartial(index: number, slot: number, epoch: Epoch): void {
    const under = this.wholeSlotAt(index);
    assert(under >= 0 && under !== slot, 'a partial slot is above a whole one');
    this.set(index, slot + SLOT_BASE + PARTIAL, epoch);
    const partials = this.#partialsForOneMore(index >>> PAGE_SHIFT);
    beginPartial(partials, partialOffset(index), under);
  }

  /** Blocks [first, first + count) of the chunk are in its partial slot. */
  addBlocks(index: number, first: number, count: number): void {
    const { partials } = this.#changing(index >>> PAGE_SHIFT);
    assert(partials !== null && this.isPartial(index), 'blocks come into a partial slot');
    addBlocks(partials, partialOffset(index), first, count);
  }

  set(index: number, state: number, epoch: Epoch): void {
    assert(index < this.chunkCount, 'a chunk is inside the volume');
    const page = this.#changing(index >>> PAGE_SHIFT);
    const at = (index & PAGE_MASK) << 1;
    if ((page.words[at] as number) >= PARTIAL) this.#dropPartial(page);
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

  /** Puts what describes a partial slot of a checkpoint in place: of a chunk of a page that is there. */
  loadPartial(index: number, words: Uint32Array<ArrayBuffer>): void {
    assert(this.isPartial(index) && words.length === PARTIAL_WORDS, 'only a partial slot is described');
    this.#partialsForOneMore(index >>> PAGE_SHIFT).set(words, partialOffset(index));
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
    this.#pages[pageIndex] = { words, partials: null, partialCount: 0, epochMax, stamp: this.#watch.stamp };
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
    const page = { words, partials: null, partialCount: 0, epochMax: 0, stamp: this.#watch.stamp };
    this.#pages[pageIndex] = page;
    this.#pagesHeld += 1;
    return page;
  }

  #partialsForOneMore(pageIndex: number): Uint32Array<ArrayBuffer> {
    const page = this.#changing(pageIndex);
    if (page.partials === null) {
      page.partials = new Uint32Array(PAGE_CHUNKS * PARTIAL_WORDS);
      this.#partialPagesHeld += 1;
    }
    page.partialCount += 1;
    this.#partialCount += 1;
    return page.partials;
  }

  #dropPartial(page: MapPage): void {
    page.partialCount -= 1;
    this.#partialCount -= 1;
    if (page.partialCount > 0) return;
    page.partials = null;
    this.#partialPagesHeld -= 1;
  }
}

/** Where a chunk is in the `partials` of its page. */
export function partialOffset(index: number): number {
  return (index & PAGE_MASK) * PARTIAL_WORDS;
}
