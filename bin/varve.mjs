#!/usr/bin/env node
// The command `varve`: brings the packages on a fresh checkout, then runs the command line under Node 24.
import { useCompileCache } from './compile-cache.mjs';
import { ensureInstalled } from './install.mjs';
import { node24, runNode24 } from './node24.mjs';
import { programPath } from './program.mjs';

const program = programPath('cli');
ensureInstalled({ development: false });
useCompileCache();
if (node24() === process.execPath) {
  process.argv[1] = program;
  await import(program);
} else {
  process.exitCode = await runNode24([program, ...process.argv.slice(2)]);
}
