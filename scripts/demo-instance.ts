/**
 * A server comes back from its snapshot, narrated, with a real machine and plain `aws`: an image is built of Debian packages,
 * a machine boots of it and runs its user data; a snapshot is taken of it and its disk while it writes to both; two machines
 * boot of that, and what they have is read inside of them, by ssh. `npm run demo:instance`. It leaves no process behind,
 * however it ends.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { Machines, ssh } from '../test/machine/machine-server.ts';
import { waitFor } from '../test/machine/served-disks.ts';
import { RunningServer } from '../test/running-server.ts';
import { run, runOk } from '../test/run.ts';
import { check, say, timed } from './demo-words.ts';

const ZONE = 'us-east-1a';
const MIB = 1024 * 1024;

/** Writes a marker, and then a database: a numbered row to the system disk, and the same to the disk, each flushed. */
const USER_DATA = `#!/bin/sh
echo "marker of $(hostname)" > /root/marker
cat > /root/database << 'END'
#!/bin/sh
n=0
while :; do
  n=$((n+1))
  echo "$n $(echo "row $n" | md5sum)" >> /root/rows; sync
  echo "$n $(echo "row $n" | md5sum)" >> /data/rows; sync
done
END
chmod +x /root/database
`;

/** What a new machine is given as its own user data: it takes its disk into use. */
const TAKE_DISK = '#!/bin/sh\nmkdir -p /data; mount /dev/xvdf /data; hostname > /root/who-am-i\n';

class Interrupted extends Error {}

/** Rejects when somebody wants it to end. A terminal tells the whole group, and npm and others tell it again. */
function interrupted(): Promise<never> {
  return new Promise((_resolve, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => reject(new Interrupted(`ended by ${signal}`)));
    }
  });
}

async function main(): Promise<void> {
  const startMs = systemClock.monotonicMs();
  const work = await mkdtemp(join(tmpdir(), 'varve-demo-'));
  const stop = interrupted();
  stop.catch(() => {}); // Nobody waits for it between the steps of cleaning up.
  const opened = new AsyncDisposableStack();
  opened.defer(() => rm(work, { recursive: true, force: true }));
  try {
    await Promise.race([demonstrate(work, opened), stop]);
    say(`All of it: ${((systemClock.monotonicMs() - startMs) / 1000).toFixed(0)} s`);
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    say(`   ${error.message}`);
    process.exitCode = 130;
  } finally {
    await opened.disposeAsync();
  }
  // What was waited for when it was ended goes on waiting.
  process.exit();
}

/** One machine, as whoever has its key sees it. */
class Guest {
  readonly #to: Parameters<typeof ssh>[0];
  readonly name: string;

  private constructor(name: string, to: Parameters<typeof ssh>[0]) {
    this.name = name;
    this.#to = to;
  }

  static async of(machines: Machines, name: string, work: string): Promise<Guest> {
    type Access = { readonly accessDetails: { readonly privateKey: string; readonly username: string } };
    const { accessDetails } = await machines.lightsail<Access>('get-instance-access-details', '--instance-name', name);
    const keyPath = join(work, `key-of-${name}`);
    await writeFile(keyPath, accessDetails.privateKey, { mode: 0o600 });
    return new Guest(name, { user: 'root', port: await machines.sshPort(name), keyPath });
  }

