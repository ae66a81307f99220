import { closeSync, openSync } from 'node:fs';

import type { Random } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { countBlocks, differingBlocks, isSubset, type BlockSet } from './block-set.ts';
import { readSource } from './chunk-source.ts';
import { DamageError } from './errors.ts';
import type { SealBatch, SealFinding, SealOrder } from './seal-pool.ts';
import { addressOf, checkAddress, NONCE_BYTES, sealDelta, sealRecord, type AccountKeys } from './seal.ts';
import { openChain } from './unseal.ts';

const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** A chunk in memory, read and addressed. */
export interface ReadChunk {
  readonly plain: Buffer;
  /** Null: all zeros, left out. */
  readonly key: Buffer | null;
}

/** Reads and addresses the chunks of a batch into `memory`, which has room for them. Synchronous: for a thread of its own. Throws StoreError 'damaged' when a file ends within a chunk. */
export function readBatch(keys: AccountKeys, batch: SealBatch, memory: Buffer): readonly ReadChunk[] {
  const files = new Map<string, number>();
  try {
    return batch.sources.map((source, index) => {
      const { path } = source;
      const file = files.get(path) ?? openSync(path, 'r');
      files.set(path, file);
      const plain = memory.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
      readSource(file, source, 0, plain);
      const isZero = !batch.keepZeroChunks && plain.equals(ZEROS);
      return { plain, key: isZero ? null : addressOf(keys, 'chunk', plain) };
    });
  } finally {
    for (const file of files.values()) closeSync(file);
  }
}

/** A delta of more blocks than this gains little over a full record, and costs every reader of the chunk. */
export const DELTA_BLOCKS_MAX = 64;

export interface Sealed {
  readonly record: Buffer | null;
  readonly finding: SealFinding;
}

/** Makes of a chunk what was ordered. */
export function sealAsOrdered(keys: AccountKeys, chunk: ReadChunk, order: SealOrder, random: Random): Sealed {
  const { plain, key } = chunk;
  if (key === null || order.type === 'none') return { record: null, finding: 'none' };
  const full = (): Buffer => sealRecord({ keys, kind: 'chunk', key, plain, nonce: random.bytes(NONCE_BYTES) });
  if (order.type === 'full') return { record: full(), finding: 'none' };
  const { changed, finding } = blocksToStore(keys, plain, order);
  const count = changed === null ? 0 : countBlocks(changed);
  if (changed === null || count > DELTA_BLOCKS_MAX) return { record: full(), finding };
  // The addresses differ, so some block does.
  if (count === 0) return { record: full(), finding: order.chain === null ? 'hint-wrong' : 'base-damaged' };
  const delta = sealDelta({ keys, key, plain, base: order.base, changed, nonce: random.bytes(NONCE_BYTES) });
  if (isClearlySmaller(delta.length, order.fullBytes)) return { record: delta, finding };
  const whole = full();
  return { record: isClearlySmaller(delta.length, whole.length) ? delta : whole, finding };
}

/** A delta takes at most half of the room, or it is not worth what it costs a reader. */
function isClearlySmaller(deltaBytes: number, fullBytes: number): boolean {
  return deltaBytes * 2 <= fullBytes;
}

function blocksToStore(
  keys: AccountKeys,
  plain: Buffer,
  order: Extract<SealOrder, { type: 'delta' }>,
): { readonly changed: BlockSet | null; readonly finding: SealFinding } {
  const { changed, chain } = order;
  if (chain === null) return { changed, finding: 'none' };
  let differing: BlockSet;
  try {
    const base = openChain(keys, chain);
    // Each record is what was stored; that together they are the base, only its address tells.
    checkAddress(keys, 'chunk', order.base, base);
    differing = differingBlocks(plain, base);
  } catch (error) {
    if (error instanceof DamageError) return { changed: null, finding: 'base-damaged' };
    throw error;
  }
  const isWrong = changed !== null && !isSubset(differing, changed);
  return { changed: isWrong ? null : differing, finding: isWrong ? 'hint-wrong' : 'none' };
}
