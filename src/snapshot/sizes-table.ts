import { rmSync } from 'node:fs';

import { assert } from '#base/assert.ts';
import { Database, isDamagedDatabase, type Row } from '#chunk/database.ts';
import { DamageError } from '#chunk/errors.ts';
import type { AccountId } from '#domain/ids.ts';

/**
 * A record that something needs: `refs` counts the nodes that have it as a child, the deltas whose base it is, and the roots.
 * Written children first and deleted parents first, each in one transaction, so that at every instant the counts are those
 * of the items that are there: what a crash leaves is only unfinished, never wrong.
 */
export interface Item {
  readonly id: number;
  readonly account: AccountId;
  readonly refs: number;
  readonly length: number;
  /** Of the chunk that a delta needs; 0: none. */
  readonly base: number;
}

export interface NewItem {
  readonly account: AccountId;
  readonly key: Buffer;
  /** Bytes of the record. */
  readonly length: number;
  readonly base: number;
  /** Of a node: different records that it names. */
  readonly children: readonly ChildItem[] | null;
}

/** A child, as its parent has it: what a walk needs without looking at the child itself. */
export interface ChildItem {
  readonly id: number;
  readonly length: number;
  readonly hasBase: boolean;
  readonly isNode: boolean;
}

/** What must stay readable. */
export interface CountedRoot {
  /** `snapshot <id>` or `volume <id>`. */
  readonly name: string;
  readonly account: AccountId;
  /** Its top node; 0: nothing is in it. */
  readonly item: number;
  /** Of a snapshot's manifest; 0 for a volume. */
  readonly manifestBytes: number;
  readonly fullBytes: number;
  readonly newBytes: number;
  /** Records that it needs, itself included; null: not added up yet. */
  readonly neededBytes: number | null;
  /** As of `exclusiveVersion`. */
  readonly exclusiveBytes: number;
  readonly exclusiveVersion: number;
}

