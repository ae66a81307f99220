import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import type { Surroundings } from '#client/command.ts';
import { showPaged } from './pager.ts';

const directory = scratchDirectory('pager');

function around(
  environment: Surroundings['environment'],
  isTTY: boolean,
): Surroundings & { readonly shown: () => string } {
  const chunks: Buffer[] = [];
  const stdout = new Writable({
    write: (chunk: Buffer, _, done) => {
      chunks.push(chunk);
      done();
    },
  });
  return {
    environment: { PATH: process.env['PATH'], ...environment },
    home: '/nonexistent',
    stdout: Object.assign(stdout, { isTTY }),
    stderr: new PassThrough(),
    localServer: async () => null,
    shown: () => Buffer.concat(chunks).toString(),
  };
}

test('on a terminal the pager of AWS tools is asked before the common one', async () => {
  const [own, common] = [join(directory, 'own'), join(directory, 'common')];
  const surroundings = around({ AWS_PAGER: `cat > ${own}`, PAGER: `cat > ${common}` }, true);
  await showPaged('a long text\n', surroundings);
  assert.equal(readFileSync(own, 'utf8'), 'a long text\n');
  assert(!existsSync(common));
  assert.equal(surroundings.shown(), '');
  await showPaged('another\n', around({ PAGER: `cat > ${common}` }, true));
  assert.equal(readFileSync(common, 'utf8'), 'another\n');
});

test('a reader who leaves the pager early ends the command in order', async () => {
  await showPaged('line\n'.repeat(100_000), around({ PAGER: 'true' }, true));
});

test('elsewhere, without a pager, and with one that there is not, the text is written', async () => {
  for (const [environment, isTTY] of [
    [{ PAGER: 'false' }, false],
    [{ AWS_PAGER: '' }, true],
    [{ PAGER: '/nonexistent/pager 2> /dev/null' }, true],
  ] as const) {
    const surroundings = around(environment, isTTY);
    await showPaged('text\n', surroundings);
    assert.equal(surroundings.shown(), 'text\n');
  }
});

test('a reader who wants the beginning only breaks nothing', async () => {
  const module = join(import.meta.dirname, 'pager.ts');
  const program = `
    const { showPaged } = await import(${JSON.stringify(module)});
    await showPaged('line\\n'.repeat(200_000), { environment: {}, stdout: process.stdout });
    process.stderr.write('ended');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.once('data', () => child.stdout.destroy());
  const errors: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.deepEqual({ code, errors: Buffer.concat(errors).toString() }, { code: 0, errors: 'ended' });
});
