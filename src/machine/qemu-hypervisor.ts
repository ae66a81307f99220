import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Clock } from '#base/clock.ts';
import { KeyLock } from '#base/key-lock.ts';
import type { Log } from '#base/log.ts';
import { makeDirectory } from '#base/make-directory.ts';
import type { Random } from '#base/random.ts';
import { type InstanceId, parseInstanceId, type VolumeId } from '#domain/ids.ts';
import { GUEST_SHUT_DOWN } from '#domain/instance.ts';

import { consoleTail } from './console-log.ts';
import { placeFor, SYSTEM_PLACE } from './disk-places.ts';
import {
  type Capabilities,
  type Hypervisor,
  HypervisorError,
  type MachineDisk,
  type MachineSpec,
  type MachineStatus,
  type MachineUsage,
  type PortForward,
  type Quiesced,
} from './hypervisor.ts';
import {
  decodeRecord,
  type Ended,
  machinePaths,
  type MachineRecord,
  type RecordedDisk,
  recordPath,
  writeRecord,
} from './machine-record.ts';
import type { NetworkMode } from './qemu-arguments.ts';
import { QemuMachine } from './qemu-machine.ts';
import { bootId, findProcess, isAlive, kill, processOfFile, waitUntilGone } from './qemu-process.ts';
import { QemuProgram } from './qemu-program.ts';
import { encodeSeed } from './seed-image.ts';
import { failure, startQemu } from './start-qemu.ts';

export interface QemuHypervisorOptions {
  /** A directory a machine is in it: its record, its console's log. Made when it is missing. */
  readonly machinesDirectory: string;
  /** Exists, is short enough for sockets, and private. */
  readonly socketDirectory: string;
  readonly network: NetworkMode;
  /** `auto`, unless given: the processor where a probe shows that it can, else emulation. */
  readonly accelerator?: 'auto' | 'kvm' | 'tcg';
  /** QEMU's path, unless it is found by its name. */
  readonly program?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How often machines are looked after. A process that ends is noticed at once, by its monitor's connection. */
const TEND_MS = 1_000;
const KILL_MS_MAX = 30_000;

interface Entry {
  record: MachineRecord;
  /** Null: it does not run. */
  machine: QemuMachine | null;
}

/**
 * Machines as QEMU processes in sessions of their own, found again by the files in `machinesDirectory`. What is asked of one
 * machine happens in order; only a stop without grace overtakes one with.
 */
export class QemuHypervisor implements Hypervisor {
  readonly #options: QemuHypervisorOptions;
  readonly #program: QemuProgram;
  readonly #entries = new Map<InstanceId, Entry>();
  readonly #turns = new KeyLock();
  readonly #watchers: ((id: InstanceId) => void)[] = [];
  readonly #closing = new AbortController();
  #tending: Promise<void> = Promise.resolve();

  private constructor(options: QemuHypervisorOptions) {
    this.#options = options;
    this.#program = new QemuProgram({ ...options, cachePath: join(options.socketDirectory, 'accelerator.json') });
  }

