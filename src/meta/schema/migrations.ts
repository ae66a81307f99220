import type { Kysely } from 'kysely';
import type { Tables } from './tables.ts';
import { initial } from './001-initial.ts';
import { documents } from './002-documents.ts';
import { search } from './003-search.ts';
import { tallies } from './004-tallies.ts';
import { tiers } from './005-tiers.ts';

/** One step of the schema, from the version before it; runs in a transaction of its own together with its version row. */
export type Migration = (db: Kysely<Tables>) => Promise<void>;

/** In order: the first makes version 1. A migration that was released never changes; a change of the schema is a new one. */
export const MIGRATIONS: readonly Migration[] = [initial, documents, search, tallies, tiers];
