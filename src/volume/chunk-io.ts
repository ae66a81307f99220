import { present } from '#base/assert.ts';
import { DeviceError } from '#block/device.ts';
import { CHUNK_BYTES, chunkIndexFloor } from '#domain/geometry.ts';
import type { Epoch } from '#domain/ids.ts';

import type { BlockMarks } from './block-marks.ts';
import { type ChunkMap, PARTIAL, SLOT_BASE, slotOf, STATE_ORIGIN, STATE_ZERO } from './chunk-map.ts';
import type { Journal } from './journal.ts';
import type { FetchedChunks, OriginChunks } from './origin-chunks.ts';
import type { PartialSlots, Piece } from './partial-slots.ts';
import type { SlotFile } from './slot-file.ts';
import { zeroRuns } from './zero-runs.ts';

const ZEROS = Buffer.alloc(CHUNK_BYTES);
/** What one step of zeroing writes at most over slots, and appends to the log; a few milliseconds. */
const ZERO_SLOTS_A_STEP = (8 * 1024 * 1024) / CHUNK_BYTES;
const ZERO_RECORDS_A_STEP = 256;
/** Where a chunk is put together. Shared by all volumes: it is used within one step. */
const scratch = Buffer.allocUnsafeSlow(CHUNK_BYTES);

/**
 * Reads, writes and zeroes, each in one synchronous step. The origin's bytes that a step needs were fetched before and come
 * as `fetched`; chunks that meanwhile came into a slot are read from there. Errors: DeviceError; then a part may be done.
 */
export class ChunkIo {
  readonly #journal: Journal;
  readonly #slotFile: SlotFile;
  readonly #chunks: ChunkMap;
  readonly #marks: BlockMarks;
  readonly #origin: OriginChunks;
  readonly #partials: PartialSlots;
  readonly #onTrouble: (error: unknown) => void;

  constructor(parts: {
    readonly journal: Journal;
    readonly slotFile: SlotFile;
    readonly origin: OriginChunks;
    readonly partials: PartialSlots;
    readonly onTrouble: (error: unknown) => void;
  }) {
    this.#journal = parts.journal;
    this.#origin = parts.origin;
    this.#partials = parts.partials;
    this.#slotFile = parts.slotFile;
    this.#chunks = parts.journal.map.chunks;
    this.#marks = parts.journal.map.marks;
    this.#onTrouble = parts.onTrouble;
  }

  read(offset: number, target: Uint8Array, fetched: FetchedChunks | null): void {
    for (let start = 0; start < target.length;) {
      const index = chunkIndexFloor(offset + start);
      const within = offset + start - index * CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - within, target.length - start);
      const state = this.#chunks.stateAt(index);
      if (state >= SLOT_BASE) this.#readSlot(index, within, target, start, length);
      else if (this.#isZero(index, state)) target.fill(0, start, start + length);
      else this.#readFetched(index, within, target.subarray(start, start + length), fetched);
      start += length;
    }
  }

  write(offset: number, source: Uint8Array, fetched: FetchedChunks | null): void {
    const { epoch } = this.#journal.map;
    const piece: Piece = { source, index: 0, within: 0, start: 0, length: 0 };
    while (piece.start < source.length) {
      piece.index = chunkIndexFloor(offset + piece.start);
      piece.within = offset + piece.start - piece.index * CHUNK_BYTES;
      piece.length = Math.min(CHUNK_BYTES - piece.within, source.length - piece.start);
      this.#writePiece(piece, epoch, fetched);
      piece.start += piece.length;
    }
  }

  /** Zeroes [offset, end) or its beginning: answers where it stopped, to go on from there in another step. */
  zero(offset: number, end: number, punch: boolean, fetched: FetchedChunks | null): number {
    const length = end - offset;
    const first = Math.ceil(offset / CHUNK_BYTES);
    const last = chunkIndexFloor(end);
    if (first > last) {
      this.#zeroPiece(offset, length, fetched);
      return end;
    }
    this.#zeroPiece(offset, first * CHUNK_BYTES - offset, fetched);
    const next = this.#zeroWhole(first, last, punch);
    if (next < last) return next * CHUNK_BYTES;
    this.#zeroPiece(last * CHUNK_BYTES, end - last * CHUNK_BYTES, fetched);
    return end;
  }

  /** Whether zeroing [offset, end) without giving storage back writes zeros anywhere. */
  zeroWrites(offset: number, end: number): boolean {
    const { epoch } = this.#journal.map;
    for (let index = chunkIndexFloor(offset); index * CHUNK_BYTES < end; index += 1) {
      const isWhole = index * CHUNK_BYTES >= offset && (index + 1) * CHUNK_BYTES <= end;
      const writes = isWhole
        ? this.#chunks.ownSlotOfEpoch(index, epoch) >= 0
        : !this.#isZero(index, this.#chunks.stateAt(index));
      if (writes) return true;
    }
    return false;
  }

