import { present } from '#base/assert.ts';
import type { Random } from '#base/random.ts';
import { readBatch, type ReadChunk } from '#chunk/read-batch.ts';
import { sealAsOrdered, type Sealed } from '#chunk/seal-batch.ts';
import type { Claim, SealBatch, SealedChunk, SealOrder, SealPool } from '#chunk/seal-pool.ts';
import { accountKeys } from '#chunk/seal.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

/**
 * Seals each place of a file once in each way, and remembers: for tests that write the same content very often. The files
 * must not change. What is remembered and what is not take the same turns of the event loop.
 */
export class MemoSealPool implements SealPool {
  readonly batchesInFlightMax = 2;
  readonly #masterKey: Uint8Array;
  readonly #random: Random;
  readonly #chunks = new Map<string, ReadChunk>();
  readonly #sealed = new Map<string, Sealed>();

  constructor(options: { readonly masterKey: Uint8Array; readonly random: Random }) {
    this.#masterKey = options.masterKey;
    this.#random = options.random;
  }

  async seal(batch: SealBatch, claim: Claim): Promise<readonly SealedChunk[]> {
    const keys = accountKeys(this.#masterKey, batch.account);
    const named = batch.sources.map((source) => {
      const name = `${source.path} ${source.offset} ${batch.keepZeroChunks}`;
      const known = this.#chunks.get(name);
      if (known !== undefined) return { name, chunk: known };
      // Whole, whatever is known of it: that is different each time.
      const sources = [{ path: source.path, offset: source.offset }];
      const [chunk] = readBatch(keys, { ...batch, sources }, Buffer.allocUnsafeSlow(CHUNK_BYTES));
      this.#chunks.set(name, present(chunk, 'a chunk for each source'));
      return { name, chunk: present(chunk, 'a chunk for each source') };
    });
    const orders = await claim(
      named.map(({ chunk }) => chunk.key),
      batch.sources.map(({ change }) => change?.blocks ?? null),
    );
    return named.map(({ name, chunk }, at) => {
      const order = present(orders[at], 'an order for each chunk');
      const way = `${name} ${wayOf(order)}`;
      const sealed = this.#sealed.get(way) ?? sealAsOrdered(keys, chunk, order, this.#random);
      // What is compared with the base is compared each time: the base may be damaged by now.
      if (order.type !== 'delta' || order.chain === null) this.#sealed.set(way, sealed);
      return { key: chunk.key, record: sealed.record, finding: sealed.finding };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function wayOf(order: SealOrder): string {
  if (order.type !== 'delta') return order.type;
  return `delta ${Buffer.from(order.base).toString('hex')} ${order.changed?.join() ?? ''} ${order.chain === null}`;
}
