import type { Kysely } from 'kysely';
import { assert } from '#base/assert.ts';
import type { BlockTable } from './meta-store.ts';
import type { Tables } from './schema/tables.ts';

export function blockTable(db: Kysely<Tables>): BlockTable {
  return {
    put: async (snapshot, index, sha256) => {
      assert(sha256.length === 32, 'a SHA-256 has 32 bytes');
      await db
        .insertInto('blocks')
        .values({ snapshot, block_index: index, sha256 })
        .onConflict((conflict) => conflict.columns(['snapshot', 'block_index']).doUpdateSet({ sha256 }))
        .execute();
    },
    count: async (snapshot) => {
      const row = await db
        .selectFrom('blocks')
        .select((e) => e.fn.countAll<number>().as('count'))
        .where('snapshot', '=', snapshot)
        .executeTakeFirstOrThrow();
      return row.count;
    },
    list: async (snapshot, after, countMax) => {
      const rows = await db
        .selectFrom('blocks')
        .select(['block_index', 'sha256'])
        .where('snapshot', '=', snapshot)
        .where('block_index', '>', after)
        .orderBy('block_index')
        .limit(countMax)
        .execute();
      return rows.map((row) => ({ index: row.block_index, sha256: row.sha256 }));
    },
    removeOf: async (snapshot) => {
      await db.deleteFrom('blocks').where('snapshot', '=', snapshot).execute();
    },
  };
}
