import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
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
