import type { AccountId } from '#domain/ids.ts';

/** 512 KiB of a file. */
export interface SealSource {
  readonly path: string;
  readonly offset: number;
}

/** Chunks sealed in one go: enough that a message between threads costs nothing, few enough that progress moves. */
export const BATCH_COUNT_MAX = 8;

export interface SealBatch {
  readonly account: AccountId;
  /** 1 to BATCH_COUNT_MAX. */
  readonly sources: readonly SealSource[];
  /** Otherwise a chunk of zeros has no key. */
  readonly keepZeroChunks: boolean;
}

/** Asked once a batch with the keys of its chunks that are no zeros left out, in their order: which are stored already? */
export type Claim = (keys: readonly Buffer[]) => readonly boolean[];

export interface SealedChunk {
  /** Null: all zeros, left out. */
  readonly key: Buffer | null;
  /** Null: stored already. */
  readonly record: Buffer | null;
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
