import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** Another process (or another holder in this one) has the lock. */
export class ProcessLockedError extends Error {
  override readonly name = 'ProcessLockedError';
}

/**
 * A lock between processes that dies with its holder, also by kill -9 or a crash of the machine: Node has no `flock`, so
 * it is SQLite's exclusive lock on a database file that stays empty. `<path>.holder` says who, for the error only.
 *
 * POSIX locks are dropped when the process closes any descriptor of the file: nobody else may open `path`.
 */
export class ProcessLock implements Disposable {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Takes the lock or throws ProcessLockedError at once; never waits. `what` names the thing locked, for the error. */
  static acquire(path: string, what: string): ProcessLock {
    const database = new DatabaseSync(path, { timeout: 0 });
    try {
      database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      if (!isBusy(error)) throw new Error(`lock ${path}`, { cause: error });
      throw new ProcessLockedError(`${what} is in use by ${holderOf(path)} (lock file ${path})`, { cause: error });
    }
    writeFileSync(`${path}.holder`, `${process.pid}\n`, { mode: 0o600 });
    return new ProcessLock(database);
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close();
  }
}

const SQLITE_BUSY = 5;

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY;
}

function holderOf(path: string): string {
  try {
    return `process ${readFileSync(`${path}.holder`, 'utf8').trim()}`;
  } catch {
    return 'another process'; // Just started: it has not said yet who it is.
  }
}
