import { assert } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import type { ChunkSource } from '#chunk/chunk-source.ts';
import type { Reserved } from '#chunk/byte-budget.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import type { ChunkWriter } from '#chunk/chunk-writer.ts';
import type { DataKeyId } from '#chunk/data-key-ring.ts';
import { StoreError, throwIfAborted } from '#chunk/errors.ts';
import { BATCH_COUNT_MAX, type SealPool, type SealSource } from '#chunk/seal-pool.ts';
import { CHUNK_BYTES, chunkCount } from '#domain/geometry.ts';
import type { AccountId } from '#domain/ids.ts';

import type { ManifestStore } from './manifest-store.ts';
import type { Manifest } from './manifest.ts';
import type { ChunkChange, SnapshotWrite } from './snapshot-store.ts';
import { TreeBuilder } from './tree-builder.ts';
import { findChunks } from './tree.ts';

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

/** A block differs from the base that the hint of its chunk does not name. */
class WrongHintError extends Error {
  override readonly name = 'WrongHintError';
}

/**
 * Writes one snapshot: batches of chunks go through the sealing threads, some at once, and come out in order, into packs and
 * into the tree. Only when all packs are stored and read back is the manifest put. The base must be held meanwhile.
 *
 * A hint of which blocks changed is believed, but for some that are compared with the base. When one is found wrong, all
 * deltas that this write stored may be: they are distrusted, and the write begins again without hints.
 */
export async function writeSnapshot(ports: WritePorts, job: SnapshotWrite, signal: AbortSignal): Promise<Manifest> {
  let doneCountMax = 0;
  const onProgress = (doneCount: number): void => {
    if (doneCount <= doneCountMax) return;
    doneCountMax = doneCount;
    job.onProgress({ doneCount, totalCount: job.changes.count });
  };
  try {
    return await writeOnce(ports, { ...job, areHintsTrusted: true, onDone: onProgress }, signal);
  } catch (error) {
    if (!(error instanceof WrongHintError)) throw error;
    ports.chunks.log.error('changed blocks not told', { snapshot: job.label.snapshot, why: error.message });
    return await writeOnce(ports, { ...job, areHintsTrusted: false, onDone: onProgress }, signal);
  }
}

interface WriteAttempt extends SnapshotWrite {
  readonly areHintsTrusted: boolean;
  readonly onDone: (doneCount: number) => void;
}

