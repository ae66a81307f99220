import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { PlainNbdClient } from '#volume/host-nbd.fake.ts';
import { requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
const ZONE = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];

async function dataDirectory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'varve-host-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Kills the control process only: the disks stay served. */
async function killControl(server: RunningServer): Promise<void> {
  server.signal('SIGKILL');
  await server.stop();
}

function socketOf(uri: string): string {
  return new URL(uri).searchParams.get('socket') ?? '';
}

async function serve(data: string, ...args: readonly string[]) {
  return await run(process.execPath, [CLI, 'serve', '--data', data, '--port', '0', ...args]);
}

/** A server until its banner is there, and what it printed. */
async function started(t: TestContext, data: string, ...args: readonly string[]) {
  const child = spawn(process.execPath, [CLI, 'serve', '--data', data, '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  t.after(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const said = { text: '', errors: '' };
  child.stderr.on('data', (bytes: Buffer) => (said.errors += String(bytes)));
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (bytes: Buffer) => {
      said.text += String(bytes);
      if (said.text.includes('NBD address')) resolve();
    });
    void exited.then(() => reject(new Error(said.errors)));
  });
  return { child, said, exited };
}

test('a server that starts with other options does not cut mounted disks unasked', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  const data = await dataDirectory(t);
  const first = await RunningServer.start({ data, args: ['--nbd-tcp', '0'] });
  await first.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...ZONE]);
  using client = await PlainNbdClient.connect({ path: socketOf(await first.uri('disk-1')) });
  await client.write(0, Buffer.from('precious'));
  await killControl(first);

  // Where it listens on TCP cannot be changed under clients: refused, with what differs and how to go on.
  const refused = await serve(data, '--nbd-tcp', '1');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /still serves this data directory, with --nbd-tcp 127\.0\.0\.1:0, and 1 NBD client is/);
  assert.match(refused.stderr, /or add --replace-host, which disconnects them\n$/);
  assert.equal(String(await client.read(0, 8)), 'precious');

  // What can be taken up is: the client notices nothing.
  const second = await started(t, data, '--nbd-tcp', '0', '--encrypt-volumes', '--hydration-rate', '1');
  assert.match(second.said.text, /Taken up without a restart: --encrypt-volumes, --hydration-rate/);
  assert.match(second.said.text, /volumes +new ones are encrypted/);
  assert.equal(String(await client.read(0, 8)), 'precious');
  second.child.kill('SIGKILL');
  await second.exited;

  const third = await started(t, data, '--replace-host');
  assert.match(third.said.text, /replaced, because of --nbd-tcp, .*1 NBD client was disconnected/);
  await assert.rejects(client.read(0, 8));
  third.child.kill('SIGTERM');
  assert.equal((await third.exited)[0], 0);
});

test('without clients a host with other options is replaced at once, and that is said', async (t) => {
  const data = await dataDirectory(t);
  await killControl(await RunningServer.start({ data, args: ['--nbd-tcp', '0'] }));
  const second = await started(t, data);
  assert.match(second.said.text, /replaced, because of --nbd-tcp\. No client was connected\./);
  second.child.kill('SIGTERM');
  assert.equal((await second.exited)[0], 0);
});

test('another hydration rate is taken up by volumes that are being filled', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  const data = await dataDirectory(t);
  const first = await RunningServer.start({ data, args: ['--hydration-rate', '0'] });
  await first.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...ZONE]);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 5 1M 16M', '-c', 'flush', await first.uri('disk-1')]);
  const name = ['--disk-snapshot-name', 'snapshot-1'];
  await first.awsJson(['lightsail', 'create-disk-snapshot', '--disk-name', 'disk-1', ...name]);
  const state = ['lightsail', 'get-disk-snapshot', ...name, '--query', 'diskSnapshot.state'];
  while ((await first.awsJson(state)) !== 'completed') await systemClock.sleep(50);
  await first.awsJson(['lightsail', 'create-disk-from-snapshot', '--disk-name', 'disk-2', ...name, ...ZONE]);
  type Listed = { readonly volumes: readonly { readonly name: string; readonly hydration: { state: string } }[] };
  const hydration = async (server: RunningServer): Promise<string | undefined> => {
    const { volumes } = JSON.parse((await server.varve(['volumes', '--json'])).stdout) as Listed;
    return volumes.find((volume) => volume.name === 'disk-2')?.hydration.state;
  };
  const uri = await first.uri('disk-2');
  assert.equal(await hydration(first), 'off');
  using client = await PlainNbdClient.connect({ path: socketOf(uri) });
  await killControl(first);
  await using second = await RunningServer.start({ data, args: ['--hydration-rate', '1000'] });
  while ((await hydration(second)) !== 'hydrated') await systemClock.sleep(100);
  assert.deepEqual(await client.read(1024 ** 2, 2), Buffer.from([5, 5]));
});

