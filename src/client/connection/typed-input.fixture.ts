import type { InputRecord } from '#client/command.ts';

/** An input of samples as a command line gives it: timestamps as text. */
export function asTyped(value: unknown): InputRecord {
  const typed = (item: unknown): unknown => {
    if (item instanceof Date) return item.toISOString();
    if (item instanceof Uint8Array || typeof item !== 'object' || item === null) return item;
    if (Array.isArray(item)) return item.map(typed);
    return Object.fromEntries(Object.entries(item).map(([key, inner]) => [key, typed(inner)]));
  };
  return typed(value) as InputRecord;
}
