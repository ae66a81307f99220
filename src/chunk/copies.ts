import type { AccountId } from '#domain/ids.ts';

import type { RecordPlace, SpareCopy } from './chunk-index.ts';
import type { ChunkStore } from './chunk-store.ts';
import { DamageError } from './errors.ts';
import { packObjectKey } from './pack.ts';

/** A bad read is told from a bad record by reading again. */
const READ_COUNT_MAX = 2;

export interface AccountCopies {
  readonly account: AccountId;
  readonly copies: readonly SpareCopy[];
}

/**
 * Reads and verifies the copy that the index names of each of these records that it names elsewhere. Where that copy is
 * damaged and the spare one is whole, the index is turned to that, durably; where neither is, the record is suspect. Answers
 * whether all copies that the index names were whole: only then may the spare ones go. `verified` is a pack known to be.
 */
export async function checkSpareCopies(
  store: ChunkStore,
  account: AccountId,
  spares: readonly SpareCopy[],
  verified: string | null = null,
): Promise<boolean> {
  let whole = true;
  for (const spare of spares) {
    const outcome = await check(store, account, spare, verified);
    if (outcome !== 'whole') whole = false;
    if (outcome === 'lost') store.index.suspect(account, spare.key);
  }
  return whole;
}

/**
 * As `checkSpareCopies`, of all copies that reading a whole store found. A delta may read only once what it needs was turned
 * to a copy that does, in whatever order they come: those that did not are looked at again while others are turned.
 */
export async function settleSpareCopies(store: ChunkStore, found: readonly AccountCopies[]): Promise<void> {
  let left = found.flatMap(({ account, copies }) => copies.map((spare) => ({ account, spare })));
  for (let isTurned = true; isTurned && left.length > 0;) {
    isTurned = false;
    const lost: typeof left = [];
    for (const one of left) {
      const outcome = await check(store, one.account, one.spare, null);
      if (outcome === 'lost') lost.push(one);
      if (outcome === 'turned') isTurned = true;
    }
    left = lost;
  }
  for (const { account, spare } of left) store.index.suspect(account, spare.key);
}

/** 'whole': the copy that the index names; 'turned': it was not, and the index is turned to this one; 'lost': neither reads. */
async function check(
  store: ChunkStore,
  account: AccountId,
  spare: SpareCopy,
  verified: string | null,
): Promise<'whole' | 'turned' | 'lost'> {
  const { key } = spare;
  const place = store.index.find(account, key);
  if (place === null || place.pack === spare.place.pack || place.pack === verified) return 'whole';
  if (await isWhole(store, account, key, place)) return 'whole';
  const isSpareWhole = await isWhole(store, account, key, spare.place);
  const now = store.index.find(account, key);
  // An upload may have stored it anew meanwhile.
  if (now === null || now.pack !== place.pack || now.offset !== place.offset) return 'turned';
  store.log.error('chunk damaged', {
    account,
    kind: place.kind,
    key: key.toString('hex'),
    pack: packObjectKey({ account, id: place.pack }),
    offset: place.offset,
  });
  return isSpareWhole && store.index.turnTo(account, spare) ? 'turned' : 'lost';
}

/** Whether the record there gives the plaintext of its address, as far as that can be told, with what it needs as the index names that. */
async function isWhole(store: ChunkStore, account: AccountId, key: Buffer, place: RecordPlace): Promise<boolean> {
  for (let count = 0; count < READ_COUNT_MAX; count += 1) {
    try {
      await store.checkCopy(account, { key, place });
      return true;
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
    }
  }
  return false;
}
