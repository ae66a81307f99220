import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AwsRefusal } from '#api/aws-error.ts';
import { FILTER_VALUES_MAX, FILTERS_MAX, parseFilters, type FilterRequest, type FilterTable } from './filters.ts';

interface Thing {
  readonly color: string;
  readonly sizes: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
}

const table: FilterTable<Thing> = {
  named: new Map<string, (thing: Thing) => readonly string[]>([
    ['color', (thing) => [thing.color]],
    ['size', (thing) => thing.sizes],
  ]),
  tags: (thing) => thing.tags,
};

const thing: Thing = { color: 'red', sizes: ['1', '8'], tags: { Owner: 'TeamA', empty: '' } };

function passes(...filters: readonly FilterRequest[]): boolean {
  return parseFilters(filters, table)(thing);
}

function refusal(code: string, message?: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof AwsRefusal);
    assert.equal(error.error.code, code);
    if (message !== undefined) assert.equal(error.error.message, message);
    return true;
  };
}

test('one of the values of a filter is enough, and every filter must pass', () => {
  assert.ok(passes());
  assert.ok(passes({ Name: 'color', Values: ['blue', 'r*'] }));
  assert.ok(!passes({ Name: 'color', Values: ['blue'] }));
  assert.ok(passes({ Name: 'color', Values: ['red'] }, { Name: 'size', Values: ['8'] }));
  assert.ok(!passes({ Name: 'color', Values: ['red'] }, { Name: 'size', Values: ['9'] }));
});

test('a tag filter takes its key from its name, letter case included', () => {
  assert.ok(passes({ Name: 'tag:Owner', Values: ['Team?'] }));
  assert.ok(!passes({ Name: 'tag:owner', Values: ['*'] }));
  assert.ok(passes({ Name: 'tag:empty', Values: [''] }));
  assert.ok(!passes({ Name: 'tag:absent', Values: ['*', ''] }));
});

test('a filter name never meets what every object has', () => {
  assert.throws(() => passes({ Name: 'constructor', Values: ['*'] }), refusal('InvalidParameterValue'));
  assert.ok(!passes({ Name: 'tag:constructor', Values: ['*'] }));
  assert.ok(!passes({ Name: 'tag:__proto__', Values: ['*'] }));
});

test('an unknown filter is refused in the words of EC2', () => {
  assert.throws(
    () => passes({ Name: 'colour', Values: ['red'] }),
    refusal('InvalidParameterValue', "The filter 'colour' is invalid"),
  );
  assert.throws(() => passes({ Name: 'Color', Values: ['red'] }), refusal('InvalidParameterValue'));
  assert.throws(() => passes({ Values: ['red'] }), refusal('InvalidParameterValue', "The filter 'null' is invalid"));
  assert.throws(() => passes({ Name: 'tag:', Values: ['red'] }), refusal('InvalidParameterValue'));
});

test('a filter without values lets nothing pass', () => {
  assert.ok(!passes({ Name: 'color' }));
  assert.ok(!passes({ Name: 'color', Values: [] }));
});

test('wildcards may not cost more than a moment for each text', () => {
  const dear = `*${'a?'.repeat(60)}b*`;
  const texts = { Name: 'color', Values: Array.from({ length: 30 }, (_, index) => `${dear}${index}`) };
  assert.ok(!passes(texts));
  const many = Array.from({ length: FILTERS_MAX }, () => texts);
  assert.throws(() => passes(...many), refusal('FilterLimitExceeded'));
});

test('too many filters and too many values are refused', () => {
  const filter = { Name: 'color', Values: ['red'] };
  assert.ok(passes(...Array.from({ length: FILTERS_MAX }, () => filter)));
  assert.throws(() => passes(...Array.from({ length: FILTERS_MAX + 1 }, () => filter)), refusal('FilterLimitExceeded'));
  const values = Array.from({ length: FILTER_VALUES_MAX }, () => 'red');
  assert.ok(passes({ Name: 'color', Values: values }));
  assert.throws(() => passes({ Name: 'color', Values: [...values, 'red'] }), refusal('FilterLimitExceeded'));
});
