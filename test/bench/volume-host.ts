import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { VolumeHost } from '#volume/host.ts';
import { HostSupervisor } from '#volume/host-supervisor.ts';
import { type Figure, numberText } from './volume-figures.ts';
import { proportionalBytes, residentBytes } from '../running-server.ts';

/** Long enough for idle threads to end, and for V8 to find that nothing happens and collect its garbage: it takes some twenty seconds. */
const REST_MS = 30_000;

/** The volume host in a process of its own, as the server starts it, with this process as its control. */
export interface MeasuredHost extends AsyncDisposable {
  readonly host: VolumeHost;
  readonly dataDirectory: string;
  readonly pid: number;
}

/** On an empty data directory of that name, which goes away with it. */
export async function startHost(parent: string, name: string): Promise<MeasuredHost> {
  const dataDirectory = join(parent, name);
  await mkdir(dataDirectory);
  const supervisor = await HostSupervisor.start({
    dataDirectory,
    settings: { nbdTcp: null },
    build: 'benchmark',
    clock: systemClock,
    log: silentLog,
    onRestart: async () => {
      throw new Error(`the volume host died; see ${dataDirectory}`);
    },
  });
  const { pid } = supervisor;
  return {
    host: supervisor.host,
    dataDirectory,
    pid,
    [Symbol.asyncDispose]: async () => {
      await supervisor[Symbol.asyncDispose]();
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

/** In bytes, of one process. */
export interface Memory {
  /** Resident, program text that others share included. */
  readonly resident: number;
  /** Resident, shared pages in equal parts. */
  readonly proportional: number;
}

export async function memoryAtRest(pid: number): Promise<Memory> {
  await systemClock.sleep(REST_MS);
  return { resident: residentBytes(pid), proportional: proportionalBytes(pid) };
}

/** What counts is what is resident. `below` is in megabytes. */
export function memoryFigure(key: string, name: string, { resident, proportional }: Memory, below: number): Figure {
  const note = `PSS ${numberText(proportional / 1e6)} MB`;
  return { key, name, value: resident / 1e6, unit: 'MB', note, goal: { below } };
}
