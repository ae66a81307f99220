import { present } from '#base/assert.ts';
import { type ChunkRead, type ChunkReader, type ReadChunksOptions, unlessAborted } from '#chunk/chunk-reader.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import type { ChunkPlace } from '#chunk/unseal-protocol.ts';
import type { AccountId } from '#domain/ids.ts';

import { findChunks, type TreeRoot } from './tree.ts';

export type { ChunkPlace, ChunkRead, ReadChunksOptions };

export interface WantedChunk {
  readonly index: number;
  /** Where its 512 KiB are to be written; null: they are answered. */
  readonly place: ChunkPlace | null;
}

/** See SnapshotStore.readChunks. */
export function readChunks(
  parts: { readonly chunks: ChunkStore; readonly reader: ChunkReader },
  account: AccountId,
  root: TreeRoot,
  wanted: readonly WantedChunk[],
  options: ReadChunksOptions,
): readonly Promise<ChunkRead | null>[] {
  const started = start(parts, account, root, wanted, options);
  return wanted.map(async (_one, at) => await present((await started)[at], 'a chunk that is wanted is answered'));
}

async function start(
  { chunks, reader }: { readonly chunks: ChunkStore; readonly reader: ChunkReader },
  account: AccountId,
  root: TreeRoot,
  wanted: readonly WantedChunk[],
  options: ReadChunksOptions,
): Promise<readonly (Promise<ChunkRead> | Promise<null>)[]> {
  const indexes = wanted.map(({ index }) => index);
  const keys = await unlessAborted(options.signal ?? null, () => findChunks(chunks, account, root, indexes));
  const orders = wanted.flatMap(({ place }, at) => {
    const key = keys[at] ?? null;
    return key === null ? [] : [{ key, place }];
  });
  const reads = reader.read(account, orders, { ...options, dataKey: root.dataKey ?? null }).values();
  return wanted.map((_one, at) => ((keys[at] ?? null) === null ? Promise.resolve(null) : next(reads)));
}

function next(reads: Iterator<Promise<ChunkRead>>): Promise<ChunkRead> {
  const { value } = reads.next();
  return present(value as Promise<ChunkRead> | undefined, 'an order is answered');
}
