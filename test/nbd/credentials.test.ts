import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const ZONE = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
/** Longer than it may take for a revoked credential's connections to end. */
const REVOKED_MS_MAX = 1_000;

interface Access {
  readonly uri: string;
  readonly id: string;
  readonly exportId: string;
  readonly port: number;
  readonly pskFile: string;
  readonly readOnly: boolean;
}

async function serverWithDisks(): Promise<RunningServer> {
  const server = await RunningServer.start({ args: ['--nbd-tcp', '0'] });
  for (const name of ['disk-1', 'disk-2']) {
    await server.awsJson(['lightsail', 'create-disk', '--disk-name', name, ...ZONE]);
  }
  return server;
}

async function access(server: RunningServer, ...words: readonly string[]): Promise<Access> {
  const { code, stdout, stderr } = await server.varve(['connect', ...words, '--tcp', '--json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Access;
}

async function gets(uri: string): Promise<boolean> {
  const { code, stdout } = await run('nbdinfo', ['--size', uri]);
  assert.ok(code === 0 || !/[0-9]/.test(stdout), 'who is refused learns no size');
  return code === 0;
}

test('a credential opens its disk over TCP, and no other; without one nothing is opened or told', async (t) => {
  if (!requireTools(t, ['aws', 'nbdinfo', 'nbdcopy', 'qemu-img'])) return;
  await using server = await serverWithDisks();
  const first = await access(server, 'disk-1');
  const second = await access(server, 'disk-2');
  assert.equal(await gets(first.uri), true);
  assert.equal(await gets(second.uri), true);
  // The default export is what the credential is for.
  assert.equal(await gets(first.uri.replace(`/${first.exportId}?`, '/?')), true);
  assert.equal(await gets(first.uri.replace(`/${first.exportId}?`, `/${second.exportId}?`)), false);
  const listed = await runOk('nbdinfo', ['--list', '--json', first.uri]);
  const exports = (JSON.parse(listed.stdout) as { exports: { 'export-name': string }[] }).exports;
  assert.deepEqual(
    exports.map((one) => one['export-name']),
    [first.exportId],
  );
  for (const name of ['', first.exportId]) {
    assert.equal(await gets(`nbd://127.0.0.1:${first.port}/${name}`), false, 'not without TLS');
    assert.equal(await gets(first.uri.replace(`${first.id}@`, `${second.id}@`)), false, 'not with the key of another');
  }
  const image = join(server.dataDirectory, 'in.img');
  await runOk('sh', ['-c', `head -c 3000000 /dev/urandom > "${image}"`]);
  await runOk('nbdcopy', ['--connections=4', '--flush', image, first.uri]);
  const qemu = `tls-creds-psk,id=tls,endpoint=client,dir=${dirname(first.pskFile)},username=${first.id}`;
  const disk = `driver=raw,file.driver=nbd,file.host=127.0.0.1,file.port=${first.port},file.export=${first.exportId},file.tls-creds=tls`;
  const compare = await run('qemu-img', [
    'compare',
    '--object',
    qemu,
    '--image-opts',
    disk,
    `driver=raw,file.driver=file,file.filename=${image}`,
  ]);
  assert.match(compare.stdout, /identical/, compare.stderr);
});

test('keys are files of their owner, and nowhere else', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  await using server = await serverWithDisks();
  const { id, exportId, pskFile } = await access(server, 'disk-1', '--ttl', '12h');
  const text = await readFile(pskFile, 'utf8');
  const key = /^([^:]+):([0-9a-f]{64})\n$/.exec(text);
  assert.equal(key?.[1], id);
  const secret = key?.[2] ?? assert.fail('a key');
  assert.equal((await stat(pskFile)).mode & 0o777, 0o600);
  assert.equal((await stat(dirname(pskFile))).mode & 0o777, 0o700);
  const run = join(server.dataDirectory, 'run');
  assert.equal((await stat(run)).mode & 0o777, 0o700);
  for (const name of await readdir(run)) {
    assert.equal((await stat(join(run, name))).mode & 0o077, 0, `${name} is its owner's`);
  }
  const written = [
    await readFile(join(server.dataDirectory, 'nbd-grants.json'), 'utf8'),
    await readFile(join(server.dataDirectory, 'volume-host.log'), 'utf8'),
    JSON.stringify(server.log),
  ];
  assert.match(written[0] ?? '', new RegExp(exportId));
  for (const one of written) assert.ok(!one.includes(secret), 'no key is written');

  // Where the user says; what is there stays, and a credential whose key went nowhere is taken back.
  const directory = join(server.dataDirectory, 'elsewhere');
  const words = ['connect', 'disk-2', '--tcp', '--psk-dir', directory];
  const made = await server.varve(words);
  assert.match(made.stdout, /^nbds:.*[/]elsewhere[/]keys\.psk\n$/);
  assert.equal((await stat(join(directory, 'keys.psk'))).mode & 0o777, 0o600);
  const again = await server.varve(words);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /cannot be written; the credential was taken back/);
  const list = await server.varve(['connect', '--list', 'disk-2', '--json']);
  assert.equal((JSON.parse(list.stdout) as unknown[]).length, 1);
});

