import type { ByteReader } from './byte-reader.ts';
import { CachedReader } from './cached-reader.ts';
import { LongName, shortName } from './fat-names.ts';
import {
  DIRECTORY_ENTRIES_MAX,
  type DirectoryEntry,
  type FileNode,
  type FileRun,
  type FileSystem,
  type FileTime,
  isDots,
  isFileName,
} from './file-system.ts';
import { damaged, FileSystemError } from './file-system-error.ts';
import { isFat } from './recognise.ts';

const ENTRY_BYTES = 32;
const ATTRIBUTE = { readOnly: 0x01, label: 0x08, directory: 0x10, longName: 0x0f } as const;
const DELETED = 0xe5;
/** The first cluster of the data; 0 and 1 are no clusters. */
const FIRST_CLUSTER = 2;
/** More entries of 32 bytes do not fit into a directory (specification, section 6); some to spare. */
const DIRECTORY_BYTES_MAX = 4 * 1024 * 1024;

interface Geometry {
  readonly bits: 12 | 16 | 32;
  readonly clusterBytes: number;
  readonly clusterCount: number;
  readonly fatAt: number;
  readonly fatBytes: number;
  /** Of FAT12 and FAT16: the root directory lies before the clusters. */
  readonly rootAt: number;
  readonly rootBytes: number;
  /** Of FAT32. */
  readonly rootCluster: number;
  readonly dataAt: number;
}

/** What an entry of a directory says. */
interface FatFile {
  readonly id: number;
  readonly isDirectory: boolean;
  readonly isReadOnly: boolean;
  readonly cluster: number;
  readonly sizeBytes: number;
  readonly modified: FileTime;
}

/**
 * FAT12, FAT16 and FAT32 with long names (Microsoft, "FAT: General Overview of On-Disk Format", 1.03). Times have no zone in
 * FAT and are taken as UTC. Modes are what Linux shows by default.
 */
export class FatFileSystem implements FileSystem {
  readonly kind: string;
  readonly label: string;
  readonly notes: readonly string[] = [];
  readonly #reader: ByteReader;
  readonly #geometry: Geometry;

  private constructor(reader: ByteReader, geometry: Geometry, label: string) {
    this.#reader = reader;
    this.#geometry = geometry;
    this.kind = `fat${geometry.bits}`;
    this.label = label;
  }

  /** Throws FileSystemError. */
  static async open(base: ByteReader): Promise<FatFileSystem> {
    const reader = new CachedReader(base);
    const boot = await reader.read(0, 512);
    if (!isFat(boot)) throw damaged('its boot sector is not one of FAT');
    const geometry = geometryOf(boot, base.sizeBytes);
    const labelAt = geometry.bits === 32 ? 71 : 43;
    const label = boot.toString('latin1', labelAt, labelAt + 11).trimEnd();
    return new FatFileSystem(reader, geometry, label === 'NO NAME' ? '' : label);
  }

  async root(): Promise<FileNode> {
    const { rootCluster } = this.#geometry;
    return new FatNode(this, {
      id: 0,
      isDirectory: true,
      isReadOnly: false,
      cluster: rootCluster,
      sizeBytes: 0,
      modified: { seconds: 0, nanoseconds: 0 },
    });
  }

  async read(at: number, length: number): Promise<Buffer> {
    return await this.#reader.read(at, length);
  }

  /** Where the parts of a chain lie, at most `bytesMax` of it. */
  async *runs(cluster: number, bytesMax: number): AsyncGenerator<{ readonly at: number; readonly length: number }> {
    const { clusterBytes, clusterCount, dataAt } = this.#geometry;
    let run: { at: number; length: number } | null = null;
    let count = 0;
    for (let next = cluster; count * clusterBytes < bytesMax; count += 1) {
      if (this.#isEnd(next)) break;
      if (next < FIRST_CLUSTER || next >= FIRST_CLUSTER + clusterCount)
        throw damaged('a chain leads outside of its FAT');
      if (count >= clusterCount) throw damaged('a chain in its FAT is a loop');
      const at = dataAt + (next - FIRST_CLUSTER) * clusterBytes;
      if (run !== null && run.at + run.length === at) run.length += clusterBytes;
      else {
        if (run !== null) yield run;
        run = { at, length: clusterBytes };
      }
      next = await this.#nextCluster(next);
    }
    if (run !== null) yield run;
  }

  /** The parts of a directory; the root of FAT12 and FAT16 is no chain. */
  async *directoryRuns(file: FatFile): AsyncGenerator<{ readonly at: number; readonly length: number }> {
    const { rootAt, rootBytes, bits } = this.#geometry;
    if (file.id === 0 && bits !== 32) yield { at: rootAt, length: rootBytes };
    else yield* this.runs(file.cluster, DIRECTORY_BYTES_MAX);
  }

  #isEnd(cluster: number): boolean {
    return cluster >= { 12: 0xff8, 16: 0xfff8, 32: 0xfff_fff8 }[this.#geometry.bits];
  }

  async #nextCluster(cluster: number): Promise<number> {
    const { bits, fatAt, fatBytes } = this.#geometry;
    const at = Math.floor((cluster * bits) / 8);
    const length = bits === 32 ? 4 : 2;
    if (at + length > fatBytes) throw damaged('a chain leads outside of its FAT');
    const bytes = await this.#reader.read(fatAt + at, length);
    if (bits === 32) return bytes.readUInt32LE(0) & 0xfff_ffff;
    const value = bytes.readUInt16LE(0);
    if (bits === 16) return value;
    return cluster % 2 === 0 ? value & 0xfff : value >>> 4;
  }
}

