import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';

import { assert, present } from '#base/assert.ts';
import type { ChunkReader } from '#chunk/chunk-reader.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import { DamageError, StoreError, throwIfAborted } from '#chunk/errors.ts';
import { readBack } from '#chunk/verified-put.ts';
import type { SnapshotId } from '#domain/ids.ts';

import {
  type Archive,
  archiveObjectKey,
  archivePrefix,
  decodeArchive,
  encodeArchive,
  joinPart,
  openPart,
  type PartChunk,
  type PartInfo,
  PART_BYTES_MAX,
  PART_CHUNK_COUNT,
  partObjectKey,
  sealPart,
  splitPart,
} from './archive-format.ts';
import type { ChunkSpool } from './chunk-spool.ts';
import type { Manifest } from './manifest.ts';
import { readChunks } from './read-chunks.ts';
import type { ChunkChange } from './snapshot-store.ts';
import { walkTree } from './tree-walk.ts';

/*
 * A snapshot in the archive is whole by itself: all its chunks, compressed harder and in larger pieces than in packs, shared
 * with nothing. It is written from the chunk store and read back into it; in between the store needs none of its chunks.
 */

export interface ArchivePorts {
  readonly chunks: ChunkStore;
  readonly reader: ChunkReader;
}

export type ArchiveProgress = (progress: { readonly doneCount: number; readonly totalCount: number }) => void;

/** Slow to write, small, and read as fast as what is compressed less. */
const COMPRESSION_LEVEL = 12;
const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/**
 * Writes the archive of a snapshot whose chunks are held: parts, and last the object that says that it is whole. What a
 * crash left is written again. Answers what it takes in the store, in bytes.
 */
export async function writeArchive(
  ports: ArchivePorts,
  manifest: Manifest,
  options: { readonly signal: AbortSignal; readonly onProgress: ArchiveProgress },
): Promise<number> {
  const { chunks } = ports;
  const { snapshot, account } = manifest.label;
  const keys = chunks.keysOf(account, manifest.root.dataKey ?? null);
  const totalCount = manifest.root.presentCount;
  const parts: PartInfo[] = [];
  let doneCount = 0;
  for await (const part of partsOf(ports, manifest, options.signal)) {
    throwIfAborted(options.signal);
    const objectKey = partObjectKey(snapshot, parts.length);
    const packed = await compress(joinPart(part), {
      params: { [constants.ZSTD_c_compressionLevel]: COMPRESSION_LEVEL },
    });
    const sealed = await sealPart(keys, objectKey, chunks.random.bytes(12), packed);
    await putPart(chunks, objectKey, sealed);
    parts.push({ length: sealed.reduce((bytes, { length }) => bytes + length, 0), chunkCount: part.length });
    doneCount += part.length;
    options.onProgress({ doneCount, totalCount });
  }
  const whole = encodeArchive(chunks.masterKey, { manifest, parts });
  await chunks.objects.put(archiveObjectKey(snapshot), [whole]);
  const back = await readArchive(chunks, snapshot);
  assert(back !== null && back.parts.length === parts.length, 'what was stored is read back');
  return storedBytes(back);
}

/** What it holds is nowhere else soon, so all of it is read back. Throws StoreError 'damaged'. */
async function putPart({ objects }: ChunkStore, objectKey: string, sealed: readonly Buffer[]): Promise<void> {
  await objects.put(objectKey, sealed);
  try {
    await readBack(objects, objectKey, sealed);
  } catch (error) {
    throw asStoreError(objectKey, error);
  }
}

/** Null when there is no whole one. Throws StoreError 'damaged'. */
export async function readArchive(chunks: ChunkStore, snapshot: SnapshotId): Promise<Archive | null> {
  const bytes = await chunks.objects.get(archiveObjectKey(snapshot));
  if (bytes === null) return null;
  return named(`archive of ${snapshot}`, () => decodeArchive(chunks.masterKey, snapshot, bytes));
}

