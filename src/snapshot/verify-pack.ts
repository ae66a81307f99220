import { DamageError } from '#chunk/errors.ts';
import {
  encodeHeader,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  readPackEntries,
  type PackEntry,
  type PackName,
} from '#chunk/pack.ts';
import {
  checkAddress,
  checkRecord,
  openRecord,
  parseRecordHeader,
  DELTA_HEADER_BYTES,
  TAG_BYTES,
  RECORD_HEADER_BYTES,
  type AccountKeys,
} from '#chunk/seal.ts';
import { isUnderDataKey } from '#chunk/unseal.ts';

/** What reading every byte of a pack gave. */
export interface CheckedPack {
  /** Why header, footer or trailer cannot be trusted; null: they can. Then `entries` are those that were recovered. */
  readonly structure: string | null;
  readonly entries: readonly PackEntry[];
  /** By the entry's place: why its record is damaged. */
  readonly damaged: ReadonlyMap<number, string>;
  /** Records under a data key, of which only the tags were verified. */
  readonly underDataKeys: number;
}

/** Verifies header, footer, trailer, each record's tag and the address of each node and whole chunk that is not under a data key. Of a delta, the address of its chunk needs other records: see verify-deltas.ts. */
export async function checkWholePack(keys: AccountKeys, name: PackName, pack: Buffer): Promise<CheckedPack> {
  const header = pack.subarray(0, PACK_HEADER_BYTES);
  const found = await readEntries(name, header, pack);
  if (typeof found !== 'string') return { structure: null, entries: found, ...checkRecords(keys, found, pack) };
  // What a header says follows from the pack's name: when only that is damaged, the footer still tells what is there.
  const listed = await readEntries(name, encodeHeader(name), pack);
  const entries = typeof listed === 'string' ? recoverEntries(keys, pack) : listed;
  return { structure: found, entries, ...checkRecords(keys, entries, pack) };
}

/** What the footer says, or why it cannot be believed. */
async function readEntries(name: PackName, header: Buffer, pack: Buffer): Promise<readonly PackEntry[] | string> {
  try {
    return await readPackEntries(name, pack.length, async (offset, length) =>
      offset === 0 && length === PACK_HEADER_BYTES ? header : pack.subarray(offset, offset + length),
    );
  } catch (error) {
    if (error instanceof DamageError) return error.message;
    throw error;
  }
}

function checkRecords(
  keys: AccountKeys,
  entries: readonly PackEntry[],
  pack: Buffer,
): Pick<CheckedPack, 'damaged' | 'underDataKeys'> {
  const damaged = new Map<number, string>();
  let underDataKeys = 0;
  for (const [place, entry] of entries.entries()) {
    const record = pack.subarray(entry.offset, entry.offset + entry.length);
    const damage = recordDamage(keys, entry, record);
    if (damage !== null) damaged.set(place, damage);
    else if (isUnderDataKey([{ key: entry.key, record }])) underDataKeys += 1;
  }
  return { damaged, underDataKeys };
}

/** Why the record is not the one that the entry tells of; null when it is, as far as that can be told without its data key. */
export function recordDamage(keys: AccountKeys, entry: Omit<PackEntry, 'offset'>, record: Buffer): string | null {
  try {
    if (record.length !== entry.length) throw new DamageError('the record is cut short');
    const header = parseRecordHeader(record);
    const base = header.delta?.base ?? null;
    const same =
      header.kind === entry.kind &&
      header.key.equals(entry.key) &&
      header.plainBytes === entry.plainBytes &&
      (base === null ? entry.base === null : entry.base?.equals(base) === true);
    if (!same) throw new DamageError('the record is not what the footer says');
    if (header.isUnderDataKey) {
      checkRecord(keys, record);
      return null;
    }
    const content = openRecord(keys, record, header);
    if (header.kind !== 'delta') checkAddress(keys, header.kind, entry.key, content);
    return null;
  } catch (error) {
    if (error instanceof DamageError) return error.message;
    throw error;
  }
}

/** Records follow one another without gaps and say how long they are: without a footer they are found as long as each is whole. */
function recoverEntries(keys: AccountKeys, pack: Buffer): readonly PackEntry[] {
  const entries: PackEntry[] = [];
  let offset = PACK_HEADER_BYTES;
  const end = pack.length - PACK_TRAILER_BYTES;
  while (offset + RECORD_HEADER_BYTES + TAG_BYTES <= end) {
    const found = recoverEntry(keys, pack, offset, end);
    if (found === null) break;
    entries.push(found);
    offset += found.length;
  }
  return entries;
}

function recoverEntry(keys: AccountKeys, pack: Buffer, offset: number, end: number): PackEntry | null {
  // The payload's length is in the part that all kinds of record have; how long the header is, the kind says.
  const payloadBytes = pack.readUInt32LE(offset + 8);
  for (const headerBytes of HEADER_BYTES) {
    const length = headerBytes + payloadBytes + TAG_BYTES;
    if (offset + length > end) continue;
    const record = pack.subarray(offset, offset + length);
    try {
      const header = checkRecord(keys, record);
      return {
        key: Buffer.from(header.key),
        kind: header.kind,
        offset,
        length,
        plainBytes: header.plainBytes,
        base: header.delta === null ? null : Buffer.from(header.delta.base),
      };
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
    }
  }
  return null;
}

const HEADER_BYTES = [RECORD_HEADER_BYTES, DELTA_HEADER_BYTES] as const;
