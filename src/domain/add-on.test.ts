import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { autoSnapshotDue, autoSnapshotsDoomed, dateOf, nextAutoSnapshotMs, parseHour, timeOfDay } from './add-on.ts';
import { DomainError } from './errors.ts';
import { newInstanceId } from './ids.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const noon = Date.UTC(2026, 10, 21, 12, 0, 0);

test('the time of day is a whole hour', () => {
  assert.equal(parseHour('06:00'), 6);
  assert.equal(parseHour('23:00'), 23);
  assert.equal(timeOfDay(6), '06:00');
  for (const text of ['6:00', '06:30', '24:00', '06:00:00', '', 'noon']) {
    assert.throws(() => parseHour(text), DomainError, text);
  }
});

test('one snapshot a day, within 45 minutes of the hour, whatever the resource', () => {
  const random = new SeededRandom(1);
  const minutes = new Set<number>();
  for (let n = 0; n < 40; n += 1) {
    const id = newInstanceId(random);
    const made: string[] = [];
    for (let at = noon; at < noon + 72 * HOUR_MS; at += MINUTE_MS) {
      const date = autoSnapshotDue({ hour: 6, enabledAtMs: noon, lastDate: made.at(-1) ?? null }, id, at);
      if (date === null) continue;
      assert.equal(date, dateOf(at));
      const minute = (at - Math.floor(at / (24 * HOUR_MS)) * 24 * HOUR_MS) / MINUTE_MS - 6 * 60;
      assert.ok(minute >= 0 && minute < 45, `${minute} minutes after the hour`);
      minutes.add(minute);
      made.push(date);
    }
    assert.deepEqual(made, ['2026-11-22', '2026-11-23', '2026-11-24']);
  }
  assert.ok(minutes.size > 15, 'they are spread over the window');
});

test('who enables it after the hour waits for the next day; what was missed is made up for once', () => {
  const id = newInstanceId(new SeededRandom(2));
  const addOn = { hour: 6, enabledAtMs: noon, lastDate: null };
  assert.equal(autoSnapshotDue(addOn, id, noon + HOUR_MS), null);
  // The server was away for three days, and is back before the hour.
  const back = noon + 3 * 24 * HOUR_MS - 8 * HOUR_MS;
  assert.equal(autoSnapshotDue(addOn, id, back), '2026-11-23');
  assert.equal(autoSnapshotDue({ ...addOn, lastDate: '2026-11-23' }, id, back), null);
  assert.equal(new Date(nextAutoSnapshotMs(addOn, id, noon)).toISOString(), '2026-11-22T06:00:00.000Z');
});

test('a day, or an hour of enabling, that a clock wrote down which was ahead keeps no snapshot from being made', () => {
  const id = newInstanceId(new SeededRandom(3));
  const ahead = noon + 30 * 24 * HOUR_MS;
  const addOn = { hour: 6, enabledAtMs: noon - 48 * HOUR_MS, lastDate: dateOf(ahead) };
  assert.equal(autoSnapshotDue(addOn, id, noon), '2026-11-21');
  assert.equal(autoSnapshotDue({ ...addOn, lastDate: '2026-11-21' }, id, noon), null);
  assert.equal(autoSnapshotDue({ ...addOn, enabledAtMs: ahead, lastDate: null }, id, noon), '2026-11-21');
});

test('the last seven stay, and what failed pushes out none that can be restored', () => {
  const of = (...states: ('pending' | 'available' | 'error')[]) => states.map((state, at) => ({ state, at }));
  const doomed = (all: ReturnType<typeof of>): readonly number[] => autoSnapshotsDoomed(all).map(({ at }) => at);
  const seven = Array.from({ length: 7 }, () => 'available' as const);
  assert.deepEqual(doomed(of(...seven)), []);
  assert.deepEqual(doomed(of('pending', ...seven)), [7]);
  assert.deepEqual(doomed(of('error', 'error', 'pending', ...seven)), [9]);
  assert.deepEqual(doomed(of(...seven.map(() => 'error' as const), 'error', ...seven)), [7]);
});
