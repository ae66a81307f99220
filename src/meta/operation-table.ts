import type { Insertable, Kysely, Selectable } from 'kysely';
import { assert } from '#base/assert.ts';
import type { AccountId, RegionName, ResourceId } from '#domain/ids.ts';
import type { Operation } from '#domain/operation.ts';
import type { OperationTable } from './meta-store.ts';
import type { OperationRow, Tables } from './schema/tables.ts';

export function operationTable(db: Kysely<Tables>): OperationTable {
  return {
    find: async (scope, id) => {
      const row = await db
        .selectFrom('operations')
        .selectAll()
        .where('id', '=', id)
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .executeTakeFirst();
      return row === undefined ? null : operationOf(row);
    },
    list: async (scope, resourceName, page) => {
      let query = db
        .selectFrom('operations')
        .selectAll()
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where('sequence', '>', page.after);
      if (resourceName !== null) query = query.where('resource_name', '=', resourceName);
      const rows = await query.orderBy('sequence').limit(page.countMax).execute();
      return rows.map((row) => ({ sequence: row.sequence, record: operationOf(row) }));
    },
    ofSubject: async (subject, type) => {
      const rows = await db
        .selectFrom('operations')
        .selectAll()
        .where('subject', '=', subject)
        .where('type', '=', type)
        .orderBy('sequence')
        .execute();
      return rows.map(operationOf);
    },
    openOf: async (subject) => {
      const rows = await db
        .selectFrom('operations')
        .selectAll()
        .where('subject', '=', subject)
        .where('status', '=', 'Started')
        .orderBy('sequence')
        .execute();
      return rows.map(operationOf);
    },
    insert: async (operation) => {
      await db.insertInto('operations').values(rowOf(operation)).execute();
    },
    update: async (operation) => {
      const result = await db
        .updateTable('operations')
        .set(rowOf(operation))
        .where('id', '=', operation.id)
        .executeTakeFirst();
      assert(result.numUpdatedRows === 1n, 'an operation that is updated exists');
    },
    removeOf: async (subject) => {
      await db.deleteFrom('operations').where('subject', '=', subject).execute();
    },
    prune: async (beforeMs) => {
      const result = await db
        .deleteFrom('operations')
        .where('status_changed_at_ms', '<', beforeMs)
        .where('status', '!=', 'Started')
        .executeTakeFirst();
      return Number(result.numDeletedRows);
    },
  };
}

function operationOf(row: Selectable<OperationRow>): Operation {
  return {
    id: row.id,
    account: row.account as AccountId,
    region: row.region as RegionName,
    subject: row.subject as ResourceId,
    resourceName: row.resource_name,
    resourceType: row.resource_type as Operation['resourceType'],
    type: row.type,
    zone: row.zone,
    details: row.details,
    createdAtMs: row.created_at_ms,
    status: row.status as Operation['status'],
    statusChangedAtMs: row.status_changed_at_ms,
    errorCode: row.error_code,
    errorDetails: row.error_details,
  };
}

function rowOf(operation: Operation): Insertable<OperationRow> {
  return {
    id: operation.id,
    account: operation.account,
    region: operation.region,
    subject: operation.subject,
    resource_name: operation.resourceName,
    resource_type: operation.resourceType,
    type: operation.type,
    zone: operation.zone,
    details: operation.details,
    created_at_ms: operation.createdAtMs,
    status: operation.status,
    status_changed_at_ms: operation.statusChangedAtMs,
    error_code: operation.errorCode,
    error_details: operation.errorDetails,
  };
}
