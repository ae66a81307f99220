import assert from 'node:assert/strict';
import { test } from 'node:test';

import { printable, tableLines } from './table.ts';

test('columns are as wide as they must be, numbers to the right, nothing behind the last', () => {
  const rows = [
    { name: 'a', bytes: 5 },
    { name: 'longer', bytes: 12_345 },
  ];
  const lines = tableLines(
    [
      { heading: 'NAME', cell: (row: (typeof rows)[number]) => row.name },
      { heading: 'SIZE', cell: ({ bytes }) => String(bytes), isNumber: true },
      { heading: 'MORE', cell: () => '' },
    ],
    rows,
  );
  assert.deepEqual(lines, ['NAME     SIZE  MORE', 'a           5', 'longer  12345']);
  assert.deepEqual(tableLines([{ heading: 'X', cell: () => '' }], []), ['X']);
});

test('what users wrote does not steer a terminal', () => {
  assert.equal(printable('a\u001B[2Jb\u202Ec\n'), 'a\uFFFD[2Jb\uFFFDc\uFFFD');
  assert.equal(printable('Prüfung – 磁盘'), 'Prüfung – 磁盘');
});
