import { present } from '#base/assert.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { AccountId } from '#domain/ids.ts';

import { ByteBudget } from './byte-budget.ts';
import { ChunkIndex, type PlacedLink } from './chunk-index.ts';
import { ChunkWriter } from './chunk-writer.ts';
import { DataKeyRing, type DataKeyId } from './data-key-ring.ts';
import { DamageError, StoreError } from './errors.ts';
import { Lru } from './lru.ts';
import type { ObjectStore } from './object-store.ts';
import { packObjectKey, type PackId } from './pack.ts';
import { reconcile } from './reconcile.ts';
import { checkRepository } from './repository.ts';
import { accountKeys, unsealRecord, type AccountKeys, type PlainKind } from './seal.ts';
import { type ChainLink, checkChain, isUnderDataKey, LinkDamageError, unsealChain } from './unseal.ts';

/** Decoded tree nodes: a page of a listing, or the path of an increment, is read once. */
const NODE_CACHE_BYTES_MAX = 4 * 1024 * 1024;
/** Decoded chunks: a reader that asks for pieces of one chunk. */
const CHUNK_CACHE_BYTES_MAX = 4 * 1024 * 1024;
/** One upload has two packs of 16 MiB and a few batches; several share what one would have twice. */
const UPLOAD_BYTES_MAX = 64 * 1024 * 1024;
/** A place is looked up again when its pack was rewritten meanwhile; more often than this it is not a race. */
const LOOKUP_COUNT_MAX = 8;

export interface ChunkStoreOptions {
  readonly objects: ObjectStore;
  /** Where what is read for others comes from, as quickly as can be: `objects`, by default, or copies of what is in them. What is deleted is decided by `objects` alone. */
  readonly copies?: Pick<ObjectStore, 'getRange'>;
  /** Of the index, a file that may be deleted at any time no store has it open; ':memory:' keeps it in memory. */
  readonly indexPath: string;
  readonly masterKey: Uint8Array;
  readonly random: Random;
  readonly log: Log;
  /** Memory of all uploads together, for what is sealed and not stored yet; UPLOAD_BYTES_MAX by default. */
  readonly uploadBytesMax?: number;
}

/**
 * Records by content address, in packs. Equal content of one account is stored once; nothing of one account is visible to
 * another. What is written is found once its pack is durable, read back and in the index. Nothing is deleted here: see sweep.ts.
 */
export class ChunkStore implements AsyncDisposable {
  readonly objects: ObjectStore;
  /** For readers; see ChunkStoreOptions. */
  readonly copies: Pick<ObjectStore, 'getRange'>;
  readonly index: ChunkIndex;
  readonly random: Random;
  readonly log: Log;
  readonly masterKey: Uint8Array;
  /** Packs whose fate is being decided by a writer or a sweep: being put, read back, taken in. */
  readonly packsInFlight = new Set<PackId>();
  /** Writers that run: what they found or stored must not be swept. */
  readonly writers = new Set<ChunkWriter>();
  /** Of what is sealed, or is being sealed, and not stored yet. */
  readonly uploadBudget: ByteBudget;
  /** What chunks that are sealed under a data key are read and written with: those that are lent now. */
  readonly dataKeys: DataKeyRing;
  readonly #keys = new Map<string, AccountKeys>();
  readonly #nodes = new Lru<Buffer>({ sizeMax: NODE_CACHE_BYTES_MAX });
  readonly #chunks = new Lru<Buffer>({ sizeMax: CHUNK_CACHE_BYTES_MAX });
  readonly #reads = new Map<string, Promise<Buffer>>();

