import { assert } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import type { ChunkWriter } from '#chunk/chunk-writer.ts';
import { throwIfAborted } from '#chunk/errors.ts';
import { BATCH_COUNT_MAX, type SealPool } from '#chunk/seal-pool.ts';
import { CHUNK_BYTES, chunkCount } from '#domain/geometry.ts';

import type { ManifestStore } from './manifest-store.ts';
import type { Manifest } from './manifest.ts';
import type { ChunkChange, SnapshotWrite } from './snapshot-store.ts';
import { TreeBuilder } from './tree-builder.ts';

export interface WritePorts {
  readonly chunks: ChunkStore;
  readonly manifests: ManifestStore;
  readonly pool: SealPool;
  readonly clock: Clock;
}

/** Changes without a source cost nothing but a place in their batch. */
const CHANGES_PER_BATCH_MAX = 1024;

/** A change whose chunk is stored, or on its way into a pack. */
interface SealedChange {
  readonly index: number;
  readonly key: Buffer | null;
  readonly record: Buffer | null;
}

/**
 * Writes one snapshot: batches of chunks go through the sealing threads, some at once, and come out in order, into packs and
 * into the tree. Only when all packs are stored and read back is the manifest put. The base must be held meanwhile.
 */
export async function writeSnapshot(ports: WritePorts, job: SnapshotWrite, signal: AbortSignal): Promise<Manifest> {
  const { chunks, manifests, clock } = ports;
  const { account, sizeBytes } = job.label;
  await using writer = chunks.beginWrite(account);
  const tree = new TreeBuilder({
    chunks,
    account,
    base: job.base,
    chunkCount: chunkCount(sizeBytes),
    write: (plain) => writer.addNode(plain),
  });
  let doneCount = 0;
  for await (const sealed of sealAll(ports, job, writer, signal)) {
    job.checkSources?.();
    for (const { index, key, record } of sealed) {
      if (record !== null) await writer.add(record);
      await tree.set(index, key);
    }
    doneCount += sealed.length;
    job.onProgress({ doneCount, totalCount: job.changes.count });
  }
  assert(doneCount === job.changes.count, 'there are as many changes as was said');
  const root = await tree.finish();
  await writer.finish();
  throwIfAborted(signal);
  job.checkSources?.();
  // Awaited here: until the manifest is there, only the writer keeps what was stored from being collected.
  return await manifests.put({
    label: job.label,
    completedAtMs: clock.nowMs(),
    root,
    fullBytes: root.presentCount * CHUNK_BYTES,
    changedBytes: tree.changedCount * CHUNK_BYTES,
    storedBytes: writer.storedBytes,
  });
}

/** Seals all changes, as many batches at once as keep the threads busy, and gives them out in order. When it ends early, it ends once no batch is under way. */
async function* sealAll(
  { pool }: WritePorts,
  job: SnapshotWrite,
  writer: ChunkWriter,
  signal: AbortSignal,
): AsyncGenerator<readonly SealedChange[]> {
  const running: Promise<readonly SealedChange[]>[] = [];
  try {
    for (const batch of batches(job.changes.items)) {
      throwIfAborted(signal);
      const sealing = sealBatch(pool, job, writer, batch);
      // Awaited in its turn; until then a failure must not count as unhandled.
      sealing.catch(() => {});
      running.push(sealing);
      if (running.length >= pool.batchesInFlightMax) yield* firstOf(running);
    }
    while (running.length > 0) {
      throwIfAborted(signal);
      yield* firstOf(running);
    }
  } finally {
    await Promise.allSettled(running);
  }
}

async function* firstOf(running: Promise<readonly SealedChange[]>[]): AsyncGenerator<readonly SealedChange[]> {
  const first = running.shift();
  if (first !== undefined) yield await first;
}

async function sealBatch(
  pool: SealPool,
  job: SnapshotWrite,
  writer: ChunkWriter,
  batch: readonly ChunkChange[],
): Promise<readonly SealedChange[]> {
  const sources = batch.flatMap(({ source }) => (source === null ? [] : [source]));
  const { account } = job.label;
  const sealed =
    sources.length === 0
      ? []
      : await pool.seal({ account, sources, keepZeroChunks: job.keepZeroChunks }, (keys) => writer.claim(keys));
  const next = sealed[Symbol.iterator]();
  return batch.map(({ index, source }) => {
    if (source === null) return { index, key: null, record: null };
    const chunk = next.next().value;
    assert(chunk !== undefined, 'every source of a batch was sealed');
    return { index, key: chunk.key, record: chunk.record };
  });
}

function* batches(changes: Iterable<ChunkChange>): Generator<readonly ChunkChange[]> {
  let batch: ChunkChange[] = [];
  let sourceCount = 0;
  for (const change of changes) {
    batch.push(change);
    if (change.source !== null) sourceCount += 1;
    if (sourceCount < BATCH_COUNT_MAX && batch.length < CHANGES_PER_BATCH_MAX) continue;
    yield batch;
    batch = [];
    sourceCount = 0;
  }
  if (batch.length > 0) yield batch;
}
