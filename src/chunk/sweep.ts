import { setImmediate as nextTurn } from 'node:timers/promises';

import { assert } from '#base/assert.ts';
import { isNoSpace } from '#base/no-space.ts';
import type { AccountId } from '#domain/ids.ts';

import { placeOf, type IndexedPack } from './chunk-index.ts';
import type { ChunkStore } from './chunk-store.ts';
import { checkSpareCopies } from './copies.ts';
import { eachPack } from './each-pack.ts';
import { DamageError, StoreError, throwIfAborted } from './errors.ts';
import type { MarkSet } from './mark-set.ts';
import {
  checkEntryRecord,
  PACK_BYTES_TARGET,
  PackBuilder,
  packObjectKey,
  readPackEntries,
  type PackEntry,
  type PackId,
  type RangeReader,
} from './pack.ts';
import { putPackVerified } from './verified-put.ts';

/** Rows looked at in one turn of the event loop: a few milliseconds. */
const ROWS_PER_TURN = 250;
/** A pack below this size is small: every small upload makes one. Many of them are put together. */
const PACK_BYTES_SMALL = PACK_BYTES_TARGET / 4;
const SMALL_PACK_COUNT_MAX = 8;

export interface Sweep {
  /** Records that are needed, by their mark. */
  readonly marks: MarkSet;
  /** Records of this epoch and later are kept, needed or not. */
  readonly bound: number;
  readonly signal: AbortSignal;
}

export interface SweepReport {
  readonly deletedRecords: number;
  readonly deletedChunks: number;
  readonly freedBytes: number;
}

/**
 * Deletes records that are not needed, then the room they took. In this order, each step complete before the next:
 * 1. the rows go, and that they are gone is made durable: from here on no upload builds on them;
 * 2. packs of which nothing is read any more are deleted, the object first, then its row;
 * 3. packs of which less than half is read, and small ones when there are many, are copied together into new packs:
 *    the new pack is put and read back, rows are turned to it, durably, then the old object is deleted.
 * A crash after any step leaves nothing that the next open and sweep do not finish; see snapshot/collector.ts.
 */
export async function sweep(store: ChunkStore, { marks, bound, signal }: Sweep): Promise<SweepReport> {
  const deleted = await sweepRows(store, { marks, bound, signal });
  store.index.sync();
  const freedBytes = (await deleteDeadPacks(store, signal)) + (await rewriteSparsePacks(store, signal));
  return { ...deleted, freedBytes };
}

async function sweepRows(
  store: ChunkStore,
  { marks, bound, signal }: Sweep,
): Promise<{ readonly deletedRecords: number; readonly deletedChunks: number }> {
  let deletedRecords = 0;
  let deletedChunks = 0;
  for (const account of store.index.accounts()) {
    let after: Buffer = Buffer.alloc(0);
    for (;;) {
      throwIfAborted(signal);
      // Looked at and deleted in one transaction: an upload claims a row before this or after it, never between.
      const next = store.index.transact(() => {
        const rows = store.index.sweepRows(account, after, ROWS_PER_TURN);
        for (const row of rows) {
          if (row.epoch >= bound || marks.has(row.mark)) continue;
          if (row.kind !== 'node') deletedChunks += 1;
          deletedRecords += 1;
          store.index.deleteRecord(account, row);
        }
        return rows.at(-1)?.key;
      });
      if (next === undefined) break;
      after = next;
      await nextTurn();
    }
  }
  return { deletedRecords, deletedChunks };
}

/** Deletes packs of which nothing is read. No writer can turn to one again: a record is claimed by its row, and there is none. */
async function deleteDeadPacks(store: ChunkStore, signal: AbortSignal): Promise<number> {
  let freedBytes = 0;
  for await (const pack of eachPack(store)) {
    throwIfAborted(signal);
    if (pack.liveBytes === 0) freedBytes += await deletePack(store, pack, null);
  }
  return freedBytes;
}

/** Stays, and 0 is answered, unless what it holds and is read from elsewhere is whole there. `verified`: a pack that was just read back. */
async function deletePack(store: ChunkStore, pack: IndexedPack, verified: PackId | null): Promise<number> {
  if (!(await isDispensable(store, pack, verified))) return 0;
  assert(store.index.liveBytes(pack.id) === 0, 'no record is read from a pack that is deleted');
  await store.objects.delete(packObjectKey(pack));
  store.index.dropPack(pack.id);
  return pack.sizeBytes;
}

async function isDispensable(store: ChunkStore, pack: IndexedPack, verified: PackId | null): Promise<boolean> {
  const objectKey = packObjectKey(pack);
  // Deleted by a sweep that did not get as far as to forget it.
  if ((await store.objects.getRange(objectKey, 0, 1)) === null) return true;
  try {
    const entries = await readPackEntries(pack, pack.sizeBytes, rangeReader(store, objectKey));
    const spares = entries.map((entry) => ({ key: entry.key, place: placeOf(pack.id, entry) }));
    return await checkSpareCopies(store, pack.account, spares, verified);
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    store.log.error('pack damaged', { pack: objectKey, why: error.message });
    return false;
  }
}

