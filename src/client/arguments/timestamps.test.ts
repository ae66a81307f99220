import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WholeFloat } from '#client/whole-float.ts';
import { timestampOf } from './timestamps.ts';

test('a time may be written as ISO 8601, as in mail, in words, or as seconds since 1970', () => {
  const same = '2026-01-02T03:04:05Z';
  const written = [
    '2026-01-02T03:04:05Z',
    '2026-01-02 03:04:05',
    '20260102T030405Z',
    '2026-01-02T05:04:05+02:00',
    '2026-01-01T21:34:05-0530',
    'Fri, 02 Jan 2026 03:04:05 GMT',
    'Fri Jan  2 03:04:05 2026',
    '2 January 2026 03:04:05',
    'Jan 2, 2026 3:04:05 am',
    '1/2/2026 03:04:05 UTC',
    '1767323045',
    '1767323045.0',
  ];
  assert.deepEqual(
    written.map((text) => [text, timestampOf(text)]),
    written.map((text) => [text, same]),
  );
  assert.equal(timestampOf(1_767_323_045), same);
  assert.equal(timestampOf(new WholeFloat(1_767_323_045)), same);
});

test('a time has microseconds only where there are any', () => {
  assert.equal(timestampOf('2026-01-02T03:04:05.678+02:00'), '2026-01-02T01:04:05.678000Z');
  assert.equal(timestampOf(1_767_323_045.5), '2026-01-02T03:04:05.500000Z');
  assert.equal(timestampOf('1767323045.9999999'), '2026-01-02T03:04:06Z');
  assert.equal(timestampOf('-0.25'), '1969-12-31T23:59:59.750000Z');
});

test('what is no time is told from one', () => {
  const none = [
    '',
    'nonsense',
    '2026-13-01',
    '2026-02-30',
    '2026-01-02T25:00:00Z',
    '2026-01-02T03:60',
    '2026-01',
    'nan',
  ];
  const zones = ['2026-01-02T03:04:05+25:00', '2026-01-02T03:04:05 EST'];
  for (const text of [...none, ...zones]) assert.equal(timestampOf(text), null, text);
  for (const value of [null, true, [], {}]) assert.equal(timestampOf(value), null);
});
