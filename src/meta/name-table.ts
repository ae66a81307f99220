import { type Kysely, sql } from 'kysely';
import type { ResourceId } from '#domain/ids.ts';
import type { NameTable } from './meta-store.ts';
import type { Tables } from './schema/tables.ts';

export function nameTable(db: Kysely<Tables>): NameTable {
  return {
    find: async (scope, name) => {
      const row = await db
        .selectFrom('names')
        .select('holder')
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where('name', '=', name)
        .executeTakeFirst();
      return row === undefined ? null : (row.holder as ResourceId);
    },
    list: async (scope, page) => {
      // The table has no column of its own for the order: SQLite numbers its rows.
      const { rows } = await sql<{ sequence: number; name: string }>`
        select rowid as sequence, name from names
        where account = ${scope.account} and region = ${scope.region} and rowid > ${page.after}
        order by rowid limit ${page.countMax}`.execute(db);
      return rows.map(({ sequence, name }) => ({ sequence, record: name }));
    },
    claim: async (scope, name, holder) => {
      const result = await db
        .insertInto('names')
        .values({ account: scope.account, region: scope.region, name, holder })
        .onConflict((conflict) => conflict.columns(['account', 'region', 'name']).doNothing())
        .executeTakeFirst();
      return result.numInsertedOrUpdatedRows === 1n;
    },
    free: async (scope, name, holder) => {
      await db
        .deleteFrom('names')
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where('name', '=', name)
        .where('holder', '=', holder)
        .execute();
    },
  };
}
