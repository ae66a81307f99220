import { assert } from '#base/assert.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { Epoch } from '#domain/ids.ts';

import type { BlockMarks } from './block-marks.ts';
import { type ChunkMap, partialOffset, SLOT_BASE, slotOf } from './chunk-map.ts';
import type { Journal } from './journal.ts';
import {
  BLOCKS_A_CHUNK,
  hasBlock,
  missingCount,
  OWN_BLOCKS_MAX,
  OWN_BLOCKS_MAX_FLUSHED,
  ownCount,
  PARTIAL_WORDS,
  runEnd,
  underAt,
} from './partials.ts';
import type { SlotFile } from './slot-file.ts';

/** Where blocks are put together that are written in part, and what moves between slots. Shared by all volumes: it is used within one step. */
const scratch = Buffer.allocUnsafeSlow(CHUNK_BYTES);
/** A slot that has no block of its own yet. */
const NONE = new Uint32Array(PARTIAL_WORDS);

/** What goes into a chunk: source[start, start + length) at `within`. */
export interface Piece {
  readonly source: Uint8Array;
  index: number;
  within: number;
  start: number;
  length: number;
}

/**
 * Chunks in partial slots: what was written of them since the cut, above the slot that has the rest. The record of a block
 * comes behind its bytes: until then it is read from below, and after a crash without it, too. A block that the slot has is
 * written in place. So the first write after a cut costs what it writes, not a chunk.
 *
 * A slot that would have most of the blocks, or some when each is flushed, gets the others too, and is whole. A merge ends what remains, once no cut is
 * pending, and that is durable, and so is that the slot is partial: its blocks are copied down to where the others are, and
 * then, by one record, the chunk is there. What is copied lies under what is read, so a crash at any point leaves the chunk
 * as it is. But were the slot not known to be partial after a crash, or the cut pending again, it would be seen.
 */
export class PartialSlots {
  readonly #journal: Journal;
  readonly #slotFile: SlotFile;
  readonly #chunks: ChunkMap;
  readonly #marks: BlockMarks;

  constructor(parts: { readonly journal: Journal; readonly slotFile: SlotFile }) {
    this.#journal = parts.journal;
    this.#slotFile = parts.slotFile;
    this.#chunks = parts.journal.map.chunks;
    this.#marks = parts.journal.map.marks;
  }

