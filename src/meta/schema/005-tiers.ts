import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.ts';

/** Version 5: snapshots that have to do with the archive are found without looking at the others. */
export async function tiers(db: Kysely<Tables>): Promise<void> {
  await sql`create index snapshots_tiered on snapshots (sequence)
    where json_extract(details, '$.tier') is not null`.execute(db);
}
