const PAGE_BYTES = 64 * 1024;
/** Pages are used again: most of the time of a test would go into making them. */
const spare: Buffer[] = [];

/** Bytes without end, zeros where nothing was written. */
export class SparseBytes {
  readonly #pages = new Map<number, Buffer>();

  write(position: number, bytes: Buffer): void {
    for (let start = 0; start < bytes.length;) {
      const index = Math.floor((position + start) / PAGE_BYTES);
      const within = position + start - index * PAGE_BYTES;
      const end = Math.min(bytes.length, start + PAGE_BYTES - within);
      bytes.copy(this.#pages.get(index) ?? this.#make(index), within, start, end);
      start = end;
    }
  }

  /** Zeros from `start` to `end`. */
  zero(start: number, end: number): void {
    for (const [index, page] of this.#pages) {
      const from = Math.max(0, start - index * PAGE_BYTES);
      const until = Math.min(PAGE_BYTES, end - index * PAGE_BYTES);
      if (from >= until) continue;
      if (until - from === PAGE_BYTES) this.#drop(index, page);
      else page.fill(0, from, until);
    }
  }

  /** Fills target[start, start + length) from `position`. */
  read(position: number, target: Uint8Array, start: number, length: number): void {
    for (let done = 0; done < length;) {
      const index = Math.floor((position + done) / PAGE_BYTES);
      const within = position + done - index * PAGE_BYTES;
      const count = Math.min(length - done, PAGE_BYTES - within);
      const page = this.#pages.get(index);
      if (page === undefined) target.fill(0, start + done, start + done + count);
      else page.copy(target, start + done, within, within + count);
      done += count;
    }
  }

  /** Becomes what `other` is. */
  become(other: SparseBytes): void {
    for (const [index, page] of this.#pages) if (!other.#pages.has(index)) this.#drop(index, page);
    for (const [index, page] of other.#pages) page.copy(this.#pages.get(index) ?? this.#make(index));
  }

  #make(index: number): Buffer {
    const page = spare.pop() ?? Buffer.alloc(PAGE_BYTES);
    this.#pages.set(index, page);
    return page;
  }

  #drop(index: number, page: Buffer): void {
    this.#pages.delete(index);
    spare.push(page.fill(0));
  }
}
