import { chmodSync, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { Kysely, sql } from 'kysely';
import type { Clock } from '#base/clock.ts';
import { isNoSpace } from '#base/no-space.ts';
import { accountTable } from './account-table.ts';
import { blockTable } from './block-table.ts';
import { CommitGroup } from './commit-group.ts';
import { documentTable } from './document-table.ts';
import { LogSync } from './log-sync.ts';
import { type MetaStore, MetaStoreError, type ReadTx, type Tx } from './meta-store.ts';
import { nameTable } from './name-table.ts';
import { operationTable } from './operation-table.ts';
import { migrate } from './schema/migrate.ts';
import type { Tables } from './schema/tables.ts';
import { settingTable } from './setting-table.ts';
import { snapshotTable } from './snapshot-table.ts';
import { isBusy, openExclusive, sqliteDialect } from './sqlite.ts';
import { tokenTable } from './token-table.ts';
import { volumeTable } from './volume-table.ts';

/**
 * Metadata in one SQLite file through Kysely. One connection, so transactions run one after another; those that wait at the
 * same time share a commit (commit-group.ts). One that fails in its body or at commit is rolled back, and its error comes
 * out as it is.
 */
export class KyselyStore implements MetaStore {
  readonly #db: Kysely<Tables>;
  readonly #commits: CommitGroup;
  readonly #log: LogSync | null;

  private constructor(db: Kysely<Tables>, log: LogSync | null) {
    this.#db = db;
    this.#log = log;
    this.#commits = new CommitGroup(db, log);
  }

  /** Opens or makes the file (0600); `:memory:` is SQLite's database without a file, for tests. Throws MetaStoreError when another server has it, when a newer program made it, or when it cannot be read. */
  static async open(path: string, clock: Clock): Promise<KyselyStore> {
    const db = new Kysely<Tables>({ dialect: sqliteDialect(openFile(path)) });
    const log = path === ':memory:' ? null : new LogSync(`${path}-wal`);
    try {
      await migrate(db, clock.nowMs());
      await makeDurable(db, log);
    } catch (error) {
      await log?.[Symbol.asyncDispose]();
      await db.destroy();
      if (error instanceof MetaStoreError) throw new MetaStoreError(`${path}: ${error.message}`);
      throw new MetaStoreError(`cannot prepare the metadata in ${path}`, { cause: error });
    }
    return new KyselyStore(db, log);
  }

  transact<R>(body: (tx: Tx) => Promise<R>): Promise<R> {
    return this.#commits.run((db) => body(tablesOf(db)), { isRead: false });
  }

  read<R>(body: (tx: ReadTx) => Promise<R>): Promise<R> {
    return this.#commits.run((db) => body(tablesOf(db)), { isRead: true });
  }

  /** SQLite overwrites deleted content with zeros (sqlite.ts); what the log still has of it goes with the log. */
  async purge(): Promise<void> {
    await sql`pragma wal_checkpoint(truncate)`.execute(this.#db);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#commits.idle();
    await this.#log?.[Symbol.asyncDispose]();
    await this.#db.destroy();
  }
}

/**
 * What a killed server committed and did not flush is read from here on, and acted upon; so it is made durable first. In the
 * database itself, which needs nothing of the log: where a flush of that failed, the disk may have a hole in it that the
 * system remembers no more, and what is behind a hole is lost with it.
 */
async function makeDurable(db: Kysely<Tables>, log: LogSync | null): Promise<void> {
  try {
    await sql`pragma wal_checkpoint(truncate)`.execute(db);
  } catch (error) {
    // The log is there, and what needs no room goes on.
    if (!isNoSpace(error)) throw error;
    log?.committed();
    await log?.durable();
  }
}

function openFile(path: string): DatabaseSync {
  const isNew = path !== ':memory:' && !existsSync(path);
  try {
    const database = openExclusive(path);
    // Also for a process that was started with another umask: it holds the secrets of access keys.
    if (isNew) chmodSync(path, 0o600);
    return database;
  } catch (error) {
    if (isBusy(error)) {
      throw new MetaStoreError(
        `another server is using the data directory ${dirname(path)}: stop it, or use another directory`,
        { cause: error },
      );
    }
    throw new MetaStoreError(`cannot open the metadata in ${path}`, { cause: error });
  }
}

function tablesOf(db: Kysely<Tables>): Tx {
  return {
    accounts: accountTable(db),
    volumes: volumeTable(db),
    snapshots: snapshotTable(db),
    names: nameTable(db),
    operations: operationTable(db),
    tokens: tokenTable(db),
    blocks: blockTable(db),
    settings: settingTable(db),
    documents: documentTable(db),
  };
}
