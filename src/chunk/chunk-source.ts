import { readSync } from 'node:fs';

import { assert } from '#base/assert.ts';
import { SECTOR_BYTES, SectorCipher } from '#base/sector-cipher.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';

import { type BlockSet, hasBlock } from './block-set.ts';
import { StoreError } from './errors.ts';

/** 512 KiB of a file. They must all be there (a file that ends earlier is 'damaged') and must not change while they are in use. */
export interface ChunkSource {
  readonly path: string;
  readonly offset: number;
  /** What the file's sectors are encrypted with, each under its place in the file (SectorCipher); missing or null: nothing. */
  readonly dataKey?: Uint8Array | null;
  /** Of a chunk that lies in two places; missing or null: it lies in one. */
  readonly under?: SourceUnder | null;
}

/** Blocks of 4 KiB that are not in `above` lie in the 512 KiB from `offset` on, each as far from there as it is from the beginning of the chunk. */
export interface SourceUnder {
  readonly offset: number;
  readonly above: BlockSet;
}

/**
 * Reads target.length bytes of a chunk from `within` on, whole blocks, as they are for the client, and nothing else of it.
 * `file` is open at `source.path`. Throws StoreError 'damaged' when the file ends before; what the file system says otherwise.
 */
export function readSource(file: number, source: ChunkSource, within: number, target: Buffer): void {
  const end = within + target.length;
  assert(within % BLOCK_BYTES === 0 && end % BLOCK_BYTES === 0 && end <= CHUNK_BYTES, 'a source is read by blocks');
  const { under = null } = source;
  if (under === null) {
    readPart(file, source, source.offset + within, target);
    return;
  }
  for (let start = within; start < end;) {
    const isAbove = hasBlock(under.above, start / BLOCK_BYTES);
    let stop = start + BLOCK_BYTES;
    while (stop < end && hasBlock(under.above, stop / BLOCK_BYTES) === isAbove) stop += BLOCK_BYTES;
    const offset = (isAbove ? source.offset : under.offset) + start;
    readPart(file, source, offset, target.subarray(start - within, stop - within));
    start = stop;
  }
}

function readPart(file: number, { path, dataKey = null }: ChunkSource, offset: number, target: Buffer): void {
  for (let done = 0; done < target.length;) {
    const count = readSync(file, target, done, target.length - done, offset + done);
    if (count === 0) throw new StoreError('damaged', `${path} ends within the chunk, at byte ${offset + done}`);
    done += count;
  }
  if (dataKey !== null) cipherOf(dataKey).decrypt(offset / SECTOR_BYTES, target, 0, target.length);
}

/** One cipher for the chunks of a volume, not one for each. */
const ciphers = new Map<string, SectorCipher>();
const CIPHERS_MAX = 64;

function cipherOf(dataKey: Uint8Array): SectorCipher {
  const name = Buffer.from(dataKey).toString('latin1');
  let cipher = ciphers.get(name);
  if (cipher === undefined) {
    if (ciphers.size === CIPHERS_MAX) ciphers.clear();
    cipher = new SectorCipher(dataKey);
    ciphers.set(name, cipher);
  }
  return cipher;
}