  private constructor(options: ChunkStoreOptions, index: ChunkIndex) {
    this.objects = options.objects;
    this.copies = options.copies ?? options.objects;
    this.random = options.random;
    this.log = options.log;
    this.masterKey = options.masterKey;
    this.uploadBudget = new ByteBudget(options.uploadBytesMax ?? UPLOAD_BYTES_MAX);
    this.index = index;
    this.dataKeys = new DataKeyRing((id) => this.#forget(id));
  }

  /** Opens the store and brings the index in step with the packs that are there. Throws StoreError 'damaged' when the objects belong to another master key, or are gone. */
  static async open(options: ChunkStoreOptions): Promise<ChunkStore> {
    const index = ChunkIndex.open(options.indexPath);
    const store = new ChunkStore(options, index);
    try {
      await checkRepository(store);
      await reconcile(store);
      return store;
    } catch (error) {
      index[Symbol.dispose]();
      throw error;
    }
  }

  /** `dataKey`: the keys of chunks under it. Throws StoreError 'key-needed' when that is not lent. */
  keysOf(account: AccountId, dataKey: DataKeyId | null = null): AccountKeys {
    const name = dataKey === null ? account : `${account} ${dataKey}`;
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    const keys = accountKeys(this.masterKey, account, dataKey === null ? null : this.dataKeys.get(dataKey));
    this.#keys.set(name, keys);
    return keys;
  }

  /** Starts to store records of an account. What it finds or adds stays until it is disposed of, whatever is collected. */
  beginWrite(account: AccountId): ChunkWriter {
    return new ChunkWriter(this, account);
  }

  /** The plaintext of a chunk, verified, off the event loop. Throws StoreError 'damaged', or 'key-needed' when it is under a data key that is not lent. The bytes are shared: do not write to them. */
  readChunk(account: AccountId, key: Buffer, dataKey: DataKeyId | null = null): Promise<Buffer> {
    return this.#readCached(this.#chunks, account, 'chunk', key, dataKey);
  }

  /** The plaintext of a tree node, verified. Throws StoreError 'damaged'. The bytes are shared: do not write to them. */
  readNode(account: AccountId, key: Buffer): Promise<Buffer> {
    return this.#readCached(this.#nodes, account, 'node', key, null);
  }

  /**
   * Verifies one copy of a chunk or node; what a delta needs is read where the index says. Of one that is under a data key
   * the tags tell, which need none; of others the plaintext's address tells, too. Throws DamageError.
   */
  async checkCopy(account: AccountId, copy: PlacedLink): Promise<void> {
    const { base, kind } = copy.place;
    const below = base === null ? [] : this.index.chain(account, base);
    if (below === null || (base !== null && below.at(-1)?.place.base !== null)) {
      throw new DamageError('what the delta needs is not there');
    }
    const links = [copy, ...below];
    if (kind === 'node') {
      await this.#readLinks(this.objects, this.keysOf(account), 'node', links);
      return;
    }
    const chain = await this.#fetchChain(this.objects, account, links);
    if (isUnderDataKey(chain)) checkChain(this.keysOf(account), chain);
    else await unsealChain(this.keysOf(account), chain);
  }

  /** The records at these places, as they are. Throws LinkDamageError when a pack is missing. */
  fetchLinks(
    account: AccountId,
    links: readonly PlacedLink[],
    objects: Pick<ObjectStore, 'getRange'> = this.objects,
  ): Promise<readonly Buffer[]> {
    return Promise.all(
      links.map(async ({ place }, at) => {
        const objectKey = packObjectKey({ account, id: place.pack });
        const record = await objects.getRange(objectKey, place.offset, place.length);
        if (record === null) throw new LinkDamageError(at, new DamageError('the pack is missing'));
        return record;
      }),
    );
  }

  /** Gives back the memory of what was decoded. */
  dropCaches(): void {
    this.#nodes.clear();
    this.#chunks.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#reads.values(), ...[...this.writers].map((writer) => writer.settled())]);
    this.index[Symbol.dispose]();
  }

  /** Nothing that it opened stays in memory. */
  #forget(dataKey: DataKeyId): void {
    for (const name of [...this.#keys.keys()]) if (name.endsWith(` ${dataKey}`)) this.#keys.delete(name);
    this.#chunks.clear();
  }

  async #readCached(
    cache: Lru<Buffer>,
    account: AccountId,
    kind: PlainKind,
    key: Buffer,
    dataKey: DataKeyId | null,
  ): Promise<Buffer> {
    // First: what is in memory is for those who have the key, too.
    const keys = this.keysOf(account, dataKey);
    const name = `${account} ${key.toString('hex')}`;
    const known = cache.get(name);
    if (known !== undefined) return known;
    const running = this.#reads.get(name);
    if (running !== undefined) return running;
    const read = this.#read(keys, kind, key, dataKey).finally(() => this.#reads.delete(name));
    this.#reads.set(name, read);
    const plain = await read;
    cache.set(name, plain);
    return plain;
  }

  async #read(keys: AccountKeys, kind: PlainKind, key: Buffer, dataKey: DataKeyId | null): Promise<Buffer> {
    const { account } = keys;
    const what = `${kind} ${key.toString('hex')} of account ${account}`;
    let last: { readonly link: PlacedLink; readonly error: LinkDamageError } | null = null;
    for (let count = 0; count < LOOKUP_COUNT_MAX; count += 1) {
      const chain = this.#chainOf(account, what, key);
      try {
        return await this.#readLinks(this.copies, keys, kind, chain);
      } catch (error) {
        if (!(error instanceof LinkDamageError)) throw error;
        const link = present(chain[error.link], 'a link that is damaged is one of the chain');
        // Twice at one place is damage; once may be a pack that was just rewritten, or a bad read.
        const isTwice = last !== null && samePlace(last.link, link);
        last = { link, error };
        if (isTwice) break;
      }
    }
    if (last === null) throw new StoreError('damaged', `${what} has no stable place`);
    const { link, error } = last;
    if (error.link === 0 && link.place.base !== null) await this.#readBase(account, what, link.place.base, dataKey);
    this.index.suspect(account, link.key);
    const where = packObjectKey({ account, id: link.place.pack });
    const needed = error.link === 0 ? '' : `needs chunk ${link.key.toString('hex')} `;
    this.log.error('chunk damaged', {
      account,
      kind: link.place.kind,
      key: link.key.toString('hex'),
      pack: where,
      offset: link.place.offset,
    });
    const message = `${what} ${needed}in ${where} at ${link.place.offset}: ${error.message}`;
    throw new StoreError('damaged', message, { cause: error });
  }

