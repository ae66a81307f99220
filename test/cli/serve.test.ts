import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
const LAUNCHER = join(import.meta.dirname, '..', '..', 'bin', 'varve.mjs');

async function varve(...words: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return await run(process.execPath, [CLI, ...words]);
}

async function withDirectory(body: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'varve-cli-'));
  try {
    await body(path);
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

test('a server says where it is, and keeps its secrets to its owner', async () => {
  await using server = await RunningServer.start();
  assert.equal((await stat(join(server.dataDirectory, 'credentials'))).mode & 0o777, 0o600);
  assert.equal((await stat(join(server.dataDirectory, 'master.key'))).mode & 0o777, 0o600);
  assert.equal((await stat(join(server.dataDirectory, 'meta.db'))).mode & 0o777, 0o600);
  const health = await fetch(`${server.endpoint}/healthz`);
  assert.equal(health.status, 200);
  const logged = JSON.stringify(server.log);
  assert.ok(!logged.includes(server.credentials.secretAccessKey), 'no secret in the log');
});

test('eval "$(varve env)" is all that plain aws needs', async (t) => {
  if (!requireTools(t, ['aws', 'sh'])) return;
  await using server = await RunningServer.start();
  // Every aws on the path: Debian's is older than the endpoint variable.
  const found = await run('sh', [
    '-c',
    'for d in $(echo "$PATH" | tr : " "); do [ -x "$d/aws" ] && echo "$d"; done; true',
  ]);
  const directories = [...new Set(found.stdout.trim().split('\n'))];
  for (const directory of directories) {
    const script = 'eval "$("$1" "$2" env --data "$3")" && aws sts get-caller-identity --output json';
    const result = await run('sh', ['-c', script, 'sh', process.execPath, CLI, server.dataDirectory], {
      env: { PATH: `${directory}:${process.env['PATH'] ?? ''}`, HOME: server.dataDirectory, AWS_PAGER: '' },
    });
    assert.equal(result.code, 0, `${directory}: ${result.stderr}`);
    assert.equal((JSON.parse(result.stdout) as { readonly Account: string }).Account, server.credentials.accountId);
  }
});

test('connect answers a volume, a disk and a snapshot by id and by name, and refuses what is not there', async (t) => {
  if (!requireTools(t, ['aws', 'nbdinfo'])) return;
  await using server = await RunningServer.start();
  const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
  await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...zone]);
  await server.awsJson([
    'lightsail',
    'create-disk-snapshot',
    '--disk-name',
    'disk-1',
    '--disk-snapshot-name',
    'shot-1',
  ]);
  const byName = await server.uri('disk-1');
  const id = /^nbd\+unix:\/\/\/(vol-[0-9a-f]{17})\?socket=/.exec(byName)?.[1];
  assert.ok(id !== undefined, byName);
  assert.equal(await server.uri(id), byName);
  const info = await runOk('nbdinfo', ['--json', byName]);
  const exported = (JSON.parse(info.stdout) as { exports: { 'export-size': number; is_read_only: boolean }[] })
    .exports[0];
  assert.equal(exported?.['export-size'], 8 * 1024 ** 3);
  assert.equal(exported?.is_read_only, false);
  let shot = await server.varve(['connect', 'shot-1']);
  for (let tries = 0; shot.code !== 0 && tries < 50; tries += 1) {
    assert.match(shot.stderr, /it is pending/);
    await systemClock.sleep(50);
    shot = await server.varve(['connect', 'shot-1']);
  }
  const snapshot = await runOk('nbdinfo', ['--json', shot.stdout.trim()]);
  assert.equal(
    (JSON.parse(snapshot.stdout) as { exports: { is_read_only: boolean }[] }).exports[0]?.is_read_only,
    true,
  );
  const absent = await server.varve(['connect', 'nobody']);
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /there is no disk, volume or snapshot "nobody"/);
  // The log tells the address, too.
  assert.ok(
    server.log.some((line) => JSON.stringify(line).includes(id)),
    'the address is in the log',
  );
});

