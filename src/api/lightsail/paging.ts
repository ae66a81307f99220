/** Items in a reply of a list. For operations it is AWS's own number; Lightsail's requests cannot ask for another. */
export const ITEMS_MAX = 200;

/** Where a page begins: the cursor that the reply before gave. An empty token begins at the start. */
export function pageAfter(input: { readonly pageToken?: string | undefined }): string | null {
  return input.pageToken === undefined || input.pageToken === '' ? null : input.pageToken;
}

/** The last page has no token: clients stop there. */
export function nextPage(next: string | null): { readonly nextPageToken?: string } {
  return next === null ? {} : { nextPageToken: next };
}
