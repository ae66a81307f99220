import { ObjectStoreError, type ObjectStore } from '#chunk/object-store.ts';

/** What a failing disk loses at once. */
const SECTOR_BYTES = 4096;
/** Errors of the file system that say that bytes cannot be read, now or ever. */
const UNREADABLE = ['EIO', 'EUCLEAN', 'EBADMSG'];

/**
 * A store on a disk that is failing: what cannot be read is zeros, sector by sector, which no check takes for whole. So it
 * is damage like any other, as small as it can be, and nothing else is lost with it. It is only read.
 */
export class FailingDisk implements ObjectStore {
  readonly #below: ObjectStore;
  readonly #onUnreadable: (key: string) => void;
  /** Objects that were told of. */
  readonly #told = new Set<string>();

  /** `below` stays its owner's. `onUnreadable` is called once for each object of which something cannot be read. */
  constructor(below: ObjectStore, onUnreadable: (key: string) => void) {
    this.#below = below;
    this.#onUnreadable = onUnreadable;
  }

  async get(key: string): Promise<Buffer | null> {
    try {
      return await this.#below.get(key);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
    }
    for await (const found of this.#below.list(key)) {
      if (found.key === key) return await this.getRange(key, 0, found.sizeBytes);
    }
    return null;
  }

  async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    try {
      return await this.#below.getRange(key, offset, length);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
    }
    if (!this.#told.has(key)) this.#onUnreadable(key);
    this.#told.add(key);
    return await this.#readSectors(key, offset, length);
  }

  list(prefix: string): AsyncIterable<{ readonly key: string; readonly sizeBytes: number }> {
    return this.#below.list(prefix);
  }

  async put(key: string): Promise<void> {
    throw new ObjectStoreError(`put ${key}: this store is only read`, { retryable: false });
  }

  async delete(key: string): Promise<void> {
    throw new ObjectStoreError(`delete ${key}: this store is only read`, { retryable: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #readSectors(key: string, offset: number, length: number): Promise<Buffer | null> {
    const bytes = Buffer.alloc(length);
    const end = offset + length;
    for (let at = offset; at < end;) {
      const next = Math.min(end, at - (at % SECTOR_BYTES) + SECTOR_BYTES);
      try {
        const piece = await this.#below.getRange(key, at, next - at);
        if (piece === null) return null;
        piece.copy(bytes, at - offset);
        // The object ends here.
        if (piece.length < next - at) return bytes.subarray(0, at - offset + piece.length);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
      }
      at = next;
    }
    return bytes;
  }
}

function isUnreadable(error: unknown): boolean {
  if (!(error instanceof ObjectStoreError)) return false;
  const { cause } = error;
  return cause instanceof Error && 'code' in cause && UNREADABLE.some((code) => code === cause.code);
}
