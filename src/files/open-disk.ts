import { type ByteReader, windowOf } from './byte-reader.ts';
import { ExtFileSystem } from './ext-file-system.ts';
import { FatFileSystem } from './fat-file-system.ts';
import type { FileSystem } from './file-system.ts';
import { FileSystemError } from './file-system-error.ts';
import { type Partition, readPartitionTable } from './partitions.ts';
import { type Recognised, recognise } from './recognise.ts';

/** A part of a disk, and what lies there. */
export interface DiskPart {
  /** Null: the whole disk, which has no partitions. */
  readonly partition: Partition | null;
  /** Bytes, from the beginning of the disk. */
  readonly offset: number;
  readonly length: number;
  readonly found: Recognised;
}

/** A file system that was chosen on a disk. */
export interface OpenedPart {
  readonly part: DiskPart;
  readonly files: FileSystem;
}

/** The parts of a disk: its partitions, or all of it. Throws FileSystemError. */
export async function partsOf(disk: ByteReader): Promise<readonly DiskPart[]> {
  const whole = { partition: null, offset: 0, length: disk.sizeBytes, found: await recognise(disk) };
  // A boot sector of FAT may look like a partition table; that of a disk has no parameters of a file system.
  if (whole.found.kind === 'fat' || (whole.found.kind === 'other' && (await isAtTheVeryFront(disk)))) return [whole];
  const table = await readPartitionTable(disk);
  if (table === null) return [whole];
  const parts: DiskPart[] = [];
  for (const partition of table.partitions) {
    const { offset, length } = partition;
    const reader = windowOf(disk, offset, length);
    parts.push({ partition, offset, length: reader.sizeBytes, found: await recognise(reader) });
  }
  return parts;
}

/** Where a partition table would be, there is something else. */
async function isAtTheVeryFront(disk: ByteReader): Promise<boolean> {
  const sector = await disk.read(0, Math.min(512, disk.sizeBytes));
  return (
    sector.length < 512 || sector.readUInt16LE(510) !== 0xaa55 || sector.toString('latin1', 3, 11).trim() === 'NTFS'
  );
}

/**
 * Opens the file system of a disk: that of partition `number`, or (null) the only ext one, or else the only one that can be
 * read. Throws FileSystemError, which names what was found instead.
 */
export async function openDisk(disk: ByteReader, number: number | null): Promise<OpenedPart> {
  return await openPart(disk, choosePart(await partsOf(disk), number));
}

/** The part that is meant; throws FileSystemError. */
export function choosePart(parts: readonly DiskPart[], number: number | null): DiskPart {
  if (number !== null) {
    const found = parts.find(({ partition }) => partition?.number === number);
    if (found !== undefined) return found;
    throw new FileSystemError('not-found', `there is no partition ${number}; ${partsInWords(parts)}`);
  }
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  const ext = parts.filter(({ found }) => found.kind === 'ext');
  const readable = ext.length > 0 ? ext : parts.filter(({ found }) => found.kind === 'fat');
  const [chosen] = readable;
  if (chosen === undefined)
    throw new FileSystemError('unsupported', `nothing on it can be read here; ${partsInWords(parts)}`);
  if (readable.length === 1) return chosen;
  throw new FileSystemError(
    'unsupported',
    `several file systems can be read; say which with --partition N: ${partsInWords(parts)}`,
  );
}

export async function openPart(disk: ByteReader, part: DiskPart): Promise<OpenedPart> {
  const reader = windowOf(disk, part.offset, part.length);
  const { found } = part;
  if (found.kind === 'ext') return { part, files: await ExtFileSystem.open(reader) };
  if (found.kind === 'fat') return { part, files: await FatFileSystem.open(reader) };
  const where = part.partition === null ? 'it' : `partition ${part.partition.number}`;
  if (found.kind === 'empty')
    throw new FileSystemError('unsupported', `${where} is empty: nothing but zeros where a file system begins`);
  if (found.kind === 'unknown') throw new FileSystemError('unsupported', `what is on ${where} is no known file system`);
  throw new FileSystemError(
    'unsupported',
    `${where} is ${found.name}, and only ext2, ext3, ext4 and FAT can be read here`,
  );
}

/** The parts and what they hold, in one line. */
export function partsInWords(parts: readonly DiskPart[]): string {
  if (parts.length === 0) return 'its partition table is empty';
  return parts
    .map((part) => `${part.partition === null ? 'the whole disk' : part.partition.number}: ${partInWords(part)}`)
    .join(', ');
}

export function partInWords({ found, partition }: DiskPart): string {
  const name = partition === null || partition.name === '' ? '' : ` "${partition.name}"`;
  const what =
    found.kind === 'ext' ? 'ext' : found.kind === 'fat' ? 'FAT' : found.kind === 'other' ? found.name : found.kind;
  return `${what}${name}`;
}
