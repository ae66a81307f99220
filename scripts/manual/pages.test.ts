import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { MANUAL, manualPages } from './pages.ts';

test('the manual has a page of each command, with what its help prints (npm run manual)', async () => {
  const pages = await manualPages();
  for (const [file, text] of pages) assert.equal(await readFile(join(MANUAL, file), 'utf8'), text, file);
  assert.deepEqual((await readdir(MANUAL)).toSorted(), [...pages.keys()].toSorted());
});
