import { DatabaseSync, type StatementSync } from 'node:sqlite';

import { assert } from '#base/assert.ts';

type Value = string | number | Uint8Array | null;

/** One row of a result; a column that is not of the type asked for is a broken invariant. */
export class Row {
  readonly #columns: Readonly<Record<string, unknown>>;

  constructor(columns: Readonly<Record<string, unknown>>) {
    this.#columns = columns;
  }

  integer(column: string): number {
    const value = this.#columns[column];
    assert(typeof value === 'number' && Number.isSafeInteger(value), `the column ${column} is a whole number`);
    return value;
  }

  text(column: string): string {
    const value = this.#columns[column];
    assert(typeof value === 'string', `the column ${column} is text`);
    return value;
  }

  bytes(column: string): Buffer {
    const value = this.#columns[column];
    assert(value instanceof Uint8Array, `the column ${column} is bytes`);
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }

  bytesOrNull(column: string): Buffer | null {
    return this.#columns[column] === null ? null : this.bytes(column);
  }
}

/** A database of derived data, in one file and one process: statements are prepared once, and commits are not synced one by one. */
export class Database implements Disposable {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    try {
      this.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -4096;');
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    this.#database.close();
  }

  exec(sql: string): void {
    this.#database.exec(sql);
  }

  /** The first row, or null. */
  row(sql: string, ...values: Value[]): Row | null {
    const columns = this.#statement(sql).get(...values);
    return columns === undefined ? null : new Row(columns);
  }

  rows(sql: string, ...values: Value[]): readonly Row[] {
    return this.#statement(sql)
      .all(...values)
      .map((columns) => new Row(columns));
  }

  /** Answers the number of the row that was inserted last. */
  run(sql: string, ...values: Value[]): number {
    return Number(this.#statement(sql).run(...values).lastInsertRowid);
  }

  /** All that `body` does, or nothing. Within another it is a part of that. */
  transact<R>(body: () => R): R {
    if (this.#database.isTransaction) return body();
    this.exec('BEGIN IMMEDIATE');
    try {
      const result = body();
      this.exec('COMMIT');
      return result;
    } catch (error) {
      // SQLite rolls back by itself when it runs out of room.
      if (this.#database.isTransaction) this.exec('ROLLBACK');
      throw error;
    }
  }

  /** Runs a statement, and makes it and all commits before it survive a loss of power: one synced commit syncs the log. */
  runSynced(sql: string, ...values: Value[]): void {
    assert(!this.#database.isTransaction, 'what is synced is committed');
    this.exec('PRAGMA synchronous = FULL');
    try {
      this.run(sql, ...values);
    } finally {
      this.exec('PRAGMA synchronous = NORMAL');
    }
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/** Whether the file is damaged, or no database at all. */
export function isDamagedDatabase(error: unknown): boolean {
  return (
    error instanceof Error && 'errcode' in error && [SQLITE_CORRUPT, SQLITE_NOTADB].includes(Number(error.errcode))
  );
}
