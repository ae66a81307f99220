import { assert } from '#base/assert.ts';
import { type BlockDevice, DeviceError, type Extent } from '#block/device.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { HeldSnapshot, SnapshotStore } from '#snapshot/snapshot-store.ts';

import type { ChunkCache } from './chunk-cache.ts';
import { ChunkPresence, presentChunks } from './chunk-presence.ts';
import { type ChunkKinds, ExtentScan, SnapshotChunkKinds } from './extents.ts';

/**
 * A completed snapshot as a read-only disk. Chunks are fetched when read and verified by the store; nothing is read ahead.
 * What is there is learned from the tree where it is asked about (see ChunkPresence): the beginning before the export opens.
 */
export class SnapshotDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly readOnly = true;
  readonly #store: Pick<SnapshotStore, 'readChunk' | 'listRoot'>;
  readonly #held: HeldSnapshot;
  readonly #cache: ChunkCache;
  readonly #presence: ChunkPresence;
  readonly #kinds: ChunkKinds;
  #closed = false;
  readonly #onTrouble: (error: unknown) => void;

  private constructor(options: SnapshotDeviceOptions) {
    this.#store = options.store;
    this.#held = options.held;
    this.#cache = options.cache;
    this.#onTrouble = options.onTrouble;
    this.sizeBytes = options.held.manifest.label.sizeBytes;
    const { store, held } = options;
    this.#presence = new ChunkPresence({
      chunkCount: held.root.chunkCount,
      list: (start, end) => presentChunks(store, held, start, end),
    });
    this.#kinds = new SnapshotChunkKinds(this.#presence);
  }

  /** Takes over `held`: disposed with the device, or when opening fails. */
  static async open(options: SnapshotDeviceOptions): Promise<SnapshotDevice> {
    const device = new SnapshotDevice(options);
    try {
      await device.#presence.load(0);
      return device;
    } catch (error) {
      options.held[Symbol.dispose]();
      throw error;
    }
  }

  read(offset: number, target: Uint8Array): Promise<void> | void {
    this.#check(offset, target.length);
    for (const piece of pieces(offset, target)) {
      const done = this.#readPiece(piece);
      if (done !== undefined) return this.#readRest(offset, target, piece.start, done);
    }
  }

  write(): never {
    throw new DeviceError('EPERM', 'a snapshot cannot be written');
  }

  zero(): never {
    throw new DeviceError('EPERM', 'a snapshot cannot be written');
  }

  async flush(): Promise<void> {}

  extents(offset: number, length: number, countMax: number): Promise<readonly Extent[]> | readonly Extent[] {
    this.#check(offset, length);
    const scan = new ExtentScan(this.#kinds, { offset, length, countMax });
    const unknown = scan.advance();
    return unknown === null ? scan.extents : this.#extentsOf(scan, unknown);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cache.forget(this.#name(''));
    this.#held[Symbol.dispose]();
  }

  #check(offset: number, length: number): void {
    if (this.#closed) throw new DeviceError('ESHUTDOWN', 'the snapshot is closed');
    assert(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes, 'a request is inside the device');
  }

  async #extentsOf(scan: ExtentScan, unknown: number): Promise<readonly Extent[]> {
    for (let index: number | null = unknown; index !== null; index = scan.advance()) {
      await this.#learn(index);
      this.#check(0, 0);
    }
    return scan.extents;
  }

  async #readRest(offset: number, target: Uint8Array, from: number, first: Promise<void>): Promise<void> {
    await first;
    for (const piece of pieces(offset, target)) if (piece.start > from) await this.#readPiece(piece);
  }

  #readPiece(piece: Piece): Promise<void> | void {
    const presence = this.#presence.at(piece.index);
    if (presence === 'unknown') return this.#lookUpPiece(piece);
    if (presence === 'absent') {
      piece.target.fill(0);
      return;
    }
    const chunk = this.#cache.peek(this.#name(piece.index));
    if (chunk === null) return this.#fetchPiece(piece);
    piece.target.set(chunk.subarray(piece.within, piece.within + piece.target.length));
  }

  async #lookUpPiece(piece: Piece): Promise<void> {
    await this.#learn(piece.index);
    this.#check(0, 0);
    await this.#readPiece(piece);
  }

  async #fetchPiece(piece: Piece): Promise<void> {
    let chunk: Uint8Array | null;
    try {
      chunk = await this.#cache.get(this.#name(piece.index), async () => {
        const found = await this.#store.readChunk(this.#held.account, this.#held.root, piece.index);
        return found?.bytes ?? null;
      });
    } catch (error) {
      this.#onTrouble(error);
      throw new DeviceError('EIO', `read chunk ${piece.index} of ${this.#held.manifest.label.snapshot}`, {
        cause: error,
      });
    }
    if (chunk === null) piece.target.fill(0);
    else piece.target.set(chunk.subarray(piece.within, piece.within + piece.target.length));
  }

  #name(index: number | ''): string {
    return `${this.#held.manifest.label.snapshot}/${index}`;
  }

  /** Rejects with DeviceError. */
  async #learn(index: number): Promise<void> {
    try {
      await this.#presence.load(index);
    } catch (error) {
      this.#onTrouble(error);
      throw new DeviceError('EIO', `list ${this.#held.manifest.label.snapshot} around chunk ${index}`, {
        cause: error,
      });
    }
  }
}

export interface SnapshotDeviceOptions {
  readonly store: Pick<SnapshotStore, 'readChunk' | 'listRoot'>;
  readonly held: HeldSnapshot;
  readonly cache: ChunkCache;
  /** A chunk that cannot be read: the client hears EIO, the log hears why. */
  readonly onTrouble: (error: unknown) => void;
}

/** The part of a request that lies in one chunk. */
interface Piece {
  readonly index: number;
  /** Where it starts in the request. */
  readonly start: number;
  /** Where it starts in the chunk. */
  readonly within: number;
  readonly target: Uint8Array;
}

function* pieces(offset: number, target: Uint8Array): Generator<Piece> {
  for (let start = 0; start < target.length;) {
    const at = offset + start;
    const within = at % CHUNK_BYTES;
    const length = Math.min(target.length - start, CHUNK_BYTES - within);
    yield { index: Math.floor(at / CHUNK_BYTES), start, within, target: target.subarray(start, start + length) };
    start += length;
  }
}
