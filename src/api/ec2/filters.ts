import { filterLimitExceeded, unknownFilter } from './errors.ts';
import { matches, parsePattern, type Pattern } from './pattern.ts';

/** A filter as the wire decodes it. */
export interface FilterRequest {
  readonly Name?: string | undefined;
  readonly Values?: readonly string[] | undefined;
}

/** The texts that a thing has under a filter's name; none: no value ever fits. */
export type FilterTexts<Thing> = (thing: Thing) => readonly string[];

export interface FilterTable<Thing> {
  /** A Map: a name that a client made up never meets Object.prototype. */
  readonly named: ReadonlyMap<string, FilterTexts<Thing>>;
  /** `tag:<key>` and, where the table has it, `tag-key`; null: things without tags. */
  readonly tags: ((thing: Thing) => Readonly<Record<string, string>>) | null;
}

/** Entries of a table for filters by what nothing here has: they are known, and nothing is found by them. */
export function absentFilters<Thing>(names: readonly string[]): readonly [string, FilterTexts<Thing>][] {
  return names.map((name) => [name, () => []]);
}

/** AWS: at most 50 filters in a request, at most 200 values in a filter. */
export const FILTERS_MAX = 50;
export const FILTER_VALUES_MAX = 200;
/** Of all values with wildcards in a request: each of their characters may be compared with each of a text. */
export const WILDCARD_CHARACTERS_MAX = 4096;

interface Condition<Thing> {
  readonly texts: FilterTexts<Thing>;
  /** Values without wildcards, which most are: looked up, however many there are. */
  readonly exact: ReadonlySet<string>;
  readonly patterns: readonly Pattern[];
}

/**
 * Whether a thing passes all filters; of one filter's values one is enough. Refuses names that the table does not have
 * and too many filters or values. A filter without values lets nothing pass, as in EC2.
 */
export function parseFilters<Thing>(
  filters: readonly FilterRequest[] | undefined,
  table: FilterTable<Thing>,
): (thing: Thing) => boolean {
  if (filters === undefined || filters.length === 0) return () => true;
  if (filters.length > FILTERS_MAX) throw filterLimitExceeded();
  const wildcards = filters.flatMap(({ Values = [] }) => Values.filter((value) => SPECIAL.test(value)));
  if (wildcards.reduce((sum, { length }) => sum + length, 0) > WILDCARD_CHARACTERS_MAX) throw filterLimitExceeded();
  const conditions = filters.map((filter) => parseFilter(filter, table));
  return (thing) => conditions.every((condition) => passes(condition, thing));
}

function parseFilter<Thing>(filter: FilterRequest, table: FilterTable<Thing>): Condition<Thing> {
  const values = filter.Values ?? [];
  if (values.length > FILTER_VALUES_MAX) throw filterLimitExceeded();
  return {
    texts: textsOf(filter.Name ?? null, table),
    exact: new Set(values.filter((value) => !SPECIAL.test(value))),
    patterns: values.filter((value) => SPECIAL.test(value)).map(parsePattern),
  };
}

const SPECIAL = /[*?\\]/;

/** What a thing must have under `name` to pass, word by word; null when no filter says so without a pattern. */
export function exactValues(filters: readonly FilterRequest[] | undefined, name: string): readonly string[] | null {
  const filter = filters?.find(
    ({ Name, Values = [] }) => Name === name && !Values.some((value) => SPECIAL.test(value)),
  );
  return filter === undefined ? null : (filter.Values ?? []);
}

function textsOf<Thing>(name: string | null, table: FilterTable<Thing>): FilterTexts<Thing> {
  const named = name === null ? undefined : table.named.get(name);
  if (named !== undefined) return named;
  const { tags } = table;
  if (name === null || tags === null || !name.startsWith(TAG_PREFIX) || name === TAG_PREFIX) throw unknownFilter(name);
  const key = name.slice(TAG_PREFIX.length);
  return (thing) => {
    const all = tags(thing);
    return Object.hasOwn(all, key) ? [all[key] ?? ''] : [];
  };
}

const TAG_PREFIX = 'tag:';

function passes<Thing>(condition: Condition<Thing>, thing: Thing): boolean {
  const texts = condition.texts(thing);
  const { exact, patterns } = condition;
  return texts.some((text) => exact.has(text) || patterns.some((pattern) => matches(pattern, text)));
}