  /** Fills target[start, start + length) from `within` the chunk, as SlotFile.read does. */
  read(index: number, within: number, target: Uint8Array, start: number, length: number): Promise<void> | void {
    const partials = this.#partialsOf(index);
    const at = partialOffset(index);
    const slot = slotOf(this.#chunks.stateAt(index));
    let later: Promise<void>[] | null = null;
    for (let done = 0; done < length;) {
      const block = Math.floor((within + done) / BLOCK_BYTES);
      const end = Math.ceil((within + length) / BLOCK_BYTES);
      const runLength = Math.min(length, runEnd(partials, at, block, end) * BLOCK_BYTES - within) - done;
      const place = hasBlock(partials, at, block) ? slot : underAt(partials, at);
      try {
        const answer = this.#slotFile.read(place, within + done, target, start + done, runLength);
        if (answer !== undefined) (later ??= []).push(answer);
      } catch (error) {
        if (later === null) throw error;
        later.push(Promise.reject(error));
        break;
      }
      done += runLength;
    }
    if (later !== null) return allOf(later);
  }

  /** As `read`, in one step. */
  readNow(index: number, within: number, target: Uint8Array, start: number, length: number): void {
    const partials = this.#partialsOf(index);
    const at = partialOffset(index);
    const slot = slotOf(this.#chunks.stateAt(index));
    for (let done = 0; done < length;) {
      const block = Math.floor((within + done) / BLOCK_BYTES);
      const end = Math.ceil((within + length) / BLOCK_BYTES);
      const runLength = Math.min(length, runEnd(partials, at, block, end) * BLOCK_BYTES - within) - done;
      const place = hasBlock(partials, at, block) ? slot : underAt(partials, at);
      this.#slotFile.readNow(place, within + done, target, start + done, runLength);
      done += runLength;
    }
  }

  /** Whether a piece may come into a new partial slot: the chunk is in a whole one, and most of it stays there. */
  mayBegin(piece: Piece): boolean {
    const { index } = piece;
    if (blocksOf(piece).count > OWN_BLOCKS_MAX || !this.#journal.takesParts) return false;
    return this.#chunks.wholeSlotAt(index) >= 0 && this.#chunks.admitsPartial(index);
  }

  /** Puts a piece, less than a chunk, into a new slot above the one where the chunk is. Throws DeviceError. */
  begin(piece: Piece, epoch: Epoch): void {
    const { index, within, length } = piece;
    const before = this.#chunks.epochAt(index);
    const slot = this.#slotFile.take();
    try {
      this.#store(piece, slot, this.#chunks.wholeSlotAt(index), NONE, 0);
      const { first, count } = blocksOf(piece);
      this.#journal.putPart(index, slot, epoch, first, count);
    } catch (error) {
      this.#slotFile.slots.putBack(slot);
      throw error;
    }
    this.#marks.begin(index, before);
    this.#marks.mark(index, within, length);
  }

  /** Writes a piece to a chunk in a partial slot of this epoch. Throws DeviceError. */
  write(piece: Piece, epoch: Epoch): void {
    const { index, within, length } = piece;
    const partials = this.#partialsOf(index);
    const at = partialOffset(index);
    const slot = slotOf(this.#chunks.stateAt(index));
    this.#marks.mark(index, within, length);
    this.#store(piece, slot, underAt(partials, at), partials, at);
    const { first, count } = blocksOf(piece);
    const newCount = missingCount(partials, at, first, first + count);
    if (newCount === 0) return;
    if (ownCount(partials, at) + newCount <= this.#ownBlocksMax()) {
      this.#journal.putPart(index, slot, epoch, first, count);
    } else {
      this.#copyMissing(partials, at, slot, { first: 0, end: first });
      this.#copyMissing(partials, at, slot, { first: first + count, end: BLOCKS_A_CHUNK });
      this.#journal.put(index, 1, slot + SLOT_BASE, epoch);
    }
  }

  /** Fewer, the fewer blocks share the cost of a commit. */
  #ownBlocksMax(): number {
    if (!this.#journal.takesParts) return 0;
    return Math.min(OWN_BLOCKS_MAX, Math.max(OWN_BLOCKS_MAX_FLUSHED, this.#journal.partsPerCommit));
  }

  /** Of a chunk in a partial slot: what a merge copies. */
  mergeSource(index: number): { readonly slot: number; readonly bytes: number } {
    const count = ownCount(this.#partialsOf(index), partialOffset(index));
    return { slot: slotOf(this.#chunks.stateAt(index)), bytes: count * BLOCK_BYTES };
  }

  /**
   * Puts a chunk together in the lower one of its two slots, in one step. No cut may be pending; that, and that the slot is
   * partial, must be durable. Throws DeviceError, and then the chunk is as it was.
   */
  merge(index: number): void {
    const partials = this.#partialsOf(index);
    const at = partialOffset(index);
    const under = underAt(partials, at);
    const isShared = this.#slotFile.slots.isShared(under);
    assert(!isShared && this.#journal.map.tables.length === 0, 'no cut needs what is merged');
    const slot = slotOf(this.#chunks.stateAt(index));
    for (let block = 0; block < BLOCKS_A_CHUNK;) {
      const end = runEnd(partials, at, block, BLOCKS_A_CHUNK);
      if (hasBlock(partials, at, block)) this.#copy(slot, under, block, end);
      block = end;
    }
    this.#journal.put(index, 1, under + SLOT_BASE, this.#chunks.epochAt(index));
  }

  /** Brings the blocks of a range that `slot` does not have from below. */
  #copyMissing(
    partials: Uint32Array,
    at: number,
    slot: number,
    range: { readonly first: number; readonly end: number },
  ): void {
    for (let block = range.first; block < range.end;) {
      const end = runEnd(partials, at, block, range.end);
      if (!hasBlock(partials, at, block)) this.#copy(underAt(partials, at), slot, block, end);
      block = end;
    }
  }

  /** Copies blocks [first, end) from one slot to the same place of another. */
  #copy(from: number, to: number, first: number, end: number): void {
    const length = (end - first) * BLOCK_BYTES;
    this.#slotFile.readNow(from, first * BLOCK_BYTES, scratch, 0, length);
    this.#slotFile.write(to, first * BLOCK_BYTES, scratch, 0, length);
  }

  /** Writes a piece into `slot`, with the rest of the blocks at its ends from `under` where the slot does not have them. */
  #store(piece: Piece, slot: number, under: number, partials: Uint32Array, at: number): void {
    const { source, within, start, length } = piece;
    const { first, count } = blocksOf(piece);
    const begin = first * BLOCK_BYTES;
    const last = first + count - 1;
    const end = (last + 1) * BLOCK_BYTES;
    const takesHead = begin < within && !hasBlock(partials, at, first);
    const takesTail = within + length < end && !hasBlock(partials, at, last);
    if (!takesHead && !takesTail) {
      this.#slotFile.write(slot, within, source, start, length);
      return;
    }
    const from = takesHead ? begin : within;
    const to = takesTail ? end : within + length;
    if (takesHead) this.#slotFile.readNow(under, begin, scratch, begin, BLOCK_BYTES);
    if (takesTail && (last > first || !takesHead)) {
      this.#slotFile.readNow(under, end - BLOCK_BYTES, scratch, end - BLOCK_BYTES, BLOCK_BYTES);
    }
    scratch.set(source.subarray(start, start + length), within);
    this.#slotFile.write(slot, from, scratch, from, to - from);
  }

  #partialsOf(index: number): Uint32Array<ArrayBuffer> {
    const partials = this.#chunks.partialsOf(index);
    assert(partials !== null, 'the chunk is in a partial slot');
    return partials;
  }
}

/** The blocks that a piece touches. */
function blocksOf({ within, length }: Piece): { readonly first: number; readonly count: number } {
  const first = Math.floor(within / BLOCK_BYTES);
  return { first, count: Math.ceil((within + length) / BLOCK_BYTES) - first };
}

/** Rejects when all have ended and one has failed: until then the others fill what was lent. */
async function allOf(reads: readonly Promise<void>[]): Promise<void> {
  const settled = await Promise.allSettled(reads);
  for (const read of settled) if (read.status === 'rejected') throw read.reason;
}
