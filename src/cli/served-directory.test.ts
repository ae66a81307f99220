import assert from 'node:assert/strict';
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { servedDirectory } from './served-directory.ts';

const scratch = scratchDirectory('served-directory');

test('a command means the server of this directory, or of the nearest above it; what is said wins', async () => {
  const [below, own] = [join(scratch, 'a', 'b'), join(scratch, 'a', '.varve')];
  await mkdir(below, { recursive: true });
  await mkdir(join(scratch, '.varve'));
  assert.equal(servedDirectory({}, below, {}), join(scratch, '.varve'));
  await mkdir(own);
  assert.equal(servedDirectory({}, below, {}), own);
  assert.equal(servedDirectory({}, join(scratch, 'a'), {}), own);
  const [x, y] = [join(scratch, 'x'), join(scratch, 'y')];
  assert.equal(servedDirectory({ data: x }, below, {}), x);
  assert.equal(servedDirectory({}, below, { VARVE_DATA: y }), y);
  assert.equal(servedDirectory({ data: x }, below, { VARVE_DATA: y }), x);
});

test("another user's directory is not taken for the server's, unless it is named", async (t) => {
  if (process.getuid?.() !== 0) return t.diagnostic('only root can give a directory away');
  const place = join(scratch, 'theirs');
  const theirs = join(place, '.varve');
  await mkdir(theirs, { recursive: true });
  assert.equal(servedDirectory({}, place, {}), theirs);
  await chown(theirs, 65_534, 65_534);
  assert.notEqual(servedDirectory({}, place, {}), theirs);
  assert.equal(servedDirectory({ data: theirs }, place, {}), theirs);
});
