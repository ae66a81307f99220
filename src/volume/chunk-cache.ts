import { assert } from '#base/assert.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

/** Decoded chunks that were read last, shared by all read-only exports of a host. Bytes in it are shared: nobody writes to them. */
export class ChunkCache {
  readonly #countMax: number;
  /** In the order of use, the oldest first. */
  readonly #chunks = new Map<string, Uint8Array>();

  constructor(options: { readonly bytesMax: number }) {
    assert(options.bytesMax >= CHUNK_BYTES, 'the cache holds at least one chunk');
    this.#countMax = Math.floor(options.bytesMax / CHUNK_BYTES);
  }

  get bytes(): number {
    return this.#chunks.size * CHUNK_BYTES;
  }

  /** The chunk, which is now the one used last; null when it is not here. */
  peek(name: string): Uint8Array | null {
    const chunk = this.#chunks.get(name);
    if (chunk === undefined) return null;
    this.#chunks.delete(name);
    this.#chunks.set(name, chunk);
    return chunk;
  }

  /** What was used longest ago makes room for it. */
  put(name: string, chunk: Uint8Array): void {
    assert(chunk.length === CHUNK_BYTES, 'a decoded chunk is whole');
    this.#chunks.delete(name);
    this.#chunks.set(name, chunk);
    for (const oldest of this.#chunks.keys()) {
      if (this.#chunks.size <= this.#countMax) break;
      this.#chunks.delete(oldest);
    }
  }

  /** Gives back what an export that is closed has put here. */
  forget(prefix: string): void {
    for (const name of this.#chunks.keys()) if (name.startsWith(prefix)) this.#chunks.delete(name);
  }
}
