import { Worker } from 'node:worker_threads';

import { assert, present } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';

import type { BlockSet } from './block-set.ts';
import { StoreError } from './errors.ts';
import type { Claim, SealBatch, SealedChunk, SealOrder, SealPool } from './seal-pool.ts';
import { BATCHES_PER_THREAD, type FromSealWorker, type SealWorkerData, type ToSealWorker } from './seal-protocol.ts';

/** A thread costs some 15 MiB while it lives and 40 ms to start. */
const IDLE_MS = 5_000;

interface Job {
  readonly batch: SealBatch;
  readonly claim: Claim;
  readonly resolve: (chunks: readonly SealedChunk[]) => void;
  readonly reject: (error: unknown) => void;
  keys: readonly (Buffer | null)[];
}

interface Thread {
  readonly worker: Worker;
  readonly jobs: Map<number, Job>;
}

export interface ThreadSealPoolOptions {
  readonly masterKey: Uint8Array;
  readonly clock: Clock;
  /** Threads that seal at once, at most; each has 8 MiB of chunks in memory. */
  readonly threadCountMax: number;
}

/** Seals in threads, started when there is work and ended after five seconds without. */
export class ThreadSealPool implements SealPool {
  readonly batchesInFlightMax: number;
  readonly #options: ThreadSealPoolOptions;
  readonly #threads = new Set<Thread>();
  readonly #waiting: Job[] = [];
  #nextId = 1;
  #idle: AbortController | null = null;
  #disposed = false;

  constructor(options: ThreadSealPoolOptions) {
    assert(options.threadCountMax >= 1, 'a pool has at least one thread');
    this.#options = options;
    this.batchesInFlightMax = options.threadCountMax * BATCHES_PER_THREAD;
  }

  get threadCount(): number {
    return this.#threads.size;
  }

  seal(batch: SealBatch, claim: Claim): Promise<readonly SealedChunk[]> {
    assert(!this.#disposed, 'a pool that was disposed of seals nothing');
    this.#idle?.abort();
    this.#idle = null;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, claim, resolve, reject, keys: [] });
      this.#dispatch();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#idle?.abort();
    const stopped = new StoreError('aborted', 'the sealing threads were stopped');
    for (const job of this.#waiting.splice(0)) job.reject(stopped);
    await this.#endThreads(stopped);
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const thread = this.#freeThread();
      if (thread === null) return;
      const job = present(this.#waiting.shift(), 'a job waits');
      const id = this.#nextId++;
      thread.jobs.set(id, job);
      send(thread, { type: 'seal', id, batch: job.batch });
    }
  }

  /** The thread with the least to do; a new one rather than a busy one. */
  #freeThread(): Thread | null {
    const least = [...this.#threads].toSorted((a, b) => a.jobs.size - b.jobs.size)[0];
    const canStart = this.#threads.size < this.#options.threadCountMax;
    if (least === undefined || (least.jobs.size > 0 && canStart)) return this.#start();
    return least.jobs.size < BATCHES_PER_THREAD ? least : null;
  }

  #start(): Thread {
    const data: SealWorkerData = { masterKey: this.#options.masterKey };
    const worker = new Worker(new URL('./seal-worker.ts', import.meta.url), { workerData: data });
    const thread: Thread = { worker, jobs: new Map() };
    this.#threads.add(thread);
    worker.on('message', (message: FromSealWorker) => this.#receive(thread, message));
    worker.on('error', (error) => this.#lose(thread, new Error('a sealing thread failed', { cause: error })));
    worker.on('exit', () => this.#lose(thread, new Error('a sealing thread ended')));
    return thread;
  }

  #receive(thread: Thread, message: FromSealWorker): void {
    const job = thread.jobs.get(message.id);
    if (job === undefined) return; // Given up.
    if (message.type === 'keys') {
      job.keys = message.keys.map(asBuffer);
      void this.#order(thread, message.id, job, message.changed);
      return;
    }
    thread.jobs.delete(message.id);
    if (message.type === 'failed') {
      job.reject(message.damaged ? new StoreError('damaged', message.message) : new Error(message.message));
    } else {
      job.resolve(
        message.sealed.map(({ record, finding }, at) => ({
          key: job.keys[at] ?? null,
          record: asBuffer(record),
          finding,
        })),
      );
    }
    this.#dispatch();
    this.#endWhenIdle();
  }

  async #order(thread: Thread, id: number, job: Job, changed: readonly (BlockSet | null)[]): Promise<void> {
    let orders: readonly SealOrder[];
    try {
      orders = await job.claim(job.keys, changed);
    } catch (error) {
      job.reject(error);
      orders = job.keys.map(() => ({ type: 'none' }));
    }
    // The thread may be gone by now.
    if (thread.jobs.get(id) === job) send(thread, { type: 'orders', id, orders });
  }

  /** A thread that is gone takes its jobs with it; the next job starts another. */
  #lose(thread: Thread, error: Error): void {
    if (!this.#threads.delete(thread)) return;
    for (const job of thread.jobs.values()) job.reject(error);
    thread.jobs.clear();
    if (!this.#disposed) this.#dispatch();
  }

  #endWhenIdle(): void {
    if (this.#disposed || this.#waiting.length > 0) return;
    if ([...this.#threads].some((thread) => thread.jobs.size > 0)) return;
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
    await this.#endThreads(new Error('a sealing thread ended'));
  }

  async #endThreads(why: Error): Promise<void> {
    const threads = [...this.#threads];
    for (const thread of threads) this.#lose(thread, why);
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }
}

/** Records to compare with lie in memory of their own, so they are handed over and not copied. */
function send(thread: Thread, message: ToSealWorker): void {
  const orders = message.type === 'orders' ? message.orders : [];
  const owned = orders.flatMap((order) => (order.type === 'delta' ? (order.chain ?? []) : []));
  const memory = new Set(owned.map(({ record }) => record.buffer as ArrayBuffer));
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  thread.worker.postMessage(message, [...memory]);
}

function asBuffer(bytes: Uint8Array | null): Buffer | null {
  return bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
