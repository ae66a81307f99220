import { rmSync } from 'node:fs';

import { assert } from '#base/assert.ts';
import type { AccountId, SnapshotId } from '#domain/ids.ts';

import { Database, isDamagedDatabase, type Row } from './database.ts';
import type { PackEntry, PackId, PackName } from './pack.ts';
import { kindCode, kindOf, type RecordKind } from './seal.ts';

/**
 * Where each record lies (docs/formats/index.md): a table on the disk, derived from the packs. Losing it, or any number of
 * its last changes, loses nothing: what it says is compared with the packs that are there at open. Synchronous: a lookup
 * costs some microseconds.
 */
export interface RecordPlace {
  readonly pack: PackId;
  readonly kind: RecordKind;
  readonly offset: number;
  readonly length: number;
  /** Address of the chunk that a delta needs; null for other kinds. */
  readonly base: Buffer | null;
}

/** A record of a chain: a delta, what it needs, what that needs, and last a whole chunk (or a node by itself). */
export interface PlacedLink {
  readonly key: Buffer;
  readonly place: RecordPlace;
}

/** A copy of a record that the index does not name. */
export interface SpareCopy {
  readonly key: Buffer;
  readonly place: RecordPlace;
}

export interface IndexedPack extends PackName {
  readonly sizeBytes: number;
  /** Bytes of all its records. */
  readonly recordBytes: number;
  /** Bytes of its records that the index names. */
  readonly liveBytes: number;
}

/** One row, as the sweep sees it. */
export interface SweepRow {
  readonly key: Buffer;
  readonly kind: RecordKind;
  readonly mark: number;
  readonly epoch: number;
  /** The pack's number, and bytes there. */
  readonly pack: number;
  readonly length: number;
}

const INDEX_VERSION = 2;

