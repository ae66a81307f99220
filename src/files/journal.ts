import { crc32c } from '#base/crc32c.ts';

import { type ByteReader, checkInside } from './byte-reader.ts';
import { damaged } from './file-system-error.ts';

/*
 * The journal of ext3 and ext4 (JBD2, https://docs.kernel.org/filesystems/ext4/journal.html; big-endian). A file system that
 * was mounted when its snapshot was made has its latest changes in the journal alone. The kernel would write them to their
 * places when it mounts; here they are laid over the reads, and nothing is written. What is replayed is what
 * fs/jbd2/recovery.c replays: whole transactions, in order, without the blocks that were revoked later.
 *
 * Memory: a number for each block of the journal; the blocks stay where they are.
 */

const MAGIC = 0xc03b3998;
const BLOCK = { descriptor: 1, commit: 2, superblockV1: 3, superblockV2: 4, revoke: 5 } as const;
const INCOMPAT = { revoke: 1, sixtyFour: 2, asyncCommit: 4, checksumV2: 8, checksumV3: 16, fastCommit: 32 } as const;
const TAG = { escaped: 1, sameUuid: 2, last: 8 } as const;
const HEADER_BYTES = 12;
const REVOKE_HEADER_BYTES = 16;
const UUID_BYTES = 16;
const FAST_COMMIT_BLOCKS_DEFAULT = 256;
/** The offset of the checksum in a commit block. */
const COMMIT_CHECKSUM = 16;
/** Of journals that are longer nobody has heard; it bounds the memory. */
const JOURNAL_BLOCKS_MAX = 4 * 1024 * 1024;

/** The blocks of a journal, by their number in it. */
export interface JournalBlocks {
  readonly blockBytes: number;
  readonly blockCount: number;
  read(index: number): Promise<Buffer>;
}

/** A block as the journal has it. */
interface Journalled {
  /** In the journal. */
  readonly index: number;
  /** Its first four bytes were the journal's magic, and are stored as zeros. */
  readonly escaped: boolean;
  readonly sequence: number;
}

export interface ReplayedJournal {
  readonly transactionCount: number;
  /** By their number in the file system. */
  readonly blocks: ReadonlyMap<number, Journalled>;
  readonly hasFastCommits: boolean;
}

interface JournalSuperblock {
  readonly end: number;
  readonly first: number;
  readonly sequence: number;
  readonly start: number;
  readonly incompat: number;
  readonly seed: number;
}

/** What a journal says of the blocks of its file system. Throws FileSystemError for one that is damaged. */
export async function replayJournal(journal: JournalBlocks): Promise<ReplayedJournal> {
  const superblock = parseSuperblock(await journal.read(0), journal);
  const hasFastCommits = (superblock.incompat & INCOMPAT.fastCommit) !== 0;
  if (superblock.start === 0) return { transactionCount: 0, blocks: new Map(), hasFastCommits };
  const scan = new Scan(journal, superblock);
  const transactionCount = await scan.run();
  return { transactionCount, blocks: scan.blocks, hasFastCommits };
}

function parseSuperblock(bytes: Buffer, journal: JournalBlocks): JournalSuperblock {
  const type = bytes.readUInt32BE(4);
  if (bytes.readUInt32BE(0) !== MAGIC || (type !== BLOCK.superblockV1 && type !== BLOCK.superblockV2)) {
    throw damaged('its journal has no superblock');
  }
  const incompat = type === BLOCK.superblockV1 ? 0 : bytes.readUInt32BE(40);
  const unknown = incompat & ~Object.values(INCOMPAT).reduce<number>((all, bit) => all | bit, 0);
  if (unknown !== 0) throw damaged(`its journal has unknown features (0x${(unknown >>> 0).toString(16)})`);
  const blockCount = bytes.readUInt32BE(16);
  const first = bytes.readUInt32BE(20);
  const start = bytes.readUInt32BE(28);
  const fastBlocks = (incompat & INCOMPAT.fastCommit) === 0 ? 0 : bytes.readUInt32BE(84) || FAST_COMMIT_BLOCKS_DEFAULT;
  const end = blockCount - fastBlocks;
  const isSound = bytes.readUInt32BE(12) === journal.blockBytes && blockCount <= journal.blockCount;
  if (!isSound || blockCount > JOURNAL_BLOCKS_MAX || first === 0 || first >= end || start >= end) {
    throw damaged('the superblock of its journal cannot be right');
  }
  const seed = rawCrc32c(bytes.subarray(48, 48 + UUID_BYTES), 0xffff_ffff);
  return { end, first, sequence: bytes.readUInt32BE(24), start, incompat, seed };
}

