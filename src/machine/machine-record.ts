import { isIPv4 } from 'node:net';
import { join } from 'node:path';

import { writeFileAtomic } from '#base/atomic-file.ts';
import { assert } from '#base/assert.ts';
import { type InstanceId, parseInstanceId, parseVolumeId } from '#domain/ids.ts';

import { PLACE_MAX, SYSTEM_PLACE } from './disk-places.ts';
import type { PortForward } from './hypervisor.ts';
import { members, parseObject } from './json-lines.ts';
import type { LaunchPaths, PluggedDisk } from './qemu-arguments.ts';

/** What a machine was started as, so that the next process of ours knows it (docs/formats/machines.md). */
export interface MachineRecord {
  readonly id: InstanceId;
  readonly cpuCount: number;
  readonly memoryMib: number;
  readonly accelerator: 'kvm' | 'tcg';
  readonly startedAtMs: number;
  /** Of the computer when it was started: under another one it does not run any more. */
  readonly bootId: string;
  readonly disks: readonly RecordedDisk[];
  readonly forwards: readonly PortForward[];
  /** Null: it runs, as far as is known. */
  readonly ended: Ended | null;
}

export interface Ended {
  /** Null: somebody stopped it. */
  readonly reason: string | null;
  /** Its guest had shut down by then, and so had written all it had. */
  readonly isClean: boolean;
}

export interface RecordedDisk extends PluggedDisk {
  /** It was taken away, and the guest has not let go of what remains of it. */
  readonly isLingering: boolean;
}

const FILE = 'machine.json';
const VERSION = 1;

/** Where everything of a machine is. Sockets have short names: their paths are bounded. */
export function machinePaths(
  id: InstanceId,
  options: { readonly machinesDirectory: string; readonly socketDirectory: string },
): LaunchPaths & { readonly directory: string; readonly log: string } {
  const directory = join(options.machinesDirectory, id);
  return {
    directory,
    log: join(directory, 'qemu.log'),
    seed: join(directory, 'seed.iso'),
    consoleLog: join(directory, 'console.log'),
    processFile: join(directory, 'qemu.pid'),
    monitorSocket: join(options.socketDirectory, `${id}.qmp`),
    agentSocket: join(options.socketDirectory, `${id}.qga`),
    consoleSocket: join(options.socketDirectory, `${id}.tty`),
  };
}

export async function writeRecord(directory: string, record: MachineRecord): Promise<void> {
  const text = `${JSON.stringify({ version: VERSION, ...record }, null, 1)}\n`;
  assert(decodeRecord(text) !== null, 'a record that is written can be read');
  await writeFileAtomic(join(directory, FILE), text);
}

export function recordPath(directory: string): string {
  return join(directory, FILE);
}

/** Null: it is no record of this version. */
export function decodeRecord(text: string): MachineRecord | null {
  const object = parseObject(text);
  if (object?.['version'] !== VERSION) return null;
  const id = typeof object['id'] === 'string' ? parseInstanceId(object['id']) : null;
  const { cpuCount, memoryMib, accelerator, startedAtMs, bootId } = object;
  const disks = all(object['disks'], decodeDisk);
  const forwards = all(object['forwards'], decodeForward);
  const ended = object['ended'] === null ? null : members(object['ended']);
  if (id === null || disks === null || forwards === null || (ended === null && object['ended'] !== null)) return null;
  if (!isCount(cpuCount) || !isCount(memoryMib) || !isCount(startedAtMs) || typeof bootId !== 'string') return null;
  if (accelerator !== 'kvm' && accelerator !== 'tcg') return null;
  const reason = typeof ended?.['reason'] === 'string' ? ended['reason'] : null;
  return {
    ...{ id, cpuCount, memoryMib, accelerator, startedAtMs, bootId, disks, forwards },
    ended: ended === null ? null : { reason, isClean: ended['isClean'] === true },
  };
}

function all<T>(values: unknown, decode: (value: Readonly<Record<string, unknown>>) => T | null): readonly T[] | null {
  if (!Array.isArray(values)) return null;
  const decoded = values.map((value) => decode(members(value) ?? {})).filter((value) => value !== null);
  return decoded.length === values.length ? decoded : null;
}

function decodeDisk(value: Readonly<Record<string, unknown>>): RecordedDisk | null {
  const { socketPath, exportName, device, place, isLingering } = value;
  const volume = typeof value['volume'] === 'string' ? parseVolumeId(value['volume']) : null;
  if (volume === null || typeof socketPath !== 'string' || typeof exportName !== 'string') return null;
  if (typeof device !== 'string' || typeof isLingering !== 'boolean') return null;
  if (!isCount(place) || place < SYSTEM_PLACE || place > PLACE_MAX) return null;
  return { volume, socketPath, exportName, device, place, isLingering };
}

function decodeForward(value: Readonly<Record<string, unknown>>): PortForward | null {
  const { protocol, hostAddress, hostPort, guestPort } = value;
  if (protocol !== 'tcp' && protocol !== 'udp') return null;
  if (typeof hostAddress !== 'string' || !isIPv4(hostAddress) || !isCount(hostPort) || !isCount(guestPort)) return null;
  return { protocol, hostAddress, hostPort, guestPort };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
