/** Times as users write them, and as a request holds them: ISO 8601 in UTC. */
import { WholeFloat } from '#client/whole-float.ts';
import { floatingNumber, type RawValue } from './python-text.ts';

const ISO =
  /^(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?|\/(\d{1,2})\/(\d{1,2})|(\d{2})(\d{2}))(?:(?:T|\s+)(\d{1,2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?)?\s*(.*))?$/i;
/** `Mon, 02 Jan 2006 15:04:05 GMT`, `2 January 2006`. */
const DAY_MONTH_YEAR =
  /^(?:[a-z]+,?\s+)?(\d{1,2})[\s-]([a-z]{3,9})[\s-](\d{4})(?:\s+(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(.*))?$/i;
/** `Jan 2, 2006`, `Mon Jan 2 15:04:05 2006`. */
const MONTH_DAY_YEAR = /^(?:[a-z]+,?\s+)?([a-z]{3,9})\s+(\d{1,2}),?(?:\s+(\d{1,2}):(\d{2})(?::(\d{2}))?)?\s+(\d{4})$/i;
const ZONE = /^(?:(?:UTC|GMT|Z)|([+-])(\d{1,2}):?(\d{2})?)$/i;
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** ISO 8601 in UTC, with microseconds where there are any: 2026-01-02T03:04:05Z. Null: no time is meant by it. */
export function timestampOf(value: RawValue): string | null {
  if (value instanceof WholeFloat) return ofEpoch(value.value);
  if (typeof value === 'number' || typeof value === 'bigint') return ofEpoch(Number(value));
  if (typeof value !== 'string') return null;
  const seconds = floatingNumber(value);
  if (seconds !== null) return ofEpoch(seconds instanceof WholeFloat ? seconds.value : seconds);
  return ofText(value.trim());
}

interface Parts {
  readonly year: string;
  readonly month: number;
  readonly day: string;
  readonly hour?: string | undefined;
  readonly minute?: string | undefined;
  readonly second?: string | undefined;
  /** Digits after the point. */
  readonly fraction?: string | undefined;
  readonly zone?: string | undefined;
}

function ofText(text: string): string | null {
  const iso = ISO.exec(text);
  if (iso !== null) {
    const [, year = '', month, day, slashMonth, slashDay, bareMonth, bareDay, hour, minute, second, fraction, zone] =
      iso;
    return ofParts({
      year,
      month: Number(month ?? slashMonth ?? bareMonth),
      day: day ?? slashDay ?? bareDay ?? '1',
      hour,
      minute,
      second,
      fraction,
      zone,
    });
  }
  const dayFirst = DAY_MONTH_YEAR.exec(text);
  if (dayFirst !== null) {
    const [, day = '', month = '', year = '', hour, minute, second, zone] = dayFirst;
    return ofParts({ year, month: monthOf(month), day, hour, minute, second, zone });
  }
  const monthFirst = MONTH_DAY_YEAR.exec(text);
  if (monthFirst === null) return null;
  const [, month = '', day = '', hour, minute, second, year = ''] = monthFirst;
  return ofParts({ year, month: monthOf(month), day, hour, minute, second });
}

function ofParts(parts: Parts): string | null {
  const [hour, minute, second] = [Number(parts.hour ?? 0), Number(parts.minute ?? 0), Number(parts.second ?? 0)];
  const [year, day] = [Number(parts.year), Number(parts.day)];
  const milliseconds = Date.UTC(year, parts.month - 1, day, hour, minute, second);
  const date = new Date(milliseconds);
  const offsetMinutes = offsetOf(parts.zone ?? '');
  // A day that the month has not, an hour that the day has not: the calendar would go on counting.
  if (offsetMinutes === null || hour > 23 || minute > 59 || second > 59 || year < 1) return null;
  if (parts.month < 1 || parts.month > 12 || date.getUTCDate() !== day) return null;
  const microseconds = Number((parts.fraction ?? '').slice(0, 6).padEnd(6, '0'));
  return written(milliseconds / 1000 - offsetMinutes * 60, microseconds);
}

/** Minutes east of Greenwich; a time without a zone is taken to be UTC. Null: no zone is called so. */
function offsetOf(zone: string): number | null {
  if (zone === '') return 0;
  const match = ZONE.exec(zone.trim());
  if (match === null) return null;
  const [, sign, hours = '0', minutes = '0'] = match;
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}

function monthOf(name: string): number {
  return MONTHS.indexOf(name.slice(0, 3).toLowerCase()) + 1;
}

function ofEpoch(seconds: number): string | null {
  if (!Number.isFinite(seconds)) return null;
  const micros = Math.round((seconds - Math.floor(seconds)) * 1e6);
  return written(Math.floor(seconds) + Math.floor(micros / 1e6), micros % 1e6);
}

function written(seconds: number, microseconds: number): string | null {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime()) || date.getUTCFullYear() < 1 || date.getUTCFullYear() > 9999) return null;
  const fraction = microseconds === 0 ? '' : `.${String(microseconds).padStart(6, '0')}`;
  return `${date.toISOString().slice(0, 19)}${fraction}Z`;
}
