import type { Clock } from '#base/clock.ts';
import type { InstanceId, VolumeId } from '#domain/ids.ts';
import { GUEST_SHUT_DOWN } from '#domain/instance.ts';

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
import { encodeSeed } from './seed-image.ts';

/** How a guest of the fake behaves. A test changes it at any time. */
export interface FakeGuest {
  /** It shuts down, or boots anew, when it is asked to. */
  heeds: boolean;
  /** It lets go of a disk when it is asked to. */
  letsGo: boolean;
  /** `missing`: no agent runs in it; `refuses`: freezing fails; `silent`: the agent does not answer in time. */
  agent: 'works' | 'missing' | 'refuses' | 'silent';
  /** What it answers to `console`. */
  console: string;
  usage: MachineUsage;
  /** Times that it booted, with the seed that it found. */
  boots: MachineSpec[];
  /** True: its writes are held. */
  frozen: boolean;
}

interface FakeMachine {
  readonly spec: MachineSpec;
  readonly guest: FakeGuest;
  state: 'running' | 'paused' | 'stopped';
  reason: string | null;
  /** Its guest had shut down when its process ended. */
  isClean: boolean;
  startedAtMs: number;
  processId: number;
  disks: readonly MachineDisk[];
  forwards: readonly PortForward[];
}

/** What outlives a hypervisor, as processes do: give it to the next one. */
export class FakeMachines {
  readonly byId = new Map<InstanceId, FakeMachine>();
  processCount = 0;
}

const WORKING: Capabilities = {
  accelerator: 'tcg',
  version: 'QEMU emulator version 7.2.22',
  missing: [],
  note: 'this processor cannot run machines, they are emulated',
};

/** What `capabilities` answers where there is no QEMU. */
export const FAKE_WITHOUT_QEMU: Capabilities = {
  accelerator: null,
  version: null,
  missing: ['qemu-system-x86'],
  note: 'qemu-system-x86_64 is not installed: apt-get install qemu-system-x86',
};

/** A hypervisor in memory. Guests boot at once; `guest` gives what they do, and methods below make things happen to them. */
export class FakeHypervisor implements Hypervisor {
  readonly #clock: Clock;
  readonly #machines: FakeMachines;
  readonly #watchers: ((id: InstanceId) => void)[] = [];
  readonly #failures: { readonly verb: string; readonly error: HypervisorError }[] = [];
  /** What new machines' guests are like. */
  readonly guests: Omit<FakeGuest, 'boots' | 'frozen'> = {
    heeds: true,
    letsGo: true,
    agent: 'works',
    console: '',
    usage: { cpuSeconds: 0, receivedBytes: 0, sentBytes: 0 },
  };
  /** `start i-…`, `quiesce i-…`: what was called, oldest first. */
  readonly calls: string[] = [];
  can: Capabilities = WORKING;

  constructor(options: { readonly clock: Clock; readonly machines?: FakeMachines }) {
    this.#clock = options.clock;
    this.#machines = options.machines ?? new FakeMachines();
  }

  /** The guest of a machine that was started once. */
  guest(id: InstanceId): FakeGuest {
    return this.#known(id).guest;
  }

  /** The machine's process is killed. */
  kill(id: InstanceId): void {
    this.#end(this.#known(id), 'its process was killed', false);
    this.#tell(id);
  }

  /** Its guest shuts down by itself. */
  shutDown(id: InstanceId): void {
    this.#end(this.#known(id), GUEST_SHUT_DOWN, true);
    this.#tell(id);
  }

  /** It is paused, as by a full disk. */
  pause(id: InstanceId): void {
    this.#running(id).state = 'paused';
    this.#tell(id);
  }

  /** The next call of `verb` throws. */
  failNext(verb: keyof Hypervisor & string, error: HypervisorError): void {
    this.#failures.push({ verb, error });
  }

  async capabilities(): Promise<Capabilities> {
    return this.can;
  }

