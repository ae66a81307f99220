import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { systemClock } from '#base/clock.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { parseInstanceId } from '#domain/ids.ts';
import { decodeRecord, machinePaths, type MachineRecord, recordPath } from '#machine/machine-record.ts';
import { kill, type ProcessIdentity, processOfFile, waitUntilGone } from '#machine/qemu-process.ts';

import { run, type RunResult } from '../run.ts';
import { GuestConsole } from './guest-console.ts';
import { waitFor } from './served-disks.ts';

/** What a client of Lightsail's API needs of an `aws`: a process for each command, or one for many. */
export type Aws = (words: readonly string[]) => Promise<RunResult>;

export interface LightsailInstance {
  readonly name: string;
  readonly supportCode: string;
  readonly username: string;
  readonly state: { readonly name: string };
  readonly publicIpAddress?: string;
  readonly hardware: { readonly disks: readonly { readonly name?: string; readonly path: string }[] };
}

/** Machines of one server, through its API, and from outside: their processes and consoles. */
export class Machines implements AsyncDisposable {
  readonly #dataDirectory: string;
  readonly #zone: string;
  readonly #consoles = new Map<string, GuestConsole>();
  /** May be replaced when the server was started again, elsewhere. */
  aws: Aws;

  constructor(dataDirectory: string, aws: Aws, zone = 'us-east-1a') {
    this.#dataDirectory = dataDirectory;
    this.#zone = zone;
    this.aws = aws;
  }

  /** What Lightsail answered; throws when it refused. */
  async lightsail<T>(...words: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.aws(['lightsail', ...words]);
    if (code !== 0) throw new Error(`aws lightsail ${words.join(' ')}: exit ${code}: ${stderr.trim()}`);
    return (stdout.trim() === '' ? {} : JSON.parse(stdout)) as T;
  }

  async create(names: readonly string[], ...more: readonly string[]): Promise<void> {
    const words = ['--instance-names', ...names, '--availability-zone', this.#zone, '--blueprint-id', 'tiny'];
    await this.lightsail('create-instances', ...words, ...more);
  }

  async createFromSnapshot(names: readonly string[], ...more: readonly string[]): Promise<void> {
    const words = ['--instance-names', ...names, '--availability-zone', this.#zone];
    await this.lightsail('create-instances-from-snapshot', ...words, ...more);
  }

  async find(name: string): Promise<LightsailInstance> {
    type Reply = { readonly instance: LightsailInstance };
    return (await this.lightsail<Reply>('get-instance', '--instance-name', name)).instance;
  }

  async state(name: string): Promise<string> {
    return (await this.find(name)).state.name;
  }

  async waitState(name: string, state: string): Promise<void> {
    await waitFor(`${name} is ${state}`, async () => (await this.state(name)) === state);
  }

  /** Polls until the snapshot of a machine is complete. */
  async waitAvailable(snapshot: string): Promise<void> {
    type Reply = { readonly instanceSnapshot: { readonly state: string } };
    const state = async (): Promise<string> =>
      (await this.lightsail<Reply>('get-instance-snapshot', '--instance-snapshot-name', snapshot)).instanceSnapshot
        .state;
    await waitFor(`${snapshot} is available`, async () => (await state()) === 'available');
  }

  async id(name: string): Promise<string> {
    return (await this.find(name)).supportCode.split('/')[1] ?? '';
  }

  /** What the server keeps of a machine's process. */
  async record(name: string): Promise<MachineRecord> {
    const { directory } = this.#paths(await this.id(name));
    const record = decodeRecord(await readFile(recordPath(directory), 'utf8'));
    if (record === null) throw new Error(`${directory} has no record of a machine`);
    return record;
  }

  /** The port of 127.0.0.1 that leads to the guest's ssh. */
  async sshPort(name: string): Promise<number> {
    const { forwards } = await this.record(name);
    const found = forwards.find(({ guestPort, hostAddress }) => guestPort === 22 && hostAddress === '127.0.0.1');
    if (found === undefined) throw new Error(`no port leads to ${name}`);
    return found.hostPort;
  }

  /** -1: it has none. */
  async processId(name: string): Promise<number> {
    return (await processOfFile(this.#paths(await this.id(name)).processFile))?.processId ?? -1;
  }

  async console(name: string): Promise<GuestConsole> {
    let console = this.#consoles.get(name);
    if (console === undefined) {
      const { consoleLog, consoleSocket } = this.#paths(await this.id(name));
      console = new GuestConsole({ logPath: consoleLog, socketPath: consoleSocket });
      this.#consoles.set(name, console);
    }
    return console;
  }

  /** Resolves when a tiny guest has done all of its boot, its user data included. */
  async waitBooted(name: string, fromByte = 0): Promise<GuestConsole> {
    const id = await this.id(name);
    const console = await this.console(name);
    await console.says(`tiny-init: ready (instance ${id}`, fromByte);
    return console;
  }

  /** How many machines have a process. */
  async processCount(): Promise<number> {
    return (await this.#processes()).length;
  }

  /** Ends every machine of the data directory, whatever else has ended. */
  async endAll(): Promise<void> {
    for (const identity of await this.#processes()) {
      await kill(identity);
      await waitUntilGone(identity, systemClock, 10_000);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const console of this.#consoles.values()) console[Symbol.dispose]();
    await this.endAll();
  }

  async #processes(): Promise<readonly ProcessIdentity[]> {
    const ids = await readdir(join(this.#dataDirectory, 'machines')).catch(() => []);
    const known = ids.filter((id) => parseInstanceId(id) !== null);
    const found = await Promise.all(known.map((id) => processOfFile(this.#paths(id).processFile)));
    return found.filter((identity) => identity !== null);
  }

  #paths(instance: string): ReturnType<typeof machinePaths> {
    const id = parseInstanceId(instance);
    if (id === null) throw new Error(`${instance} is no instance`);
    const machinesDirectory = join(this.#dataDirectory, 'machines');
    return machinePaths(id, { machinesDirectory, ...openRunDirectory(this.#dataDirectory) });
  }
}

/** Runs a command in a guest by ssh, with a private key; whatever its exit code. */
export async function ssh(
  to: { readonly user: string; readonly port: number; readonly keyPath: string },
  command: string,
): Promise<RunResult> {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'BatchMode=yes'];
  return await run('ssh', [
    ...options.flatMap((option) => ['-o', option]),
    ...['-o', 'LogLevel=ERROR', '-o', 'ConnectTimeout=60', '-i', to.keyPath, '-p', String(to.port)],
    ...[`${to.user}@127.0.0.1`, command],
  ]);
}
