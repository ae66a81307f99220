import { createHmac } from 'node:crypto';

import { assert } from '#base/assert.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';

import { type BlockSet, emptyBlockSet } from './block-set.ts';
import type { AccountKeys } from './seal.ts';

/**
 * The address of a chunk is a hash over the digests of its segments (docs/formats/pack.md, "Keys"), so whoever has the
 * digests of a chunk and knows which blocks of it changed gets the address of what it became by hashing those segments only.
 */

/** What has a digest of its own: 4 blocks. Smaller ones cost more calls where all of a chunk is hashed, larger ones more bytes where a block changed. */
export const SEGMENT_BYTES = 16 * 1024;
export const SEGMENT_COUNT = CHUNK_BYTES / SEGMENT_BYTES;
export const DIGEST_BYTES = 16;
/** The digests of a chunk, one after another. */
export const DIGESTS_BYTES = SEGMENT_COUNT * DIGEST_BYTES;

/** Some of a chunk's segments: segment s is bit s. */
export type SegmentSet = number;
export const ALL_SEGMENTS: SegmentSet = 0xffff_ffff;

const BLOCKS_PER_SEGMENT = SEGMENT_BYTES / BLOCK_BYTES;
const SEGMENTS_PER_WORD = 32 / BLOCKS_PER_SEGMENT;
const BLOCKS_OF_FIRST = 2 ** BLOCKS_PER_SEGMENT - 1;
const ZEROS = Buffer.alloc(SEGMENT_BYTES);

export function hasSegment(set: SegmentSet, segment: number): boolean {
  return ((set >>> segment) & 1) === 1;
}

/** The segments that have blocks of the set. */
export function segmentsOf(blocks: BlockSet): SegmentSet {
  let set = 0;
  for (let segment = 0; segment < SEGMENT_COUNT; segment += 1) {
    if ((wordOf(blocks, segment) & blocksIn(segment)) !== 0) set |= 1 << segment;
  }
  return set >>> 0;
}

/** Those of the blocks that are in these segments. */
export function blocksWithin(blocks: BlockSet, segments: SegmentSet): BlockSet {
  const within = emptyBlockSet();
  for (let segment = 0; segment < SEGMENT_COUNT; segment += 1) {
    if (!hasSegment(segments, segment)) continue;
    const word = Math.floor(segment / SEGMENTS_PER_WORD);
    within[word] = (within[word] as number) | (wordOf(blocks, segment) & blocksIn(segment));
  }
  return within;
}

function wordOf(blocks: BlockSet, segment: number): number {
  return blocks[Math.floor(segment / SEGMENTS_PER_WORD)] as number;
}

/** Its blocks, in their word of a set. */
function blocksIn(segment: number): number {
  return BLOCKS_OF_FIRST << ((segment % SEGMENTS_PER_WORD) * BLOCKS_PER_SEGMENT);
}

/** Runs of neighbours in the set: segments [first, end). */
export function* segmentRuns(set: SegmentSet): Generator<{ readonly first: number; readonly end: number }> {
  for (let first = 0; first < SEGMENT_COUNT; first += 1) {
    if (!hasSegment(set, first)) continue;
    let end = first + 1;
    while (end < SEGMENT_COUNT && hasSegment(set, end)) end += 1;
    yield { first, end };
    first = end;
  }
}

/** The digest of a segment: HMAC-SHA-256 under the account's key for segments, its first 16 bytes. */
export function segmentDigest(keys: AccountKeys, segment: Buffer): Buffer {
  // Much of a disk is zeros, and to see that costs a tenth of hashing them.
  if (segment.length === SEGMENT_BYTES && segment.equals(ZEROS)) return keys.zeroSegment;
  return hashSegment(keys.segment, segment);
}

/** As `segmentDigest`, of zeros too. */
export function hashSegment(key: AccountKeys['segment'], segment: Uint8Array): Buffer {
  return createHmac('sha256', key).update(segment).digest().subarray(0, DIGEST_BYTES);
}

/** Puts the digests of these segments of a whole chunk to their places. */
export function putDigests(keys: AccountKeys, chunk: Buffer, segments: SegmentSet, digests: Buffer): void {
  assert(chunk.length === CHUNK_BYTES && digests.length === DIGESTS_BYTES, 'a chunk is whole, and so are its digests');
  for (let segment = 0; segment < SEGMENT_COUNT; segment += 1) {
    if (!hasSegment(segments, segment)) continue;
    const start = segment * SEGMENT_BYTES;
    digests.set(segmentDigest(keys, chunk.subarray(start, start + SEGMENT_BYTES)), segment * DIGEST_BYTES);
  }
}

/** The segments in which two chunks with these digests differ. */
export function differingSegments(digests: Buffer, others: Buffer): SegmentSet {
  let set = 0;
  for (let segment = 0; segment < SEGMENT_COUNT; segment += 1) {
    const start = segment * DIGEST_BYTES;
    const end = start + DIGEST_BYTES;
    if (digests.compare(others, start, end, start, end) !== 0) set |= 1 << segment;
  }
  return set >>> 0;
}

/** The digests of a chunk of zeros. */
export function zeroDigests(keys: AccountKeys): Buffer {
  return Buffer.alloc(DIGESTS_BYTES, keys.zeroSegment);
}

/** The address of the chunk with these digests. */
export function addressOfDigests(keys: AccountKeys, digests: Uint8Array): Buffer {
  return createHmac('sha256', keys.address.chunk).update(digests).digest();
}

/** The address of a chunk, and of anything shorter, the last segment of which then is. */
export function chunkAddress(keys: AccountKeys, plain: Uint8Array): Buffer {
  const bytes = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
  const digests = Buffer.allocUnsafe(Math.ceil(bytes.length / SEGMENT_BYTES) * DIGEST_BYTES);
  for (let start = 0; start < bytes.length; start += SEGMENT_BYTES) {
    const segment = bytes.subarray(start, start + SEGMENT_BYTES);
    digests.set(segmentDigest(keys, segment), (start / SEGMENT_BYTES) * DIGEST_BYTES);
  }
  return addressOfDigests(keys, digests);
}
