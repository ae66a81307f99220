import { validationError } from './errors.ts';

interface PageRequest {
  readonly Marker?: string | undefined;
  readonly MaxItems?: number | undefined;
}

export interface PageOf<T> {
  readonly items: readonly T[];
  readonly more: { readonly IsTruncated: boolean; readonly Marker?: string };
}

const ITEMS_DEFAULT = 100;
const ITEMS_MAX = 1000;

/**
 * One page of a list, in the order of a name that is unique in it. A marker is the last name of the page before, so that
 * what is added or removed meanwhile neither repeats nor hides another item.
 */
export function pageOf<T>(all: readonly T[], nameOf: (item: T) => string, request: PageRequest): PageOf<T> {
  const { Marker: marker, MaxItems: itemsMax = ITEMS_DEFAULT } = request;
  if (!(itemsMax >= 1 && itemsMax <= ITEMS_MAX)) {
    throw validationError(
      `1 validation error detected: Value '${itemsMax}' at 'maxItems' failed to satisfy constraint: Member must have value between 1 and ${ITEMS_MAX}`,
    );
  }
  const after = marker === undefined ? null : readMarker(marker);
  const sorted = all
    .map((item) => ({ item, name: nameOf(item) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const rest = after === null ? sorted : sorted.filter(({ name }) => name > after);
  const page = rest.slice(0, itemsMax);
  const last = page.at(-1);
  const more = rest.length > page.length && last !== undefined;
  return {
    items: page.map(({ item }) => item),
    more: more ? { IsTruncated: true, Marker: makeMarker(last.name) } : { IsTruncated: false },
  };
}

function makeMarker(name: string): string {
  return Buffer.from(JSON.stringify([name])).toString('base64');
}

function readMarker(marker: string): string {
  try {
    const value: unknown = JSON.parse(Buffer.from(marker, 'base64').toString());
    if (Array.isArray(value) && typeof value[0] === 'string') return value[0];
  } catch {
    // Falls through: not one of ours.
  }
  throw validationError('Invalid Marker.');
}
