import { type CreateTableBuilder, type Kysely, sql } from 'kysely';
import type { Tables } from './tables.ts';

/** Version 1. */
export async function initial(db: Kysely<Tables>): Promise<void> {
  await accounts(db);
  await volumes(db);
  await snapshots(db);
  await others(db);
}

/** A table whose rows have a sequence: the order of creation, never used again. */
function sequenced<T extends string>(db: Kysely<Tables>, table: T): CreateTableBuilder<T, 'sequence' | 'id'> {
  return db.schema
    .createTable(table)
    .addColumn('sequence', 'integer', (column) => column.primaryKey().autoIncrement())
    .addColumn('id', 'text', (column) => column.notNull().unique());
}

async function accounts(db: Kysely<Tables>): Promise<void> {
  await sequenced(db, 'accounts')
    .addColumn('alias', 'text')
    .addColumn('created_at_ms', 'integer', (column) => column.notNull())
    .execute();
  await db.schema
    .createTable('access_keys')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('secret', 'text', (column) => column.notNull())
    .addColumn('account', 'text', (column) => column.notNull().references('accounts.id'))
    .addColumn('created_at_ms', 'integer', (column) => column.notNull())
    .execute();
}

async function volumes(db: Kysely<Tables>): Promise<void> {
  await sequenced(db, 'volumes')
    .addColumn('account', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('face', 'text', (column) => column.notNull())
    .addColumn('draft', 'integer', (column) => column.notNull())
    .addColumn('name', 'text')
    .addColumn('zone', 'text', (column) => column.notNull())
    .addColumn('size_gib', 'integer', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('iops', 'integer')
    .addColumn('throughput_mibps', 'integer')
    .addColumn('multi_attach', 'integer', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('created_at_ms', 'integer', (column) => column.notNull())
    .addColumn('origin', 'text')
    .addColumn('generation', 'integer', (column) => column.notNull())
    .addColumn('lineage', 'text', (column) => column.notNull())
    .addColumn('tags', 'text', (column) => column.notNull())
    .execute();
  await index(db, 'volumes', 'scope', ['account', 'region', 'sequence']);
  await index(db, 'volumes', 'face', ['account', 'region', 'face', 'sequence']);
  await index(db, 'volumes', 'state', ['state', 'sequence']);
  await sql`create index volumes_tagged on volumes (account, region, sequence) where tags <> '{}'`.execute(db);
  await sql`create index volumes_name on volumes (name) where name is not null`.execute(db);
}

async function snapshots(db: Kysely<Tables>): Promise<void> {
  await sequenced(db, 'snapshots')
    .addColumn('account', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('face', 'text', (column) => column.notNull())
    .addColumn('name', 'text')
    .addColumn('volume', 'text', (column) => column.notNull())
    .addColumn('volume_name', 'text')
    .addColumn('volume_size_gib', 'integer', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('state_message', 'text')
    .addColumn('progress_percent', 'integer', (column) => column.notNull())
    .addColumn('description', 'text', (column) => column.notNull())
    .addColumn('started_at_ms', 'integer', (column) => column.notNull())
    .addColumn('completed_at_ms', 'integer')
    .addColumn('cut', 'text', (column) => column.notNull())
    .addColumn('epoch', 'integer')
    .addColumn('parent', 'text')
    .addColumn('full_bytes', 'integer')
    .addColumn('changed_bytes', 'integer')
    .addColumn('stored_bytes', 'integer')
    .addColumn('direct', 'integer', (column) => column.notNull())
    .addColumn('sealed', 'integer', (column) => column.notNull())
    .addColumn('released', 'integer', (column) => column.notNull())
    .addColumn('timeout_minutes', 'integer')
    .addColumn('touched_at_ms', 'integer')
    .addColumn('lineage', 'text', (column) => column.notNull())
    .addColumn('tags', 'text', (column) => column.notNull())
    .execute();
  await index(db, 'snapshots', 'scope', ['account', 'region', 'sequence']);
  await index(db, 'snapshots', 'face', ['account', 'region', 'face', 'sequence']);
  await index(db, 'snapshots', 'volume', ['volume', 'state', 'epoch']);
  await index(db, 'snapshots', 'state', ['state', 'sequence']);
  await sql`create index snapshots_unreleased on snapshots (sequence) where released = 0`.execute(db);
  await sql`create index snapshots_tagged on snapshots (account, region, sequence) where tags <> '{}'`.execute(db);
  await sql`create index snapshots_name on snapshots (name) where name is not null`.execute(db);
}

async function others(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .createTable('names')
    .addColumn('account', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('holder', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('names_key', ['account', 'region', 'name'])
    .execute();
  await sequenced(db, 'operations')
    .addColumn('account', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('resource_name', 'text', (column) => column.notNull())
    .addColumn('resource_type', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('zone', 'text', (column) => column.notNull())
    .addColumn('details', 'text')
    .addColumn('created_at_ms', 'integer', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('status_changed_at_ms', 'integer', (column) => column.notNull())
    .addColumn('error_code', 'text')
    .addColumn('error_details', 'text')
    .execute();
  await index(db, 'operations', 'scope', ['account', 'region', 'sequence']);
  await index(db, 'operations', 'resource', ['account', 'region', 'resource_name', 'sequence']);
  await index(db, 'operations', 'subject', ['subject', 'sequence']);
  await index(db, 'operations', 'changed', ['status_changed_at_ms']);
  await db.schema
    .createTable('tokens')
    .addColumn('account', 'text', (column) => column.notNull())
    .addColumn('region', 'text', (column) => column.notNull())
    .addColumn('purpose', 'text', (column) => column.notNull())
    .addColumn('token', 'text', (column) => column.notNull())
    .addColumn('request_hash', 'text', (column) => column.notNull())
    .addColumn('result', 'text', (column) => column.notNull())
    .addColumn('created_at_ms', 'integer', (column) => column.notNull())
    .addPrimaryKeyConstraint('tokens_key', ['account', 'region', 'purpose', 'token'])
    .execute();
  await index(db, 'tokens', 'result', ['result']);
  await index(db, 'tokens', 'created', ['created_at_ms']);
  await db.schema
    .createTable('blocks')
    .addColumn('snapshot', 'text', (column) => column.notNull())
    .addColumn('block_index', 'integer', (column) => column.notNull())
    .addColumn('sha256', 'blob', (column) => column.notNull())
    .addPrimaryKeyConstraint('blocks_key', ['snapshot', 'block_index'])
    .execute();
  await db.schema
    .createTable('settings')
    .addColumn('key', 'text', (column) => column.primaryKey().notNull())
    .addColumn('value', 'text', (column) => column.notNull())
    .execute();
}

async function index(db: Kysely<Tables>, table: string, name: string, columns: readonly string[]): Promise<void> {
  await db.schema
    .createIndex(`${table}_${name}`)
    .on(table)
    .columns([...columns])
    .execute();
}
