import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.ts';

/** Version 2: what volumes and snapshots have beside what is searched for, and small records of other kinds. */
export async function documents(db: Kysely<Tables>): Promise<void> {
  for (const table of ['volumes', 'snapshots'] as const) {
    await db.schema
      .alterTable(table)
      .addColumn('details', 'text', (column) => column.notNull().defaultTo('{}'))
      .execute();
  }
  await db.schema
    .createTable('documents')
    .addColumn('sequence', 'integer', (column) => column.primaryKey().autoIncrement())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('account', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('owner', 'text')
    .addColumn('body', 'text', (column) => column.notNull())
    .execute();
  await sql`create unique index documents_id on documents (kind, id, account, region)`.execute(db);
  await sql`create index documents_scope on documents (kind, account, region, sequence)`.execute(db);
  await sql`create index documents_owner on documents (kind, account, region, owner, sequence)`.execute(db);
  await sql`create index documents_kind on documents (kind, sequence)`.execute(db);
}
