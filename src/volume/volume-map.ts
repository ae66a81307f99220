import { assert } from '#base/assert.ts';
import type { CutId, Epoch } from '#domain/ids.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { BlockMarks, MARK_WORDS, setSince } from './block-marks.ts';
import {
  ChunkMap,
  PAGE_CHUNKS,
  PAGE_WORDS,
  PARTIAL,
  type PageWatch,
  partialOffset,
  SLOT_BASE,
  slotOf,
} from './chunk-map.ts';
import { CutTable, FROZEN_WORDS } from './cut-table.ts';
import { VolumeHostError } from './host.ts';
import { ownBlocks, PARTIAL_WORDS, underAt } from './partials.ts';

/** A chunk of a cut that differs from what it was at an earlier epoch. */
export interface Change {
  readonly index: number;
  /** Where its 512 KiB are in the data file; null: zeros. They do not change until the cut is released. */
  readonly slotOffset: number | null;
  /** When not all of it is there: the blocks that are not in `above` are in the 512 KiB at `offset`. */
  readonly under: { readonly offset: number; readonly above: Uint32Array } | null;
  /** Which blocks of 4 KiB may differ from what the chunk was then, block b as bit b % 32 of word b / 32; null: not known. */
  readonly changedBlocks: Uint32Array | null;
}

/** As `changes` and `changeCount` take it: everything that the cut holds, also what came from the origin. For a cut of a detached volume. */
export const SINCE_NOTHING: Epoch = -1;

/** What a volume was made as. */
export interface VolumeMapShape {
  readonly chunkCount: number;
  readonly originCount: number;
  /** Of the origin, whose chunks are all here (see VolumeMap.isDetached); by default it is not. */
  readonly isDetached?: boolean;
}

/**
 * The state of a volume: the map, the epoch, and what pending cuts still need. It is changed by the records of the log
 * alone, in the same way when they are written and when they are replayed.
 *
 * When an entry of epoch e is replaced, the newest pending cut keeps it if its epoch is ≥ e; every older cut that needs
 * it too (its epoch is ≥ e) finds it there. So of one chunk, exactly one entry among the map and the tables of a cut and
 * of those after it has an epoch ≤ the cut's: that is the cut's view of it. When a cut is released, what the next older
 * one needs moves to that one's table, and the rest is given back. Entries of epoch 0 (zero, origin, or a slot with the
 * origin's bytes) are not kept: a view without an entry is what the volume was made from. But when the volume is detached
 * from its origin, the slots among them are kept, and a view without an entry is zeros.
 */
export class VolumeMap {
  readonly chunks: ChunkMap;
  readonly marks: BlockMarks;
  readonly watch: PageWatch;
  /** Writes land in it. */
  epoch: Epoch = 1;
  /** Nothing is read through to the origin any more, by no pending cut either. Once it is set it stays so. */
  isDetached: boolean;
  /** Oldest first. Released ones stay until they are empty. */
  #tables: CutTable[] = [];
  #newest: CutTable | null = null;

  constructor(options: VolumeMapShape) {
    this.isDetached = options.isDetached ?? false;
    this.watch = { stamp: 0, saver: null };
    this.chunks = new ChunkMap({ ...options, watch: this.watch });
    this.marks = new BlockMarks(options.chunkCount);
  }

  /** More chunks, zeros, at the end. */
  grow(chunkCount: number): void {
    this.chunks.grow(chunkCount);
    this.marks.grow(chunkCount);
  }

  /** All tables, oldest first, those that are being emptied too. */
  get tables(): readonly CutTable[] {
    return this.#tables;
  }

  pending(cut: CutId): CutTable | null {
    return this.#tables.find((table) => table.cut === cut && !table.released) ?? null;
  }

  /** Replaces the entry of a chunk; `giveBack` gets the slots that it does not need any more. */
  put(index: number, state: number, epoch: Epoch, giveBack: (slot: number) => void): void {
    const { chunks } = this;
    const oldState = chunks.stateAt(index);
    const oldEpoch = chunks.epochAt(index);
    assert(oldState !== state, 'a record changes where a chunk is');
    // What moves stays what it is, and so does what is known of it.
    const isMove = oldEpoch === epoch && oldState >= SLOT_BASE && state >= SLOT_BASE;
    const marks = isMove ? null : this.marks.take(index);
    if (this.#freezes(oldState, oldEpoch)) {
      this.#freeze(index, marks);
      chunks.set(index, state, epoch);
      return;
    }
    const partials = chunks.partialsOf(index);
    const under = partials === null ? -1 : underAt(partials, partialOffset(index));
    chunks.set(index, state, epoch);
    const [oldSlot, slot] = [slotOf(oldState), slotOf(state)];
    if (oldSlot >= 0 && oldSlot !== slot) giveBack(oldSlot);
    if (under >= 0 && under !== slot) giveBack(under);
  }

