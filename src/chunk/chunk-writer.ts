import { assert, present } from '#base/assert.ts';
import { isNoSpace } from '#base/no-space.ts';
import type { AccountId } from '#domain/ids.ts';

import { countBlocks, type BlockSet } from './block-set.ts';
import type { PlacedLink } from './chunk-index.ts';
import type { ChunkStore } from './chunk-store.ts';
import { DamageError, StoreError } from './errors.ts';
import { PACK_BYTES_TARGET, PackBuilder, packObjectKey, type PackId } from './pack.ts';
import { DELTA_BLOCKS_MAX } from './seal-batch.ts';
import type { SealOrder } from './seal-pool.ts';
import { addressOf, NONCE_BYTES, sealRecord } from './seal.ts';
import type { ChainLink } from './unseal.ts';
import { putPackVerified } from './verified-put.ts';

/** Deltas on top of each other: more cost a reader, fewer cost room (docs/formats/pack.md). */
export const DELTA_DEPTH_MAX = 8;
/** Of so many hints one is checked, chosen by the chunk's address. */
const HINT_SAMPLE = 64;
const FULL: Promise<SealOrder> = Promise.resolve({ type: 'full' });

/** A chunk that was read and addressed, and what it may be a delta of. */
export interface SealWish {
  readonly key: Buffer;
  /** Address of the chunk that it replaces; null: none, or it is not to be used. */
  readonly base: Buffer | null;
  /** At least all blocks in which it differs from the base; null: not known. */
  readonly changed: BlockSet | null;
}

/**
 * Stores the records of one upload. Holds in memory the pack that is being filled and the one that is being put, no more.
 *
 * What it was told is stored (`claim`) and what it added stays until the writer is disposed of; by then something that a
 * collection looks at (a manifest) must name it. A record that another writer is storing at the same time is stored by
 * both: nothing of a writer rests on what another has not made durable. The copy that lost is swept.
 */
export class ChunkWriter implements AsyncDisposable {
  readonly account: AccountId;
  /** Of the index, when the writer began. */
  readonly startEpoch: number;
  readonly #store: ChunkStore;
  /** Keys that this writer promised to add, or added, and that are not in the index yet. */
  readonly #pending = new Set<string>();
  #builder: PackBuilder | null = null;
  #putting: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | null = null;
  #storedBytes = 0;
  readonly #packs: PackId[] = [];

  constructor(store: ChunkStore, account: AccountId) {
    this.#store = store;
    this.account = account;
    this.startEpoch = store.index.epoch;
    store.writers.add(this);
  }

  /** Bytes of the packs stored so far. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Says of each key whether it is stored already. Where not, the caller must add the record: the same key asked for again is then taken as stored. */
  claim(keys: readonly Buffer[]): readonly boolean[] {
    const stored = this.#store.index.claim(this.account, keys);
    return keys.map((key, index) => {
      const name = key.toString('hex');
      if (stored[index] === true || this.#pending.has(name)) return true;
      this.#pending.add(name);
      return false;
    });
  }

  /**
   * What to make of chunks that were read and addressed: nothing of those that are stored already, a delta where the base
   * can bear one, a full record of the rest. `claim` for all of them is done when this returns; a promise follows because
   * bases may have to be fetched.
   */
  order(wishes: readonly (SealWish | null)[]): Promise<readonly SealOrder[]> {
    const stored = this.claim(wishes.flatMap((wish) => (wish === null ? [] : [wish.key])))[Symbol.iterator]();
    const orders = wishes.map((wish) => {
      if (wish === null || stored.next().value === true) return Promise.resolve<SealOrder>({ type: 'none' });
      return this.#orderNew(wish);
    });
    return Promise.all(orders);
  }

  /** The deltas of this writer may be wrong: whoever uploads such a chunk stores it anew. Resolves when that is durable. */
  async distrustDeltas(): Promise<void> {
    await this.#putting;
    this.#store.index.suspectDeltas(this.#packs);
  }

  #orderNew({ key, base, changed }: SealWish): Promise<SealOrder> {
    const isTooMuch = changed !== null && countBlocks(changed) > DELTA_BLOCKS_MAX;
    const links = base === null || isTooMuch ? null : this.#store.index.claimBase(this.account, base, key);
    const last = links?.at(-1);
    if (base === null || links === null || last === undefined || links.length > DELTA_DEPTH_MAX) return FULL;
    const delta = { type: 'delta', base: new Uint8Array(base), fullBytes: last.place.length, changed } as const;
    const isSample = key.readUInt8(0) % HINT_SAMPLE === 0;
    if (changed !== null && !isSample) return Promise.resolve({ ...delta, chain: null });
    return this.#fetch(links).then((chain) => (chain === null ? FULL : { ...delta, chain }));
  }

