import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastCronMs, parseCron } from './cron.ts';
import type { LifecyclePolicy, Schedule } from './policy.ts';
import { afterInterval, dueMs } from './schedule.ts';

const at = (text: string): number => Date.parse(`${text}Z`);
const shown = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString().slice(0, 16));

/** The latest time of the expression up to `until`, looking back ten years. */
function last(expression: string, until: string): string | null {
  const cron = parseCron(expression);
  assert.ok(cron !== null, expression);
  return shown(lastCronMs(cron, at(until) - 3650 * 86_400_000, at(until)));
}

test('cron expressions: the last time up to another', () => {
  // 2026-11-21 is a Saturday.
  assert.equal(last('cron(30 9 * * ? *)', '2026-11-21T09:30'), '2026-11-21T09:30');
  assert.equal(last('cron(30 9 * * ? *)', '2026-11-21T09:29'), '2026-11-20T09:30');
  assert.equal(last('cron(0 18 ? * MON-FRI *)', '2026-11-22T12:00'), '2026-11-20T18:00');
  assert.equal(last('cron(0 0 ? * 7 *)', '2026-11-25T12:00'), '2026-11-21T00:00');
  assert.equal(last('cron(0 8 1 * ? *)', '2026-11-21T00:00'), '2026-11-01T08:00');
  assert.equal(last('cron(0 8 L * ? *)', '2026-03-05T00:00'), '2026-02-28T08:00');
  assert.equal(last('cron(0 8 L 2 ? *)', '2026-01-05T00:00'), '2025-02-28T08:00');
  assert.equal(last('cron(0 8 ? * 6L *)', '2026-11-21T00:00'), '2026-10-30T08:00');
  assert.equal(last('cron(0 8 ? * TUE#2 *)', '2026-11-21T00:00'), '2026-11-10T08:00');
  assert.equal(last('cron(0 8 15W * ? *)', '2026-11-21T00:00'), '2026-11-16T08:00', 'the 15th is a Sunday');
  assert.equal(last('cron(0 8 1W * ? *)', '2026-08-21T00:00'), '2026-08-03T08:00', 'the 1st is a Saturday');
  assert.equal(last('cron(15 2/6 * * ? *)', '2026-11-21T15:00'), '2026-11-21T14:15');
  assert.equal(last('cron(0 12 * JAN,JUL ? *)', '2026-11-21T00:00'), '2026-07-31T12:00');
  assert.equal(last('cron(0 12 29 2 ? *)', '2026-11-21T00:00'), '2024-02-29T12:00');
  assert.equal(last('cron(0 12 1 1 ? 2025)', '2026-11-21T00:00'), '2025-01-01T12:00');
  assert.equal(last('cron(0 12 1 1 ? 2030)', '2026-11-21T00:00'), null);
});

test('what is no cron expression is not read as one', () => {
  for (const text of [
    '* * * * ? *',
    'cron(* * * * *)',
    'cron(0 0 * * * *)',
    'cron(0 0 ? * ? *)',
    'cron(60 0 * * ? *)',
    'cron(0 24 * * ? *)',
    'cron(0 0 0 * ? *)',
    'cron(0 0 32 * ? *)',
    'cron(0 0 * 13 ? *)',
    'cron(0 0 ? * 8 *)',
    'cron(0 0 ? * MON#6 *)',
    'cron(0 0 40W * ? *)',
    'cron(5-1 0 * * ? *)',
    'cron(0/0 0 * * ? *)',
    'cron(1-2-3 0 * * ? *)',
    'cron(0 0 * FOO ? *)',
    'cron(0 0 * * ? 1969)',
  ]) {
    assert.equal(parseCron(text), null, text);
  }
});

test('a schedule is due at its times, once, and the latest of those missed', () => {
  const policy: LifecyclePolicy = {
    id: 'policy-0123456789abcdef0',
    description: '',
    state: 'ENABLED',
    trouble: null,
    roleArn: '',
    details: {},
    tags: {},
    createdAtMs: at('2026-01-01T10:20'),
    modifiedAtMs: 0,
    doneMs: [],
  };
  const due = (schedule: Schedule, after: string, now: string): string | null =>
    shown(dueMs(policy, schedule, at(after), at(now)));
  const six: Schedule = { createRule: { interval: 6, intervalUnit: 'HOURS', times: ['01:30'] } };
  assert.equal(due(six, '2026-01-02T00:00', '2026-01-02T01:29'), null);
  assert.equal(due(six, '2026-01-02T00:00', '2026-01-02T01:30'), '2026-01-02T01:30');
  assert.equal(due(six, '2026-01-02T01:30', '2026-01-02T07:29'), null);
  assert.equal(due(six, '2026-01-02T01:30', '2026-01-05T20:00'), '2026-01-05T19:30', 'missed ones are not made up for');
  assert.equal(due({ createRule: { interval: 24 } }, '2026-01-02T00:00', '2026-01-02T12:00'), '2026-01-02T09:00');
  assert.equal(due({}, '2026-01-01T10:20', '2026-01-03T00:00'), '2026-01-02T10:20', 'a default policy');
});

test('an age in months is the calendar’s', () => {
  const age = (from: string, interval: number, unit: 'DAYS' | 'WEEKS' | 'MONTHS' | 'YEARS') =>
    shown(afterInterval(at(from), interval, unit));
  assert.equal(age('2026-01-31T05:00', 1, 'MONTHS'), '2026-02-28T05:00');
  assert.equal(age('2024-02-29T05:00', 1, 'YEARS'), '2025-02-28T05:00');
  assert.equal(age('2026-11-21T05:00', 2, 'MONTHS'), '2027-01-21T05:00');
  assert.equal(age('2026-11-21T05:00', 2, 'WEEKS'), '2026-12-05T05:00');
  assert.equal(age('2026-11-21T05:00', 3, 'DAYS'), '2026-11-24T05:00');
});
