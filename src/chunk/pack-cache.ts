import { crc32 } from 'node:zlib';

import { StoreError } from './errors.ts';
import type { ObjectStore } from './object-store.ts';
import { PACK_PREFIX } from './pack.ts';

/** A read is checked by whole pieces: small against a record, few against a pack. */
const PIECE_BYTES = 64 * 1024;
/** Beside each pack that is kept, docs/formats/warm.md. */
const SUMS_PREFIX = 'sums/';

/**
 * Packs of a bucket that are kept nearby, because somebody said so; everything else goes to the bucket. Packs are sealed
 * and never change, so a copy is as secret as the pack, and never stale. What a copy gives is checked; one that rotted is
 * forgotten, and the bucket is asked. Only readers come here: whoever decides what is deleted asks the bucket. The copies
 * are used by one process at a time.
 */
export class PackCache implements Pick<ObjectStore, 'getRange'> {
  readonly #objects: ObjectStore;
  readonly #nearby: ObjectStore;
  readonly #bytesMax: number;
  readonly #sums = new Map<string, Sums>();
  readonly #keeping = new Map<string, Promise<void>>();
  #bytes = 0;

  private constructor(options: PackCacheOptions) {
    this.#objects = options.objects;
    this.#nearby = options.nearby;
    this.#bytesMax = options.bytesMax;
  }

  /** Both stores stay their owner's, to be disposed of after this. */
  static async open(options: PackCacheOptions): Promise<PackCache> {
    const cache = new PackCache(options);
    for await (const { key } of options.nearby.list(SUMS_PREFIX)) {
      const sums = parseSums(await options.nearby.get(key));
      if (sums !== null) cache.#add(PACK_PREFIX + key.slice(SUMS_PREFIX.length), sums);
    }
    return cache;
  }

  /** Of what is kept. */
  get bytes(): number {
    return this.#bytes;
  }

  has(pack: string): boolean {
    return this.#sums.has(pack);
  }

  /** Object keys of the packs that are kept. */
  packs(): Iterable<string> {
    return this.#sums.keys();
  }

  /** Fetches a pack to be kept; durable. Throws StoreError 'no-space' when it has no room, 'damaged' when there is no such pack. */
  async keep(pack: string): Promise<void> {
    if (this.has(pack)) return;
    const keeping = this.#keeping.get(pack) ?? this.#fetch(pack).finally(() => this.#keeping.delete(pack));
    this.#keeping.set(pack, keeping);
    await keeping;
  }

  /** It is not kept any more; no error when it was not. */
  async drop(pack: string): Promise<void> {
    const sums = this.#sums.get(pack);
    if (sums !== undefined) this.#bytes -= sums.sizeBytes;
    this.#sums.delete(pack);
    // First what says that it is there.
    await this.#nearby.delete(sumsKey(pack));
    await this.#nearby.delete(pack);
  }

  /** As ObjectStore's; of the copy, where there is one. */
  async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    const sums = this.#sums.get(key);
    if (sums !== undefined) {
      const bytes = await this.#readNearby(key, sums, offset, length);
      if (bytes !== null) return bytes;
      await this.drop(key);
    }
    return await this.#objects.getRange(key, offset, length);
  }

  async #fetch(pack: string): Promise<void> {
    if (this.#bytes >= this.#bytesMax) throw this.#full();
    const bytes = await this.#objects.get(pack);
    if (bytes === null) throw new StoreError('damaged', `the pack ${pack} is missing`);
    if (this.#bytes + bytes.length > this.#bytesMax) throw this.#full();
    const sums = { sizeBytes: bytes.length, pieces: sumsOf(bytes) };
    await this.#nearby.put(pack, [bytes]);
    await this.#nearby.put(sumsKey(pack), [encodeSums(sums)]);
    this.#add(pack, sums);
  }

  #add(pack: string, sums: Sums): void {
    this.#sums.set(pack, sums);
    this.#bytes += sums.sizeBytes;
  }

  #full(): StoreError {
    const most = Math.floor(this.#bytesMax / 1024 ** 2);
    return new StoreError('no-space', `what is kept ready of snapshots has at most ${most} MiB, and they are full`);
  }

  /** Null when it is not there as it was. */
  async #readNearby(pack: string, sums: Sums, offset: number, length: number): Promise<Buffer | null> {
    const start = Math.floor(offset / PIECE_BYTES) * PIECE_BYTES;
    const end = Math.min(sums.sizeBytes, Math.ceil((offset + length) / PIECE_BYTES) * PIECE_BYTES);
    if (offset >= sums.sizeBytes) return Buffer.alloc(0);
    try {
      const bytes = await this.#nearby.getRange(pack, start, end - start);
      if (bytes === null || bytes.length !== end - start) return null;
      const expected = sums.pieces.subarray(start / PIECE_BYTES, Math.ceil(end / PIECE_BYTES));
      if (!sumsOf(bytes).every((sum, at) => sum === expected[at])) return null;
      return bytes.subarray(offset - start, offset - start + length);
    } catch {
      return null; // The bucket has it, too.
    }
  }
}

export interface PackCacheOptions {
  readonly objects: ObjectStore;
  /** Where the copies are. */
  readonly nearby: ObjectStore;
  readonly bytesMax: number;
}

interface Sums {
  readonly sizeBytes: number;
  /** CRC-32 of each piece. */
  readonly pieces: Uint32Array;
}

function sumsKey(pack: string): string {
  return SUMS_PREFIX + pack.slice(PACK_PREFIX.length);
}

function sumsOf(bytes: Buffer): Uint32Array {
  const pieces = new Uint32Array(Math.ceil(bytes.length / PIECE_BYTES));
  for (let at = 0; at < pieces.length; at += 1) {
    pieces[at] = crc32(bytes.subarray(at * PIECE_BYTES, (at + 1) * PIECE_BYTES));
  }
  return pieces;
}

/** Size of the pack in eight bytes, a CRC-32 for each piece, and the CRC-32 of all that; little-endian. */
function encodeSums({ sizeBytes, pieces }: Sums): Buffer {
  const bytes = Buffer.alloc(8 + 4 * pieces.length + 4);
  bytes.writeBigUInt64LE(BigInt(sizeBytes), 0);
  for (const [at, sum] of pieces.entries()) bytes.writeUInt32LE(sum, 8 + 4 * at);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4);
  return bytes;
}

function parseSums(bytes: Buffer | null): Sums | null {
  if (bytes === null || bytes.length < 12 || bytes.length % 4 !== 0) return null;
  if (crc32(bytes.subarray(0, -4)) !== bytes.readUInt32LE(bytes.length - 4)) return null;
  const sizeBytes = Number(bytes.readBigUInt64LE(0));
  const pieces = new Uint32Array((bytes.length - 12) / 4);
  for (const at of pieces.keys()) pieces[at] = bytes.readUInt32LE(8 + 4 * at);
  return pieces.length === Math.ceil(sizeBytes / PIECE_BYTES) ? { sizeBytes, pieces } : null;
}
