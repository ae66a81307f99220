import { hkdfSync } from 'node:crypto';

import { assert } from '#base/assert.ts';

import { StoreError } from './errors.ts';

/** Names a data key without telling it: 32 lower-case hexadecimal digits (docs/formats/pack.md, "Keys"). */
export type DataKeyId = string;

export const DATA_KEY_BYTES = 32;
const ID_BYTES = 16;
const ID = /^[0-9a-f]{32}$/;

export function dataKeyIdOf(dataKey: Uint8Array): DataKeyId {
  assert(dataKey.length === DATA_KEY_BYTES, 'a data key has 32 bytes');
  return Buffer.from(hkdfSync('sha256', dataKey, 'varve', 'varve 1 data key id', ID_BYTES)).toString('hex');
}

/** Null: it is none. */
export function parseDataKeyId(text: unknown): DataKeyId | null {
  return typeof text === 'string' && ID.test(text) ? text : null;
}

interface Lent {
  readonly key: Buffer;
  /** Who has lent it and not taken it back. */
  count: number;
}

/** Data keys that may be used now. They are in memory only, each as long as somebody lends it. */
export class DataKeyRing {
  readonly #lent = new Map<DataKeyId, Lent>();
  readonly #onTakenBack: (id: DataKeyId) => void;

  /** `onTakenBack`: nobody lends the key any more. */
  constructor(onTakenBack: (id: DataKeyId) => void = () => {}) {
    this.#onTakenBack = onTakenBack;
  }

  /** Until it is disposed of. The bytes are copied. */
  lend(dataKeys: readonly Uint8Array[]): Disposable {
    const ids = dataKeys.map((key) => {
      const id = dataKeyIdOf(key);
      const lent = this.#lent.get(id) ?? { key: Buffer.from(key), count: 0 };
      lent.count += 1;
      this.#lent.set(id, lent);
      return id;
    });
    return {
      [Symbol.dispose]: () => {
        for (const id of ids.splice(0)) this.#takeBack(id);
      },
    };
  }

  /** The key itself: do not change it. Throws StoreError 'key-needed' when nobody lends it. */
  get(id: DataKeyId): Uint8Array {
    const lent = this.#lent.get(id);
    if (lent === undefined) throw keyNeeded(id);
    return lent.key;
  }

  #takeBack(id: DataKeyId): void {
    const lent = this.#lent.get(id);
    if (lent === undefined || (lent.count -= 1) > 0) return;
    this.#lent.delete(id);
    lent.key.fill(0);
    this.#onTakenBack(id);
  }
}

export function keyNeeded(id: DataKeyId | null): StoreError {
  const which = id === null ? 'a data key' : `the data key ${id}`;
  return new StoreError('key-needed', `it is sealed under ${which}, which was not given: its KMS key opens that`);
}
