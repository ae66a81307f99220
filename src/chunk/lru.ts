/** The values used last, as long as their sizes together stay below a bound. */
export class Lru<V extends { readonly length: number }> {
  readonly #sizeMax: number;
  readonly #values = new Map<string, V>();
  #size = 0;

  constructor(options: { readonly sizeMax: number }) {
    this.#sizeMax = options.sizeMax;
  }

  get(key: string): V | undefined {
    const value = this.#values.get(key);
    if (value !== undefined) {
      // A map keeps the order of insertion: the last used is at the end.
      this.#values.delete(key);
      this.#values.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    if (value.length > this.#sizeMax || this.#values.has(key)) return;
    this.#values.set(key, value);
    this.#size += value.length;
    for (const [oldest, dropped] of this.#values) {
      if (this.#size <= this.#sizeMax) return;
      this.#values.delete(oldest);
      this.#size -= dropped.length;
    }
  }

  clear(): void {
    this.#values.clear();
    this.#size = 0;
  }
}
