import { Worker } from 'node:worker_threads';

import { assert, present } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import type { AccountId } from '#domain/ids.ts';

import type { FromUnsealWorker, ToUnsealWorker, UnsealOrder, UnsealWorkerData } from './unseal-protocol.ts';

/** A thread costs some 15 MiB while it lives and 50 ms to start. */
const IDLE_MS = 5_000;

/** What became of an order; 'failed' says nothing about why. */
export type Unsealed =
  | { readonly kind: 'placed' }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'failed' };

interface Job {
  readonly resolvers: readonly PromiseWithResolvers<Unsealed>[];
  /** Orders answered so far. */
  doneCount: number;
}

interface Thread {
  readonly worker: Worker;
  readonly jobs: Map<number, Job>;
  isReady: boolean;
}

export interface UnsealThreadsOptions {
  readonly masterKey: Uint8Array;
  readonly clock: Clock;
  /** 0: none are ever started. */
  readonly threadCountMax: number;
}

/**
 * Opens chunks in threads, started when asked to and ended after five seconds without work. A thread that is lost fails its
 * orders, and not before it has ended: until then it may write to their places.
 */
export class UnsealThreads implements AsyncDisposable {
  readonly #options: UnsealThreadsOptions;
  readonly #threads = new Set<Thread>();
  #nextId = 1;
  #idle: AbortController | null = null;
  #disposed = false;

  constructor(options: UnsealThreadsOptions) {
    this.#options = options;
  }

  /** Threads that take jobs now. */
  get readyCount(): number {
    let count = 0;
    for (const thread of this.#threads) if (thread.isReady) count += 1;
    return count;
  }

  /** Starts so many, if they are not started, or as many as there may be; they are ready some time later. */
  start(count: number): void {
    const countMax = Math.min(count, this.#options.threadCountMax);
    if (this.#disposed || this.#threads.size >= countMax) return;
    while (this.#threads.size < countMax) this.#startOne();
    this.#endWhenIdle();
  }

  /** One answer an order, in their order; none rejects. Needs a thread that is ready. The records are gone afterwards. */
  unseal(account: AccountId, dataKey: Uint8Array | null, orders: readonly UnsealOrder[]): readonly Promise<Unsealed>[] {
    assert(!this.#disposed, 'threads that were disposed of open nothing');
    this.#idle?.abort();
    this.#idle = null;
    const ready = [...this.#threads].filter((candidate) => candidate.isReady);
    const thread = present(ready.toSorted((a, b) => a.jobs.size - b.jobs.size)[0], 'a thread is ready');
    const id = this.#nextId++;
    const job: Job = { resolvers: orders.map(() => Promise.withResolvers<Unsealed>()), doneCount: 0 };
    thread.jobs.set(id, job);
    const memory = new Set(orders.flatMap(({ chain }) => chain.map(({ record }) => record.buffer as ArrayBuffer)));
    // By itself: a view would take along all memory in which it lies.
    const own = dataKey === null ? null : Uint8Array.from(dataKey);
    const message: ToUnsealWorker = { id, account, dataKey: own, orders };
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    thread.worker.postMessage(message, [...memory]);
    return job.resolvers.map(({ promise }) => promise);
  }

  /** Resolves when no thread writes anywhere any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#idle?.abort();
    await this.#endThreads();
  }

  #startOne(): void {
    const data: UnsealWorkerData = { masterKey: this.#options.masterKey };
    const worker = new Worker(new URL('./unseal-worker.ts', import.meta.url), { workerData: data });
    const thread: Thread = { worker, jobs: new Map(), isReady: false };
    this.#threads.add(thread);
    worker.on('message', (message: FromUnsealWorker) => this.#receive(thread, message));
    worker.on('error', () => {}); // It ends, which is all that matters.
    worker.on('exit', () => this.#lose(thread));
  }

  #receive(thread: Thread, message: FromUnsealWorker): void {
    if (message.type === 'ready') {
      thread.isReady = true;
      return;
    }
    const job = present(thread.jobs.get(message.id), 'a job is answered as long as it lasts');
    const resolver = present(job.resolvers[job.doneCount], 'an order is answered once');
    job.doneCount += 1;
    if (job.doneCount === job.resolvers.length) thread.jobs.delete(message.id);
    if (message.type === 'plain') {
      const { buffer, byteOffset, byteLength } = message.bytes;
      resolver.resolve({ kind: 'bytes', bytes: Buffer.from(buffer, byteOffset, byteLength) });
    } else resolver.resolve({ kind: message.type });
    this.#endWhenIdle();
  }

  #lose(thread: Thread): void {
    if (!this.#threads.delete(thread)) return;
    for (const job of thread.jobs.values()) {
      for (const { resolve } of job.resolvers.slice(job.doneCount)) resolve({ kind: 'failed' });
    }
    thread.jobs.clear();
  }

  #endWhenIdle(): void {
    if (this.#disposed || [...this.#threads].some((thread) => thread.jobs.size > 0)) return;
    this.#idle?.abort();
    const idle = new AbortController();
    this.#idle = idle;
    void this.#endAfter(idle.signal);
  }

  async #endAfter(signal: AbortSignal): Promise<void> {
    try {
      await this.#options.clock.sleep(IDLE_MS, signal);
    } catch {
      return; // There is work again.
    }
    await this.#endThreads();
  }

  async #endThreads(): Promise<void> {
    const threads = [...this.#threads];
    for (const thread of threads) thread.isReady = false;
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }
}
