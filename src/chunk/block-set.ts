import { assert } from '#base/assert.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';

/** Blocks of one chunk: four words, block b is bit b % 32 of word b / 32. */
export type BlockSet = Uint32Array;

export const BLOCK_COUNT = CHUNK_BYTES / BLOCK_BYTES;
const WORD_COUNT = BLOCK_COUNT / 32;
/** Of a set as it is stored. */
export const BLOCK_SET_BYTES = BLOCK_COUNT / 8;

export function emptyBlockSet(): BlockSet {
  return new Uint32Array(WORD_COUNT);
}

export function countBlocks(set: BlockSet): number {
  let count = 0;
  for (let word of set) for (; word !== 0; word = (word & (word - 1)) >>> 0) count += 1;
  return count;
}

export function hasBlock(set: BlockSet, block: number): boolean {
  return (((set[block >>> 5] as number) >>> (block & 31)) & 1) === 1;
}

/** Whether every block of `set` is in `other`. */
export function isSubset(set: BlockSet, other: BlockSet): boolean {
  return set.every((word, at) => (word & ~(other[at] as number)) === 0);
}

/** Blocks in which two chunks differ. */
export function differingBlocks(chunk: Buffer, other: Buffer): BlockSet {
  assert(chunk.length === CHUNK_BYTES && other.length === CHUNK_BYTES, 'chunks are whole');
  const set = emptyBlockSet();
  for (let block = 0; block < BLOCK_COUNT; block += 1) {
    const start = block * BLOCK_BYTES;
    const end = start + BLOCK_BYTES;
    if (chunk.compare(other, start, end, start, end) !== 0)
      set[block >>> 5] = (set[block >>> 5] as number) | (1 << (block & 31));
  }
  return set;
}

/** The blocks of the set, one after another. */
export function gatherBlocks(chunk: Buffer, set: BlockSet): Buffer {
  const blocks = Buffer.allocUnsafeSlow(countBlocks(set) * BLOCK_BYTES);
  eachRun(set, (start, end, at) => blocks.set(chunk.subarray(start, end), at));
  return blocks;
}

/** Puts what `gatherBlocks` gave into a chunk. */
export function scatterBlocks(chunk: Buffer, set: BlockSet, blocks: Buffer): void {
  assert(blocks.length === countBlocks(set) * BLOCK_BYTES, 'there are as many blocks as the set has');
  eachRun(set, (start, end, at) => chunk.set(blocks.subarray(at, at + end - start), start));
}

/** Runs of neighbours: bytes [start, end) of the chunk, and how many bytes of the set come before. */
function eachRun(set: BlockSet, visit: (start: number, end: number, at: number) => void): void {
  let at = 0;
  for (let block = 0; block < BLOCK_COUNT; block += 1) {
    if (!hasBlock(set, block)) continue;
    const first = block;
    while (block + 1 < BLOCK_COUNT && hasBlock(set, block + 1)) block += 1;
    visit(first * BLOCK_BYTES, (block + 1) * BLOCK_BYTES, at);
    at += (block + 1 - first) * BLOCK_BYTES;
  }
}

export function encodeBlockSet(set: BlockSet): Buffer {
  const bytes = Buffer.alloc(BLOCK_SET_BYTES);
  for (const [word, bits] of set.entries()) bytes.writeUInt32LE(bits, word * 4);
  return bytes;
}

export function decodeBlockSet(bytes: Buffer): BlockSet {
  assert(bytes.length === BLOCK_SET_BYTES, 'a set of blocks has 16 bytes');
  return emptyBlockSet().map((_, word) => bytes.readUInt32LE(word * 4));
}