  /** In memory of its own, to be handed to a thread; null when it is not where it was said to be. */
  async #fetch(links: readonly PlacedLink[]): Promise<readonly ChainLink[] | null> {
    try {
      const records = await this.#store.fetchLinks(this.account, links);
      const memory = Buffer.allocUnsafeSlow(records.reduce((sum, { length }) => sum + length, 0));
      let end = 0;
      return links.map((link, at) => {
        const start = end;
        end += present(records[at], 'a record of each link').copy(memory, start);
        return { key: new Uint8Array(link.key), record: memory.subarray(start, end) };
      });
    } catch (error) {
      if (error instanceof DamageError) return null;
      throw error;
    }
  }

  /** Adds a record that `claim` asked for. Waits while two packs are in memory. Throws what went wrong with an earlier pack. The record must not change. */
  async add(record: Buffer): Promise<void> {
    this.#throwFailure();
    this.#builder ??= new PackBuilder({ account: this.account, id: this.#store.random.bytes(16).toString('hex') });
    this.#builder.add(record);
    if (this.#builder.sizeBytes >= PACK_BYTES_TARGET) await this.#close();
  }

  /** Stores a tree node when it is new; answers its address. A few tens of microseconds: on the event loop. */
  async addNode(plain: Buffer): Promise<Buffer> {
    const keys = this.#store.keysOf(this.account);
    const key = addressOf(keys, 'node', plain);
    if (this.claim([key])[0] === false) {
      const nonce = this.#store.random.bytes(NONCE_BYTES);
      await this.add(sealRecord({ keys, kind: 'node', key, plain, nonce }));
    }
    return key;
  }

  /** Resolves when everything added is durable, read back and in the index. */
  async finish(): Promise<void> {
    await this.#close();
    await this.#putting;
    this.#throwFailure();
    assert(this.#pending.size === 0, 'every record that was asked for was added');
  }

  /** Resolves when nothing of this writer is on its way, well or not. */
  async settled(): Promise<void> {
    await this.#putting;
  }

  /** From here on, what no manifest names may be collected. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#putting;
    this.#store.writers.delete(this);
  }

  async #close(): Promise<void> {
    const builder = this.#builder;
    this.#builder = null;
    await this.#putting;
    this.#throwFailure();
    if (builder !== null) {
      this.#putting = this.#put(builder).catch((error: unknown) => {
        this.#failure ??= { error };
      });
    }
  }

  async #put(builder: PackBuilder): Promise<void> {
    const { objects, index, packsInFlight } = this.#store;
    packsInFlight.add(builder.name.id);
    try {
      const sizeBytes = await putPackVerified(objects, builder);
      index.addPack(builder.name, sizeBytes, builder.entries);
      this.#packs.push(builder.name.id);
      this.#storedBytes += sizeBytes;
      for (const entry of builder.entries) this.#pending.delete(entry.key.toString('hex'));
    } catch (error) {
      const objectKey = packObjectKey(builder.name);
      if (isNoSpace(error)) throw new StoreError('no-space', `no room for ${objectKey}`, { cause: error });
      if (error instanceof DamageError) {
        throw new StoreError('damaged', `${objectKey}: ${error.message}`, { cause: error });
      }
      throw error;
    } finally {
      packsInFlight.delete(builder.name.id);
    }
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }
}
