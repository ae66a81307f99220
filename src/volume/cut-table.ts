import { assert } from '#base/assert.ts';
import type { CutId, Epoch } from '#domain/ids.ts';

import { type BlockMarks, forget, MARK_WORDS } from './block-marks.ts';
import { PAGE_CHUNKS, PARTIAL, type PageWatch } from './chunk-map.ts';
import { EpochCounts } from './epoch-counts.ts';
import { PARTIAL_WORDS } from './partials.ts';

/** Index, state, epoch. */
export const FROZEN_WORDS = 3;
const CAPACITY_FIRST = 4;

/** Entries of a page of the map, three words each, what describes those in partial slots, and their marks. */
export interface FrozenEntries {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly partials: Uint32Array<ArrayBuffer> | null;
  readonly marks: Uint32Array<ArrayBuffer> | null;
}

/** An entry that is added, and where in the arrays is what belongs to it. */
export interface FrozenEntry {
  readonly index: number;
  readonly state: number;
  readonly epoch: Epoch;
  /** PARTIAL_WORDS at `partialsAt`, when the entry is partial. */
  readonly partials: Uint32Array<ArrayBuffer> | null;
  readonly partialsAt: number;
  /** What BlockMarks knows of it, MARK_WORDS at `marksAt`; null: nothing. */
  readonly marks: Uint32Array<ArrayBuffer> | null;
  readonly marksAt: number;
}

interface FrozenPage {
  words: Uint32Array<ArrayBuffer>;
  /** Of each entry, what describes its partial slot, if it is in one; null: none is. */
  partials: Uint32Array<ArrayBuffer> | null;
  /** Of each entry, what BlockMarks knew of it; null: of none. */
  marks: Uint32Array<ArrayBuffer> | null;
  /** Entries in use. */
  count: number;
  stamp: number;
}

/**
 * The entries that a pending cut still needs and the map has no more: twelve bytes each, in pages by the map's pages, in
 * the order in which they came. No chunk is in it twice, so an entry is only ever added or the page taken away whole.
 */
export class CutTable {
  readonly cut: CutId;
  readonly epoch: Epoch;
  /** Not needed any more; its entries are being handed back, page by page. */
  released = false;
  readonly counts = new EpochCounts();
  readonly #pages = new Map<number, FrozenPage>();
  readonly #watch: PageWatch;
  readonly #blockMarks: BlockMarks;

  constructor(cut: CutId, epoch: Epoch, watch: PageWatch, blockMarks: BlockMarks) {
    this.cut = cut;
    this.epoch = epoch;
    this.#watch = watch;
    this.#blockMarks = blockMarks;
  }

  get isEmpty(): boolean {
    return this.#pages.size === 0;
  }

  add({ index, state, epoch, partials, partialsAt, marks, marksAt }: FrozenEntry): void {
    assert(epoch <= this.epoch, 'a cut freezes what was there before it');
    const page = this.#growing(Math.floor(index / PAGE_CHUNKS));
    const at = page.count * FROZEN_WORDS;
    page.words[at] = index;
    page.words[at + 1] = state;
    page.words[at + 2] = epoch;
    if (state >= PARTIAL) {
      assert(partials !== null, 'a partial slot is described');
      page.partials ??= new Uint32Array(capacityOf(page) * PARTIAL_WORDS);
      const to = page.count * PARTIAL_WORDS;
      for (let word = 0; word < PARTIAL_WORDS; word += 1)
        page.partials[to + word] = partials[partialsAt + word] as number;
    }
    if (marks !== null) page.marks ??= this.#newMarks(capacityOf(page));
    if (page.marks !== null) {
      const to = page.count * MARK_WORDS;
      if (marks === null) forget(page.marks, to);
      else for (let word = 0; word < MARK_WORDS; word += 1) page.marks[to + word] = marks[marksAt + word] as number;
    }
    page.count += 1;
    this.counts.add(epoch, 1);
  }

  /** The marks of the entries of a page, in their order. */
  marksAt(pageIndex: number): Uint32Array<ArrayBuffer> | null {
    return this.#pages.get(pageIndex)?.marks ?? null;
  }

  /** What describes the entries of a page that are in partial slots, in their order. */
  partialsAt(pageIndex: number): Uint32Array<ArrayBuffer> | null {
    return this.#pages.get(pageIndex)?.partials ?? null;
  }

