import { setImmediate as nextTurn } from 'node:timers/promises';

import { assert } from '#base/assert.ts';
import { isNoSpace } from '#base/no-space.ts';
import type { AccountId } from '#domain/ids.ts';

import { countBlocks, type BlockSet } from './block-set.ts';
import type { Reserved } from './byte-budget.ts';
import type { PlacedLink } from './chunk-index.ts';
import type { ChunkStore } from './chunk-store.ts';
import { DamageError, StoreError } from './errors.ts';
import { PACK_BYTES_TARGET, PACK_RECORDS_MAX, PackBuilder, packObjectKey } from './pack.ts';
import { isHintChecked } from './read-batch.ts';
import { readRecords } from './record-runs.ts';
import { DELTA_BLOCKS_MAX } from './seal-batch.ts';
import type { SealOrder } from './seal-pool.ts';
import { addressOf, NONCE_BYTES, sealRecord } from './seal.ts';
import type { ChainLink } from './unseal.ts';
import { putPackVerified } from './verified-put.ts';

/** Deltas on top of each other: more cost a reader, fewer cost room (docs/decisions/deltas.md). */
export const DELTA_DEPTH_MAX = 8;
/** Looked at in one turn of the event loop: a few milliseconds. */
const ROWS_PER_TURN = 250;
const FULL: SealOrder = { type: 'full' };

interface Plan {
  readonly order: SealOrder;
  /** What is to be fetched for it. */
  readonly links: readonly PlacedLink[];
}

const NONE: Plan = { order: { type: 'none' }, links: [] };

/** A chunk that was read and addressed, and what it may be a delta of. */
export interface SealWish {
  readonly key: Buffer;
  /** Address of the chunk that it replaces; null: none, or it is not to be used. */
  readonly base: Buffer | null;
  /** At least all blocks in which it differs from the base; null: not known. */
  readonly changed: BlockSet | null;
}

/**
 * Stores the records of one upload. Holds in memory the pack that is being filled and the one that is being put, no more;
 * what they have is counted in the store's `uploadBudget`.
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
  /** What the pack has that is being filled. */
  #filling: Reserved;
  #putting: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | null = null;
  #storedBytes = 0;

  constructor(store: ChunkStore, account: AccountId) {
    this.#store = store;
    this.account = account;
    this.startEpoch = store.index.epoch;
    this.#filling = store.uploadBudget.take(0);
    store.writers.add(this);
  }

  /** Bytes of the packs stored so far. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Bytes of the pack that is being filled: they wait for more. */
  get fillingBytes(): number {
    return this.#builder?.sizeBytes ?? 0;
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
  async order(wishes: readonly (SealWish | null)[]): Promise<readonly SealOrder[]> {
    // In one transaction: by themselves they would cost as much as what is sealed.
    const plans = this.#store.index.transact(() => {
      const stored = this.claim(wishes.flatMap((wish) => (wish === null ? [] : [wish.key])))[Symbol.iterator]();
      return wishes.map((wish) => (wish === null || stored.next().value === true ? NONE : this.#plan(wish)));
    });
    const compared = plans.flatMap(({ links }) => links);
    if (compared.length === 0) return plans.map(({ order }) => order);
    const records = await readRecords(
      this.#store.objects,
      this.account,
      compared.map(({ place }) => place),
    );
    let at = 0;
    return plans.map(({ order, links }) => {
      if (order.type !== 'delta' || links.length === 0) return order;
      const chain = ownChain(links, records.slice(at, (at += links.length)));
      // Its pack may have been rewritten just now; whole is right always.
      const { type, base, fullBytes, changed } = order;
      return chain === null ? FULL : { type, base, fullBytes, changed, chain };
    });
  }

  /**
   * The deltas of this writer may be wrong, and those that it found, which an attempt before it may have stored: whoever
   * uploads such a chunk stores it anew. All of them carry an epoch since this writer began; so may others, which then are
   * stored anew for nothing. Resolves when that is durable. To be called when nothing more is claimed.
   */
  async distrustDeltas(): Promise<void> {
    await this.#putting;
    const { index } = this.#store;
    for (let after: Buffer | null = Buffer.alloc(0); after !== null;) {
      after = index.suspectDeltas(this.account, this.startEpoch, after, ROWS_PER_TURN);
      await nextTurn();
    }
    index.sync();
  }

  #plan({ key, base, changed }: SealWish): Plan {
    const isTooMuch = changed !== null && countBlocks(changed) > DELTA_BLOCKS_MAX;
    const links = base === null || isTooMuch ? null : this.#store.index.claimBase(this.account, base, key);
    const last = links?.at(-1);
    if (base === null || links === null || last === undefined || links.length > DELTA_DEPTH_MAX) {
      return { order: FULL, links: [] };
    }
    const isCompared = changed === null || isHintChecked(key);
    const fullBytes = last.place.length;
    const order = { type: 'delta', base: Uint8Array.from(base), fullBytes, changed, chain: null } as const;
    return { order, links: isCompared ? links : [] };
  }

  /** Adds a record that `claim` asked for. Waits while two packs are in memory. Throws what went wrong with an earlier pack. The record must not change. */
  async add(record: Buffer): Promise<void> {
    this.#throwFailure();
    this.#builder ??= new PackBuilder({ account: this.account, id: this.#store.random.bytes(16).toString('hex') });
    this.#builder.add(record);
    const { sizeBytes, entries } = this.#builder;
    this.#filling.resize(sizeBytes);
    if (sizeBytes >= PACK_BYTES_TARGET || entries.length >= PACK_RECORDS_MAX) await this.close();
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
    await this.close();
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
    this.#filling[Symbol.dispose]();
    this.#store.writers.delete(this);
  }

  /** The pack is not filled any further: it is put, once the one before is. Resolves when that begins. Throws what went wrong with an earlier one. */
  async close(): Promise<void> {
    const [builder, held] = [this.#builder, this.#filling];
    this.#builder = null;
    this.#filling = this.#store.uploadBudget.take(0);
    try {
      await this.#putting;
      this.#throwFailure();
    } catch (error) {
      held[Symbol.dispose]();
      throw error;
    }
    if (builder === null) held[Symbol.dispose]();
    else {
      this.#putting = this.#put(builder)
        .catch((error: unknown) => {
          this.#failure ??= { error };
        })
        .finally(() => held[Symbol.dispose]());
    }
  }

  async #put(builder: PackBuilder): Promise<void> {
    const { objects, index, packsInFlight } = this.#store;
    packsInFlight.add(builder.name.id);
    try {
      const sizeBytes = await putPackVerified(objects, builder);
      index.addPack(builder.name, sizeBytes, builder.entries);
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

/** In memory of its own, to be handed to a thread; null when a record is not where it was said to be. */
function ownChain(links: readonly PlacedLink[], records: readonly (Buffer | null)[]): readonly ChainLink[] | null {
  const memory = Buffer.allocUnsafeSlow(records.reduce((sum, record) => sum + (record?.length ?? 0), 0));
  const chain: ChainLink[] = [];
  let end = 0;
  for (const [at, { key }] of links.entries()) {
    const record = records[at] ?? null;
    if (record === null) return null;
    const start = end;
    end += record.copy(memory, start);
    chain.push({ key: Uint8Array.from(key), record: memory.subarray(start, end) });
  }
  return chain;
}
