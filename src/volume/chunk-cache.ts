import { assert } from '#base/assert.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

/** Decoded chunks that were read last, shared by all read-only exports of a host; and one fetch for however many readers. Bytes in it are shared: nobody writes to them. */
export class ChunkCache {
  readonly #countMax: number;
  /** In the order of use, the oldest first. */
  readonly #chunks = new Map<string, Uint8Array>();
  readonly #fetching = new Map<string, Promise<Uint8Array | null>>();

  constructor(options: { readonly bytesMax: number }) {
    assert(options.bytesMax >= CHUNK_BYTES, 'the cache holds at least one chunk');
    this.#countMax = Math.floor(options.bytesMax / CHUNK_BYTES);
  }

  get bytes(): number {
    return this.#chunks.size * CHUNK_BYTES;
  }

  peek(name: string): Uint8Array | null {
    const chunk = this.#chunks.get(name);
    if (chunk === undefined) return null;
    this.#chunks.delete(name);
    this.#chunks.set(name, chunk);
    return chunk;
  }

  /** The chunk, or null where there is none. An error is not kept: the next reader tries again. */
  async get(name: string, fetch: () => Promise<Uint8Array | null>): Promise<Uint8Array | null> {
    const known = this.peek(name);
    if (known !== null) return known;
    const running = this.#fetching.get(name);
    if (running !== undefined) return running;
    const fetched = this.#fetch(name, fetch);
    this.#fetching.set(name, fetched);
    return fetched;
  }

  /** Gives back what an export that is closed has put here. */
  forget(prefix: string): void {
    for (const name of this.#chunks.keys()) if (name.startsWith(prefix)) this.#chunks.delete(name);
  }

  async #fetch(name: string, fetch: () => Promise<Uint8Array | null>): Promise<Uint8Array | null> {
    try {
      const chunk = await fetch();
      if (chunk !== null) this.#keep(name, chunk);
      return chunk;
    } finally {
      this.#fetching.delete(name);
    }
  }

  #keep(name: string, chunk: Uint8Array): void {
    assert(chunk.length === CHUNK_BYTES, 'a decoded chunk is whole');
    this.#chunks.set(name, chunk);
    for (const oldest of this.#chunks.keys()) {
      if (this.#chunks.size <= this.#countMax) break;
      this.#chunks.delete(oldest);
    }
  }
}
