import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';

import { assert, present } from '#base/assert.ts';
import type { Random } from '#base/random.ts';
import { SECTOR_BYTES, SECTOR_KEY_BYTES, SectorCipher } from '#base/sector-cipher.ts';
import type { ChunkReader } from '#chunk/chunk-reader.ts';
import type { ChunkSource } from '#chunk/chunk-source.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import { BATCH_COUNT_MAX } from '#chunk/seal-pool.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import type { AccountRoot } from './holds.ts';
import { readChunks } from './read-chunks.ts';
import type { ChunkChange } from './snapshot-store.ts';
import { walkTree } from './tree-walk.ts';

/**
 * A file in which chunks that were opened wait to be sealed again: the sealing threads read files. It is a ring: a slot is
 * written again `slotCount` chunks later. It is encrypted with a key that is never stored, so nothing of an account lies
 * open on the disk, and what a crash leaves of the file says nothing to anybody.
 */
export class ChunkSpool implements AsyncDisposable {
  readonly #path: string;
  readonly #file: number;
  readonly #slotCount: number;
  readonly #key: Uint8Array;
  readonly #cipher: SectorCipher;
  readonly #sealed = Buffer.allocUnsafe(CHUNK_BYTES);
  #written = 0;

  private constructor(path: string, slotCount: number, key: Uint8Array) {
    this.#path = path;
    this.#slotCount = slotCount;
    this.#key = key;
    this.#cipher = new SectorCipher(key);
    this.#file = openSync(path, 'wx', 0o600);
  }

  /** Nothing may be at `path`: two spools in one file would give each other's chunks. Throws the system's error. */
  static async open(options: {
    readonly path: string;
    readonly slotCount: number;
    readonly random: Random;
  }): Promise<ChunkSpool> {
    mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 });
    return new ChunkSpool(options.path, options.slotCount, options.random.bytes(SECTOR_KEY_BYTES));
  }

  /** Where the 512 KiB are from now on, until `slotCount` further chunks have been put. */
  put(bytes: Uint8Array): ChunkSource {
    assert(bytes.length === CHUNK_BYTES, 'a chunk is put whole');
    const offset = (this.#written % this.#slotCount) * CHUNK_BYTES;
    this.#written += 1;
    this.#cipher.encrypt(offset / SECTOR_BYTES, bytes, 0, CHUNK_BYTES, this.#sealed, 0);
    for (let done = 0; done < CHUNK_BYTES;) {
      done += writeSync(this.#file, this.#sealed, done, CHUNK_BYTES - done, offset + done);
    }
    return { path: this.#path, offset, dataKey: this.#key };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closeSync(this.#file);
    await rm(this.#path, { force: true });
  }
}

export interface SpoolParts {
  readonly chunks: ChunkStore;
  readonly reader: ChunkReader;
  readonly spool: ChunkSpool;
}

/** All chunks of a root, which is held, one after another, each in the spool. They are read as many at once as are sealed. */
export async function* spooledChunks(
  parts: SpoolParts,
  held: AccountRoot,
  signal: AbortSignal,
): AsyncGenerator<ChunkChange> {
  for await (const page of walkTree(parts.chunks, held.account, held.root, 0)) {
    for (let at = 0; at < page.length; at += BATCH_COUNT_MAX) {
      const indexes = page.slice(at, at + BATCH_COUNT_MAX).map(({ index }) => index);
      yield* spoolChunks(parts, held, indexes, signal);
    }
  }
}

/** These chunks of a root, which has them and is held: at most BATCH_COUNT_MAX, read together, each in the spool. */
export async function* spoolChunks(
  parts: SpoolParts,
  { account, root }: AccountRoot,
  indexes: readonly number[],
  signal: AbortSignal,
): AsyncGenerator<ChunkChange> {
  if (indexes.length === 0) return;
  const wanted = indexes.map((index) => ({ index, place: null }));
  const reads = await Promise.all(readChunks(parts, account, root, wanted, { background: true, signal }));
  for (const [turn, read] of reads.entries()) {
    assert(read !== null && read.kind === 'bytes', 'a chunk of a root that is held is there, and is answered');
    const { index } = present(wanted[turn], 'a read is of a chunk that was wanted');
    yield { index, source: parts.spool.put(read.bytes) };
  }
}
