import type { Kysely } from 'kysely';
import type { SettingTable } from './meta-store.ts';
import type { Tables } from './schema/tables.ts';

export function settingTable(db: Kysely<Tables>): SettingTable {
  return {
    get: async (key) => {
      const row = await db.selectFrom('settings').select('value').where('key', '=', key).executeTakeFirst();
      return row?.value ?? null;
    },
    put: async (key, value) => {
      await db
        .insertInto('settings')
        .values({ key, value })
        .onConflict((conflict) => conflict.column('key').doUpdateSet({ value }))
        .execute();
    },
  };
}