/** Longer chains are not followed. Writers make far shorter ones; where damage was healed from second copies they may grow. */
const CHAIN_LENGTH_MAX = 32;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS pack (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account INTEGER NOT NULL, size INTEGER NOT NULL,
    record_bytes INTEGER NOT NULL, live_bytes INTEGER NOT NULL, UNIQUE (account, id)) STRICT;
  CREATE TABLE IF NOT EXISTS record (
    account INTEGER NOT NULL, key BLOB NOT NULL, kind INTEGER NOT NULL, pack INTEGER NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL, epoch INTEGER NOT NULL, suspect INTEGER NOT NULL DEFAULT 0, mark INTEGER NOT NULL,
    base BLOB, PRIMARY KEY (account, key)) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS manifest (snapshot TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
`;

/** An index of another version: it is made anew. */
class VersionError extends Error {
  override readonly name = 'VersionError';
}

export class ChunkIndex implements Disposable {
  readonly #database: Database;
  #epoch: number;

  private constructor(database: Database) {
    this.#database = database;
    database.exec(SCHEMA);
    if (this.#meta('version', INDEX_VERSION) !== INDEX_VERSION)
      throw new VersionError('the index is of another version');
    this.#epoch = this.#meta('epoch', 1);
  }

  /** Opens the index, or starts an empty one when there is none, or it is damaged or of another version: it can be made again. */
  static open(path: string): ChunkIndex {
    try {
      return ChunkIndex.#openOnce(path);
    } catch (error) {
      if (!isDamagedDatabase(error) && !(error instanceof VersionError)) throw error;
      for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
      return ChunkIndex.#openOnce(path);
    }
  }

  static #openOnce(path: string): ChunkIndex {
    const database = new Database(path);
    try {
      return new ChunkIndex(database);
    } catch (error) {
      database[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]();
  }

  /** The collection epoch: counts collections. What is stored or found again now carries it. */
  get epoch(): number {
    return this.#epoch;
  }

  nextEpoch(): number {
    this.#epoch += 1;
    this.#database.run("UPDATE meta SET value = ? WHERE name = 'epoch'", this.#epoch);
    return this.#epoch;
  }

  /** Where the record lies; null when it is nowhere. */
  find(account: AccountId, key: Uint8Array): RecordPlace | null {
    const row = this.#database.row(
      `SELECT pack.id, record.kind, record.offset, record.length, record.base
       FROM record JOIN pack ON pack.number = record.pack WHERE record.account = ? AND record.key = ?`,
      Number(account),
      key,
    );
    if (row === null) return null;
    return {
      pack: row.text('id'),
      kind: kindOf(row.integer('kind')),
      offset: row.integer('offset'),
      length: row.integer('length'),
      base: row.bytesOrNull('base'),
    };
  }

  /** The record and all that it needs, suspect or not; ends early where one is in no pack, and answers null when it does not end. */
  chain(account: AccountId, key: Buffer): readonly PlacedLink[] | null {
    const links: PlacedLink[] = [];
    for (let next: Buffer | null = key; next !== null;) {
      if (links.length === CHAIN_LENGTH_MAX) return null;
      const place: RecordPlace | null = this.find(account, next);
      if (place === null) return links;
      links.push({ key: next, place });
      next = place.base;
    }
    return links;
  }

  /** The number by which a collection remembers the record, and what it needs; null when it is nowhere. */
  findMark(account: AccountId, key: Uint8Array): { readonly mark: number; readonly base: Buffer | null } | null {
    const row = this.#database.row('SELECT mark, base FROM record WHERE account = ? AND key = ?', Number(account), key);
    return row === null ? null : { mark: row.integer('mark'), base: row.bytesOrNull('base') };
  }

  /**
   * Says of each key whether its record and all that it needs are stored and not suspect, and moves those to this epoch: no
   * collection that runs or ran takes them. One transaction.
   */
  claim(account: AccountId, keys: readonly Uint8Array[]): readonly boolean[] {
    return this.transact(() => keys.map((key) => this.#claimChain(account, key) !== null));
  }

  /**
   * As `claim` of one key, for a delta that is to need it. Answers the records that it would rest on; null when they are not
   * all there and sound, or when `dependent` is among them.
   */
  claimBase(account: AccountId, key: Buffer, dependent: Buffer): readonly PlacedLink[] | null {
    return this.transact(() => {
      const keys = this.#claimChain(account, key);
      if (keys === null || keys.some((link) => link.equals(dependent))) return null;
      return this.chain(account, key);
    });
  }

  /** The record does not read back: it counts as absent for new uploads, so that it is stored again. Durable. */
  suspect(account: AccountId, key: Uint8Array): void {
    const row = this.#database.row('SELECT suspect FROM record WHERE account = ? AND key = ?', Number(account), key);
    if (row === null || row.integer('suspect') !== 0) return;
    this.#database.run('UPDATE record SET suspect = 1 WHERE account = ? AND key = ?', Number(account), key);
    this.sync();
  }

  /**
   * Makes those deltas of an account suspect that were stored or found again since an epoch began, of at most `countMax` rows
   * after `after`. Answers the last key that was looked at; null: there are no more. Not durable before `sync`.
   */
  suspectDeltas(account: AccountId, sinceEpoch: number, after: Uint8Array, countMax: number): Buffer | null {
    return this.transact(() => {
      const rows = this.sweepRows(account, after, countMax);
      for (const { key, kind, epoch } of rows) {
        if (kind !== 'delta' || epoch < sinceEpoch) continue;
        this.#database.run('UPDATE record SET suspect = 1 WHERE account = ? AND key = ?', Number(account), key);
      }
      return rows.at(-1)?.key ?? null;
    });
  }

  /** Turns a record that is known to its copy in a pack that is known, durably. Answers false, and does nothing, when what that copy needs is not there. */
  turnTo(account: AccountId, { key, place }: SpareCopy): boolean {
    const turned = this.transact(() => {
      if (!this.#canRestOn(account, place.base, key)) return false;
      this.#moveRecord(account, key, place, this.#packNumber(place.pack));
      return true;
    });
    this.sync();
    return turned;
  }

  /**
   * Takes in a pack that is stored. A record that is known and sound already stays where it is, unless that is a delta and the
   * new one is whole. Answers the copies that are now spare.
   */
  addPack(name: PackName, sizeBytes: number, entries: readonly PackEntry[]): readonly SpareCopy[] {
    const spares: SpareCopy[] = [];
    let healed = false;
    this.transact(() => {
      const pack = this.#insertPack(name, sizeBytes, entries);
      let mark = this.#meta('next_mark', 1);
      let liveBytes = 0;
      for (const entry of entries) {
        const { key } = entry;
        const known = this.find(name.account, key);
        if (known === null) {
          this.#insertRecord(name, entry, pack, (mark += 1));
          liveBytes += entry.length;
          if (entry.base !== null) this.#claimChain(name.account, key);
          continue;
        }
        const isSound = this.#claimChain(name.account, key) !== null;
        const isBetter = known.kind === 'delta' && entry.kind === 'chunk';
        const place = placeOf(name.id, entry);
        if ((!isSound || isBetter) && this.#canRestOn(name.account, entry.base, key)) {
          this.#moveRecord(name.account, key, place, pack);
          spares.push({ key, place: known });
          healed ||= !isSound;
        } else spares.push({ key, place });
      }
      this.#addLiveBytes(pack, liveBytes);
      this.#database.run("UPDATE meta SET value = ? WHERE name = 'next_mark'", mark);
    });
    if (healed) this.sync();
    return spares;
  }

  /** Takes in a pack that holds copies from others, of which none is read from it yet: see `moveRecords`. */
  addCopies(name: PackName, sizeBytes: number, entries: readonly PackEntry[]): void {
    this.#insertPack(name, sizeBytes, entries);
  }

  /** Turns the rows of records to their copies in a pack of `addCopies`, where they are read from one of the others. Records deleted meanwhile stay deleted. One transaction. */
  moveRecords(name: PackName, entries: readonly PackEntry[], from: ReadonlySet<PackId>): void {
    this.transact(() => {
      const pack = this.#packNumber(name.id);
      for (const entry of entries) {
        const place = this.find(name.account, entry.key);
        if (place !== null && from.has(place.pack)) {
          this.#moveRecord(name.account, entry.key, placeOf(name.id, entry), pack);
        }
      }
    });
  }

  /** Bytes of the pack's records that the index names. */
  liveBytes(id: PackId): number {
    const row = this.#database.row('SELECT live_bytes FROM pack WHERE id = ?', id);
    return row === null ? 0 : row.integer('live_bytes');
  }

  /** Forgets a pack of which no record is read. */
  dropPack(id: PackId): void {
    assert(this.liveBytes(id) === 0, 'no record is read from a pack that is forgotten');
    this.#database.run('DELETE FROM pack WHERE id = ?', id);
  }

  /** Tells this index from the one before it was last made anew; 0 while it is not complete. */
  get id(): number {
    return this.#meta('id', 0);
  }

  set id(id: number) {
    this.#database.run("UPDATE meta SET value = ? WHERE name = 'id'", id);
  }

  /** Counts how often a record was turned to a copy of another length, or on another base. */
  get forms(): number {
    return this.#meta('forms', 0);
  }

  /** Epoch of the last collection that began to delete records; not lost later than those are. */
  get swept(): number {
    return this.#meta('swept', 0);
  }

  set swept(epoch: number) {
    this.#database.run("INSERT OR REPLACE INTO meta (name, value) VALUES ('swept', ?)", epoch);
  }

  /** Forgets all packs and records, to be taken in again. */
  clear(): void {
    this.transact(() => {
      this.id = 0;
      this.#database.run('DELETE FROM record');
      this.#database.run('DELETE FROM pack');
    });
  }

  hasPack(id: PackId): boolean {
    return this.#database.row('SELECT 1 AS found FROM pack WHERE id = ?', id) !== null;
  }

  /** Packs in the order of their object keys, after `after`, at most `countMax`. */
  packs(after: { readonly account: AccountId | ''; readonly id: PackId }, countMax: number): readonly IndexedPack[] {
    return this.#database
      .rows(
        'SELECT id, account, size, record_bytes, live_bytes FROM pack WHERE (account, id) > (?, ?) ORDER BY account, id LIMIT ?',
        after.account === '' ? -1 : Number(after.account),
        after.id,
        countMax,
      )
      .map((row) => ({
        id: row.text('id'),
        account: accountOf(row),
        sizeBytes: row.integer('size'),
        recordBytes: row.integer('record_bytes'),
        liveBytes: row.integer('live_bytes'),
      }));
  }

  get isEmpty(): boolean {
    return this.#database.row('SELECT 1 AS found FROM pack LIMIT 1') === null;
  }

  /** Records of one account in the order of their keys, after `after`, at most `countMax`. */
  sweepRows(account: AccountId, after: Uint8Array, countMax: number): readonly SweepRow[] {
    return this.#database
      .rows(
        'SELECT key, kind, mark, epoch, pack, length FROM record WHERE account = ? AND key > ? ORDER BY key LIMIT ?',
        Number(account),
        after,
        countMax,
      )
      .map((row) => ({
        key: row.bytes('key'),
        kind: kindOf(row.integer('kind')),
        mark: row.integer('mark'),
        epoch: row.integer('epoch'),
        pack: row.integer('pack'),
        length: row.integer('length'),
      }));
  }

  /** Accounts that have records. */
  accounts(): readonly AccountId[] {
    // Skips from one account to the next: a plain DISTINCT reads all rows.
    const accounts: AccountId[] = [];
    let last = -1;
    for (;;) {
      const row = this.#database.row('SELECT account FROM record WHERE account > ? ORDER BY account LIMIT 1', last);
      if (row === null) return accounts;
      last = row.integer('account');
      accounts.push(accountOf(row));
    }
  }

  /** In the transaction in which the row was read. */
  deleteRecord(account: AccountId, row: SweepRow): void {
    this.#addLiveBytes(row.pack, -row.length);
    this.#database.run('DELETE FROM record WHERE account = ? AND key = ?', Number(account), row.key);
  }

  /** Makes everything committed so far survive a loss of power. */
  sync(): void {
    this.#database.runSynced("UPDATE meta SET value = ? WHERE name = 'epoch'", this.#epoch);
  }

  /** Snapshots written by this process or its predecessors: a second witness when the object store is listed. */
  addManifest(snapshot: SnapshotId): void {
    this.#database.run('INSERT OR IGNORE INTO manifest (snapshot) VALUES (?)', snapshot);
  }

  addManifests(snapshots: readonly SnapshotId[]): void {
    this.transact(() => {
      for (const snapshot of snapshots) this.addManifest(snapshot);
    });
  }

  removeManifest(snapshot: SnapshotId): void {
    this.#database.run('DELETE FROM manifest WHERE snapshot = ?', snapshot);
  }

  hasManifest(snapshot: string): boolean {
    return this.#database.row('SELECT snapshot FROM manifest WHERE snapshot = ?', snapshot) !== null;
  }

  /** Those after `after`, in order, at most `countMax`. */
  manifestsAfter(after: string, countMax: number): readonly string[] {
    return this.#database
      .rows('SELECT snapshot FROM manifest WHERE snapshot > ? ORDER BY snapshot LIMIT ?', after, countMax)
      .map((row) => row.text('snapshot'));
  }

  transact<R>(body: () => R): R {
    return this.#database.transact(body);
  }

  #insertPack(name: PackName, sizeBytes: number, entries: readonly PackEntry[]): number {
    return this.#database.run(
      'INSERT INTO pack (id, account, size, record_bytes, live_bytes) VALUES (?, ?, ?, ?, 0)',
      name.id,
      Number(name.account),
      sizeBytes,
      entries.reduce((sum, entry) => sum + entry.length, 0),
    );
  }

  #insertRecord(name: PackName, entry: PackEntry, pack: number, mark: number): void {
    this.#database.run(
      'INSERT INTO record (account, key, kind, pack, offset, length, epoch, mark, base) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
      Number(name.account),
      entry.key,
      kindCode(entry.kind),
      pack,
      entry.offset,
      entry.length,
      this.#epoch,
      mark,
      entry.base,
    );
  }

  /** Points a record that is known to its copy in another pack. Where that needs something else than before, `#canRestOn` was asked. */
  #moveRecord(account: AccountId, key: Buffer, to: RecordPlace, pack: number): void {
    const before = this.#database.row(
      'SELECT pack, length, base FROM record WHERE account = ? AND key = ?',
      Number(account),
      key,
    );
    assert(before !== null, 'a record that is moved is known');
    if (before.integer('length') !== to.length || !isSameBase(before.bytesOrNull('base'), to.base)) this.#countForm();
    this.#addLiveBytes(before.integer('pack'), -before.integer('length'));
    this.#database.run(
      'UPDATE record SET kind = ?, pack = ?, offset = ?, length = ?, base = ?, suspect = 0 WHERE account = ? AND key = ?',
      kindCode(to.kind),
      pack,
      to.offset,
      to.length,
      to.base,
      Number(account),
      key,
    );
    this.#addLiveBytes(pack, to.length);
  }

  #countForm(): void {
    this.#database.run("UPDATE meta SET value = ? WHERE name = 'forms'", this.forms + 1);
  }

  #packNumber(id: PackId): number {
    const row = this.#database.row('SELECT number FROM pack WHERE id = ?', id);
    assert(row !== null, 'a record is turned to a pack that is known');
    return row.integer('number');
  }

  /** Whether a record may need that one: all of it is there and sound, and does not need the record itself. It moves to this epoch. */
  #canRestOn(account: AccountId, base: Buffer | null, key: Buffer): boolean {
    if (base === null) return true;
    return this.#claimChain(account, base)?.every((link) => !link.equals(key)) ?? false;
  }

  /**
   * The keys of a record and of all that it needs, each moved to this epoch; null when one is in no pack or suspect. What a
   * record needs is thus never of an older epoch than the record: a sweep that keeps this keeps that.
   */
  #claimChain(account: AccountId, key: Uint8Array): readonly Buffer[] | null {
    const keys: Buffer[] = [];
    let isSound = true;
    for (let next: Uint8Array | null = key; next !== null;) {
      const row: Row | null = this.#database.row(
        'SELECT epoch, suspect, base FROM record WHERE account = ? AND key = ?',
        Number(account),
        next,
      );
      if (row === null || keys.length === CHAIN_LENGTH_MAX) return null;
      isSound &&= row.integer('suspect') === 0;
      if (row.integer('epoch') < this.#epoch) this.#touch(account, next);
      keys.push(Buffer.from(next));
      next = row.bytesOrNull('base');
    }
    return isSound ? keys : null;
  }

  #addLiveBytes(pack: number, bytes: number): void {
    this.#database.run('UPDATE pack SET live_bytes = live_bytes + ? WHERE number = ?', bytes, pack);
  }

  #touch(account: AccountId, key: Uint8Array): void {
    this.#database.run('UPDATE record SET epoch = ? WHERE account = ? AND key = ?', this.#epoch, Number(account), key);
  }

  /** The value, set to `initial` when it was never set. */
  #meta(name: string, initial: number): number {
    this.#database.run('INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)', name, initial);
    const row = this.#database.row('SELECT value FROM meta WHERE name = ?', name);
    assert(row !== null, 'a value of the index is there once it was set');
    return row.integer('value');
  }
}

/** Where an entry of a pack says that its record is. */
export function placeOf(pack: PackId, { kind, offset, length, base }: PackEntry): RecordPlace {
  return { pack, kind, offset, length, base };
}

function isSameBase(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b);
}

function accountOf(row: Row): AccountId {
  return String(row.integer('account')).padStart(12, '0') as AccountId;
}
