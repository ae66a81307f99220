import type { ByteReader } from './byte-reader.ts';
import { CachedReader } from './cached-reader.ts';
import { namesIn } from './ext-directory.ts';
import { ADDRESS_BYTES, type ExtInode, INODE_FLAG, parseExtInode } from './ext-inode.ts';
import { type BlockRun, blockRuns } from './ext-map.ts';
import { type ExtSuperblock, parseExtSuperblock, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET } from './ext-superblock.ts';
import {
  DIRECTORY_ENTRIES_MAX,
  type DirectoryEntry,
  type FileNode,
  type FileRun,
  type FileSystem,
  isDots,
  isFileName,
} from './file-system.ts';
import { damaged, FileSystemError } from './file-system-error.ts';
import { type JournalBlocks, ReplayedReader, replayJournal } from './journal.ts';

const ROOT_INODE = 2;
/** A symlink is no longer than a path. */
const SYMLINK_BYTES_MAX = 4096;
/** Read of a directory at once. */
const DIRECTORY_PIECE_BYTES = 256 * 1024;
/** An inline directory begins with the number of the one above it. */
const INLINE_PARENT_BYTES = 4;
const JOURNAL_RUNS_MAX = 1024 * 1024;

/** ext2, ext3 and ext4, with the journal replayed in memory where the file system was in use. Nothing is written. */
export class ExtFileSystem implements FileSystem {
  readonly kind: string;
  readonly label: string;
  readonly notes: readonly string[];
  readonly #superblock: ExtSuperblock;
  /** The disk as it is once the journal is replayed. */
  readonly #reader: ByteReader;
  readonly #replayed: ReplayedReader | null;

  private constructor(
    superblock: ExtSuperblock,
    reader: { readonly all: ByteReader; readonly replayed: ReplayedReader | null; readonly notes: readonly string[] },
  ) {
    this.kind = superblock.kind;
    this.label = superblock.label;
    this.notes = reader.notes;
    this.#superblock = superblock;
    this.#reader = reader.all;
    this.#replayed = reader.replayed;
  }

