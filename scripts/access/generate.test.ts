import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { generateActions } from './generate.ts';

test('the table of actions in the repository is what the package gives, byte for byte', async () => {
  const path = join(import.meta.dirname, '..', '..', 'src', 'api', 'access', 'actions.json');
  assert(
    readFileSync(path, 'utf8') === (await generateActions()),
    'stale: node bin/node24.mjs scripts/access/build.ts',
  );
});
