import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

/** docs/acceptance.md says the truth: every row and every code is there once, and in the files that it names. */

const ROOT = join(import.meta.dirname, '..', '..');
const ROWS = [
  ['G', 16],
  ['A', 32],
  ['B', 9],
  ['C', 36],
  ['D', 22],
  ['E', 33],
] as const;

async function text(path: string): Promise<string> {
  return await readFile(join(ROOT, path), 'utf8');
}

/** The cells of the table's lines, by what stands in the first. */
function linesOf(table: string): readonly (readonly string[])[] {
  return table
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (?:---|row|code) /.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split(' | ')
        .map((cell) => cell.trim()),
    );
}

function filesIn(cell: string): readonly string[] {
  return [...cell.matchAll(/`(test\/[^`]+)`/g)].map((match) => match[1] ?? '');
}

/** The rows in a title: they stand before its colon, as `A20 to A28, A30` or `C5 C6`. */
function rowsIn(title: string): ReadonlySet<string> {
  const [head = ''] = title.split(':');
  const rows = new Set(head.split(/[ ,]+/));
  for (const [, letter = '', from, to] of head.matchAll(/\b([A-G])(\d+) to \1(\d+)\b/g)) {
    for (let row = Number(from); row <= Number(to); row += 1) rows.add(`${letter}${row}`);
  }
  return rows;
}

test('every row of the acceptance table is proved where it says, or says why not', async () => {
  const [rows = ''] = (await text('docs/acceptance.md')).split('\n## ');
  const lines = linesOf(rows);
  const expected = ROWS.flatMap(([letter, count]) =>
    Array.from({ length: count }, (_, index) => `${letter}${index + 1}`),
  );
  assert.deepEqual(
    lines.map(([row]) => row),
    expected,
  );
  for (const [row = '', , where = ''] of lines) {
    const files = filesIn(where);
    if (files.length === 0) assert.match(where, /^open: .+/, `${row} names no test and no reason`);
    for (const file of files) {
      const titles = [...(await text(file)).matchAll(/\btest\(\s*(['"`])(.*?)\1,/g)].map((match) => match[2] ?? '');
      const isThere = titles.some((title) => rowsIn(title).has(row));
      // A file that is named beside another proves a part of the row, and says so in its own words.
      const isFirst = file === files[0];
      assert.ok(isThere || !isFirst, `no test of ${file} has ${row} in its title`);
    }
  }
});

test('every code of EC2 that the server knows is provoked where the table says', async () => {
  const [, codes = ''] = (await text('docs/acceptance.md')).split('\n## ');
  const lines = linesOf(codes);
  const named = lines.map(([code = '']) => code.replaceAll('`', ''));
  for (const [index, [, where = '']] of lines.entries()) {
    const [file] = filesIn(where);
    assert.ok(file !== undefined);
    const code = named[index] ?? '';
    assert.ok((await text(file)).includes(code), `${file} does not have ${code}`);
  }
  assert.deepEqual(named, named.toSorted(), 'in the order of the alphabet, each once');
  const source = await text('src/api/ec2/errors.ts');
  const known = [...source.matchAll(/(?:clientError\(\s*|: |code: )'([A-Z][A-Za-z]+(?:\.[A-Za-z]+)?)'/g)].map(
    (match) => match[1] ?? '',
  );
  assert.ok(known.length > 30);
  assert.deepEqual(
    [...new Set(known)].filter((code) => !named.includes(code)),
    [],
  );
});