  /** The entries of a page of the map, three words each. */
  pageAt(pageIndex: number): Uint32Array<ArrayBuffer> | null {
    const page = this.#pages.get(pageIndex);
    return page === undefined ? null : page.words.subarray(0, page.count * FROZEN_WORDS);
  }

  /** Takes any page out of the table; null when it is empty. */
  take(): FrozenEntries | null {
    const next = this.#pages.entries().next();
    if (next.done === true) return null;
    const [pageIndex, page] = next.value;
    this.#save(pageIndex, page);
    this.#pages.delete(pageIndex);
    const words = page.words.subarray(0, page.count * FROZEN_WORDS);
    for (let at = 2; at < words.length; at += FROZEN_WORDS) this.counts.add(words[at] as number, -1);
    if (page.marks !== null) this.#blockMarks.release(page.marks.byteLength);
    return { words, partials: page.partials, marks: page.marks };
  }

  /** Hands every page that the saver does not have to it, a page at each step. */
  *save(): Generator<void> {
    for (const [pageIndex, page] of this.#pages) {
      if (page.stamp === this.#watch.stamp) continue;
      this.#save(pageIndex, page);
      yield;
    }
  }

  /** Puts what describes the entry at place `at` of a page that is there. */
  loadPartial(pageIndex: number, at: number, words: Uint32Array<ArrayBuffer>): void {
    const page = this.#pages.get(pageIndex);
    assert(page !== undefined && at < page.count && words.length === PARTIAL_WORDS, 'an entry that is there');
    page.partials ??= new Uint32Array(capacityOf(page) * PARTIAL_WORDS);
    page.partials.set(words, at * PARTIAL_WORDS);
  }

  /** Puts a page of a checkpoint in place. */
  load(pageIndex: number, words: Uint32Array<ArrayBuffer>): void {
    assert(!this.#pages.has(pageIndex) && words.length % FROZEN_WORDS === 0, 'a page is loaded once, whole');
    this.#pages.set(pageIndex, {
      words,
      partials: null,
      marks: null,
      count: words.length / FROZEN_WORDS,
      stamp: this.#watch.stamp,
    });
    for (let at = 2; at < words.length; at += FROZEN_WORDS) this.counts.add(words[at] as number, 1);
  }

  /** The pages that are there, by their index. */
  pageIndexes(): IterableIterator<number> {
    return this.#pages.keys();
  }

  #growing(pageIndex: number): FrozenPage {
    let page = this.#pages.get(pageIndex);
    if (page === undefined) {
      const words = new Uint32Array(CAPACITY_FIRST * FROZEN_WORDS);
      page = { words, partials: null, marks: null, count: 0, stamp: this.#watch.stamp };
      this.#pages.set(pageIndex, page);
      return page;
    }
    this.#save(pageIndex, page);
    if (page.count * FROZEN_WORDS === page.words.length) {
      assert(page.count < PAGE_CHUNKS, 'no chunk is frozen twice for one cut');
      const grown = new Uint32Array(Math.min(PAGE_CHUNKS, page.count * 2) * FROZEN_WORDS);
      grown.set(page.words);
      page.words = grown;
      if (page.partials !== null) {
        const partials = new Uint32Array(capacityOf(page) * PARTIAL_WORDS);
        partials.set(page.partials);
        page.partials = partials;
      }
      if (page.marks !== null) this.#growMarks(page, page.marks);
    }
    return page;
  }

  #growMarks(page: FrozenPage, marks: Uint32Array<ArrayBuffer>): void {
    page.marks = this.#newMarks(capacityOf(page));
    page.marks?.set(marks);
    this.#blockMarks.release(marks.byteLength);
  }

  /** For a page with room for so many entries; null when there is no memory for it. */
  #newMarks(capacity: number): Uint32Array<ArrayBuffer> | null {
    const count = capacity * MARK_WORDS;
    if (!this.#blockMarks.admit(count * Uint32Array.BYTES_PER_ELEMENT)) return null;
    const marks = new Uint32Array(count);
    for (let at = 0; at < count; at += MARK_WORDS) forget(marks, at);
    return marks;
  }

  #save(pageIndex: number, page: FrozenPage): void {
    if (page.stamp === this.#watch.stamp) return;
    const words = page.words.subarray(0, page.count * FROZEN_WORDS);
    this.#watch.saver?.saveFrozenPage(this.epoch, pageIndex, words, page.partials);
    page.stamp = this.#watch.stamp;
  }
}

/** Entries that a page has room for. */
function capacityOf(page: FrozenPage): number {
  return page.words.length / FROZEN_WORDS;
}