  /**
   * Blocks [first, first + count) of a chunk came into a partial slot: the one in which the chunk is in this epoch, or a new
   * one above it. Answers the slot under it when the entry of a cut needs that now, too; −1 otherwise.
   */
  putPart(index: number, slot: number, epoch: Epoch, first: number, count: number): number {
    const { chunks } = this;
    let shared = -1;
    if (chunks.stateAt(index) !== slot + SLOT_BASE + PARTIAL) {
      const oldEpoch = chunks.epochAt(index);
      assert(oldEpoch < epoch, 'a chunk of this epoch is written where it is');
      const marks = this.marks.take(index);
      if (this.#freezes(chunks.stateAt(index), oldEpoch)) {
        shared = chunks.wholeSlotAt(index);
        this.#freeze(index, marks);
      }
      chunks.setPartial(index, slot, epoch);
    }
    chunks.addBlocks(index, first, count);
    return shared;
  }

  /** Whether a pending cut keeps an entry when it is replaced: also what came from the origin, once the volume is detached from that. */
  #freezes(state: number, epoch: Epoch): boolean {
    const isOwn = epoch > 0 || (this.isDetached && state >= SLOT_BASE);
    return isOwn && this.#newest !== null && epoch <= this.#newest.epoch;
  }

  #freeze(index: number, marks: Uint32Array<ArrayBuffer> | null): void {
    const { chunks } = this;
    this.#newest?.add({
      index,
      state: chunks.stateAt(index),
      epoch: chunks.epochAt(index),
      partials: chunks.partialsOf(index),
      partialsAt: partialOffset(index),
      marks,
      marksAt: 0,
    });
  }

  /** Ends the epoch: `epoch` is the cut's. */
  addCut(cut: CutId, epoch: Epoch): void {
    assert(epoch === this.epoch, 'a cut ends the current epoch');
    assert(this.pending(cut) === null, 'a cut is made once');
    this.addTable(cut, epoch);
    this.epoch = epoch + 1;
  }

  /** Puts the table of a cut in place, after those of the older ones. */
  addTable(cut: CutId, epoch: Epoch): CutTable {
    assert((this.#tables.at(-1)?.epoch ?? 0) < epoch, 'cuts come in the order of their epochs');
    const table = new CutTable(cut, epoch, this.watch, this.marks);
    this.#tables.push(table);
    this.#newest = table;
    return table;
  }

  /** Marks the table: it serves no view any more; `drain` empties it. */
  releaseCut(epoch: Epoch): CutTable {
    const table = this.#tables.find((candidate) => candidate.epoch === epoch && !candidate.released);
    assert(table !== undefined, 'a cut that is released is pending');
    table.released = true;
    this.#newest = this.#tables.findLast((candidate) => !candidate.released) ?? null;
    return table;
  }

  /** Empties a released table, a page at each step; `giveBack` gets the slots that nothing points to any more. */
  *drain(table: CutTable, giveBack: (slot: number) => void): Generator<void> {
    assert(table.released, 'only a released cut is given up');
    for (let taken = table.take(); taken !== null; taken = table.take()) {
      const { words, partials, marks } = taken;
      const older = this.#tables.findLast((candidate) => candidate.epoch < table.epoch && !candidate.released);
      for (let at = 0; at < words.length; at += FROZEN_WORDS) {
        const [index, state, epoch] = [words[at] as number, words[at + 1] as number, words[at + 2] as number];
        const marksAt = (at / FROZEN_WORDS) * MARK_WORDS;
        const partialsAt = (at / FROZEN_WORDS) * PARTIAL_WORDS;
        if (older !== undefined && epoch <= older.epoch) {
          older.add({ index, state, epoch, partials, partialsAt, marks, marksAt });
          continue;
        }
        if (state >= SLOT_BASE) giveBack(slotOf(state));
        if (state >= PARTIAL && partials !== null) giveBack(underAt(partials, partialsAt));
      }
      yield;
    }
    this.#tables = this.#tables.filter((candidate) => candidate !== table);
    // Nobody asks any more what changed before the current epoch.
    if (this.#tables.length === 0) {
      this.marks.prune((pageIndex) => (this.chunks.pageAt(pageIndex)?.epochMax ?? 0) === this.epoch);
    }
  }

  /** Chunks of a cut's view with sinceEpoch < epoch ≤ the cut's, by index; looks at a page of the map at a time. */
  *changes(cut: CutId, sinceEpoch: Epoch): Generator<Change> {
    assert(sinceEpoch >= 0 || this.isDetached, 'what came from the origin is all here only when it is detached');
    for (let pageIndex = 0; pageIndex < this.chunks.pageCount; pageIndex += 1) {
      const table = this.#needed(cut);
      const found: Change[] = [];
      this.#changesInMap(pageIndex, sinceEpoch, table.epoch, found);
      const countInMap = found.length;
      this.#changesInTables(pageIndex, sinceEpoch, table.epoch, found);
      if (found.length > countInMap) found.sort((a, b) => a.index - b.index);
      yield* found;
    }
  }

  /** How many `changes` gives. */
  changeCount(cut: CutId, sinceEpoch: Epoch): number {
    assert(sinceEpoch >= 0 || this.isDetached, 'what came from the origin is all here only when it is detached');
    const { epoch } = this.#needed(cut);
    let count = this.chunks.counts.between(sinceEpoch, epoch);
    for (const table of this.#tables) if (table.epoch >= epoch) count += table.counts.between(sinceEpoch, epoch);
    return count;
  }

  /** Every slot that an entry points to, a page at each step; not those under partial ones. */
  *references(): Generator<number[]> {
    for (const { words, first, step } of this.#pages()) {
      const slots: number[] = [];
      for (let at = first; at < words.length; at += step) {
        if ((words[at] as number) >= SLOT_BASE) slots.push(slotOf(words[at] as number));
      }
      if (slots.length > 0) yield slots;
    }
  }

  /** The slot under every partial one, a page at each step. */
  *unders(): Generator<number[]> {
    for (const { words, first, step, partials } of this.#pages()) {
      if (partials === null) continue;
      const slots: number[] = [];
      for (let at = first, entry = 0; at < words.length; at += step, entry += 1) {
        if ((words[at] as number) >= PARTIAL) slots.push(underAt(partials, entry * PARTIAL_WORDS));
      }
      if (slots.length > 0) yield slots;
    }
  }

  /** All pages there are: the state of an entry is at `first` of its words, that of the next `step` behind it. */
  *#pages(): Generator<{
    readonly words: Uint32Array<ArrayBuffer>;
    readonly first: number;
    readonly step: number;
    readonly partials: Uint32Array<ArrayBuffer> | null;
  }> {
    for (let pageIndex = 0; pageIndex < this.chunks.pageCount; pageIndex += 1) {
      const page = this.chunks.pageAt(pageIndex);
      if (page !== null) yield { words: page.words, first: 0, step: 2, partials: page.partials };
    }
    for (const table of this.#tables) {
      for (const pageIndex of table.pageIndexes()) {
        const words = table.pageAt(pageIndex) ?? NO_WORDS;
        yield { words, first: 1, step: FROZEN_WORDS, partials: table.partialsAt(pageIndex) };
      }
    }
  }

  #needed(cut: CutId): CutTable {
    const table = this.pending(cut);
    if (table === null) throw new VolumeHostError('aborted', `cut ${cut} is not pending`);
    return table;
  }

  #changesInMap(pageIndex: number, sinceEpoch: Epoch, cutEpoch: Epoch, found: Change[]): void {
    const page = this.chunks.pageAt(pageIndex);
    if (page === null || page.epochMax <= sinceEpoch) return;
    for (let at = 0; at < PAGE_WORDS; at += 2) {
      const epoch = page.words[at + 1] as number;
      if (epoch > sinceEpoch && epoch <= cutEpoch && (epoch > 0 || (page.words[at] as number) >= SLOT_BASE)) {
        const index = pageIndex * PAGE_CHUNKS + (at >>> 1);
        const entry = { state: page.words[at] as number, partials: page.partials, partialsAt: partialOffset(index) };
        found.push(change(index, entry, this.marks.changedSince(index, sinceEpoch)));
      }
    }
  }

  #changesInTables(pageIndex: number, sinceEpoch: Epoch, cutEpoch: Epoch, found: Change[]): void {
    for (const table of this.#tables) {
      const words = (table.epoch >= cutEpoch ? table.pageAt(pageIndex) : null) ?? NO_WORDS;
      const marks = table.marksAt(pageIndex);
      const partials = table.partialsAt(pageIndex);
      for (let at = 0; at < words.length; at += FROZEN_WORDS) {
        const epoch = words[at + 2] as number;
        if (epoch <= sinceEpoch || epoch > cutEpoch) continue;
        const changed = marks === null ? null : setSince(marks, (at / FROZEN_WORDS) * MARK_WORDS, sinceEpoch);
        const partialsAt = (at / FROZEN_WORDS) * PARTIAL_WORDS;
        found.push(change(words[at] as number, { state: words[at + 1] as number, partials, partialsAt }, changed));
      }
    }
  }
}

const NO_WORDS = new Uint32Array();

function change(
  index: number,
  entry: { readonly state: number; readonly partials: Uint32Array<ArrayBuffer> | null; readonly partialsAt: number },
  changedBlocks: Uint32Array<ArrayBuffer> | null,
): Change {
  const { state, partials, partialsAt } = entry;
  const slotOffset = state >= SLOT_BASE ? slotOf(state) * CHUNK_BYTES : null;
  if (state < PARTIAL || partials === null) return { index, slotOffset, under: null, changedBlocks };
  const under = { offset: underAt(partials, partialsAt) * CHUNK_BYTES, above: ownBlocks(partials, partialsAt) };
  return { index, slotOffset, under, changedBlocks };
}
