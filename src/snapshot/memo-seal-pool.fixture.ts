import { present } from '#base/assert.ts';
import type { Claim, SealBatch, SealedChunk, SealPool, SealSource } from '#chunk/seal-pool.ts';

interface Sealed {
  readonly key: Buffer;
  readonly record: Buffer;
}

/** Seals each place of a file once, and remembers: for tests that write the same content very often. The files must not change. */
export class MemoSealPool implements SealPool {
  readonly batchesInFlightMax: number;
  readonly #pool: SealPool;
  readonly #memo = new Map<string, Sealed | 'zeros'>();

  constructor(pool: SealPool) {
    this.#pool = pool;
    this.batchesInFlightMax = pool.batchesInFlightMax;
  }

  async seal(batch: SealBatch, claim: Claim): Promise<readonly SealedChunk[]> {
    const nameOf = ({ path, offset }: SealSource): string => `${path} ${offset} ${batch.keepZeroChunks}`;
    const missing = batch.sources.filter((source) => !this.#memo.has(nameOf(source)));
    if (missing.length > 0) {
      const sealed = await this.#pool.seal({ ...batch, sources: missing }, (keys) => keys.map(() => false));
      for (const [index, chunk] of sealed.entries()) {
        this.#memo.set(nameOf(present(missing[index], 'a source')), memoOf(chunk));
      }
    }
    const names = batch.sources.map(nameOf);
    const chunks = names.map((name) => present(this.#memo.get(name), name));
    const stored = claim(chunks.flatMap((chunk) => (chunk === 'zeros' ? [] : [chunk.key])))[Symbol.iterator]();
    return chunks.map((chunk) => {
      if (chunk === 'zeros') return { key: null, record: null };
      return { key: chunk.key, record: stored.next().value === true ? null : chunk.record };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function memoOf({ key, record }: SealedChunk): Sealed | 'zeros' {
  return key === null || record === null ? 'zeros' : { key, record };
}
