import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ClientError } from '#client/command.ts';
import { parseWords, type Arity, type ParserOption } from './option-parser.ts';

interface Case {
  readonly words: readonly string[];
  readonly values?: unknown;
  readonly rest?: readonly string[];
  readonly error?: string;
}

/** Random words, and what Python's argparse makes of them with the options below. */
const cases = JSON.parse(
  readFileSync(new URL('./option-parser.cases.json', import.meta.url), 'utf8'),
) as readonly Case[];

function option(name: string, arity: Arity, more: Partial<ParserOption> = {}): ParserOption {
  return { name, target: name.replace(/^--/, '').replaceAll('-', '_'), arity, required: false, ...more };
}

const OPTIONS = [
  option('--volume-id', 'one', { required: true }),
  option('--volume-size', 'one', { type: 'integer' }),
  option('--names', 'any'),
  option('--dry-run', 'flag', { constant: true }),
  option('--no-dry-run', 'flag', { constant: false, target: 'dry_run' }),
  option('--opt', 'optional', { constant: 'C' }),
  option('out', 'one', { required: true }),
  option('help', 'optional'),
];

test('words are shared out as argparse does', () => {
  for (const { words, values, rest, error } of cases) {
    const name = words.join(' ');
    if (error === undefined) {
      const parsed = parseWords(OPTIONS, words);
      assert.deepEqual({ values: Object.fromEntries(parsed.values), rest: parsed.rest }, { values, rest }, name);
    } else {
      assert.throws(
        () => parseWords(OPTIONS, words),
        (thrown) =>
          thrown instanceof ClientError && thrown.exitCode === 2 && thrown.message.endsWith(`: error: ${error}\n`),
        name,
      );
    }
  }
});

test('a wrong choice is told with what may have been meant', () => {
  const format = option('--output', 'one', { choices: ['json', 'text', 'table'] });
  assert.throws(() => parseWords([format], ['--output', 'jsn']), {
    message:
      /argument --output: Invalid choice, valid choices are:\n\njson {36} \| text {36}\ntable {35}\n\n\nInvalid choice: 'jsn', maybe you meant:\n\n {2}\* json\n$/,
  });
});

test('nothing is read, and nothing missed, after an option that ends the line', () => {
  const version = option('--version', 'flag', { constant: true, ends: true });
  const { values } = parseWords([...OPTIONS, version], ['--version', '--bogus', '--volume-size', 'x']);
  assert.deepEqual([...values], [['version', true]]);
});
