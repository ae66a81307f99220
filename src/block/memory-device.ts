import { assert } from '#base/assert.ts';
import { CHUNK_BYTES, chunkIndexFloor } from '#domain/geometry.ts';

import {
  type BlockDevice,
  checkWanted,
  DeviceError,
  type Extent,
  type WriteOptions,
  type ZeroOptions,
} from './device.ts';

/** A device in memory, chunks of zeros left out: the simplest that keeps the contract. Nothing in it is durable. */
export class MemoryDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly #chunks = new Map<number, Uint8Array>();
  #isClosed = false;

  constructor(options: { readonly sizeBytes: number; readonly readOnly?: boolean }) {
    this.sizeBytes = options.sizeBytes;
    this.readOnly = options.readOnly ?? false;
  }

  read(offset: number, target: Uint8Array): void {
    this.#check(offset, target.length);
    for (const piece of pieces(offset, target.length)) {
      const chunk = this.#chunks.get(piece.index);
      const part = target.subarray(piece.start, piece.start + piece.length);
      if (chunk === undefined) part.fill(0);
      else part.set(chunk.subarray(piece.within, piece.within + piece.length));
    }
  }

  write(offset: number, source: Uint8Array, options: WriteOptions): void {
    this.#checkChange(offset, source.length, options);
    for (const piece of pieces(offset, source.length)) {
      const chunk = this.#chunks.get(piece.index) ?? new Uint8Array(CHUNK_BYTES);
      this.#chunks.set(piece.index, chunk);
      chunk.set(source.subarray(piece.start, piece.start + piece.length), piece.within);
    }
  }

  writesInPlace(): boolean {
    return true;
  }

  zero(offset: number, length: number, options: ZeroOptions): void {
    this.#checkChange(offset, length, options);
    for (const piece of pieces(offset, length)) {
      if (piece.length === CHUNK_BYTES && options.punch) this.#chunks.delete(piece.index);
      else this.#chunks.get(piece.index)?.fill(0, piece.within, piece.within + piece.length);
    }
  }

  async flush(): Promise<void> {
    this.#check(0, 0);
  }

  extents(offset: number, length: number, countMax: number): readonly Extent[] {
    this.#check(offset, length);
    const extents: Extent[] = [];
    for (const piece of pieces(offset, length)) {
      const isHole = !this.#chunks.has(piece.index);
      const last = extents.at(-1);
      const at = offset + piece.start;
      if (last !== undefined && last.hole === isHole) {
        extents[extents.length - 1] = { ...last, length: last.length + piece.length };
      } else if (extents.length === countMax) {
        break;
      } else {
        extents.push({ offset: at, length: piece.length, zero: isHole, hole: isHole });
      }
    }
    return extents;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
  }

  #checkChange(offset: number, length: number, options: WriteOptions): void {
    this.#check(offset, length);
    checkWanted(options);
    if (this.readOnly) throw new DeviceError('EPERM', 'the device is read-only');
  }

  #check(offset: number, length: number): void {
    assert(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes, 'a request is inside the device');
    if (this.#isClosed) throw new DeviceError('ESHUTDOWN', 'the device is closed');
  }
}

/** The part of a request that lies in one chunk. */
interface Piece {
  readonly index: number;
  readonly within: number;
  /** Where it starts in the request. */
  readonly start: number;
  readonly length: number;
}

function* pieces(offset: number, length: number): Generator<Piece> {
  for (let start = 0; start < length;) {
    const index = chunkIndexFloor(offset + start);
    const within = offset + start - index * CHUNK_BYTES;
    const piece = { index, within, start, length: Math.min(CHUNK_BYTES - within, length - start) };
    yield piece;
    start += piece.length;
  }
}
