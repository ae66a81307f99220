import type { ByteReader } from './byte-reader.ts';
import { ADDRESS_BYTES, type ExtInode, INODE_FLAG } from './ext-inode.ts';
import { damaged } from './file-system-error.ts';

/** Blocks [block, block + count) of a file, which lie from `at` on in the file system. Ascending; what is between is a hole. */
export interface BlockRun {
  readonly block: number;
  readonly count: number;
  readonly at: number;
}

/** What is needed to find the blocks of a file. */
export interface ExtBlocks {
  readonly reader: ByteReader;
  readonly blockBytes: number;
  readonly blockCount: number;
}

const EXTENT_MAGIC = 0xf30a;
const EXTENT_ENTRY_BYTES = 12;
const EXTENT_DEPTH_MAX = 5;
/** Longer lengths are of blocks that were never written, and read as zeros. */
const EXTENT_BLOCKS_MAX = 32_768;
/** A file has no more blocks than 32 bits can number. */
const FILE_BLOCKS_MAX = 2 ** 32;
const DIRECT_COUNT = 12;

/**
 * A file that names more blocks than there are goes in circles. Every block that is read or named on the way counts once, so
 * that looking through any file comes to an end in the order of the size of the file system.
 */
class Budget {
  readonly #inode: number;
  #left: number;

  constructor(inode: number, blockCount: number) {
    this.#inode = inode;
    this.#left = blockCount;
  }

  spend(count: number): void {
    this.#left -= count;
    if (this.#left < 0) throw damaged(`inode ${this.#inode} names more blocks than there are`);
  }
}

/** The runs of a file; throws FileSystemError for one that leads outside, goes back or never ends. */
export async function* blockRuns(blocks: ExtBlocks, inode: ExtInode): AsyncGenerator<BlockRun> {
  const budget = new Budget(inode.number, blocks.blockCount);
  const pieces =
    (inode.flags & INODE_FLAG.extents) === 0
      ? mappedRuns(blocks, inode, budget)
      : extentRuns(blocks, inode, { node: inode.addresses, start: 0, end: FILE_BLOCKS_MAX, depth: null }, budget);
  // What is gathered so far, not told yet; no blocks: nothing.
  let [block, count, at] = [0, 0, 0];
  for await (const piece of pieces) {
    if (count > 0 && block + count === piece.block && at + count === piece.at) {
      count += piece.count;
      continue;
    }
    if (count > 0) yield { block, count, at };
    ({ block, count, at } = piece);
  }
  if (count > 0) yield { block, count, at };
}

async function* extentRuns(
  blocks: ExtBlocks,
  inode: ExtInode,
  from: { readonly node: Buffer; readonly start: number; readonly end: number; readonly depth: number | null },
  budget: Budget,
): AsyncGenerator<BlockRun> {
  const { node, end } = from;
  const bad = (what: string): Error => damaged(`the extents of inode ${inode.number} ${what}`);
  if (node.readUInt16LE(0) !== EXTENT_MAGIC) throw bad('are none');
  const count = node.readUInt16LE(2);
  const depth = node.readUInt16LE(6);
  if ((count + 1) * EXTENT_ENTRY_BYTES > node.length) throw bad('are more than fit');
  if (depth > EXTENT_DEPTH_MAX || (from.depth !== null && depth !== from.depth)) throw bad('have a wrong depth');
  let next = from.start;
  for (let index = 0; index < count; index += 1) {
    const at = (index + 1) * EXTENT_ENTRY_BYTES;
    const block = node.readUInt32LE(at);
    if (block < next || block >= end) throw bad('are not in order');
    if (depth === 0) {
      const length = node.readUInt16LE(at + 4);
      const blockCount = length > EXTENT_BLOCKS_MAX ? length - EXTENT_BLOCKS_MAX : length;
      const place = node.readUInt16LE(at + 6) * 2 ** 32 + node.readUInt32LE(at + 8);
      next = block + blockCount;
      if (blockCount === 0 || next > end) throw bad('overlap');
      if (place + blockCount > blocks.blockCount) throw bad('lead outside of the file system');
      budget.spend(blockCount);
      if (length <= EXTENT_BLOCKS_MAX) yield { block, count: blockCount, at: place };
      continue;
    }
    const place = node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32;
    if (place >= blocks.blockCount) throw bad('lead outside of the file system');
    budget.spend(1);
    const child = await blocks.reader.read(place * blocks.blockBytes, blocks.blockBytes);
    const childEnd = index + 1 < count ? node.readUInt32LE(at + EXTENT_ENTRY_BYTES) : end;
    next = block + 1;
    yield* extentRuns(blocks, inode, { node: child, start: block, end: childEnd, depth: depth - 1 }, budget);
  }
}

/** Direct, indirect, double and triple indirect blocks, as ext2 and ext3 have them. */
async function* mappedRuns(blocks: ExtBlocks, inode: ExtInode, budget: Budget): AsyncGenerator<BlockRun> {
  const { blockBytes } = blocks;
  const end = Math.ceil(inode.sizeBytes / blockBytes);
  let block = 0;
  for (let index = 0; index < ADDRESS_BYTES / 4 && block < end; index += 1) {
    const level = Math.max(0, index - DIRECT_COUNT + 1);
    const address = inode.addresses.readUInt32LE(index * 4);
    yield* addressed(blocks, inode, { address, level, block, end }, budget);
    block += (blockBytes / 4) ** level;
  }
}

async function* addressed(
  blocks: ExtBlocks,
  inode: ExtInode,
  what: { readonly address: number; readonly level: number; readonly block: number; readonly end: number },
  budget: Budget,
): AsyncGenerator<BlockRun> {
  const { address, level, block, end } = what;
  if (address === 0 || block >= end) return;
  if (address >= blocks.blockCount) throw damaged(`inode ${inode.number} names a block outside of the file system`);
  budget.spend(1);
  if (level === 0) {
    yield { block, count: 1, at: address };
    return;
  }
  const node = await blocks.reader.read(address * blocks.blockBytes, blocks.blockBytes);
  const step = (blocks.blockBytes / 4) ** (level - 1);
  for (let index = 0; index < blocks.blockBytes / 4; index += 1) {
    const child = { address: node.readUInt32LE(index * 4), level: level - 1, block: block + index * step, end };
    if (child.block >= end) return;
    if (child.address !== 0) yield* addressed(blocks, inode, child, budget);
  }
}