async function writeOnce(ports: WritePorts, job: WriteAttempt, signal: AbortSignal): Promise<Manifest> {
  const { chunks, manifests, clock } = ports;
  const { account, sizeBytes } = job.label;
  await using writer = chunks.beginWrite(account);
  const tree = new TreeBuilder({
    chunks,
    account,
    dataKey: job.dataKey ?? null,
    base: job.base,
    chunkCount: chunkCount(sizeBytes),
    write: (plain) => writer.addNode(plain),
  });
  let doneCount = 0;
  try {
    for await (const { changes: sealed, held } of sealAll(ports, job, writer, signal)) {
      using _held = held;
      job.checkSources?.();
      let bytes = recordBytes(sealed);
      for (const { index, key, record } of sealed) {
        if (record !== null) {
          const adding = writer.add(record);
          // From here on the writer counts it.
          held.resize((bytes -= record.length));
          await adding;
        }
        await tree.set(index, key);
      }
      doneCount += sealed.length;
      job.onDone(doneCount);
    }
  } catch (error) {
    if (error instanceof WrongHintError) await writer.distrustDeltas();
    throw error;
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

/** A batch that is sealed, and the memory that its records have. */
interface SealedBatch {
  readonly changes: readonly SealedChange[];
  readonly held: Reserved;
}

/**
 * Seals all changes, as many batches at once as keep the threads busy and as there is memory for, and gives them out in order.
 * When it ends early, it ends once no batch is under way.
 */
async function* sealAll(
  ports: WritePorts,
  job: WriteAttempt,
  writer: ChunkWriter,
  signal: AbortSignal,
): AsyncGenerator<SealedBatch> {
  const running: Promise<SealedBatch>[] = [];
  const budget = ports.chunks.uploadBudget;
  try {
    for await (const batch of batches(job.changes.items)) {
      throwIfAborted(signal);
      const bytes = batch.filter(({ source }) => source !== null).length * CHUNK_BYTES;
      let held = budget.tryReserve(bytes);
      // What is sealed goes into packs, so that it does not wait for those who wait for memory, and those for it.
      for (; held === null && running.length > 0; held = budget.tryReserve(bytes)) yield* firstOf(running);
      if (held === null) {
        // The pack is put as it is, before too much waits in packs that are not full.
        if (!budget.mayWaitWith(writer.fillingBytes)) await writer.close();
        held = await budget.reserve(bytes, { idleBytes: writer.fillingBytes, signal });
      }
      const sealing = sealHeld(ports, job, writer, batch, held);
      // Awaited in its turn; until then a failure must not count as unhandled.
      sealing.catch(() => {});
      running.push(sealing);
      if (running.length >= ports.pool.batchesInFlightMax) yield* firstOf(running);
    }
    while (running.length > 0) {
      throwIfAborted(signal);
      yield* firstOf(running);
    }
  } finally {
    for (const one of await Promise.allSettled(running))
      if (one.status === 'fulfilled') one.value.held[Symbol.dispose]();
  }
}

/** What was reserved for whole chunks is as much as was sealed, afterwards. */
async function sealHeld(
  ports: WritePorts,
  job: WriteAttempt,
  writer: ChunkWriter,
  batch: readonly ChunkChange[],
  held: Reserved,
): Promise<SealedBatch> {
  try {
    const changes = await sealBatch(ports, job, writer, batch);
    held.resize(recordBytes(changes));
    return { changes, held };
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
}

function recordBytes(changes: readonly SealedChange[]): number {
  return changes.reduce((sum, { record }) => sum + (record?.length ?? 0), 0);
}

async function* firstOf(running: Promise<SealedBatch>[]): AsyncGenerator<SealedBatch> {
  const first = running.shift();
  if (first !== undefined) yield await first;
}

async function sealBatch(
  { chunks, pool }: WritePorts,
  job: WriteAttempt,
  writer: ChunkWriter,
  batch: readonly ChunkChange[],
): Promise<readonly SealedChange[]> {
  const { account } = job.label;
  const sourced = batch.flatMap((change) => (change.source === null ? [] : [{ ...change, source: change.source }]));
  if (sourced.length === 0) return batch.map(({ index }) => ({ index, key: null, record: null }));
  const indexes = sourced.map(({ index }) => index);
  const bases = job.base === null ? [] : await findChunks(chunks, account, job.base, indexes);
  const { areHintsTrusted } = job;
  const sources = sourced.map((change, at) => sealSource(change, areHintsTrusted, bases[at] ?? null));
  const { keepZeroChunks, digestPath = null, dataKey: dataKeyId = null } = job;
  // By itself, as above.
  const dataKey = dataKeyId === null ? null : Uint8Array.from(chunks.dataKeys.get(dataKeyId));
  const sealed = await pool.seal({ account, dataKey, sources, keepZeroChunks, digestPath }, (keys, changed) =>
    writer.order(
      keys.map((key, at) => (key === null ? null : { key, base: bases[at] ?? null, changed: changed[at] ?? null })),
    ),
  );
  for (const [at, { finding }] of sealed.entries()) {
    const base = bases[at];
    if (finding === 'hint-wrong') throw new WrongHintError(`chunk ${indexes[at]} differs where no write was told of`);
    if (finding === 'base-damaged' && base !== undefined && base !== null)
      await reportDamage(chunks, account, base, dataKeyId);
  }
  const next = sealed[Symbol.iterator]();
  return batch.map(({ index, source }) => {
    if (source === null) return { index, key: null, record: null };
    const chunk = next.next().value;
    assert(chunk !== undefined, 'every source of a batch was sealed');
    return { index, key: chunk.key, record: chunk.record };
  });
}

function sealSource(
  { index, source, changedBlocks = null }: ChunkChange & { readonly source: ChunkSource },
  isHintTrusted: boolean,
  base: Buffer | null,
): SealSource {
  if (!isHintTrusted || changedBlocks === null) return { ...source, index };
  // By itself: what is handed to a thread takes all memory along in which it lies.
  return { ...source, index, change: { base: base === null ? null : Uint8Array.from(base), blocks: changedBlocks } };
}

/** Reading it finds out which record is to blame, and makes that one suspect. */
async function reportDamage(
  chunks: ChunkStore,
  account: AccountId,
  key: Buffer,
  dataKey: DataKeyId | null,
): Promise<void> {
  try {
    await chunks.readChunk(account, key, dataKey);
  } catch (error) {
    if (!(error instanceof StoreError && error.kind === 'damaged')) throw error;
  }
}

async function* batches(changes: SnapshotWrite['changes']['items']): AsyncGenerator<readonly ChunkChange[]> {
  let batch: ChunkChange[] = [];
  let sourceCount = 0;
  for await (const change of changes) {
    batch.push(change);
    if (change.source !== null) sourceCount += 1;
    if (sourceCount < BATCH_COUNT_MAX && batch.length < CHANGES_PER_BATCH_MAX) continue;
    yield batch;
    batch = [];
    sourceCount = 0;
  }
  if (batch.length > 0) yield batch;
}
