import { assert } from '#base/assert.ts';
import { type BlockDevice, DeviceError, type Extent } from '#block/device.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { HeldSnapshot, SnapshotStore } from '#snapshot/snapshot-store.ts';

import type { ChunkCache } from './chunk-cache.ts';
import { ChunkFetches } from './chunk-fetches.ts';
import { ChunkPresence, presentChunks } from './chunk-presence.ts';
import { type ChunkKinds, ExtentScan, SnapshotChunkKinds } from './extents.ts';
import { oneByOne, type ReadOrigin } from './origin-source.ts';
import { ReadAhead } from './read-ahead.ts';

/**
 * A completed snapshot as a read-only disk. Chunks are fetched when read, those ahead of a reader that goes on in order
 * before it asks, and verified by the store.
 * What is there is learned from the tree where it is asked about (see ChunkPresence): the beginning before the export opens.
 */
export class SnapshotDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly readOnly = true;
  readonly #held: HeldSnapshot;
  readonly #cache: ChunkCache;
  readonly #presence: ChunkPresence;
  readonly #kinds: ChunkKinds;
  readonly #fetches: ChunkFetches;
  readonly #readAhead = new ReadAhead();
  #closed = false;
  readonly #onTrouble: (error: unknown) => void;

  private constructor(options: SnapshotDeviceOptions) {
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
    this.#fetches = new ChunkFetches({
      read: toldOf(sourceOf(store, held), (index, cause) => {
        const message = `read chunk ${index} of ${held.manifest.label.snapshot}`;
        this.#onTrouble(new Error(message, { cause }));
      }),
      keeper: {
        reserve: () => null,
        keep: (index, _place, bytes) => {
          if (bytes !== null) this.#cache.put(this.#name(index), bytes);
          return true;
        },
        giveUp: () => {},
      },
    });
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
    let missing: Piece[] | null = null;
    for (const piece of pieces(offset, target)) if (!this.#readNow(piece)) (missing ??= []).push(piece);
    if (missing !== null) return this.#readMissing(missing);
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
    await this.#fetches.close();
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

  /** False when it is not known, or not here, what the chunk holds. */
  #readNow({ index, within, target }: Piece): boolean {
    const presence = this.#presence.at(index);
    if (presence === 'unknown') return false;
    const chunk = presence === 'absent' ? null : this.#cache.peek(this.#name(index));
    if (chunk === null && presence === 'present') return false;
    fill(target, within, chunk);
    return true;
  }

  async #readMissing(missing: readonly Piece[]): Promise<void> {
    for (const { index } of missing) if (this.#presence.at(index) === 'unknown') await this.#learn(index);
    this.#check(0, 0);
    const rest = missing.filter((piece) => !this.#readNow(piece));
    const fetching = this.#fetches.fetch(
      rest.map(({ index }) => index),
      true,
    );
    for (const { index } of rest) this.#goAhead(index);
    const fetched = await Promise.all(fetching);
    for (const [at, { index, within, target }] of rest.entries()) {
      const chunk = fetched[at] ?? null;
      assert(chunk !== 'kept', `chunk ${index} comes with its bytes`);
      fill(target, within, chunk);
    }
  }

  #goAhead(index: number): void {
    const { first, end } = this.#readAhead.after(index);
    for (let next = first; next < Math.min(end, this.#held.root.chunkCount); next += 1) {
      const isMissing = this.#presence.at(next) === 'present' && this.#cache.peek(this.#name(next)) === null;
      if (isMissing) this.#fetches.ahead([next]);
    }
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
  readonly store: SnapshotSource;
  readonly held: HeldSnapshot;
  readonly cache: ChunkCache;
  /** A chunk that cannot be read: the client hears EIO, the log hears why. */
  readonly onTrouble: (error: unknown) => void;
}

/** Without `readChunks`, chunks are read one by one. */
export type SnapshotSource = Pick<SnapshotStore, 'readChunk' | 'listRoot'> & Partial<Pick<SnapshotStore, 'readChunks'>>;

function sourceOf(store: SnapshotSource, { account, root }: HeldSnapshot): ReadOrigin {
  if (store.readChunks === undefined) {
    return oneByOne(async (index) => (await store.readChunk(account, root, index))?.bytes ?? null);
  }
  return (wanted, how) => store.readChunks?.(account, root, wanted, how) ?? [];
}

function toldOf(read: ReadOrigin, onFailure: (index: number, error: unknown) => void): ReadOrigin {
  return (wanted, how) =>
    read(wanted, how).map(async (answer, at) => {
      try {
        return await answer;
      } catch (error) {
        if (!how.signal.aborted) onFailure(wanted[at]?.index ?? -1, error);
        throw error;
      }
    });
}

function fill(target: Uint8Array, within: number, chunk: Uint8Array | null): void {
  if (chunk === null) target.fill(0);
  else target.set(chunk.subarray(within, within + target.length));
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
