import type { InstanceId, VolumeId } from '#domain/ids.ts';

/**
 * Machines that run, as processes of this computer. Values only; intent is the caller's (`#domain/instance.ts`), and so is
 * whose machine it is.
 *
 * Machines outlive this process: they are found again by the next one. Every call may be repeated; one on a machine that is
 * in the wanted state already does nothing. Throws HypervisorError.
 */
export interface Hypervisor extends AsyncDisposable {
  /** What can be run here. Cheap: found out once, at the start. */
  capabilities(): Promise<Capabilities>;
  /**
   * Makes a machine's process; resolves when the firmware runs. A machine that runs already is left as it is, whatever the
   * specification; one that is paused goes on.
   */
  start(machine: MachineSpec): Promise<void>;
  /**
   * Asks the guest to shut down and, when it has not after `graceMs`, ends it; 0 ends it at once. Resolves when the process
   * is gone.
   */
  stop(id: InstanceId, options: { readonly graceMs: number }): Promise<void>;
  /** Asks the guest to boot anew; resets it when it has not begun to after `graceMs`. */
  reboot(id: InstanceId, options: { readonly graceMs: number }): Promise<void>;
  /** What is known of each machine that runs, or ran and has not been forgotten. */
  list(): Promise<readonly MachineStatus[]>;
  /** Resolves when the guest has a new disk; hot, without a stop. */
  attach(id: InstanceId, disk: MachineDisk): Promise<void>;
  /**
   * Resolves when the guest has let go of the disk, and nothing of the machine has the volume open. Throws `guest-refuses`
   * when it does not within `graceMs`; with `force` it is taken away then: what the guest still does with it fails.
   */
  detach(
    id: InstanceId,
    volume: VolumeId,
    options: { readonly graceMs: number; readonly force: boolean },
  ): Promise<void>;
  /**
   * Brings the guest's file systems into a state that needs no repair, and holds its writes until the answer is disposed of,
   * or `timeoutMs` has passed since the call: whichever is first. Never throws for what the guest does or is: then the
   * consistency reached is `crash`. Of a machine that does not run, it is `filesystem` when its guest had shut down, or it
   * never ran; when it was killed, or ended without that, `crash`.
   */
  quiesce(id: InstanceId, options: { readonly timeoutMs: number }): Promise<Quiesced>;
  /** What the guest wrote to its serial console, oldest first: the last `bytesMax` bytes. Empty when it never ran. */
  console(id: InstanceId, bytesMax: number): Promise<Buffer>;
  /** Of a machine that runs; null of one that does not. Counted from its start. */
  usage(id: InstanceId): Promise<MachineUsage | null>;
  /** Opens or closes forwarded ports of a machine that runs, so that there are these and no others. */
  forward(id: InstanceId, forwards: readonly PortForward[]): Promise<void>;
  /** Removes what is kept of a machine that does not run: its seed, its console log. */
  forget(id: InstanceId): Promise<void>;
  /** Calls back after a machine's state changed by itself: its guest shut down, its process was killed, it runs again. */
  watch(onChange: (id: InstanceId) => void): void;
}

export interface Capabilities {
  /** Null: no machine can be run; `missing` says why. */
  readonly accelerator: 'kvm' | 'tcg' | null;
  /** `QEMU emulator version 7.2.22`; null: there is none. */
  readonly version: string | null;
  /** Debian packages that would have to be installed. */
  readonly missing: readonly string[];
  /** Why machines are emulated though the processor could run them, or why there are none; null: nothing to say. */
  readonly note: string | null;
}

export interface MachineSpec {
  readonly id: InstanceId;
  readonly cpuCount: number;
  readonly memoryMib: number;
  /** Disks in the order in which the firmware tries them: the system volume first. */
  readonly disks: readonly MachineDisk[];
  readonly seed: Seed;
  readonly forwards: readonly PortForward[];
}

/** A disk, served over NBD on a unix socket. The guest sees it under its volume's id without the dash as serial number. */
export interface MachineDisk {
  readonly volume: VolumeId;
  readonly socketPath: string;
  readonly exportName: string;
  /** `/dev/xvdf`, `/dev/sdf`: what the client asked for. Its last letter is where the disk is plugged in, by which the guest names it. */
  readonly device: string;
}

/** What the guest learns at its boot, by cloud-init's NoCloud. */
export interface Seed {
  /** Whoever boots under a new one runs its user data, once. */
  readonly instance: InstanceId;
  readonly hostName: string;
  /** In OpenSSH's form. */
  readonly publicKeys: readonly string[];
  /** Null: none. */
  readonly userData: Uint8Array | null;
}

export interface PortForward {
  readonly protocol: 'tcp' | 'udp';
  /** An address of this computer. */
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly guestPort: number;
}

export interface MachineStatus {
  readonly id: InstanceId;
  /** `paused`: held by the hypervisor, because a disk failed or it was told to. */
  readonly state: 'running' | 'paused' | 'stopped';
  /** Why it is not running when nobody stopped it: `the guest shut down`, `its process was killed`; null. */
  readonly reason: string | null;
  readonly accelerator: 'kvm' | 'tcg' | null;
  readonly startedAtMs: number | null;
  readonly processId: number | null;
  /** Volumes that its process has open. */
  readonly volumes: readonly VolumeId[];
  /** Whether the guest's agent answers; null: it has not been asked yet. */
  readonly agent: boolean | null;
  readonly forwards: readonly PortForward[];
}

/** A guest that is held. Disposing lets it go on; it never throws. */
export interface Quiesced extends AsyncDisposable {
  /** `filesystem`: its file systems were frozen. `crash`: as if its power had been cut at this instant. */
  readonly consistency: 'filesystem' | 'crash';
  /** Why no more than `crash` was reached; null. */
  readonly note: string | null;
  /** The guest is held now. A cut that ended while this is still true is of frozen file systems; one that ended later is not. */
  readonly isHeld: () => boolean;
  /** So long the guest's writes were held, in milliseconds; true after it was disposed of. */
  readonly heldMs: () => number;
}

export interface MachineUsage {
  /** Seconds of processor time, of all its virtual processors. */
  readonly cpuSeconds: number;
  /** Of its network devices, as its guest or its bridge counts them; null: nobody counts. */
  readonly receivedBytes: number | null;
  readonly sentBytes: number | null;
}

export type HypervisorProblem =
  /** QEMU is not installed, or cannot run here. */
  | 'unavailable'
  /** The machine is not in a state in which that can be done. */
  | 'not-running'
  /** Another program of this computer has a port that was to be forwarded. */
  | 'port-taken'
  /** There is not enough memory, a disk cannot be opened. */
  | 'resources'
  | 'guest-refuses'
  /** Of QEMU itself: it died, or does not answer. */
  | 'failed';

export class HypervisorError extends Error {
  override readonly name = 'HypervisorError';
  readonly problem: HypervisorProblem;

  /** `message` is a sentence for whoever runs the server; it names the package to install when that would help. */
  constructor(problem: HypervisorProblem, message: string, options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
  }
}
