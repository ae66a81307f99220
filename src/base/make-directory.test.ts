import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { makeDirectory } from './make-directory.ts';
import { scratchDirectory } from './scratch-directory.fixture.ts';

test('a directory is made with what is missing above it, for its owner only, and one that is there is left', async () => {
  const path = join(scratchDirectory('directory'), 'a', 'b');
  await Promise.all([makeDirectory(path), makeDirectory(path)]);
  await makeDirectory(path);
  assert.equal(statSync(path).mode & 0o777, 0o700);
});

test('what cannot be made is told at once, by name', async () => {
  const file = join(scratchDirectory('directory'), 'file');
  writeFileSync(file, '');
  await assert.rejects(makeDirectory(file), /file is no directory/);
  await assert.rejects(makeDirectory(join(file, 'x', 'y')), /file is no directory/);
  await assert.rejects(makeDirectory('/proc/x/y'), /the directory \/proc\/x cannot be made/);
});
