#!/usr/bin/env node
// The command `varve`: brings the packages on a fresh checkout, then runs src/cli.ts under Node 24.
import { join } from 'node:path';
import { useCompileCache } from './compile-cache.mjs';
import { ensureInstalled, root } from './install.mjs';
import { node24, runNode24 } from './node24.mjs';

const program = join(root, 'src', 'cli.ts');
ensureInstalled({ development: false });
useCompileCache();
if (node24() === process.execPath) {
  process.argv[1] = program;
  await import(program);
} else {
  process.exitCode = await runNode24([program, ...process.argv.slice(2)]);
}
