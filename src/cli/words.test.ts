import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConfigError } from '#src/config.ts';

import { nearest } from './nearest.ts';
import { Words } from './words.ts';

const OPTIONS = { data: { type: 'string' }, format: { type: 'string' }, json: { type: 'boolean' } } as const;

function refusal(...words: readonly string[]): string {
  try {
    new Words('export', words, OPTIONS).take('which?');
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message;
  }
  return 'taken';
}

test('options and words are told apart, whatever their order', () => {
  const words = new Words('export', ['a', '--json', '--data=x y', '-', '--', '--b'], OPTIONS);
  assert.deepEqual(words.positionals, ['a', '-', '--b']);
  assert.equal(words.flag('json'), true);
  assert.equal(words.text('data'), 'x y');
  assert.equal(words.text('format'), undefined);
  assert.equal(new Words('export', ['--data', '-'], OPTIONS).text('data'), '-');
  assert.equal(new Words('export', ['--data=--odd'], OPTIONS).text('data'), '--odd');
});

test('a wrong command line is told in words of ours, with what may have been meant', () => {
  assert.equal(refusal('a', '--fromat', 'raw'), 'export: there is no option --fromat; is --format meant?');
  assert.equal(refusal('a', '--form', 'raw'), 'export: there is no option --form; is --format meant?');
  assert.equal(refusal('a', '--zzzzzz'), 'export: there is no option --zzzzzz');
  assert.equal(refusal('a', '-x'), 'export: there is no option -x');
  assert.equal(refusal('a', '--toString'), 'export: there is no option --toString');
  assert.equal(refusal('a', '--data'), 'export: --data: its value is missing');
  assert.equal(refusal('a', '--data', '--json'), 'export: --data: its value is missing');
  assert.equal(refusal('a', '--json=1'), 'export: --json takes no value');
  assert.equal(refusal('a', '--data', 'x', '--data', 'y'), 'export: --data is given twice: "x" and "y"');
  assert.equal(refusal('a', '--data', 'x', '--data', 'x'), 'taken');
  assert.equal(refusal(), 'export: which?');
});

test('the nearest of the known words is suggested, and nothing that is far', () => {
  const known = ['serve', 'snapshots', 'volumes', 'verify'];
  assert.equal(nearest('snapshot', known), 'snapshots');
  assert.equal(nearest('serv', known), 'serve');
  assert.equal(nearest('evrify', known), 'verify');
  assert.equal(nearest('josn', ['data', 'json']), 'json');
  assert.equal(nearest('vol', known), 'volumes');
  assert.equal(nearest('nonsense', known), null);
  assert.equal(nearest('', known), null);
  assert.equal(nearest('x', known), null);
});
