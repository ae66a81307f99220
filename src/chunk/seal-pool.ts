import type { AccountId } from '#domain/ids.ts';

import type { BlockSet } from './block-set.ts';
import type { ChunkSource } from './chunk-source.ts';
import type { ChainLink } from './unseal.ts';

/** Chunks sealed in one go: enough that a message between threads costs nothing, few enough that progress moves. */
export const BATCH_COUNT_MAX = 8;

/** A chunk to read, and what is known of it. */
export interface SealSource extends ChunkSource {
  /** Whose chunk's digests are to be remembered; missing: nobody's. */
  readonly index?: number;
  /** What it is but for some blocks; missing or null: not known. */
  readonly change?: SourceChange | null;
}

export interface SourceChange {
  /** Address of a chunk; null: zeros. */
  readonly base: Uint8Array | null;
  /** At least all blocks that differ. */
  readonly blocks: BlockSet;
}

export interface SealBatch {
  readonly account: AccountId;
  /** What the chunks are sealed under beside the account's keys, in memory of its own; missing or null: nothing. */
  readonly dataKey?: Uint8Array | null;
  /** 1 to BATCH_COUNT_MAX. */
  readonly sources: readonly SealSource[];
  /** The file that remembers digests (digest-file.ts); missing or null: none does. */
  readonly digestPath?: string | null;
  /** Otherwise a chunk of zeros has no key. */
  readonly keepZeroChunks: boolean;
}

/** What to make of a chunk that was read and addressed. */
export type SealOrder =
  /** Nothing: zeros that are left out, or stored already. */
  | { readonly type: 'none' }
  | { readonly type: 'full' }
  /** The blocks in which it differs from its base, unless that is not clearly smaller. */
  | {
      readonly type: 'delta';
      readonly base: Uint8Array;
      /** Bytes of the whole record that the base rests on: about what a full record of this chunk would take. */
      readonly fullBytes: number;
      /** At least all blocks that differ; null: not known. */
      readonly changed: BlockSet | null;
      /** The base and what it needs, to compare with; null: `changed` is taken as it is. */
      readonly chain: readonly ChainLink[] | null;
    };

/**
 * Asked once a batch, by the place of its chunks: with the key of each, null for zeros left out, and with the blocks in which
 * it may differ from the base of its source, null where that is not known. What to make of each? What it throws ends the
 * batch.
 */
export type Claim = (
  keys: readonly (Buffer | null)[],
  changed: readonly (BlockSet | null)[],
) => Promise<readonly SealOrder[]>;

/** What was found on the way; the chunk is sealed whole then. */
export type SealFinding =
  | 'none'
  /** The base does not read. */
  | 'base-damaged'
  /** Blocks differ that are not in `changed`. */
  | 'hint-wrong';

export interface SealedChunk {
  /** Null: all zeros, left out. */
  readonly key: Buffer | null;
  /** Null: none was ordered. */
  readonly record: Buffer | null;
  readonly finding: SealFinding;
}

/**
 * Reads chunks from files, addresses them, and seals those that are new. Errors: StoreError 'damaged' when a file ends
 * within a chunk; what the file system says otherwise; what `claim` threw.
 */
export interface SealPool extends AsyncDisposable {
  /** Batches that keep all its threads busy. More wait, and are held in memory by nobody but the caller. */
  readonly batchesInFlightMax: number;
  /** In the order of the sources. */
  seal(batch: SealBatch, claim: Claim): Promise<readonly SealedChunk[]>;
}
