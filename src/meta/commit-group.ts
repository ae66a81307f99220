import { type Kysely, sql } from 'kysely';
import type { Tables } from './schema/tables.ts';

/** Bodies that may share one commit: none waits long for the others. */
const GROUP_SIZE_MAX = 64;

interface Job {
  readonly isRead: boolean;
  /** Runs the body; answers how to settle its promise once what it did is durable. */
  readonly run: (db: Kysely<Tables>) => Promise<() => void>;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs bodies one after another, and commits those that are waiting together: a commit waits for the disk, and costs the
 * same for one as for many. Each body is a savepoint, so one that throws takes back only itself. Nobody hears of a body's
 * end before the commit, and none when the commit fails; a read that saw no other body's changes need not wait.
 */
export class CommitGroup {
  readonly #db: Kysely<Tables>;
  readonly #waiting: Job[] = [];
  #working: Promise<void> | null = null;

  constructor(db: Kysely<Tables>) {
    this.#db = db;
  }

  run<R>(body: (db: Kysely<Tables>) => Promise<R>, options: { readonly isRead: boolean }): Promise<R> {
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    const run = async (db: Kysely<Tables>): Promise<() => void> => {
      const value = await body(db);
      return () => resolve(value);
    };
    this.#waiting.push({ ...options, run, reject });
    this.#working ??= this.#work();
    return promise;
  }

  /** Resolves when nothing is waiting or running. */
  async idle(): Promise<void> {
    while (this.#working !== null) await this.#working;
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      try {
        await this.#db.connection().execute((connection) => this.#commit(connection));
      } catch (error) {
        for (const job of this.#waiting.splice(0)) job.reject(error); // There is no connection to be had.
      }
    }
    this.#working = null; // At once: what comes from here on starts anew.
  }

  /** One transaction. Never throws: errors belong to the bodies. */
  async #commit(db: Kysely<Tables>): Promise<void> {
    const ended: { readonly job: Job; readonly settle: () => void }[] = [];
    let running: Job | undefined;
    try {
      await sql`begin`.execute(db);
    } catch (error) {
      this.#waiting.shift()?.reject(error);
      return;
    }
    try {
      let wrote = false;
      for (let count = 0; count < GROUP_SIZE_MAX; count += 1) {
        running = this.#waiting.shift();
        if (running === undefined) break;
        const settle = await this.#runJob(db, running);
        if (settle === null) continue;
        if (running.isRead && !wrote) settle();
        else ended.push({ job: running, settle });
        wrote ||= !running.isRead;
      }
      running = undefined;
      await sql`commit`.execute(db);
    } catch (error) {
      await sql`rollback`.execute(db).catch(() => {}); // SQLite may have taken it back by itself.
      for (const { job } of ended) job.reject(error);
      running?.reject(error);
      return;
    }
    for (const { settle } of ended) settle();
  }

  /** Null when the body threw, and nothing of it is left; throws when the transaction as a whole is lost. */
  async #runJob(db: Kysely<Tables>, job: Job): Promise<(() => void) | null> {
    await sql`savepoint body`.execute(db);
    try {
      const settle = await job.run(db);
      await sql`release body`.execute(db);
      return settle;
    } catch (error) {
      try {
        await sql`rollback to body`.execute(db);
        await sql`release body`.execute(db);
      } catch {
        throw error; // The savepoint is gone, and with it what the bodies before had done: a full disk does that.
      }
      job.reject(error);
      return null;
    }
  }
}
