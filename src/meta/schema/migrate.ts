import type { Kysely } from 'kysely';
import { MetaStoreError } from '#meta/meta-store.ts';
import { MIGRATIONS } from './migrations.ts';
import type { Tables } from './tables.ts';

/** Brings the schema to the newest version, one transaction a step. Refuses a database that a newer program made, untouched. */
export async function migrate(db: Kysely<Tables>, nowMs: number): Promise<void> {
  await db.schema
    .createTable('schema_versions')
    .ifNotExists()
    .addColumn('version', 'integer', (column) => column.primaryKey().notNull())
    .addColumn('applied_at_ms', 'integer', (column) => column.notNull())
    .execute();
  const last = await db
    .selectFrom('schema_versions')
    .select((e) => e.fn.max('version').as('version'))
    .executeTakeFirst();
  const version = last?.version ?? 0;
  if (version > MIGRATIONS.length) {
    throw new MetaStoreError(
      `the metadata has version ${version}, and this program knows up to ${MIGRATIONS.length}: use the newer program`,
    );
  }
  for (const [index, step] of MIGRATIONS.entries()) {
    if (index < version) continue;
    await db.transaction().execute(async (tx) => {
      await step(tx);
      await tx
        .insertInto('schema_versions')
        .values({ version: index + 1, applied_at_ms: nowMs })
        .execute();
    });
  }
}