  /** The record and all that it needs. Throws StoreError 'damaged' when they are not all there. */
  #chainOf(account: AccountId, what: string, key: Buffer): readonly PlacedLink[] {
    const chain = this.index.chain(account, key);
    if (chain === null) throw new StoreError('damaged', `${what} needs too many others`);
    const last = chain.at(-1);
    if (last === undefined) throw new StoreError('damaged', `${what} is in no pack`);
    const missing = last.place.base;
    if (missing === null) return chain;
    throw new StoreError('damaged', `${what} needs chunk ${missing.toString('hex')}, which is in no pack`);
  }

  /** A chunk that does not have its address may be so because of what it needs: that is then the one to blame. */
  async #readBase(account: AccountId, what: string, base: Buffer, dataKey: DataKeyId | null): Promise<void> {
    try {
      await this.readChunk(account, base, dataKey);
    } catch (error) {
      if (!(error instanceof StoreError && error.kind === 'damaged')) throw error;
      throw new StoreError('damaged', `${what}: ${error.message}`, { cause: error });
    }
  }

  async #fetchChain(
    objects: Pick<ObjectStore, 'getRange'>,
    account: AccountId,
    links: readonly PlacedLink[],
  ): Promise<readonly ChainLink[]> {
    const records = await this.fetchLinks(account, links, objects);
    return links.map(({ key }, at) => ({ key, record: present(records[at], 'a record of each link') }));
  }

  async #readLinks(
    objects: Pick<ObjectStore, 'getRange'>,
    keys: AccountKeys,
    kind: PlainKind,
    links: readonly PlacedLink[],
  ): Promise<Buffer> {
    const chain = await this.#fetchChain(objects, keys.account, links);
    if (kind === 'chunk') return unsealChain(keys, chain);
    const node = present(chain[0], 'a node is a chain of one');
    try {
      return unsealRecord(keys, 'node', node.key, node.record);
    } catch (error) {
      throw error instanceof DamageError ? new LinkDamageError(0, error) : error;
    }
  }
}

function samePlace(a: PlacedLink, b: PlacedLink): boolean {
  return a.key.equals(b.key) && a.place.pack === b.place.pack && a.place.offset === b.place.offset;
}
