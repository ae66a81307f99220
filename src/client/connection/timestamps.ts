/** Instants as people write them on a command line, for requests, and as `cli_timestamp_format = iso8601` prints them. */
import { formatHttpDate, parseDateTime } from '#wire/aws/timestamps.ts';
import { failure } from '#client/failure.ts';

/** Seconds since 1970, or a text: those seconds, a date, a date and a time with or without a zone. */
export type RequestTimestamp = string | number;

/** Throws ClientError when the value is no instant. Whole seconds, unless a fraction was written. */
export function timestampText(value: RequestTimestamp, format: 'date-time' | 'http-date' | 'epoch-seconds'): string {
  const instant = instantOf(value);
  if (instant === null) throw failure(`Invalid timestamp "${value}": Unknown string format: ${value}`);
  const { date, micros } = instant;
  if (format === 'http-date') return formatHttpDate(date);
  if (format === 'epoch-seconds') return String(Math.floor(date.getTime() / 1000));
  const whole = date.toISOString().slice(0, 19);
  return micros === 0 ? `${whole}Z` : `${whole}.${String(micros).padStart(6, '0')}Z`;
}

/** A timestamp of a reply as Python's `isoformat` prints it; the value itself when it is no instant. */
export function isoTimestamp(value: string | number): string {
  const instant = instantOf(value);
  if (instant === null) return String(value);
  const whole = instant.date.toISOString().slice(0, 19);
  const fraction = instant.micros === 0 ? '' : `.${String(instant.micros).padStart(6, '0')}`;
  return `${whole}${fraction}+00:00`;
}

interface Instant {
  /** To the second; milliseconds are none. */
  readonly date: Date;
  /** Microseconds of the second. */
  readonly micros: number;
}

function instantOf(value: RequestTimestamp): Instant | null {
  const given = String(value).trim();
  const text = given.replace(/^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})/, '$1-$2-$3T$4:$5:$6');
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return instantOfSeconds(Number(text));
  const [, date, time = '00:00:00', fraction = '', zone = 'Z'] =
    /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?\s*(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?$/i.exec(
      text,
    ) ?? [];
  if (date === undefined) return instantOfHttpDate(text);
  const seconds = time.length === 5 ? `${time}:00` : time;
  const offset = /^[+-]\d{2}$/.test(zone) ? `${zone}00` : /^[+-]/.test(zone) ? zone : 'Z';
  const parsed = parseDateTime(`${date}T${seconds}${offset}`);
  return parsed === null ? null : { date: parsed, micros: Number(fraction.padEnd(6, '0').slice(0, 6)) };
}

function instantOfSeconds(seconds: number): Instant | null {
  const whole = Math.floor(seconds);
  const date = new Date(whole * 1000);
  if (Number.isNaN(date.getTime())) return null;
  // Python rounds to the microsecond.
  const micros = Math.round((seconds - whole) * 1e6);
  return micros === 1e6 ? { date: new Date((whole + 1) * 1000), micros: 0 } : { date, micros };
}

function instantOfHttpDate(text: string): Instant | null {
  const ms = /^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  return Number.isNaN(ms) ? null : { date: new Date(ms), micros: 0 };
}
