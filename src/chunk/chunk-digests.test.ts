import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId } from '#domain/ids.ts';

import {
  BLOCK_COUNT,
  countBlocks,
  differingBlocks,
  emptyBlockSet,
  hasBlock,
  isSubset,
  type BlockSet,
} from './block-set.ts';
import {
  addressOfDigests,
  ALL_SEGMENTS,
  blocksWithin,
  differingSegments,
  DIGEST_BYTES,
  DIGESTS_BYTES,
  hasSegment,
  putDigests,
  SEGMENT_BYTES,
  SEGMENT_COUNT,
  segmentRuns,
  segmentsOf,
  zeroDigests,
} from './chunk-digests.ts';
import { accountKeys, addressOf, derive } from './seal.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e6));
const ACCOUNT = '000000000001' as AccountId;
const masterKey = new SeededRandom(5).bytes(32);
const keys = accountKeys(masterKey, ACCOUNT);
const BLOCKS_PER_SEGMENT = SEGMENT_BYTES / BLOCK_BYTES;

/** As the document of the format has it, of whole segments. */
function addressByTheBook(chunk: Buffer): string {
  const digests: Buffer[] = [];
  for (let start = 0; start < chunk.length; start += SEGMENT_BYTES) {
    const hmac = createHmac('sha256', derive(masterKey, `segment ${ACCOUNT}`));
    digests.push(
      hmac
        .update(chunk.subarray(start, start + SEGMENT_BYTES))
        .digest()
        .subarray(0, DIGEST_BYTES),
    );
  }
  const hmac = createHmac('sha256', derive(masterKey, `chunk address ${ACCOUNT}`));
  return hmac.update(Buffer.concat(digests)).digest('hex');
}

function blockSet(blocks: Iterable<number>): BlockSet {
  const set = emptyBlockSet();
  for (const block of blocks) set[block >>> 5] = (set[block >>> 5] ?? 0) | (1 << (block & 31));
  return set;
}

test('the segments of a set of blocks are those that have one of them', () => {
  assert.equal(segmentsOf(emptyBlockSet()), 0);
  assert.equal(
    segmentsOf(blockSet([0, 3, 4, 31, 32, 127])),
    ((1 << 0) | (1 << 1) | (1 << 7) | (1 << 8) | (1 << 31)) >>> 0,
  );
  assert.equal(segmentsOf(blockSet(Array(BLOCK_COUNT).keys())), ALL_SEGMENTS);
  for (let block = 0; block < BLOCK_COUNT; block += 1) {
    assert.equal(segmentsOf(blockSet([block])), (1 << Math.floor(block / BLOCKS_PER_SEGMENT)) >>> 0);
  }
  assert.deepEqual(blocksWithin(blockSet([0, 3, 4, 31, 32, 127]), ((1 << 0) | (1 << 31)) >>> 0), blockSet([0, 3, 127]));
  assert.deepEqual(
    [...segmentRuns(((1 << 0) | (1 << 1) | (1 << 31)) >>> 0)],
    [
      { first: 0, end: 2 },
      { first: 31, end: 32 },
    ],
  );
  assert.deepEqual([...segmentRuns(ALL_SEGMENTS)], [{ first: 0, end: SEGMENT_COUNT }]);
  assert.deepEqual([...segmentRuns(0)], []);
});

test('an address is what the document says, of zeros too', () => {
  const random = new SeededRandom(SEED);
  const half = Buffer.alloc(CHUNK_BYTES);
  random.bytes(BLOCK_BYTES).copy(half, 77 * BLOCK_BYTES);
  for (const chunk of [Buffer.alloc(CHUNK_BYTES), random.bytes(CHUNK_BYTES), half]) {
    assert.equal(addressOf(keys, 'chunk', chunk).toString('hex'), addressByTheBook(chunk));
  }
  const zeros = addressOf(keys, 'chunk', Buffer.alloc(CHUNK_BYTES));
  assert(addressOfDigests(keys, zeroDigests(keys)).equals(zeros));
});

test('what is shorter or longer by zeros has another address', () => {
  const lengths = [0, 1, 100, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, CHUNK_BYTES - 1, CHUNK_BYTES];
  const addresses = lengths.map((length) => addressOf(keys, 'chunk', Buffer.alloc(length)).toString('hex'));
  assert.equal(new Set(addresses).size, lengths.length);
});

test(`an address made of the base's digests and of what changed is that of all of it (seed ${SEED})`, () => {
  const random = new SeededRandom(SEED);
  const chunk = random.bytes(CHUNK_BYTES);
  const digests = Buffer.alloc(DIGESTS_BYTES);
  putDigests(keys, chunk, ALL_SEGMENTS, digests);
  for (let round = 0; round < 300; round += 1) {
    const before = Buffer.from(digests);
    const old = Buffer.from(chunk);
    const written = new Set<number>();
    for (let count = random.below(1 + 2 ** random.below(8)); count > 0; count -= 1) {
      const block = random.below(BLOCK_COUNT);
      written.add(block);
      const fill = random.below(3);
      if (fill === 0) continue; // With what is there already.
      const next = fill === 1 ? Buffer.alloc(BLOCK_BYTES) : random.bytes(BLOCK_BYTES);
      next.copy(chunk, block * BLOCK_BYTES);
    }
    const truly = differingBlocks(chunk, old);
    const hint = blockSet(written);
    putDigests(keys, chunk, segmentsOf(hint), digests);
    assert(addressOfDigests(keys, digests).equals(addressOf(keys, 'chunk', chunk)), `round ${round}`);
    const differing = differingSegments(digests, before);
    const changed = blocksWithin(hint, differing);
    assert(isSubset(changed, hint) && isSubset(truly, changed));
    for (const block of written) {
      const segment = Math.floor(block / BLOCKS_PER_SEGMENT);
      const isTouched = hasSegment(segmentsOf(truly), segment);
      assert.equal(hasBlock(changed, block), isTouched, 'a block is dropped where its segment is as it was');
      assert.equal(hasSegment(differing, segment), isTouched);
    }
    if (countBlocks(truly) === 0) assert.equal(countBlocks(changed), 0);
  }
});
