import { type ByteReader, checkInside } from './byte-reader.ts';

/** Read at once: metadata lies together, and a round trip costs more than the bytes. */
const PAGE_BYTES = 64 * 1024;
const PAGES_MAX = 256;
/** Longer reads are of contents, which nobody reads twice. */
const CACHED_BYTES_MAX = 256 * 1024;

/** Keeps what was read lately: at most 16 MiB. Reads of the same page at the same time are one read. */
export class CachedReader implements ByteReader {
  readonly sizeBytes: number;
  readonly #base: ByteReader;
  /** By page, the one that was used last at the end. */
  readonly #pages = new Map<number, Promise<Buffer>>();

  constructor(base: ByteReader) {
    this.#base = base;
    this.sizeBytes = base.sizeBytes;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    checkInside(this.sizeBytes, offset, length);
    if (length > CACHED_BYTES_MAX) return await this.#base.read(offset, length);
    const first = Math.floor(offset / PAGE_BYTES);
    const last = Math.floor(Math.max(offset, offset + length - 1) / PAGE_BYTES);
    if (length === 0) return Buffer.alloc(0);
    const pages = this.#take(first, last);
    const start = offset - first * PAGE_BYTES;
    const [only] = pages;
    if (pages.length === 1 && only !== undefined) return (await only).subarray(start, start + length);
    return Buffer.concat(await Promise.all(pages)).subarray(start, start + length);
  }

  /** The pages first … last; neighbours that are missing are read together. */
  #take(first: number, last: number): readonly Promise<Buffer>[] {
    const pages: Promise<Buffer>[] = [];
    for (let page = first; page <= last;) {
      const known = this.#pages.get(page);
      if (known !== undefined) {
        this.#pages.delete(page);
        this.#pages.set(page, known);
        pages.push(known);
        page += 1;
        continue;
      }
      let end = page + 1;
      while (end <= last && !this.#pages.has(end)) end += 1;
      pages.push(...this.#fetch(page, end));
      page = end;
    }
    return pages;
  }

  #fetch(start: number, end: number): readonly Promise<Buffer>[] {
    const offset = start * PAGE_BYTES;
    const whole = this.#base.read(offset, Math.min(end * PAGE_BYTES, this.sizeBytes) - offset);
    const pages: Promise<Buffer>[] = [];
    for (let page = start; page < end; page += 1) {
      const at = (page - start) * PAGE_BYTES;
      const part = whole.then((bytes) => bytes.subarray(at, at + PAGE_BYTES));
      part.catch(() => this.#pages.delete(page)); // What failed is asked for again.
      this.#pages.set(page, part);
      pages.push(part);
    }
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size <= PAGES_MAX) break;
      this.#pages.delete(oldest);
    }
    return pages;
  }
}
