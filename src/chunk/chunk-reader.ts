import { present } from '#base/assert.ts';
import type { AccountId } from '#domain/ids.ts';

import type { RecordPlace } from './chunk-index.ts';
import type { ChunkStore } from './chunk-store.ts';
import type { DataKeyId } from './data-key-ring.ts';
import { packObjectKey } from './pack.ts';
import { holds, runsOf, type Run } from './record-runs.ts';
import type { ChunkPlace, UnsealOrder } from './unseal-protocol.ts';
import type { Unsealed, UnsealThreads } from './unseal-threads.ts';

/** Chunks that are read and opened together. Written one after another, they mostly lie side by side in a pack: one read. */
export const READ_COUNT_MAX = 8;
/** Batches at work at once for each thread: while one is opened, the next is read. Each has at most some 4 MiB in memory. */
const BATCHES_PER_THREAD = 2;
/** Beside them, those that nobody waits for. They go on when others are busy, too: somebody may have come who waits. */
const BACKGROUND_BATCHES_MAX = 1;

export interface ReadOrder {
  readonly key: Buffer;
  /** Where the plaintext is to be written; null: it is answered. */
  readonly place: ChunkPlace | null;
}

export type ChunkRead =
  | { readonly kind: 'placed' }
  /** Also when it could not be written to its place. */
  | { readonly kind: 'bytes'; readonly bytes: Buffer };

interface Batch {
  readonly account: AccountId;
  readonly dataKey: DataKeyId | null;
  readonly orders: readonly ReadOrder[];
  readonly resolvers: readonly PromiseWithResolvers<ChunkRead>[];
  readonly signal: AbortSignal | null;
  /** Listens to the signal while the batch waits. */
  readonly leave: () => void;
}

export interface ReadChunksOptions {
  /** Whoever waits for others goes first. */
  readonly background: boolean;
  /** What the chunks are sealed under beside the account's keys; it is lent meanwhile. Missing or null: nothing. */
  readonly dataKey?: DataKeyId | null;
  /** Once it is aborted, nothing is begun that writes to a place any more, and what was not begun rejects with its reason at once. */
  readonly signal?: AbortSignal;
}

/**
 * Reads many chunks: what lies side by side in one go, opened and verified by threads, which may also write it where it
 * belongs, so that little of it costs the event loop anything. Where there is no thread (yet), or a chunk does not open in
 * one, the chunk store reads it by itself: it also knows what to do about damage, and about packs that were just rewritten.
 */
export class ChunkReader implements AsyncDisposable {
  readonly #store: ChunkStore;
  readonly #threads: UnsealThreads;
  readonly #foregroundMax: number;
  readonly #waiting: Batch[] = [];
  readonly #waitingInBackground: Batch[] = [];
  #runningCount = 0;
  #backgroundCount = 0;

  /** Takes over `threads`. */
  constructor(options: {
    readonly store: ChunkStore;
    readonly threads: UnsealThreads;
    readonly threadCountMax: number;
  }) {
    this.#store = options.store;
    this.#threads = options.threads;
    this.#foregroundMax = Math.max(1, options.threadCountMax) * BATCHES_PER_THREAD;
  }

