/** A sealing thread: see seal-protocol.ts. Reads and computes synchronously; it has nothing else to do. */
import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';

import { assert, present } from '#base/assert.ts';
import { describeError } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { StoreError } from './errors.ts';
import { KeyCache } from './key-cache.ts';
import { readBatch, type ReadChunk } from './read-batch.ts';
import { sealAsOrdered } from './seal-batch.ts';
import { BATCH_COUNT_MAX, type SealOrder } from './seal-pool.ts';
import { BATCHES_PER_THREAD, type FromSealWorker, type SealWorkerData, type ToSealWorker } from './seal-protocol.ts';
import type { AccountKeys } from './seal.ts';

interface HeldBatch {
  readonly keys: AccountKeys;
  readonly chunks: readonly ReadChunk[];
  readonly memory: Buffer<ArrayBuffer>;
}

const port = present(parentPort, 'a sealing thread has a parent');
const { masterKey } = workerData as SealWorkerData;
/** Sealing may use every processor, and gives way to whoever serves requests: a tenth of one that both want. */
const NICENESS = 10;
// On Linux it is the calling thread that 0 stands for; elsewhere it would be the whole process.
if (process.platform === 'linux') setPriority(0, NICENESS);

const held = new Map<number, HeldBatch>();
const keyCache = new KeyCache(masterKey);
const memories = Array.from({ length: BATCHES_PER_THREAD }, () =>
  Buffer.allocUnsafeSlow(BATCH_COUNT_MAX * CHUNK_BYTES),
);

port.on('message', (message: ToSealWorker) => {
  try {
    if (message.type === 'seal') read(message);
    else sealOrdered(message);
  } catch (error) {
    drop(message.id);
    const damaged = error instanceof StoreError && error.kind === 'damaged';
    post({ type: 'failed', id: message.id, damaged, message: describeError(error) });
  }
});

function read({ id, batch }: Extract<ToSealWorker, { type: 'seal' }>): void {
  const memory = memories.pop();
  assert(memory !== undefined, 'a thread is given no more batches than it can hold');
  const keys = keyCache.of(batch.account, batch.dataKey ?? null);
  // Held before it is read, so that a failure gives the memory back.
  held.set(id, { keys, chunks: [], memory });
  const chunks = readBatch(keys, batch, memory);
  held.set(id, { keys, chunks, memory });
  const changed = chunks.map((chunk) => chunk.changed ?? null);
  post({ type: 'keys', id, keys: chunks.map(({ key }) => key), changed });
}

function sealOrdered({ id, orders }: Extract<ToSealWorker, { type: 'orders' }>): void {
  const { keys, chunks } = present(held.get(id), 'a batch that is ordered was read');
  const sealed = chunks.map((chunk, at) =>
    sealAsOrdered(keys, chunk, asBuffers(present(orders[at], 'an order for each chunk')), systemRandom),
  );
  drop(id);
  post({ type: 'sealed', id, sealed });
}

/** Between threads a Buffer becomes a plain array of bytes. */
function asBuffers(order: SealOrder): SealOrder {
  if (order.type !== 'delta' || order.chain === null) return order;
  const chain = order.chain.map(({ key, record }) => ({
    key,
    record: Buffer.from(record.buffer, record.byteOffset, record.byteLength),
  }));
  return { ...order, chain };
}

function drop(id: number): void {
  const batch = held.get(id);
  held.delete(id);
  if (batch !== undefined) memories.push(batch.memory);
}

/** Records lie in memory of their own, so they are handed over and not copied. */
function post(message: FromSealWorker): void {
  const owned = message.type === 'sealed' ? message.sealed : [];
  port.postMessage(
    message,
    owned.flatMap(({ record }) => (record === null ? [] : [record.buffer as ArrayBuffer])),
  );
}
