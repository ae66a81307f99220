import { setImmediate as nextTurn } from 'node:timers/promises';

import type { Random } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId } from '#domain/ids.ts';

import { readBatch, sealChunk } from './seal-batch.ts';
import type { Claim, SealBatch, SealedChunk, SealPool } from './seal-pool.ts';
import { accountKeys, type AccountKeys } from './seal.ts';

/** Seals in the calling thread, one batch a turn of the event loop. For tests, and where there is nobody to delay. */
export class InlineSealPool implements SealPool {
  readonly batchesInFlightMax = 2;
  readonly #masterKey: Uint8Array;
  readonly #keys = new Map<AccountId, AccountKeys>();
  readonly #random: Random;

  constructor(options: { readonly masterKey: Uint8Array; readonly random: Random }) {
    this.#masterKey = options.masterKey;
    this.#random = options.random;
  }

  async seal(batch: SealBatch, claim: Claim): Promise<readonly SealedChunk[]> {
    const keys = this.#keys.get(batch.account) ?? accountKeys(this.#masterKey, batch.account);
    this.#keys.set(batch.account, keys);
    const chunks = readBatch(keys, batch, Buffer.allocUnsafeSlow(batch.sources.length * CHUNK_BYTES));
    await nextTurn();
    const stored = claim(chunks.flatMap(({ key }) => (key === null ? [] : [key])))[Symbol.iterator]();
    return chunks.map(({ plain, key }) => {
      if (key === null || stored.next().value === true) return { key, record: null };
      return { key, record: sealChunk(keys, plain, key, this.#random.bytes(12)) };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
