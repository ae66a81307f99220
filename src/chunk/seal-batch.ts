import { closeSync, openSync, readSync } from 'node:fs';

import type { Random } from '#base/random.ts';
import { SECTOR_BYTES, SectorCipher } from '#base/sector-cipher.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { countBlocks, differingBlocks, isSubset, type BlockSet } from './block-set.ts';
import { DamageError, StoreError } from './errors.ts';
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
    return batch.sources.map(({ path, offset, dataKey }, index) => {
      const file = files.get(path) ?? openSync(path, 'r');
      files.set(path, file);
      const plain = memory.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
      readWhole(file, plain, path, offset);
      if (dataKey !== null && dataKey !== undefined) {
        cipherOf(dataKey).decrypt(offset / SECTOR_BYTES, plain, 0, CHUNK_BYTES);
      }
      const isZero = !batch.keepZeroChunks && plain.equals(ZEROS);
      return { plain, key: isZero ? null : addressOf(keys, 'chunk', plain) };
    });
  } finally {
    for (const file of files.values()) closeSync(file);
  }
}

/** One cipher for the chunks of a volume, not one for each. */
const ciphers = new Map<string, SectorCipher>();
const CIPHERS_MAX = 64;

function cipherOf(dataKey: Uint8Array): SectorCipher {
  const name = Buffer.from(dataKey).toString('latin1');
  let cipher = ciphers.get(name);
  if (cipher === undefined) {
    if (ciphers.size === CIPHERS_MAX) ciphers.clear();
    cipher = new SectorCipher(dataKey);
    ciphers.set(name, cipher);
  }
  return cipher;
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

function readWhole(file: number, target: Buffer, path: string, offset: number): void {
  for (let done = 0; done < target.length;) {
    const count = readSync(file, target, done, target.length - done, offset + done);
    if (count === 0) throw new StoreError('damaged', `${path} ends within the chunk at ${offset}`);
    done += count;
  }
}
