import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { generate } from './generate.ts';

const root = join(import.meta.dirname, '..', '..');

test('the models and their documentation in the repository are what the packages give, byte for byte', async () => {
  const files = await generate();
  assert(files.size === 24);
  for (const [path, text] of files) {
    // Not deepEqual: a difference of megabytes takes minutes to print.
    assert(readFileSync(join(root, path), 'utf8') === text, `${path} is stale: npm run model`);
  }
});