  /** `base`: where the file system begins. Throws FileSystemError. */
  static async open(base: ByteReader): Promise<ExtFileSystem> {
    const cached = new CachedReader(base);
    const superblock = parseExtSuperblock(await cached.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES), base.sizeBytes);
    if (!superblock.needsRecovery) {
      return new ExtFileSystem(superblock, { all: cached, replayed: null, notes: [] });
    }
    if (superblock.journalInode === 0) {
      const notes = ['Its journal is on another device: the latest changes may be missing.'];
      return new ExtFileSystem(superblock, { all: cached, replayed: null, notes });
    }
    const plain = new ExtFileSystem(superblock, { all: cached, replayed: null, notes: [] });
    const journal = await plain.#journal(superblock.journalInode);
    const { transactionCount, blocks, hasFastCommits } = await replayJournal(journal);
    const notes = [
      `It was in use: ${transactionCount} ${transactionCount === 1 ? 'transaction of its journal is' : 'transactions of its journal are'} replayed in memory (${blocks.size} blocks).`,
      ...(hasFastCommits
        ? ['Fast commits in its journal are not replayed: changes of the last seconds may be missing.']
        : []),
    ];
    const replayed = new ReplayedReader(cached, journal, blocks);
    const after = parseExtSuperblock(await replayed.read(SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES), base.sizeBytes);
    if (after.blockBytes !== superblock.blockBytes) throw damaged('its journal changes the size of its blocks');
    return new ExtFileSystem(after, { all: replayed, replayed, notes });
  }

  async root(): Promise<FileNode> {
    const root = await this.node(ROOT_INODE);
    if (root.kind !== 'directory') throw damaged('its root is not a directory');
    return root;
  }

  async read(at: number, length: number): Promise<Buffer> {
    return await this.#reader.read(at, length);
  }

  /** By the number of its inode. Throws FileSystemError. */
  async node(number: number): Promise<FileNode> {
    return new ExtNode(this, await this.inode(number));
  }

  async inode(number: number): Promise<ExtInode> {
    const { inodesPerGroup, inodeBytes, inodeCount, blockBytes } = this.#superblock;
    if (number < 1 || number > inodeCount) throw damaged(`there is no inode ${number}`);
    const group = Math.floor((number - 1) / inodesPerGroup);
    const table = await this.#inodeTable(group);
    const at = table * blockBytes + ((number - 1) % inodesPerGroup) * inodeBytes;
    return parseExtInode(number, await this.#reader.read(at, inodeBytes));
  }

  blockRuns(inode: ExtInode): AsyncGenerator<BlockRun> {
    const { blockBytes, blockCount } = this.#superblock;
    return blockRuns({ reader: this.#reader, blockBytes, blockCount }, inode);
  }

  get blockBytes(): number {
    return this.#superblock.blockBytes;
  }

  get deviceBytes(): number {
    return this.#superblock.blockCount * this.#superblock.blockBytes;
  }

  isInPlace(at: number, length: number): boolean {
    return this.#replayed === null || !this.#replayed.isOverlaid(at, length);
  }

  /** The first block of a group's inodes. */
  async #inodeTable(group: number): Promise<number> {
    const { blockBytes, blockCount, descriptorBytes } = this.#superblock;
    const perBlock = blockBytes / descriptorBytes;
    const block = this.#descriptorBlock(Math.floor(group / perBlock));
    const bytes = await this.#reader.read(block * blockBytes + (group % perBlock) * descriptorBytes, descriptorBytes);
    const table = bytes.readUInt32LE(8) + (descriptorBytes >= 64 ? bytes.readUInt32LE(40) * 2 ** 32 : 0);
    if (table === 0 || table >= blockCount)
      throw damaged(`the inodes of group ${group} are outside of the file system`);
    return table;
  }

  /** Where the block of group descriptors lies. */
  #descriptorBlock(index: number): number {
    const { firstDataBlock, firstMetaGroup, blockBytes, descriptorBytes, blocksPerGroup, hasSuperblock } =
      this.#superblock;
    if (firstMetaGroup === null || index < firstMetaGroup)
      return Math.floor(SUPERBLOCK_OFFSET / blockBytes) + 1 + index;
    const group = index * (blockBytes / descriptorBytes);
    // The boot block comes first in a file system with blocks of 1 KiB that begins with block 0.
    const boot = blockBytes === 1024 && index === 0 && firstDataBlock === 0 ? 1 : 0;
    return firstDataBlock + group * blocksPerGroup + (hasSuperblock(group) ? 1 : 0) + boot;
  }

  async #journal(number: number): Promise<JournalBlocks> {
    const inode = await this.inode(number);
    if (inode.kind !== 'file') throw damaged('its journal is not a file');
    const { blockBytes } = this;
    const runs: BlockRun[] = [];
    for await (const run of this.blockRuns(inode)) {
      runs.push(run);
      if (runs.length > JOURNAL_RUNS_MAX) throw damaged('its journal is in too many pieces');
    }
    const last = runs.at(-1);
    const placeOf = (index: number): number => {
      let low = 0;
      let high = runs.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        const run = runs[middle];
        if (run !== undefined && run.block + run.count <= index) low = middle + 1;
        else high = middle;
      }
      const run = runs[low];
      if (run === undefined || index < run.block) throw damaged(`its journal has no block ${index}`);
      return run.at + index - run.block;
    };
    return {
      blockBytes,
      blockCount: last === undefined ? 0 : last.block + last.count,
      read: async (index) => await this.#reader.read(placeOf(index) * blockBytes, blockBytes),
    };
  }
}

class ExtNode implements FileNode {
  readonly #system: ExtFileSystem;
  readonly #inode: ExtInode;

  constructor(system: ExtFileSystem, inode: ExtInode) {
    this.#system = system;
    this.#inode = inode;
  }

  get id(): number {
    return this.#inode.number;
  }
  get kind(): FileNode['kind'] {
    return this.#inode.kind;
  }
  get mode(): number {
    return this.#inode.mode;
  }
  get uid(): number {
    return this.#inode.uid >>> 0;
  }
  get gid(): number {
    return this.#inode.gid >>> 0;
  }
  get sizeBytes(): number {
    return this.#inode.sizeBytes;
  }
  get linkCount(): number {
    return this.#inode.linkCount;
  }
  get modified(): FileNode['modified'] {
    return this.#inode.modified;
  }
  get device(): FileNode['device'] {
    return this.#inode.device;
  }