/** One way through the log, from its start to the last transaction that is whole. */
class Scan {
  readonly blocks = new Map<number, Journalled>();
  readonly #journal: JournalBlocks;
  readonly #superblock: JournalSuperblock;
  readonly #is64: boolean;
  readonly #hasChecksums: boolean;
  /** Blocks that may still be looked at: a log is no longer than its journal. */
  #left: number;
  #at: number;

  constructor(journal: JournalBlocks, superblock: JournalSuperblock) {
    this.#journal = journal;
    this.#superblock = superblock;
    this.#is64 = (superblock.incompat & INCOMPAT.sixtyFour) !== 0;
    this.#hasChecksums = (superblock.incompat & (INCOMPAT.checksumV2 | INCOMPAT.checksumV3)) !== 0;
    this.#left = superblock.end - superblock.first;
    this.#at = superblock.start;
  }

  /** The number of transactions. */
  async run(): Promise<number> {
    const revokes: { readonly index: number; readonly sequence: number }[] = [];
    let sequence = this.#superblock.sequence;
    let count = 0;
    for (;;) {
      const transaction = await this.#transaction(sequence);
      if (transaction === null) break;
      for (const [block, journalled] of transaction.blocks) this.blocks.set(block, journalled);
      revokes.push(...transaction.revokes.map((index) => ({ index, sequence })));
      sequence = (sequence + 1) >>> 0;
      count += 1;
    }
    for (const { index, sequence: revoked } of revokes) await this.#revoke(index, revoked);
    return count;
  }

