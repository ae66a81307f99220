/** What `varve ssh` makes of the server's answer and of ssh's, with a program in the place of ssh and no machine. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { writeServerFile } from '#src/cli/server-file.ts';

import { run, type RunResult } from '../run.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const directory = scratchDirectory('cli-ssh');
const dataDirectory = join(directory, 'data');
const adminSocket = join(directory, 'admin.sock');
const [lightsail, ec2] = ['i-0123456789abcdef0', 'i-0fedcba9876543210'];

/** Answers for two instances, as the server does. */
const server = createServer((request, response) => {
  const url = new URL(request.url ?? '', 'http://server');
  const id = url.searchParams.get('name') === 'made-by-ec2' || url.searchParams.get('name') === ec2 ? ec2 : lightsail;
  const where = { id, account: '123456789012', region: 'us-east-1' };
  const access = { ...where, address: '127.0.0.1', port: 22_000, userName: 'admin', privateKey: 'the default key' };
  const resource = {
    ...{ ...where, kind: 'instance', face: id === ec2 ? 'ec2' : 'lightsail', name: null, state: 'running', zone: null },
    ...{
      outpost: null,
      autoDate: null,
      sourceName: null,
      instanceSnapshot: null,
      sizeBytes: null,
      bundle: null,
      parts: [],
    },
  };
  response.end(JSON.stringify(url.pathname === '/ssh' ? access : resource));
});

before(async () => {
  mkdirSync(join(directory, 'bin'));
  mkdirSync(dataDirectory);
  const program = join(directory, 'bin', 'ssh');
  // The last of its words is what the "instance" ends with.
  writeFileSync(program, '#!/bin/sh\necho "$@"\nfor code; do :; done\nexit "$code"\n');
  chmodSync(program, 0o755);
  await writeServerFile(dataDirectory, {
    endpoint: 'http://127.0.0.1:1',
    region: 'us-east-1',
    processId: 1,
    adminSocket,
  });
  await new Promise<void>((resolve) => void server.listen(adminSocket, resolve));
});
after(() => void server.close());

async function ssh(...words: readonly string[]): Promise<RunResult> {
  const args = [join(ROOT, 'src', 'cli.ts'), 'ssh', '--data', dataDirectory, ...words];
  return await run(process.execPath, args, {
    env: { PATH: `${join(directory, 'bin')}:${process.env['PATH'] ?? ''}` },
  });
}

test('the exit code is that of what was performed', async () => {
  for (const code of [0, 7]) {
    const result = await ssh('web', '--', 'exit', String(code));
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stdout, new RegExp(`HostKeyAlias=${lightsail} .* admin@127.0.0.1 exit ${code}`));
    assert.equal(result.stderr, '');
  }
});

test('the key is the default one of the account, unless another is said', async () => {
  const { stdout } = await ssh('web', '--', '0');
  const path = /-i (\S+)/.exec(stdout)?.[1] ?? '';
  assert.equal(readFileSync(path, 'utf8'), 'the default key');
  assert.match((await ssh('web', '--key', '/keys/mine.pem', '--', '0')).stdout, /-i \/keys\/mine\.pem /);
});

test('who is not let into an instance of EC2 is told which key it is', async () => {
  const refused = await ssh('made-by-ec2', '--', '255');
  assert.equal(refused.code, 255);
  assert.match(refused.stderr, /^varve: .* --key FILE$/m);
  assert.equal((await ssh('web', '--', '255')).stderr, '', 'Lightsail has the default key in all of them');
  assert.equal((await ssh('made-by-ec2', '--key', 'mine.pem', '--', '255')).stderr, '', 'the key was said');
});
