import { closeSync, openSync } from 'node:fs';

import { CHUNK_BYTES } from '#domain/geometry.ts';

import type { BlockSet } from './block-set.ts';
import {
  addressOfDigests,
  ALL_SEGMENTS,
  blocksWithin,
  differingSegments,
  DIGESTS_BYTES,
  putDigests,
  SEGMENT_BYTES,
  segmentRuns,
  segmentsOf,
  type SegmentSet,
  zeroDigests,
} from './chunk-digests.ts';
import { type ChunkSource, readSource } from './chunk-source.ts';
import { DigestFile } from './digest-file.ts';
import type { SealBatch, SealFinding, SealSource } from './seal-pool.ts';
import type { AccountKeys } from './seal.ts';

/** Of so many hints one is checked, chosen by the chunk's address. */
const HINT_SAMPLE = 64;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** A chunk that was addressed, and of which was read what its address needed. */
export interface ReadChunk {
  /** 512 KiB; segments that were not read are as they are left. */
  readonly plain: Buffer;
  /** Null: all zeros, left out. */
  readonly key: Buffer | null;
  /** At least all blocks in which it differs from the base that its source named; missing or null: not known. */
  readonly changed?: BlockSet | null;
  /** What was not read; missing or null: nothing. */
  readonly unread?: Unread | null;
  /** Missing: none. */
  readonly finding?: SealFinding;
}

/** The segments of a chunk that were taken to be as they are in its base. */
interface Unread {
  readonly segments: SegmentSet;
  readonly source: ChunkSource;
  /** Of the chunk; those of these segments are the base's. */
  readonly digests: Buffer;
  /** Null: the base is zeros. */
  readonly base: Uint8Array | null;
}

/** Whether what is said of the changes of a chunk with this address is to be checked. */
export function isHintChecked(key: Uint8Array): boolean {
  return (key[0] as number) % HINT_SAMPLE === 0;
}

/**
 * Reads and addresses the chunks of a batch into `memory`, which has room for them. Of a chunk of which is known what its
 * base was and which blocks changed, only the segments with these are read, but for one in 64. Synchronous: for a thread of
 * its own. Throws StoreError 'damaged' when a file ends within a chunk.
 */
export function readBatch(keys: AccountKeys, batch: SealBatch, memory: Buffer): readonly ReadChunk[] {
  using files = new OpenFiles();
  using remembered = new DigestFile(batch.digestPath ?? null);
  const { keepZeroChunks } = batch;
  const digests = Buffer.allocUnsafe(batch.sources.length * DIGESTS_BYTES);
  return batch.sources.map((source, at) =>
    readChunk({
      ...{ keys, source, keepZeroChunks, remembered },
      file: files.open(source.path),
      plain: memory.subarray(at * CHUNK_BYTES, (at + 1) * CHUNK_BYTES),
      digests: digests.subarray(at * DIGESTS_BYTES, (at + 1) * DIGESTS_BYTES),
    }),
  );
}

interface Reading {
  readonly keys: AccountKeys;
  readonly source: SealSource;
  readonly keepZeroChunks: boolean;
  readonly remembered: DigestFile;
  /** Open at the source's path. */
  readonly file: number;
  /** Where the chunk goes. */
  readonly plain: Buffer;
  /** Where its digests go. */
  readonly digests: Buffer;
}

function readChunk(reading: Reading): ReadChunk {
  const { keys, source, keepZeroChunks, remembered, file, plain, digests } = reading;
  const { change = null, index = null } = source;
  const known = change === null ? null : digestsOf(reading, change.base);
  const segments = change === null || known === null ? ALL_SEGMENTS : segmentsOf(change.blocks);
  readSegments(file, source, segments, plain);
  const isWhole = segments === ALL_SEGMENTS;
  if (isWhole && !keepZeroChunks && plain.equals(ZEROS)) return { plain, key: null };

  if (known !== null) digests.set(known);
  putDigests(keys, plain, segments, digests);
  if (!isWhole && !keepZeroChunks && digests.equals(zeroDigests(keys))) return { plain, key: null };
  const key = addressOfDigests(keys, digests);
  const differing = known === null ? ALL_SEGMENTS : differingSegments(digests, known);
  if (index !== null && (differing !== 0 || change?.base === null)) remembered.write(index, digests);
  const changed = change === null ? null : blocksWithin(change.blocks, differing);
  if (isWhole) return { plain, key, changed };

  const unread: Unread = { segments: ~segments >>> 0, source, digests, base: change?.base ?? null };
  const chunk = { plain, key, changed, unread };
  if (!isHintChecked(key)) return chunk;
  return readRest(keys, chunk) ? { plain, key, changed } : { plain, key, finding: 'hint-wrong' };
}

/** The digests of the base with this address, if that is what is remembered; null: not known. */
function digestsOf({ keys, source, remembered }: Reading, base: Uint8Array | null): Buffer | null {
  if (base === null) return zeroDigests(keys);
  const digests = source.index === undefined ? null : remembered.read(source.index);
  return digests !== null && addressOfDigests(keys, digests).equals(base) ? digests : null;
}

/**
 * Reads what of a chunk was not read, so that `plain` is all of it. Answers whether that is what its base had there: else a
 * block changed that was not told, and the key is wrong. Throws as `readBatch`.
 */
export function readRest(keys: AccountKeys, { plain, key, unread = null }: ReadChunk): boolean {
  if (unread === null) return true;
  const { segments, source, digests, base } = unread;
  if (base === null && key !== null && !isHintChecked(key)) {
    for (const { first, end } of segmentRuns(segments)) plain.fill(0, first * SEGMENT_BYTES, end * SEGMENT_BYTES);
    return true;
  }
  using files = new OpenFiles();
  readSegments(files.open(source.path), source, segments, plain);
  const found = Buffer.from(digests);
  putDigests(keys, plain, segments, found);
  return found.equals(digests);
}

function readSegments(file: number, source: ChunkSource, segments: SegmentSet, plain: Buffer): void {
  for (const { first, end } of segmentRuns(segments)) {
    const start = first * SEGMENT_BYTES;
    readSource(file, source, start, plain.subarray(start, end * SEGMENT_BYTES));
  }
}

class OpenFiles implements Disposable {
  readonly #files = new Map<string, number>();

  open(path: string): number {
    const file = this.#files.get(path) ?? openSync(path, 'r');
    this.#files.set(path, file);
    return file;
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) closeSync(file);
  }
}
