/** Times as users write them, and as a request holds them: ISO 8601 in UTC. */
import { WholeFloat } from '#client/whole-float.ts';
import { floatingNumber, type RawValue } from './raw-value.ts';

/**
 * How a day may be written. What says no day, or names a zone that is none of Greenwich, is refused: Python's dateutil would
 * take today's, and leave the zone out.
 */
const DAYS = [
  // 2026-01-02, 2026/01/02, 20260102
  /^(?<year>\d{4})(?:-(?<month>\d{1,2})-(?<day>\d{1,2})|\/(?<month>\d{1,2})\/(?<day>\d{1,2})|(?<month>\d{2})(?<day>\d{2}))/,
  // Fri, 02 Jan 2026; 2-Jan-2026
  /^(?:[a-z]{3,9},?\s+)?(?<day>\d{1,2})[\s-](?<name>[a-z]{3,9})\.?[\s-](?<year>\d{4})/i,
  // Jan 2, 2026
  /^(?:[a-z]{3,9},?\s+)?(?<name>[a-z]{3,9})\.?\s+(?<day>\d{1,2}),?\s+(?<year>\d{4})/i,
  // 1/2/2026, the month first
  /^(?<month>\d{1,2})\/(?<day>\d{1,2})\/(?<year>\d{4})/,
] as const;

const TIME =
  /^(?:(?:T|\s+)(?<hour>\d{1,2})(?::?(?<minute>\d{2})(?::?(?<second>\d{2})(?:[.,](?<fraction>\d+))?)?)?\s*(?<half>[ap]m)?\s*(?<zone>\S.*)?)?$/i;
/** Fri Jan  2 03:04:05 2026, as C's ctime writes it. */
const YEAR_LAST =
  /^(?:[a-z]{3}\s+)?(?<name>[a-z]{3})\s+(?<day>\d{1,2})\s+(?<time>\d{1,2}:\d{2}:\d{2})\s+(?<year>\d{4})$/i;
const ZONE = /^(?:(?:UTC|GMT|Z)|(?<sign>[+-])(?<hours>\d{1,2})(?::?(?<minutes>\d{2}))?)$/i;
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

type Groups = Readonly<Record<string, string | undefined>>;

function ofText(text: string): string | null {
  const last = YEAR_LAST.exec(text)?.groups;
  if (last !== undefined) return ofText(`${last.day} ${last.name} ${last.year} ${last.time}`);
  for (const pattern of DAYS) {
    const day = pattern.exec(text);
    const time = day === null ? null : TIME.exec(text.slice(day[0].length));
    if (day?.groups === undefined || time?.groups === undefined) continue;
    return ofParts(day.groups, time.groups);
  }
  return null;
}

function ofParts(date: Groups, time: Groups): string | null {
  const [year, day] = [Number(date.year), Number(date.day)];
  const month = date.name === undefined ? Number(date.month) : monthOf(date.name);
  const hour = hourOf(Number(time.hour ?? 0), time.half?.toLowerCase());
  const [minute, second] = [Number(time.minute ?? 0), Number(time.second ?? 0)];
  const offsetMinutes = offsetOf(time.zone ?? '');
  const milliseconds = Date.UTC(year, month - 1, day, hour ?? 0, minute, second);
  // A day that the month has not, an hour that the day has not: the calendar would go on counting.
  if (offsetMinutes === null || hour === null || minute > 59 || second > 59 || year < 1) return null;
  if (month < 1 || month > 12 || new Date(milliseconds).getUTCDate() !== day) return null;
  const microseconds = Number((time.fraction ?? '').slice(0, 6).padEnd(6, '0'));
  return written(milliseconds / 1000 - offsetMinutes * 60, microseconds);
}

/** Null: the day has no such hour. */
function hourOf(hour: number, half: string | undefined): number | null {
  if (half === undefined) return hour > 23 ? null : hour;
  if (hour < 1 || hour > 12) return null;
  return (hour % 12) + (half === 'pm' ? 12 : 0);
}

/** Minutes east of Greenwich; a time without a zone is taken to be UTC. Null: no zone is called so. */
function offsetOf(zone: string): number | null {
  if (zone === '') return 0;
  const groups = ZONE.exec(zone.trim())?.groups;
  if (groups === undefined) return null;
  const minutes = Number(groups.hours ?? 0) * 60 + Number(groups.minutes ?? 0);
  if (minutes >= 24 * 60) return null;
  return groups.sign === '-' ? -minutes : minutes;
}

/** From 1; 0: no month is called so. */
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
