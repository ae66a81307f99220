import { CHUNK_BYTES } from '#domain/geometry.ts';

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** What of one snapshot or volume a damage affects. */
export interface Affected {
  readonly kind: 'snapshot' | 'volume';
  readonly id: string;
  /** Ascending, at most RANGES_MAX; `rangeCount` says how many there are. */
  readonly ranges: readonly ByteRange[];
  readonly rangeCount: number;
  readonly bytes: number;
}

/** Ranges of one damage and snapshot that are listed; more are counted. */
export const RANGES_MAX = 1000;

export interface Damage {
  /**
   * pack: header, footer or trailer · record: a chunk, delta or tree node · missing: records that something needs and no
   * pack has · manifest · repository: the key check · index-id.
   */
  readonly what: 'pack' | 'record' | 'missing' | 'manifest' | 'repository' | 'index-id';
  /** Object key; of `missing` empty. */
  readonly object: string;
  /** Bytes in the object; null: all of it, or not known. */
  readonly place: ByteRange | null;
  readonly message: string;
  /** False: what it affects can still be read, or be brought back from another copy, as the message says. */
  readonly lost: boolean;
  /** Empty: nothing live. */
  readonly affects: readonly Affected[];
}

export interface VerifyCounts {
  readonly packs: number;
  readonly records: number;
  readonly chunks: number;
  readonly deltas: number;
  readonly nodes: number;
  readonly snapshots: number;
  /** Records under data keys: they are whole as sealed, and what is in them was not looked at. */
  readonly underDataKeys: number;
}

export interface VerifyReport {
  readonly counts: VerifyCounts;
  /** Of the objects that were read. */
  readonly bytes: number;
  /** The first DAMAGES_MAX of them. */
  readonly damages: readonly Damage[];
  readonly damageCount: number;
  /** Keys of objects that are none of a store's: the first of them. They are no damage. */
  readonly strangers: readonly string[];
}

/** Damages that are told of one by one; more are counted. */
export const DAMAGES_MAX = 10_000;

export interface VerifyProgress {
  readonly phase: 'packs' | 'chunks' | 'trees';
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly damageCount: number;
}

/** Ranges of chunks, given in any order, kept joined; of too many only the count. */
export class RangeList {
  readonly #ranges: { start: number; end: number }[] = [];
  #rangeCount = 0;
  #chunkCount = 0;

  /** Chunks [start, end); not before the last one that was added. */
  add(start: number, end: number): void {
    const last = this.#ranges.at(-1);
    if (last !== undefined && this.#rangeCount === this.#ranges.length && start <= last.end) {
      this.#chunkCount += Math.max(0, end - last.end);
      last.end = Math.max(last.end, end);
      return;
    }
    this.#chunkCount += end - start;
    this.#rangeCount += 1;
    if (this.#ranges.length < RANGES_MAX) this.#ranges.push({ start, end });
  }

  affected(kind: Affected['kind'], id: string): Affected {
    return {
      kind,
      id,
      ranges: this.#ranges.map(({ start, end }) => ({
        offset: start * CHUNK_BYTES,
        length: (end - start) * CHUNK_BYTES,
      })),
      rangeCount: this.#rangeCount,
      bytes: this.#chunkCount * CHUNK_BYTES,
    };
  }
}
