/** Small counts by whole number, a byte each, in pages that are there only where something was counted. */
export class Tally {
  readonly #pages = new Map<number, Uint8Array>();
  /** Counts above what a byte holds. */
  readonly #large = new Map<number, number>();

  /** Answers the number's count, this one included. */
  add(number: number): number {
    const pageIndex = Math.floor(number / PAGE_COUNT);
    let page = this.#pages.get(pageIndex);
    if (page === undefined) {
      page = new Uint8Array(PAGE_COUNT);
      this.#pages.set(pageIndex, page);
    }
    const at = number % PAGE_COUNT;
    const count = page[at] ?? 0;
    if (count < BYTE_MAX) {
      page[at] = count + 1;
      return count + 1;
    }
    const large = (this.#large.get(number) ?? BYTE_MAX) + 1;
    this.#large.set(number, large);
    return large;
  }
}

const PAGE_COUNT = 4096;
const BYTE_MAX = 255;
