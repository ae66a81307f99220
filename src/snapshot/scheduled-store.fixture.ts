import { setImmediate as nextTurn } from 'node:timers/promises';

import { present } from '#base/assert.ts';
import type { SeededRandom } from '#base/random.ts';
import type { ObjectStore } from '#chunk/object-store.ts';

/** Turns of the event loop after which what can go on without the store has gone on far enough. */
const TURNS_PER_STEP = 2;

/** Every so many calls is a slow one, which others overtake for long: as when one disk or one request hangs. */
const SLOW_ONE_IN = 8;
/** A store whose calls wait until the test lets one of them, picked at random, go on: every interleaving of what runs at once can happen, and the same seed gives the same one. */
export class ScheduledStore implements ObjectStore {
  readonly #store: ObjectStore;
  readonly #random: SeededRandom;
  readonly #waiting: { readonly call: string; readonly go: () => void; readonly slow: boolean }[] = [];
  /** Calls that begin so (`put snapshots/`, say) are all slow: much else happens before each, and before it is answered. */
  slowCalls: string | null = null;
  /** In so many steps a slow call goes on though others could. */
  slowStepOneIn = 60;

  constructor(store: ObjectStore, random: SeededRandom) {
    this.#store = store;
    this.#random = random;
  }

  /** Whether a call that begins so waits, to be done or to be answered. */
  isWaiting(callStart: string): boolean {
    return this.#waiting.some(({ call }) => call.startsWith(callStart));
  }

  /** Lets one call go on, if one waits. */
  async step(): Promise<void> {
    if (this.#waiting.length > 0) this.#goOn();
    for (let turn = 0; turn < TURNS_PER_STEP; turn += 1) await nextTurn();
  }

  /** Lets calls go on until something has come to its end; checks something after each. */
  async until<R>(result: Promise<R>, afterStep: () => Promise<unknown> = async () => {}): Promise<R> {
    const ended = { yet: false };
    const end = (): void => {
      ended.yet = true;
    };
    result.then(end, end);
    while (!ended.yet) {
      await this.step();
      await afterStep();
    }
    return result;
  }

  async put(key: string, parts: readonly Uint8Array[], options?: { readonly ifAbsent?: boolean }): Promise<void> {
    await this.#gate(`put ${key}`);
    await this.#store.put(key, parts, options);
    await this.#gate(`put ${key}`);
  }

  async get(key: string): Promise<Buffer | null> {
    await this.#gate(`get ${key}`);
    const found = await this.#store.get(key);
    await this.#gate(`get ${key}`);
    return found;
  }

  async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    await this.#gate(`get ${key}`);
    const found = await this.#store.getRange(key, offset, length);
    await this.#gate(`get ${key}`);
    return found;
  }

  async *list(prefix: string): AsyncIterable<{ readonly key: string; readonly sizeBytes: number }> {
    await this.#gate(`list ${prefix}`);
    for await (const object of this.#store.list(prefix)) {
      yield object;
      await this.#gate(`list ${prefix}`);
    }
  }

  async delete(key: string): Promise<void> {
    await this.#gate(`delete ${key}`);
    await this.#store.delete(key);
    await this.#gate(`delete ${key}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #goOn(): void {
    const quick = this.#waiting.filter(({ slow }) => !slow);
    const from = quick.length === 0 || this.#random.below(this.slowStepOneIn) === 0 ? this.#waiting : quick;
    const next = present(from[this.#random.below(from.length)], 'a waiting call');
    this.#waiting.splice(this.#waiting.indexOf(next), 1);
    next.go();
  }

  #gate(call: string): Promise<void> {
    const isOfSlowKind = this.slowCalls !== null && call.startsWith(this.slowCalls);
    return new Promise((resolve) => {
      this.#waiting.push({ call, go: resolve, slow: isOfSlowKind || this.#random.below(SLOW_ONE_IN) === 0 });
    });
  }
}
