import { assert } from '#base/assert.ts';

/** What a guest file system addresses. */
export const BLOCK_BYTES = 4096;
/** What is stored and deduplicated; EBS direct's `BlockSize`. A power of two, a multiple of the block. */
export const CHUNK_BYTES = 512 * 1024;
export const GIB_BYTES = 1024 ** 3;
/** EBS's largest volume (io2 Block Express): 64 TiB. */
export const VOLUME_GIB_MAX = 65_536;

/** The chunk that holds the byte at `offset`. */
export function chunkIndexFloor(offset: number): number {
  return Math.floor(offset / CHUNK_BYTES);
}

/** How many chunks `sizeBytes` spans; the last may be partly beyond the end. */
export function chunkCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / CHUNK_BYTES);
}

/** Bytes of a whole number of GiB, 1 to VOLUME_GIB_MAX. */
export function gibToBytes(sizeGib: number): number {
  assert(Number.isSafeInteger(sizeGib) && sizeGib >= 1 && sizeGib <= VOLUME_GIB_MAX, 'a volume has 1 to 65,536 GiB');
  return sizeGib * GIB_BYTES;
}
