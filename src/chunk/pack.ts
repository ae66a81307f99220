import { assert } from '#base/assert.ts';
import { crc32c } from '#base/crc32c.ts';
import { parseAccountId, type AccountId } from '#domain/ids.ts';

import { DamageError } from './errors.ts';
import {
  checkRecord,
  KEY_BYTES,
  kindCode,
  kindOf,
  parseRecordHeader,
  type AccountKeys,
  type RecordKind,
} from './seal.ts';

/**
 * Packs: immutable objects of many records (docs/formats/pack.md). Header, records one after another, footer (what lies
 * where), trailer. Every bit is covered: header, footer and trailer by CRC32C, records by their own tags, and the records
 * must fill the space between header and footer.
 */

/** 32 lower-case hexadecimal digits. */
export type PackId = string;

/** A pack is closed once it has this many bytes: large enough that an object costs little, small enough to rewrite and to hold in memory. */
export const PACK_BYTES_TARGET = 16 * 1024 * 1024;
/** A pack is also closed once it has as many: its rows are written in one transaction, which holds up the event loop. */
export const PACK_RECORDS_MAX = 1024;
export const PACK_HEADER_BYTES = 64;
export const PACK_TRAILER_BYTES = 32;
export const PACK_ENTRY_BYTES = 48;
/** What the footer has for a delta beside that: the address of its base. */
const PACK_BASE_BYTES = KEY_BYTES;
const PACK_VERSION = 1;
const HEADER_MAGIC = 'VARVPACK';
const TRAILER_MAGIC = 'VARVPEND';
const PACK_ID = /^[0-9a-f]{32}$/;

export interface PackEntry {
  readonly key: Buffer;
  readonly kind: RecordKind;
  /** Of the record, from the pack's first byte. */
  readonly offset: number;
  /** Of the whole record. */
  readonly length: number;
  readonly plainBytes: number;
  /** Address of the chunk that a delta needs; null for other kinds. */
  readonly base: Buffer | null;
}

export interface PackName {
  readonly account: AccountId;
  readonly id: PackId;
}

export const PACK_PREFIX = 'packs/';

export function packObjectKey(name: PackName): string {
  return `${PACK_PREFIX}${name.account}/${name.id}`;
}

/** Null for an object that is no pack. */
export function parsePackObjectKey(objectKey: string): PackName | null {
  const [prefix, account, id, ...rest] = objectKey.split('/');
  const parsed = parseAccountId(account ?? '');
  if (prefix !== 'packs' || parsed === null || id === undefined || !PACK_ID.test(id) || rest.length > 0) return null;
  return { account: parsed, id };
}

/** Gathers records into one pack. Keeps the buffers it is given: they must not change. */
export class PackBuilder {
  readonly name: PackName;
  readonly #header: Buffer;
  readonly #records: Buffer[] = [];
  readonly #entries: PackEntry[] = [];
  #recordsEnd = PACK_HEADER_BYTES;
  #footerBytes = 0;

  constructor(name: PackName) {
    assert(PACK_ID.test(name.id), 'a pack id is 32 hexadecimal digits');
    this.name = name;
    this.#header = encodeHeader(name);
  }

  add(record: Buffer): void {
    const header = parseRecordHeader(record);
    const entry: PackEntry = {
      key: Buffer.from(header.key),
      kind: header.kind,
      offset: this.#recordsEnd,
      length: record.length,
      plainBytes: header.plainBytes,
      base: header.delta === null ? null : Buffer.from(header.delta.base),
    };
    this.#entries.push(entry);
    this.#footerBytes += entryBytes(entry);
    this.#records.push(record);
    this.#recordsEnd += record.length;
  }

  get entries(): readonly PackEntry[] {
    return this.#entries;
  }

  /** Of the whole pack, were it closed now. */
  get sizeBytes(): number {
    return this.#recordsEnd + this.#footerBytes + PACK_TRAILER_BYTES;
  }

