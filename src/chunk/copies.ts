import type { RecordPlace } from './chunk-index.ts';
import type { ChunkStore } from './chunk-store.ts';
import { DamageError } from './errors.ts';
import { packObjectKey, type PackEntry, type PackName } from './pack.ts';
import { unsealChunk } from './unseal.ts';

/** A bad read is told from a bad record by reading again. */
const READ_COUNT_MAX = 2;

/**
 * Reads and verifies the copy that the index names of each record of this pack that it names elsewhere. Where that copy is
 * damaged and the one in this pack is whole, the index is turned to this one, durably; where neither is, the record is
 * suspect. Answers whether all copies elsewhere are whole: only then may this pack go. `verified` is a pack known to be.
 */
export async function checkCopiesElsewhere(
  store: ChunkStore,
  name: PackName,
  entries: readonly PackEntry[],
  verified: string | null = null,
): Promise<boolean> {
  let whole = true;
  for (const entry of entries) {
    const place = store.index.find(name.account, entry.key);
    if (place === null || place.pack === name.id || place.pack === verified) continue;
    if (await isWhole(store, name, entry, place)) continue;
    whole = false;
    const here: RecordPlace = { pack: name.id, kind: entry.kind, offset: entry.offset, length: entry.length };
    const isHereWhole = await isWhole(store, name, entry, here);
    const now = store.index.find(name.account, entry.key);
    // An upload may have stored it anew meanwhile.
    if (now === null || now.pack !== place.pack || now.offset !== place.offset) continue;
    store.log.error('chunk damaged', {
      account: name.account,
      kind: entry.kind,
      key: entry.key.toString('hex'),
      pack: packObjectKey({ account: name.account, id: place.pack }),
      offset: place.offset,
    });
    if (isHereWhole) store.index.turnTo(name, entry);
    else store.index.suspect(name.account, entry.key);
  }
  return whole;
}

async function isWhole(store: ChunkStore, name: PackName, entry: PackEntry, place: RecordPlace): Promise<boolean> {
  const objectKey = packObjectKey({ account: name.account, id: place.pack });
  for (let count = 0; count < READ_COUNT_MAX; count += 1) {
    const record = await store.objects.getRange(objectKey, place.offset, place.length);
    if (record === null) continue;
    try {
      await unsealChunk(store.keysOf(name.account), entry.kind, entry.key, record);
      return true;
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
    }
  }
  return false;
}