  async start(spec: MachineSpec): Promise<void> {
    this.#called('start', spec.id);
    const found = this.#machines.byId.get(spec.id);
    if (found !== undefined && found.state !== 'stopped') {
      found.state = 'running';
      return;
    }
    if (this.can.accelerator === null) throw new HypervisorError('unavailable', this.can.note ?? 'there is no QEMU');
    const wanted = new Set(spec.forwards.map(hostSide));
    for (const other of this.#machines.byId.values()) {
      const taken = other.state === 'stopped' ? undefined : other.forwards.find((port) => wanted.has(hostSide(port)));
      if (taken !== undefined) throw new HypervisorError('port-taken', `port ${taken.hostPort} is taken`);
    }
    encodeSeed(spec.seed); // Throws where a machine's seed could not be written.
    const guest: FakeGuest = found?.guest ?? { ...this.guests, boots: [], frozen: false };
    guest.boots.push(spec);
    guest.frozen = false;
    this.#machines.byId.set(spec.id, {
      spec,
      guest,
      state: 'running',
      reason: null,
      isClean: false,
      startedAtMs: this.#clock.nowMs(),
      processId: (this.#machines.processCount += 1),
      disks: spec.disks,
      forwards: spec.forwards,
    });
  }

  async stop(id: InstanceId, options: { readonly graceMs: number }): Promise<void> {
    this.#called('stop', id);
    const machine = this.#machines.byId.get(id);
    if (machine === undefined || machine.state === 'stopped') return;
    if (!machine.guest.heeds) await this.#clock.sleep(options.graceMs);
    this.#end(machine, null, machine.guest.heeds && options.graceMs > 0);
  }

  async reboot(id: InstanceId, options: { readonly graceMs: number }): Promise<void> {
    this.#called('reboot', id);
    const machine = this.#running(id);
    if (!machine.guest.heeds) await this.#clock.sleep(options.graceMs);
    machine.guest.boots.push(machine.spec);
  }

  async list(): Promise<readonly MachineStatus[]> {
    return [...this.#machines.byId.values()].map((machine) => {
      const runs = machine.state !== 'stopped';
      return {
        id: machine.spec.id,
        state: machine.state,
        reason: machine.reason,
        accelerator: this.can.accelerator,
        startedAtMs: machine.startedAtMs,
        processId: runs ? machine.processId : null,
        volumes: machine.disks.map(({ volume }) => volume),
        agent: runs ? machine.guest.agent !== 'missing' : null,
        forwards: machine.forwards,
      };
    });
  }

  async attach(id: InstanceId, disk: MachineDisk): Promise<void> {
    this.#called('attach', id);
    const machine = this.#running(id);
    if (machine.disks.some(({ volume }) => volume === disk.volume)) return;
    machine.disks = [...machine.disks, disk];
  }

  async detach(
    id: InstanceId,
    volume: VolumeId,
    options: { readonly graceMs: number; readonly force: boolean },
  ): Promise<void> {
    this.#called('detach', id);
    const machine = this.#machines.byId.get(id);
    if (machine === undefined || !machine.disks.some((disk) => disk.volume === volume)) return;
    if (!machine.guest.letsGo) {
      await this.#clock.sleep(options.graceMs);
      if (!options.force) throw new HypervisorError('guest-refuses', `the guest of ${id} does not let go of ${volume}`);
    }
    machine.disks = machine.disks.filter((disk) => disk.volume !== volume);
  }

  async quiesce(id: InstanceId, options: { readonly timeoutMs: number }): Promise<Quiesced> {
    this.#called('quiesce', id);
    const machine = this.#machines.byId.get(id);
    if (machine === undefined) return letGo('filesystem', null);
    if (machine.state === 'stopped') {
      if (machine.isClean) return letGo('filesystem', null);
      return letGo('crash', machine.reason ?? 'it was ended before its guest had shut down');
    }
    const { guest } = machine;
    if (guest.agent === 'missing') return letGo('crash', 'no agent runs in the guest');
    if (guest.agent === 'refuses') return letGo('crash', 'the agent of the guest refuses: fsfreeze hook has failed');
    const begunMs = this.#clock.monotonicMs();
    if (guest.agent === 'silent') {
      await this.#clock.sleep(options.timeoutMs);
      return letGo('crash', `the agent of the guest did not answer within ${options.timeoutMs} ms`);
    }
    guest.frozen = true;
    let heldMs = 0;
    const done = new AbortController();
    const thaw = (): void => {
      if (done.signal.aborted) return;
      done.abort();
      guest.frozen = false;
      heldMs = this.#clock.monotonicMs() - begunMs;
    };
    void this.#clock.sleep(options.timeoutMs, done.signal).then(thaw, () => {}); // Let go before: nothing is left to do.
    return {
      consistency: 'filesystem',
      note: null,
      isHeld: () => !done.signal.aborted,
      heldMs: () => heldMs,
      [Symbol.asyncDispose]: async () => thaw(),
    };
  }

  async console(id: InstanceId, bytesMax: number): Promise<Buffer> {
    const bytes = Buffer.from(this.#machines.byId.get(id)?.guest.console ?? '');
    return bytes.subarray(Math.max(0, bytes.length - bytesMax));
  }

  async usage(id: InstanceId): Promise<MachineUsage | null> {
    const machine = this.#machines.byId.get(id);
    return machine === undefined || machine.state === 'stopped' ? null : machine.guest.usage;
  }

  async forward(id: InstanceId, forwards: readonly PortForward[]): Promise<void> {
    this.#called('forward', id);
    this.#running(id).forwards = forwards;
  }

  async forget(id: InstanceId): Promise<void> {
    this.#called('forget', id);
    const machine = this.#machines.byId.get(id);
    if (machine === undefined) return;
    if (machine.state !== 'stopped') throw new HypervisorError('failed', `${id} runs, it cannot be forgotten`);
    this.#machines.byId.delete(id);
  }

  watch(onChange: (id: InstanceId) => void): void {
    this.#watchers.push(onChange);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watchers.length = 0; // The machines go on.
  }

  #called(verb: keyof Hypervisor & string, id: InstanceId): void {
    this.calls.push(`${verb} ${id}`);
    const index = this.#failures.findIndex((failure) => failure.verb === verb);
    const [failure] = index === -1 ? [] : this.#failures.splice(index, 1);
    if (failure !== undefined) throw failure.error;
  }

  #known(id: InstanceId): FakeMachine {
    const machine = this.#machines.byId.get(id);
    if (machine === undefined) throw new HypervisorError('not-running', `there is no machine ${id}`);
    return machine;
  }

  #running(id: InstanceId): FakeMachine {
    const machine = this.#machines.byId.get(id);
    if (machine === undefined || machine.state === 'stopped') {
      throw new HypervisorError('not-running', `${id} does not run`);
    }
    return machine;
  }

  #end(machine: FakeMachine, reason: string | null, isClean: boolean): void {
    machine.state = 'stopped';
    machine.isClean = isClean;
    machine.reason = reason;
    machine.disks = [];
    machine.forwards = [];
    machine.guest.frozen = false;
  }

  #tell(id: InstanceId): void {
    for (const onChange of this.#watchers) onChange(id);
  }
}

function hostSide({ protocol, hostAddress, hostPort }: PortForward): string {
  return `${protocol} ${hostAddress} ${hostPort}`;
}

/** A guest that nothing holds. */
function letGo(consistency: Quiesced['consistency'], note: string | null): Quiesced {
  return {
    consistency,
    note,
    isHeld: () => consistency === 'filesystem',
    heldMs: () => 0,
    [Symbol.asyncDispose]: async () => {},
  };
}
