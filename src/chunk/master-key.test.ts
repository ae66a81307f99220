import assert from 'node:assert/strict';
import { chmod, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { loadMasterKey } from './master-key.ts';

const directory = scratchDirectory('key');

test('a master key is made once, for its owner only', async () => {
  const path = join(directory, 'made');
  const key = await loadMasterKey(path, systemRandom);
  assert.equal(key.length, 32);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await loadMasterKey(path, systemRandom), key);
});

test('a master key that others may read, or of a wrong length, is refused', async () => {
  const path = join(directory, 'open');
  await loadMasterKey(path, systemRandom);
  await chmod(path, 0o640);
  await assert.rejects(loadMasterKey(path, systemRandom), /owner only/);
  const short = join(directory, 'short');
  await writeFile(short, 'short', { mode: 0o600 });
  await assert.rejects(loadMasterKey(short, systemRandom), /5 bytes/);
});
