import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matches, parsePattern, TEXT_LENGTH_MAX } from './pattern.ts';

function fits(source: string, text: string): boolean {
  return matches(parsePattern(source), text);
}

test('a pattern without wildcards fits only itself, letter case included', () => {
  assert.ok(fits('prod', 'prod'));
  assert.ok(!fits('prod', 'Prod'));
  assert.ok(!fits('prod', 'production'));
  assert.ok(!fits('prod', 'preprod'));
  assert.ok(fits('', ''));
  assert.ok(!fits('', 'x'));
});

test('a star is any run of characters, also none', () => {
  assert.ok(fits('*', ''));
  assert.ok(fits('*', 'anything'));
  assert.ok(fits('pro*', 'pro'));
  assert.ok(fits('*2026-11-*Z', '2026-11-20T19:00:00.000Z'));
  assert.ok(!fits('ab*ba', 'aba'));
  assert.ok(fits('a*b*a*b', 'abab'));
  assert.ok(!fits('a*b*a*b', 'abba'));
});

test('a question mark is one character', () => {
  assert.ok(fits('us-east-1?', 'us-east-1a'));
  assert.ok(!fits('us-east-1?', 'us-east-1'));
  assert.ok(fits('*a?c*', 'xxabcxx'));
  assert.ok(!fits('*a?c', 'ac'));
});

test('a backslash takes the meaning of a wildcard away', () => {
  assert.ok(fits('\\*amazon\\?\\\\', '*amazon?\\'));
  assert.ok(!fits('\\*', 'x'));
  assert.ok(!fits('\\?', 'x'));
  assert.ok(fits('C:\\dir', 'C:\\dir'));
  assert.ok(fits('end\\', 'end\\'));
});

test('what a regular expression means is ordinary text', () => {
  assert.ok(fits('a.c', 'a.c'));
  assert.ok(!fits('a.c', 'abc'));
  assert.ok(fits('(x|y)+[z]$', '(x|y)+[z]$'));
});

test('a hostile pattern of a mebibyte costs milliseconds', () => {
  const long = 'a'.repeat(TEXT_LENGTH_MAX);
  const hostile = [
    `${'*a'.repeat(512 * 1024)}b`,
    `${'*'.repeat(1024 * 1024)}b`,
    `${'?'.repeat(1024 * 1024)}b`,
    `*${'a'.repeat(1024 * 1024)}b`,
    `${'*a'.repeat(TEXT_LENGTH_MAX / 2)}b`,
    `*${'a'.repeat(TEXT_LENGTH_MAX / 2)}b*`,
    `*${'a?'.repeat(TEXT_LENGTH_MAX / 4)}b*`,
  ];
  for (const pattern of hostile) {
    const startMs = performance.now();
    assert.ok(!fits(pattern, long));
    // Far above what it takes, far below what backtracking would.
    assert.ok(performance.now() - startMs < 5_000, `${pattern.slice(0, 8)}… is refused at once`);
  }
});

test('a pattern that needs more characters than any text has fits nothing', () => {
  assert.ok(fits('a'.repeat(TEXT_LENGTH_MAX), 'a'.repeat(TEXT_LENGTH_MAX)));
  assert.ok(!fits('a'.repeat(TEXT_LENGTH_MAX + 1), 'a'.repeat(TEXT_LENGTH_MAX + 1)));
});
