import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { S3Client } from '#chunk/s3-client.ts';
import type { S3Location } from '#chunk/s3-location.ts';

import { runOk } from '../run.ts';

/** What must be installed: Debian's packages radosgw, ceph-mon and ceph-osd bring them. */
export const CEPH_TOOLS = [
  'setpriv',
  'radosgw',
  'radosgw-admin',
  'ceph-mon',
  'ceph-osd',
  'ceph',
  'ceph-authtool',
  'monmaptool',
];

const READY_MS_MAX = 60_000;
/** What the object store in memory may hold. */
const MEMORY_BYTES = 4 * 1024 ** 3;

export interface CephUser {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/**
 * A whole Ceph cluster with an S3 gateway, in a directory of its own, on ports of 127.0.0.1 that were free, with its data in
 * memory: one monitor, one OSD, radosgw; no manager, which S3 does not need. Up in two seconds or three. Its processes end
 * with this one, however that ends.
 */
export class RunningCeph implements AsyncDisposable {
  readonly endpoint: string;
  readonly user: CephUser;
  readonly #directory: string;
  readonly #processes: readonly ChildProcess[];

  private constructor(directory: string, processes: readonly ChildProcess[], endpoint: string, user: CephUser) {
    this.#directory = directory;
    this.#processes = processes;
    this.endpoint = endpoint;
    this.user = user;
  }

  static async start(): Promise<RunningCeph> {
    const directory = await mkdtemp(join(tmpdir(), 'varve-ceph-'));
    const processes: ChildProcess[] = [];
    try {
      const [monitorPort, gatewayPort] = await freePorts(2);
      const monitor = { address: `[v2:127.0.0.1:${monitorPort}]`, fsid: randomUUID() };
      await writeConfiguration(directory, monitor);
      await startCluster(directory, monitor, processes);
      const user = await createUser(directory, 'varve');
      processes.push(
        daemon(directory, 'radosgw', [
          '-n',
          'client.rgw',
          '--rgw-frontends',
          `beast endpoint=127.0.0.1:${gatewayPort}`,
        ]),
      );
      const endpoint = `http://127.0.0.1:${gatewayPort}`;
      await answered(endpoint, processes);
      return new RunningCeph(directory, processes, endpoint, user);
    } catch (error) {
      const log = await readFile(join(directory, 'client.rgw.log'), 'utf8').catch(() => '');
      await stop(directory, processes);
      throw new Error(`start Ceph: ${log.slice(-2000)}`, { cause: error });
    }
  }

  location(bucket: string, prefix = ''): S3Location {
    return { bucket, prefix, region: 'us-east-1', endpoint: this.endpoint };
  }

  /** Environment in which the AWS tools, and a server of ours, use this store. */
  environment(user: CephUser = this.user): Record<string, string> {
    return {
      AWS_ACCESS_KEY_ID: user.accessKeyId,
      AWS_SECRET_ACCESS_KEY: user.secretAccessKey,
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    };
  }

  async createBucket(bucket: string): Promise<void> {
    using client = new S3Client({
      location: this.location(bucket),
      credentials: { get: () => Promise.resolve(this.user), forget: () => {} },
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
    });
    const headers = [['Content-Length', '0']] as const;
    await client.request({
      doing: `create bucket ${bucket}`,
      method: 'PUT',
      key: null,
      headers,
      body: [],
      accept: ({ status }) => status === 200,
    });
  }

