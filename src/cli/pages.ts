import type { ConfigOptions } from '#src/config.ts';

import { askServer, otherVersion } from './admin-client.ts';

/** What the server answers in pages, to its end. Throws CommandError where something is not what `isListed` knows. */
export async function askAll<R>(
  options: ConfigOptions,
  list: {
    /** The path, and the member that holds the entries. */
    readonly name: string;
    readonly isListed: (value: unknown) => value is R;
    readonly timeoutMs?: number;
  },
): Promise<readonly R[]> {
  const all: R[] = [];
  for (let after: number | null = 0; after !== null;) {
    const page = await askServer(options, 'GET', `/${list.name}?after=${after}`, { timeoutMs: list.timeoutMs });
    const { entries, next } = asPage(page, list.name);
    if (!entries.every(list.isListed)) throw otherVersion();
    all.push(...entries);
    after = next;
  }
  return all;
}

function asPage(value: unknown, name: string): { readonly entries: readonly unknown[]; readonly next: number | null } {
  if (typeof value === 'object' && value !== null && 'next' in value) {
    const { next } = value;
    const entries: unknown = Object.getOwnPropertyDescriptor(value, name)?.value;
    if (Array.isArray(entries) && (next === null || typeof next === 'number')) return { entries, next };
  }
  throw otherVersion();
}
