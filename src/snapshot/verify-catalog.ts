import { Database, type Row } from '#chunk/database.ts';
import type { PackEntry, PackName } from '#chunk/pack.ts';
import { kindCode, kindOf, type RecordKind } from '#chunk/seal.ts';
import type { AccountId } from '#domain/ids.ts';

/** What is known of a stored copy of a record. Those above 4 are still to be worked on. */
export const CopyState = {
  /** Known from a footer, not read. */
  listed: 0,
  whole: 1,
  damaged: 2,
  /** Whole, in a pack whose header or footer is damaged: only an index that knows the place finds it. */
  stranded: 3,
  /** A delta whose base is in no pack: damage only where something needs it. A dead record outlives its base as a rule. */
  bereft: 4,
  /** To be read. */
  wanted: 5,
  /** A delta whose tag is right; whether it gives its chunk is still to be seen. */
  unresolved: 6,
} as const;

export type CopyStateCode = (typeof CopyState)[keyof typeof CopyState];

export interface CatalogPack extends PackName {
  readonly number: number;
  readonly sizeBytes: number;
}

/** A stored copy of a record. */
export interface Copy {
  readonly account: AccountId;
  readonly key: Buffer;
  readonly pack: number;
  readonly packId: string;
  readonly kind: RecordKind;
  readonly offset: number;
  readonly length: number;
  readonly plainBytes: number;
  readonly state: CopyStateCode;
  /** Number of what is damaged about it; null: nothing. */
  readonly damage: number | null;
  readonly base: Buffer | null;
}

export interface CheckedEntry {
  readonly entry: PackEntry;
  readonly state: CopyStateCode;
  readonly damage: number | null;
}

const SCHEMA = `
  CREATE TABLE pack (
    number INTEGER PRIMARY KEY, account INTEGER NOT NULL, id TEXT NOT NULL, size INTEGER NOT NULL,
    is_read INTEGER NOT NULL DEFAULT 0, UNIQUE (account, id)) STRICT;
  CREATE TABLE copy (
    account INTEGER NOT NULL, key BLOB NOT NULL, pack INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    plain INTEGER NOT NULL, kind INTEGER NOT NULL, state INTEGER NOT NULL, damage INTEGER NOT NULL, base BLOB NOT NULL,
    PRIMARY KEY (account, key, pack, offset)) STRICT, WITHOUT ROWID;
  CREATE INDEX copy_todo ON copy (state, pack, offset) WHERE state > 4;
`;
const COPY_COLUMNS =
  'copy.account, copy.key, copy.pack, pack.id, copy.offset, copy.length, copy.plain, copy.kind, copy.state, copy.damage, copy.base';
const COPIES = `SELECT ${COPY_COLUMNS} FROM copy JOIN pack ON pack.number = copy.pack`;
const NO_DAMAGE = -1;
const NO_BASE = Buffer.alloc(0);

/**
 * What a verification found so far: packs, and the copies of records in them. A private database without a name, in memory
 * while it is small and in a file that nobody else sees when it is not: 33 million chunks are some 3 GB.
 */
export class VerifyCatalog implements Disposable {
  readonly #database = new Database('');

