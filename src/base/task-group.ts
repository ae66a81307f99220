import { assert } from './assert.ts';

/** A bounded fan-out with one owner: at most `limit` tasks run at once; `drain` waits for all and throws the first error. */
export class TaskGroup implements AsyncDisposable {
  readonly #limit: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | null = null;

  constructor(options: { readonly limit: number }) {
    assert(options.limit >= 1, 'a task group runs at least one task');
    this.#limit = options.limit;
  }

  /** Waits for a free place, then starts the task. Throws the first error of an earlier task, so a fan-out stops early. */
  async add(task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#limit) await Promise.race(this.#running);
    if (this.#failure !== null) throw this.#failure.error;
    const running: Promise<void> = task()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async drain(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** Waits for what runs; errors stay with whoever called `drain`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#running);
  }
}