  /** The pack's bytes, in pieces. */
  finish(): readonly Buffer[] {
    assert(this.#entries.length > 0, 'a pack holds a record');
    const footer = Buffer.concat(this.#entries.map(encodeEntry));
    const trailer = Buffer.alloc(PACK_TRAILER_BYTES);
    trailer.write(TRAILER_MAGIC, 0, 'latin1');
    trailer.writeUInt32LE(PACK_VERSION, 8);
    trailer.writeUInt32LE(this.#entries.length, 12);
    trailer.writeUInt32LE(this.sizeBytes, 16);
    trailer.writeUInt32LE(this.#entries.filter(({ base }) => base !== null).length, 20);
    trailer.writeUInt32LE(crc32c(footer, crc32c(this.#header)), 24);
    trailer.writeUInt32LE(crc32c(trailer.subarray(0, 28)), 28);
    return [this.#header, ...this.#records, footer, trailer];
  }
}

/** Reads a range of a pack: fewer bytes than asked for when the object ends before. */
export type RangeReader = (offset: number, length: number) => Promise<Buffer>;

/** Bytes read at once from a pack's end: the footer of a pack full of chunks is smaller. */
const TAIL_BYTES = 64 * 1024;

/** What the pack holds, from header, footer and trailer alone. Throws DamageError. */
export async function readPackEntries(
  name: PackName,
  sizeBytes: number,
  read: RangeReader,
): Promise<readonly PackEntry[]> {
  if (sizeBytes < PACK_HEADER_BYTES + PACK_TRAILER_BYTES) throw new DamageError('the pack is cut short');
  const header = await read(0, PACK_HEADER_BYTES);
  checkHeader(name, header);
  const tailStart = Math.max(PACK_HEADER_BYTES, sizeBytes - TAIL_BYTES);
  const tail = await read(tailStart, sizeBytes - tailStart);
  if (tail.length !== sizeBytes - tailStart) throw new DamageError('the pack is cut short');
  const { footerBytes } = parseTrailer(tail.subarray(-PACK_TRAILER_BYTES), sizeBytes);
  const footerStart = sizeBytes - PACK_TRAILER_BYTES - footerBytes;
  if (footerStart < PACK_HEADER_BYTES) throw new DamageError('the pack’s footer is too large');
  const footer =
    footerStart >= tailStart
      ? tail.subarray(footerStart - tailStart, footerStart - tailStart + footerBytes)
      : await read(footerStart, footerBytes);
  return parseFooter(header, footer, tail.subarray(-PACK_TRAILER_BYTES), sizeBytes);
}

/** Verifies every bit of a pack, and answers what it holds. Throws DamageError. */
export function checkPack(keys: AccountKeys, name: PackName, pack: Buffer): readonly PackEntry[] {
  if (pack.length < PACK_HEADER_BYTES + PACK_TRAILER_BYTES) throw new DamageError('the pack is cut short');
  const header = pack.subarray(0, PACK_HEADER_BYTES);
  checkHeader(name, header);
  const trailer = pack.subarray(-PACK_TRAILER_BYTES);
  const { footerBytes } = parseTrailer(trailer, pack.length);
  const footerStart = pack.length - PACK_TRAILER_BYTES - footerBytes;
  if (footerStart < PACK_HEADER_BYTES) throw new DamageError('the pack’s footer is too large');
  const footer = pack.subarray(footerStart, footerStart + footerBytes);
  const entries = parseFooter(header, footer, trailer, pack.length);
  for (const entry of entries) {
    checkEntryRecord(keys, entry, pack.subarray(entry.offset, entry.offset + entry.length));
  }
  return entries;
}

/** Verifies that the record is whole and the one that the entry tells of. Throws DamageError. */
export function checkEntryRecord(keys: AccountKeys, entry: PackEntry, record: Buffer): void {
  const header = checkRecord(keys, record);
  const same =
    header.kind === entry.kind &&
    header.key.equals(entry.key) &&
    header.plainBytes === entry.plainBytes &&
    (header.delta === null ? entry.base === null : entry.base?.equals(header.delta.base) === true) &&
    record.length === entry.length;
  if (!same) throw new DamageError('the record is not what the footer says');
}

/** The first PACK_HEADER_BYTES of a pack of this name. */
export function encodeHeader(name: PackName): Buffer {
  const header = Buffer.alloc(PACK_HEADER_BYTES);
  header.write(HEADER_MAGIC, 0, 'latin1');
  header.writeUInt32LE(PACK_VERSION, 8);
  header.write(name.account, 16, 'latin1');
  header.write(name.id, 28, 'hex');
  header.writeUInt32LE(crc32c(header.subarray(0, 60)), 60);
  return header;
}

function checkHeader(name: PackName, header: Buffer): void {
  if (header.length !== PACK_HEADER_BYTES) throw new DamageError('the pack is cut short');
  if (header.toString('latin1', 0, 8) !== HEADER_MAGIC) throw new DamageError('the object is no pack');
  if (header.readUInt32LE(60) !== crc32c(header.subarray(0, 60))) throw new DamageError('the pack’s header is damaged');
  checkVersion(header.readUInt32LE(8));
  if (!header.equals(encodeHeader(name))) throw new DamageError('the pack is another one');
}

function checkVersion(version: number): void {
  if (version !== PACK_VERSION)
    throw new DamageError(`the pack is of format ${version}, which this version cannot read`);
}

function parseTrailer(trailer: Buffer, sizeBytes: number): { readonly footerBytes: number } {
  if (trailer.toString('latin1', 0, 8) !== TRAILER_MAGIC) throw new DamageError('the pack has no trailer');
  if (trailer.readUInt32LE(28) !== crc32c(trailer.subarray(0, 28))) {
    throw new DamageError('the pack’s trailer is damaged');
  }
  checkVersion(trailer.readUInt32LE(8));
  if (trailer.readUInt32LE(16) !== sizeBytes) throw new DamageError('the pack has a wrong size');
  const entryCount = trailer.readUInt32LE(12);
  if (entryCount === 0) throw new DamageError('the pack holds no record');
  const deltaCount = trailer.readUInt32LE(20);
  if (deltaCount > entryCount) throw new DamageError('the pack has more deltas than records');
  return { footerBytes: entryCount * PACK_ENTRY_BYTES + deltaCount * PACK_BASE_BYTES };
}

function entryBytes(entry: PackEntry): number {
  return PACK_ENTRY_BYTES + (entry.base === null ? 0 : PACK_BASE_BYTES);
}

function encodeEntry(entry: PackEntry): Buffer {
  const bytes = Buffer.alloc(entryBytes(entry));
  bytes.set(entry.key, 0);
  bytes.writeUInt8(kindCode(entry.kind), KEY_BYTES);
  bytes.writeUInt32LE(entry.offset, 36);
  bytes.writeUInt32LE(entry.length, 40);
  bytes.writeUInt32LE(entry.plainBytes, 44);
  if (entry.base !== null) bytes.set(entry.base, PACK_ENTRY_BYTES);
  return bytes;
}

function parseFooter(header: Buffer, footer: Buffer, trailer: Buffer, sizeBytes: number): readonly PackEntry[] {
  if (crc32c(footer, crc32c(header)) !== trailer.readUInt32LE(24)) {
    throw new DamageError('the pack’s footer is damaged');
  }
  const entries: PackEntry[] = [];
  let end = PACK_HEADER_BYTES;
  for (let at = 0; at < footer.length;) {
    if (at + PACK_ENTRY_BYTES > footer.length) throw new DamageError('the pack’s footer is cut short');
    if (footer.readUIntLE(at + 33, 3) !== 0) throw new DamageError('the pack’s footer has unknown flags');
    const kind = kindOf(footer.readUInt8(at + KEY_BYTES));
    const entryEnd = at + PACK_ENTRY_BYTES + (kind === 'delta' ? PACK_BASE_BYTES : 0);
    if (entryEnd > footer.length) throw new DamageError('the pack’s footer is cut short');
    const entry: PackEntry = {
      key: Buffer.from(footer.subarray(at, at + KEY_BYTES)),
      kind,
      offset: footer.readUInt32LE(at + 36),
      length: footer.readUInt32LE(at + 40),
      plainBytes: footer.readUInt32LE(at + 44),
      base: kind === 'delta' ? Buffer.from(footer.subarray(at + PACK_ENTRY_BYTES, entryEnd)) : null,
    };
    if (entry.offset !== end) throw new DamageError('the pack’s records leave a gap');
    end += entry.length;
    at = entryEnd;
    entries.push(entry);
  }
  if (end !== sizeBytes - PACK_TRAILER_BYTES - footer.length) throw new DamageError('the pack’s records leave a gap');
  if (entries.length !== trailer.readUInt32LE(12)) throw new DamageError('the pack’s trailer miscounts');
  return entries;
}
