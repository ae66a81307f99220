import { crc32 } from 'node:zlib';

import type { ByteReader } from './byte-reader.ts';
import { damaged } from './file-system-error.ts';

/** A part of a disk, in bytes. */
export interface Partition {
  /** As Linux counts them, from 1. */
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  /** GPT has names. */
  readonly name: string;
  /** The type in the table: a GUID (GPT) or two hexadecimal digits (MBR). */
  readonly type: string;
}

export interface PartitionTable {
  readonly kind: 'gpt' | 'mbr';
  readonly partitions: readonly Partition[];
}

const SECTOR_SIZES = [512, 4096] as const;
const GPT_SIGNATURE = 'EFI PART';
const GPT_TABLE_BYTES_MAX = 1024 * 1024;
const MBR_SIGNATURE = 0xaa55;
const MBR_SECTOR_BYTES = 512;
const EXTENDED = new Set([0x05, 0x0f, 0x85]);
const PROTECTIVE = 0xee;
/** Logical partitions are a chain; a longer one is a loop. */
const LOGICAL_MAX = 256;

/** The partition table of a disk; null when there is none. Throws FileSystemError for one that is damaged. */
export async function readPartitionTable(disk: ByteReader): Promise<PartitionTable | null> {
  const gpt = await readGpt(disk);
  return gpt ?? (await readMbr(disk));
}

/** UEFI specification 2.10, section 5.3. The header at the beginning, else the copy at the end. */
async function readGpt(disk: ByteReader): Promise<PartitionTable | null> {
  for (const sectorBytes of SECTOR_SIZES) {
    for (const at of [sectorBytes, disk.sizeBytes - sectorBytes]) {
      const partitions = await readGptAt(disk, at, sectorBytes);
      if (partitions !== null) return { kind: 'gpt', partitions };
    }
  }
  return null;
}

async function readGptAt(disk: ByteReader, at: number, sectorBytes: number): Promise<readonly Partition[] | null> {
  if (at < 0 || at + sectorBytes > disk.sizeBytes) return null;
  const header = Buffer.from(await disk.read(at, sectorBytes));
  if (header.toString('latin1', 0, 8) !== GPT_SIGNATURE) return null;
  const headerBytes = header.readUInt32LE(12);
  const checksum = header.readUInt32LE(16);
  header.fill(0, 16, 20);
  if (headerBytes < 92 || headerBytes > sectorBytes || crc32(header.subarray(0, headerBytes)) !== checksum) return null;
  const tableAt = Number(header.readBigUInt64LE(72)) * sectorBytes;
  const count = header.readUInt32LE(80);
  const entryBytes = header.readUInt32LE(84);
  const tableBytes = count * entryBytes;
  if (entryBytes < 128 || tableBytes > GPT_TABLE_BYTES_MAX || tableAt + tableBytes > disk.sizeBytes) return null;
  const table = await disk.read(tableAt, tableBytes);
  if (crc32(table) !== header.readUInt32LE(88)) return null;
  const partitions: Partition[] = [];
  for (let index = 0; index < count; index += 1) {
    const entry = table.subarray(index * entryBytes, (index + 1) * entryBytes);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    const firstSector = Number(entry.readBigUInt64LE(32));
    const lastSector = Number(entry.readBigUInt64LE(40));
    const place = { offset: firstSector * sectorBytes, length: (lastSector - firstSector + 1) * sectorBytes };
    if (!isInside(disk, place)) continue;
    const name = entry.toString('utf16le', 56, 128).replace(/\0[\s\S]*$/, '');
    partitions.push({ number: index + 1, ...place, name, type: guid(entry) });
  }
  return partitions;
}

async function readMbr(disk: ByteReader): Promise<PartitionTable | null> {
  if (disk.sizeBytes < MBR_SECTOR_BYTES) return null;
  const sector = await disk.read(0, MBR_SECTOR_BYTES);
  if (sector.readUInt16LE(510) !== MBR_SIGNATURE) return null;
  const entries = mbrEntries(sector);
  // The flag of a partition to start from is 0x80 or nothing; anything else is the code of a boot sector.
  if (entries.some(({ status }) => status !== 0 && status !== 0x80)) return null;
  if (entries.some(({ type }) => type === PROTECTIVE)) {
    throw damaged('its partition table says that it has a GPT, and neither GPT header is whole');
  }
  const partitions: Partition[] = [];
  for (const [index, { type, firstSector, sectorCount }] of entries.entries()) {
    if (type === 0 || sectorCount === 0) continue;
    if (EXTENDED.has(type)) {
      partitions.push(...(await readLogical(disk, firstSector)));
      continue;
    }
    const place = { offset: firstSector * MBR_SECTOR_BYTES, length: sectorCount * MBR_SECTOR_BYTES };
    if (isInside(disk, place)) partitions.push({ number: index + 1, ...place, name: '', type: hex(type) });
  }
  return partitions.length === 0 ? null : { kind: 'mbr', partitions };
}

/** The partitions inside an extended one: each has a table that names itself and the next. */
async function readLogical(disk: ByteReader, extendedSector: number): Promise<readonly Partition[]> {
  const partitions: Partition[] = [];
  const seen = new Set<number>();
  for (let at = extendedSector; !seen.has(at) && seen.size < LOGICAL_MAX;) {
    seen.add(at);
    const offset = at * MBR_SECTOR_BYTES;
    if (offset + MBR_SECTOR_BYTES > disk.sizeBytes) break;
    const sector = await disk.read(offset, MBR_SECTOR_BYTES);
    if (sector.readUInt16LE(510) !== MBR_SIGNATURE) break;
    const [own, next] = mbrEntries(sector);
    if (own !== undefined && own.type !== 0 && own.sectorCount > 0) {
      const place = {
        offset: offset + own.firstSector * MBR_SECTOR_BYTES,
        length: own.sectorCount * MBR_SECTOR_BYTES,
      };
      if (isInside(disk, place))
        partitions.push({ number: 5 + partitions.length, ...place, name: '', type: hex(own.type) });
    }
    if (next === undefined || !EXTENDED.has(next.type)) break;
    at = extendedSector + next.firstSector;
  }
  return partitions;
}

function mbrEntries(sector: Buffer): readonly {
  readonly status: number;
  readonly type: number;
  readonly firstSector: number;
  readonly sectorCount: number;
}[] {
  return [446, 462, 478, 494].map((at) => ({
    status: sector.readUInt8(at),
    type: sector.readUInt8(at + 4),
    firstSector: sector.readUInt32LE(at + 8),
    sectorCount: sector.readUInt32LE(at + 12),
  }));
}

/** Begins after the table and inside the disk; a disk that was cut keeps its partitions, cut. */
function isInside(disk: ByteReader, place: { readonly offset: number; readonly length: number }): boolean {
  const { offset, length } = place;
  return Number.isSafeInteger(offset + length) && offset > 0 && length > 0 && offset < disk.sizeBytes;
}

function hex(type: number): string {
  return type.toString(16).padStart(2, '0');
}

/** The first three parts of a GUID are little-endian. */
function guid(bytes: Buffer): string {
  const part = (start: number, end: number): string =>
    Buffer.from(bytes.subarray(start, end).toReversed()).toString('hex');
  return `${part(0, 4)}-${part(4, 6)}-${part(6, 8)}-${bytes.toString('hex', 8, 10)}-${bytes.toString('hex', 10, 16)}`;
}
