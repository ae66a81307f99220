import type { AccountId } from '#domain/ids.ts';

import { dataKeyIdOf } from './data-key-ring.ts';
import { accountKeys, type AccountKeys } from './seal.ts';

/** Derived keys that are kept: of many accounts, and of the data keys that are in use. */
const KEPT_MAX = 256;

/** The keys of accounts, and of their data keys, derived once while they are in use. */
export class KeyCache {
  readonly #masterKey: Uint8Array;
  readonly #keys = new Map<string, AccountKeys>();

  constructor(masterKey: Uint8Array) {
    this.#masterKey = masterKey;
  }

  of(account: AccountId, dataKey: Uint8Array | null = null): AccountKeys {
    const name = dataKey === null ? account : `${account} ${dataKeyIdOf(dataKey)}`;
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    if (this.#keys.size >= KEPT_MAX) this.#keys.clear();
    const keys = accountKeys(this.#masterKey, account, dataKey);
    this.#keys.set(name, keys);
    return keys;
  }
}
