import type { Clock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';

import { trimConsole } from './console-log.ts';
import { poll } from './deadline.ts';
import { GuestAgent } from './guest-agent.ts';
import { GuestFreeze } from './guest-freeze.ts';
import { HypervisorError, type MachineStatus, type MachineUsage, type PortForward } from './hypervisor.ts';
import { members } from './json-lines.ts';
import { MachineDisks } from './machine-disks.ts';
import { changeForwards } from './machine-forwards.ts';
import { type MachineRecord, type machinePaths, writeRecord } from './machine-record.ts';
import { machineUsage, processorThreads } from './machine-usage.ts';
import { isAlive, kill, type ProcessIdentity, waitUntilGone } from './qemu-process.ts';
import { Qmp, type QmpEvent } from './qmp.ts';

export interface QemuMachineOptions {
  readonly record: MachineRecord;
  readonly process: ProcessIdentity;
  readonly paths: ReturnType<typeof machinePaths>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Something happened of itself: it ended, it paused, its guest shut down. Look at `state`. */
  readonly onChange: () => void;
}

/**
 * `shut-down`: its guest shut down, and the process waits to be ended. `broken`: the accelerator cannot run it.
 * `ended`: there is no process.
 */
export type QemuState = 'running' | 'paused' | 'shut-down' | 'broken' | 'ended';

const CONNECT_MS_MAX = 30_000;
/** A QEMU with nothing to wait for ends within a tenth of that. */
const QUIT_MS_MAX = 5_000;
const KILL_MS_MAX = 30_000;
const AGENT_MS_MAX = 3_000;
/** A machine that a full disk holds is let go on so often: there may be room again. */
const RETRY_MS = 10_000;

/** A QEMU process that runs, whoever started it, and the connections to it. */
export class QemuMachine implements Disposable {
  readonly process: ProcessIdentity;
  readonly disks: MachineDisks;
  readonly freeze: GuestFreeze;
  readonly #options: QemuMachineOptions;
  readonly #agent: GuestAgent;
  #record: MachineRecord;
  #state: QemuState = 'running';
  #isHeldByDisk = false;
  #retriedAtMs = Number.NEGATIVE_INFINITY;
  #isAgentThere = false;
  #threadIds: readonly number[] = [];
  #qmp: Qmp | null = null;
  #connecting: Promise<Qmp> | null = null;
  #disposed = false;
  #shutDown = Promise.withResolvers<void>();
  readonly #hurried = new AbortController();

  constructor(options: QemuMachineOptions) {
    const { record, clock, random, paths, log } = options;
    this.process = options.process;
    this.#options = options;
    this.#record = record;
    this.#agent = new GuestAgent({ socketPath: paths.agentSocket, clock, random });
    this.freeze = new GuestFreeze({ agent: this.#agent, isAgentThere: () => this.#isAgentThere, clock, log });
    this.disks = new MachineDisks({
      ...{ id: record.id, disks: record.disks, clock, log },
      monitor: () => this.monitor(),
      onChange: (disks) => this.#keep({ ...this.#record, disks }),
    });
  }

  get record(): MachineRecord {
    return this.#record;
  }

  get state(): QemuState {
    return this.#state;
  }

  get status(): MachineStatus {
    const { id, accelerator, startedAtMs, forwards } = this.#record;
    return {
      ...{ id, accelerator, startedAtMs, forwards },
      state: this.#state === 'running' ? 'running' : 'paused',
      reason: null,
      processId: this.process.processId,
      volumes: this.disks.volumes,
      agent: this.freeze.answers,
    };
  }

  /** The connection to its monitor, made anew when it was lost. Throws HypervisorError. */
  async monitor(): Promise<Qmp> {
    if (this.#qmp?.isOpen === true) return this.#qmp;
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = null));
    return await this.#connecting;
  }

  /** Looks after it: is it there, are we connected, is its console's log too long, has a disk that was full room again? */
  async tend(): Promise<void> {
    if (!(await isAlive(this.process))) {
      this.#end();
      return;
    }
    if (this.#qmp?.isOpen !== true) await this.monitor();
    await this.disks.tend();
    await trimConsole(this.#options.paths.consoleLog);
    const nowMs = this.#options.clock.monotonicMs();
    if (!this.#isHeldByDisk || nowMs - this.#retriedAtMs < RETRY_MS) return;
    this.#retriedAtMs = nowMs;
    await this.resume();
  }

  /** Goes on after a pause. */
  async resume(): Promise<void> {
    if (this.#state !== 'paused') return;
    const qmp = await this.monitor();
    await qmp.execute('cont');
    await this.#look(qmp);
  }

  /** Asks the guest to shut down, by its agent and by its power button. True: it did, within the time. */
  async askToShutDown(graceMs: number): Promise<boolean> {
    const { clock, log } = this.#options;
    if (this.#hasShutDown()) return true;
    await this.freeze.release(); // A guest that is held cannot.
    const qmp = await this.monitor();
    if (this.#isAgentThere) {
      const asked = this.#agent.tell('guest-shutdown', { timeoutMs: AGENT_MS_MAX, args: { mode: 'powerdown' } });
      await asked.catch((error: unknown) => log.info('machine-agent-silent', { error: describeError(error) }));
    }
    await qmp.execute('system_powerdown');
    // A timer that is left keeps a process that has nothing else to do.
    const done = new AbortController();
    const late = clock.sleep(graceMs, AbortSignal.any([done.signal, this.#hurried.signal])).catch(() => {}); // Hurried, or done.
    await Promise.race([this.#shutDown.promise, qmp.closed, late]);
    done.abort();
    return this.#hasShutDown();
  }

  /** Who waits for the guest waits no longer. */
  hurry(): void {
    this.#hurried.abort();
  }

  /** As if the reset button were pressed; also of one that shut down. */
  async reset(): Promise<void> {
    const qmp = await this.monitor();
    await this.freeze.release();
    await qmp.execute('system_reset');
    this.#shutDown = Promise.withResolvers<void>();
    await qmp.execute('cont');
    await this.#look(qmp);
  }

  /**
   * Ends the process: in order, or, when it has not gone by then, at once. Its volumes may be closed afterwards and not
   * before: a QEMU whose NBD server is gone waits for it.
   */
  async quit(): Promise<void> {
    const { clock } = this.#options;
    await this.freeze.release();
    const qmp = this.#qmp; // One that is not connected is not waited for.
    if (qmp !== null) void qmp.execute('quit', {}, QUIT_MS_MAX).catch(() => {}); // It is gone, or does not answer: see below.
    if (!(await waitUntilGone(this.process, clock, QUIT_MS_MAX))) await this.kill();
    this.#state = 'ended';
    this[Symbol.dispose]();
  }

  async kill(): Promise<void> {
    await kill(this.process);
    if (!(await waitUntilGone(this.process, this.#options.clock, KILL_MS_MAX))) {
      throw new HypervisorError('failed', `process ${this.process.processId} of ${this.#record.id} cannot be ended`);
    }
  }

  async forward(forwards: readonly PortForward[]): Promise<void> {
    const qmp = await this.monitor();
    await changeForwards(qmp, this.#record.forwards, forwards, (current) =>
      this.#keep({ ...this.#record, forwards: current }),
    );
  }

  async usage(): Promise<MachineUsage> {
    return await machineUsage(this.process.processId, this.#threadIds, this.#isAgentThere ? this.#agent : null);
  }

  /** Lets go of the connections; the process goes on. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.freeze.dispose();
    this.#agent[Symbol.dispose]();
    this.#qmp?.[Symbol.dispose]();
  }

  #hasShutDown(): boolean {
    return this.#state === 'shut-down' || this.#state === 'ended';
  }

  async #connect(): Promise<Qmp> {
    const { clock, paths } = this.#options;
    const qmp = await poll(clock, { timeoutMs: CONNECT_MS_MAX, everyMs: 20 }, async () => {
      if (this.#disposed || !(await isAlive(this.process))) return 'ended' as const;
      const onEvent = (event: QmpEvent): void => this.#event(event);
      return await Qmp.connect(paths.monitorSocket, { clock, timeoutMs: CONNECT_MS_MAX, onEvent }).catch(() => null);
    });
    if (qmp === null || qmp === 'ended') {
      throw new HypervisorError('failed', `QEMU of ${this.#record.id} ${qmp === null ? 'does not answer' : 'is gone'}`);
    }
    if (this.#disposed) qmp[Symbol.dispose]();
    this.#qmp = qmp;
    void qmp.closed.then(() => this.#lost());
    this.#threadIds = await processorThreads(qmp);
    await this.disks.compare(await deviceNames(qmp));
    this.#agentIs(await isAgentOpen(qmp));
    await this.#look(qmp);
    return qmp;
  }

  #event({ name, data }: QmpEvent): void {
    if (name === 'SHUTDOWN' && data['guest'] === true) {
      this.#state = 'shut-down';
      this.#shutDown.resolve();
      this.#options.onChange();
    } else if (name === 'STOP' || name === 'RESUME') {
      const qmp = this.#qmp;
      if (qmp !== null) void this.#look(qmp).catch(() => {}); // It went away: that is seen by itself.
    } else if (name === 'DEVICE_DELETED') {
      void this.disks.deviceDeleted(data['device']);
    } else if (name === 'VSERPORT_CHANGE' && data['id'] === 'agent') {
      this.#agentIs(data['open'] === true);
    }
  }

  #agentIs(isThere: boolean): void {
    this.#isAgentThere = isThere;
    if (!isThere) return;
    this.#agent.restarted();
    this.freeze.agentAppeared();
  }

  async #look(qmp: Qmp): Promise<void> {
    const status = members(await qmp.execute('query-status'))?.['status'];
    const state = stateOf(status);
    this.#isHeldByDisk = status === 'io-error';
    if (state === this.#state || this.#state === 'ended') return;
    this.#state = state;
    if (state === 'shut-down') this.#shutDown.resolve();
    this.#options.onChange();
  }

  async #lost(): Promise<void> {
    if (this.#disposed) return;
    if (await waitUntilGone(this.process, this.#options.clock, QUIT_MS_MAX)) this.#end();
  }

  #end(): void {
    if (this.#state === 'ended' || this.#disposed) return;
    this.#state = 'ended';
    this[Symbol.dispose]();
    this.#options.onChange();
  }

  async #keep(record: MachineRecord): Promise<void> {
    this.#record = record;
    await writeRecord(this.#options.paths.directory, record);
  }
}

function stateOf(status: unknown): QemuState {
  if (status === 'running' || status === 'prelaunch' || status === 'inmigrate') return 'running';
  if (status === 'shutdown') return 'shut-down';
  return status === 'internal-error' ? 'broken' : 'paused';
}

/** A program in the guest has the port open. */
async function isAgentOpen(qmp: Qmp): Promise<boolean> {
  const found = await qmp.execute('query-chardev');
  if (!Array.isArray(found)) return false;
  return found.map(members).some((chardev) => chardev?.['label'] === 'agent' && chardev['frontend-open'] === true);
}

async function deviceNames(qmp: Qmp): Promise<ReadonlySet<string>> {
  const found = await qmp.execute('qom-list', { path: '/machine/peripheral' });
  if (!Array.isArray(found)) return new Set();
  return new Set(found.map((entry) => members(entry)?.['name']).filter((name) => typeof name === 'string'));
}
