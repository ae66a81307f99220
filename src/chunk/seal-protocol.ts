import type { SealBatch } from './seal-pool.ts';

/** Between the pool and its threads. Each batch: seal → keys → wanted → sealed, or `failed` in place of an answer. */
export type ToSealWorker =
  | { readonly type: 'seal'; readonly id: number; readonly batch: SealBatch }
  /** By place in the batch: seal this one. All false gives the batch up. */
  | { readonly type: 'wanted'; readonly id: number; readonly wanted: readonly boolean[] };

export type FromSealWorker =
  /** By place in the batch; null: zeros, left out. */
  | { readonly type: 'keys'; readonly id: number; readonly keys: readonly (Uint8Array | null)[] }
  /** By place in the batch; null: was not wanted. */
  | { readonly type: 'sealed'; readonly id: number; readonly records: readonly (Uint8Array | null)[] }
  | { readonly type: 'failed'; readonly id: number; readonly damaged: boolean; readonly message: string };

/** What a thread is started with. */
export interface SealWorkerData {
  readonly masterKey: Uint8Array;
}

/** Batches that a thread holds in memory at once: while one is with the pool for its answer, the other is being read or sealed. */
export const BATCHES_PER_THREAD = 2;
