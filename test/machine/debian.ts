/**
 * `npm run test:debian`: builds the full Debian image, boots it once, and sees that cloud-init did what it was told. A minute of
 * processor time where machines are emulated, and some 300 MB of packages the first time: no part of `npm test`.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { Machines, ssh } from './machine-server.ts';
import { waitFor } from './served-disks.ts';

/** Emulated on a loaded machine, it takes minutes. */
const BOOT_MS_MAX = 900_000;
const USER_DATA = `#cloud-config
write_files:
  - path: /root/marker
    content: written by cloud-init
runcmd:
  - [sh, -c, "echo user data ran on $(hostname) > /dev/ttyS0"]
`;

const cli = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
const scratch = scratchDirectory('debian');
const data = join(scratch, 'data');

async function timed<R>(what: string, work: () => Promise<R>): Promise<R> {
  const startMs = systemClock.monotonicMs();
  const result = await work();
  process.stdout.write(`${what}: ${((systemClock.monotonicMs() - startMs) / 1000).toFixed(1)} s\n`);
  return result;
}

async function prove(server: RunningServer, machines: Machines): Promise<void> {
  const env = { ...server.environment(), XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache') };
  await timed('varve blueprint build debian', () =>
    runOk(process.execPath, [cli, 'blueprint', 'build', 'debian', '--data', data], { env }),
  );
  await machines.lightsail(
    ...['create-instances', '--instance-names', 'debian', '--availability-zone', 'us-east-1a'],
    ...['--blueprint-id', 'debian_12', '--bundle-id', 'nano_3_0', '--user-data', USER_DATA],
  );
  const console = await machines.console('debian');
  await timed('booted, its user data run', () =>
    waitFor('user data', async () => (await console.said()).includes('user data ran on debian'), BOOT_MS_MAX),
  );
  type Access = { readonly accessDetails: { readonly privateKey: string; readonly username: string } };
  const words = ['get-instance-access-details', '--instance-name', 'debian'];
  const { accessDetails } = await machines.lightsail<Access>(...words);
  const keyPath = join(scratch, 'key');
  await writeFile(keyPath, accessDetails.privateKey, { mode: 0o600 });
  const to = { user: accessDetails.username, port: await machines.sshPort('debian'), keyPath };
  const said = await ssh(to, 'sudo cat /root/marker; echo; hostname; cloud-init status --wait; df -BG --output=size /');
  assert.equal(said.code, 0, said.stderr);
  process.stdout.write(said.stdout);
  assert.match(said.stdout, /^written by cloud-init\ndebian\n[^]*status: done/);
  await timed('a snapshot of it, frozen', () =>
    machines.lightsail('create-instance-snapshot', '--instance-name', 'debian', '--instance-snapshot-name', 'full'),
  );
  await machines.waitAvailable('full');
  await timed('stopped', async () => {
    await machines.lightsail('stop-instance', '--instance-name', 'debian');
    await machines.waitState('debian', 'stopped');
  });
}

async function main(): Promise<void> {
  const server = await RunningServer.start({ data });
  const machines = new Machines(data, (words) => server.aws(words));
  try {
    await prove(server, machines);
  } finally {
    await machines[Symbol.asyncDispose]();
    const host = await server.hostProcessId();
    await server.stop();
    await machines.endAll();
    if (host > 1) await run('kill', ['-9', String(host)]);
  }
}

await main();
