import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { SteadyTime } from '#base/steady-time.ts';
import type { AddressPool } from '#domain/address-pool.ts';
import type { AccountId } from '#domain/ids.ts';
import type { Outpost } from '#domain/outpost.ts';
import type { Hypervisor } from '#machine/hypervisor.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import type { VolumeHost } from '#volume/host.ts';
import type { Intents } from './intents.ts';
import type { KeyVault } from './kms/vault.ts';
import type { Limits } from './limits.ts';
import type { WriteGates } from './write-gate.ts';

export type TaskName =
  | 'finish-intents'
  | 'open-volumes'
  | 'upload-snapshots'
  | 'finish-deletions'
  | 'collect-chunks'
  | 'expire-direct'
  | 'prune'
  | 'tend-keys'
  | 'run-policies'
  | 'tend-fast-restores'
  | 'empty-bin'
  | 'tend-tiers'
  | 'reconcile-instances'
  | 'run-add-ons'
  | 'measure-machines'
  | 'watch-clock';

/** Memory of this computer, in MiB. */
export interface HostMemory {
  readonly totalMib: number;
  /** What programs may still take without swapping. */
  readonly availableMib: number;
  /** How often it may be promised to machines; 1: once. */
  readonly overcommit: number;
}

/** Where machines run. */
export interface MachinePlace {
  /** The address of this computer at which ports lead to machines. */
  readonly address: string;
  /** Addresses of this computer that machines have for themselves; null: none, their network has its own. */
  readonly addresses: AddressPool | null;
  /** The lowest port that this process may open. */
  readonly lowestPort: number;
  /** The computer's memory now; missing or null: it is not known, and nothing is refused for want of it. */
  readonly memory?: () => HostMemory | null;
  /** Names this boot of the computer: another one has other processes. Null: it is not known here. */
  readonly boot: string | null;
}

/** What use cases stand on. `makeControl` makes it. */
export interface ControlPorts {
  readonly meta: MetaStore;
  readonly host: VolumeHost;
  readonly hypervisor: Hypervisor;
  readonly machinePlace: MachinePlace;
  readonly clock: Clock;
  /** By this, and not by the clock alone, what destroys something decides that its time is over. */
  readonly time: SteadyTime;
  readonly random: Random;
  readonly log: Log;
  /** Of every account, and of the server. */
  readonly limits: Limits;
  /** With what is set for one account. */
  readonly limitsOf: (account: AccountId) => Limits;
  /** Sites with chunk stores of their own. */
  readonly outposts: readonly Outpost[];
  /** Starts a task soon. */
  readonly wake: (task: TaskName) => void;
  /** 32 bytes; signs block tokens, seals page tokens. */
  readonly tokenKey: Uint8Array;
  /** Seals the material of KMS keys. */
  readonly vault: KeyVault;
  readonly intents: Intents;
  readonly writeGates: WriteGates;
}
