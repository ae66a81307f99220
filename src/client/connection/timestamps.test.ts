/** What botocore 1.43 makes of the same values. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isoTimestamp, timestampText } from './timestamps.ts';

test('timestamps of requests', () => {
  for (const [value, dateTime, epoch, http] of [
    ['2024-01-02', '2024-01-02T00:00:00Z', '1704153600', 'Tue, 02 Jan 2024 00:00:00 GMT'],
    ['2024-01-02T03:04', '2024-01-02T03:04:00Z', '1704164640', 'Tue, 02 Jan 2024 03:04:00 GMT'],
    ['2024-01-02 03:04:05', '2024-01-02T03:04:05Z', '1704164645', 'Tue, 02 Jan 2024 03:04:05 GMT'],
    ['2024-01-02T03:04:05.5Z', '2024-01-02T03:04:05.500000Z', '1704164645', 'Tue, 02 Jan 2024 03:04:05 GMT'],
    ['2024-01-02T03:04:05+02:00', '2024-01-02T01:04:05Z', '1704157445', 'Tue, 02 Jan 2024 01:04:05 GMT'],
    [
      '2024-01-02T03:04:05.123456789-0130',
      '2024-01-02T04:34:05.123456Z',
      '1704170045',
      'Tue, 02 Jan 2024 04:34:05 GMT',
    ],
    ['1704164645', '2024-01-02T03:04:05Z', '1704164645', 'Tue, 02 Jan 2024 03:04:05 GMT'],
    ['1704164645.25', '2024-01-02T03:04:05.250000Z', '1704164645', 'Tue, 02 Jan 2024 03:04:05 GMT'],
    [1704164645.25, '2024-01-02T03:04:05.250000Z', '1704164645', 'Tue, 02 Jan 2024 03:04:05 GMT'],
    ['Tue, 02 Jan 2024 03:04:05 GMT', '2024-01-02T03:04:05Z', '1704164645', 'Tue, 02 Jan 2024 03:04:05 GMT'],
    ['20240102T030405Z', '2024-01-02T03:04:05Z', '1704164645', 'Tue, 02 Jan 2024 03:04:05 GMT'],
  ] as const) {
    assert.equal(timestampText(value, 'date-time'), dateTime);
    assert.equal(timestampText(value, 'epoch-seconds'), epoch);
    assert.equal(timestampText(value, 'http-date'), http);
  }
});

test('what is no timestamp is refused', () => {
  for (const value of ['nonsense', '2024-02-31', '2024-01-02T25:00:00Z', '']) {
    assert.throws(() => timestampText(value, 'date-time'), {
      message: `\nInvalid timestamp "${value}": Unknown string format: ${value}\n`,
      exitCode: 255,
    });
  }
});

test('timestamps of replies, when the settings ask for ISO 8601', () => {
  assert.equal(isoTimestamp(1569625129.739), '2019-09-27T22:58:49.739000+00:00');
  assert.equal(isoTimestamp(1569625129), '2019-09-27T22:58:49+00:00');
  assert.equal(isoTimestamp('2024-01-02T03:04:05.5Z'), '2024-01-02T03:04:05.500000+00:00');
  assert.equal(isoTimestamp(0.1), '1970-01-01T00:00:00.100000+00:00');
});