  /** Resolves when every machine that runs is connected again, or has been given up for now. */
  static async open(options: QemuHypervisorOptions): Promise<QemuHypervisor> {
    await makeDirectory(options.machinesDirectory);
    const hypervisor = new QemuHypervisor(options);
    const names = await readdir(options.machinesDirectory);
    const ids = names.map(parseInstanceId).filter((id) => id !== null);
    await Promise.all(ids.map((id) => hypervisor.#find(id).catch((error: unknown) => hypervisor.#trouble(id, error))));
    hypervisor.#tending = hypervisor.#tend();
    return hypervisor;
  }

  /** Why no machine can be run here, in a sentence; null: QEMU is installed. */
  async hindrance(): Promise<string | null> {
    return await this.#program.path().then(
      () => null,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
  }

  async capabilities(): Promise<Capabilities> {
    return await this.#program.capabilities();
  }

  async start(spec: MachineSpec): Promise<void> {
    await this.#turns.run(spec.id, async () => {
      const entry = this.#entries.get(spec.id);
      const machine = entry?.machine ?? null;
      if (machine?.state === 'running' || machine?.state === 'paused') {
        await machine.resume();
        return;
      }
      // It ended just now, and nobody has looked yet.
      if (entry !== undefined && machine !== null) await this.#settle(entry, machine);
      const accelerator = await this.#program.accelerator();
      const paths = this.#paths(spec.id);
      await mkdir(paths.directory, { recursive: true, mode: 0o700 });
      await writeFile(paths.seed, encodeSeed(spec.seed), { mode: 0o600 }); // It may hold secrets.
      const { id, cpuCount, memoryMib, forwards } = spec;
      const record = {
        ...{ id, cpuCount, memoryMib, forwards, accelerator, bootId: await bootId(), ended: null },
        startedAtMs: this.#options.clock.nowMs(),
        disks: plugged(spec.disks),
      };
      await this.#run(record);
    });
  }

