import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError, readConfig } from '#src/config.ts';
import { requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

test('--nbd-tcp takes a port, of this machine unless another address is given', () => {
  const cases = [
    ['10809', { host: '127.0.0.1', port: 10_809 }],
    ['0', { host: '127.0.0.1', port: 0 }],
    ['0.0.0.0:1', { host: '0.0.0.0', port: 1 }],
    ['disks.example.org:10809', { host: 'disks.example.org', port: 10_809 }],
    ['[::1]:10809', { host: '::1', port: 10_809 }],
  ] as const;
  for (const [nbdTcp, expected] of cases) assert.deepEqual(readConfig({ nbdTcp }, {}).nbdTcp, expected);
  assert.equal(readConfig({}, {}).nbdTcp, null);
  assert.deepEqual(readConfig({}, { VARVE_NBD_TCP: '7' }).nbdTcp, { host: '127.0.0.1', port: 7 });
  for (const nbdTcp of [':', 'a:b', '::1:5', '70000', '-1', 'host:', 'a b:1', '[::1]', '1:2:3']) {
    assert.throws(() => readConfig({ nbdTcp }, {}), ConfigError, nbdTcp);
  }
});

test('the first example that connect --tcp prints looks and writes nothing; the last writes, and says so', async (t) => {
  if (!requireTools(t, ['aws', 'nbdinfo', 'nbdcopy'])) return;
  await using server = await RunningServer.start({ args: ['--nbd-tcp', '0'] });
  const zone = ['--availability-zone', 'us-east-1a', '--size', '1'];
  const { VolumeId: id } = await server.awsJson<{ readonly VolumeId: string }>(['ec2', 'create-volume', ...zone]);
  const granted = await server.varve(['connect', id, '--tcp']);
  assert.equal(granted.code, 0, granted.stderr);
  const examples = granted.stderr.split('\n').filter((line) => /^ {2}nbd/.test(line));
  assert.match(examples[0] ?? '', /^ {2}nbdinfo "nbds:/);
  assert.match(examples[1] ?? '', /^ {2}nbdcopy "nbds:\S+" disk\.img {2}# read/);
  assert.match(examples[2] ?? '', /^ {2}nbdcopy disk\.img "nbds:\S+" {2}# write: replaces/);
  assert.equal(examples.length, 3);
  assert.match((await runOk('sh', ['-c', examples[0] ?? ''])).stdout, /export-size: 1073741824/);
  const place = join(server.dataDirectory, 'copied');
  const copy = await run('sh', ['-c', `mkdir ${place} && cd ${place} && ${examples[1] ?? ''}\nstat -c %s disk.img`]);
  assert.equal(copy.stdout.trim(), String(1024 ** 3), copy.stderr);
});
