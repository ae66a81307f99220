import { setImmediate } from 'node:timers/promises';

import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/log.ts';
import { unlessAborted } from '#chunk/chunk-reader.ts';
import { StoreError } from '#chunk/errors.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { PRESENCE_PAGE_CHUNKS } from './chunk-presence.ts';
import type { HydrationState, HydrationStatus } from './host.ts';

/** Chunks that are fetched in one step: few, because a reader who comes meanwhile waits for them; more where the rate is so high that few would not reach it. */
const STEP_CHUNKS_MIN = 4;
const STEP_CHUNKS_MAX = 16;
const STEP_MS = 50;
/** By so much a step may come late, and the rate is still kept. */
const CATCH_UP_MS = 250;
/** How long a step waits at most for readers to be done; then it goes on, or a busy volume would never be whole. */
const READERS_WAIT_MS_MAX = 1_000;
const READERS_POLL_MS = 5;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 60_000;
/** What hydration leaves of the disk to those who write. */
export const FREE_BYTES_MIN = 1024 ** 3;
/** The rate that is shown is of so long. */
const RATE_WINDOW_MS = 5_000;
/** What was counted is good for so long: whoever asks of a thousand volumes each second costs little. */
const RECOUNT_MS = 100;

/** What hydration needs of a volume's origin; see OriginChunks. */
export interface HydratedOrigin {
  /** Chunks from here on are not the origin's. */
  readonly chunkCount: number;
  /** A reader waits for a chunk. */
  readonly isAsked: boolean;
  /** Afterwards it is known what the origin holds in the chunk's page. Rejects when the store does. */
  learn(index: number): Promise<void>;
  presenceAt(index: number): 'present' | 'absent' | 'unknown' | null;
  /** Whether the chunk is still to be fetched, as far as that is known. */
  isNeeded(index: number): boolean;
  /** Fetches and keeps them. Rejects when one cannot be read. */
  hydrate(indexes: readonly number[]): Promise<void>;
}

export interface HydrationOptions {
  readonly origin: HydratedOrigin;
  /** Of chunks that the origin holds below `origin.chunkCount`. */
  readonly totalCount: number;
  /** Chunks that come first, in this order; any index may be in it. */
  readonly first: readonly number[];
  /** At most; read before each step, and then not 0. */
  readonly bytesPerSecond: number;
  /** Whether the volume has that rate for itself. */
  readonly isOwnRate: boolean;
  /** Free bytes of the disk that volumes are on. */
  readonly freeBytes: () => Promise<number>;
  /** Resolves when it may begin, as there may be others; what it answers is disposed of at the end. */
  readonly turn: (signal: AbortSignal) => Promise<Disposable>;
  readonly clock: Clock;
}

/**
 * Fetches what a volume reads through to, behind its readers:
 *
 *   its turn → the first ones in their order → page after page, ascending → hydrated
 *
 * What is here is in the volume's map, so it goes on where it was after any end. What is in the way (readers, a full disk, a
 * store that is away) makes it wait. A damaged chunk is left for the end, and then tried again for as long as it takes; each
 * time in a turn of its own, so that others are not kept back by it.
 */
export class Hydration {
  readonly #options: HydrationOptions;
  readonly #origin: HydratedOrigin;
  readonly #clock: Clock;
  readonly #pageCount: number;
  /** By page that was learned: chunks that the origin holds, less those that are still needed. */
  readonly #hereByPage: Uint16Array;
  #hereCount = 0;
  /** That is being fetched. */
  #page = 0;
  #nextRecounted = 0;
  #recountAtMs = -Infinity;
  #state: HydrationState = 'off';
  #reason: string | null = null;
  readonly #damaged = new Map<number, string>();
  #nextMs = 0;
  readonly #window: { readonly ms: number; readonly count: number }[] = [];

  constructor(options: HydrationOptions) {
    this.#options = options;
    this.#origin = options.origin;
    this.#clock = options.clock;
    this.#pageCount = Math.ceil(options.origin.chunkCount / PRESENCE_PAGE_CHUNKS);
    this.#hereByPage = new Uint16Array(this.#pageCount);
  }