  async run(command: string): Promise<string> {
    const { code, stdout, stderr } = await ssh(this.#to, command);
    if (code !== 0) throw new Error(`${this.name}: ${command}: exit ${code}: ${stderr}`);
    return stdout.trim();
  }
}

async function demonstrate(work: string, opened: AsyncDisposableStack): Promise<void> {
  say('1. A server, with everything in one directory');
  const data = join(work, 'data');
  const server = await timed('started', () => RunningServer.start({ data }));
  const machines = new Machines(data, (words) => server.aws(words));
  opened.defer(async () => {
    await machines[Symbol.asyncDispose](); // Before what serves their disks.
    const host = await server.hostProcessId();
    await server.stop();
    await machines.endAll(); // What the server had just begun to start.
    if (host > 1) await run('kill', ['-9', String(host)]);
  });
  say(`   endpoint ${server.endpoint}`);

  say('2. An image, of Debian packages, as a blueprint');
  const cache = process.env['XDG_CACHE_HOME'] ?? join(process.env['HOME'] ?? tmpdir(), '.cache');
  await timed('varve blueprint build tiny', async () => {
    const cli = join(import.meta.dirname, '..', 'src', 'cli.ts');
    const env = { ...server.environment(), XDG_CACHE_HOME: cache };
    const built = await runOk(process.execPath, [cli, 'blueprint', 'build', 'tiny', '--data', data], { env });
    say(`   ${built.stdout.trim().split('\n').at(-1) ?? ''}`);
  });

  say('3. A machine of it, with a disk');
  await timed('aws lightsail create-instances', () =>
    machines.create(['first'], '--bundle-id', 'pico_1_0', '--user-data', USER_DATA),
  );
  await machines.lightsail(...['create-disk', '--disk-name', 'data', '--availability-zone', ZONE, '--size-in-gb', '8']);
  await timed('booted, its user data run', () => machines.waitBooted('first'));
  await machines.waitState('first', 'running');
  const first = await Guest.of(machines, 'first', work);
  say(`   emulated by: ${(await machines.record('first')).accelerator}; ${await first.run('uname -sr')}`);
  await machines.lightsail(
    ...['attach-disk', '--disk-name', 'data', '--instance-name', 'first', '--disk-path', '/dev/xvdf'],
  );
  await timed('disk plugged in while it runs, file system made', () =>
    first.run(
      'until [ -b /dev/xvdf ]; do usleep 100000; done; mke2fs -q -t ext4 /dev/xvdf; mkdir /data; mount /dev/xvdf /data',
    ),
  );

  say('4. A snapshot of both while they are written');
  await first.run('setsid /root/database > /dev/null 2>&1 < /dev/null &');
  const rows = async (): Promise<number> => Number(await first.run('wc -l < /data/rows 2> /dev/null || echo 0'));
  await waitFor('rows are written', async () => (await rows()) >= 10);
  const before = await rows();
  await timed('aws lightsail create-instance-snapshot', () =>
    machines.lightsail('create-instance-snapshot', '--instance-name', 'first', '--instance-snapshot-name', 'evening'),
  );
  await timed('available', () => machines.waitAvailable('evening'));
  await waitFor('it writes on', async () => (await rows()) > before);
  say(`   ${before} rows were written before the call; it writes on: ${await rows()} now`);

  say('5. Two machines of the snapshot');
  const mapping = JSON.stringify(
    Object.fromEntries(
      ['second', 'third'].map((name) => [name, [{ originalDiskPath: '/dev/xvdf', newDiskName: `${name}-data` }]]),
    ),
  );
  await timed('both booted, their user data run', async () => {
    await timed('aws lightsail create-instances-from-snapshot', () =>
      machines.createFromSnapshot(
        ['second', 'third'],
        ...['--instance-snapshot-name', 'evening', '--bundle-id', 'pico_1_0', '--user-data', TAKE_DISK],
        ...['--attached-disk-mapping', mapping],
      ),
    );
    await Promise.all([machines.waitBooted('second'), machines.waitBooted('third')]);
  });

  say('6. What they have, read inside of them by ssh');
  for (const name of ['second', 'third']) {
    await machines.waitState(name, 'running');
    const guest = await Guest.of(machines, name, work);
    check((await guest.run('cat /root/who-am-i')) === name, `${name} has a name of its own, and ran its own user data`);
    check((await guest.run('cat /root/marker')) === 'marker of first', `the marker of the first is on its system disk`);
    const [onSystem, onDisk] = [await goodRows(guest, '/root/rows'), await goodRows(guest, '/data/rows')];
    check(onDisk >= before, `${onDisk} rows are on its disk, each with its checksum: all that were flushed before`);
    check(
      onSystem === onDisk || onSystem === onDisk + 1,
      `${onSystem} are on its system disk: both are of one instant`,
    );
    const log = await guest.run('dmesg');
    check(
      !/recover|orphan|EXT4-fs error/i.test(log),
      'no file system needed its journal: they were frozen for the cut',
    );
    await guest.run(`echo ${name} > /data/mine; sync`);
  }
  const second = await Guest.of(machines, 'second', work);
  check((await second.run('cat /data/mine')) === 'second', 'what one writes, the other does not see');

  say('7. All of it goes');
  const ids = await Promise.all(['first', 'second', 'third'].map((name) => machines.processId(name)));
  say(`   memory of the three (PSS): ${await pssMib(ids)} MiB`);
  await timed('aws lightsail delete-instance, three times', async () => {
    for (const name of ['first', 'second', 'third']) {
      await machines.lightsail('delete-instance', '--instance-name', name);
    }
    type Reply = { readonly instances: readonly unknown[] };
    await waitFor(
      'all are gone',
      async () => (await machines.lightsail<Reply>('get-instances')).instances.length === 0,
    );
  });
  const alive = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  check(alive.join('') === '', 'no QEMU process is left');
}

/** How many rows a file of the database has; throws when one is not as it was written. */
async function goodRows(guest: Guest, path: string): Promise<number> {
  const script = `n=0; while read -r k sum rest; do n=$((n+1)); [ "$k $sum" = "$n $(echo "row $n" | md5sum | cut -c 1-32)" ] || exit 9; done < ${path}; echo $n`;
  return Number(await guest.run(script));
}

async function pssMib(processIds: readonly number[]): Promise<number> {
  let kib = 0;
  for (const id of processIds) {
    kib += Number(/^Pss:\s+(\d+) kB/m.exec(await readFile(`/proc/${id}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
  }
  return Math.round((kib * 1024) / MIB);
}

await main();
