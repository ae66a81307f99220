import type { AccountId } from '#domain/ids.ts';

import type { RecordPlace, SpareCopy } from './chunk-index.ts';
import type { ChunkStore } from './chunk-store.ts';
import { DamageError } from './errors.ts';
import { packObjectKey } from './pack.ts';

/** A bad read is told from a bad record by reading again. */
const READ_COUNT_MAX = 2;

/**
 * Reads and verifies the copy that the index names of each of these records that it names elsewhere. Where that copy is
 * damaged and the spare one is whole, the index is turned to that, durably; where neither is, the record is suspect. Answers
 * whether all copies that the index names are whole: only then may the spare ones go. `verified` is a pack known to be.
 */
export async function checkSpareCopies(
  store: ChunkStore,
  account: AccountId,
  spares: readonly SpareCopy[],
  verified: string | null = null,
): Promise<boolean> {
  let whole = true;
  for (const spare of spares) {
    const { key } = spare;
    const place = store.index.find(account, key);
    if (place === null || place.pack === spare.place.pack || place.pack === verified) continue;
    if (await isWhole(store, account, key, place)) continue;
    whole = false;
    const isSpareWhole = await isWhole(store, account, key, spare.place);
    const now = store.index.find(account, key);
    // An upload may have stored it anew meanwhile.
    if (now === null || now.pack !== place.pack || now.offset !== place.offset) continue;
    store.log.error('chunk damaged', {
      account,
      kind: place.kind,
      key: key.toString('hex'),
      pack: packObjectKey({ account, id: place.pack }),
      offset: place.offset,
    });
    if (!isSpareWhole || !store.index.turnTo(account, spare)) store.index.suspect(account, key);
  }
  return whole;
}

/** Whether the record there gives the plaintext of its address, with what it needs as the index names that. */
async function isWhole(store: ChunkStore, account: AccountId, key: Buffer, place: RecordPlace): Promise<boolean> {
  for (let count = 0; count < READ_COUNT_MAX; count += 1) {
    try {
      await store.readCopy(account, { key, place });
      return true;
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
    }
  }
  return false;
}
