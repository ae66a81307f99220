import { lastCronMs, parseCron } from './cron.ts';
import type { CreateRule, IntervalUnit, LifecyclePolicy, Schedule } from './policy.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Hours that divide a day. */
export const INTERVAL_HOURS: readonly number[] = [1, 2, 3, 4, 6, 8, 12, 24];

/** When a schedule that names no time begins its day. */
export const DEFAULT_TIME = '09:00';

/** The latest time at which the schedule is due, after `afterMs` and not after `nowMs`; earlier ones that were missed are not made up for. Null: nothing is due. */
export function dueMs(policy: LifecyclePolicy, schedule: Schedule, afterMs: number, nowMs: number): number | null {
  const rule = schedule.createRule;
  // A default policy looks once a day, at the time of day at which it was made.
  const due = rule === undefined ? lastPeriodMs(policy.createdAtMs, DAY_MS, nowMs) : lastOf(rule, afterMs, nowMs);
  return due !== null && due > afterMs ? due : null;
}

function lastOf(rule: CreateRule, afterMs: number, nowMs: number): number | null {
  if (rule.cronExpression !== undefined) {
    const cron = parseCron(rule.cronExpression);
    return cron === null ? null : lastCronMs(cron, afterMs, nowMs);
  }
  const [hours = 0, minutes = 0] = (rule.times?.[0] ?? DEFAULT_TIME).split(':').map(Number);
  return lastPeriodMs((hours * 60 + minutes) * 60_000, (rule.interval ?? 24) * HOUR_MS, nowMs);
}

function lastPeriodMs(startMs: number, periodMs: number, nowMs: number): number {
  return startMs + Math.floor((nowMs - startMs) / periodMs) * periodMs;
}

/** When something of then is so old. Months and years are the calendar's; the 31st plus a month is the month's last day. */
export function afterInterval(fromMs: number, interval: number, unit: IntervalUnit): number {
  switch (unit) {
    case 'DAYS':
      return fromMs + interval * DAY_MS;
    case 'WEEKS':
      return fromMs + interval * 7 * DAY_MS;
    case 'MONTHS':
      return addMonths(fromMs, interval);
    case 'YEARS':
      return addMonths(fromMs, 12 * interval);
  }
}

function addMonths(fromMs: number, months: number): number {
  const from = new Date(fromMs);
  const first = new Date(Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + months, 1));
  const lastDay = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + 1, 0)).getUTCDate();
  return (
    first.getTime() +
    (Math.min(from.getUTCDate(), lastDay) - 1) * DAY_MS +
    (fromMs - Math.floor(fromMs / DAY_MS) * DAY_MS)
  );
}