test('accounts are made while the server runs and while it does not', async () => {
  await withDirectory(async (data) => {
    const offline = await varve('accounts', 'create', '--json', '--data', data);
    assert.equal(offline.code, 0, offline.stderr);
    const made = JSON.parse(offline.stdout) as Record<string, string>;
    assert.match(made['AccountId'] ?? '', /^\d{12}$/);
    await using server = await RunningServer.start({ data });
    const online = await server.varve(['accounts', 'create', '--json']);
    assert.equal(online.code, 0, online.stderr);
    const other = JSON.parse(online.stdout) as Record<string, string>;
    assert.deepEqual(Object.keys(other), ['AccountId', 'AccessKeyId', 'SecretAccessKey']);
    assert.equal(new Set([made['AccountId'], other['AccountId'], server.credentials.accountId]).size, 3);
    const third = await server.varve(['accounts', 'create', '--alias', 'team-3']);
    assert.equal(third.code, 0, third.stderr);
    const listed = await server.varve(['accounts', 'list']);
    assert.match(listed.stdout, new RegExp(`^${other['AccountId']} +- +\\S+Z +${other['AccessKeyId']}$`, 'm'));
    assert.match(listed.stdout, /^\d{12} +team-3 /m);
    assert.equal((await varve('accounts', 'create', '--alias', '-no', '--data', data)).code, 2);
  });
});

test("a root's key is replaced: the old one is refused, and the files of the server have the new one", async (t) => {
  if (!requireTools(t, ['aws'])) return;
  await using server = await RunningServer.start();
  const { accessKeyId: old } = server.credentials;
  assert.match(
    (await server.varve(['keys', 'list'])).stdout,
    new RegExp(`^${old} +\\d{12} .*varve on this machine$`, 'm'),
  );
  const replaced = await server.varve(['keys', 'replace', old, '--json']);
  assert.equal(replaced.code, 0, replaced.stderr);
  const made = JSON.parse(replaced.stdout) as { readonly AccessKeyId: string; readonly SecretAccessKey: string };
  const refused = await server.aws(['sts', 'get-caller-identity']);
  assert.match(refused.stderr, /InvalidClientTokenId/);
  assert.match((await server.varve(['env'])).stdout, new RegExp(`AWS_ACCESS_KEY_ID=${made.AccessKeyId}`));
  const { accessKeyId, secretAccessKey } = { accessKeyId: made.AccessKeyId, secretAccessKey: made.SecretAccessKey };
  const env = server.environment({ ...server.credentials, accessKeyId, secretAccessKey });
  await server.awsJson(['sts', 'get-caller-identity'], { env });
  assert.match((await server.varve(['keys', 'replace', old])).stderr, /there is no key/);
});

test('one data directory has one server; the second says who has it', async () => {
  await using server = await RunningServer.start();
  const second = await varve('serve', '--data', server.dataDirectory, '--port', '0');
  assert.equal(second.code, 1);
  assert.match(second.stderr, /in use|already|another/i);
  assert.equal((await fetch(`${server.endpoint}/healthz`)).status, 200);
});

test('a port that is taken is said, and nothing is left running', async () => {
  await withDirectory(async (data) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    assert.ok(address !== null && typeof address === 'object');
    const result = await varve('serve', '--data', data, '--port', String(address.port));
    taken.close();
    assert.equal(result.code, 1);
    assert.match(result.stderr, /EADDRINUSE/);
    await using again = await RunningServer.start({ data });
    assert.ok(again.endpoint !== '');
  });
});

test('a wrong command line is told in words, with exit code 2', async () => {
  for (const words of [
    [],
    ['nothing'],
    ['serve', '--port', 'x'],
    ['serve', '--what'],
    ['connect'],
    ['serve', '--region', 'us-moon-1'],
  ]) {
    const result = await varve(...words);
    assert.equal(result.code, 2, words.join(' '));
    assert.doesNotMatch(result.stderr, /at .*\.ts:\d+/);
  }
  assert.equal((await varve('help')).code, 0);
  assert.match((await run(process.execPath, [LAUNCHER, 'version'])).stdout, /^varve\/\d+\.\d+\.\d+ node\/v?2/);
});

