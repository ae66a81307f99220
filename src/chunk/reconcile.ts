import { mapAhead } from '#base/map-ahead.ts';

import type { IndexedPack } from './chunk-index.ts';
import type { ChunkStore } from './chunk-store.ts';
import { settleSpareCopies, type AccountCopies } from './copies.ts';
import { eachPack } from './each-pack.ts';
import { DamageError } from './errors.ts';
import {
  checkPack,
  PACK_PREFIX,
  packObjectKey,
  parsePackObjectKey,
  readPackEntries,
  type PackEntry,
  type PackId,
  type PackName,
} from './pack.ts';

/** Footers read at once: of a bucket, each costs a wait or two, and a large store has thousands. */
const FOOTERS_MAX = 16;
/** Whole packs read at once: each takes its 16 MiB. */
const WHOLE_PACKS_MAX = 2;
/** Holds the id of the index that was last made anew. */
const INDEX_ID_KEY = 'index-id';

/**
 * Brings the index in step with the packs that are there, at open. All packs are read anew when the index is new, when it is
 * one from before it was last made anew (which may bring back records whose deletion the older one knows of), or when a pack
 * from which it reads is gone: then the index is older than the store, or the store lost the pack, and another may hold a copy.
 */
export async function reconcile(store: ChunkStore): Promise<void> {
  if (await isCurrent(store)) await adoptUnknown(store, { checkRecords: true });
  else await rebuild(store);
}

async function isCurrent(store: ChunkStore): Promise<boolean> {
  const { id } = store.index;
  if (id === 0) return false;
  const found = await store.objects.get(INDEX_ID_KEY);
  if (found?.toString('latin1') !== `${id}\n`) {
    store.log.warn('index is an old one');
    return false;
  }
  return !(await forgetMissing(store));
}

/**
 * The new id is stored first: after a crash on the way no index has it. What a killed process had asked for comes to pass
 * before: its index knew that a record was deleted, and this one would read it from a pack whose deletion is on its way.
 */
async function rebuild(store: ChunkStore): Promise<void> {
  await store.objects.settled?.();
  const id = 1 + store.random.bytes(6).readUIntBE(0, 6);
  await store.objects.put(INDEX_ID_KEY, [Buffer.from(`${id}\n`)]);
  store.index.clear();
  await adoptUnknown(store, { checkRecords: false });
  store.index.id = id;
}

/** Forgets packs that are gone. Answers true when records were in one. */
async function forgetMissing(store: ChunkStore): Promise<boolean> {
  let lost = false;
  const known = eachPack(store);
  let next = await known.next();
  const forget = async (pack: IndexedPack, sizeBytes: number | null): Promise<void> => {
    const objectKey = packObjectKey(pack);
    // A list may leave something out; only the object itself is proof.
    if (sizeBytes === null && (await store.objects.getRange(objectKey, 0, 1)) !== null) return;
    if (pack.liveBytes > 0) {
      store.log.error('pack missing or of a wrong size', { pack: objectKey, sizeBytes });
      lost = true;
    } else store.index.dropPack(pack.id);
  };
  // Both are in the order of object keys, so neither is held in memory.
  for await (const { key, sizeBytes } of store.objects.list(PACK_PREFIX)) {
    for (; next.done !== true && packObjectKey(next.value) < key; next = await known.next()) {
      await forget(next.value, null);
    }
    if (next.done !== true && packObjectKey(next.value) === key) {
      if (next.value.sizeBytes !== sizeBytes) await forget(next.value, sizeBytes);
      next = await known.next();
    }
  }
  for (; next.done !== true; next = await known.next()) await forget(next.value, null);
  return lost;
}

/**
 * Takes in packs that are stored and not in the index: left by a crash, or by a put that did its work and failed. A few are
 * read whole and verified, so that a later upload does not build on what was never read back; for a whole store the footers
 * must do. A pack that is damaged is told of and left alone: it is never deleted, and its records count as absent.
 */
export async function adoptUnknown(store: ChunkStore, options: { readonly checkRecords: boolean }): Promise<void> {
  const spares: AccountCopies[] = [];
  const { checkRecords } = options;
  const taking = new Set<PackId>();
  const read = async ({ name, sizeBytes }: UnknownPack): Promise<UnknownPack & { readonly found: FoundEntries }> => {
    taking.add(name.id);
    store.packsInFlight.add(name.id);
    return { name, sizeBytes, found: await readEntries(store, name, sizeBytes, checkRecords) };
  };
  try {
    const limit = checkRecords ? WHOLE_PACKS_MAX : FOOTERS_MAX;
    for await (const { name, sizeBytes, found } of mapAhead(unknownPacks(store), limit, read)) {
      if (found instanceof DamageError) {
        store.log.error('pack damaged', { pack: packObjectKey(name), why: found.message });
      } else {
        const copies = store.index.addPack(name, sizeBytes, found);
        if (copies.length > 0) spares.push({ account: name.account, copies });
      }
      taking.delete(name.id);
      store.packsInFlight.delete(name.id);
    }
  } finally {
    for (const id of taking) store.packsInFlight.delete(id);
  }
  // A second copy is there because the first was damaged, or by a crash: only reading tells, and a delta reads only once the
  // pack with what it needs is taken in.
  await settleSpareCopies(store, spares);
}

interface UnknownPack {
  readonly name: PackName;
  readonly sizeBytes: number;
}

async function* unknownPacks(store: ChunkStore): AsyncGenerator<UnknownPack> {
  for await (const { key, sizeBytes } of store.objects.list(PACK_PREFIX)) {
    const name = parsePackObjectKey(key);
    if (name === null || store.packsInFlight.has(name.id) || store.index.hasPack(name.id)) continue;
    yield { name, sizeBytes };
  }
}

type FoundEntries = readonly PackEntry[] | DamageError;

async function readEntries(
  store: ChunkStore,
  name: PackName,
  sizeBytes: number,
  checkRecords: boolean,
): Promise<FoundEntries> {
  const objectKey = packObjectKey(name);
  const read = async (offset: number, length: number): Promise<Buffer> => {
    const bytes = await store.objects.getRange(objectKey, offset, length);
    if (bytes === null) throw new DamageError('the pack is missing');
    return bytes;
  };
  try {
    if (!checkRecords) return await readPackEntries(name, sizeBytes, read);
    return checkPack(store.keysOf(name.account), name, await read(0, sizeBytes));
  } catch (error) {
    if (error instanceof DamageError) return error;
    throw error;
  }
}
