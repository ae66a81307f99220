import type { Kysely, Selectable } from 'kysely';
import type { AccountId } from '#domain/ids.ts';
import type { Account, AccountTable, KeyRecord } from './meta-store.ts';
import type { AccessKeyRow, AccountRow, Tables } from './schema/tables.ts';

export function accountTable(db: Kysely<Tables>): AccountTable {
  return {
    find: async (id) => {
      const row = await db.selectFrom('accounts').selectAll().where('id', '=', id).executeTakeFirst();
      return row === undefined ? null : accountOf(row);
    },
    list: async () => (await db.selectFrom('accounts').selectAll().orderBy('sequence').execute()).map(accountOf),
    insert: async (account) => {
      await db
        .insertInto('accounts')
        .values({ id: account.id, alias: account.alias, created_at_ms: account.createdAtMs })
        .execute();
    },
    findKey: async (id) => {
      const row = await db.selectFrom('access_keys').selectAll().where('id', '=', id).executeTakeFirst();
      return row === undefined ? null : keyOf(row);
    },
    keysOf: async (account) => {
      const rows = await db.selectFrom('access_keys').selectAll().where('account', '=', account).execute();
      return rows.map(keyOf).toSorted((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1));
    },
    removeKey: async (id) => {
      await db.deleteFrom('access_keys').where('id', '=', id).execute();
    },
    insertKey: async (key) => {
      await db
        .insertInto('access_keys')
        .values({ id: key.id, secret: key.secret, account: key.account, created_at_ms: key.createdAtMs })
        .execute();
    },
  };
}

function keyOf(row: Selectable<AccessKeyRow>): KeyRecord {
  return { id: row.id, secret: row.secret, account: row.account as AccountId, createdAtMs: row.created_at_ms };
}

function accountOf(row: Selectable<AccountRow>): Account {
  return { id: row.id as AccountId, alias: row.alias, createdAtMs: row.created_at_ms };
}
