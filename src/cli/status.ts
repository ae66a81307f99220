import { statfs } from 'node:fs/promises';

import { systemClock } from '#base/clock.ts';
import { count, type Decode, flag, list, nullable, oneOf, record, text } from '#volume/host-decode.ts';
import type { NbdClients } from '#volume/host.ts';

import { askServer, otherVersion, ServerAwayError } from './admin-client.ts';
import { type ClockState, clockState, clockWords } from './clock.ts';
import { durationWords } from './duration-words.ts';
import { formatBytes } from './image-progress.ts';
import {
  allInstanceSnapshots,
  countsOf,
  type InstanceSnapshotCounts,
  instanceSnapshotWords,
} from './instance-snapshots.ts';
import { askAll } from './pages.ts';
import { readServerFile } from './server-file.ts';
import { printable } from './table.ts';
import { Words } from './words.ts';
import { servedDirectory } from './served-directory.ts';

export const STATUS_USAGE = `usage: varve status [--data DIR] [--json]

Tells how the running server is: its processes, clients, disks, snapshots and sizes, what it is doing, and the last
warnings and errors since its start.

  --json   all of it, sizes in bytes, times in milliseconds since 1970

Exit codes: 0 it runs, 1 it does not, 2 the command line is wrong.
`;

/** Sizes of a store that is large may take long to count the first time. */
const TIMEOUT_MS = 600_000;
/** Warnings and errors shown without --json. */
const TROUBLES_SHOWN = 5;

interface Status {
  readonly version: string;
  readonly node: string;
  readonly processId: number;
  readonly hostProcessId: number;
  readonly startedAtMs: number;
  readonly clients: NbdClients | null;
  readonly clock: ClockState;
  readonly accountCount: number;
  readonly pendingSnapshotCount: number;
  readonly uploadCount: number | null;
  readonly tasks: readonly StatusTask[];
  readonly troubles: readonly StatusTrouble[];
}

interface StatusTask {
  readonly name: string;
  readonly runningSinceMs: number | null;
  readonly endedAtMs: number | null;
  readonly failure: string | null;
}

interface StatusTrouble {
  readonly atMs: number;
  readonly level: 'warn' | 'error';
  readonly event: string;
  readonly detail: string;
}

interface Store {
  readonly snapshotCount: number;
  readonly storedBytes: number;
  readonly fullBytes: number;
}

interface VolumeState {
  readonly sizeBytes: number;
  readonly state: string;
  readonly encrypted: boolean | null;
  readonly ownBytes: number | null;
  readonly hydration: { readonly state: string } | null;
}

const status = record<Status>({
  version: text,
  node: text,
  processId: count,
  hostProcessId: count,
  startedAtMs: count,
  clients: nullable(record<NbdClients>({ connectionCount: count, exportCount: count })),
  clock: clockState,
  accountCount: count,
  pendingSnapshotCount: count,
  uploadCount: nullable(count),
  tasks: list(
    record<StatusTask>({
      name: text,
      runningSinceMs: nullable(count),
      endedAtMs: nullable(count),
      failure: nullable(text),
    }),
  ),
  troubles: list(
    record<StatusTrouble>({
      atMs: count,
      level: oneOf<'warn' | 'error'>(['warn', 'error']),
      event: text,
      detail: text,
    }),
  ),
});
const store = record<Store>({ snapshotCount: count, storedBytes: count, fullBytes: count });
const volume = record<VolumeState>({
  sizeBytes: count,
  state: text,
  encrypted: nullable(flag),
  ownBytes: nullable(count),
  hydration: nullable(record({ state: text })),
});

/** `varve status`. Throws ConfigError for a wrong command line, CommandError when no server runs. */
export async function statusCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('status', rest, { data: { type: 'string' }, json: { type: 'boolean' } });
  words.take();
  const options = { data: words.text('data') };
  const dataDirectory = servedDirectory(options);
  const server = decoded(status, await askServer(options, 'GET', '/status'));
  const isListed = (value: unknown): value is unknown => typeof value === 'object';
  const volumes = (await askAll(options, { name: 'volumes', isListed })).map((one) => decoded(volume, one));
  const instanceSnapshots = countsOf(await allInstanceSnapshots(options));
  const stored = decoded(store, await askServer(options, 'GET', '/store', { timeoutMs: TIMEOUT_MS }));
  const file = await readServerFile(dataDirectory);
  if (file === null) throw new ServerAwayError(`the server on ${dataDirectory} has just stopped`);
  const { bavail, blocks, bsize } = await statfs(dataDirectory);
  const disk = { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  const place = { endpoint: file.endpoint, dataDirectory, disk };
  const whole: Whole = { server, volumes: volumesOf(volumes), instanceSnapshots, stored, ...place };
  if (words.flag('json')) {
    const { server: fields, volumes: volumeCounts, stored: storeSize } = whole;
    const shown = { ...place, ...fields, volumes: volumeCounts, instanceSnapshots, store: storeSize };
    process.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
  } else for (const [name, fact] of facts(whole, systemClock.nowMs())) process.stdout.write(line(name, fact));
}

