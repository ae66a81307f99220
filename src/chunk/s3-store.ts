import { setImmediate as nextTurn } from 'node:timers/promises';

import { assert } from '#base/assert.ts';
import { KeyLock } from '#base/key-lock.ts';

import { isObjectKey, ObjectExistsError, ObjectStoreError, type ObjectStore } from './object-store.ts';
import { errorBodyOf, headerOf, listPageOf, type S3Answer, type S3ListPage } from './s3-answer.ts';
import { contentMd5, queryValue, type S3Client, S3RequestError } from './s3-client.ts';
import type { S3Owner } from './s3-owner.ts';

/** Objects named in one answer: the most that S3 allows. */
const LIST_COUNT_MAX = 1000;
/** A page of the longest keys. */
const LIST_BYTES_MAX = 2 * 1024 * 1024;
/** What an object may have when it is asked for whole: a pack. */
const OBJECT_BYTES_MAX = 32 * 1024 * 1024;
/** So long after the last byte of a request that got no answer the store may still do it. */
export const DOUBT_MS = 30_000;

export interface S3StoreOptions {
  /** Taken over: disposed of with the store. */
  readonly client: S3Client;
  /** Looked at before anything is changed; null: nothing is to be changed. */
  readonly owner: S3Owner | null;
  /** Whether the store refuses a put with `If-None-Match: *` where there is an object; the probe finds out. */
  readonly conditionalPut: boolean;
  /** How long after the store was taken from another process that one's requests may still be done; DOUBT_MS by default. */
  readonly settleMs?: number;
}

/**
 * Objects below one prefix of a bucket.
 *
 * `put` sends one request with the whole object, which S3 makes visible whole or not at all. `ifAbsent` is S3's own
 * condition; where the store does not have it, the object is looked for before it is put. That is enough because one process
 * at a time has an installation open, and within it puts of one key wait for each other; and because what is put so has
 * a name of its own (a pack's is random, a manifest's is its snapshot's).
 *
 * A PUT WITHOUT AN ANSWER may have been done, or may be done yet. It is made again. Finding the object then is success when it
 * holds the same bytes. When it is given up, it does not fail before DOUBT_MS have passed, in which whatever was on its way
 * has arrived, and the object is looked for once more: a manifest that came after its put had failed would name records that a
 * collection has deleted meanwhile, or would come back after its snapshot was deleted. For the same reason what was put in
 * more than one attempt is deleted only once none of them can come any more, and what was deleted in more than one is put again
 * only then: the manifest of a snapshot that comes back from the archive has a name that was deleted.
 */
export class S3Store implements ObjectStore {
  readonly #client: S3Client;
  readonly #prefix: string;
  readonly #conditionalPut: boolean;
  readonly #owner: S3Owner | null;
  readonly #lock = new KeyLock();
  /** Of objects whose put or deletion took more than one attempt, one of which may be done yet: when none can any more. */
  readonly #doubts = new Map<string, Promise<void>>();
  readonly #settled: Promise<void>;

  constructor(options: S3StoreOptions) {
    this.#client = options.client;
    this.#prefix = options.client.location.prefix;
    this.#conditionalPut = options.conditionalPut;
    this.#owner = options.owner;
    // From when the store was taken over; before each attempt at a change, whoever had it looks whether it still has.
    const { owner, settleMs = DOUBT_MS } = options;
    this.#settled = owner?.hadAnother === true ? this.#client.pause(settleMs) : Promise.resolve();
    this.#settled.catch(() => {}); // Closed before somebody asked.
  }

