import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kysely, sql } from 'kysely';
import { CommitGroup } from './commit-group.ts';
import type { Tables } from './schema/tables.ts';
import { migrate } from './schema/migrate.ts';
import { openExclusive, sqliteDialect } from './sqlite.ts';

async function open(): Promise<{ db: Kysely<Tables>; commits: CommitGroup }> {
  const db = new Kysely<Tables>({ dialect: sqliteDialect(openExclusive(':memory:')) });
  await migrate(db, 0);
  return { db, commits: new CommitGroup(db, null) };
}

const put = (key: string) => async (db: Kysely<Tables>) => {
  await db.insertInto('settings').values({ key, value: 'x' }).execute();
};

async function keys(db: Kysely<Tables>): Promise<readonly string[]> {
  return (await db.selectFrom('settings').select('key').orderBy('key').execute()).map(({ key }) => key);
}

/** Fails when it is committed, not before. */
async function breakCommit(db: Kysely<Tables>): Promise<void> {
  await sql`pragma defer_foreign_keys=on`.execute(db);
  await db.insertInto('access_keys').values({ id: 'AKIA', secret: 's', account: 'none', created_at_ms: 0 }).execute();
}

test('a commit that fails fails every body in it, and leaves nothing of them; the next ones go on', async () => {
  const { db, commits } = await open();
  const write = { isRead: false };
  await commits.run(put('before'), write);
  const together = await Promise.allSettled([
    commits.run(put('a'), write),
    commits.run(breakCommit, write),
    commits.run(keys, { isRead: true }),
    commits.run(put('before'), write),
  ]);
  for (const one of together) assert.equal(one.status, 'rejected');
  assert.deepEqual(await keys(db), ['before']);
  await commits.run(put('after'), write);
  assert.deepEqual(await commits.run(keys, { isRead: true }), ['after', 'before']);
  await commits.idle();
  await db.destroy();
});

test('a thousand bodies share a few commits', async () => {
  const { db, commits } = await open();
  let before = 0;
  const all = Array.from({ length: 1000 }, (_, index) => commits.run(put(`k${index}`), { isRead: false }));
  // A body's promise settles after its commit: what is settled at one instant was committed together.
  let groups = 0;
  let settled = 0;
  for (const one of all) void one.then(() => (settled += 1));
  while (settled < all.length) {
    await new Promise((resolve) => setImmediate(resolve));
    if (settled > before) groups += 1;
    before = settled;
  }
  assert.ok(groups <= 1000 / 32, `${groups} commits`);
  assert.equal((await keys(db)).length, 1000);
  await db.destroy();
});

test('a body that is asked for when the one before has just ended is not forgotten', async () => {
  const { db, commits } = await open();
  for (let n = 0; n < 200; n += 1) {
    await commits.run(put(`k${n}`), { isRead: false });
    for (let turn = 0; turn < n % 8; turn += 1) await Promise.resolve();
  }
  assert.equal((await keys(db)).length, 200);
  await db.destroy();
});

test('where there is no connection to be had, every body is told', { timeout: 10_000 }, async () => {
  const { db, commits } = await open();
  await db.destroy();
  const told = await Promise.allSettled([
    commits.run(put('a'), { isRead: false }),
    commits.run(keys, { isRead: true }),
  ]);
  assert.deepEqual(
    told.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  await commits.idle();
  await assert.rejects(commits.run(put('b'), { isRead: false }));
});
