import assert from 'node:assert/strict';
import { test } from 'node:test';
import { epochSeconds, formatDateTime, parseDateTime, parseHttpDate } from './timestamps.ts';

test('ISO 8601 is read with any fraction and zone', () => {
  for (const [text, expected] of [
    ['2026-11-20T14:16:14.935Z', '2026-11-20T14:16:14.935Z'],
    ['2026-11-20T14:16:14Z', '2026-11-20T14:16:14.000Z'],
    ['2026-11-20T14:16:14.9359999Z', '2026-11-20T14:16:14.935Z'],
    ['2026-11-20T14:16:14+02:30', '2026-11-20T11:46:14.000Z'],
    ['2026-11-20T14:16:14-0100', '2026-11-20T15:16:14.000Z'],
  ] as const) {
    const date = parseDateTime(text);
    assert(date !== null, text);
    assert.equal(formatDateTime(date), expected);
  }
});

test('what is no instant is none', () => {
  for (const text of [
    '',
    '2026-11-20',
    '2026-02-31T00:00:00Z',
    '2026-11-20T14:16:14',
    '2026-11-20T25:00:00Z',
    '1700000000',
  ]) {
    assert.equal(parseDateTime(text), null, text);
  }
  assert.equal(parseHttpDate('yesterday'), null);
  assert.equal(parseHttpDate('Sun, 06 Nov 1994 08:49:37 GMT')?.toISOString(), '1994-11-06T08:49:37.000Z');
});

test('seconds keep their milliseconds', () => {
  assert.equal(String(epochSeconds(new Date(1_569_625_129_739))), '1569625129.739');
});
