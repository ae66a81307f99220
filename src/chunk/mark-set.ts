/** A set of whole numbers, one bit each, in pages that are there only where it has members: 33 million neighbours are 4 MiB. */
export class MarkSet {
  readonly #pages = new Map<number, Uint8Array>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(mark: number): boolean {
    const page = this.#pages.get(Math.floor(mark / PAGE_MARKS));
    return page !== undefined && (byteAt(page, mark) & bitOf(mark)) !== 0;
  }

  /** Answers whether the number is new. */
  add(mark: number): boolean {
    const pageIndex = Math.floor(mark / PAGE_MARKS);
    let page = this.#pages.get(pageIndex);
    if (page === undefined) {
      page = new Uint8Array(PAGE_MARKS / 8);
      this.#pages.set(pageIndex, page);
    }
    const byte = byteAt(page, mark);
    if ((byte & bitOf(mark)) !== 0) return false;
    page[byteIndexOf(mark)] = byte | bitOf(mark);
    this.#size += 1;
    return true;
  }
}

const PAGE_MARKS = 8 * 4096;

function byteIndexOf(mark: number): number {
  return Math.floor((mark % PAGE_MARKS) / 8);
}

function byteAt(page: Uint8Array, mark: number): number {
  return page[byteIndexOf(mark)] ?? 0;
}

function bitOf(mark: number): number {
  return 1 << (mark % 8);
}
