import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';

import {
  BLOCK_COUNT,
  BLOCK_SET_BYTES,
  type BlockSet,
  countBlocks,
  decodeBlockSet,
  emptyBlockSet,
  encodeBlockSet,
  gatherBlocks,
  scatterBlocks,
} from './block-set.ts';
import { DamageError } from './errors.ts';
import { looksRandom } from './noise.ts';

/** How a payload holds its content (docs/formats/pack.md, "Record"): as it is or as a zstd frame, and all of it or the blocks of a chunk that are not zeros. */
export const CODEC_RAW = 0;
export const CODEC_ZSTD = 1;
export const CODEC_SPARSE = 2;
export const CODEC_SPARSE_ZSTD = 3;
export const CODEC_MAX = CODEC_SPARSE_ZSTD;

/** With more blocks that are not zeros, a chunk is written as it is. */
const SPARSE_BLOCKS_MAX = BLOCK_COUNT / 2;
const SPARSE_BYTES_MAX = BLOCK_SET_BYTES + SPARSE_BLOCKS_MAX * BLOCK_BYTES;
const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES);

export interface Payload {
  readonly codec: number;
  readonly bytes: Uint8Array;
}

/** The payload of a record. `isChunk`: the content is a chunk, which may be sparse. */
export function encodePayload(content: Buffer, isChunk: boolean): Payload {
  const blocks = isChunk && content.length === CHUNK_BYTES ? fewBlocks(content) : null;
  if (blocks === null) return squeeze(content, CODEC_RAW, CODEC_ZSTD);
  const sparse = Buffer.concat([encodeBlockSet(blocks), gatherBlocks(content, blocks)]);
  return squeeze(sparse, CODEC_SPARSE, CODEC_SPARSE_ZSTD);
}

function squeeze(content: Buffer, raw: number, zstd: number): Payload {
  const compressed = looksRandom(content) ? content : compress(content);
  return compressed.length < content.length ? { codec: zstd, bytes: compressed } : { codec: raw, bytes: content };
}

/** The blocks of a chunk that are not zeros; null: there are too many. */
function fewBlocks(chunk: Buffer): BlockSet | null {
  const set = emptyBlockSet();
  let count = 0;
  for (let block = 0; block < BLOCK_COUNT; block += 1) {
    const start = block * BLOCK_BYTES;
    if (chunk.compare(ZERO_BLOCK, 0, BLOCK_BYTES, start, start + BLOCK_BYTES) === 0) continue;
    count += 1;
    if (count > SPARSE_BLOCKS_MAX) return null;
    set[block >>> 5] = (set[block >>> 5] as number) | (1 << (block & 31));
  }
  return set;
}

/** Whether a payload of so many bytes can be of this codec; `isChunk`: of a whole chunk. */
export function isPayloadLength(codec: number, payloadBytes: number, contentBytes: number, isChunk: boolean): boolean {
  if (codec === CODEC_RAW) return payloadBytes === contentBytes;
  if (codec === CODEC_ZSTD) return payloadBytes < contentBytes;
  if (!isChunk || contentBytes !== CHUNK_BYTES) return false;
  if (codec === CODEC_SPARSE_ZSTD) return payloadBytes < SPARSE_BYTES_MAX;
  const blocksBytes = payloadBytes - BLOCK_SET_BYTES;
  return blocksBytes >= 0 && blocksBytes % BLOCK_BYTES === 0 && payloadBytes <= SPARSE_BYTES_MAX;
}

export function isCompressed(codec: number): boolean {
  return codec === CODEC_ZSTD || codec === CODEC_SPARSE_ZSTD;
}

/** The content that a payload holds, of at most so many bytes. Throws DamageError. */
export function decodePayload(codec: number, payload: Buffer, contentBytes: number): Buffer {
  return expandPayload(codec, isCompressed(codec) ? decompress(payload, contentBytes) : payload);
}

/** As `decodePayload`, of what was decompressed already where it was compressed. */
export function expandPayload(codec: number, content: Buffer): Buffer {
  if (codec === CODEC_RAW || codec === CODEC_ZSTD) return content;
  if (content.length < BLOCK_SET_BYTES) throw new DamageError('the sparse chunk has no set of blocks');
  const blocks = decodeBlockSet(content.subarray(0, BLOCK_SET_BYTES));
  if (content.length !== BLOCK_SET_BYTES + countBlocks(blocks) * BLOCK_BYTES) {
    throw new DamageError('the sparse chunk has not the blocks that it says');
  }
  const chunk = Buffer.from(new ArrayBuffer(CHUNK_BYTES));
  scatterBlocks(chunk, blocks, content.subarray(BLOCK_SET_BYTES));
  return chunk;
}

/**
 * Level 1, with twice its hash table and matches from 5 bytes on instead of 7: 12 % more time for 5 to 6 % less room on the
 * chunks of a system disk. Level 2 takes 30 % more for as much.
 */
const COMPRESSION = {
  [constants.ZSTD_c_compressionLevel]: 1,
  [constants.ZSTD_c_hashLog]: 15,
  [constants.ZSTD_c_minMatch]: 5,
};

function compress(plain: Uint8Array): Buffer {
  // One output buffer that surely is enough: growing it in steps costs 15 %. ZSTD_COMPRESSBOUND is below n + n/256 + 1 KiB here.
  return zstdCompressSync(plain, {
    params: COMPRESSION,
    chunkSize: plain.length + Math.ceil(plain.length / 256) + 1024,
  });
}

function decompress(payload: Buffer, plainBytes: number): Buffer {
  try {
    // A little more than it needs: a buffer that is exactly full makes it allocate another one, to find nothing for it.
    return zstdDecompressSync(payload, { chunkSize: plainBytes + 64, maxOutputLength: plainBytes });
  } catch (error) {
    throw new DamageError('the payload does not decompress', { cause: error });
  }
}