test('Ctrl-C says who is disconnected; the second one ends the server at once', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  const data = await dataDirectory(t);
  const first = await RunningServer.start({ data });
  await first.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...ZONE]);
  await first.stop();
  const second = await started(t, data);
  const { stdout: uri } = await runOk(process.execPath, [CLI, 'connect', 'disk-1', '--data', data]);
  using _client = await PlainNbdClient.connect({ path: socketOf(uri.trim()) });
  second.child.kill('SIGINT');
  assert.equal((await second.exited)[0], 0);
  assert.match(second.said.text, /Stopping the server and its disks: 1 NBD client is being disconnected from 1 disk/);

  const third = await started(t, data);
  const host = Number((await run('cat', [join(data, 'run', 'host.lock.holder')])).stdout);
  process.kill(host, 'SIGSTOP'); // It does not answer, so that the stop takes long.
  third.child.kill('SIGINT');
  await systemClock.sleep(1000);
  third.child.kill('SIGINT');
  assert.equal((await third.exited)[0], 130);
  assert.match(third.said.errors, /ended at once/);
  process.kill(host, 'SIGCONT');
  // The host was told to stop, and does: the next server starts its own.
  const fourth = await started(t, data);
  assert.doesNotMatch(fourth.said.text, /served all the time/);
  fourth.child.kill('SIGTERM');
  await fourth.exited;
});

test('certificates and ports that cannot be used are told in sentences', async (t) => {
  const data = await dataDirectory(t);
  const [empty, odd, cert, key, otherKey] = ['empty', 'odd', 'cert', 'key', 'other'].map((name) => `${data}.${name}`);
  t.after(() => Promise.all([empty, odd, cert, key, otherKey].map((path) => rm(path ?? '', { force: true }))));
  await writeFile(empty ?? '', '\n');
  await writeFile(odd ?? '', 'no PEM');
  const refusal = async (...args: readonly (string | undefined)[]): Promise<string> => {
    const result = await serve(data, ...args.map((arg) => arg ?? ''));
    assert.notEqual(result.code, 0, args.join(' '));
    assert.doesNotMatch(result.stderr, /at .*\.ts:\d+|E[A-Z]+: /, args.join(' '));
    return result.stderr;
  };
  const missing = await refusal('--tls-cert', `${data}.none`, '--tls-key', key);
  assert.match(missing, /--tls-cert: .*\.none cannot be read: .*there is no such file or directory \(ENOENT\)/);
  assert.match(await refusal('--tls-cert', empty, '--tls-key', empty), /--tls-cert: .*\.empty is empty/);
  assert.match(await refusal('--tls-cert', odd, '--tls-key', odd), /holds no certificate in PEM form/);
  if (requireTools(t, ['openssl'])) {
    const make = async (at: string | undefined): Promise<unknown> =>
      runOk('openssl', [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=x'],
        ...['-keyout', at ?? '', '-out', cert ?? ''],
      ]);
    await make(otherKey);
    await make(key);
    assert.match(await refusal('--tls-cert', cert, '--tls-key', cert), /holds no private key in PEM form/);
    assert.match(await refusal('--tls-cert', cert, '--tls-key', otherKey), /is not the key of the certificate/);
  }
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  assert.ok(address !== null && typeof address === 'object');
  const inUse = await refusal('--nbd-tcp', String(address.port));
  taken.close();
  assert.match(inUse, /NBD cannot be served over TCP on 127\.0\.0\.1, port \d+: .*another program listens there/);
  assert.match(
    await refusal('--host', '203.0.113.1'),
    /: --host: this machine has no address 203\.0\.113\.1 \(E\w+\)\n$/,
  );
});

test('help and wrong words are answered in sentences, with what may have been meant', async () => {
  const varve = (...words: readonly string[]) => run(process.execPath, [CLI, ...words]);
  for (const [words, expected] of [
    [['help', 'nonsense'], /there is no command "nonsense"/],
    [['nonsense', '--help'], /there is no command "nonsense"/],
    [['snapshto'], /there is no command "snapshto"; is "snapshot" meant\?/],
    [['serve', '--nbdtcp', '1'], /serve: there is no option --nbdtcp; is --nbd-tcp meant\?/],
    [['verify', '--josn'], /verify: there is no option --josn; is --json meant\?/],
    [['env', '--data'], /env: --data: its value is missing/],
    [['accounts', 'make'], /the verbs are create and list, not "make"/],
  ] as const) {
    const result = await varve(...words);
    assert.equal(result.code, 2, words.join(' '));
    assert.match(result.stderr, expected);
    assert.equal(result.stdout, '');
  }
  assert.match((await varve('help', 'serve')).stdout, /--replace-host/);
  assert.match((await varve('rescue', 'list', '--help')).stdout, /varve rescue VERB/);
  const verify = await varve('verify', '--data', '/nowhere/at/all');
  assert.match(verify.stderr, /the master key cannot be read: .*there is no such file or directory \(ENOENT\)/);
});