  status(): HydrationStatus {
    const { totalCount, bytesPerSecond: bytesPerSecondMax, isOwnRate } = this.#options;
    const totalBytes = totalCount * CHUNK_BYTES;
    if (this.#state === 'hydrated') return { ...hydratedStatus(totalBytes), bytesPerSecondMax, isOwnRate };
    if (this.#clock.monotonicMs() >= this.#recountAtMs) this.#recountSome();
    const presentBytes = Math.min(this.#hereCount, totalCount) * CHUNK_BYTES;
    const bytesPerSecond = this.#rate();
    const expected = bytesPerSecond === 0 ? bytesPerSecondMax : bytesPerSecond;
    return {
      state: this.#state,
      reason: this.#reason,
      presentBytes,
      totalBytes,
      bytesPerSecond,
      bytesPerSecondMax,
      isOwnRate,
      remainingSeconds: expected === 0 ? null : Math.ceil((totalBytes - presentBytes) / expected),
      detached: false,
    };
  }

  /** Nobody runs it, as hydration was switched off. */
  rest(): void {
    if (this.#state === 'hydrated') return;
    this.#state = 'off';
    this.#reason = null;
  }

  /** Resolves when everything is here. Rejects with the signal's reason; then it may be run again. */
  async run(signal: AbortSignal): Promise<void> {
    this.#nextMs = this.#clock.monotonicMs(); // What an earlier run waited for went by another rate.
    for (let retryMs = RETRY_MS_MIN; !(await this.#goThrough(signal)); retryMs = Math.min(2 * retryMs, RETRY_MS_MAX)) {
      const [damaged] = this.#damaged.values();
      this.#wait(`${this.#damaged.size} chunks cannot be read: ${damaged}`);
      await this.#clock.sleep(retryMs, signal);
    }
    this.#state = 'hydrated';
    this.#reason = null;
  }

  /** One turn. False when there are damaged chunks. */
  async #goThrough(signal: AbortSignal): Promise<boolean> {
    if (this.#damaged.size === 0) this.#wait('others are hydrated first');
    using _turn = await this.#options.turn(signal);
    this.#damaged.clear();
    await this.#fetchFirst(signal);
    for (let page = 0; page < this.#pageCount; page += 1) {
      await this.#fetchPage(page, signal);
      // Where nothing is to be fetched, nothing was waited for.
      await setImmediate();
      signal.throwIfAborted();
    }
    return this.#damaged.size === 0;
  }

  async #fetchFirst(signal: AbortSignal): Promise<void> {
    let step: number[] = [];
    for (const index of this.#options.first) {
      if (index >= this.#origin.chunkCount) continue;
      await this.#learn(index, signal);
      if (!this.#origin.isNeeded(index)) continue;
      step.push(index);
      if (step.length >= this.#stepChunks()) {
        await this.#step(step, signal);
        step = [];
      }
    }
    if (step.length > 0) await this.#step(step, signal);
  }

  async #fetchPage(page: number, signal: AbortSignal): Promise<void> {
    this.#page = page;
    const start = page * PRESENCE_PAGE_CHUNKS;
    const end = Math.min(start + PRESENCE_PAGE_CHUNKS, this.#origin.chunkCount);
    await this.#learn(start, signal);
    for (let index = start; index < end;) {
      const step: number[] = [];
      const stepChunks = this.#stepChunks();
      for (; index < end && step.length < stepChunks; index += 1) {
        if (this.#origin.isNeeded(index) && !this.#damaged.has(index)) step.push(index);
      }
      if (step.length > 0) await this.#step(step, signal);
    }
    this.#recount(page);
  }

  #stepChunks(): number {
    const chunks = Math.floor((this.#options.bytesPerSecond * STEP_MS) / 1000 / CHUNK_BYTES);
    return Math.min(STEP_CHUNKS_MAX, Math.max(STEP_CHUNKS_MIN, chunks));
  }

  async #learn(index: number, signal: AbortSignal): Promise<void> {
    if (this.#origin.presenceAt(index) !== 'unknown') return;
    await this.#untilDone(signal, async () => {
      await this.#origin.learn(index);
      return null;
    });
    this.#recount(Math.floor(index / PRESENCE_PAGE_CHUNKS));
  }

  /** Fetches a few chunks, when there is room for them and nobody else is served. */
  async #step(indexes: readonly number[], signal: AbortSignal): Promise<void> {
    await this.#pace(signal);
    await this.#untilDone(signal, async () => await this.#roomFor(indexes.length));
    await this.#untilReadersAreDone(signal);
    const step = indexes.filter((index) => this.#origin.isNeeded(index));
    if (step.length === 0) return;
    this.#state = 'hydrating';
    this.#reason = null;
    await this.#untilDone(signal, async () => await this.#fetch(step));
    this.#state = 'hydrating';
    this.#reason = null;
    this.#window.push({ ms: this.#clock.monotonicMs(), count: step.length });
    this.#nextMs += (step.length * CHUNK_BYTES * 1000) / this.#options.bytesPerSecond;
  }

  /** Null when all are here or known to be damaged; otherwise why not. Rejects when the store is in trouble. */
  async #fetch(indexes: readonly number[]): Promise<string | null> {
    const needed = indexes.filter((index) => this.#origin.isNeeded(index) && !this.#damaged.has(index));
    if (needed.length === 0) return null;
    try {
      await this.#origin.hydrate(needed);
    } catch (error) {
      const damage = damageOf(error);
      if (damage === null) throw error;
      const [only] = needed;
      if (needed.length === 1 && only !== undefined) this.#damaged.set(only, damage);
      // One of them: the others are fetched by themselves.
      else for (const index of needed) await this.#fetch([index]);
      return null;
    }
    return needed.some((index) => this.#origin.isNeeded(index)) ? 'what was fetched could not be written' : null;
  }

  /** Tries until `work` answers null; a text or an error is why it waits. */
  async #untilDone(signal: AbortSignal, work: () => Promise<string | null>): Promise<void> {
    for (let retryMs = RETRY_MS_MIN; ; retryMs = Math.min(2 * retryMs, RETRY_MS_MAX)) {
      signal.throwIfAborted();
      let reason: string | null;
      try {
        reason = await unlessAborted(signal, work);
      } catch (error) {
        signal.throwIfAborted();
        reason = inWords(error);
      }
      if (reason === null) return;
      this.#wait(reason);
      await this.#clock.sleep(retryMs, signal);
    }
  }

  async #roomFor(count: number): Promise<string | null> {
    const freeBytes = await this.#options.freeBytes();
    if (freeBytes >= FREE_BYTES_MIN + count * CHUNK_BYTES) return null;
    return `the disk has ${Math.floor(freeBytes / 1024 ** 2)} MiB left, which are for those who write`;
  }

  async #untilReadersAreDone(signal: AbortSignal): Promise<void> {
    for (let waitedMs = 0; this.#origin.isAsked && waitedMs < READERS_WAIT_MS_MAX; waitedMs += READERS_POLL_MS) {
      this.#wait('readers go first');
      await this.#clock.sleep(READERS_POLL_MS, signal);
    }
  }

  async #pace(signal: AbortSignal): Promise<void> {
    const waitMs = this.#nextMs - this.#clock.monotonicMs();
    if (waitMs > 0) await this.#clock.sleep(waitMs, signal);
    // What a late timer or a slow step took is made up for, but not what others held up for long.
    this.#nextMs = Math.max(this.#nextMs, this.#clock.monotonicMs() - CATCH_UP_MS);
  }

  #wait(reason: string): void {
    this.#state = 'waiting';
    this.#reason = reason;
  }

  #rate(): number {
    const nowMs = this.#clock.monotonicMs();
    while ((this.#window[0]?.ms ?? nowMs) < nowMs - RATE_WINDOW_MS) this.#window.shift();
    const count = this.#window.reduce((sum, part) => sum + part.count, 0);
    return Math.round((count * CHUNK_BYTES * 1000) / RATE_WINDOW_MS);
  }

  /** The page that is being fetched, and each time another one, as readers fetch chunks anywhere: all would take milliseconds. */
  #recountSome(): void {
    this.#recountAtMs = this.#clock.monotonicMs() + RECOUNT_MS;
    this.#recount(this.#page);
    this.#recount(this.#nextRecounted);
    this.#nextRecounted = (this.#nextRecounted + 1) % Math.max(1, this.#pageCount);
  }

  #recount(page: number): void {
    const start = page * PRESENCE_PAGE_CHUNKS;
    const end = Math.min(start + PRESENCE_PAGE_CHUNKS, this.#origin.chunkCount);
    let count = 0;
    for (let index = start; index < end; index += 1) {
      if (this.#origin.presenceAt(index) === 'present' && !this.#origin.isNeeded(index)) count += 1;
    }
    this.#hereCount += count - (this.#hereByPage[page] ?? 0);
    this.#hereByPage[page] = count;
  }
}

/** Of a volume that has all of its origin. */
export function hydratedStatus(totalBytes: number): HydrationStatus {
  return {
    state: 'hydrated',
    reason: null,
    presentBytes: totalBytes,
    totalBytes,
    bytesPerSecond: 0,
    bytesPerSecondMax: 0,
    isOwnRate: false,
    remainingSeconds: 0,
    detached: false,
  };
}

/** What the store says is damaged; null for other trouble, which may pass. */
function damageOf(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof StoreError && cause.kind === 'damaged') return cause.message;
  }
  return null;
}

function inWords(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (!(cause.cause instanceof Error)) return cause.message;
  }
  return describeError(error);
}
