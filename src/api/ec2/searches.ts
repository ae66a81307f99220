import type { SnapshotSearch, TagSearch } from '#control/searches.ts';
import { COPIED_VOLUME_ID, parseSnapshotId, parseVolumeId } from '#domain/ids.ts';
import { exactValues, type FilterRequest } from './filters.ts';

// What a filter without wildcards asks for can be looked up, instead of going through everything. One filter is enough: what
// it finds passes through all of them.

type Filters = readonly FilterRequest[] | undefined;

const TAG_PREFIX = 'tag:';
const STATES = ['pending', 'completed', 'error', 'recovering'] as const;

/** Null: everything is to be gone through. */
export function snapshotSearches(filters: Filters): readonly SnapshotSearch[] | null {
  const ids = exactValues(filters, 'snapshot-id');
  if (ids !== null) return each(ids, parseSnapshotId).map((id) => ({ kind: 'id', id }));
  const volumes = exactValues(filters, 'volume-id');
  // Direct snapshots show the placeholder and have a volume of their own.
  if (volumes !== null && !volumes.includes(COPIED_VOLUME_ID))
    return each(volumes, parseVolumeId).map((volume) => ({ kind: 'volume', volume }));
  const tags = tagSearches(filters);
  if (tags !== null) return tags;
  const states = exactValues(filters, 'status');
  return states && STATES.filter((state) => states.includes(state)).map((state) => ({ kind: 'state', state }));
}

/** By `tag:<key>`, which finds fewer, or by `tag-key`. */
export function tagSearches(filters: Filters): readonly TagSearch[] | null {
  for (const { Name: name } of filters ?? []) {
    if (name === undefined || !name.startsWith(TAG_PREFIX)) continue;
    const values = exactValues(filters, name);
    const key = name.slice(TAG_PREFIX.length);
    if (values !== null) return [...new Set(values)].map((value) => ({ kind: 'tag', key, value }));
  }
  const keys = exactValues(filters, 'tag-key');
  return keys && [...new Set(keys)].map((key) => ({ kind: 'tag', key, value: null }));
}

function each<Id>(texts: readonly string[], parse: (text: string) => Id | null): readonly Id[] {
  return [...new Set(texts)].flatMap((text) => parse(text) ?? []);
}
