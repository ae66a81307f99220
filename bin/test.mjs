// `npm test`: brings the packages and the real clients, checks types, style and format, then runs every test.
// Arguments are test files or globs; none: all. Plain JavaScript, see node24.mjs.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensureClients } from './clients.mjs';
import { useCompileCache } from './compile-cache.mjs';
import { ensureInstalled, root } from './install.mjs';
import { runNode24 } from './node24.mjs';

const SOURCES = ['src', 'test', 'scripts', 'bin'];

function step(name, command, args) {
  process.stderr.write(`— ${name}\n`);
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) {
    process.stderr.write(`${name}: failed\n`);
    process.exit(1);
  }
}

ensureInstalled({ development: true });
useCompileCache();
const missing = ensureClients({ ceph: true });
if (missing.length > 0) {
  const required = process.env.VARVE_REQUIRE_CLIENTS === '1';
  process.stderr.write(`tests that need ${missing.join(', ')} ${required ? 'will fail' : 'are skipped'}\n`);
}
const chosen = process.argv.slice(2);
if (chosen.length === 0) {
  const bin = (name) => join(root, 'node_modules', '.bin', name);
  step('types', bin('tsc'), ['--noEmit']);
  step('lint', bin('oxlint'), ['--type-aware', '--deny-warnings', ...SOURCES]);
  step('format', bin('oxfmt'), ['--check', ...SOURCES]);
}
process.stderr.write('— tests\n');
const files = chosen.length === 0 ? ['src/**/*.test.ts', 'test/**/*.test.ts', 'scripts/**/*.test.ts'] : chosen;
process.exitCode = await runNode24(['--test', '--test-concurrency=4', '--test-timeout=300000', ...files], {
  cwd: root,
});