test('a revoked credential cuts its clients and lets nobody in; the others stay', async (t) => {
  if (!requireTools(t, ['aws', 'nbdinfo', 'nbdsh'])) return;
  await using server = await serverWithDisks();
  const doomed = await access(server, 'disk-1');
  const kept = await access(server, 'disk-1', '--ttl', '1h');
  const list = await server.varve(['connect', '--list', 'disk-1', '--json']);
  assert.deepEqual(
    (JSON.parse(list.stdout) as { id: string }[]).map(({ id }) => id),
    [doomed.id, kept.id],
  );
  const connected = async (uri: string) => {
    const script = [
      'h.set_uri_allow_local_file(True)',
      `h.connect_uri(${JSON.stringify(uri)})`,
      'import sys, time',
      'print("connected", flush=True)',
      'while True:',
      '    h.pread(4096, 0)',
      '    time.sleep(0.02)',
    ];
    const child = spawn('nbdsh', ['-c', script.join('\n')], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, PATH: `/usr/bin:${process.env['PATH'] ?? ''}` },
    });
    await once(child.stdout, 'data');
    return child;
  };
  const [first, second] = [await connected(doomed.uri), await connected(kept.uri)];
  t.after(() => second.kill());
  const ended = once(first, 'exit');
  const revoked = await server.varve(['connect', '--revoke', doomed.id]);
  assert.equal(revoked.code, 0, revoked.stderr);
  const late = systemClock.sleep(REVOKED_MS_MAX).then(() => 'late');
  assert.notEqual(await Promise.race([ended, late]), 'late', 'its connections have ended');
  assert.equal(second.exitCode, null, 'the other credential of the disk is not touched');
  assert.equal(await gets(doomed.uri), false);
  assert.equal(await gets(kept.uri), true);
  await assert.rejects(stat(doomed.pskFile), /ENOENT/);
  const again = await server.varve(['connect', '--revoke', doomed.id]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /there is no credential/);
});

test('credentials outlive control, and revocations a kill of everything', async (t) => {
  if (!requireTools(t, ['aws', 'nbdinfo'])) return;
  await using server = await serverWithDisks();
  const kept = await access(server, 'disk-1');
  const revoked = await access(server, 'disk-1');
  const short = await access(server, 'disk-1', '--ttl', '1s');
  assert.equal((await server.varve(['connect', '--revoke', revoked.id])).code, 0);
  server.signal('SIGKILL');
  await server.stop();
  assert.equal(await gets(kept.uri), true, 'the volume host knows by itself');
  assert.equal(await gets(revoked.uri), false);
  await systemClock.sleep(1_000);
  assert.equal(await gets(short.uri), false, 'its time is over');
  await server.killAll();
  await using next = await RunningServer.start({ data: server.dataDirectory, args: ['--nbd-tcp', String(kept.port)] });
  assert.equal(await gets(kept.uri), true);
  assert.equal(await gets(revoked.uri), false);
  assert.equal((await next.aws(['lightsail', 'delete-disk', '--disk-name', 'disk-1'])).code, 0);
  while ((await next.varve(['connect', '--list'])).stdout !== '') await systemClock.sleep(50);
  assert.equal(await gets(kept.uri), false, 'a credential goes with its disk');
});

test('a snapshot is opened by its own credential, and read only', async (t) => {
  if (!requireTools(t, ['aws', 'nbdinfo', 'nbdcopy'])) return;
  await using server = await serverWithDisks();
  const disk = await access(server, 'disk-1');
  const name = ['--disk-snapshot-name', 'shot-1'];
  await server.awsJson(['lightsail', 'create-disk-snapshot', '--disk-name', 'disk-1', ...name]);
  let found = await server.varve(['connect', 'shot-1']);
  for (; found.code !== 0; found = await server.varve(['connect', 'shot-1'])) {
    assert.match(found.stderr, /cannot be served now/);
  }
  const shot = await access(server, 'shot-1');
  assert.equal(shot.readOnly, true);
  assert.equal(await gets(shot.uri), true);
  assert.equal((await run('nbdinfo', ['--is', 'read-only', shot.uri])).code, 0);
  assert.equal(await gets(disk.uri.replace(`/${disk.exportId}?`, `/${shot.exportId}?`)), false);
});

test('without a TCP listener there are no credentials, and the command line says what it wants', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  await using server = await RunningServer.start();
  await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...ZONE]);
  const refused = await server.varve(['connect', 'disk-1', '--tcp']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /--nbd-tcp/);
  for (const words of [
    ['--ttl', '1h', 'disk-1'],
    ['--tcp', '--list'],
    ['disk-1', '--tcp', '--ttl', 'soon'],
    ['--tcp'],
  ]) {
    assert.equal((await server.varve(['connect', ...words])).code, 2, words.join(' '));
  }
  const port = await run(process.execPath, ['src/cli.ts', 'serve', '--nbd-tcp', 'nonsense:x']);
  assert.equal(port.code, 2);
});
