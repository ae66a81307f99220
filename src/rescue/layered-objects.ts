import { ObjectExistsError, type ObjectStore } from '#chunk/object-store.ts';
import { PACK_HEADER_BYTES, PACK_PREFIX } from '#chunk/pack.ts';
import type { AccountId } from '#domain/ids.ts';

/** Packs whose ends are being read ahead while the packs are listed: hides the latency of a distant store. */
const READ_AHEAD_PACKS = 16;
/** Bytes of a pack's end that are read ahead: the footer of a pack full of chunks is smaller. */
const TAIL_BYTES = 64 * 1024;

/** Which packs are there for whoever lists: those of one account, all, or none at all. */
export type PackChoice = { readonly kind: 'none' | 'all' } | { readonly kind: 'account'; readonly account: AccountId };

interface PackEnds {
  readonly sizeBytes: number;
  readonly head: Promise<Buffer | null>;
  readonly tail: Promise<Buffer | null>;
}

/**
 * A store that is read and never changed. What is put stays in memory, above what is stored, and is gone with this object:
 * opening a chunk store notes an id of its index and may claim an empty store, and neither may touch what is to be rescued.
 *
 * Listing packs reads their headers and footers ahead, since whoever lists them reads these next, one pack after another.
 */
export class LayeredObjects implements ObjectStore {
  readonly #below: ObjectStore;
  readonly #packs: PackChoice;
  readonly #hidden: ReadonlySet<string>;
  readonly #onPack: (sizeBytes: number) => void;
  readonly #above = new Map<string, Buffer>();
  readonly #ends = new Map<string, PackEnds>();

  /**
   * `below` stays its owner's. `hidden`: objects that are there and are not shown, and then whole listings are empty.
   * `onPack` is called before a pack is handed out in a listing, and ends the listing by throwing.
   */
  constructor(
    below: ObjectStore,
    options: {
      readonly packs: PackChoice;
      readonly hidden?: readonly string[] | undefined;
      readonly onPack?: ((sizeBytes: number) => void) | undefined;
    },
  ) {
    this.#below = below;
    this.#packs = options.packs;
    this.#hidden = new Set(options.hidden);
    this.#onPack = options.onPack ?? (() => {});
  }

  async put(key: string, parts: readonly Uint8Array[], options: { readonly ifAbsent?: boolean } = {}): Promise<void> {
    if (options.ifAbsent === true && (await this.getRange(key, 0, 1)) !== null) {
      throw new ObjectExistsError(`object ${key} exists`);
    }
    this.#above.set(key, Buffer.concat(parts));
  }

  async get(key: string): Promise<Buffer | null> {
    const above = this.#above.get(key);
    if (above !== undefined) return Buffer.from(above);
    return this.#hidden.has(key) ? null : await this.#below.get(key);
  }

  async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    const above = this.#above.get(key);
    if (above !== undefined) return Buffer.from(above.subarray(offset, offset + length));
    if (this.#hidden.has(key)) return null;
    return (await this.#readAhead(key, offset, length)) ?? (await this.#below.getRange(key, offset, length));
  }

  async *list(prefix: string): AsyncGenerator<{ readonly key: string; readonly sizeBytes: number }> {
    if (prefix === '' && this.#hidden.size > 0) return;
    if (!prefix.startsWith(PACK_PREFIX)) {
      yield* this.#below.list(prefix);
    } else if (this.#packs.kind === 'all') {
      yield* this.#listAhead(prefix);
    } else if (this.#packs.kind === 'account') {
      yield* this.#listAhead(`${PACK_PREFIX}${this.#packs.account}/`);
    }
  }

  /** Takes nothing away from what is stored. */
  async delete(key: string): Promise<void> {
    this.#above.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#ends.values()].flatMap(({ head, tail }) => [head, tail]));
    this.#ends.clear();
  }

  async *#listAhead(prefix: string): AsyncGenerator<{ readonly key: string; readonly sizeBytes: number }> {
    const waiting: { readonly key: string; readonly sizeBytes: number }[] = [];
    for await (const found of this.#below.list(prefix)) {
      waiting.push(found);
      this.#begin(found.key, found.sizeBytes);
      const next = waiting.length > READ_AHEAD_PACKS ? waiting.shift() : undefined;
      if (next !== undefined) yield* this.#giveOut(next);
    }
    for (const next of waiting) yield* this.#giveOut(next);
  }

  *#giveOut(pack: { readonly key: string; readonly sizeBytes: number }): Generator<typeof pack> {
    this.#onPack(pack.sizeBytes);
    yield pack;
    this.#ends.delete(pack.key);
  }

  #begin(key: string, sizeBytes: number): void {
    const tailBytes = Math.min(TAIL_BYTES, sizeBytes);
    const head = this.#below.getRange(key, 0, PACK_HEADER_BYTES);
    const tail = this.#below.getRange(key, sizeBytes - tailBytes, tailBytes);
    // Whoever asks for them hears of it; nobody may ask.
    head.catch(() => {});
    tail.catch(() => {});
    this.#ends.set(key, { sizeBytes, head, tail });
  }

  async #readAhead(key: string, offset: number, length: number): Promise<Buffer | null> {
    const ends = this.#ends.get(key);
    if (ends === undefined) return null;
    if (offset + length <= PACK_HEADER_BYTES) return (await ends.head)?.subarray(offset, offset + length) ?? null;
    const tailStart = Math.max(0, ends.sizeBytes - TAIL_BYTES);
    if (offset < tailStart || offset + length > ends.sizeBytes) return null;
    return (await ends.tail)?.subarray(offset - tailStart, offset - tailStart + length) ?? null;
  }
}
