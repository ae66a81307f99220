import { setImmediate } from 'node:timers/promises';

import type { Clock } from '#base/clock.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { PAGE_CHUNKS, SLOT_BASE } from './chunk-map.ts';
import type { Journal } from './journal.ts';
import { type SlotFile, TRIMMED_A_TURN } from './slot-file.ts';

export interface CompactionLimits {
  /** Free slots that are left alone: they are used again soon. */
  readonly freeSlotsMin: number;
  /** Nor does a data file shrink for less than this part of it. */
  readonly freePartMin: number;
  /** Between the ends of two attempts. */
  readonly pauseMs: number;
  /** How much is moved, so that the disk has time for others. */
  readonly bytesPerSecond: number;
}

export const COMPACTION_LIMITS: CompactionLimits = {
  freeSlotsMin: 128,
  freePartMin: 0.25,
  pauseMs: 10_000,
  bytesPerSecond: 64 * 1024 * 1024,
};

/** Slots moved between two rests. */
const MOVES_A_REST = 8;
/** Pages of the map looked through before other work gets its turn. */
const PAGES_A_TURN = 16;

/**
 * Gives storage back. What was trimmed leaves free slots anywhere in the data file, and a file can only be made shorter at
 * its end: so slots at the end move to free places before it, one by one between other work, each by a record like any
 * other, and then the end is cut off. A slot is read in another thread first: what lies at the end has mostly not been used
 * for long, and a disk would hold everybody up. While a cut is pending nothing moves, since sealing threads read where it lies.
 */
export class Compaction {
  readonly #journal: Journal;
  readonly #slotFile: SlotFile;
  readonly #clock: Clock;
  readonly #limits: CompactionLimits;
  readonly #onTrouble: (error: unknown) => void;
  #running: Promise<void> | null = null;
  #notBeforeMs = 0;
  #moveCount = 0;
  readonly #closing = new AbortController();

  constructor(parts: {
    readonly journal: Journal;
    readonly slotFile: SlotFile;
    readonly clock: Clock;
    readonly limits: CompactionLimits;
    readonly onTrouble: (error: unknown) => void;
  }) {
    this.#journal = parts.journal;
    this.#slotFile = parts.slotFile;
    this.#clock = parts.clock;
    this.#limits = parts.limits;
    this.#onTrouble = parts.onTrouble;
  }

  /** Begins in the background if it is worthwhile; called when slots may have come free. */
  consider(): void {
    if (this.#running !== null || this.#closing.signal.aborted || !this.#isWorthwhile()) return;
    if (this.#clock.monotonicMs() < this.#notBeforeMs) return;
    this.#running = this.run()
      .catch(this.#onTrouble)
      .finally(() => {
        this.#running = null;
        this.#notBeforeMs = this.#clock.monotonicMs() + this.#limits.pauseMs;
      });
  }

  /** Moves what it can and cuts the free end off; ends early when a cut begins. Throws DeviceError. */
  async run(): Promise<void> {
    const endSlot = this.#slotFile.slots.usedCount;
    for (let pageIndex = 0; pageIndex < this.#journal.map.chunks.pageCount && this.#mayMove(); pageIndex += 1) {
      if (this.#journal.map.chunks.pageAt(pageIndex) !== null) await this.#movePage(pageIndex, endSlot);
      if (pageIndex % PAGES_A_TURN === 0) await setImmediate();
    }
    if (this.#closing.signal.aborted || this.#journal.failure !== null) return;
    // Places that were left come free, and can be cut off, once a commit covers that.
    await this.#journal.flush();
    while (!this.#closing.signal.aborted && this.#slotFile.trimEnd(TRIMMED_A_TURN)) await setImmediate();
  }

  /** Nothing is begun any more. Resolves when nothing runs. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  #isWorthwhile(): boolean {
    const { freeCount, endSlot } = this.#slotFile.slots;
    return freeCount >= this.#limits.freeSlotsMin && freeCount >= endSlot * this.#limits.freePartMin && this.#mayMove();
  }

  #mayMove(): boolean {
    return !this.#closing.signal.aborted && this.#journal.failure === null && this.#journal.map.tables.length === 0;
  }

  async #movePage(pageIndex: number, endSlot: number): Promise<void> {
    const { chunks } = this.#journal.map;
    const end = Math.min(chunks.chunkCount, (pageIndex + 1) * PAGE_CHUNKS);
    for (let index = pageIndex * PAGE_CHUNKS; index < end; index += 1) {
      const from = chunks.wholeSlotAt(index);
      if (from < endSlot) continue; // Those in partial slots are merged first.
      if (!this.#mayMove() || this.#slotFile.slots.freeCount === 0) return;
      await this.#slotFile.warm(from, unread);
      if (chunks.wholeSlotAt(index) !== from) continue;
      if (!this.#mayMove() || !this.#move(index)) return;
      this.#moveCount += 1;
      if (this.#moveCount % MOVES_A_REST === 0) await this.#rest();
    }
  }

  async #rest(): Promise<void> {
    const ms = (MOVES_A_REST * CHUNK_BYTES * 1000) / this.#limits.bytesPerSecond;
    await this.#clock.sleep(ms, this.#closing.signal).catch(() => {}); // Closing: whoever goes on sees it.
  }

  /** In one step. False: there is no free place before it. */
  #move(index: number): boolean {
    const { slots } = this.#slotFile;
    const { chunks } = this.#journal.map;
    const from = chunks.wholeSlotAt(index);
    const to = slots.reuse();
    if (to < 0) return false;
    try {
      if (to > from) {
        slots.putBack(to);
        return false;
      }
      this.#slotFile.readNow(from, 0, bytes, 0, CHUNK_BYTES);
      this.#slotFile.write(to, 0, bytes, 0, CHUNK_BYTES);
      this.#journal.put(index, 1, to + SLOT_BASE, chunks.epochAt(index));
      return true;
    } catch (error) {
      slots.putBack(to);
      throw error;
    }
  }
}

/** Where slots are read to that come into the page cache; nobody looks at what is there. */
const unread = Buffer.allocUnsafeSlow(CHUNK_BYTES);
/** Shared by all volumes: it is used within one step. */
const bytes = Buffer.allocUnsafeSlow(CHUNK_BYTES);
