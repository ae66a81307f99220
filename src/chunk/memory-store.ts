import { assert } from '#base/assert.ts';

import { isObjectKey, ObjectExistsError, type ObjectStore } from './object-store.ts';

/** Objects in memory, for tests. Copies what comes in and what goes out, as a disk would. */
export class MemoryStore implements ObjectStore {
  readonly #objects = new Map<string, Buffer>();

  async put(key: string, parts: readonly Uint8Array[], options: { readonly ifAbsent?: boolean } = {}): Promise<void> {
    assert(isObjectKey(key), 'an object key is well-formed');
    if (options.ifAbsent === true && this.#objects.has(key)) throw new ObjectExistsError(`object ${key} exists`);
    this.#objects.set(key, Buffer.concat(parts));
  }

  async get(key: string): Promise<Buffer | null> {
    assert(isObjectKey(key), 'an object key is well-formed');
    const bytes = this.#objects.get(key);
    return bytes === undefined ? null : Buffer.from(bytes);
  }

  async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    assert(isObjectKey(key), 'an object key is well-formed');
    const bytes = this.#objects.get(key);
    return bytes === undefined ? null : Buffer.from(bytes.subarray(offset, offset + length));
  }

  async *list(prefix: string): AsyncIterable<{ readonly key: string; readonly sizeBytes: number }> {
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort();
    for (const key of keys) {
      const bytes = this.#objects.get(key);
      if (bytes !== undefined) yield { key, sizeBytes: bytes.length };
    }
  }

  async delete(key: string): Promise<void> {
    assert(isObjectKey(key), 'an object key is well-formed');
    this.#objects.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
