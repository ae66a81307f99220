/** The full Debian image is built, booted once, and cloud-init does what it was told. `npm run test:debian` runs it alone. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { requireTools } from '../clients.ts';
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

const cleanups: (() => Promise<unknown>)[] = [];

after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

/** What `varve blueprint build debian` and the machine need. */
const TOOLS = ['aws', 'ssh', 'mmdebstrap', 'qemu-system-x86_64', 'sgdisk', 'mke2fs', 'mcopy', 'syslinux', 'xorriso'];

// Longer than others may take: an emulated boot of a whole system.
test(
  'Debian boots with cloud-init, which does what user data says; it is snapshotted frozen, and stops',
  { timeout: 2 * BOOT_MS_MAX },
  async (t) => {
    if (!requireTools(t, TOOLS)) return;
    const server = await RunningServer.start({ data });
    const machines = new Machines(data, (words) => server.aws(words));
    cleanups.push(async () => {
      await machines[Symbol.asyncDispose]();
      const host = await server.hostProcessId();
      await server.stop();
      await machines.endAll();
      if (host > 1) await run('kill', ['-9', String(host)]);
    });
    const env = { ...server.environment(), XDG_CACHE_HOME: process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache') };
    await runOk(process.execPath, [cli, 'blueprint', 'build', 'debian', '--data', data], { env });
    await machines.lightsail(
      ...['create-instances', '--instance-names', 'debian', '--availability-zone', 'us-east-1a'],
      ...['--blueprint-id', 'debian_12', '--bundle-id', 'nano_3_0', '--user-data', USER_DATA],
    );
    const console = await machines.console('debian');
    await waitFor('user data', async () => (await console.said()).includes('user data ran on debian'), BOOT_MS_MAX);
    type Access = { readonly accessDetails: { readonly privateKey: string; readonly username: string } };
    const words = ['get-instance-access-details', '--instance-name', 'debian'];
    const { accessDetails } = await machines.lightsail<Access>(...words);
    const keyPath = join(scratch, 'key');
    await writeFile(keyPath, accessDetails.privateKey, { mode: 0o600 });
    const to = { user: accessDetails.username, port: await machines.sshPort('debian'), keyPath };
    const said = await ssh(to, 'sudo cat /root/marker; echo; hostname; cloud-init status --wait');
    assert.equal(said.code, 0, said.stderr);
    assert.match(said.stdout, /^written by cloud-init\ndebian\n[^]*status: done/);
    await machines.lightsail(
      'create-instance-snapshot',
      '--instance-name',
      'debian',
      '--instance-snapshot-name',
      'full',
    );
    await machines.waitAvailable('full');
    type Snapshots = { readonly instanceSnapshots: readonly { readonly name: string; readonly consistency: string }[] };
    const { instanceSnapshots } = JSON.parse((await server.varve(['snapshots', '--json'])).stdout) as Snapshots;
    assert.deepEqual(
      instanceSnapshots.map(({ name, consistency }) => [name, consistency]),
      [['full', 'filesystem']],
    );
    await machines.lightsail('stop-instance', '--instance-name', 'debian');
    await machines.waitState('debian', 'stopped');
  },
);
