import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ClientError, type Document } from '#client/command.ts';
import { applyQuery, compileQuery } from '#client/output/query.ts';

interface Suite {
  readonly given: Document;
  readonly cases: readonly {
    readonly expression: string;
    readonly result?: Document;
    readonly error?: string;
    /** Only to be timed. */
    readonly bench?: string;
  }[];
}

const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.json'));

test('the public compliance cases are all there', () => {
  const count = files
    .flatMap((name) => JSON.parse(readFileSync(join(import.meta.dirname, name), 'utf8')) as readonly Suite[])
    .reduce((sum, { cases }) => sum + cases.length, 0);
  assert.deepEqual([files.length, count], [16, 862]);
});

for (const name of files) {
  test(`expressions give what the compliance cases say: ${name}`, () => {
    const suites = JSON.parse(readFileSync(join(import.meta.dirname, name), 'utf8')) as readonly Suite[];
    for (const { given, cases } of suites) {
      for (const { expression, result, error, bench } of cases) {
        if (bench !== undefined) continue;
        if (error === undefined)
          assert.deepEqual(plain(applyQuery(compileQuery(expression), given)), result, expression);
        else assert.throws(() => applyQuery(compileQuery(expression), given), ClientError, expression);
      }
    }
  });
}

/** Without the difference between 5 and 5.0, which JSON does not know. */
function plain(document: Document): unknown {
  return JSON.parse(
    JSON.stringify(document, (_key, value: unknown) =>
      typeof value === 'object' && value !== null && 'value' in value && value.constructor !== Object
        ? value.value
        : typeof value === 'bigint'
          ? Number(value)
          : value,
    ),
  );
}
