import type { PageOf } from '#control/kms/keys.ts';
import { invalid } from './errors.ts';

interface Paged {
  readonly Limit?: number | undefined;
  readonly Marker?: string | undefined;
}

/** What lists of keys and rotations, and of aliases, grants and tags, give at once. */
export const PAGES = {
  keys: { standard: 100, max: 1000 },
  grants: { standard: 50, max: 100 },
  tags: { standard: 50, max: 50 },
} as const;

/** Where a page begins, and how long it is at most. */
export function pageOf(input: Paged, { standard, max }: (typeof PAGES)[keyof typeof PAGES]): PageOf {
  const countMax = input.Limit ?? standard;
  if (countMax < 1 || countMax > max) throw invalid(`Limit must be between 1 and ${max} inclusive`);
  return { after: input.Marker ?? null, countMax };
}

/** The last page has no marker, and is not truncated. */
export function nextOf(next: string | null): { readonly Truncated: boolean; readonly NextMarker?: string } {
  return next === null ? { Truncated: false } : { Truncated: true, NextMarker: next };
}
