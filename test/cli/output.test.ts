/** What becomes of a command whose standard output cannot be written, and what a wrong line says; no server is needed. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { run } from '../run.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
/** bash's `$1 $2 …` is the command. */
const COMMAND = [process.execPath, CLI];

test('a full disk below standard output is told in a sentence, and is a failure', async () => {
  const result = await run('bash', ['-c', '"$@" > /dev/full', 'bash', ...COMMAND, 'help']);
  assert.equal(result.code, 1);
  assert.equal(result.stderr, 'varve: standard output cannot be written: the disk is full (ENOSPC)\n');
});

test('a reader that wants the beginning only ends a list without a word', async () => {
  // The reader is gone before anything is written.
  const gone = 'set -o pipefail; { sleep 0.3; "$@"; } | exec 0<&-';
  const result = await run('bash', ['-c', gone, 'bash', ...COMMAND, 'version']);
  assert.deepEqual([result.code, result.stderr], [0, '']);
});

test('a wrong line is answered with where its command is described', async () => {
  const wrong = await run(process.execPath, [CLI, 'ls']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /^varve: ls: .*\nSee "varve help ls"\.\n$/);
  const unknown = await run(process.execPath, [CLI, 'lss']);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /; is "ls" meant\?\nSee "varve help"\.\n$/);
});