  async stop(id: InstanceId, options: { readonly graceMs: number }): Promise<void> {
    if (options.graceMs === 0) this.#entries.get(id)?.machine?.hurry();
    await this.#turns.run(id, async () => {
      const entry = this.#entries.get(id);
      const machine = entry?.machine ?? null;
      if (entry === undefined || machine === null) return;
      if (options.graceMs > 0) await machine.askToShutDown(options.graceMs).catch(() => {}); // Then it is ended.
      const isClean = machine.state === 'shut-down';
      await machine.quit();
      await this.#ended(entry, { reason: null, isClean });
    });
  }

  async reboot(id: InstanceId, options: { readonly graceMs: number }): Promise<void> {
    await this.#onMachine(id, async (machine) => {
      await machine.askToShutDown(options.graceMs);
      await machine.reset();
    });
  }

  async list(): Promise<readonly MachineStatus[]> {
    return [...this.#entries.values()].map(({ record, machine }) =>
      machine !== null && machine.state !== 'ended' ? machine.status : stoppedStatus(record),
    );
  }

  async attach(id: InstanceId, disk: MachineDisk): Promise<void> {
    await this.#onMachine(id, (machine) => machine.disks.attach(disk));
  }

  async detach(
    id: InstanceId,
    volume: VolumeId,
    options: { readonly graceMs: number; readonly force: boolean },
  ): Promise<void> {
    await this.#turns.run(id, async () => this.#entries.get(id)?.machine?.disks.detach(volume, options));
  }

  /** Out of turn: who is to be quiesced may be held for another snapshot, and is let go when it is stopped. */
  async quiesce(id: InstanceId, options: { readonly timeoutMs: number }): Promise<Quiesced> {
    const { record, machine = null } = this.#entries.get(id) ?? {};
    if (machine !== null) return await machine.freeze.quiesce(options);
    // One that never ran has what its disks were made of.
    const { reason, isClean } = record?.ended ?? { reason: null, isClean: true };
    return {
      consistency: isClean ? 'filesystem' : 'crash',
      note: isClean ? null : (reason ?? 'it was ended before its guest had shut down'),
      isHeld: () => (this.#entries.get(id)?.machine ?? null) === null,
      heldMs: () => 0,
      [Symbol.asyncDispose]: async () => {},
    };
  }

  async console(id: InstanceId, bytesMax: number): Promise<Buffer> {
    return await consoleTail(this.#paths(id).consoleLog, bytesMax);
  }

  async usage(id: InstanceId): Promise<MachineUsage | null> {
    return (await this.#entries.get(id)?.machine?.usage()) ?? null;
  }

  async forward(id: InstanceId, forwards: readonly PortForward[]): Promise<void> {
    await this.#onMachine(id, async (machine) => {
      if (this.#options.network.mode === 'user') await machine.forward(forwards); // A bridge has all ports.
    });
  }

  async forget(id: InstanceId): Promise<void> {
    await this.#turns.run(id, async () => {
      if ((this.#entries.get(id)?.machine ?? null) !== null) {
        throw new HypervisorError('failed', `${id} runs, it cannot be forgotten`);
      }
      this.#entries.delete(id);
      await this.#endUnknown(id);
      await rm(this.#paths(id).directory, { recursive: true, force: true });
    });
  }

  watch(onChange: (id: InstanceId) => void): void {
    this.#watchers.push(onChange);
  }

  /** Lets go of the machines, which go on. None stays frozen. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    for (const { machine } of this.#entries.values()) {
      await machine?.freeze.release();
      machine?.[Symbol.dispose]();
    }
    await this.#tending;
    this.#entries.clear();
  }

  #paths(id: InstanceId): ReturnType<typeof machinePaths> {
    return machinePaths(id, this.#options);
  }

  async #onMachine(id: InstanceId, act: (machine: QemuMachine) => Promise<void>): Promise<void> {
    await this.#turns.run(id, async () => {
      const machine = this.#entries.get(id)?.machine ?? null;
      if (machine === null || machine.state === 'ended') throw new HypervisorError('not-running', `${id} does not run`);
      await act(machine);
    });
  }

  /** Starts what the record says. Throws when it did not come so far that the firmware runs. */
  async #run(record: MachineRecord): Promise<void> {
    const paths = this.#paths(record.id);
    const entry: Entry = this.#entries.get(record.id) ?? { record, machine: null };
    const before = entry.record.ended?.isClean ?? true;
    entry.record = record;
    this.#entries.set(record.id, entry);
    await writeRecord(paths.directory, record);
    try {
      const process = await startQemu({ ...this.#options, program: await this.#program.path(), record, paths });
      entry.machine = this.#machine(entry, process);
      await entry.machine.monitor();
    } catch (error) {
      const died = entry.machine !== null && !(await isAlive(entry.machine.process));
      await entry.machine?.quit();
      // Without a process nothing was written.
      const isClean = entry.machine === null && before;
      await this.#ended(entry, { reason: 'it could not be started', isClean });
      throw died ? await failure(record, paths.log) : error;
    }
  }

  #machine(entry: Entry, process: QemuMachine['process']): QemuMachine {
    const { id } = entry.record;
    return new QemuMachine({
      ...this.#options,
      ...{ record: entry.record, process, paths: this.#paths(id) },
      log: this.#options.log.with({ instance: id }),
      onChange: () => void this.#changed(id).catch((error: unknown) => this.#trouble(id, error)),
    });
  }

  /** A machine of which there are files: it runs, or it ended while nobody looked. */
  async #find(id: InstanceId): Promise<void> {
    const paths = this.#paths(id);
    const path = recordPath(paths.directory);
    const record = decodeRecord(existsSync(path) ? await readFile(path, 'utf8') : '');
    if (record === null || record.id !== id) {
      this.#options.log.error('machine-record-unreadable', { instance: id });
      // Nobody could look after it, and what it is said to be is stopped.
      await this.#endUnknown(id);
      return;
    }
    const entry: Entry = { record, machine: null };
    this.#entries.set(id, entry);
    // One that had ended is not looked for among all processes.
    const find = record.ended === null ? findProcess : processOfFile;
    const process = await find(paths.processFile);
    if (process === null) {
      if (record.ended !== null) return;
      const isThisRun = record.bootId === (await bootId());
      const reason = isThisRun ? 'its process was killed' : 'the computer was started anew';
      await this.#ended(entry, { reason, isClean: false });
      return;
    }
    entry.machine = this.#machine(entry, process);
    // One that does not answer now is tried again each second.
    await entry.machine.monitor().catch((error: unknown) => this.#trouble(id, error));
  }

  /** Ends a machine's process of which there is no record. */
  async #endUnknown(id: InstanceId): Promise<void> {
    const process = await findProcess(this.#paths(id).processFile);
    if (process === null) return;
    await kill(process);
    if (!(await waitUntilGone(process, this.#options.clock, KILL_MS_MAX))) {
      throw new HypervisorError('failed', `process ${process.processId} of ${id} cannot be ended`);
    }
  }

  /** Something happened of itself. */
  async #changed(id: InstanceId): Promise<void> {
    await this.#turns.run(id, async () => {
      const entry = this.#entries.get(id);
      const machine = entry?.machine ?? null;
      if (entry === undefined || machine === null || this.#closing.signal.aborted) return;
      if (machine.state === 'broken') await this.#emulateInstead(entry, machine);
      else await this.#settle(entry, machine);
    });
    for (const onChange of this.#watchers) onChange(id);
  }

  /** Of one that does not run any more: what became of it is recorded, and its process is gone. */
  async #settle(entry: Entry, machine: QemuMachine): Promise<void> {
    const { state } = machine;
    if (state === 'running' || state === 'paused') return;
    const isClean = state === 'shut-down';
    if (state !== 'ended') await machine.quit();
    await this.#ended(entry, { reason: isClean ? GUEST_SHUT_DOWN : 'its process was killed', isClean });
  }

  /** KVM gave up on it. To its guest it is a power failure; it comes back, slower. */
  async #emulateInstead(entry: Entry, machine: QemuMachine): Promise<void> {
    const { record } = machine;
    this.#options.log.error('machine-accelerator-failed', { instance: record.id, accelerator: record.accelerator });
    await machine.quit();
    await this.#ended(entry, { reason: 'the accelerator failed', isClean: false });
    if (record.accelerator === 'tcg') return;
    await this.#program.condemnKvm(`KVM failed while ${record.id} ran (internal error): machines are emulated`);
    const disks = record.disks.filter(({ isLingering }) => !isLingering);
    await this.#run({ ...record, disks, accelerator: 'tcg', ended: null, startedAtMs: this.#options.clock.nowMs() });
  }

  async #ended(entry: Entry, ended: Ended): Promise<void> {
    const record = { ...(entry.machine?.record ?? entry.record), ended };
    entry.record = record;
    entry.machine = null;
    const { directory, processFile, monitorSocket, agentSocket, consoleSocket } = this.#paths(record.id);
    for (const path of [processFile, monitorSocket, agentSocket, consoleSocket]) await rm(path, { force: true });
    await writeRecord(directory, record);
  }

  async #tend(): Promise<void> {
    for (;;) {
      await this.#options.clock.sleep(TEND_MS, this.#closing.signal).catch(() => {}); // Closing: see below.
      if (this.#closing.signal.aborted) return;
      // Together: one that does not answer takes its time.
      const tended = [...this.#entries].map(async ([id, { machine }]) => {
        await machine?.tend().catch((error: unknown) => this.#trouble(id, error));
      });
      await Promise.all(tended);
    }
  }

  #trouble(id: InstanceId, error: unknown): void {
    if (this.#closing.signal.aborted) return; // Cut off by ourselves.
    this.#options.log.error('machine-trouble', { instance: id, error });
  }
}

function stoppedStatus({ id, accelerator, startedAtMs, ended }: MachineRecord): MachineStatus {
  return {
    ...{ id, accelerator, startedAtMs, state: 'stopped', reason: ended?.reason ?? null },
    ...{ processId: null, volumes: [], agent: null, forwards: [] },
  };
}

/** Each disk gets its place, the system volume the first. */
function plugged(disks: readonly MachineDisk[]): readonly RecordedDisk[] {
  const taken = new Set<number>();
  return disks.map((disk, index) => {
    const place = index === 0 ? SYSTEM_PLACE : placeFor(disk.device, taken);
    taken.add(place);
    return { ...disk, place, isLingering: false };
  });
}
