import { DamageError } from './errors.ts';
import type { ObjectStore } from './object-store.ts';
import { packObjectKey, type PackBuilder } from './pack.ts';

/** Bytes read back at once: four requests for a pack, since of a bucket each is a wait. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** A bad read is told from a bad object by reading again. */
const READ_COUNT_MAX = 2;

/** Puts a pack and compares it with what was meant, all of it. Answers its size. Throws DamageError, the pack removed, when the store holds something else. */
export async function putPackVerified(objects: ObjectStore, builder: PackBuilder): Promise<number> {
  const key = packObjectKey(builder.name);
  const parts = builder.finish();
  await objects.put(key, parts, { ifAbsent: true });
  await readBack(objects, key, parts);
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/**
 * Reads the whole object, not only its footer: a store that loses the middle of an object, or mixes two, is found before a
 * manifest rests on it, and comparing with what is still in memory costs less than a hash. From a directory the page cache
 * answers, some gigabytes a second; that the disk itself holds it is what `put` synced for.
 */
export async function readBack(objects: ObjectStore, key: string, parts: readonly Buffer[]): Promise<void> {
  let offset = 0;
  let group: Buffer[] = [];
  let groupBytes = 0;
  for (const [index, part] of parts.entries()) {
    group.push(part);
    groupBytes += part.length;
    const isLast = index === parts.length - 1;
    if (groupBytes < PIECE_BYTES && !isLast) continue;
    await comparePiece(objects, key, offset, group, isLast);
    offset += groupBytes;
    group = [];
    groupBytes = 0;
  }
}

/** `isLast`: the object ends with these parts. */
async function comparePiece(
  objects: ObjectStore,
  key: string,
  offset: number,
  parts: readonly Buffer[],
  isLast: boolean,
): Promise<void> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  for (let count = 0; count < READ_COUNT_MAX; count += 1) {
    // One byte more than there should be.
    const found = await objects.getRange(key, offset, isLast ? length + 1 : length);
    if (found !== null && found.length === length && equalParts(found, parts)) return;
  }
  throw await rejected(objects, key);
}

function equalParts(found: Buffer, parts: readonly Buffer[]): boolean {
  let at = 0;
  for (const part of parts) {
    if (found.compare(part, 0, part.length, at, at + part.length) !== 0) return false;
    at += part.length;
  }
  return true;
}

/** Nothing names the object yet, so it can go; when it stays, it is an object that nothing names. */
async function rejected(objects: ObjectStore, key: string): Promise<DamageError> {
  const error = new DamageError('the object store holds something else than what was put');
  try {
    await objects.delete(key);
  } catch (cause) {
    error.cause = cause;
  }
  return error;
}
