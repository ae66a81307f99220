import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';

import { BLOCK_COUNT } from './block-set.ts';
import { DamageError } from './errors.ts';
import {
  CODEC_RAW,
  CODEC_SPARSE,
  CODEC_SPARSE_ZSTD,
  CODEC_ZSTD,
  decodePayload,
  encodePayload,
  isPayloadLength,
} from './payload.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e6));
const random = new SeededRandom(SEED);

/** A chunk with so many blocks that are not zeros, somewhere. */
function chunkWith(blockCount: number, makeBlock: () => Buffer): Buffer {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const blocks = Array.from({ length: BLOCK_COUNT }, (_, block) => block);
  for (let at = 0; at < blockCount; at += 1) {
    const [block = 0] = blocks.splice(random.below(blocks.length), 1);
    makeBlock().copy(chunk, block * BLOCK_BYTES);
  }
  return chunk;
}

const noise = (): Buffer => random.bytes(BLOCK_BYTES);
const text = (): Buffer => Buffer.alloc(BLOCK_BYTES, `text ${random.below(1000)} `);

test('a chunk of zeros takes 16 bytes, one block of noise takes itself', () => {
  const zeros = encodePayload(Buffer.alloc(CHUNK_BYTES), true);
  assert.deepEqual([zeros.codec, zeros.bytes.length], [CODEC_SPARSE, 16]);
  const one = encodePayload(chunkWith(1, noise), true);
  assert.deepEqual([one.codec, one.bytes.length], [CODEC_SPARSE, 16 + BLOCK_BYTES]);
});

test(`every payload gives back its content, by the codec that fits (seed ${SEED})`, () => {
  const seen = new Set<number>();
  for (let round = 0; round < 60; round += 1) {
    const count = [0, 1, 5, 63, 64, 65, 100, BLOCK_COUNT][random.below(8)] ?? 0;
    const content = chunkWith(count, random.below(2) === 0 ? noise : text);
    const { codec, bytes } = encodePayload(content, true);
    assert.equal(codec >= CODEC_SPARSE, count <= 64, `${count} blocks`);
    assert(isPayloadLength(codec, bytes.length, CHUNK_BYTES, true));
    assert(decodePayload(codec, Buffer.from(bytes), CHUNK_BYTES).equals(content));
    seen.add(codec);
  }
  assert.deepEqual(
    [...seen].toSorted((a, b) => a - b),
    [CODEC_RAW, CODEC_ZSTD, CODEC_SPARSE, CODEC_SPARSE_ZSTD],
  );
});

test('only a whole chunk is sparse', () => {
  assert.equal(encodePayload(Buffer.alloc(CHUNK_BYTES), false).codec, CODEC_ZSTD);
  assert.equal(encodePayload(Buffer.alloc(CHUNK_BYTES - BLOCK_BYTES), true).codec, CODEC_ZSTD);
  for (const codec of [CODEC_SPARSE, CODEC_SPARSE_ZSTD]) {
    assert(isPayloadLength(codec, 16, CHUNK_BYTES, true));
    assert(!isPayloadLength(codec, 16, CHUNK_BYTES, false));
    assert(!isPayloadLength(codec, 16, CHUNK_BYTES - BLOCK_BYTES, true));
    assert(!isPayloadLength(codec, 17 + 64 * BLOCK_BYTES, CHUNK_BYTES, true));
  }
  assert(!isPayloadLength(CODEC_SPARSE, 15, CHUNK_BYTES, true));
  assert(!isPayloadLength(CODEC_SPARSE, 17, CHUNK_BYTES, true));
  assert(isPayloadLength(CODEC_SPARSE, 16 + 64 * BLOCK_BYTES, CHUNK_BYTES, true));
});

test(`a payload that is not one is damage and nothing else (seed ${SEED})`, () => {
  const sparse = encodePayload(chunkWith(3, noise), true);
  const zipped = encodePayload(chunkWith(40, text), true);
  assert.deepEqual([sparse.codec, zipped.codec], [CODEC_SPARSE, CODEC_SPARSE_ZSTD]);
  // A block more than the set says, one less, none, and no set.
  for (const length of [sparse.bytes.length + BLOCK_BYTES, sparse.bytes.length - BLOCK_BYTES, 16, 3]) {
    const bytes = Buffer.alloc(length);
    bytes.set(sparse.bytes.subarray(0, length));
    assert.throws(() => decodePayload(CODEC_SPARSE, bytes, CHUNK_BYTES), DamageError, `${length} bytes`);
  }
  for (let round = 0; round < 3_000; round += 1) {
    const from = round % 2 === 0 ? sparse : zipped;
    const bytes = round % 5 === 0 ? random.bytes(random.below(200)) : Buffer.from(from.bytes);
    for (let count = 1 + random.below(3); count > 0 && bytes.length > 0; count -= 1) {
      bytes.writeUInt8(random.below(256), random.below(Math.min(bytes.length, 64)));
    }
    try {
      assert.equal(decodePayload(from.codec, bytes, CHUNK_BYTES).length, CHUNK_BYTES);
    } catch (error) {
      assert(error instanceof DamageError, String(error));
    }
  }
});
