import { assert } from '#base/assert.ts';
import type { AccountRoot } from '#snapshot/holds.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';

/**
 * Lists the chunks that are there in [start, end), ascending. `next`: the first that is there at `end` or after it, null
 * when there is none.
 */
export type ListPresent = (start: number, end: number) => Promise<PresentChunks>;

export interface PresentChunks {
  readonly present: readonly number[];
  readonly next: number | null;
}

export type Presence = 'present' | 'absent' | 'unknown';

/** Chunks that are looked up together: 2 GiB, which are 16 leaves of a snapshot's tree where it is full, so milliseconds. */
export const PRESENCE_PAGE_CHUNKS = 4096;

const UNKNOWN = 0;
const KNOWN = 1;
/** Nothing is there in the whole page. */
const EMPTY = 2;

/**
 * Which chunks a snapshot holds, as one bit a chunk (16 TiB: 4 MiB), learned a page at a time when somebody asks. What is
 * there never changes, so what was learned stays true. A listing also tells how far the emptiness behind its page reaches:
 * a snapshot with little in it is known after a few.
 */
export class ChunkPresence {
  readonly #chunkCount: number;
  readonly #list: ListPresent;
  readonly #bits: Uint8Array;
  readonly #pages: Uint8Array;
  readonly #loading = new Map<number, Promise<void>>();

  constructor(options: { readonly chunkCount: number; readonly list: ListPresent }) {
    this.#chunkCount = options.chunkCount;
    this.#list = options.list;
    this.#bits = new Uint8Array(Math.ceil(options.chunkCount / 8));
    this.#pages = new Uint8Array(Math.ceil(options.chunkCount / PRESENCE_PAGE_CHUNKS));
  }

  /** What is known of a chunk; beyond the snapshot nothing is there. */
  at(index: number): Presence {
    if (index >= this.#chunkCount) return 'absent';
    const page = this.#pages[pageOf(index)];
    if (page === UNKNOWN) return 'unknown';
    return ((this.#bits[index >>> 3] ?? 0) & (1 << (index & 7))) === 0 ? 'absent' : 'present';
  }

  /** The first chunk from `index` on, at most `until`, that is not in a page known to be empty. */
  skipEmpty(index: number, until: number): number {
    let at = index;
    while (at < until && (at >= this.#chunkCount || this.#pages[pageOf(at)] === EMPTY)) {
      at = at >= this.#chunkCount ? until : Math.min(until, (pageOf(at) + 1) * PRESENCE_PAGE_CHUNKS);
    }
    return at;
  }

  /** Learns the page of a chunk; one listing, however many wait for it. Rejects as the listing does; the next call tries again. */
  load(index: number): Promise<void> {
    assert(index < this.#chunkCount, 'what is beyond the snapshot is known');
    const page = pageOf(index);
    let loading = this.#loading.get(page);
    if (loading === undefined) {
      loading = this.#loadNow(page).finally(() => this.#loading.delete(page));
      this.#loading.set(page, loading);
    }
    return loading;
  }

  async #loadNow(page: number): Promise<void> {
    if (this.#pages[page] !== UNKNOWN) return;
    const start = page * PRESENCE_PAGE_CHUNKS;
    const end = Math.min(start + PRESENCE_PAGE_CHUNKS, this.#chunkCount);
    const { present, next } = await this.#list(start, end);
    for (const index of present) {
      assert(index >= start && index < end, 'a listing keeps to its range');
      this.#bits[index >>> 3] = (this.#bits[index >>> 3] ?? 0) | (1 << (index & 7));
    }
    this.#pages[page] = present.length === 0 ? EMPTY : KNOWN;
    assert(next === null || (next >= end && next < this.#chunkCount), 'what comes next lies behind the range');
    // A page that was learned meanwhile was found as empty as it is here.
    this.#pages.fill(EMPTY, page + 1, next === null ? this.#pages.length : pageOf(next));
  }
}

/** `ListPresent` of a root in the store. Rejects with what the store says. */
export async function presentChunks(
  store: Pick<SnapshotStore, 'listRoot'>,
  { account, root }: AccountRoot,
  start: number,
  end: number,
): Promise<PresentChunks> {
  const { blocks, next } = await store.listRoot(account, root, start, end - start, end);
  return { present: blocks.map(({ index }) => index), next };
}

function pageOf(index: number): number {
  return Math.floor(index / PRESENCE_PAGE_CHUNKS);
}