const VERSION = 1;
const UNKNOWN = -1;
const CHILD_BYTES = 8;
/** Bits above what a record's length needs. */
const HAS_BASE = 1 << 30;
const IS_NODE = 1 << 29;
const LENGTH_MASK = IS_NODE - 1;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS item (
    id INTEGER PRIMARY KEY, refs INTEGER NOT NULL, length INTEGER NOT NULL, base INTEGER NOT NULL, account INTEGER NOT NULL,
    key BLOB NOT NULL UNIQUE, children BLOB) STRICT;
  CREATE INDEX IF NOT EXISTS item_unneeded ON item (id) WHERE refs = 0;
  CREATE TABLE IF NOT EXISTS root (
    name TEXT PRIMARY KEY, account INTEGER NOT NULL, item INTEGER NOT NULL, manifest_bytes INTEGER NOT NULL,
    full_bytes INTEGER NOT NULL, new_bytes INTEGER NOT NULL, needed_bytes INTEGER NOT NULL,
    exclusive_bytes INTEGER NOT NULL, exclusive_version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;

/** The counts behind the sizes of snapshots (docs/formats/sizes.md): derived, and made anew when it is lost. */
export class SizesTable implements Disposable {
  readonly #database: Database;
  /** Within a transaction: written once, at its end. */
  #neededChange = 0;

  private constructor(database: Database) {
    this.#database = database;
    // The first count of a large snapshot writes everywhere: each page is written back less often.
    database.exec('PRAGMA wal_autocheckpoint = 8000; PRAGMA cache_size = -8192;');
    database.exec(SCHEMA);
  }

  /** A file that is damaged or of another version is made anew. */
  static open(path: string): SizesTable {
    try {
      return SizesTable.#openOnce(path);
    } catch (error) {
      if (!isDamagedDatabase(error) && !(error instanceof VersionError)) throw error;
      SizesTable.remove(path);
      return SizesTable.#openOnce(path);
    }
  }

  /** Of a table that nobody has open. */
  static remove(path: string): void {
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
  }

  static #openOnce(path: string): SizesTable {
    const database = new Database(path);
    try {
      const table = new SizesTable(database);
      if (table.meta('version', VERSION) !== VERSION) throw new VersionError('the sizes are of another version');
      return table;
    } catch (error) {
      database[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]();
  }

  transact<R>(body: () => R): R {
    try {
      return this.#database.transact(() => {
        const result = body();
        if (this.#neededChange !== 0) this.setMeta('needed', this.neededBytes + this.#neededChange);
        this.#neededChange = 0;
        return result;
      });
    } catch (error) {
      this.#neededChange = 0;
      throw error;
    }
  }

  /** The number of that name, set to `initial` when it was never set. */
  meta(name: string, initial: number): number {
    const row = this.#database.row('SELECT value FROM meta WHERE name = ?', name);
    if (row !== null) return row.integer('value');
    this.setMeta(name, initial);
    return initial;
  }

  setMeta(name: string, value: number): void {
    this.#database.run('INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)', name, value);
  }

  /** Counts what changed in an account: sizes that were found before are then looked for again. */
  version(account: AccountId): number {
    return this.meta(`version ${account}`, 1);
  }

  /** Forgets everything, to be counted anew. */
  clear(): void {
    this.transact(() => {
      this.#database.run('DELETE FROM root');
      this.#database.run('DELETE FROM item');
      this.setMeta('needed', 0);
    });
  }

  /** Bytes of all records that are counted. */
  get neededBytes(): number {
    return this.meta('needed', 0);
  }

  findKey(key: Uint8Array): Item | null {
    const row = this.#database.row('SELECT id, account, refs, length, base FROM item WHERE key = ?', key);
    return row === null ? null : itemOf(row);
  }

  item(id: number): Item {
    const row = this.#database.row('SELECT id, account, refs, length, base FROM item WHERE id = ?', id);
    if (row === null) throw new DamageError('a record that is counted is not there');
    return itemOf(row);
  }

  /** None of a chunk. */
  children(id: number): readonly ChildItem[] {
    const row = this.#database.row('SELECT children FROM item WHERE id = ? AND children IS NOT NULL', id);
    return row === null ? [] : decodeChildren(row.bytes('children'));
  }

  /** Adds a record that nothing refers to yet, and refers to what it needs. Answers its id. In a transaction. */
  insert({ account, key, length, base, children }: NewItem): number {
    const id = this.#database.run(
      'INSERT INTO item (refs, length, base, account, key, children) VALUES (0, ?, ?, ?, ?, ?)',
      length,
      base,
      Number(account),
      key,
      children === null ? null : encodeChildren(children),
    );
    if (base !== 0) this.#refer(base, 1);
    for (const child of children ?? []) this.#refer(child.id, 1);
    this.#neededChange += length;
    return id;
  }

  /** Records that nothing refers to, at most `countMax`. */
  unneeded(countMax: number): readonly number[] {
    return this.#database
      .rows('SELECT id FROM item WHERE refs = 0 ORDER BY id LIMIT ?', countMax)
      .map((row) => row.integer('id'));
  }

  /** Deletes a record that nothing refers to; it refers to nothing any more. In a transaction. */
  remove(id: number): void {
    const { refs, length, base } = this.item(id);
    if (refs !== 0) throw new DamageError('a record that is needed was to be let go');
    for (const child of this.children(id)) this.#refer(child.id, -1);
    if (base !== 0) this.#refer(base, -1);
    this.#database.run('DELETE FROM item WHERE id = ?', id);
    this.#neededChange -= length;
  }

  putRoot(root: CountedRoot): void {
    this.transact(() => {
      this.#database.run(
        'INSERT INTO root VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
        root.name,
        Number(root.account),
        root.item,
        root.manifestBytes,
        root.fullBytes,
        root.newBytes,
        root.neededBytes ?? UNKNOWN,
        root.exclusiveBytes,
        root.exclusiveVersion,
      );
      if (root.item !== 0) this.#refer(root.item, 1);
      this.#changed(root.account);
    });
  }

  removeRoot(name: string): void {
    this.transact(() => {
      const root = this.root(name);
      if (root === null) return;
      this.#database.run('DELETE FROM root WHERE name = ?', name);
      if (root.item !== 0) this.#refer(root.item, -1);
      this.#changed(root.account);
    });
  }

  root(name: string): CountedRoot | null {
    const row = this.#database.row('SELECT * FROM root WHERE name = ?', name);
    return row === null ? null : rootOf(row);
  }

  /** Whether an account has one root. */
  hasOneRoot(account: AccountId): boolean {
    return this.#database.rows('SELECT name FROM root WHERE account = ? LIMIT 2', Number(account)).length === 1;
  }

  /** Roots after `after`, in the order of their names, at most `countMax`. */
  roots(after: string, countMax: number): readonly Pick<CountedRoot, 'name' | 'item'>[] {
    return this.#database
      .rows('SELECT name, item FROM root WHERE name > ? ORDER BY name LIMIT ?', after, countMax)
      .map((row) => ({ name: row.text('name'), item: row.integer('item') }));
  }

  setSizes(name: string, sizes: Pick<CountedRoot, 'neededBytes' | 'exclusiveBytes' | 'exclusiveVersion'>): void {
    this.#database.run(
      'UPDATE root SET needed_bytes = ?, exclusive_bytes = ?, exclusive_version = ? WHERE name = ?',
      sizes.neededBytes ?? UNKNOWN,
      sizes.exclusiveBytes,
      sizes.exclusiveVersion,
      name,
    );
  }

  /** Over all snapshots: bytes that they present, and bytes of their manifests. */
  totals(): { readonly snapshotCount: number; readonly fullBytes: number; readonly manifestBytes: number } {
    const row = this.#database.row(
      `SELECT count(*) AS count, coalesce(sum(full_bytes), 0) AS full, coalesce(sum(manifest_bytes), 0) AS manifests
       FROM root WHERE name >= 'snapshot ' AND name < 'snapshot!'`,
    );
    assert(row !== null, 'a sum has a row');
    return {
      snapshotCount: row.integer('count'),
      fullBytes: row.integer('full'),
      manifestBytes: row.integer('manifests'),
    };
  }

  #refer(id: number, by: 1 | -1): void {
    this.#database.run('UPDATE item SET refs = refs + ? WHERE id = ?', by, id);
  }

  #changed(account: AccountId): void {
    this.setMeta(`version ${account}`, this.version(account) + 1);
  }
}

