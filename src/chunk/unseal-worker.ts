/** A thread that opens chunks: see unseal-protocol.ts. Computes and writes synchronously; it has nothing else to do. */
import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

import { present } from '#base/assert.ts';
import { KeyCache } from './key-cache.ts';
import { type AccountKeys, checkAddress } from './seal.ts';
import { openChain } from './unseal.ts';
import type { ChunkPlace, FromUnsealWorker, ToUnsealWorker, UnsealOrder, UnsealWorkerData } from './unseal-protocol.ts';

const port = present(parentPort, 'a thread that opens chunks has a parent');
const { masterKey } = workerData as UnsealWorkerData;
/** Decompressed bytes lie in a buffer that is a little larger. */
const SPARE_BYTES_MAX = 64;
const keyCache = new KeyCache(masterKey);

port.on('message', ({ id, account, dataKey, orders }: ToUnsealWorker) => {
  const keys = keyCache.of(account, dataKey);
  for (const order of orders) {
    const plain = open(keys, order);
    if (plain === null) post({ type: 'failed', id }, []);
    else if (order.place !== null && isWritten(plain, order.place)) {
      post({ type: 'placed', id }, []);
      if (isOwn(plain)) free(plain.buffer);
    } else give(id, plain);
  }
  for (const memory of new Set(orders.flatMap(({ chain }) => chain.map(({ record }) => record.buffer)))) free(memory);
});
post({ type: 'ready' }, []);

/** Null: it does not open. Whoever asked reads it again in the ordinary way, which tells what is wrong. */
function open(keys: AccountKeys, { chain }: UnsealOrder): Buffer | null {
  try {
    const links = chain.map(({ key, record }) => ({
      key,
      record: Buffer.from(record.buffer, record.byteOffset, record.byteLength),
    }));
    const plain = openChain(keys, links);
    checkAddress(keys, 'chunk', present(chain[0], 'a chain has a link').key, plain);
    return plain;
  } catch {
    return null;
  }
}

/** False when it cannot be written: whoever gets the bytes writes them again, and is told why not. */
function isWritten(plain: Buffer, { descriptor, position }: ChunkPlace): boolean {
  try {
    for (let done = 0; done < plain.length;) {
      const count = writeSync(descriptor, plain, done, plain.length - done, position + done);
      if (count === 0) return false;
      done += count;
    }
    return true;
  } catch {
    return false;
  }
}

/** Whether it shares its memory with nothing else, or hardly anything. */
function isOwn(plain: Buffer): boolean {
  return plain.buffer.byteLength <= plain.length + SPARE_BYTES_MAX;
}

/** Now: left to the collector, megabytes come so quickly that it does little else than to look for them. */
function free(memory: ArrayBufferLike): void {
  if (memory instanceof ArrayBuffer) memory.transfer(0);
}

function give(id: number, plain: Buffer): void {
  const own = isOwn(plain) ? plain : Uint8Array.from(plain);
  post({ type: 'plain', id, bytes: own }, [own.buffer as ArrayBuffer]);
}

function post(message: FromUnsealWorker, owned: readonly ArrayBuffer[]): void {
  port.postMessage(message, [...owned]);
}