  /** The transaction that begins here; null where the log ends before it is whole. */
  async #transaction(
    sequence: number,
  ): Promise<{ readonly blocks: ReadonlyMap<number, Journalled>; readonly revokes: readonly number[] } | null> {
    const blocks = new Map<number, Journalled>();
    const revokes: number[] = [];
    while (this.#left > 0) {
      const index = this.#at;
      const bytes = await this.#journal.read(index);
      this.#skip(1);
      if (bytes.readUInt32BE(0) !== MAGIC || bytes.readUInt32BE(8) !== sequence) return null;
      const type = bytes.readUInt32BE(4);
      if (type === BLOCK.commit) return this.#isCommitWhole(bytes) ? { blocks, revokes } : null;
      if (!this.#isTailRight(bytes)) return null;
      if (type === BLOCK.revoke) revokes.push(index);
      else if (type !== BLOCK.descriptor || !(await this.#takeTags(bytes, sequence, blocks))) return null;
    }
    return null;
  }

  /** The blocks that a descriptor names follow it. False when one of them was not written. */
  async #takeTags(descriptor: Buffer, sequence: number, blocks: Map<number, Journalled>): Promise<boolean> {
    const { incompat } = this.#superblock;
    const isV3 = (incompat & INCOMPAT.checksumV3) !== 0;
    const tagBytes = isV3 ? 16 : 8 + (this.#is64 ? 4 : 0) + ((incompat & INCOMPAT.checksumV2) === 0 ? 0 : 2);
    const end = descriptor.length - (this.#hasChecksums ? 4 : 0);
    for (let at = HEADER_BYTES; at + tagBytes <= end && this.#left > 0;) {
      const flags = isV3 ? descriptor.readUInt32BE(at + 4) : descriptor.readUInt16BE(at + 6);
      const high = this.#is64 ? descriptor.readUInt32BE(at + 8) : 0;
      const block = descriptor.readUInt32BE(at) + high * 2 ** 32;
      const index = this.#at;
      this.#skip(1);
      // With asynchronous commits the commit block may be older than what it commits: only the checksums tell.
      if ((incompat & INCOMPAT.asyncCommit) !== 0 && this.#hasChecksums) {
        const stored = isV3 ? descriptor.readUInt32BE(at + 12) : descriptor.readUInt16BE(at + 4);
        const found = this.#dataChecksum(await this.#journal.read(index), sequence);
        if (stored !== (isV3 ? found : found & 0xffff)) return false;
      }
      blocks.set(block, { index, escaped: (flags & TAG.escaped) !== 0, sequence });
      if ((flags & TAG.last) !== 0) break;
      at += tagBytes + ((flags & TAG.sameUuid) === 0 ? UUID_BYTES : 0);
    }
    return true;
  }

  /** Takes out what a later transaction revoked: the block was freed, and what it became since is not to be written over. */
  async #revoke(index: number, sequence: number): Promise<void> {
    const bytes = await this.#journal.read(index);
    const entryBytes = this.#is64 ? 8 : 4;
    const end = Math.min(bytes.readUInt32BE(12), bytes.length - (this.#hasChecksums ? 4 : 0));
    for (let at = REVOKE_HEADER_BYTES; at + entryBytes <= end; at += entryBytes) {
      const block = this.#is64 ? Number(bytes.readBigUInt64BE(at)) : bytes.readUInt32BE(at);
      const journalled = this.blocks.get(block);
      // Sequences wrap around at 32 bits.
      if (journalled !== undefined && ((sequence - journalled.sequence) | 0) >= 0) this.blocks.delete(block);
    }
  }

  #skip(count: number): void {
    this.#left -= count;
    this.#at += count;
    if (this.#at >= this.#superblock.end) this.#at = this.#superblock.first + (this.#at - this.#superblock.end);
  }

  #isTailRight(bytes: Buffer): boolean {
    return !this.#hasChecksums || this.#isChecksumRight(bytes, bytes.length - 4);
  }

  #isCommitWhole(bytes: Buffer): boolean {
    return !this.#hasChecksums || this.#isChecksumRight(bytes, COMMIT_CHECKSUM);
  }

  /** Over the whole block, with zeros in the place of the checksum. */
  #isChecksumRight(bytes: Buffer, place: number): boolean {
    const copy = Buffer.from(bytes);
    copy.fill(0, place, place + 4);
    return rawCrc32c(copy, this.#superblock.seed) === bytes.readUInt32BE(place);
  }

  #dataChecksum(bytes: Buffer, sequence: number): number {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(sequence);
    return rawCrc32c(bytes, rawCrc32c(number, this.#superblock.seed));
  }
}

/** As the kernel's crc32c: the register goes in and out as it is, without the inversions at both ends. */
function rawCrc32c(bytes: Uint8Array, register: number): number {
  return ~crc32c(bytes, ~register >>> 0) >>> 0;
}

/** A file system with what its journal says laid over it. */
export class ReplayedReader implements ByteReader {
  readonly sizeBytes: number;
  readonly #base: ByteReader;
  readonly #journal: JournalBlocks;
  readonly #blocks: ReadonlyMap<number, Journalled>;
  /** The blocks of the file system that the journal has, ascending. */
  readonly #numbers: Float64Array;

  constructor(base: ByteReader, journal: JournalBlocks, blocks: ReadonlyMap<number, Journalled>) {
    this.sizeBytes = base.sizeBytes;
    this.#base = base;
    this.#journal = journal;
    this.#blocks = blocks;
    this.#numbers = Float64Array.from(blocks.keys()).sort();
  }

  async read(offset: number, length: number): Promise<Buffer> {
    checkInside(this.sizeBytes, offset, length);
    const bytes = await this.#base.read(offset, length);
    if (!this.isOverlaid(offset, length)) return bytes;
    const patched = Buffer.from(bytes); // What was read belongs to a cache.
    const { blockBytes } = this.#journal;
    const end = offset + length;
    for (let place = this.#find(Math.floor(offset / blockBytes)); place < this.#numbers.length; place += 1) {
      const number = this.#numbers[place] ?? 0;
      if (number * blockBytes >= end) break;
      const block = await this.#block(number);
      const at = number * blockBytes - offset;
      block.copy(patched, Math.max(0, at), Math.max(0, -at));
    }
    return patched;
  }

  /** Whether the journal has any of these bytes. */
  isOverlaid(offset: number, length: number): boolean {
    const { blockBytes } = this.#journal;
    const number = this.#numbers[this.#find(Math.floor(offset / blockBytes))];
    return number !== undefined && number * blockBytes < offset + length;
  }

  async #block(number: number): Promise<Buffer> {
    const journalled = this.#blocks.get(number);
    if (journalled === undefined) throw damaged(`the journal lost block ${number}`);
    const bytes = await this.#journal.read(journalled.index);
    if (!journalled.escaped) return bytes;
    const whole = Buffer.from(bytes);
    whole.writeUInt32BE(MAGIC, 0);
    return whole;
  }

  /** The place of the first block that is not before `number`. */
  #find(number: number): number {
    let low = 0;
    let high = this.#numbers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#numbers[middle] ?? 0) < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