  constructor() {
    this.#database.exec(SCHEMA);
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]();
  }

  /** Answers whether the pack is new. */
  addPack(name: PackName, sizeBytes: number): boolean {
    const known = this.#database.row(
      'SELECT number FROM pack WHERE account = ? AND id = ?',
      Number(name.account),
      name.id,
    );
    if (known !== null) return false;
    this.#database.run(
      'INSERT INTO pack (account, id, size) VALUES (?, ?, ?)',
      Number(name.account),
      name.id,
      sizeBytes,
    );
    return true;
  }

  /** Packs that were not read yet, at most `countMax`. */
  unreadPacks(countMax: number): readonly CatalogPack[] {
    return this.#database
      .rows('SELECT number, account, id, size FROM pack WHERE is_read = 0 ORDER BY number LIMIT ?', countMax)
      .map((row) => ({
        number: row.integer('number'),
        account: accountOf(row),
        id: row.text('id'),
        sizeBytes: row.integer('size'),
      }));
  }

  unreadBytes(): number {
    const row = this.#database.row('SELECT coalesce(sum(size), 0) AS bytes FROM pack WHERE is_read = 0');
    return row?.integer('bytes') ?? 0;
  }

  /** The pack was read: what is in it. */
  fillPack(pack: CatalogPack, found: readonly CheckedEntry[]): void {
    this.#database.transact(() => {
      for (const { entry, state, damage } of found) {
        this.#database.run(
          'INSERT OR IGNORE INTO copy VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
          Number(pack.account),
          entry.key,
          pack.number,
          entry.offset,
          entry.length,
          entry.plainBytes,
          kindCode(entry.kind),
          state,
          damage ?? NO_DAMAGE,
          entry.base ?? NO_BASE,
        );
      }
      this.#database.run('UPDATE pack SET is_read = 1 WHERE number = ?', pack.number);
    });
  }

  /** The pack was deleted meanwhile: what it held does not count. It stays known, so that it is not read again. */
  emptyPack(number: number): void {
    this.#database.transact(() => {
      this.#database.run('DELETE FROM copy WHERE pack = ?', number);
      this.#database.run('UPDATE pack SET is_read = 1 WHERE number = ?', number);
    });
  }

  /** Copies of a record, the best first. */
  copies(account: AccountId, key: Uint8Array): readonly Copy[] {
    return this.#database
      .rows(`${COPIES} WHERE copy.account = ? AND copy.key = ? ORDER BY copy.damage`, Number(account), key)
      .map(copyOf);
  }

  /** Numbers of the damages of a record's copies, and whether there is nothing but bereft and damaged ones; null: there is no copy. */
  condition(
    account: AccountId,
    key: Uint8Array,
  ): { readonly damages: readonly number[]; readonly isBereft: boolean } | null {
    const rows = this.#database.rows(
      'SELECT damage, state FROM copy WHERE account = ? AND key = ? ORDER BY damage',
      Number(account),
      key,
    );
    if (rows.length === 0) return null;
    const damages = rows.map((row) => row.integer('damage'));
    const isUndamaged = damages.at(-1) === NO_DAMAGE;
    const states = rows.map((row) => row.integer('state'));
    if (isUndamaged && !states.includes(CopyState.bereft)) return FINE;
    return {
      damages: damages.filter((damage) => damage !== NO_DAMAGE),
      isBereft:
        states.includes(CopyState.bereft) &&
        states.every((state, at) => state === CopyState.bereft || damages[at] !== NO_DAMAGE),
    };
  }

  /** Copies in this state, in the order of packs and places, after `after`, at most `countMax`. */
  todo(
    state: typeof CopyState.wanted | typeof CopyState.unresolved,
    countMax: number,
    after: Pick<Copy, 'pack' | 'offset'> = { pack: 0, offset: 0 },
  ): readonly Copy[] {
    return this.#database
      .rows(
        `${COPIES} WHERE copy.state > 4 AND copy.state = ? AND (copy.pack, copy.offset) > (?, ?)
         ORDER BY copy.state, copy.pack, copy.offset LIMIT ?`,
        state,
        after.pack,
        after.offset,
        countMax,
      )
      .map(copyOf);
  }

  todoBytes(state: typeof CopyState.wanted): number {
    const row = this.#database.row(
      'SELECT coalesce(sum(length), 0) AS bytes FROM copy WHERE state > 4 AND state = ?',
      state,
    );
    return row?.integer('bytes') ?? 0;
  }

  /** Asks for the copies of a record that were only listed so far. */
  want(account: AccountId, key: Uint8Array): void {
    this.#database.run(
      'UPDATE copy SET state = ? WHERE account = ? AND key = ? AND state = ?',
      CopyState.wanted,
      Number(account),
      key,
      CopyState.listed,
    );
  }

  settle(copy: Copy, state: CopyStateCode, damage: number | null): void {
    this.#database.run(
      'UPDATE copy SET state = ?, damage = ? WHERE account = ? AND key = ? AND pack = ? AND offset = ?',
      state,
      damage ?? NO_DAMAGE,
      Number(copy.account),
      copy.key,
      copy.pack,
      copy.offset,
    );
  }

  transact<R>(body: () => R): R {
    return this.#database.transact(body);
  }
}

const FINE = { damages: [], isBereft: false } as const;

function copyOf(row: Row): Copy {
  const damage = row.integer('damage');
  const base = row.bytes('base');
  return {
    account: accountOf(row),
    key: row.bytes('key'),
    pack: row.integer('pack'),
    packId: row.text('id'),
    kind: kindOf(row.integer('kind')),
    offset: row.integer('offset'),
    length: row.integer('length'),
    plainBytes: row.integer('plain'),
    state: row.integer('state') as CopyStateCode,
    damage: damage === NO_DAMAGE ? null : damage,
    base: base.length === 0 ? null : base,
  };
}

function accountOf(row: Row): AccountId {
  return String(row.integer('account')).padStart(12, '0') as AccountId;
}
