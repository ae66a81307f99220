import type { ChunkStore } from '#chunk/chunk-store.ts';
import { settleSpareCopies, type AccountCopies } from '#chunk/copies.ts';
import { DamageError } from '#chunk/errors.ts';
import { CODEC_MAX } from '#chunk/payload.ts';
import {
  PACK_HEADER_BYTES,
  PACK_PREFIX,
  PackBuilder,
  parsePackObjectKey,
  type PackEntry,
  type PackName,
} from '#chunk/pack.ts';
import {
  checkRecord,
  DELTA_HEADER_BYTES,
  FLAGS_MAX,
  kindCode,
  RECORD_HEADER_BYTES,
  TAG_BYTES,
  type AccountKeys,
} from '#chunk/seal.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

/** Bytes of the header, by the code of the record's kind. */
const HEADER_BYTES = new Map([
  [kindCode('chunk'), RECORD_HEADER_BYTES],
  [kindCode('node'), RECORD_HEADER_BYTES],
  [kindCode('delta'), DELTA_HEADER_BYTES],
]);

/** A pack that could not be taken in by its footer, and how many of its records were found without it. */
export interface SalvagedPack {
  readonly objectKey: string;
  readonly recordCount: number;
}

/**
 * Takes in what is left of packs whose header, footer or trailer is damaged: each record says itself how long it is and
 * proves itself by its tag, so only what the damage hit is lost. Answers the packs that were damaged.
 */
export async function salvagePacks(chunks: ChunkStore): Promise<readonly SalvagedPack[]> {
  const salvaged: SalvagedPack[] = [];
  const spares: AccountCopies[] = [];
  for await (const { key, sizeBytes } of chunks.objects.list(PACK_PREFIX)) {
    const name = parsePackObjectKey(key);
    if (name === null || chunks.index.hasPack(name.id)) continue;
    const pack = await chunks.objects.get(key);
    if (pack === null) continue;
    const entries = findRecords(chunks.keysOf(name.account), name, pack);
    if (entries.length > 0) {
      spares.push({ account: name.account, copies: chunks.index.addPack(name, sizeBytes, entries) });
    }
    salvaged.push({ objectKey: key, recordCount: entries.length });
  }
  // Of two copies, the better one is read; which that is, only reading tells.
  await settleSpareCopies(chunks, spares);
  return salvaged;
}

/** The records that are whole, wherever they lie, one of each address. */
export function findRecords(keys: AccountKeys, name: PackName, pack: Buffer): readonly PackEntry[] {
  const entries = new Map<string, PackEntry>();
  for (let at = PACK_HEADER_BYTES; at + RECORD_HEADER_BYTES + TAG_BYTES <= pack.length;) {
    const entry = recordAt(keys, name, pack, at);
    if (entry !== null) entries.set(entry.key.toString('hex'), entry);
    at += entry?.length ?? 1;
  }
  return [...entries.values()];
}

function recordAt(keys: AccountKeys, name: PackName, pack: Buffer, at: number): PackEntry | null {
  // What cannot be a record is told by its first bytes, mostly; its tag would cost much more.
  const headerBytes = HEADER_BYTES.get(pack.readUInt8(at));
  if (headerBytes === undefined || pack.readUInt8(at + 1) > CODEC_MAX) return null;
  if (pack.readUInt16LE(at + 2) > FLAGS_MAX || pack.readUInt32LE(at + 4) > CHUNK_BYTES) return null;
  const length = headerBytes + pack.readUInt32LE(at + 8) + TAG_BYTES;
  if (at + length > pack.length) return null;
  try {
    const record = pack.subarray(at, at + length);
    checkRecord(keys, record);
    // What its footer would have said of it, but for the place.
    const builder = new PackBuilder(name);
    builder.add(record);
    const [entry] = builder.entries;
    return entry === undefined ? null : { ...entry, offset: at };
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    return null;
  }
}
