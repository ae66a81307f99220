import type { Kysely } from 'kysely';
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
