import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';

/*
 * A partial slot holds some blocks of its chunk; the others are in the slot under it, which is whole. What tells which:
 * PARTIAL_WORDS words, the slot under it and a set of blocks (block b is bit b % 32 of word b / 32), in an array of them.
 */

export const BLOCKS_A_CHUNK = CHUNK_BYTES / BLOCK_BYTES;
/** A slot that would have more of them gets the others too: that costs less than to note each, and later a merge. */
export const OWN_BLOCKS_MAX = BLOCKS_A_CHUNK / 2;
/** The same, where each write is flushed: to note a block is another sync then. */
export const OWN_BLOCKS_MAX_FLUSHED = 4;
const SET_WORDS = BLOCKS_A_CHUNK / 32;
export const PARTIAL_WORDS = 1 + SET_WORDS;

/** The slot under the one described at `at`. */
export function underAt(words: Uint32Array, at: number): number {
  return words[at] as number;
}

/** Describes a slot without blocks yet, above `under`. */
export function beginPartial(words: Uint32Array, at: number, under: number): void {
  words[at] = under;
  words.fill(0, at + 1, at + PARTIAL_WORDS);
}

/** Blocks [first, first + count) are in the slot itself. */
export function addBlocks(words: Uint32Array, at: number, first: number, count: number): void {
  for (let block = first; block < first + count; block += 1) {
    const word = at + 1 + (block >>> 5);
    words[word] = (words[word] as number) | (1 << (block & 31));
  }
}

/** Whether the block is in the slot itself. */
export function hasBlock(words: Uint32Array, at: number, block: number): boolean {
  return (((words[at + 1 + (block >>> 5)] as number) >>> (block & 31)) & 1) === 1;
}

/** The first block behind `block`, at most `end`, that is not where that one is. */
export function runEnd(words: Uint32Array, at: number, block: number, end: number): number {
  const isOwn = hasBlock(words, at, block);
  let next = block + 1;
  while (next < end && hasBlock(words, at, next) === isOwn) next += 1;
  return next;
}

/** How many blocks are in the slot itself. */
export function ownCount(words: Uint32Array, at: number): number {
  let count = 0;
  for (let word = at + 1; word < at + PARTIAL_WORDS; word += 1) {
    for (let bits = words[word] as number; bits !== 0; bits = (bits & (bits - 1)) >>> 0) count += 1;
  }
  return count;
}

/** How many of the blocks [first, end) are not in the slot itself. */
export function missingCount(words: Uint32Array, at: number, first: number, end: number): number {
  let count = 0;
  for (let block = first; block < end; block += 1) if (!hasBlock(words, at, block)) count += 1;
  return count;
}

/** The set of blocks that are in the slot itself. */
export function ownBlocks(words: Uint32Array<ArrayBuffer>, at: number): Uint32Array<ArrayBuffer> {
  return words.slice(at + 1, at + PARTIAL_WORDS);
}
