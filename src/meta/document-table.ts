import type { Insertable, Kysely, Selectable } from 'kysely';
import { assert } from '#base/assert.ts';
import type { AccountId, RegionName } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import type { Page, Row } from './meta-store.ts';
import type { DocumentRow, Tables } from './schema/tables.ts';

/**
 * A kind of small record of which an account has dozens to thousands: a user, a key, a rule, a policy. One row and one JSON
 * object each, found by id and listed by owner, and nothing else asked of the database.
 */
export interface DocumentKind<R> {
  /** `iam-user`: names the kind in the table. */
  readonly name: string;
  /** Unique in kind, account and region. */
  readonly idOf: (record: R) => string;
  /** What lists of a part are made by: the user of an access key; null: nothing. */
  readonly ownerOf: (record: R) => string | null;
}

/** What belongs to an account in all regions stands here. */
export const GLOBAL = 'global' as RegionName;

export interface DocumentTable {
  find<R>(kind: DocumentKind<R>, scope: Scope, id: string): Promise<R | null>;
  /** In the order of creation; of one owner, or all. */
  list<R>(kind: DocumentKind<R>, scope: Scope, owner: string | null, page: Page): Promise<readonly Row<R>[]>;
  /** Of that id in every account and region. */
  everywhere<R>(kind: DocumentKind<R>, id: string): Promise<readonly (Scope & { readonly record: R })[]>;
  /** Of all accounts and regions, in the order of creation: for tasks. */
  all<R>(kind: DocumentKind<R>, page: Page): Promise<readonly Row<Scope & { readonly record: R }>[]>;
  count<R>(kind: DocumentKind<R>, scope: Scope, owner: string | null): Promise<number>;
  /** Throws when there is one of that id. */
  insert<R>(kind: DocumentKind<R>, scope: Scope, record: R): Promise<void>;
  /** Replaces the record of that id, which exists. */
  update<R>(kind: DocumentKind<R>, scope: Scope, record: R): Promise<void>;
  /** No error when there is none. */
  remove<R>(kind: DocumentKind<R>, scope: Scope, id: string): Promise<void>;
}

export function documentTable(db: Kysely<Tables>): DocumentTable {
  const inScope = <R>(kind: DocumentKind<R>, scope: Scope) =>
    db
      .selectFrom('documents')
      .selectAll()
      .where('kind', '=', kind.name)
      .where('account', '=', scope.account)
      .where('region', '=', scope.region);
  return {
    find: async <R>(kind: DocumentKind<R>, scope: Scope, id: string) => {
      const row = await inScope(kind, scope).where('id', '=', id).executeTakeFirst();
      return row === undefined ? null : recordOf(row, kind);
    },

    list: async <R>(kind: DocumentKind<R>, scope: Scope, owner: string | null, page: Page) => {
      let query = inScope(kind, scope).where('sequence', '>', page.after);
      if (owner !== null) query = query.where('owner', '=', owner);
      const rows = await query.orderBy('sequence').limit(page.countMax).execute();
      return rows.map((row) => ({ sequence: row.sequence, record: recordOf(row, kind) }));
    },

    everywhere: async <R>(kind: DocumentKind<R>, id: string) => {
      const rows = await db
        .selectFrom('documents')
        .selectAll()
        .where('kind', '=', kind.name)
        .where('id', '=', id)
        .orderBy('sequence')
        .execute();
      return rows.map((row) => placed(row, kind));
    },

    all: async <R>(kind: DocumentKind<R>, page: Page) => {
      const rows = await db
        .selectFrom('documents')
        .selectAll()
        .where('kind', '=', kind.name)
        .where('sequence', '>', page.after)
        .orderBy('sequence')
        .limit(page.countMax)
        .execute();
      return rows.map((row) => ({ sequence: row.sequence, record: placed(row, kind) }));
    },

    count: async <R>(kind: DocumentKind<R>, scope: Scope, owner: string | null) => {
      let query = db
        .selectFrom('documents')
        .select((e) => e.fn.countAll<number>().as('count'))
        .where('kind', '=', kind.name)
        .where('account', '=', scope.account)
        .where('region', '=', scope.region);
      if (owner !== null) query = query.where('owner', '=', owner);
      return (await query.executeTakeFirstOrThrow()).count;
    },

    insert: async (kind, scope, record) => {
      await db
        .insertInto('documents')
        .values(rowOf(kind, scope, record))
        .execute();
    },

    update: async (kind, scope, record) => {
      const row = rowOf(kind, scope, record);
      const result = await db
        .updateTable('documents')
        .set({ owner: row.owner, body: row.body })
        .where('kind', '=', kind.name)
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where('id', '=', row.id)
        .executeTakeFirst();
      assert(result.numUpdatedRows === 1n, 'a record that is updated exists');
    },

    remove: async (kind, scope, id) => {
      await db
        .deleteFrom('documents')
        .where('kind', '=', kind.name)
        .where('account', '=', scope.account)
        .where('region', '=', scope.region)
        .where('id', '=', id)
        .execute();
    },
  };
}

function rowOf<R>(kind: DocumentKind<R>, scope: Scope, record: R): Insertable<DocumentRow> {
  return {
    kind: kind.name,
    account: scope.account,
    region: scope.region,
    id: kind.idOf(record),
    owner: kind.ownerOf(record),
    body: JSON.stringify(record),
  };
}

// Only this program writes the table, and each kind has one type.
function recordOf<R>(row: Selectable<DocumentRow>, _kind: DocumentKind<R>): R {
  return JSON.parse(row.body) as R;
}

function placed<R>(row: Selectable<DocumentRow>, kind: DocumentKind<R>): Scope & { readonly record: R } {
  return { account: row.account as AccountId, region: row.region as RegionName, record: recordOf(row, kind) };
}