/** Whether all parts are there, in their length: the last look before what they hold may go elsewhere. */
export async function hasParts({ objects }: ChunkStore, { manifest, parts }: Archive): Promise<boolean> {
  const { snapshot } = manifest.label;
  const listed = new Map<string, number>();
  for await (const { key, sizeBytes } of objects.list(archivePrefix(snapshot))) listed.set(key, sizeBytes);
  for (const [at, { length }] of parts.entries()) {
    const key = partObjectKey(snapshot, at);
    if (listed.get(key) === length) continue;
    // A list may leave something out; only the object itself is proof.
    if ((await objects.getRange(key, length - 1, 2))?.length !== 1) return false;
  }
  return true;
}

export function storedBytes({ parts }: Archive): number {
  return parts.reduce((bytes, { length }) => bytes + length, 0);
}

/** Every chunk of an archive, in order, each in the spool. Throws StoreError 'damaged'. */
export async function* archivedChunks(
  chunks: ChunkStore,
  { manifest, parts }: Archive,
  spool: ChunkSpool,
  signal: AbortSignal,
): AsyncGenerator<ChunkChange> {
  const { snapshot, account } = manifest.label;
  const keys = chunks.keysOf(account, manifest.root.dataKey ?? null);
  for (const [at, { chunkCount }] of parts.entries()) {
    throwIfAborted(signal);
    const objectKey = partObjectKey(snapshot, at);
    const sealed = await chunks.objects.get(objectKey);
    if (sealed === null) throw asStoreError(objectKey, new DamageError('a part of the archive is missing'));
    const packed = await openPart(keys, objectKey, sealed).catch((error: unknown) => {
      throw asStoreError(objectKey, error);
    });
    const plain = await decompress(packed, { maxOutputLength: PART_BYTES_MAX });
    for (const { index, bytes } of named(objectKey, () => splitPart(plain, chunkCount))) {
      yield { index, source: spool.put(bytes) };
      await nextTurn(); // To encrypt one takes a millisecond.
    }
  }
}

/** Removes the archive, also one that is not whole. No error when there is none. */
export async function deleteArchive(chunks: ChunkStore, snapshot: SnapshotId): Promise<void> {
  // First what says that it is whole.
  await chunks.objects.delete(archiveObjectKey(snapshot));
  const found: string[] = [];
  for await (const { key } of chunks.objects.list(archivePrefix(snapshot))) found.push(key);
  for (const key of found) await chunks.objects.delete(key);
}

async function* partsOf(
  ports: ArchivePorts,
  { label: { account }, root }: Manifest,
  signal: AbortSignal,
): AsyncGenerator<readonly PartChunk[]> {
  let part: PartChunk[] = [];
  for await (const page of walkTree(ports.chunks, account, root, 0)) {
    for (let at = 0; at < page.length;) {
      const wanted = page.slice(at, at + PART_CHUNK_COUNT - part.length).map(({ index }) => ({ index, place: null }));
      at += wanted.length;
      const reads = await Promise.all(readChunks(ports, account, root, wanted, { background: true, signal }));
      for (const [turn, read] of reads.entries()) {
        assert(read !== null && read.kind === 'bytes', 'a chunk of a root that is held is there, and is answered');
        part.push({ index: present(wanted[turn], 'a read is of a chunk that was wanted').index, bytes: read.bytes });
      }
      if (part.length < PART_CHUNK_COUNT) continue;
      yield part;
      part = [];
    }
  }
  if (part.length > 0) yield part;
}

/** Says where the damage is. */
function named<R>(what: string, read: () => R): R {
  try {
    return read();
  } catch (error) {
    throw asStoreError(what, error);
  }
}

function asStoreError(what: string, error: unknown): unknown {
  if (!(error instanceof DamageError)) return error;
  return new StoreError('damaged', `${what}: ${error.message}`, { cause: error });
}
