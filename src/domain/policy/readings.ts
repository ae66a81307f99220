import type { Context } from './template.ts';

/** A condition key in lower case, and its values. */
export type ContextKey = readonly [string, readonly string[]];

/** Every reading is decided by itself, and has all keys: what a request may cost. */
const READINGS_MAX = 64;
const KEYS_MAX = 1024;

/**
 * The contexts that keys make up. Condition keys have no case and tags have: `team` and `Team` are two tags and one key, of
 * which a policy sees one. So each of them is seen once, and what is decided must hold of every context: else whoever names
 * the tags would choose which one counts. Null: there are too many. Keys stand over those of `base`.
 */
export function readings(base: Context, keys: readonly ContextKey[]): readonly Context[] | null {
  if (keys.length > KEYS_MAX) return null;
  const plain = new Map(base);
  const others: ContextKey[] = [];
  const own = new Set<string>();
  for (const key of keys) {
    const [name, values] = key;
    if (!own.has(name)) plain.set(name, values);
    else others.push(key);
    own.add(name);
  }
  if (others.length >= READINGS_MAX) return null;
  return [plain, ...others.map(([name, values]) => new Map(plain).set(name, values))];
}
