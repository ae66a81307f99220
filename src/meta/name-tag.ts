import { type RawBuilder, sql } from 'kysely';

/** Whether a row's tag Name is this. Rows without tags are not looked into. */
export function hasNameTag(name: string): RawBuilder<boolean> {
  return sql<boolean>`(tags <> '{}' and json_extract(tags, '$.Name') = ${name})`;
}