test('what was there before a restart is there after it, keys included', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  await withDirectory(async (data) => {
    const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
    const first = await RunningServer.start({ data });
    await first.awsJson(['lightsail', 'create-disk', '--disk-name', 'kept', ...zone]);
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 5 1G 1M', '-c', 'flush', await first.uri('kept')]);
    const env = first.environment();
    assert.equal(await first.stop(), 0);
    await using second = await RunningServer.start({ data });
    const disk = await second.aws(['lightsail', 'get-disk', '--disk-name', 'kept'], { env });
    assert.equal(disk.code, 0, disk.stderr);
    const read = await runOk('qemu-io', ['-f', 'raw', '-c', 'read -P 5 1G 1M', await second.uri('kept')]);
    assert.doesNotMatch(read.stdout, /verification failed/);
  });
});

test('a snapshot that was being stored when everything was killed is completed by the next start', async (t) => {
  if (!requireTools(t, ['aws', 'fio', 'qemu-io'])) return;
  await withDirectory(async (data) => {
    const first = await RunningServer.start({ data });
    const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
    await first.awsJson(['lightsail', 'create-disk', '--disk-name', 'big', ...zone]);
    const uri = await first.uri('big');
    await runOk('fio', [
      ...['--name=fill', '--ioengine=nbd', `--uri=${uri}`, '--rw=write', '--bs=1M', '--iodepth=4', '--size=1G'],
      ...['--refill_buffers', '--end_fsync=1'],
    ]);
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 6 512M 1M', '-c', 'flush', uri]);
    await first.awsJson(['lightsail', 'create-disk-snapshot', '--disk-name', 'big', '--disk-snapshot-name', 'big-s']);
    await first.killAll();
    await using second = await RunningServer.start({ data });
    const states: string[] = [];
    for (;;) {
      type Reply = { readonly diskSnapshot: { readonly state: string } };
      const words = ['lightsail', 'get-disk-snapshot', '--disk-snapshot-name', 'big-s'];
      const { state } = (await second.awsJson<Reply>(words)).diskSnapshot;
      states.push(state);
      if (state !== 'pending') break;
    }
    assert.equal(states[0], 'pending', 'it was not completed before the kill');
    assert.equal(states.at(-1), 'completed');
    const read = await runOk('qemu-io', ['-f', 'raw', '-r', '-c', 'read -P 6 512M 1M', await second.uri('big-s')]);
    assert.doesNotMatch(read.stdout, /verification failed/);
  });
});

test('env without a server says for what its lines are, or that none ever ran', async () => {
  await withDirectory(async (data) => {
    const never = await varve('env', '--data', data);
    assert.equal(never.code, 1);
    assert.match(never.stderr, /no server has started on .* yet; start one with "varve serve/);
    assert.equal(never.stdout, '');
    const server = await RunningServer.start({ data });
    const running = await varve('env', '--data', data);
    assert.equal(running.stderr, '');
    assert.ok(running.stdout.includes(server.endpoint));
    await server.killAll();
    const killed = await varve('env', '--data', data);
    assert.equal(killed.code, 0);
    assert.ok(killed.stderr.includes(`no server runs on ${data} now; these lines are for ${server.endpoint}`));
  });
});

test('an operation that finds neither what AWS tools go by nor a server says where it looked', async () => {
  await withDirectory(async (data) => {
    const environment = { PATH: process.env['PATH'] ?? '', HOME: data, AWS_EC2_METADATA_DISABLED: 'true' };
    const result = await run(process.execPath, [CLI, 'ec2', 'describe-volumes', '--region', 'us-east-1'], {
      env: { ...environment, VARVE_DATA: data },
    });
    assert.equal(result.code, 255);
    assert.match(result.stderr, /^Unable to locate credentials.*\nvarve: no server was found here either /);
  });
});
