import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AlarmRule, type AlarmState, evaluateAlarm, type MissingData } from './alarm.ts';
import { datapoints, type MetricPoint, pointOf, SLOT_MS, storedPoint } from './metric.ts';

const RULE: AlarmRule = {
  comparison: 'GreaterThanThreshold',
  threshold: 10,
  evaluationPeriods: 3,
  datapointsToAlarm: 2,
  missingData: 'missing',
};

test('an alarm goes off when enough of the last values are beyond its threshold', () => {
  const state = (values: readonly number[]): AlarmState => evaluateAlarm(RULE, 'OK', values);
  assert.equal(state([11, 9, 12]), 'ALARM');
  assert.equal(state([11, 9, 10]), 'OK');
  const atLeast: AlarmRule = { ...RULE, comparison: 'GreaterThanOrEqualToThreshold' };
  assert.equal(evaluateAlarm(atLeast, 'OK', [11, 9, 10]), 'ALARM');
  const less: AlarmRule = { ...RULE, comparison: 'LessThanThreshold' };
  assert.equal(evaluateAlarm(less, 'ALARM', [10, 10, 9]), 'OK');
  assert.equal(evaluateAlarm({ ...less, comparison: 'LessThanOrEqualToThreshold' }, 'OK', [10, 10, 11]), 'ALARM');
});

test('values that are missing count as the alarm says', () => {
  const cases: readonly [MissingData, AlarmState, readonly (number | null)[], AlarmState][] = [
    ['missing', 'OK', [null, null, null], 'INSUFFICIENT_DATA'],
    ['ignore', 'ALARM', [null, null, null], 'ALARM'],
    ['breaching', 'OK', [null, null, null], 'ALARM'],
    ['notBreaching', 'ALARM', [null, null, null], 'OK'],
    // Those that are there decide.
    ['missing', 'OK', [11, null, 12], 'ALARM'],
    ['missing', 'ALARM', [1, null, 2], 'OK'],
    // They do not.
    ['missing', 'ALARM', [11, null, 1], 'ALARM'],
    ['missing', 'INSUFFICIENT_DATA', [11, null, 1], 'INSUFFICIENT_DATA'],
    ['ignore', 'OK', [11, null, null], 'OK'],
    ['breaching', 'OK', [11, null, 1], 'ALARM'],
    ['notBreaching', 'ALARM', [11, null, 1], 'OK'],
  ];
  for (const [missingData, before, values, after] of cases) {
    const words = `${missingData} ${before} ${values.join()}`;
    assert.equal(evaluateAlarm({ ...RULE, missingData }, before, values), after, words);
  }
});

function point(index: number, some: Partial<MetricPoint> = {}): MetricPoint {
  const startMs = Date.parse('2026-11-21T23:50:00Z') + index * SLOT_MS;
  return { startMs, cpuPercent: index, receivedBytes: index * 100, sentBytes: null, isHeld: false, ...some };
}

test('a point is kept as it is, but for a hundredth of a per cent', () => {
  for (const one of [point(0, { cpuPercent: 12.34 }), point(1, { receivedBytes: null, sentBytes: 7, isHeld: true })]) {
    assert.deepEqual(pointOf('2026-11-21', storedPoint(one)), one);
  }
});

test('values are put together by periods; what nobody counted is not there', () => {
  // 23:50 to 00:10: two hours have a part of it.
  const points = [0, 1, 2, 3].map((index) => point(index));
  assert.deepEqual(datapoints(points, 'CPUUtilization', 3_600_000), [
    { startMs: Date.parse('2026-11-21T23:00:00Z'), count: 2, sum: 1, minimum: 0, maximum: 1 },
    { startMs: Date.parse('2026-11-22T00:00:00Z'), count: 2, sum: 5, minimum: 2, maximum: 3 },
  ]);
  // A period that is shorter than what was measured does not make more of it.
  assert.equal(datapoints(points, 'NetworkIn', 60_000).length, 4);
  assert.deepEqual(datapoints(points, 'NetworkOut', 300_000), []);
  const held = datapoints([point(0, { isHeld: true }), point(1)], 'StatusCheckFailed', 3_600_000);
  assert.deepEqual(
    held.map(({ sum, maximum }) => [sum, maximum]),
    [[1, 1]],
  );
  assert.equal(datapoints([point(0, { isHeld: true })], 'StatusCheckFailed_Instance', 300_000)[0]?.sum, 0);
});
