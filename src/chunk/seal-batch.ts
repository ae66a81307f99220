import { closeSync, openSync, readSync } from 'node:fs';

import { CHUNK_BYTES } from '#domain/geometry.ts';

import { StoreError } from './errors.ts';
import type { SealBatch } from './seal-pool.ts';
import { addressOf, sealRecord, type AccountKeys } from './seal.ts';

const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** A chunk in memory, read and addressed. */
export interface ReadChunk {
  readonly plain: Buffer;
  /** Null: all zeros, left out. */
  readonly key: Buffer | null;
}

/** Reads and addresses the chunks of a batch into `memory`, which has room for them. Synchronous: for a thread of its own. Throws StoreError 'damaged' when a file ends within a chunk. */
export function readBatch(keys: AccountKeys, batch: SealBatch, memory: Buffer): readonly ReadChunk[] {
  const files = new Map<string, number>();
  try {
    return batch.sources.map(({ path, offset }, index) => {
      const file = files.get(path) ?? openSync(path, 'r');
      files.set(path, file);
      const plain = memory.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
      readWhole(file, plain, path, offset);
      const isZero = !batch.keepZeroChunks && plain.equals(ZEROS);
      return { plain, key: isZero ? null : addressOf(keys, 'chunk', plain) };
    });
  } finally {
    for (const file of files.values()) closeSync(file);
  }
}

export function sealChunk(keys: AccountKeys, plain: Buffer, key: Buffer, nonce: Buffer): Buffer {
  return sealRecord({ keys, kind: 'chunk', key, plain, nonce });
}

function readWhole(file: number, target: Buffer, path: string, offset: number): void {
  for (let done = 0; done < target.length;) {
    const count = readSync(file, target, done, target.length - done, offset + done);
    if (count === 0) throw new StoreError('damaged', `${path} ends within the chunk at ${offset}`);
    done += count;
  }
}
