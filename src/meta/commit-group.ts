import { type Kysely, sql } from 'kysely';
import type { LogSync } from './log-sync.ts';
import type { Tables } from './schema/tables.ts';

/** Bodies that may share one commit: none waits long for the others. */
const GROUP_SIZE_MAX = 64;

interface Ended {
  readonly job: Job;
  readonly settle: () => void;
}

interface Outcome extends Pick<Ended, 'settle'> {
  /** Whether something is to be committed. */
  readonly isChange: boolean;
}

interface Job {
  readonly isRead: boolean;
  /** Runs the body; answers how to settle its promise once what it did is durable. */
  readonly run: (db: Kysely<Tables>) => Promise<() => void>;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs bodies one after another, and commits those that are waiting together. Each body is a savepoint, so one that throws
 * takes back only itself. Nobody hears of a body's end before its commit is durable, and none when the commit fails; bodies
 * go on while the disk is waited for. A read, or a refusal, that saw nothing that could still be lost need not wait.
 */
export class CommitGroup {
  readonly #db: Kysely<Tables>;
  readonly #log: LogSync | null;
  readonly #waiting: Job[] = [];
  #working: Promise<void> | null = null;
  /** Ends when all that is committed has been told. In the order of the commits. */
  #telling: Promise<void> = Promise.resolve();

  /** `log`: where a commit is durable only when the log says so; null: at once. */
  constructor(db: Kysely<Tables>, log: LogSync | null) {
    this.#db = db;
    this.#log = log;
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
    await this.#telling;
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
    const ended: Ended[] = [];
    let running: Job | undefined;
    let wrote = false;
    try {
      await sql`begin`.execute(db);
    } catch (error) {
      this.#waiting.shift()?.reject(error);
      return;
    }
    try {
      for (let count = 0; count < GROUP_SIZE_MAX; count += 1) {
        running = this.#waiting.shift();
        if (running === undefined) break;
        const { settle, isChange } = await this.#runJob(db, running);
        if (!isChange && !wrote && this.#log?.isBehind !== true) settle();
        else ended.push({ job: running, settle });
        wrote ||= isChange;
      }
      running = undefined;
      await sql`commit`.execute(db);
    } catch (error) {
      await sql`rollback`.execute(db).catch(() => {}); // SQLite may have taken it back by itself.
      for (const { job } of ended) job.reject(error);
      running?.reject(error);
      return;
    }
    if (wrote) this.#log?.committed();
    if (ended.length > 0) this.#tell(ended);
  }

  /** Settles the bodies when their commit is durable, and all before it. */
  #tell(ended: readonly Ended[]): void {
    if (this.#log === null) {
      for (const { settle } of ended) settle();
      return;
    }
    const durable = this.#log.durable();
    durable.catch(() => {}); // It is heard when those before it have been told.
    this.#telling = this.#tellAfter(this.#telling, durable, ended);
  }

  async #tellAfter(before: Promise<void>, durable: Promise<void>, ended: readonly Ended[]): Promise<void> {
    await before;
    try {
      await durable;
      for (const { settle } of ended) settle();
    } catch (error) {
      for (const { job } of ended) job.reject(error);
    }
  }

  /** Of a body that threw nothing is left. Throws when the transaction as a whole is lost. */
  async #runJob(db: Kysely<Tables>, job: Job): Promise<Outcome> {
    await sql`savepoint body`.execute(db);
    try {
      const settle = await job.run(db);
      await sql`release body`.execute(db);
      return { settle, isChange: !job.isRead };
    } catch (error) {
      try {
        await sql`rollback to body`.execute(db);
        await sql`release body`.execute(db);
      } catch {
        throw error; // The savepoint is gone, and with it what the bodies before had done: a full disk does that.
      }
      // What it refused it may have refused because of what can still be lost.
      return { settle: () => job.reject(error), isChange: false };
    }
  }
}
