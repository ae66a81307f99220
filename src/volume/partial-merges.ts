import type { Clock } from '#base/clock.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { Epoch } from '#domain/ids.ts';

import { PAGE_CHUNKS } from './chunk-map.ts';
import type { Journal } from './journal.ts';
import type { PartialSlots } from './partial-slots.ts';
import type { SlotFile } from './slot-file.ts';

export interface MergeLimits {
  /** Merged or copied before others get the disk and the event loop for a while. */
  readonly chunksARest: number;
  readonly bytesARest: number;
  readonly restMs: number;
  /** Between the ends of two attempts. */
  readonly pauseMs: number;
}

/** At most 64 MiB, and 2,000 chunks, a second. */
export const MERGE_LIMITS: MergeLimits = {
  chunksARest: 32,
  bytesARest: 1024 * 1024,
  restMs: 16,
  pauseMs: 10_000,
};

/**
 * Merges chunks that are in partial slots, when no cut needs what is under them: in the background, between other work. What
 * is copied is read in another thread first, since it may not have been used for long. While a cut is pending nothing is
 * merged, since sealing threads read where it lies.
 */
export class PartialMerges {
  readonly #journal: Journal;
  readonly #slotFile: SlotFile;
  readonly #partials: PartialSlots;
  readonly #clock: Clock;
  readonly #limits: MergeLimits;
  readonly #onTrouble: (error: unknown) => void;
  readonly #closing = new AbortController();
  #running: Promise<void> | null = null;
  #notBeforeMs = 0;

  constructor(parts: {
    readonly journal: Journal;
    readonly slotFile: SlotFile;
    readonly partials: PartialSlots;
    readonly clock: Clock;
    readonly limits: MergeLimits;
    readonly onTrouble: (error: unknown) => void;
  }) {
    this.#journal = parts.journal;
    this.#slotFile = parts.slotFile;
    this.#partials = parts.partials;
    this.#clock = parts.clock;
    this.#limits = parts.limits;
    this.#onTrouble = parts.onTrouble;
  }

  /** Begins in the background when there is something to merge. */
  consider(): void {
    if (this.#journal.map.chunks.partialCount === 0 || this.#running !== null || !this.#mayMerge()) return;
    if (this.#clock.monotonicMs() < this.#notBeforeMs) return;
    this.#running = this.#run(true)
      .catch(this.#onTrouble)
      .finally(() => {
        this.#running = null;
        this.#notBeforeMs = this.#clock.monotonicMs() + this.#limits.pauseMs;
      });
  }

  /** Merges all that it can, at once; ends early when a cut begins. Throws DeviceError. */
  async run(): Promise<void> {
    await this.#running;
    await this.#run(false);
  }

  /** Nothing is begun any more. Resolves when nothing runs. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  #mayMerge(): boolean {
    return !this.#closing.signal.aborted && this.#journal.failure === null && this.#journal.map.tables.length === 0;
  }

  async #run(rests: boolean): Promise<void> {
    const { chunks } = this.#journal.map;
    for (let pageIndex = 0; pageIndex < chunks.pageCount && chunks.partialCount > 0; pageIndex += 1) {
      if ((chunks.pageAt(pageIndex)?.partialCount ?? 0) === 0) continue;
      if (!this.#mayMerge()) return;
      const found = this.#partialsOfPage(pageIndex);
      // What a merge copies down must not come into what would be the chunk, or a cut, if records until now were lost.
      await this.#journal.flush();
      if (!(await this.#mergeAll(found, rests))) return;
    }
  }

  #partialsOfPage(pageIndex: number): readonly FoundPartial[] {
    const { chunks } = this.#journal.map;
    const found: FoundPartial[] = [];
    const end = Math.min(chunks.chunkCount, (pageIndex + 1) * PAGE_CHUNKS);
    for (let index = pageIndex * PAGE_CHUNKS; index < end; index += 1) {
      if (chunks.isPartial(index)) found.push({ index, state: chunks.stateAt(index), epoch: chunks.epochAt(index) });
    }
    return found;
  }

  /** False when nothing may be merged any more. */
  async #mergeAll(found: readonly FoundPartial[], rests: boolean): Promise<boolean> {
    let [count, bytes] = [0, 0];
    for (const partial of found) {
      if (!this.#isThere(partial)) continue;
      if (!this.#mayMerge()) return false;
      await this.#slotFile.warm(this.#partials.mergeSource(partial.index).slot, unread);
      if (!this.#mayMerge()) return false;
      if (!this.#isThere(partial)) continue;
      bytes += this.#partials.mergeSource(partial.index).bytes;
      count += 1;
      this.#partials.merge(partial.index);
      if (count < this.#limits.chunksARest && bytes < this.#limits.bytesARest) continue;
      [count, bytes] = [0, 0];
      if (rests) await this.#clock.sleep(this.#limits.restMs, this.#closing.signal).catch(() => {}); // Closing: seen above.
    }
    return true;
  }

  /** Whether it is still the same partial slot: no other one of the chunk is of the same epoch. */
  #isThere({ index, state, epoch }: FoundPartial): boolean {
    const { chunks } = this.#journal.map;
    return chunks.stateAt(index) === state && chunks.epochAt(index) === epoch;
  }
}

interface FoundPartial {
  readonly index: number;
  readonly state: number;
  readonly epoch: Epoch;
}

/** Where slots are read to that come into the page cache; nobody looks at what is there. */
const unread = Buffer.allocUnsafeSlow(CHUNK_BYTES);
