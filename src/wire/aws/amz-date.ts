/** Instants as signatures write them: `20261120T141614Z`. */

export function formatAmzDate(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d{3}/g, '');
}

/** Milliseconds since 1970, null when the text is no such instant. */
export function parseAmzDate(text: string): number | null {
  const parts = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  if (parts === null) return null;
  const [, year, month, day, hour, minute, second] = parts;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  // Date.parse accepts 31 February and turns it into March.
  return Number.isNaN(ms) || formatAmzDate(ms) !== text ? null : ms;
}
