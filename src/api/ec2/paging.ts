import { invalidCombination, invalidParameter } from './errors.ts';

/** AWS's range of MaxResults. */
export const PAGE_ITEMS_MIN = 5;
export const PAGE_ITEMS_MAX = 1000;
/** What a request without MaxResults gets in one reply, then a NextToken: enough for scripts that never page, little enough to encode without stalling others. */
export const UNPAGED_ITEMS_MAX = 5000;

export interface PageRequest {
  readonly MaxResults?: number | undefined;
  readonly NextToken?: string | undefined;
}

export interface Page {
  readonly countMax: number;
  /** Where the page begins, as control sealed it; null: at the start. Whether it is genuine, control says. */
  readonly after: string | null;
}

/** Reads MaxResults and NextToken. Refuses a count out of range. */
export function parsePage(request: PageRequest): Page {
  const { MaxResults: count, NextToken: token } = request;
  if (count !== undefined && !(count >= PAGE_ITEMS_MIN)) {
    throw invalidParameter('maxResults', ` ${count} `, `Expecting a value greater than ${PAGE_ITEMS_MIN}.`);
  }
  if (count !== undefined && !(count <= PAGE_ITEMS_MAX)) {
    throw invalidParameter('maxResults', ` ${count} `, `Expecting a value less than ${PAGE_ITEMS_MAX}.`);
  }
  // An empty token begins at the start: clients send one that they initialised so.
  return { countMax: count ?? UNPAGED_ITEMS_MAX, after: token === undefined || token === '' ? null : token };
}

/** Ids and MaxResults exclude each other; `setName` is what EC2 calls the ids: `volumeSet`. */
export function refusePagedIds(ids: readonly unknown[] | null, request: PageRequest, setName: string): void {
  if (ids !== null && request.MaxResults !== undefined) {
    throw invalidCombination(`The parameter ${setName} cannot be used with the parameter maxResults`);
  }
}

/** The reply's NextToken: absent on the last page. */
export function nextToken(next: string | null): { readonly NextToken?: string } {
  return next === null ? {} : { NextToken: next };
}
