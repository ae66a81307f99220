/**
 * `npm run bench:boot`: from CreateInstancesFromSnapshot to the first line of the guest's user space, of a volume of which
 * nothing is there yet, over a store in a directory; against QEMU with the same arguments and a local raw file that holds the
 * same bytes. In pairs, whose first alternates. `--pairs N` (default 5).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { GuestConsole } from '../machine/guest-console.ts';
import { Machines } from '../machine/machine-server.ts';
import { waitFor } from '../machine/served-disks.ts';
import { tinyImage } from '../machine/tiny-image.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

/** What the tiny guest's init, or the shell that it starts, says first. */
const FIRST_LINE = /tiny-init:|BusyBox v/;

interface Template {
  /** QEMU's, of a machine that the server started. */
  readonly args: readonly string[];
  readonly machineDirectory: string;
  readonly socketDirectory: string;
  readonly seedPath: string;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Of one boot. Processor time is what waiting behind others does not change. */
interface Boot {
  readonly ms: number;
  /** Of QEMU, and of the server and its volume host meanwhile. */
  readonly cpuMs: number;
}

/** Processor time that a process has had, all its threads together. */
async function cpuMs(processId: number): Promise<number> {
  const text = await readFile(`/proc/${processId}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10; // In hundredths of a second, on every Linux (proc(5)).
}

async function firstLine(console: GuestConsole): Promise<void> {
  await waitFor('the first line of user space', async () => FIRST_LINE.test(await console.said()));
}

/** A machine of the snapshot. It runs on. */
async function bootFromSnapshot(server: RunningServer, machines: Machines, name: string): Promise<Boot> {
  const servers = [server.processId, await server.hostProcessId()];
  const serverMs = async (): Promise<number> => (await Promise.all(servers.map(cpuMs))).reduce((a, c) => a + c, 0);
  const [startMs, before] = [systemClock.monotonicMs(), await serverMs()];
  await machines.createFromSnapshot([name], '--instance-snapshot-name', 'boot', '--bundle-id', 'pico_1_0');
  await firstLine(await machines.console(name));
  const ms = systemClock.monotonicMs() - startMs;
  return { ms, cpuMs: (await cpuMs(await machines.processId(name))) + (await serverMs()) - before };
}

async function remove(machines: Machines, name: string): Promise<void> {
  await machines.lightsail('delete-instance', '--instance-name', name);
  const find = ['lightsail', 'get-instance', '--instance-name', name];
  await waitFor(`${name} is gone`, async () => (await machines.aws(find)).code !== 0);
}

/** The same machine on a copy of the file. */
async function bootFromFile(template: Template, base: string, directory: string): Promise<Boot> {
  await mkdir(directory);
  const disk = join(directory, 'disk.raw');
  await runOk('cp', ['--sparse=always', base, disk]);
  const args = template.args.map((arg) => localArgument(arg, template, { directory, disk }));
  const [program = '', ...rest] = args;
  await using opened = new AsyncDisposableStack();
  let qemu: ChildProcess | null = null;
  opened.defer(async () => {
    if (qemu === null || qemu.exitCode !== null || qemu.signalCode !== null) return;
    const gone = once(qemu, 'exit');
    qemu.kill('SIGKILL');
    await gone;
    await rm(directory, { recursive: true });
  });
  const startMs = systemClock.monotonicMs();
  // It ends with this process, however that ends.
  qemu = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...rest], { stdio: ['ignore', 'ignore', 'inherit'] });
  await firstLine(new GuestConsole({ logPath: join(directory, 'console.log'), socketPath: join(directory, 'none') }));
  return { ms: systemClock.monotonicMs() - startMs, cpuMs: await cpuMs(qemu.pid ?? -1) };
}

/** An argument of the server's QEMU, with the disk in a file, and everything else of its own in another directory. */
function localArgument(
  arg: string,
  { machineDirectory, socketDirectory, seedPath }: Template,
  { directory, disk }: { readonly directory: string; readonly disk: string },
): string {
  if (arg.startsWith('{') && arg.includes('"driver":"nbd"')) {
    const {
      driver: _,
      server: __,
      export: ___,
      'reconnect-delay': ____,
      ...rest
    } = JSON.parse(arg) as Record<string, unknown>;
    return JSON.stringify({ ...rest, driver: 'raw', file: { driver: 'file', filename: disk, discard: 'unmap' } });
  }
  const seed = arg.replaceAll(join(machineDirectory, 'seed.iso'), seedPath);
  return seed.replaceAll(machineDirectory, directory).replaceAll(socketDirectory, directory);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { pairs: { type: 'string', default: '5' } } });
  const scratch = scratchDirectory('bench-boot');
  const data = join(scratch, 'data');
  await using opened = new AsyncDisposableStack();
  const server = await RunningServer.start({ data });
  const machines = new Machines(data, (words) => server.aws(words));
  opened.defer(async () => {
    await machines[Symbol.asyncDispose]();
    const host = await server.hostProcessId();
    await server.stop();
    await machines.endAll();
    if (host > 1) await run('kill', ['-9', String(host)]);
  });
  const named = ['--name', 'Tiny Linux', '--id', 'tiny'];
  const imported = await server.varve(['blueprint', 'import', await tinyImage(), ...named]);
  if (imported.code !== 0) throw new Error(imported.stderr);

  // What it grows at its first boot, and the keys that it makes, are in the snapshot.
  await machines.create(['source'], '--bundle-id', 'pico_1_0');
  await machines.waitBooted('source');
  await machines.waitState('source', 'running');
  await machines.lightsail('stop-instance', '--instance-name', 'source');
  await machines.waitState('source', 'stopped');
  const source = ['--instance-name', 'source', '--instance-snapshot-name', 'boot'];
  await machines.lightsail('create-instance-snapshot', ...source);
  await machines.waitAvailable('boot');
  const base = join(scratch, 'base.raw');
  const [system] = (await machines.record('source')).disks;
  await runOk('nbdcopy', [await server.uri(system?.volume ?? ''), base]);

  const template = await templateOf(server, machines, scratch);
  const pairs: { readonly snapshot: Boot; readonly file: Boot }[] = [];
  while (pairs.length < Number(values.pairs)) {
    const index = pairs.length;
    const ofFile = (): Promise<Boot> => bootFromFile(template, base, join(scratch, `file-${index}`));
    const ofSnapshot = async (): Promise<Boot> => {
      const boot = await bootFromSnapshot(server, machines, `cold-${index}`);
      await remove(machines, `cold-${index}`);
      return boot;
    };
    const first = index % 2 === 0 ? null : await ofFile();
    const snapshot = await ofSnapshot();
    const file = first ?? (await ofFile());
    pairs.push({ snapshot, file });
    process.stdout.write(
      `pair ${index + 1}: of the snapshot ${words(snapshot)}, of the file ${words(file)}; ` +
        `ratio ${(snapshot.ms / file.ms).toFixed(2)}, of processor time ${(snapshot.cpuMs / file.cpuMs).toFixed(2)}\n`,
    );
  }
  const of = (value: (pair: { readonly snapshot: Boot; readonly file: Boot }) => number): number =>
    Number(median(pairs.map(value)).toFixed(2));
  const result = {
    snapshot_ms: Math.round(of(({ snapshot }) => snapshot.ms)),
    file_ms: Math.round(of(({ file }) => file.ms)),
    ratio: of(({ snapshot, file }) => snapshot.ms / file.ms),
    cpu_ratio: of(({ snapshot, file }) => snapshot.cpuMs / file.cpuMs),
    pairs: pairs.length,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

function words({ ms, cpuMs: cpu }: Boot): string {
  return `${(ms / 1000).toFixed(2)} s (processors ${(cpu / 1000).toFixed(2)} s)`;
}

/** How the server starts a machine of the snapshot. That machine is gone when it resolves. */
async function templateOf(server: RunningServer, machines: Machines, scratch: string): Promise<Template> {
  await bootFromSnapshot(server, machines, 'template');
  const processId = await machines.processId('template');
  const args = (await readFile(`/proc/${processId}/cmdline`, 'utf8')).split('\0').slice(0, -1);
  const valueOf = (start: string): string => args.find((arg) => arg.startsWith(start))?.slice(start.length) ?? '';
  const machineDirectory = join(args[args.indexOf('-pidfile') + 1] ?? '', '..');
  const socketDirectory = join(valueOf('socket,id=monitor,path=').split(',')[0] ?? '', '..');
  const seedPath = join(scratch, 'seed.iso');
  await copyFile(join(machineDirectory, 'seed.iso'), seedPath);
  await remove(machines, 'template');
  return { args, machineDirectory, socketDirectory, seedPath };
}

await main();
