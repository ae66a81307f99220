import type { BlockSet } from './block-set.ts';
import type { SealBatch, SealFinding, SealOrder } from './seal-pool.ts';

/** Between the pool and its threads. Each batch: seal → keys → orders → sealed, or `failed` in place of an answer. */
export type ToSealWorker =
  | { readonly type: 'seal'; readonly id: number; readonly batch: SealBatch }
  /** By place in the batch. All 'none' gives the batch up. */
  | { readonly type: 'orders'; readonly id: number; readonly orders: readonly SealOrder[] };

export type FromSealWorker =
  /** By place in the batch: as `Claim` is asked. */
  | {
      readonly type: 'keys';
      readonly id: number;
      readonly keys: readonly (Uint8Array | null)[];
      readonly changed: readonly (BlockSet | null)[];
    }
  /** By place in the batch; null: none was ordered. */
  | {
      readonly type: 'sealed';
      readonly id: number;
      readonly sealed: readonly { readonly record: Uint8Array | null; readonly finding: SealFinding }[];
    }
  | { readonly type: 'failed'; readonly id: number; readonly damaged: boolean; readonly message: string };

/** What a thread is started with. */
export interface SealWorkerData {
  readonly masterKey: Uint8Array;
}

/** Batches that a thread holds in memory at once: while one is with the pool for its answer, the other is being read or sealed. */
export const BATCHES_PER_THREAD = 2;
