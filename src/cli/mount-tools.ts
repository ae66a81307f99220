import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { systemClock } from '#base/clock.ts';

import { CommandError } from './command-error.ts';
import type { ServingProcess } from './mount-record.ts';

/** Debian's packages of the programs that mounting needs. */
const PACKAGES: Readonly<Record<string, string>> = {
  nbdfuse: 'libnbd-bin',
  fusermount3: 'fuse3',
  fuse2fs: 'fuse2fs',
  'qemu-nbd': 'qemu-utils',
  'nbd-client': 'nbd-client',
  e2fsck: 'e2fsprogs',
  'mkfs.ext4': 'e2fsprogs',
  mount: 'mount',
  umount: 'mount',
  losetup: 'mount',
};

const POLL_MS = 20;
/** What takes longer hangs. A last write to a disk on a slow machine may take long. */
export const PATIENCE_MS = 60_000;

export function isInstalled(program: string): boolean {
  const paths = `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`.split(delimiter);
  return paths.some((path) => path !== '' && existsSync(join(path, program)));
}

/** Throws CommandError that says what to install. */
export function requireProgram(program: string, why: string): void {
  if (isInstalled(program)) return;
  throw new CommandError(
    `${program} is not installed, and ${why}. It comes with the package ${PACKAGES[program] ?? program}`,
  );
}

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`, LC_ALL: 'C' };
}

/** Runs a program to its end. Throws CommandError when it is not installed. It is not interrupted: whatever it began is undone by whoever asked. */
export async function runTool(
  program: string,
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly output: string; readonly errors: string }> {
  requireProgram(program, 'it is needed for this');
  // A session of its own: Ctrl-C is for this command, which undoes what was begun.
  const child = spawn(program, [...args], { stdio: ['ignore', 'pipe', 'pipe'], env: environment(), detached: true });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { code, output: output.trim(), errors: errors.trim().split('\n')[0] ?? '' };
}

/** Starts a program that goes on when this one has ended. What it says goes to a file. */
export async function startServing(program: string, args: readonly string[], logPath: string): Promise<ServingProcess> {
  const log = openSync(logPath, 'a', 0o600);
  try {
    const child = spawn(program, [...args], { stdio: ['ignore', log, log], env: environment(), detached: true });
    const pid = await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('spawn', () => resolve(child.pid ?? -1));
    });
    child.unref();
    return { pid, startTicks: startTicksOf(pid) ?? 0 };
  } finally {
    closeSync(log);
  }
}

/** Waits for something that a program makes. Throws CommandError with the program's words when it ended before. */
export async function waitFor(
  isThere: () => boolean,
  what: {
    readonly program: string;
    readonly process: ServingProcess;
    readonly logPath: string;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const startedMs = systemClock.monotonicMs();
  while (!isThere()) {
    const words = (): string => readFileSync(what.logPath, 'utf8').trim().split('\n').at(-1) ?? '';
    if (!isAlive(what.process)) throw new CommandError(`${what.program} ended: ${words() || 'it did not say why'}`);
    if (systemClock.monotonicMs() - startedMs > PATIENCE_MS)
      throw new CommandError(`${what.program} does not answer: ${words()}`);
    await systemClock.sleep(POLL_MS, what.signal);
  }
}

/** Whether it is still the process that was started. */
export function isAlive({ pid, startTicks }: ServingProcess): boolean {
  return startTicks !== 0 && startTicksOf(pid) === startTicks;
}

/** Whether it ended in time. */
export async function waitForEnd(process: ServingProcess): Promise<boolean> {
  const startedMs = systemClock.monotonicMs();
  while (isAlive(process)) {
    if (systemClock.monotonicMs() - startedMs > PATIENCE_MS) return false;
    await systemClock.sleep(POLL_MS);
  }
  return true;
}

/** Null: it is gone, or only waits for its parent to notice. */
function startTicksOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in brackets may hold anything, also brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : Number(fields[19]);
  } catch {
    return null;
  }
}

/** Whether something is mounted there, as the kernel tells it. */
export function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => unescaped(line.split(' ')[4] ?? '') === path);
}

/** Spaces and the like are octal in the kernel's tables. */
function unescaped(text: string): string {
  const bytes = Buffer.from(text).toString('latin1');
  const whole = bytes.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  return Buffer.from(whole, 'latin1').toString();
}
