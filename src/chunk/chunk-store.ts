import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { AccountId } from '#domain/ids.ts';

import { ChunkIndex, type RecordPlace } from './chunk-index.ts';
import { ChunkWriter } from './chunk-writer.ts';
import { DamageError, StoreError } from './errors.ts';
import { Lru } from './lru.ts';
import type { ObjectStore } from './object-store.ts';
import { packObjectKey, type PackId } from './pack.ts';
import { reconcile } from './reconcile.ts';
import { checkRepository } from './repository.ts';
import { accountKeys, unsealRecord, type AccountKeys, type RecordKind } from './seal.ts';
import { unsealChunk } from './unseal.ts';

/** Decoded tree nodes: a page of a listing, or the path of an increment, is read once. */
const NODE_CACHE_BYTES_MAX = 4 * 1024 * 1024;
/** Decoded chunks: a reader that asks for pieces of one chunk. */
const CHUNK_CACHE_BYTES_MAX = 4 * 1024 * 1024;
/** A place is looked up again when its pack was rewritten meanwhile; more often than this it is not a race. */
const LOOKUP_COUNT_MAX = 8;

export interface ChunkStoreOptions {
  readonly objects: ObjectStore;
  /** Of the index, a file that may be deleted at any time no store has it open; ':memory:' keeps it in memory. */
  readonly indexPath: string;
  readonly masterKey: Uint8Array;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Records by content address, in packs. Equal content of one account is stored once; nothing of one account is visible to
 * another. What is written is found once its pack is durable, read back and in the index. Nothing is deleted here: see sweep.ts.
 */
export class ChunkStore implements AsyncDisposable {
  readonly objects: ObjectStore;
  readonly index: ChunkIndex;
  readonly random: Random;
  readonly log: Log;
  readonly masterKey: Uint8Array;
  /** Packs whose fate is being decided by a writer or a sweep: being put, read back, taken in. */
  readonly packsInFlight = new Set<PackId>();
  /** Writers that run: what they found or stored must not be swept. */
  readonly writers = new Set<ChunkWriter>();
  readonly #keys = new Map<AccountId, AccountKeys>();
  readonly #nodes = new Lru<Buffer>({ sizeMax: NODE_CACHE_BYTES_MAX });
  readonly #chunks = new Lru<Buffer>({ sizeMax: CHUNK_CACHE_BYTES_MAX });
  readonly #reads = new Map<string, Promise<Buffer>>();

  private constructor(options: ChunkStoreOptions, index: ChunkIndex) {
    this.objects = options.objects;
    this.random = options.random;
    this.log = options.log;
    this.masterKey = options.masterKey;
    this.index = index;
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

  keysOf(account: AccountId): AccountKeys {
    const known = this.#keys.get(account);
    if (known !== undefined) return known;
    const keys = accountKeys(this.masterKey, account);
    this.#keys.set(account, keys);
    return keys;
  }

  /** Starts to store records of an account. What it finds or adds stays until it is disposed of, whatever is collected. */
  beginWrite(account: AccountId): ChunkWriter {
    return new ChunkWriter(this, account);
  }

  /** The plaintext of a chunk, verified, off the event loop. Throws StoreError 'damaged'. The bytes are shared: do not write to them. */
  readChunk(account: AccountId, key: Buffer): Promise<Buffer> {
    return this.#readCached(this.#chunks, account, 'chunk', key);
  }

  /** The plaintext of a tree node, verified. Throws StoreError 'damaged'. The bytes are shared: do not write to them. */
  readNode(account: AccountId, key: Buffer): Promise<Buffer> {
    return this.#readCached(this.#nodes, account, 'node', key);
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

  async #readCached(cache: Lru<Buffer>, account: AccountId, kind: RecordKind, key: Buffer): Promise<Buffer> {
    const name = `${account} ${key.toString('hex')}`;
    const known = cache.get(name);
    if (known !== undefined) return known;
    const running = this.#reads.get(name);
    if (running !== undefined) return running;
    const read = this.#read(account, kind, key).finally(() => this.#reads.delete(name));
    this.#reads.set(name, read);
    const plain = await read;
    cache.set(name, plain);
    return plain;
  }

  async #read(account: AccountId, kind: RecordKind, key: Buffer): Promise<Buffer> {
    const what = `${kind} ${key.toString('hex')} of account ${account}`;
    let last: { readonly place: RecordPlace; readonly error: DamageError } | null = null;
    for (let count = 0; count < LOOKUP_COUNT_MAX; count += 1) {
      const place = this.index.find(account, key);
      if (place === null) throw new StoreError('damaged', `${what} is in no pack`);
      try {
        return await this.#readAt(account, kind, key, place);
      } catch (error) {
        if (!(error instanceof DamageError)) throw error;
        // Twice at one place is damage; once may be a pack that was just rewritten, or a bad read.
        if (last !== null && samePlace(last.place, place)) break;
        last = { place, error };
      }
    }
    if (last === null) throw new StoreError('damaged', `${what} has no stable place`);
    this.index.suspect(account, key);
    const where = packObjectKey({ account, id: last.place.pack });
    const message = `${what} in ${where} at ${last.place.offset}: ${last.error.message}`;
    this.log.error('chunk damaged', {
      account,
      kind,
      key: key.toString('hex'),
      pack: where,
      offset: last.place.offset,
    });
    throw new StoreError('damaged', message, { cause: last.error });
  }

  async #readAt(account: AccountId, kind: RecordKind, key: Buffer, place: RecordPlace): Promise<Buffer> {
    const keys = this.keysOf(account);
    const record = await this.objects.getRange(packObjectKey({ account, id: place.pack }), place.offset, place.length);
    if (record === null) throw new DamageError('the pack is missing');
    return kind === 'node' ? unsealRecord(keys, kind, key, record) : unsealChunk(keys, kind, key, record);
  }
}

function samePlace(a: RecordPlace, b: RecordPlace): boolean {
  return a.pack === b.pack && a.offset === b.offset;
}
