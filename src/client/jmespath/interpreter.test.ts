/**
 * Expressions and what the AWS command line 1.45.11 prints for them, or its words of refusal: interpreter.cases.json holds
 * them as it gave them, which is with jmespath.py 1.1.0. First those for each part of the specification, then random ones.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ClientError } from '#client/command.ts';
import { applyQuery, compileQuery } from '#client/output/query.ts';
import { parseDocument } from '#client/whole-float.ts';
import { jsonOf } from '#client/output/printed.fixture.ts';

interface Group {
  readonly document: string;
  readonly cases: readonly { readonly query: string; readonly prints?: string; readonly error?: string }[];
}

const groups = JSON.parse(
  readFileSync(new URL('./interpreter.cases.json', import.meta.url), 'utf8'),
) as readonly Group[];

async function outcome(
  query: string,
  document: string,
): Promise<{ readonly prints?: string; readonly error?: string }> {
  try {
    return { prints: await jsonOf(applyQuery(compileQuery(query), parseDocument(document))) };
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    assert.equal(error.exitCode, 255);
    return { error: error.message };
  }
}

test('every expression gives what the AWS command line prints', async () => {
  for (const { document, cases } of groups) {
    for (const { query, ...expected } of cases) {
      assert.deepEqual(await outcome(query, document), expected, query);
    }
  }
});

test('a long list is filtered and sorted in linear steps', async () => {
  const things = Array.from({ length: 50_000 }, (_, index) => ({ id: `snap-${index}`, size: (index * 7919) % 50_000 }));
  const document = { things };
  const sorted = applyQuery(compileQuery('sort_by(things[?size>`10`], &size)[-1].size'), document);
  assert.equal(sorted, 49_999);
  assert.equal(applyQuery(compileQuery('length(things[].[id, size][])'), document), 100_000);
});

test('an expression that nests too deeply is refused, not a crash', () => {
  assert.throws(() => compileQuery('['.repeat(100_000)), ClientError);
  assert.throws(() => compileQuery('!'.repeat(100_000)), ClientError);
});

test('a member named like a part of every object is a member only where the document has it', async () => {
  assert.deepEqual(await outcome('[constructor, toString, __proto__]', '{}'), {
    prints: '[\n    null,\n    null,\n    null\n]\n',
  });
  assert.deepEqual(await outcome('{__proto__: a}', '{"a": 1}'), { prints: '{\n    "__proto__": 1\n}\n' });
});
