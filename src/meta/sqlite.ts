import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { type Dialect, SqliteDialect } from 'kysely';

/** Enough for every query of the store in each of its shapes; lists of states give a few shapes each. */
const STATEMENT_COUNT_MAX = 256;

/**
 * Opens (or makes) a database file that this process alone uses until it closes it, or dies.
 * WAL with `synchronous=NORMAL`: a commit is in the log when it returns, and durable when that is flushed (log-sync.ts).
 * `locking_mode=EXCLUSIVE`: a second opener gets
 * SQLITE_BUSY at once, and no shared-memory file is needed.
 */
export function openExclusive(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('pragma locking_mode=exclusive');
    database.exec('pragma journal_mode=wal');
    database.exec('pragma synchronous=normal');
    database.exec('pragma foreign_keys=on');
    // Sealed keys lie in the rows: what is deleted is overwritten, not only forgotten.
    database.exec('pragma secure_delete=on');
    // A few MiB are enough for the indexes that lists walk; more would only be memory.
    database.exec('pragma cache_size=-4096');
    // The lock is taken by the first transaction, so let that be now.
    database.exec('begin exclusive');
    database.exec('commit');
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

/** Whether an error of node:sqlite says that another connection holds the file. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (error.errcode === 5 || error.errcode === 261);
}

interface Prepared {
  readonly statement: StatementSync;
  /** Whether it answers rows. */
  readonly reader: boolean;
}

/** Kysely over node:sqlite. Statements are prepared once and used again; the least used go first. */
export function sqliteDialect(database: DatabaseSync): Dialect {
  const statements = new Map<string, Prepared>();
  const prepare = (text: string): Prepared => {
    const known = statements.get(text);
    if (known !== undefined) {
      statements.delete(text);
      statements.set(text, known);
      return known;
    }
    const statement = database.prepare(text);
    const made = { statement, reader: statement.columns().length > 0 };
    statements.set(text, made);
    if (statements.size > STATEMENT_COUNT_MAX) {
      for (const oldest of statements.keys()) {
        statements.delete(oldest);
        break;
      }
    }
    return made;
  };
  return new SqliteDialect({
    database: {
      close: () => database.close(),
      prepare: (text) => {
        const { statement, reader } = prepare(text);
        return {
          reader,
          all: (parameters) => statement.all(...(parameters as SQLInputValue[])),
          run: (parameters) => {
            // SQLite takes a transaction back by itself when the disk is full; the error that said so must not be lost
            // behind a second one that says that there is nothing to take back.
            if (text === 'rollback' && !database.isTransaction) return { changes: 0, lastInsertRowid: 0 };
            return statement.run(...(parameters as SQLInputValue[]));
          },
          iterate: () => {
            throw new Error('the store reads pages, it does not stream');
          },
        };
      },
    },
  });
}
