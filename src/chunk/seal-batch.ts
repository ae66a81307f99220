import type { Random } from '#base/random.ts';

import { countBlocks, differingBlocks, isSubset, type BlockSet } from './block-set.ts';
import { DamageError } from './errors.ts';
import { readRest, type ReadChunk } from './read-batch.ts';
import type { SealFinding, SealOrder } from './seal-pool.ts';
import { checkAddress, NONCE_BYTES, sealDelta, sealRecord, type AccountKeys } from './seal.ts';
import { openChain } from './unseal.ts';

/** A delta of more blocks than this gains little over a full record, and costs every reader of the chunk. */
export const DELTA_BLOCKS_MAX = 64;

export interface Sealed {
  readonly record: Buffer | null;
  readonly finding: SealFinding;
}

/** A chunk of which blocks changed that were not told has a wrong key: there is nothing to make of it. */
const HINT_WRONG: Sealed = { record: null, finding: 'hint-wrong' };

/** Makes of a chunk what was ordered. Where that needs more of it than was read, reads the rest: throws as `readBatch`. */
export function sealAsOrdered(keys: AccountKeys, chunk: ReadChunk, order: SealOrder, random: Random): Sealed {
  const { plain, key, finding: found = 'none' } = chunk;
  if (found !== 'none') return { record: null, finding: found };
  if (key === null || order.type === 'none') return { record: null, finding: 'none' };
  const full = (finding: SealFinding): Sealed => {
    if (!readRest(keys, chunk)) return HINT_WRONG;
    return { record: sealRecord({ keys, kind: 'chunk', key, plain, nonce: random.bytes(NONCE_BYTES) }), finding };
  };
  if (order.type === 'full') return full('none');
  // To compare it with the base, all of it is needed.
  if (order.chain !== null && !readRest(keys, chunk)) return HINT_WRONG;
  const { changed, finding } = blocksToStore(keys, plain, order);
  const count = changed === null ? 0 : countBlocks(changed);
  if (changed === null || count > DELTA_BLOCKS_MAX) return full(finding);
  // The addresses differ, so some block does.
  if (count === 0) return full(order.chain === null ? 'hint-wrong' : 'base-damaged');
  const delta = sealDelta({ keys, key, plain, base: order.base, changed, nonce: random.bytes(NONCE_BYTES) });
  if (isClearlySmaller(delta.length, order.fullBytes)) return { record: delta, finding };
  const whole = full(finding);
  const isDelta = whole.record !== null && isClearlySmaller(delta.length, whole.record.length);
  return isDelta ? { record: delta, finding } : whole;
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
