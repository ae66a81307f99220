/** The three ways in which AWS writes an instant. */

/** `2026-11-20T14:16:14.935Z`, always with milliseconds, as EC2 answers. */
export function formatDateTime(date: Date): string {
  return date.toISOString();
}

/** Seconds since 1970 with a fraction, `1569625129.739`. */
export function epochSeconds(date: Date): number {
  return date.getTime() / 1000;
}

/** `Sun, 06 Nov 1994 08:49:37 GMT`. */
export function formatHttpDate(date: Date): string {
  return date.toUTCString();
}

const dateTime = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})$/;

/** Null when the text is not an instant of ISO 8601 with a time zone. Parts of a millisecond are dropped. */
export function parseDateTime(text: string): Date | null {
  const parts = dateTime.exec(text);
  if (parts === null) return null;
  const [, year, month, day, hour, minute, second, fraction = '', zone = 'Z'] = parts;
  const base = `${year}-${month}-${day}T${hour}:${minute}:${second}`;
  const wallMs = Date.parse(`${base}Z`);
  // Date.parse accepts 31 February and turns it into March.
  if (Number.isNaN(wallMs) || new Date(wallMs).toISOString().slice(0, 19) !== base) return null;
  const fractionMs = fraction === '' ? 0 : Math.floor(Number(fraction) * 1000);
  return new Date(wallMs + fractionMs - zoneOffsetMs(zone));
}

export function parseHttpDate(text: string): Date | null {
  if (!/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)) return null;
  return validDate(Date.parse(text));
}

/** Null outside of what a Date can hold. */
export function dateOfEpochSeconds(seconds: number): Date | null {
  return validDate(Math.round(seconds * 1000));
}

function validDate(ms: number): Date | null {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? null : date;
}

function zoneOffsetMs(zone: string): number {
  if (zone === 'Z') return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2));
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000;
}
