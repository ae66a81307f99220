import type { ObjectStore } from '#chunk/object-store.ts';

/** `got` is a get that was answered, before its caller sees the answer. */
export type PausableVerb = 'put' | 'get' | 'got' | 'list' | 'delete';

export interface Pause {
  /** Resolves when a call waits. */
  readonly reached: Promise<void>;
  resume(): void;
}

/** A store that stops the next call of a kind until told to go on. */
export class PausingStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #pauses = new Set<{
    readonly matches: (verb: PausableVerb, key: string) => boolean;
    readonly wait: () => Promise<void>;
  }>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** Stops the next call of this verb whose key or prefix begins so; once. */
  pause(verb: PausableVerb, keyStart: string): Pause {
    const reached = Promise.withResolvers<void>();
    const resumed = Promise.withResolvers<void>();
    const pause = {
      matches: (called: PausableVerb, key: string) => called === verb && key.startsWith(keyStart),
      wait: async (): Promise<void> => {
        this.#pauses.delete(pause);
        reached.resolve();
        await resumed.promise;
      },
    };
    this.#pauses.add(pause);
    return { reached: reached.promise, resume: () => resumed.resolve() };
  }

  async put(key: string, parts: readonly Uint8Array[], options?: { readonly ifAbsent?: boolean }): Promise<void> {
    await this.#at('put', key);
    await this.#store.put(key, parts, options);
  }

  async get(key: string): Promise<Buffer | null> {
    await this.#at('get', key);
    const found = await this.#store.get(key);
    await this.#at('got', key);
    return found;
  }

  getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    return this.#store.getRange(key, offset, length);
  }

  async *list(prefix: string): AsyncIterable<{ readonly key: string; readonly sizeBytes: number }> {
    await this.#at('list', prefix);
    yield* this.#store.list(prefix);
  }

  async delete(key: string): Promise<void> {
    await this.#at('delete', key);
    await this.#store.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }

  async #at(verb: PausableVerb, key: string): Promise<void> {
    for (const pause of this.#pauses) if (pause.matches(verb, key)) await pause.wait();
  }
}