  /** Zeros that lie nowhere: trimmed, never written, or an entry of the origin that holds nothing there. */
  #isZero(index: number, state: number): boolean {
    return state === STATE_ZERO || (state === STATE_ORIGIN && this.#origin.isAbsent(index));
  }

  #readFetched(index: number, within: number, target: Uint8Array, fetched: FetchedChunks | null): void {
    const bytes = fetchedChunk(fetched, index);
    if (bytes === null) target.fill(0);
    else target.set(bytes.subarray(within, within + target.length));
    try {
      if (bytes === null) this.#journal.put(index, 1, STATE_ZERO, 0);
      else this.#move({ source: bytes, index, within: 0, start: 0, length: CHUNK_BYTES }, 0, null);
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      this.#onTrouble(error); // The read has its bytes; the next one fetches them again.
    }
  }

  #writePiece(piece: Piece, epoch: Epoch, fetched: FetchedChunks | null): void {
    const slot = this.#chunks.slotOfEpoch(piece.index, epoch);
    if (slot >= 0) {
      this.#marks.mark(piece.index, piece.within, piece.length);
      this.#slotFile.write(slot, piece.within, piece.source, piece.start, piece.length);
    } else if (this.#chunks.ownSlotOfEpoch(piece.index, epoch) >= 0) {
      this.#partials.write(piece, epoch);
    } else if (this.#partials.mayBegin(piece)) {
      this.#partials.begin(piece, epoch);
    } else {
      this.#move(piece, epoch, fetched);
    }
  }

  /** Of a chunk in a slot, whole or partial. */
  #readSlot(index: number, within: number, target: Uint8Array, start: number, length: number): void {
    const state = this.#chunks.stateAt(index);
    if (state >= PARTIAL) this.#partials.readNow(index, within, target, start, length);
    else this.#slotFile.readNow(slotOf(state), within, target, start, length);
  }

  /** Puts a chunk into a new slot: the piece, and the rest as it is. */
  #move(piece: Piece, epoch: Epoch, fetched: FetchedChunks | null): void {
    const { source, index, within, start, length } = piece;
    const slot = this.#slotFile.take();
    try {
      const state = this.#chunks.stateAt(index);
      if (length === CHUNK_BYTES || (this.#slotFile.tookFresh && this.#isZero(index, state))) {
        this.#slotFile.write(slot, within, source, start, length);
      } else {
        this.#fillScratch(index, state, fetched);
        scratch.set(source.subarray(start, start + length), within);
        this.#slotFile.write(slot, 0, scratch, 0, CHUNK_BYTES);
      }
      const before = this.#chunks.epochAt(index);
      this.#journal.put(index, 1, slot + SLOT_BASE, epoch);
      if (epoch > 0) {
        this.#marks.begin(index, before);
        this.#marks.mark(index, within, length);
      }
    } catch (error) {
      this.#slotFile.slots.putBack(slot);
      throw error;
    }
  }

  #fillScratch(index: number, state: number, fetched: FetchedChunks | null): void {
    if (state >= SLOT_BASE) {
      this.#readSlot(index, 0, scratch, 0, CHUNK_BYTES);
      return;
    }
    const bytes = this.#isZero(index, state) ? null : fetchedChunk(fetched, index);
    if (bytes === null) scratch.fill(0);
    else scratch.set(bytes);
  }

  /** A part of one chunk. */
  #zeroPiece(offset: number, length: number, fetched: FetchedChunks | null): void {
    if (length === 0) return;
    const index = chunkIndexFloor(offset);
    if (this.#isZero(index, this.#chunks.stateAt(index))) return;
    const piece = { source: ZEROS, index, within: offset - index * CHUNK_BYTES, start: 0, length };
    this.#writePiece(piece, this.#journal.map.epoch, fetched);
  }

  /** Chunks [first, last), or the first of them: answers where it stopped. Without `punch`, slots of this epoch are kept and overwritten: the space stays the client's. */
  #zeroWhole(first: number, last: number, punch: boolean): number {
    const { epoch } = this.#journal.map;
    let slotCount = 0;
    let recordCount = 0;
    for (const run of zeroRuns(this.#chunks, first, last, punch ? null : epoch)) {
      if (run.slot === null) this.#journal.put(run.index, run.count, STATE_ZERO, epoch);
      else {
        this.#writePiece({ source: ZEROS, index: run.index, within: 0, start: 0, length: CHUNK_BYTES }, epoch, null);
      }
      if (run.slot === null) recordCount += 1;
      else slotCount += 1;
      if (slotCount >= ZERO_SLOTS_A_STEP || recordCount >= ZERO_RECORDS_A_STEP) return run.index + run.count;
    }
    return last;
  }
}

function fetchedChunk(fetched: FetchedChunks | null, index: number): Uint8Array | null {
  const bytes = fetched?.get(index);
  return present(bytes === undefined ? undefined : { bytes }, 'a chunk that a step needs was fetched before').bytes;
}