class VersionError extends Error {
  override readonly name = 'VersionError';
}

function encodeChildren(children: readonly ChildItem[]): Buffer {
  const bytes = Buffer.allocUnsafe(children.length * CHILD_BYTES);
  for (const [place, { id, length, hasBase, isNode }] of children.entries()) {
    assert(id < 2 ** 32 && length <= LENGTH_MASK, 'an id and a length fit into four bytes');
    bytes.writeUInt32LE(id, place * CHILD_BYTES);
    bytes.writeUInt32LE(length | (hasBase ? HAS_BASE : 0) | (isNode ? IS_NODE : 0), place * CHILD_BYTES + 4);
  }
  return bytes;
}

function decodeChildren(bytes: Buffer): readonly ChildItem[] {
  const children: ChildItem[] = [];
  for (let at = 0; at < bytes.length; at += CHILD_BYTES) {
    const word = bytes.readUInt32LE(at + 4);
    children.push({
      id: bytes.readUInt32LE(at),
      length: word & LENGTH_MASK,
      hasBase: (word & HAS_BASE) !== 0,
      isNode: (word & IS_NODE) !== 0,
    });
  }
  return children;
}

function itemOf(row: Row): Item {
  return {
    id: row.integer('id'),
    account: accountOf(row),
    refs: row.integer('refs'),
    length: row.integer('length'),
    base: row.integer('base'),
  };
}

function rootOf(row: Row): CountedRoot {
  const needed = row.integer('needed_bytes');
  return {
    name: row.text('name'),
    account: accountOf(row),
    item: row.integer('item'),
    manifestBytes: row.integer('manifest_bytes'),
    fullBytes: row.integer('full_bytes'),
    newBytes: row.integer('new_bytes'),
    neededBytes: needed === UNKNOWN ? null : needed,
    exclusiveBytes: row.integer('exclusive_bytes'),
    exclusiveVersion: row.integer('exclusive_version'),
  };
}

function accountOf(row: Row): AccountId {
  return String(row.integer('account')).padStart(12, '0') as AccountId;
}
