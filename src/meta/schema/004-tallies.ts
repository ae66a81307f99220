import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.ts';

/**
 * Version 4: how many volumes and snapshots an account has in a region, and how large the volumes are, so that a creation does
 * not count them. Triggers keep it.
 */
export async function tallies(db: Kysely<Tables>): Promise<void> {
  await sql`create table tallies (
    kind text not null, account text not null, region text not null, count integer not null, size_gib integer not null,
    primary key (kind, account, region)) without rowid`.execute(db);
  await keep(db, 'volumes', {
    watched: 'state, draft, size_gib',
    isCounted: (row) => `(${row}.draft = 0 and ${row}.state <> 'deleting')`,
    sizeGib: (row) => `${row}.size_gib`,
  });
  await keep(db, 'snapshots', {
    watched: 'state',
    isCounted: (row) => `(${row}.state <> 'deleting')`,
    sizeGib: () => '0',
  });
}

interface Tallied {
  /** The columns of which a change counts. */
  readonly watched: string;
  readonly isCounted: (row: string) => string;
  readonly sizeGib: (row: string) => string;
}

async function keep(
  db: Kysely<Tables>,
  table: 'volumes' | 'snapshots',
  { watched, isCounted, sizeGib }: Tallied,
): Promise<void> {
  const add = (row: 'new' | 'old', sign: '+' | '-'): string => `
    insert into tallies values ('${table}', ${row}.account, ${row}.region,
      ${sign}${isCounted(row)}, ${sign}${isCounted(row)} * ${sizeGib(row)})
    on conflict (kind, account, region) do update
    set count = count + excluded.count, size_gib = size_gib + excluded.size_gib;`;
  const when = watched
    .split(', ')
    .map((column) => `new.${column} <> old.${column}`)
    .join(' or ');
  await sql
    .raw(`create trigger ${table}_tally_insert after insert on ${table} begin ${add('new', '+')} end`)
    .execute(db);
  await sql
    .raw(
      `create trigger ${table}_tally_update after update of ${watched} on ${table} when ${when} begin
        ${add('old', '-')} ${add('new', '+')} end`,
    )
    .execute(db);
  await sql
    .raw(`create trigger ${table}_tally_delete after delete on ${table} begin ${add('old', '-')} end`)
    .execute(db);
  await sql
    .raw(
      `insert into tallies select '${table}', account, region, count(*), sum(${sizeGib(table)})
        from ${table} where ${isCounted(table)} group by account, region`,
    )
    .execute(db);
}
