import type { Kysely } from 'kysely';
import type { ResourceId } from '#domain/ids.ts';
import type { TokenTable } from './meta-store.ts';
import type { Tables } from './schema/tables.ts';

export function tokenTable(db: Kysely<Tables>): TokenTable {
  return {
    find: async (scope, purpose, token) => {
      const row = await db
        .selectFrom('tokens')
        .selectAll()
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where('purpose', '=', purpose)
        .where('token', '=', token)
        .executeTakeFirst();
      if (row === undefined) return null;
      return {
        purpose: row.purpose,
        token: row.token,
        requestHash: row.request_hash,
        result: row.result as ResourceId,
        createdAtMs: row.created_at_ms,
      };
    },
    insert: async (scope, record) => {
      await db
        .insertInto('tokens')
        .values({
          account: scope.account,
          region: scope.region,
          purpose: record.purpose,
          token: record.token,
          request_hash: record.requestHash,
          result: record.result,
          created_at_ms: record.createdAtMs,
        })
        .execute();
    },
    remove: async (scope, purpose, token) => {
      await db
        .deleteFrom('tokens')
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where('purpose', '=', purpose)
        .where('token', '=', token)
        .execute();
    },
    removeOf: async (result) => {
      await db.deleteFrom('tokens').where('result', '=', result).execute();
    },
    prune: async (beforeMs) => {
      const result = await db.deleteFrom('tokens').where('created_at_ms', '<', beforeMs).executeTakeFirst();
      return Number(result.numDeletedRows);
    },
  };
}
