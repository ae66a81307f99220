import type { AccountId } from '#domain/ids.ts';

/** Where a plaintext goes instead of to whoever asked for it: a part of an open file. It stays open, and nobody else writes there, until the order is answered. */
export interface ChunkPlace {
  readonly descriptor: number;
  /** Bytes from the file's beginning. */
  readonly position: number;
}

/** A chunk to open: its record and those it needs, as in unseal.ts. The records lie in memory that is handed over. */
export interface UnsealOrder {
  readonly chain: readonly { readonly key: Uint8Array; readonly record: Uint8Array }[];
  readonly place: ChunkPlace | null;
}

/** Between the threads and their owner. A job is answered chunk by chunk, in the order of the job. */
export interface ToUnsealWorker {
  readonly id: number;
  readonly account: AccountId;
  /** What the chunks are under beside the account's keys, in memory of its own; null: nothing. */
  readonly dataKey: Uint8Array | null;
  readonly orders: readonly UnsealOrder[];
}

export type FromUnsealWorker =
  /** The thread takes jobs. */
  | { readonly type: 'ready' }
  /** The plaintext is at its place. */
  | { readonly type: 'placed'; readonly id: number }
  /** The plaintext, also where it could not be written to its place; its memory is handed over. */
  | { readonly type: 'plain'; readonly id: number; readonly bytes: Uint8Array }
  /** It does not open. */
  | { readonly type: 'failed'; readonly id: number };

export interface UnsealWorkerData {
  readonly masterKey: Uint8Array;
}
