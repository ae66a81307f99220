import { setImmediate as nextTurn } from 'node:timers/promises';

import type { SeededRandom } from '#base/random.ts';

import { ObjectExistsError, ObjectStoreError, type ObjectStore } from './object-store.ts';

/** How often what goes wrong, each 0 to 1 of the calls that it can happen to. */
export interface FaultRates {
  /** The call fails and did nothing. */
  readonly before?: number;
  /** The call fails and did all of it. */
  readonly after?: number;
  /** A put fails for want of room, having done nothing. */
  readonly noSpace?: number;
  /** A read answers fewer bytes than there are. */
  readonly truncated?: number;
  /** A read answers one wrong bit. */
  readonly bitFlip?: number;
  /** A put succeeds and stores one wrong bit. */
  readonly badPut?: number;
  /** A list leaves an object out. */
  readonly forgetful?: number;
}

/** A store that goes wrong as told, for tests. With no rates it is the store it decorates. */
export class FaultStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #random: SeededRandom;
  rates: FaultRates = {};
  /** Once true, every call fails: the process that uses the store is dead. */
  dead = false;
  /** Calls that may still be made before `dead`; null: no end. */
  callsLeft: number | null = null;
  /** Calls that begin so (`put snapshots/`, say; empty: all) take up to so many turns of the event loop before they do anything; null: none does. */
  slow: { readonly calls: string; readonly turnsMax: number } | null = null;

  constructor(store: ObjectStore, random: SeededRandom) {
    this.#store = store;
    this.#random = random;
  }

  async put(key: string, parts: readonly Uint8Array[], options?: { readonly ifAbsent?: boolean }): Promise<void> {
    // A caller may reuse its buffers once `put` rejects, so nothing is put after that.
    await this.#around(`put ${key}`, async () => {
      if (this.#happens(this.rates.noSpace)) {
        const cause = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
        throw new ObjectStoreError(`put ${key}`, { cause, retryable: true });
      }
      const stored = this.#happens(this.rates.badPut) ? [this.#flipped(Buffer.concat(parts))] : parts;
      await this.#store.put(key, stored, options);
    });
  }

  async get(key: string): Promise<Buffer | null> {
    return this.#around(`get ${key}`, async () => this.#spoiled(await this.#store.get(key)));
  }

  async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    return this.#around(`get ${key}`, async () => this.#spoiled(await this.#store.getRange(key, offset, length)));
  }

  async *list(prefix: string): AsyncIterable<{ readonly key: string; readonly sizeBytes: number }> {
    for await (const object of this.#store.list(prefix)) {
      if (this.dead || this.#happens(this.rates.before)) {
        throw new ObjectStoreError(`list ${prefix}`, { retryable: true });
      }
      if (!this.#happens(this.rates.forgetful)) yield object;
    }
  }

  async delete(key: string): Promise<void> {
    await this.#around(`delete ${key}`, () => this.#store.delete(key));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }

  async #around<R>(what: string, body: () => Promise<R>): Promise<R> {
    if (this.slow !== null && what.startsWith(this.slow.calls)) {
      for (let turns = this.#random.below(this.slow.turnsMax); turns > 0 && !this.dead; turns -= 1) await nextTurn();
    }
    this.#spend();
    if (this.dead || this.#happens(this.rates.before)) {
      throw new ObjectStoreError(`${what}: fault before`, { retryable: true });
    }
    let result: R;
    try {
      result = await body();
    } catch (error) {
      if (error instanceof ObjectExistsError) this.#spend();
      throw error;
    }
    this.#spend();
    if (this.dead || this.#happens(this.rates.after)) {
      throw new ObjectStoreError(`${what}: fault after`, { retryable: true });
    }
    return result;
  }

  #spend(): void {
    if (this.callsLeft === null) return;
    if (this.callsLeft === 0) this.dead = true;
    else this.callsLeft -= 1;
  }

  #spoiled(bytes: Buffer | null): Buffer | null {
    if (bytes === null || bytes.length === 0) return bytes;
    if (this.#happens(this.rates.truncated)) return bytes.subarray(0, this.#random.below(bytes.length));
    return this.#happens(this.rates.bitFlip) ? this.#flipped(bytes) : bytes;
  }

  #flipped(bytes: Buffer): Buffer {
    if (bytes.length === 0) return bytes;
    const index = this.#random.below(bytes.length);
    bytes.writeUInt8(bytes.readUInt8(index) ^ (1 << this.#random.below(8)), index);
    return bytes;
  }

  #happens(rate: number | undefined): boolean {
    return rate !== undefined && rate > 0 && this.#random.fraction() < rate;
  }
}