function decoded<T>(decode: Decode<T>, value: unknown): T {
  try {
    return decode(value, 'the answer');
  } catch {
    throw otherVersion();
  }
}

interface VolumeCounts {
  readonly count: number;
  readonly sizeBytes: number;
  readonly ownBytes: number;
  readonly encryptedCount: number;
  readonly hydratingCount: number;
  /** In a state that clients cannot use. */
  readonly errorCount: number;
}

interface Whole {
  readonly server: Status;
  readonly volumes: VolumeCounts;
  readonly instanceSnapshots: InstanceSnapshotCounts;
  readonly stored: Store;
  readonly endpoint: string;
  readonly dataDirectory: string;
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number };
}

function volumesOf(volumes: readonly VolumeState[]): VolumeCounts {
  const countOf = (is: (one: VolumeState) => boolean): number => volumes.filter(is).length;
  const sumOf = (bytes: (one: VolumeState) => number): number => volumes.reduce((sum, one) => sum + bytes(one), 0);
  return {
    count: volumes.length,
    sizeBytes: sumOf(({ sizeBytes }) => sizeBytes),
    ownBytes: sumOf(({ ownBytes }) => ownBytes ?? 0),
    encryptedCount: countOf(({ encrypted }) => encrypted === true),
    hydratingCount: countOf(({ hydration }) => hydration?.state === 'hydrating' || hydration?.state === 'waiting'),
    errorCount: countOf(({ state }) => state === 'error'),
  };
}

function* facts(whole: Whole, nowMs: number): Generator<readonly [string, string]> {
  const { server, volumes, stored, disk } = whole;
  const { clients } = server;
  yield ['server', `${whole.endpoint}, process ${server.processId}, up ${durationWords(nowMs - server.startedAtMs)}`];
  yield ['version', `varve ${server.version}, node ${server.node}`];
  const host = `process ${server.hostProcessId}`;
  yield ['volume host', clients === null ? `${host}; it does not answer now` : host];
  yield ['data', `${whole.dataDirectory}; ${formatBytes(disk.freeBytes)} of ${formatBytes(disk.totalBytes)} free`];
  if (server.clock.isHeld) {
    for (const [at, words] of clockWords(server.clock).entries()) yield [at === 0 ? 'CLOCK' : '', words];
  }
  yield ['accounts', String(server.accountCount)];
  if (clients !== null) {
    const { connectionCount, exportCount } = clients;
    yield ['clients', connectionCount === 0 ? 'none' : `${connectionCount}, of ${exportCount} disks and snapshots`];
  }
  const own = `${formatBytes(volumes.sizeBytes)}, ${formatBytes(volumes.ownBytes)} of it in their files`;
  const more = [
    volumes.encryptedCount > 0 ? `${volumes.encryptedCount} encrypted` : '',
    volumes.hydratingCount > 0 ? `${volumes.hydratingCount} being filled` : '',
    volumes.errorCount > 0 ? `${volumes.errorCount} IN ERROR` : '',
  ].filter((part) => part !== '');
  yield ['volumes', [`${volumes.count}: ${own}`, ...more].join('; ')];
  const sizes = `${formatBytes(stored.fullBytes)} in ${formatBytes(stored.storedBytes)} of store`;
  const pending = server.pendingSnapshotCount > 0 ? `; ${server.pendingSnapshotCount} being stored` : '';
  yield ['snapshots', `${stored.snapshotCount} completed: ${sizes}${pending}`];
  if (whole.instanceSnapshots.count > 0) yield ['', instanceSnapshotWords(whole.instanceSnapshots)];
  const running = server.tasks.filter(({ runningSinceMs }) => runningSinceMs !== null);
  yield ['tasks', running.length === 0 ? 'none runs now' : running.map((task) => taskWords(task, nowMs)).join(', ')];
  for (const { name, failure } of server.tasks) {
    if (failure !== null) yield ['', `${name} failed last time: ${printable(failure)}`];
  }
  if (server.troubles.length === 0) yield ['troubles', 'none since the start'];
  else yield ['troubles', `the last of ${server.troubles.length} warnings and errors that are kept`];
  for (const { atMs, level, event, detail } of server.troubles.slice(-TROUBLES_SHOWN)) {
    yield ['', `${new Date(atMs).toISOString().slice(0, 19)}Z ${level} ${event}: ${printable(detail)}`];
  }
}

function taskWords({ name, runningSinceMs }: StatusTask, nowMs: number): string {
  return `${name} (for ${durationWords(nowMs - (runningSinceMs ?? nowMs))})`;
}

function line(name: string, fact: string): string {
  return `${name.padEnd(12)} ${fact}\n`;
}
