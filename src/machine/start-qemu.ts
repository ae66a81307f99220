import { readFile, rm, stat } from 'node:fs/promises';

import type { Clock } from '#base/clock.ts';

import { poll } from './deadline.ts';
import { HypervisorError } from './hypervisor.ts';
import type { machinePaths, MachineRecord } from './machine-record.ts';
import { type NetworkMode, qemuArguments } from './qemu-arguments.ts';
import { findProcess, type ProcessIdentity, processOfFile, spawnDetached } from './qemu-process.ts';

/** QEMU says what process it is as soon as it has looked at its arguments, also where the computer has much else to do. */
const PROCESS_MS_MAX = 30_000;

/** Starts the process; resolves when it is known. Throws HypervisorError when it ended at once, with what it said. */
export async function startQemu(options: {
  readonly program: string;
  readonly record: MachineRecord;
  readonly paths: ReturnType<typeof machinePaths>;
  readonly network: NetworkMode;
  readonly clock: Clock;
}): Promise<ProcessIdentity> {
  const { record, paths, network, clock } = options;
  const alive = await findProcess(paths.processFile);
  if (alive !== null) return alive; // Another of us started it, and was killed before it could say so.
  for (const path of [paths.processFile, paths.log]) await rm(path, { force: true });
  const args = qemuArguments({ ...record, network, paths });
  const child = await spawnDetached(options.program, args, { logPath: paths.log });
  const found = await poll(clock, { timeoutMs: PROCESS_MS_MAX, everyMs: 10 }, async () => {
    return (await processOfFile(paths.processFile)) ?? (child.hasEnded() ? ('ended' as const) : null);
  });
  if (found !== null && found !== 'ended') return found;
  child.kill(); // It may come to itself later, and would write to disks that are another's by then.
  throw await failure(record, paths.log);
}

/** What QEMU complained of when it could not start. */
export async function failure(record: MachineRecord, logPath: string): Promise<HypervisorError> {
  const said = (await stat(logPath).catch(() => null)) === null ? '' : await readFile(logPath, 'utf8');
  const line = said.trim().split('\n').at(-1)?.slice(0, 400) ?? '';
  const message = `QEMU does not start ${record.id}: ${line === '' ? 'it says nothing' : line}`;
  if (/host forwarding/i.test(line)) return new HypervisorError('port-taken', message);
  const isResource = /connect to|blockdev|-m size|allocate memory|bridge helper|lock/i.test(line);
  return new HypervisorError(isResource ? 'resources' : 'failed', message);
}