  async *entries(): AsyncGenerator<DirectoryEntry> {
    const inode = this.#inode;
    if (inode.kind !== 'directory') throw new FileSystemError('not-a-directory', 'it is not a directory');
    if (inode.sizeBytes > this.#system.deviceBytes) {
      throw damaged(`the directory with inode ${inode.number} is larger than the file system`);
    }
    let left = DIRECTORY_ENTRIES_MAX;
    for await (const block of this.#directoryBlocks()) {
      const { blockBytes } = this.#system;
      for (const { inode: number, name } of namesIn(block, {
        inode: inode.number,
        blockBytes,
      })) {
        if (isDots(name)) continue;
        if (!isFileName(name)) throw damaged(`the directory with inode ${inode.number} has a name that cannot be`);
        if ((left -= 1) < 0) throw damaged(`the directory with inode ${inode.number} has absurdly many names`);
        yield { name, id: number, open: async () => await this.#system.node(number) };
      }
    }
  }

  async *#directoryBlocks(): AsyncGenerator<Buffer> {
    const inode = this.#inode;
    const { blockBytes } = this.#system;
    if (isInline(inode)) {
      yield inode.addresses.subarray(INLINE_PARENT_BYTES);
      if (inode.inlineRest.length > 0) yield inode.inlineRest;
      return;
    }
    for await (const run of this.content()) {
      if (run.source.kind !== 'disk') throw damaged(`the directory with inode ${inode.number} has holes`);
      const end = run.source.at + run.length;
      for (let at = run.source.at; at < end; at += DIRECTORY_PIECE_BYTES) {
        const piece = await this.#system.read(at, Math.min(DIRECTORY_PIECE_BYTES, end - at));
        for (let start = 0; start < piece.length; start += blockBytes) yield piece.subarray(start, start + blockBytes);
      }
    }
  }

  async *content(): AsyncGenerator<FileRun> {
    const inode = this.#inode;
    if (inode.kind !== 'file' && inode.kind !== 'directory' && inode.kind !== 'symlink') return;
    if ((inode.flags & INODE_FLAG.compressed) !== 0) throw unsupported(`inode ${inode.number} is compressed`);
    if ((inode.flags & INODE_FLAG.encrypted) !== 0) {
      if (inode.kind !== 'directory') throw unsupported(`inode ${inode.number} is encrypted`);
    }
    const { sizeBytes } = inode;
    if (isInline(inode)) {
      const bytes = inlineContent(inode);
      if (sizeBytes > 0) yield { offset: 0, length: sizeBytes, source: { kind: 'bytes', bytes } };
      return;
    }
    yield* this.#runs();
  }

  async *#runs(): AsyncGenerator<FileRun> {
    const { sizeBytes } = this.#inode;
    const { blockBytes } = this.#system;
    let offset = 0;
    for await (const run of this.#system.blockRuns(this.#inode)) {
      const start = Math.min(run.block * blockBytes, sizeBytes);
      const end = Math.min((run.block + run.count) * blockBytes, sizeBytes);
      if (start > offset) yield { offset, length: start - offset, source: { kind: 'hole' } };
      if (end <= start) break; // Blocks behind the end were reserved.
      const at = run.at * blockBytes;
      const inPlace = this.#system.isInPlace(at, end - start);
      yield { offset: start, length: end - start, source: { kind: 'disk', at, inPlace } };
      offset = end;
    }
    if (offset < sizeBytes) yield { offset, length: sizeBytes - offset, source: { kind: 'hole' } };
  }

  async linkTarget(): Promise<Buffer> {
    const inode = this.#inode;
    if (inode.kind !== 'symlink') throw new FileSystemError('not-found', 'it is not a symlink');
    if (inode.sizeBytes > SYMLINK_BYTES_MAX) throw damaged(`the symlink with inode ${inode.number} is too long`);
    if ((inode.flags & INODE_FLAG.encrypted) !== 0) throw unsupported(`inode ${inode.number} is encrypted`);
    const isShort =
      inode.sizeBytes < ADDRESS_BYTES && (inode.flags & (INODE_FLAG.extents | INODE_FLAG.inlineData)) === 0;
    if (isShort) return inode.addresses.subarray(0, inode.sizeBytes);
    const parts: Buffer[] = [];
    for await (const { length, source } of this.content()) {
      if (source.kind === 'hole') throw damaged(`the symlink with inode ${inode.number} has holes`);
      parts.push(source.kind === 'bytes' ? source.bytes : await this.#system.read(source.at, length));
    }
    return Buffer.concat(parts);
  }
}

function isInline(inode: ExtInode): boolean {
  return (inode.flags & INODE_FLAG.inlineData) !== 0;
}

/** A content inside the inode; it is short, whatever its size says. */
function inlineContent(inode: ExtInode): Buffer {
  const stored = Buffer.concat([inode.addresses, inode.inlineRest]);
  if (inode.sizeBytes > stored.length) throw damaged(`inode ${inode.number} is larger than what it holds`);
  return stored.subarray(0, inode.sizeBytes);
}

function unsupported(message: string): FileSystemError {
  return new FileSystemError('unsupported', message);
}
