import assert from 'node:assert/strict';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { PlainNbdClient } from '#volume/host-nbd.fake.ts';
import { requireTools } from '../clients.ts';
import { run } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
const scratch = scratchDirectory('cli-status');

interface Status {
  readonly endpoint: string;
  readonly processId: number;
  readonly hostProcessId: number;
  readonly clients: { readonly connectionCount: number; readonly exportCount: number };
  readonly volumes: { readonly count: number; readonly sizeBytes: number; readonly encryptedCount: number };
  readonly store: { readonly snapshotCount: number };
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number };
  readonly tasks: readonly { readonly name: string; readonly endedAtMs: number | null }[];
  readonly troubles: readonly { readonly level: string; readonly event: string }[];
}

test('varve status tells how the server is, its clients and its troubles', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  const data = join(scratch, 'data');
  const away = await run(process.execPath, [CLI, 'status', '--data', data]);
  assert.equal(away.code, 1);
  assert.match(away.stderr, /no server runs on /);

  // A server that was killed, and one that replaces its volume host: that is a warning in the log.
  const first = await RunningServer.start({ data, args: ['--nbd-tcp', '0'] });
  first.signal('SIGKILL');
  await first.stop();
  await using server = await RunningServer.start({ data, args: ['--encrypt-volumes'] });
  const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
  await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...zone]);
  const socket = new URL(await server.uri('disk-1')).searchParams.get('socket') ?? '';
  using one = await PlainNbdClient.connect({ path: socket });
  using other = await PlainNbdClient.connect({ path: socket });
  await Promise.all([one.read(0, 1), other.read(0, 1)]);

  const told = JSON.parse((await server.varve(['status', '--json'])).stdout) as Status;
  assert.deepEqual(
    [told.endpoint, told.processId, told.hostProcessId],
    [server.endpoint, server.processId, await server.hostProcessId()],
  );
  assert.deepEqual(told.clients, { connectionCount: 2, exportCount: 1 });
  const { count, sizeBytes, encryptedCount } = told.volumes;
  assert.deepEqual([count, sizeBytes, encryptedCount], [1, 8 * 1024 ** 3, 1]);
  assert.equal(told.store.snapshotCount, 0);
  assert.ok(told.disk.freeBytes > 0 && told.disk.freeBytes <= told.disk.totalBytes);
  assert.ok(told.tasks.some(({ name, endedAtMs }) => name === 'open-volumes' && endedAtMs !== null));
  assert.ok(told.troubles.some(({ level, event }) => level === 'warn' && event === 'volume-host.replaced'));

  const { stdout } = await server.varve(['status']);
  assert.match(stdout, /^server +http:\S+, process \d+, up \d+ s\n/);
  assert.match(stdout, /\nclients +2, of 1 disks and snapshots\n/);
  assert.match(stdout, /\nvolumes +1: 8 GiB, 0 B of it in their files; 1 encrypted\n/);
  assert.match(stdout, /\n +\d{4}-\S+Z warn volume-host\.replaced: pid \d+, /);
});

interface Doctor {
  readonly checks: readonly { readonly name: string; readonly verdict: string; readonly detail: string }[];
}

test('varve doctor tells what a machine lacks, and what is wrong with a data directory', async () => {
  const doctor = async (data: string, env?: Record<string, string>) => {
    const words = [CLI, 'doctor', '--json', '--data', data];
    const result = await run(process.execPath, words, env === undefined ? {} : { env });
    const verdicts = new Map((JSON.parse(result.stdout) as Doctor).checks.map((check) => [check.name, check]));
    return { code: result.code, stderr: result.stderr, of: (name: string) => verdicts.get(name) };
  };
  const fresh = await doctor(join(scratch, 'none', 'yet'));
  assert.equal(fresh.of('node')?.verdict, 'ok');
  assert.match(fresh.of('data directory')?.detail ?? '', /not made yet/);
  assert.match(fresh.of('disk space')?.detail ?? '', / free in /);

  // Without tools most things work: nothing is wrong.
  const bare = await doctor(join(scratch, 'none'), { PATH: '/nowhere' });
  assert.equal(bare.code, fresh.code);
  assert.equal(bare.of('qemu-img')?.verdict, 'absent');
  assert.match(bare.of('qemu-img')?.detail ?? '', /not found; for images that are not raw .*qemu-utils/);
  assert.match(bare.of('qemu-system-x86_64')?.detail ?? '', /not found; to run instances.*: qemu-system-x86$/);

  const data = join(scratch, 'doctor');
  await mkdir(data, { mode: 0o700 });
  await writeFile(join(data, 'master.key'), 'x', { mode: 0o600 });
  assert.equal((await doctor(data)).of('master.key')?.verdict, 'ok');
  await chmod(join(data, 'master.key'), 0o644);
  const open = await doctor(data);
  assert.equal(open.code, 1);
  assert.match(open.stderr, /things? (is|are) wrong/);
  assert.deepEqual(
    [open.of('master.key')?.verdict, open.of('master.key')?.detail.includes('chmod 600')],
    ['wrong', true],
  );
  const file = join(scratch, 'file');
  await writeFile(file, '');
  assert.equal((await doctor(file)).of('data directory')?.verdict, 'wrong');
  await rm(file);
  const table = await run(process.execPath, [CLI, 'doctor', '--data', data]);
  assert.match(table.stdout, /\nmaster\.key +WRONG +others can read /);
});
