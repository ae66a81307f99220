import { assert } from '#base/assert.ts';
import type { CutId, Epoch } from '#domain/ids.ts';

import { PAGE_CHUNKS, type PageWatch } from './chunk-map.ts';
import { EpochCounts } from './epoch-counts.ts';

/** Index, state, epoch. */
export const FROZEN_WORDS = 3;
const CAPACITY_FIRST = 4;

interface FrozenPage {
  words: Uint32Array<ArrayBuffer>;
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

  constructor(cut: CutId, epoch: Epoch, watch: PageWatch) {
    this.cut = cut;
    this.epoch = epoch;
    this.#watch = watch;
  }

  get isEmpty(): boolean {
    return this.#pages.size === 0;
  }

  add(index: number, state: number, epoch: Epoch): void {
    assert(epoch > 0 && epoch <= this.epoch, 'a cut freezes what was written before it');
    const page = this.#growing(Math.floor(index / PAGE_CHUNKS));
    const at = page.count * FROZEN_WORDS;
    page.words[at] = index;
    page.words[at + 1] = state;
    page.words[at + 2] = epoch;
    page.count += 1;
    this.counts.add(epoch, 1);
  }

  /** The entries of a page of the map, three words each. */
  pageAt(pageIndex: number): Uint32Array<ArrayBuffer> | null {
    const page = this.#pages.get(pageIndex);
    return page === undefined ? null : page.words.subarray(0, page.count * FROZEN_WORDS);
  }

  /** Takes any page out of the table; null when it is empty. */
  take(): Uint32Array<ArrayBuffer> | null {
    const next = this.#pages.entries().next();
    if (next.done === true) return null;
    const [pageIndex, page] = next.value;
    this.#save(pageIndex, page);
    this.#pages.delete(pageIndex);
    const words = page.words.subarray(0, page.count * FROZEN_WORDS);
    for (let at = 2; at < words.length; at += FROZEN_WORDS) this.counts.add(words[at] as number, -1);
    return words;
  }

  /** Hands every page that the saver does not have to it, a page at each step. */
  *save(): Generator<void> {
    for (const [pageIndex, page] of this.#pages) {
      if (page.stamp === this.#watch.stamp) continue;
      this.#save(pageIndex, page);
      yield;
    }
  }

  /** Puts a page of a checkpoint in place. */
  load(pageIndex: number, words: Uint32Array<ArrayBuffer>): void {
    assert(!this.#pages.has(pageIndex) && words.length % FROZEN_WORDS === 0, 'a page is loaded once, whole');
    this.#pages.set(pageIndex, { words, count: words.length / FROZEN_WORDS, stamp: this.#watch.stamp });
    for (let at = 2; at < words.length; at += FROZEN_WORDS) this.counts.add(words[at] as number, 1);
  }

  /** The pages that are there, by their index. */
  pageIndexes(): IterableIterator<number> {
    return this.#pages.keys();
  }

  #growing(pageIndex: number): FrozenPage {
    let page = this.#pages.get(pageIndex);
    if (page === undefined) {
      page = { words: new Uint32Array(CAPACITY_FIRST * FROZEN_WORDS), count: 0, stamp: this.#watch.stamp };
      this.#pages.set(pageIndex, page);
      return page;
    }
    this.#save(pageIndex, page);
    if (page.count * FROZEN_WORDS === page.words.length) {
      assert(page.count < PAGE_CHUNKS, 'no chunk is frozen twice for one cut');
      const grown = new Uint32Array(Math.min(PAGE_CHUNKS, page.count * 2) * FROZEN_WORDS);
      grown.set(page.words);
      page.words = grown;
    }
    return page;
  }

  #save(pageIndex: number, page: FrozenPage): void {
    if (page.stamp === this.#watch.stamp) return;
    const words = page.words.subarray(0, page.count * FROZEN_WORDS);
    this.#watch.saver?.saveFrozenPage(this.epoch, pageIndex, words);
    page.stamp = this.#watch.stamp;
  }
}