  /** Another user, who has no right to what this one's has. */
  async createUser(name: string): Promise<CephUser> {
    return await createUser(this.#directory, name);
  }

  /** Every process stops where it is, and holds its connections: the store is away as behind a broken network. */
  pause(): void {
    for (const child of this.#processes) child.kill('SIGSTOP');
  }

  resume(): void {
    for (const child of this.#processes) child.kill('SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    await stop(this.#directory, this.#processes);
  }
}

/** The monitor, and the id of its cluster. */
interface Monitor {
  readonly address: string;
  readonly fsid: string;
}

async function writeConfiguration(directory: string, { address, fsid }: Monitor): Promise<void> {
  const settings = {
    fsid,
    'mon host': address,
    'mon initial members': 'a',
    'public addr': '127.0.0.1',
    // Without authentication radosgw hangs at its start.
    'auth cluster required': 'cephx',
    'auth service required': 'cephx',
    'auth client required': 'cephx',
    keyring: `${directory}/$name.keyring`,
    'run dir': directory,
    'admin socket': `${directory}/$name.$pid.asok`,
    'log file': `${directory}/$name.log`,
    'mon cluster log file': `${directory}/cluster.log`,
    'mon data': `${directory}/mon`,
    'osd data': `${directory}/osd`,
    'rgw data': `${directory}/rgw`,
    'osd objectstore': 'memstore',
    'memstore device bytes': MEMORY_BYTES,
    'osd pool default size': 1,
    'osd pool default min size': 1,
    'osd pool default pg num': 1,
    'osd pool default pgp num': 1,
    'osd pool default pg autoscale mode': 'off',
    'osd crush chooseleaf type': 0,
    'mon allow pool size one': true,
    // A dozen pools are made one after another, and each waits for the monitor's next turn: 11 s with a turn a second.
    'paxos propose interval': 0.02,
    'paxos min wait': 0.01,
    'rgw enable apis': 's3',
    'rgw thread pool size': 64,
    'rgw num rados handles': 1,
    'rgw gc max objs': 1,
    'rgw lc max objs': 1,
    'rgw data log num shards': 1,
    'rgw md log max shards': 1,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
  await writeFile(join(directory, 'ceph.conf'), `[global]\n${lines.join('')}`);
  for (const name of ['mon', 'osd', 'rgw']) await mkdir(join(directory, name));
}

async function startCluster(directory: string, { address, fsid }: Monitor, processes: ChildProcess[]): Promise<void> {
  const tool = (program: string, args: readonly string[]) =>
    runOk(program, args, { cwd: directory, env: toolEnvironment(directory) });
  const keyring = join(directory, 'all.keyring');
  await writeFile(keyring, '', { mode: 0o600 });
  const all = ['mon', 'osd', 'mgr'];
  for (const [name, services] of [
    ['mon.', ['mon']],
    ['client.admin', all],
    ['client.rgw', all],
    ['osd.0', all],
  ] as const) {
    const rights = services.flatMap((service) => [
      '--cap',
      service,
      name === 'osd.0' && service !== 'osd' ? 'allow profile osd' : 'allow *',
    ]);
    await tool('ceph-authtool', [keyring, '--gen-key', '-n', name, ...rights]);
  }
  for (const name of ['client.admin', 'client.rgw', 'osd.0'])
    await copyFile(keyring, join(directory, `${name}.keyring`));

  await tool('monmaptool', ['--create', '--addv', 'a', address, '--fsid', fsid, 'monmap']);
  await tool('ceph-mon', ['--mkfs', '-i', 'a', '--monmap', 'monmap', '--keyring', keyring]);
  processes.push(daemon(directory, 'ceph-mon', ['-i', 'a']));

  const osd = randomUUID();
  await tool('ceph-osd', ['-i', '0', '--mkfs', '--osd-uuid', osd]);
  await tool('ceph', ['--connect-timeout', '30', 'osd', 'new', osd, '0']);
  processes.push(daemon(directory, 'ceph-osd', ['-i', '0']));
}

async function createUser(directory: string, name: string): Promise<CephUser> {
  const user = { accessKeyId: `AK${name.toUpperCase()}`, secretAccessKey: randomBytes(20).toString('hex') };
  const args = ['-n', 'client.rgw', 'user', 'create', `--uid=${name}`, `--display-name=${name}`];
  const keys = [`--access-key=${user.accessKeyId}`, `--secret-key=${user.secretAccessKey}`];
  await runOk('radosgw-admin', [...args, ...keys], { cwd: directory, env: toolEnvironment(directory) });
  return user;
}

function toolEnvironment(directory: string): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', CEPH_CONF: join(directory, 'ceph.conf'), LC_ALL: 'C' };
}

/** In the foreground, and killed with this process also when that is killed. */
function daemon(directory: string, program: string, args: readonly string[]): ChildProcess {
  return spawn('setpriv', ['--pdeathsig', 'KILL', program, '-f', ...args], {
    cwd: directory,
    env: toolEnvironment(directory),
    stdio: 'ignore',
  });
}

async function answered(endpoint: string, processes: readonly ChildProcess[]): Promise<void> {
  const startMs = systemClock.monotonicMs();
  for (;;) {
    const ended = processes.find((child) => child.exitCode !== null || child.signalCode !== null);
    if (ended !== undefined)
      throw new Error(`${ended.spawnargs.join(' ')} ended with ${ended.exitCode ?? ended.signalCode}`);
    if (systemClock.monotonicMs() - startMs > READY_MS_MAX) throw new Error('the gateway does not answer');
    try {
      await fetch(endpoint, { signal: AbortSignal.timeout(5_000) });
      return;
    } catch {
      await systemClock.sleep(50);
    }
  }
}

async function stop(directory: string, processes: readonly ChildProcess[]): Promise<void> {
  for (const child of processes) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }
  await rm(directory, { recursive: true, force: true });
}

/** Free now, all at once; that nobody takes one in the second until it is used is a matter of luck. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