function rangeReader(store: ChunkStore, objectKey: string): RangeReader {
  return async (offset, length) => {
    const bytes = await store.objects.getRange(objectKey, offset, length);
    if (bytes === null) throw new DamageError('the pack is missing');
    return bytes;
  };
}

async function rewriteSparsePacks(store: ChunkStore, signal: AbortSignal): Promise<number> {
  const sparse = new Map<AccountId, IndexedPack[]>();
  const small = new Map<AccountId, IndexedPack[]>();
  for await (const pack of eachPack(store)) {
    const isSparse = isHalfEmpty(pack);
    if (!isSparse && pack.sizeBytes >= PACK_BYTES_SMALL) continue;
    const group = isSparse ? sparse : small;
    const packs = group.get(pack.account);
    if (packs === undefined) group.set(pack.account, [pack]);
    else packs.push(pack);
  }
  let freedBytes = 0;
  for (const account of new Set([...sparse.keys(), ...small.keys()])) {
    const few = small.get(account) ?? [];
    const packs = [...(sparse.get(account) ?? []), ...(few.length >= SMALL_PACK_COUNT_MAX ? few : [])];
    for (const batch of batches(packs)) {
      throwIfAborted(signal);
      // Copying one small pack by itself gains nothing.
      if (batch.length > 1 || batch.some(isHalfEmpty)) freedBytes += await rewrite(store, account, batch);
    }
  }
  return freedBytes;
}

function isHalfEmpty(pack: IndexedPack): boolean {
  return pack.liveBytes * 2 < pack.recordBytes;
}

/** Packs that fit into a new one together. */
function batches(packs: readonly IndexedPack[]): readonly (readonly IndexedPack[])[] {
  const result: IndexedPack[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const pack of packs) {
    if (bytes + pack.liveBytes > PACK_BYTES_TARGET) {
      result.push([]);
      bytes = 0;
    }
    result.at(-1)?.push(pack);
    bytes += pack.liveBytes;
  }
  return result;
}

/** Copies what is read of some packs into a new one, and deletes them. Answers the bytes that the store shrank by. A damaged pack stays as it is: what is left of it may be wanted. */
async function rewrite(store: ChunkStore, account: AccountId, packs: readonly IndexedPack[]): Promise<number> {
  const builder = new PackBuilder({ account, id: store.random.bytes(16).toString('hex') });
  const copied: IndexedPack[] = [];
  for (const pack of packs) {
    try {
      for (const record of await liveRecords(store, pack)) builder.add(record);
      copied.push(pack);
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      store.log.error('pack damaged', { pack: packObjectKey(pack), why: error.message });
    }
  }
  const sizeBytes = builder.entries.length === 0 ? 0 : await putCopies(store, builder, copied);
  let freedBytes = -sizeBytes;
  for (const pack of copied) freedBytes += await deletePack(store, pack, builder.name.id);
  return freedBytes;
}

/** Puts the new pack and turns the rows of its records to it. Answers its size. */
async function putCopies(store: ChunkStore, builder: PackBuilder, copied: readonly IndexedPack[]): Promise<number> {
  store.packsInFlight.add(builder.name.id);
  try {
    const sizeBytes = await putPackVerified(store.objects, builder);
    const from = new Set(copied.map((pack) => pack.id));
    store.index.addCopies(builder.name, sizeBytes, builder.entries);
    for (let at = 0; at < builder.entries.length; at += ROWS_PER_TURN) {
      store.index.moveRecords(builder.name, builder.entries.slice(at, at + ROWS_PER_TURN), from);
      await nextTurn();
    }
    store.index.sync();
    return sizeBytes;
  } catch (error) {
    if (isNoSpace(error)) throw new StoreError('no-space', 'no room to rewrite packs', { cause: error });
    if (error instanceof DamageError) throw new StoreError('damaged', error.message, { cause: error });
    throw error;
  } finally {
    store.packsInFlight.delete(builder.name.id);
  }
}

/** The records of the pack that the index reads from it, each verified. Throws DamageError. */
async function liveRecords(store: ChunkStore, pack: IndexedPack): Promise<readonly Buffer[]> {
  const objectKey = packObjectKey(pack);
  const read = rangeReader(store, objectKey);
  const records: Buffer[] = [];
  for (const entry of await readPackEntries(pack, pack.sizeBytes, read)) {
    if (!isReadFrom(store, pack.account, entry, pack.id)) continue;
    const record = await read(entry.offset, entry.length);
    checkEntryRecord(store.keysOf(pack.account), entry, record);
    records.push(record);
  }
  return records;
}

function isReadFrom(store: ChunkStore, account: AccountId, entry: PackEntry, pack: PackId): boolean {
  const place = store.index.find(account, entry.key);
  return place !== null && place.pack === pack && place.offset === entry.offset;
}