  async put(key: string, parts: readonly Uint8Array[], options: { readonly ifAbsent?: boolean } = {}): Promise<void> {
    assert(isObjectKey(key), 'an object key is well-formed');
    // Or an attempt at its deletion that got no answer takes it away.
    await this.#doubts.get(key);
    try {
      if (options.ifAbsent !== true) await this.#put(key, parts, false);
      else if (this.#conditionalPut) await this.#put(key, parts, true);
      else await this.#lock.run(key, () => this.#putLookingFirst(key, parts));
    } catch (error) {
      if (!(error instanceof S3RequestError && error.inDoubt)) throw error;
      // Until then it may be done yet. What fails must have no effect after it failed.
      await this.#client.pause(DOUBT_MS);
      if (!(await this.#holds(key, parts).catch(() => false))) throw error;
    }
  }

  async get(key: string): Promise<Buffer | null> {
    assert(isObjectKey(key), 'an object key is well-formed');
    const { answer } = await this.#client.request({
      doing: `get ${key}`,
      method: 'GET',
      key: this.#prefix + key,
      answerBytes: OBJECT_BYTES_MAX,
      accept: (found) => isWhole(found) || isAbsent(found),
    });
    return answer.status === 200 ? answer.body : null;
  }

  async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    assert(isObjectKey(key), 'an object key is well-formed');
    // A range has at least one byte; it still says whether there is an object.
    const last = offset + Math.max(length, 1) - 1;
    const { answer } = await this.#client.request({
      doing: `get ${key}`,
      method: 'GET',
      key: this.#prefix + key,
      headers: [['Range', `bytes=${offset}-${last}`]],
      answerBytes: length,
      accept: (found) => isRange(found, offset, last) || isBeyond(found) || isWhole(found) || isAbsent(found),
    });
    if (answer.status === 404) return null;
    if (answer.status === 416 || length === 0) return Buffer.alloc(0);
    // A store need not do ranges; the probe refuses one that never does.
    return answer.status === 206 ? answer.body : answer.body.subarray(offset, offset + length);
  }

  async *list(prefix: string): AsyncIterable<{ readonly key: string; readonly sizeBytes: number }> {
    let last = '';
    for (let next: string | null = null, isFirst = true; isFirst || next !== null; isFirst = false) {
      const page = await this.#listPage(prefix, next);
      for (const { key: whole, sizeBytes } of page.objects) {
        const key = whole.slice(this.#prefix.length);
        if (!whole.startsWith(this.#prefix) || !key.startsWith(prefix) || !isObjectKey(key)) continue;
        // What is compared with the index in order must come in order.
        if (key <= last)
          throw new ObjectStoreError(`list ${prefix}: the store does not list in the order of keys`, {
            retryable: false,
          });
        last = key;
        yield { key, sizeBytes };
      }
      next = page.next;
    }
  }

  async delete(key: string): Promise<void> {
    assert(isObjectKey(key), 'an object key is well-formed');
    const allowed = this.#allowed(`delete ${key}`);
    // Or an attempt that got no answer brings it back.
    await this.#doubts.get(key);
    try {
      const { inDoubt } = await this.#client.request({
        allowed,
        doing: `delete ${key}`,
        method: 'DELETE',
        key: this.#prefix + key,
        accept: (answer) => answer.status === 204 || answer.status === 200 || isAbsent(answer),
      });
      if (inDoubt) this.#doubt(key);
    } catch (error) {
      if (error instanceof S3RequestError && error.inDoubt) this.#doubt(key);
      throw error;
    }
  }

  settled(): Promise<void> {
    return this.#settled;
  }

  /** To be called when a stop begins: nothing is waited for any more, at most a few seconds for what is on its way. */
  hurry(): void {
    this.#client.hurry();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client[Symbol.dispose]();
  }

  async #put(key: string, parts: readonly Uint8Array[], ifAbsent: boolean): Promise<void> {
    const headers: [string, string][] = [
      ['Content-Length', String(parts.reduce((sum, part) => sum + part.length, 0))],
      ['Content-MD5', await contentMd5(parts)],
      ['Content-Type', 'application/octet-stream'],
    ];
    if (ifAbsent) headers.push(['If-None-Match', '*']);
    const { answer, inDoubt } = await this.#client.request({
      allowed: this.#allowed(`put ${key}`),
      doing: `put ${key}`,
      method: 'PUT',
      key: this.#prefix + key,
      headers,
      body: parts,
      accept: ({ status }) => status === 200 || (ifAbsent && status === 412),
    });
    if (answer.status === 412 && !(inDoubt && (await this.#holds(key, parts)))) {
      throw new ObjectExistsError(`object ${key} exists`);
    }
    if (inDoubt) this.#doubt(key);
  }

  #doubt(key: string): void {
    const over = this.#client
      .pause(DOUBT_MS)
      .catch(() => {}) // The store is being closed.
      .finally(() => {
        if (this.#doubts.get(key) === over) this.#doubts.delete(key);
      });
    this.#doubts.set(key, over);
  }

  async #putLookingFirst(key: string, parts: readonly Uint8Array[]): Promise<void> {
    if ((await this.getRange(key, 0, 0)) !== null) throw new ObjectExistsError(`object ${key} exists`);
    await this.#put(key, parts, false);
  }

  async #holds(key: string, parts: readonly Uint8Array[]): Promise<boolean> {
    const found = await this.get(key);
    if (found === null) return false;
    let at = 0;
    for (const part of parts) {
      if (!found.subarray(at, at + part.length).equals(part)) return false;
      at += part.length;
      await nextTurn();
    }
    return at === found.length;
  }

  /** What is looked at before each attempt to change something. */
  #allowed(doing: string): () => Promise<void> {
    const owner = this.#owner;
    if (owner === null) throw new ObjectStoreError(`${doing}: the store is open to be read only`, { retryable: false });
    return () => owner.check();
  }

  async #listPage(prefix: string, token: string | null): Promise<S3ListPage> {
    const pairs = [
      ...(token === null ? [] : [['continuation-token', token] as const]),
      ['encoding-type', 'url'] as const,
      ['list-type', '2'] as const,
      ['max-keys', String(LIST_COUNT_MAX)] as const,
      ['prefix', this.#prefix + prefix] as const,
    ];
    let page: S3ListPage | null = null;
    await this.#client.request({
      doing: `list ${prefix}`,
      method: 'GET',
      key: null,
      query: pairs.map(([name, value]) => `${name}=${queryValue(value)}`).join('&'),
      answerBytes: LIST_BYTES_MAX,
      accept: (answer) => answer.status === 200 && (page = listPageOf(answer)) !== null,
    });
    assert(page !== null, 'an answer that was accepted is a page');
    return page;
  }
}

/** All bytes that were announced came: a connection that breaks is noticed below, an answer of another length is not. */
function isWhole(answer: S3Answer): boolean {
  const announced = headerOf(answer, 'content-length');
  return answer.status === 200 && (announced === null || Number(announced) === answer.body.length);
}

/** Exactly the bytes that were asked for, or those up to the end of the object. */
function isRange(answer: S3Answer, first: number, last: number): boolean {
  const parts = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headerOf(answer, 'content-range') ?? '');
  if (answer.status !== 206 || parts === null) return false;
  const [, from, to, size] = parts.map(Number);
  if (from === undefined || to === undefined || size === undefined) return false;
  return from === first && to === Math.min(last, size - 1) && answer.body.length === to - from + 1;
}

function isBeyond(answer: S3Answer): boolean {
  return answer.status === 416;
}

/** Only S3's own word for it: a missing bucket, or a 404 of something between, must not look like a missing object. */
function isAbsent(answer: S3Answer): boolean {
  return answer.status === 404 && errorBodyOf(answer)?.code === 'NoSuchKey';
}
