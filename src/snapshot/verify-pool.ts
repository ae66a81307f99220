import { Worker } from 'node:worker_threads';

import { present } from '#base/assert.ts';
import type { PackEntry, PackName } from '#chunk/pack.ts';
import { accountKeys, KEY_BYTES, kindCode, kindOf, type AccountKeys } from '#chunk/seal.ts';
import type { AccountId } from '#domain/ids.ts';

import { checkWholePack, type CheckedPack } from './verify-pack.ts';

/** Checks whole packs, some at once. */
export interface PackChecker extends AsyncDisposable {
  /** Packs that keep it busy. */
  readonly limit: number;
  /** The pack's memory is given away. */
  check(name: PackName, pack: Buffer): Promise<CheckedPack>;
}

/** In the calling thread. For tests. */
export class InlinePackChecker implements PackChecker {
  readonly limit = 1;
  readonly #masterKey: Uint8Array;

  constructor(masterKey: Uint8Array) {
    this.#masterKey = masterKey;
  }

  check(name: PackName, pack: Buffer): Promise<CheckedPack> {
    return checkWholePack(accountKeys(this.#masterKey, name.account), name, pack);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

export interface ToVerifyWorker {
  readonly id: number;
  readonly name: PackName;
  readonly pack: Uint8Array;
}

/** A checked pack in few pieces of memory: a copy of a small view between threads would be one of all that it is a view of. */
export interface PackedCheck {
  readonly structure: string | null;
  readonly keys: Uint8Array<ArrayBuffer>;
  /** 32 zero bytes: none. */
  readonly bases: Uint8Array<ArrayBuffer>;
  /** Kind, offset, length and plain bytes of each entry. */
  readonly numbers: Uint32Array<ArrayBuffer>;
  readonly damaged: readonly (readonly [number, string])[];
  readonly underDataKeys: number;
}

export type FromVerifyWorker =
  | { readonly id: number; readonly checked: PackedCheck }
  | { readonly id: number; readonly failure: string };

const NUMBERS = 4;

export function packCheck({ structure, entries, damaged, underDataKeys }: CheckedPack): PackedCheck {
  const keys = new Uint8Array(entries.length * KEY_BYTES);
  const bases = new Uint8Array(entries.length * KEY_BYTES);
  const numbers = new Uint32Array(entries.length * NUMBERS);
  for (const [place, entry] of entries.entries()) {
    keys.set(entry.key, place * KEY_BYTES);
    if (entry.base !== null) bases.set(entry.base, place * KEY_BYTES);
    numbers.set([kindCode(entry.kind), entry.offset, entry.length, entry.plainBytes], place * NUMBERS);
  }
  return { structure, keys, bases, numbers, damaged: [...damaged], underDataKeys };
}

export function unpackCheck({ structure, keys, bases, numbers, damaged, underDataKeys }: PackedCheck): CheckedPack {
  const entries: PackEntry[] = [];
  for (let place = 0; place * NUMBERS < numbers.length; place += 1) {
    const [kind = 0, offset = 0, length = 0, plainBytes = 0] = numbers.subarray(place * NUMBERS);
    const at = place * KEY_BYTES;
    const kindName = kindOf(kind);
    const base = kindName === 'delta' ? Buffer.from(bases.buffer, at, KEY_BYTES) : null;
    entries.push({ key: Buffer.from(keys.buffer, at, KEY_BYTES), kind: kindName, offset, length, plainBytes, base });
  }
  return { structure, entries, damaged: new Map(damaged), underDataKeys };
}

interface Thread {
  readonly worker: Worker;
  readonly jobs: Map<number, { resolve: (checked: CheckedPack) => void; reject: (error: unknown) => void }>;
}

/** In threads: reading and decrypting a store is what takes the time. */
export class ThreadPackChecker implements PackChecker {
  readonly limit: number;
  readonly #threads: readonly Thread[];
  #nextId = 1;

  constructor(options: { readonly masterKey: Uint8Array; readonly threadCount: number }) {
    this.#threads = Array.from({ length: options.threadCount }, () => start(options.masterKey));
    // One more than are being checked: a thread does not wait for the next pack to be read.
    this.limit = options.threadCount + 1;
  }

  check(name: PackName, pack: Buffer): Promise<CheckedPack> {
    const thread = present(
      this.#threads.toSorted((a, b) => a.jobs.size - b.jobs.size)[0],
      'there is a thread to check packs',
    );
    const isAlone = pack.byteOffset === 0 && pack.byteLength === pack.buffer.byteLength;
    const owned = isAlone ? (pack as Buffer<ArrayBuffer>) : new Uint8Array(pack);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      thread.jobs.set(id, { resolve, reject });
      const message: ToVerifyWorker = { id, name, pack: owned };
      thread.worker.postMessage(message, [owned.buffer]);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }
}

function start(masterKey: Uint8Array): Thread {
  const worker = new Worker(new URL('./verify-worker.ts', import.meta.url), { workerData: { masterKey } });
  const thread: Thread = { worker, jobs: new Map() };
  const lose = (error: Error): void => {
    for (const job of thread.jobs.values()) job.reject(error);
    thread.jobs.clear();
  };
  worker.on('message', (message: FromVerifyWorker) => {
    const job = thread.jobs.get(message.id);
    thread.jobs.delete(message.id);
    if ('failure' in message) job?.reject(new Error(message.failure));
    else job?.resolve(unpackCheck(message.checked));
  });
  worker.on('error', (error) => lose(new Error('a verifying thread failed', { cause: error })));
  worker.on('exit', () => lose(new Error('a verifying thread ended')));
  return thread;
}

/** Keys of accounts, derived once. */
export class KeyRing {
  readonly #masterKey: Uint8Array;
  readonly #keys = new Map<AccountId, AccountKeys>();

  constructor(masterKey: Uint8Array) {
    this.#masterKey = masterKey;
  }

  of(account: AccountId): AccountKeys {
    const known = this.#keys.get(account);
    if (known !== undefined) return known;
    const keys = accountKeys(this.#masterKey, account);
    this.#keys.set(account, keys);
    return keys;
  }
}
