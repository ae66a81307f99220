/**
 * What requests and tasks of this process work on at this moment, by resource id. A record in a passing state (`creating`,
 * `cutting`, `deleting`) that nobody here works on was left behind, by a crash or a failure, and is the reconcilers'.
 * The set is memory on purpose: it dies with the process whose work it names.
 */
export class Intents {
  readonly #settled = new Map<string, Promise<void>>();

  /** Runs `work` as the one that works on `id`; waits for who does so now. */
  async run<R>(id: string, work: () => Promise<R>): Promise<R> {
    for (let other = this.#settled.get(id); other !== undefined; other = this.#settled.get(id)) await other;
    const settled = Promise.withResolvers<void>();
    this.#settled.set(id, settled.promise);
    try {
      return await work();
    } finally {
      this.#settled.delete(id);
      settled.resolve();
    }
  }

  has(id: string): boolean {
    return this.#settled.has(id);
  }

  /** Resolves when nobody works on `id`. */
  async settled(id: string): Promise<void> {
    await this.#settled.get(id);
  }
}