  /** One answer an order, in their order. Each rejects as ChunkStore.readChunk does. */
  read(account: AccountId, orders: readonly ReadOrder[], options: ReadChunksOptions): readonly Promise<ChunkRead>[] {
    const { background, dataKey = null, signal = null } = options;
    const promises: Promise<ChunkRead>[] = [];
    for (let at = 0; at < orders.length; at += READ_COUNT_MAX) {
      const part = orders.slice(at, at + READ_COUNT_MAX);
      const resolvers = part.map(() => Promise.withResolvers<ChunkRead>());
      const waiting = background ? this.#waitingInBackground : this.#waiting;
      const leave = (): void => {
        waiting.splice(waiting.indexOf(batch), 1);
        for (const { reject } of resolvers) reject(signal?.reason);
      };
      const batch: Batch = { account, dataKey, orders: part, resolvers, signal, leave };
      waiting.push(batch);
      if (signal?.aborted === true) leave();
      else signal?.addEventListener('abort', leave, { once: true });
      promises.push(...batch.resolvers.map(({ promise }) => promise));
    }
    // What nobody waits for keeps one busy, and not the memory of many.
    if (orders.length > 1 || this.#runningCount > 0) this.#threads.start(background ? 1 : Infinity);
    this.#dispatch();
    return promises;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
  }

  #dispatch(): void {
    for (;;) {
      const foregroundCount = this.#runningCount - this.#backgroundCount;
      const isBackground = this.#waiting.length === 0 || foregroundCount >= this.#foregroundMax;
      if (isBackground && this.#backgroundCount >= BACKGROUND_BATCHES_MAX) return;
      const batch = isBackground ? this.#waitingInBackground.shift() : this.#waiting.shift();
      if (batch === undefined) return;
      batch.signal?.removeEventListener('abort', batch.leave);
      this.#runningCount += 1;
      if (isBackground) this.#backgroundCount += 1;
      void this.#readBatch(batch).finally(() => {
        this.#runningCount -= 1;
        if (isBackground) this.#backgroundCount -= 1;
        this.#dispatch();
      });
    }
  }

  async #readBatch(batch: Batch): Promise<void> {
    const { account, dataKey, orders, resolvers, signal } = batch;
    let unsealed: readonly (Promise<Unsealed> | undefined)[];
    try {
      unsealed = await this.#unsealBatch(batch);
    } catch (error) {
      for (const { reject } of resolvers) reject(error);
      return;
    }
    await Promise.all(
      orders.map(async ({ key }, at) => {
        const { resolve, reject } = present(resolvers[at], 'an order has its answer');
        const chunk = (await unsealed[at]) ?? FAILED;
        if (chunk.kind === 'placed' || chunk.kind === 'bytes') resolve(chunk);
        else {
          const read = unlessAborted(signal, () => this.#store.readChunk(account, key, dataKey));
          await read.then((bytes) => resolve({ kind: 'bytes', bytes }), reject);
        }
      }),
    );
  }

  /** What the threads make of it; a chunk that they do not get is not answered. Rejects when it is aborted. */
  async #unsealBatch({ account, dataKey, orders, signal }: Batch): Promise<readonly (Promise<Unsealed> | undefined)[]> {
    if (this.#threads.readyCount === 0) return [];
    const chains = await unlessAborted(signal, () => this.#readRecords(account, orders));
    if (this.#threads.readyCount === 0) return [];
    const ready = orders.flatMap(({ place }, at) => {
      const chain = chains[at] ?? null;
      return chain === null ? [] : [{ at, order: { chain, place } }];
    });
    const unsealed: Promise<Unsealed>[] = [];
    if (ready.length === 0) return unsealed;
    const answers = this.#threads.unseal(
      account,
      dataKey === null ? null : this.#store.dataKeys.get(dataKey),
      ready.map(({ order }) => order),
    );
    for (const [turn, { at }] of ready.entries()) unsealed[at] = present(answers[turn], 'an order is answered');
    return unsealed;
  }

  /** By order, the records that it takes, in memory of their own; null where they are not all to be had. */
  async #readRecords(
    account: AccountId,
    orders: readonly ReadOrder[],
  ): Promise<readonly (UnsealOrder['chain'] | null)[]> {
    const chains = orders.map(({ key }) => this.#store.index.chain(account, key) ?? []);
    const places = chains.flat().map(({ place }) => place);
    const runs = runsOf(places);
    const bytes = await Promise.all(runs.map((run) => this.#readRun(account, run)));
    const recordAt = (place: RecordPlace): Uint8Array | null => {
      const at = runs.findIndex((run) => holds(run, place));
      const start = place.offset - present(runs[at], 'a record is in a run').offset;
      const read = bytes[at] ?? null;
      return read === null || read.length < start + place.length ? null : read.subarray(start, start + place.length);
    };
    return chains.map((chain) => {
      if (chain.at(-1)?.place.base !== null) return null;
      // A key is a view of something larger, which would go along.
      const links = chain.flatMap(({ key, place }) => {
        const record = recordAt(place);
        return record === null ? [] : [{ key: Uint8Array.from(key), record }];
      });
      return links.length === chain.length ? links : null;
    });
  }

  /** In memory of its own, to be handed over; null when it cannot be read. */
  async #readRun(account: AccountId, { pack, offset, length }: Run): Promise<Uint8Array | null> {
    try {
      const bytes = await this.#store.copies.getRange(packObjectKey({ account, id: pack }), offset, length);
      return bytes === null || bytes.length === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes);
    } catch {
      return null; // Whoever reads it again is told.
    }
  }
}

const FAILED: Unsealed = { kind: 'failed' };

/** Rejects with the signal's reason as soon as it is aborted; what `work` does then goes nowhere. */
export async function unlessAborted<R>(signal: AbortSignal | null, work: () => Promise<R>): Promise<R> {
  if (signal === null) return await work();
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work(), aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
