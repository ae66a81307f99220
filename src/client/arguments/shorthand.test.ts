import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseShorthand, ShorthandError } from './shorthand.ts';

interface Case {
  readonly text: string;
  readonly value?: unknown;
  /** How the message begins. */
  readonly error?: string;
}

/** Random texts, and what the AWS command line 1.45.11 reads in them. */
const cases = JSON.parse(readFileSync(new URL('./shorthand.cases.json', import.meta.url), 'utf8')) as readonly Case[];

const noFile = (): null => null;

test('shorthand is read, and refused, as the AWS command line does', () => {
  for (const { text, value, error } of cases) {
    if (error === undefined) assert.deepEqual(parseShorthand(text, noFile), value, text);
    else {
      assert.throws(
        () => parseShorthand(text, noFile),
        (thrown) => thrown instanceof ShorthandError && thrown.message.startsWith(error),
        text,
      );
    }
  }
});

test('only a value after @= is looked up in a file', () => {
  const read = (value: string): string => `<${value}>`;
  assert.deepEqual(parseShorthand('a@=x,b=y,c={d@=z},e@=[p,"q r"]', read), {
    a: '<x>',
    b: 'y',
    c: { d: '<z>' },
    e: ['<p>', '<q r>'],
  });
});

test('a key that JavaScript gives a meaning is a key', () => {
  const value = parseShorthand('__proto__=a,constructor=b', noFile);
  assert.deepEqual(Object.entries(value), [
    ['__proto__', 'a'],
    ['constructor', 'b'],
  ]);
});
