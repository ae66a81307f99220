import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.ts';

/**
 * Version 3: what lists are searched by, so that a page costs what it shows, however many there are. Triggers keep the tables
 * of tags and shares as the rows of volumes and snapshots say; nothing else writes them.
 */
export async function search(db: Kysely<Tables>): Promise<void> {
  for (const table of ['volumes', 'snapshots'] as const) await indexTags(db, table);
  await indexShares(db);
  await sql`create index snapshots_volume_sequence on snapshots (volume, sequence)`.execute(db);
  await sql`create index snapshots_scope_state on snapshots (account, region, state, sequence)`.execute(db);
}

/** One row a tag. A resource has a key once, so a key, and a key with its value, both give resources in their order. */
async function indexTags(db: Kysely<Tables>, table: 'volumes' | 'snapshots'): Promise<void> {
  const tags = sql.table(`${table.slice(0, -1)}_tags`);
  const of = sql.table(table);
  const name = (suffix: string) => sql.id(`${table.slice(0, -1)}_tags_${suffix}`);
  await sql`create table ${tags} (
    account text not null, region text not null, key text not null, value text not null, sequence integer not null,
    primary key (account, region, key, value, sequence)) without rowid`.execute(db);
  await sql`create index ${name('key')} on ${tags} (account, region, key, sequence)`.execute(db);
  await sql`create index ${name('sequence')} on ${tags} (sequence)`.execute(db);
  await sql`create trigger ${name('insert')} after insert on ${of} when new.tags <> '{}' begin
    insert into ${tags} select new.account, new.region, key, value, new.sequence from json_each(new.tags);
  end`.execute(db);
  await sql`create trigger ${name('update')} after update of tags on ${of} when new.tags <> old.tags begin
    delete from ${tags} where sequence = old.sequence;
    insert into ${tags} select new.account, new.region, key, value, new.sequence from json_each(new.tags);
  end`.execute(db);
  await sql`create trigger ${name('delete')} after delete on ${of} begin
    delete from ${tags} where sequence = old.sequence;
  end`.execute(db);
  await sql`insert into ${tags} select account, region, tag.key, tag.value, sequence
    from ${of}, json_each(tags) as tag`.execute(db);
}

/** One row for each that a snapshot is shared with; `grantee`: an account, or `all`. */
async function indexShares(db: Kysely<Tables>): Promise<void> {
  await sql`create table snapshot_shares (
    grantee text not null, region text not null, sequence integer not null,
    primary key (grantee, region, sequence)) without rowid`.execute(db);
  await sql`create index snapshot_shares_sequence on snapshot_shares (sequence)`.execute(db);
  await sql`create trigger snapshot_shares_insert after insert on snapshots
    when json_extract(new.details, '$.sharedWith') is not null begin
    insert into snapshot_shares select value, new.region, new.sequence from json_each(new.details, '$.sharedWith');
  end`.execute(db);
  await sql`create trigger snapshot_shares_update after update of details on snapshots
    when json_extract(new.details, '$.sharedWith') is not json_extract(old.details, '$.sharedWith') begin
    delete from snapshot_shares where sequence = old.sequence;
    insert into snapshot_shares select value, new.region, new.sequence from json_each(new.details, '$.sharedWith');
  end`.execute(db);
  await sql`create trigger snapshot_shares_delete after delete on snapshots begin
    delete from snapshot_shares where sequence = old.sequence;
  end`.execute(db);
  await sql`insert into snapshot_shares select share.value, region, sequence
    from snapshots, json_each(details, '$.sharedWith') as share`.execute(db);
}
