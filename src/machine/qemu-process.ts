import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readFile } from 'node:fs/promises';

import type { Clock } from '#base/clock.ts';

import { poll } from './deadline.ts';

/** A process, told apart from a later one that got its number. */
export interface ProcessIdentity {
  readonly processId: number;
  /** Ticks between the start of the computer and that of the process. */
  readonly startTicks: number;
}

/** Of /proc, on every Linux. */
const TICKS_A_SECOND = 100;
/** `ulimit -f` counts 512 bytes: no file that QEMU writes grows beyond 64 MiB, also when nobody trims its console's log. */
const FILE_BLOCKS_MAX = 131_072;
/** Where memory is short, the kernel ends a machine, and not who serves the disks of all. */
const SHORT_OF_MEMORY = 'echo 500 > /proc/self/oom_score_adj';
/** Sets the limit and becomes QEMU. A write beyond the limit then fails, and QEMU goes on. */
const LIMITED = `ulimit -f ${FILE_BLOCKS_MAX}; trap '' XFSZ; { ${SHORT_OF_MEMORY}; } 2> /dev/null; exec "$@"`;

/**
 * Starts a program that outlives this process: in a session of its own, with its complaints in `logPath`. Resolves when it
 * has a process; throws when it cannot be started.
 */
export async function spawnDetached(
  program: string,
  args: readonly string[],
  options: { readonly logPath: string },
): Promise<{ readonly hasEnded: () => boolean; readonly kill: () => void }> {
  await using log = await open(options.logPath, 'a', 0o600);
  const child = spawn('/bin/sh', ['-c', LIMITED, 'sh', program, ...args], {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' },
  });
  await once(child, 'spawn');
  child.on('error', () => {}); // Of signals to it; whoever waits for it sees whether it lives.
  child.unref();
  return {
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    kill: () => void child.kill('SIGKILL'),
  };
}

/**
 * As `processOfFile`; where the file is missing, or not written yet, the process that was started with it: a server may die
 * between the start of a process and that file. Null: there is none.
 */
export async function findProcess(path: string): Promise<ProcessIdentity | null> {
  const known = await processOfFile(path);
  if (known !== null) return known;
  for (const name of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(name)) continue;
    const args = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (args[args.indexOf(path) - 1] !== '-pidfile') continue;
    const found = await statOf(`/proc/${name}/stat`);
    if (found !== null && !found.isOver) return { processId: Number(name), startTicks: found.startTicks };
  }
  return null;
}

/** The process whose number is in a file, if it was started with that file's path as an argument; null otherwise. */
export async function processOfFile(path: string): Promise<ProcessIdentity | null> {
  const processId = Number((await readFile(path, 'utf8').catch(() => '')).trim());
  if (!Number.isSafeInteger(processId) || processId <= 1) return null;
  const args = (await readFile(`/proc/${processId}/cmdline`, 'utf8').catch(() => '')).split('\0');
  if (!args.includes(path)) return null;
  const found = await statOf(`/proc/${processId}/stat`);
  return found === null || found.isOver ? null : { processId, startTicks: found.startTicks };
}

export async function isAlive({ processId, startTicks }: ProcessIdentity): Promise<boolean> {
  const found = await statOf(`/proc/${processId}/stat`);
  return found !== null && !found.isOver && found.startTicks === startTicks;
}

/** True: it is gone. */
export async function waitUntilGone(identity: ProcessIdentity, clock: Clock, timeoutMs: number): Promise<boolean> {
  const gone = await poll(clock, { timeoutMs, everyMs: 10 }, async () => ((await isAlive(identity)) ? null : true));
  return gone === true;
}

/** Ends it at once. What it had not written to its disks was not acknowledged to its guest's flushes either. */
export async function kill(identity: ProcessIdentity): Promise<void> {
  if (!(await isAlive(identity))) return;
  try {
    process.kill(identity.processId, 'SIGKILL');
  } catch {
    // It was gone in between.
  }
}

/** Seconds of processor time that threads of a process have had; those that are gone count as none. */
export async function threadSeconds(processId: number, threadIds: readonly number[]): Promise<number> {
  const stats = await Promise.all(threadIds.map((thread) => statOf(`/proc/${processId}/task/${thread}/stat`)));
  return stats.reduce((sum, stat) => sum + (stat?.cpuTicks ?? 0), 0) / TICKS_A_SECOND;
}

/** Of proc(5)'s `stat`. The name, which is the process's own, ends at the last bracket. */
async function statOf(
  path: string,
): Promise<{ readonly isOver: boolean; readonly startTicks: number; readonly cpuTicks: number } | null> {
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) return null;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (field: number): number => Number(fields[field - 3] ?? 0);
  // Z: it ended, and its parent has not looked yet.
  return { isOver: /^[ZX]/.test(fields[0] ?? ''), startTicks: number(22), cpuTicks: number(14) + number(15) };
}

/** What identifies this run of the computer: another one has none of the processes of before. */
export async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
}