function geometryOf(boot: Buffer, deviceBytes: number): Geometry {
  const sectorBytes = boot.readUInt16LE(11);
  const clusterBytes = boot.readUInt8(13) * sectorBytes;
  const reserved = boot.readUInt16LE(14);
  const rootBytes = boot.readUInt16LE(17) * ENTRY_BYTES;
  const sectorCount = boot.readUInt16LE(19) || boot.readUInt32LE(32);
  const fatSectors = boot.readUInt16LE(22) || boot.readUInt32LE(36);
  const rootAt = (reserved + boot.readUInt8(16) * fatSectors) * sectorBytes;
  const dataAt = rootAt + Math.ceil(rootBytes / sectorBytes) * sectorBytes;
  const endAt = sectorCount * sectorBytes;
  if (endAt > deviceBytes) throw damaged(`its boot sector tells ${endAt} bytes, and it lies on ${deviceBytes}`);
  if (fatSectors === 0 || dataAt >= endAt) throw damaged('its boot sector tells that it has no clusters');
  const clusterCount = Math.floor((endAt - dataAt) / clusterBytes);
  const bits = clusterCount < 4085 ? 12 : clusterCount < 65_525 ? 16 : 32;
  return {
    bits,
    clusterBytes,
    clusterCount,
    fatAt: reserved * sectorBytes,
    fatBytes: fatSectors * sectorBytes,
    rootAt,
    rootBytes,
    rootCluster: bits === 32 ? boot.readUInt32LE(44) & 0xfff_ffff : 0,
    dataAt,
  };
}

class FatNode implements FileNode {
  readonly mode: number;
  readonly uid = 0;
  readonly gid = 0;
  readonly linkCount = 1;
  readonly device = null;
  readonly #system: FatFileSystem;
  readonly #file: FatFile;

  constructor(system: FatFileSystem, file: FatFile) {
    this.#system = system;
    this.#file = file;
    this.mode = file.isReadOnly ? 0o555 : 0o755;
  }

  get id(): number {
    return this.#file.id;
  }
  get kind(): FileNode['kind'] {
    return this.#file.isDirectory ? 'directory' : 'file';
  }
  get sizeBytes(): number {
    return this.#file.sizeBytes;
  }
  get modified(): FileTime {
    return this.#file.modified;
  }

  async *entries(): AsyncGenerator<DirectoryEntry> {
    if (!this.#file.isDirectory) throw new FileSystemError('not-a-directory', 'it is not a directory');
    const long = new LongName();
    let left = DIRECTORY_ENTRIES_MAX;
    for await (const { at, length } of this.#system.directoryRuns(this.#file)) {
      const bytes = await this.#system.read(at, length);
      for (let offset = 0; offset + ENTRY_BYTES <= length; offset += ENTRY_BYTES) {
        const entry = bytes.subarray(offset, offset + ENTRY_BYTES);
        if (entry[0] === 0) return;
        const found = this.#entry(entry, at + offset, long);
        if (found === null) continue;
        if ((left -= 1) < 0) throw damaged('a directory has absurdly many names');
        yield found;
      }
    }
  }

  /** Null for what is no file: parts of names, the label, what was deleted. */
  #entry(entry: Buffer, at: number, long: LongName): DirectoryEntry | null {
    const attributes = entry.readUInt8(11);
    if (entry[0] === DELETED) {
      long.clear();
      return null;
    }
    if ((attributes & 0x3f) === ATTRIBUTE.longName) {
      long.add(entry);
      return null;
    }
    const name = Buffer.from(long.take(entry) ?? shortName(entry));
    if ((attributes & ATTRIBUTE.label) !== 0 || isDots(name)) return null;
    if (!isFileName(name)) throw damaged('a directory has a name that cannot be');
    const isDirectory = (attributes & ATTRIBUTE.directory) !== 0;
    const cluster = entry.readUInt16LE(20) * 65_536 + entry.readUInt16LE(26);
    // What has clusters is told by its first one, so that a directory that is named twice is known again.
    const id = isDirectory ? cluster : -at;
    const file: FatFile = {
      id,
      isDirectory,
      isReadOnly: (attributes & ATTRIBUTE.readOnly) !== 0,
      cluster,
      sizeBytes: isDirectory ? 0 : entry.readUInt32LE(28),
      modified: timeOf(entry.readUInt16LE(24), entry.readUInt16LE(22)),
    };
    return { name, id, open: async () => new FatNode(this.#system, file) };
  }

  async *content(): AsyncGenerator<FileRun> {
    const { isDirectory, cluster, sizeBytes } = this.#file;
    if (isDirectory || sizeBytes === 0) return;
    let offset = 0;
    for await (const { at, length } of this.#system.runs(cluster, sizeBytes)) {
      const count = Math.min(length, sizeBytes - offset);
      yield { offset, length: count, source: { kind: 'disk', at, inPlace: true } };
      offset += count;
    }
    if (offset < sizeBytes) throw damaged('a file is longer than its chain of clusters');
  }

  async linkTarget(): Promise<Buffer> {
    throw new FileSystemError('not-found', 'it is not a symlink');
  }
}

/** A date and a time of DOS, as UTC; steps of two seconds. */
function timeOf(date: number, time: number): FileTime {
  const [year, month, day] = [1980 + (date >>> 9), (date >>> 5) & 15, date & 31];
  const [hours, minutes, seconds] = [time >>> 11, (time >>> 5) & 63, (time & 31) * 2];
  const ms = Date.UTC(year, Math.max(1, month) - 1, Math.max(1, day), hours, minutes, seconds);
  return { seconds: Math.floor(ms / 1000), nanoseconds: 0 };
}
