import type { ImageId, InstanceId, KeyPairName, ReservationId, SnapshotId, StaticIpId, VolumeId } from './ids.ts';
import type { Face, Scope, Tags, VolumeAttachment } from './volume.ts';

/**
 * What a machine is meant to be, and what is known of it. The process that runs it is the hypervisor's; a reconciler brings
 * the two together.
 *
 * pending → running → stopping → stopped → pending; any → shutting-down → (gone).
 * `running` is said only of a machine that has a process; one whose process is gone is `stopped`, with the reason.
 */
export type InstanceState = 'pending' | 'running' | 'stopping' | 'stopped' | 'shutting-down' | 'terminated';

/** As clients read it: one that is shut down only to run again runs, as in a reboot. */
export function stateShown({ state, wanted }: Pick<Instance, 'state' | 'wanted'>): InstanceState {
  return state === 'stopping' && wanted === 'running' ? 'running' : state;
}

/** EC2's and Lightsail's number of a state. */
export const INSTANCE_STATE_CODE: Readonly<Record<InstanceState, number>> = {
  pending: 0,
  running: 16,
  'shutting-down': 32,
  terminated: 48,
  stopping: 64,
  stopped: 80,
};

/** A volume that a machine has: its system volume, or a disk. What the volume's own record says of it, too. */
export interface Attachment extends Omit<VolumeAttachment, 'instance'> {
  readonly volume: VolumeId;
}

/** Ports of the machine that are open to others: `fromPort` to `toPort`, both included; of ICMP its type and code, -1: any. */
export interface OpenPorts {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6' | 'all';
  readonly fromPort: number;
  readonly toPort: number;
  readonly cidrs: readonly string[];
  readonly ipv6Cidrs: readonly string[];
  /** `lightsail-connect`; missing: none. */
  readonly aliases?: readonly string[];
}

/** How a machine would be told of itself over HTTP. Kept and shown; machines learn it from their seed. */
export interface MetadataOptions {
  readonly httpTokens: 'optional' | 'required';
  readonly httpEndpoint: 'enabled' | 'disabled';
  readonly httpPutResponseHopLimit: number;
  readonly httpProtocolIpv6: 'enabled' | 'disabled';
  /** Of EC2's alone; missing: disabled. */
  readonly instanceTags?: 'enabled' | 'disabled';
}

/** Of a machine of which nobody said otherwise. */
export const DEFAULT_METADATA_OPTIONS: MetadataOptions = {
  httpTokens: 'optional',
  httpEndpoint: 'disabled',
  httpPutResponseHopLimit: 1,
  httpProtocolIpv6: 'disabled',
};

export type AddressType = 'ipv4' | 'ipv6' | 'dualstack';

/** What a machine is told beside, which EC2's clients set and read. Lightsail's machines have what holds when nobody says otherwise. */
export interface InstanceOptions {
  /** Its number among those that its request made, from 0. */
  readonly launchIndex: number;
  /** The client's own token of that request; null: it gave none. */
  readonly clientToken: string | null;
  /** It is not terminated through EC2 until this is taken back. */
  readonly disableApiTermination: boolean;
  readonly disableApiStop: boolean;
  /** What is shown of it; its processors are not throttled. */
  readonly cpuCredits: 'standard' | 'unlimited';
  /** What is shown of it; volumes are as fast either way. Missing: no. */
  readonly ebsOptimized?: boolean;
  /** What its image calls the device of its system volume; missing: as it is. */
  readonly rootDevice?: string;
  /** What becomes of it when its guest shuts down; missing: it is stopped. */
  readonly shutdownBehavior?: 'stop' | 'terminate';
}

export const NO_INSTANCE_OPTIONS: InstanceOptions = {
  launchIndex: 0,
  clientToken: null,
  disableApiTermination: false,
  disableApiStop: false,
  cpuCredits: 'standard',
};

/** So long EC2 shows a machine that was terminated. */
export const TERMINATED_SHOWN_MS = 3_600_000;

export interface Instance extends Scope {
  readonly id: InstanceId;
  /** The request that made it, and perhaps others with it. */
  readonly reservation: ReservationId;
  readonly face: Face;
  /** Lightsail's name of it; null in EC2. */
  readonly name: string | null;
  readonly zone: string;
  /** What it was made from: the id of a blueprint (Lightsail) or image (EC2). */
  readonly blueprint: string;
  /** As clients read it: the blueprint's name when the machine was made. */
  readonly blueprintName: string;
  /** What its system volume was made from. */
  readonly origin: SnapshotId;
  /** The id of a bundle (Lightsail) or instance type (EC2). */
  readonly bundle: string;
  readonly cpuCount: number;
  readonly memoryMib: number;
  readonly state: InstanceState;
  /** What it should come to: a machine that stopped by itself is wanted `stopped`. */
  readonly wanted: 'running' | 'stopped' | 'terminated';
  /** It is not asked to shut down, but ended: of one that is `stopping`. */
  readonly stopsAtOnce: boolean;
  /** It was asked to boot anew, and has not been told yet. */
  readonly rebootWanted: boolean;
  /** Images that are cut of it when it has stopped: of one that is `stopping`, and is started again where it is wanted `running`. Missing: none. */
  readonly imagesWanted?: readonly ImageId[];
  /** Why it is in this state, in words, when nobody asked for it; null. */
  readonly stateReason: string | null;
  readonly createdAtMs: number;
  /** Of the last start; null: never started. */
  readonly launchedAtMs: number | null;
  /** Which boot of this computer it was started under; null: never started. A process does not outlive its boot. */
  readonly launchedBoot: string | null;
  /** Its system volume is the first. One of EC2's may lose it while it is stopped, and does not start without. */
  readonly attachments: readonly Attachment[];
  /** Given to the guest at its first boot, as the client sent it: bytes in base64; null: none. */
  readonly userData: string | null;
  readonly keyPair: KeyPairName | null;
  /** Public keys that the guest gets, in OpenSSH's form, of the key pair as it was at creation. */
  readonly publicKeys: readonly string[];
  /** Who logs in with them. */
  readonly userName: string;
  /** Port of this computer that leads to the guest's port 22: the same for the machine's whole life. */
  readonly sshPort: number;
  /** An address of this computer that is the machine's alone: while it runs, or for as long as a static one is attached; null: none. */
  readonly address: string | null;
  /** Whose address it has; null: one that it loses when it stops. */
  readonly staticIp: StaticIpId | null;
  /** Null: nobody said anything. */
  readonly metadataOptions: MetadataOptions | null;
  readonly options: InstanceOptions;
  /** When it was `terminated`; null before. */
  readonly endedAtMs: number | null;
  readonly addressType: AddressType;
  readonly openPorts: readonly OpenPorts[];
  readonly tags: Tags;
}

/** Why a machine does not run that nobody stopped: what its status and its record say. */
export const GUEST_SHUT_DOWN = 'the guest shut down';

/** Where a machine has its system volume. */
export const SYSTEM_DEVICE = '/dev/xvda';

const DEVICE = /^\/dev\/(?:sd|xvd)([b-z])$/;

/** What a device of a disk may be, in words. */
export const DEVICE_RULE = 'it is /dev/xvdb to /dev/xvdz, or /dev/sdb to /dev/sdz';

/**
 * The letter under which a guest has the disk; null: not the device of a disk. `/dev/sdf` and `/dev/xvdf` are one place, as on
 * AWS, where the kernel's driver decides between the two.
 */
export function deviceLetter(device: string): string | null {
  return DEVICE.exec(device)?.[1] ?? null;
}
