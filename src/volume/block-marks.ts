import { assert } from '#base/assert.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { Epoch } from '#domain/ids.ts';

import { PAGE_CHUNKS } from './chunk-map.ts';

const PAGE_SHIFT = Math.log2(PAGE_CHUNKS);
const PAGE_MASK = PAGE_CHUNKS - 1;
const BLOCK_SHIFT = Math.log2(BLOCK_BYTES);
/** Words of a set of blocks: one bit a block. */
export const SET_WORDS = CHUNK_BYTES / BLOCK_BYTES / 32;
/** The set, and the epoch of the entry that was there before. */
export const MARK_WORDS = SET_WORDS + 1;
/** In place of an epoch: nothing is known. */
const UNKNOWN = 0xffff_ffff;
const PAGE_BYTES = PAGE_CHUNKS * MARK_WORDS * 4;

/** What the marks of a volume may take: this, and as much again for each 512 GiB. */
const BYTES_MIN = 4 * 1024 * 1024;
const CHUNKS_PER_SHARE = (512 * 1024 ** 3) / CHUNK_BYTES;

/**
 * Which blocks of a chunk were written since it came into its slot, and of which epoch the entry was that it had before:
 * between the two, nothing else of it has changed. It is a help for sealing, kept in memory only: what is not known (after a
 * start, or beyond the memory it may take) is found out by comparing.
 *
 * A mark is set before the bytes are written, so a write that fails halfway is in the set as well.
 */
export class BlockMarks {
  readonly #pages: (Uint32Array<ArrayBuffer> | null)[];
  #bytesMax: number;
  /** Of the pages, and of what the tables of cuts keep. */
  #bytes = 0;

  constructor(chunkCount: number) {
    this.#pages = Array.from<Uint32Array<ArrayBuffer> | null>({ length: Math.ceil(chunkCount / PAGE_CHUNKS) }).fill(
      null,
    );
    this.#bytesMax = bytesMaxOf(chunkCount);
  }

  /** The volume has so many chunks from now on: more than before. */
  grow(chunkCount: number): void {
    const pageCount = Math.ceil(chunkCount / PAGE_CHUNKS);
    while (this.#pages.length < pageCount) this.#pages.push(null);
    this.#bytesMax = bytesMaxOf(chunkCount);
  }

  /** The chunk came into a slot in this epoch, as it was in the entry of `before`; what is written from now on is marked. */
  begin(index: number, before: Epoch): void {
    const page = this.#pages[index >>> PAGE_SHIFT] ?? this.#make(index >>> PAGE_SHIFT);
    if (page === null) return;
    const at = (index & PAGE_MASK) * MARK_WORDS;
    page.fill(0, at, at + SET_WORDS);
    page[at + SET_WORDS] = before;
  }

  /** Bytes [within, within + length) of the chunk are about to be written. */
  mark(index: number, within: number, length: number): void {
    const page = this.#pages[index >>> PAGE_SHIFT];
    if (page === null || page === undefined) return;
    const at = (index & PAGE_MASK) * MARK_WORDS;
    const last = (within + length - 1) >>> BLOCK_SHIFT;
    for (let block = within >>> BLOCK_SHIFT; block <= last; block += 1) {
      const word = at + (block >>> 5);
      page[word] = (page[word] as number) | (1 << (block & 31));
    }
  }

  /** Takes the marks of a chunk out, whose entry is replaced; null: nothing is known. Good until the next call. */
  take(index: number): Uint32Array<ArrayBuffer> | null {
    const page = this.#pages[index >>> PAGE_SHIFT];
    if (page === null || page === undefined) return null;
    const at = (index & PAGE_MASK) * MARK_WORDS;
    if (page[at + SET_WORDS] === UNKNOWN) return null;
    taken.set(page.subarray(at, at + MARK_WORDS));
    page[at + SET_WORDS] = UNKNOWN;
    return taken;
  }

  /** The blocks in which the chunk may differ from what it was when `since` ended; null: nothing is known. */
  changedSince(index: number, since: Epoch): Uint32Array<ArrayBuffer> | null {
    const page = this.#pages[index >>> PAGE_SHIFT];
    return page === null || page === undefined ? null : setSince(page, (index & PAGE_MASK) * MARK_WORDS, since);
  }

  /** Forgets pages; those for which `isNeeded` says no. */
  prune(isNeeded: (pageIndex: number) => boolean): void {
    for (const [pageIndex, page] of this.#pages.entries()) {
      if (page === null || isNeeded(pageIndex)) continue;
      this.#pages[pageIndex] = null;
      this.#bytes -= PAGE_BYTES;
    }
  }

  /** Whether a table may keep `bytes` more; counts them if so. */
  admit(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  /** A table keeps `bytes` less. */
  release(bytes: number): void {
    this.#bytes -= bytes;
    assert(this.#bytes >= 0, 'no more is given back than was taken');
  }

  #make(pageIndex: number): Uint32Array<ArrayBuffer> | null {
    if (!this.admit(PAGE_BYTES)) return null;
    const page = new Uint32Array(PAGE_CHUNKS * MARK_WORDS).fill(UNKNOWN);
    this.#pages[pageIndex] = page;
    return page;
  }
}

function bytesMaxOf(chunkCount: number): number {
  return BYTES_MIN * (1 + Math.floor(chunkCount / CHUNKS_PER_SHARE));
}

const taken = new Uint32Array(MARK_WORDS);

/** The set at `at` of `words`, if it says all that changed since `since` ended. */
export function setSince(words: Uint32Array<ArrayBuffer>, at: number, since: Epoch): Uint32Array<ArrayBuffer> | null {
  const before = words[at + SET_WORDS] as number;
  return before === UNKNOWN || before > since ? null : words.slice(at, at + SET_WORDS);
}

/** Writes that nothing is known. */
export function forget(words: Uint32Array<ArrayBuffer>, at: number): void {
  words[at + SET_WORDS] = UNKNOWN;
}
