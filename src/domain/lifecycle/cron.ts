/**
 * AWS's cron expressions, `cron(minutes hours day-of-month month day-of-week year)` in UTC. Lists, ranges and steps in every
 * field; `L` and `W` for days of the month; `L` and `#` for days of the week (1 is Sunday). One of the two fields of days,
 * and one only, is `?`.
 */

export interface Cron {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly isDay: (date: Day) => boolean;
}

interface Day {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  /** 1 to 31. */
  readonly day: number;
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];
const DAY_MS = 86_400_000;

/** Null when the text is no such expression. */
export function parseCron(text: string): Cron | null {
  const fields = /^cron\((.+)\)$/.exec(text)?.[1]?.trim().split(/\s+/) ?? [];
  const [minute, hour, dayOfMonth, month, dayOfWeek, year] = fields;
  if (fields.length !== 6 || minute === undefined || hour === undefined || dayOfMonth === undefined) return null;
  if (month === undefined || dayOfWeek === undefined || year === undefined) return null;
  const minutes = parseSet(minute, 0, 59, []);
  const hours = parseSet(hour, 0, 23, []);
  const months = parseSet(month, 1, 12, MONTHS);
  const years = parseSet(year, 1970, 2199, []);
  const isDate =
    dayOfWeek === '?' ? parseDayOfMonth(dayOfMonth) : dayOfMonth === '?' ? parseDayOfWeek(dayOfWeek) : null;
  if (minutes === null || hours === null || months === null || years === null || isDate === null) return null;
  return {
    minutes,
    hours,
    isDay: (date) => years.includes(date.year) && months.includes(date.month) && isDate(date),
  };
}

/** The latest time of the expression that is after `afterMs` and not after `untilMs`; null: there is none. */
export function lastCronMs(cron: Cron, afterMs: number, untilMs: number): number | null {
  const firstDay = Math.floor(afterMs / DAY_MS);
  for (let day = Math.floor(untilMs / DAY_MS); day >= firstDay; day -= 1) {
    if (!cron.isDay(dateOf(day * DAY_MS))) continue;
    for (const hour of cron.hours.toReversed()) {
      for (const minute of cron.minutes.toReversed()) {
        const atMs = day * DAY_MS + (hour * 60 + minute) * 60_000;
        if (atMs <= untilMs) return atMs > afterMs ? atMs : null;
      }
    }
  }
  return null;
}

/** In order; null when the field is not one. */
function parseSet(field: string, min: number, max: number, names: readonly string[]): readonly number[] | null {
  const found = new Set<number>();
  for (const part of field.split(',')) {
    const match = /^([^/]+)(?:\/(\d+))?$/.exec(part);
    if (match === null) return null;
    const [, range = '', stepText] = match;
    const step = stepText === undefined ? 1 : Number(stepText);
    if (step < 1) return null;
    const ends = range === '*' ? [min, max] : range.split('-').map((text) => valueOf(text, names, min));
    const [first, second] = ends;
    if (first === undefined || first === null || second === null || ends.length > 2) return null;
    // `5/15` goes on to the end of the field.
    const last = second ?? (stepText === undefined ? first : max);
    if (first < min || last > max || last < first) return null;
    for (let value = first; value <= last; value += step) found.add(value);
  }
  return [...found].sort((a, b) => a - b);
}

function valueOf(text: string, names: readonly string[], first: number): number | null {
  const named = names.indexOf(text.toUpperCase());
  if (named >= 0) return named + first;
  return /^\d{1,4}$/.test(text) ? Number(text) : null;
}

function parseDayOfMonth(field: string): ((date: Day) => boolean) | null {
  if (field === 'L') return ({ year, month, day }) => day === lastDayOf(year, month);
  const nearest = /^(\d{1,2})W$/.exec(field)?.[1];
  if (nearest !== undefined) {
    const wanted = Number(nearest);
    return wanted < 1 || wanted > 31 ? null : (date) => date.day === nearestWeekday(date.year, date.month, wanted);
  }
  const days = parseSet(field, 1, 31, []);
  return days === null ? null : ({ day }) => days.includes(day);
}

function parseDayOfWeek(field: string): ((date: Day) => boolean) | null {
  if (field === 'L') return (date) => weekdayOf(date) === 7;
  const special = /^(\w{1,3})(L|#([1-5]))$/.exec(field);
  if (special !== null) {
    const weekday = valueOf(special[1] ?? '', WEEKDAYS, 1);
    if (weekday === null || weekday < 1 || weekday > 7) return null;
    const nth = special[3] === undefined ? null : Number(special[3]);
    return (date) =>
      weekdayOf(date) === weekday &&
      (nth === null ? date.day + 7 > lastDayOf(date.year, date.month) : Math.ceil(date.day / 7) === nth);
  }
  const days = parseSet(field, 1, 7, WEEKDAYS);
  return days === null ? null : (date) => days.includes(weekdayOf(date));
}

function dateOf(ms: number): Day {
  const date = new Date(ms);
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

/** 1 is Sunday. */
function weekdayOf({ year, month, day }: Day): number {
  return new Date(Date.UTC(year, month - 1, day)).getUTCDay() + 1;
}

function lastDayOf(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}

/** The day from Monday to Friday that is nearest to the one wanted and in its month. */
function nearestWeekday(year: number, month: number, wanted: number): number {
  const last = lastDayOf(year, month);
  if (wanted > last) return 0;
  const weekday = weekdayOf({ year, month, day: wanted });
  if (weekday === 7) return wanted === 1 ? 3 : wanted - 1;
  if (weekday === 1) return wanted === last ? wanted - 2 : wanted + 1;
  return wanted;
}
