import { setImmediate as nextTurn } from 'node:timers/promises';

import { present } from '#base/assert.ts';
import type { Random } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { KeyCache } from './key-cache.ts';
import { readBatch } from './read-batch.ts';
import { sealAsOrdered } from './seal-batch.ts';
import type { Claim, SealBatch, SealedChunk, SealPool } from './seal-pool.ts';

/** Seals in the calling thread, one batch a turn of the event loop. For tests, and where there is nobody to delay. */
export class InlineSealPool implements SealPool {
  readonly batchesInFlightMax = 2;
  readonly #keys: KeyCache;
  readonly #random: Random;

  constructor(options: { readonly masterKey: Uint8Array; readonly random: Random }) {
    this.#keys = new KeyCache(options.masterKey);
    this.#random = options.random;
  }

  async seal(batch: SealBatch, claim: Claim): Promise<readonly SealedChunk[]> {
    const keys = this.#keys.of(batch.account, batch.dataKey ?? null);
    const chunks = readBatch(keys, batch, Buffer.allocUnsafeSlow(batch.sources.length * CHUNK_BYTES));
    await nextTurn();
    const changed = chunks.map((chunk) => chunk.changed ?? null);
    const orders = await claim(
      chunks.map(({ key }) => key),
      changed,
    );
    return chunks.map((chunk, at) => {
      const order = present(orders[at], 'an order for each chunk');
      const { record, finding } = sealAsOrdered(keys, chunk, order, this.#random);
      return { key: chunk.key, record, finding };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
