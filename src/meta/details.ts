/** Members of a record that few records have: one JSON object of those that are not as in `plain`. */

/** The whole details of a row. */
export function detailsOf<D extends object>(plain: D, text: string): D {
  // Only detailsText writes the column.
  return { ...plain, ...(JSON.parse(text) as Partial<D>) };
}

export function detailsText<D extends object>(plain: D, record: D): string {
  const keys = Object.keys(plain) as (keyof D & string)[];
  const own = keys.filter((key) => JSON.stringify(record[key]) !== JSON.stringify(plain[key]));
  return JSON.stringify(Object.fromEntries(own.map((key) => [key, record[key]])));
}
