import type { Encryption } from './encryption.ts';
import type {
  AccountId,
  CutId,
  Epoch,
  ExportRecordId,
  InstanceId,
  InstanceSnapshotId,
  Lineage,
  RegionName,
  SnapshotId,
  VolumeId,
} from './ids.ts';
import type { OutpostArn } from './outpost.ts';
import type { Binned } from './recycle-bin.ts';
import { isInArchive, type SnapshotTier } from './snapshot-tier.ts';
import type { SnapshotLock } from './snapshot-lock.ts';
import type { Face, Scope, Tags } from './volume.ts';

/**
 * cutting → pending → completed; cutting, pending → error; any → deleting → (gone).
 * `cutting`: the intent is recorded and the cut may or may not have happened; no client has seen the snapshot. What is
 * found so without a request that works on it is given up: its client got no answer and will ask again, and a snapshot
 * of another instant than that of the request is not what was asked for.
 * `deleting` is invisible to clients. completed → recoverable → recovering → completed; recoverable → deleting: what is
 * deleted and kept by a rule of the recycle bin is `recoverable`, and found in the bin only.
 */
export type SnapshotState = 'cutting' | 'pending' | 'completed' | 'error' | 'recoverable' | 'recovering' | 'deleting';

/** What a snapshot may have beside what every snapshot has. */
export interface SnapshotDetails {
  /** Null: not encrypted as EC2 understands it. */
  readonly encryption: Encryption | null;
  /** Marketplace codes, from the volume. */
  readonly productCodes: readonly string[];
  /** Accounts that may make volumes from it; `all`: everybody. */
  readonly sharedWith: readonly (AccountId | 'all')[];
  /** What it is a copy of; null for others. */
  readonly copiedFrom: {
    readonly snapshot: SnapshotId;
    readonly region: RegionName;
    /** In Lightsail, of an automatic one; missing: it is not. */
    readonly isAutomatic?: boolean;
  } | null;
  /** What CopySnapshot asked for as the longest time of the copy; null: nothing. */
  readonly completionDurationMinutes: number | null;
  /** Made by the server, for a volume that is to be made of it, and gone with that: no client sees it. */
  readonly isStaging: boolean;
  /** The snapshot of a machine that it belongs to: it is in no list of Lightsail's, and goes with that. Null: of none. */
  readonly partOf: InstanceSnapshotId | null;
  /** The export from Lightsail to EC2 by which it was made; null: none. */
  readonly exportOf: ExportRecordId | null;
  /** Of an automatic one of a disk: the day in UTC. Null: somebody asked for it. */
  readonly autoDate: string | null;
  /** The machine whose system volume it is of, as it was named then; null: of none. */
  readonly fromInstance: { readonly id: InstanceId; readonly name: string } | null;
  /** Null: nobody ever locked it. */
  readonly lock: SnapshotLock | null;
  /** Null: it never was in the archive. */
  readonly tier: SnapshotTier | null;
  /** Of a `recoverable` one. */
  readonly bin: Binned | null;
  /** The Outpost whose store it is in: a local snapshot; null: it is in the region's. */
  readonly outpost: OutpostArn | null;
}

export const NO_SNAPSHOT_DETAILS: SnapshotDetails = {
  encryption: null,
  productCodes: [],
  sharedWith: [],
  copiedFrom: null,
  completionDurationMinutes: null,
  isStaging: false,
  partOf: null,
  exportOf: null,
  autoDate: null,
  fromInstance: null,
  lock: null,
  tier: null,
  bin: null,
  outpost: null,
};

export interface Snapshot extends Scope, SnapshotDetails {
  readonly id: SnapshotId;
  readonly face: Face;
  /** Lightsail's name of it; null in EC2. */
  readonly name: string | null;
  readonly volume: VolumeId;
  /** Lightsail's name of the volume when it was cut: clients see it when the volume is gone, too. Null in EC2. */
  readonly volumeName: string | null;
  /** As it was at the cut. */
  readonly volumeSizeGib: number;
  readonly state: SnapshotState;
  /** Why it ended in `error`; null otherwise. */
  readonly stateMessage: string | null;
  /** Whole per cent, never falls. */
  readonly progressPercent: number;
  readonly description: string;
  readonly startedAtMs: number;
  readonly completedAtMs: number | null;
  readonly cut: CutId;
  /** Null until cut. */
  readonly epoch: Epoch | null;
  /** The newest snapshot of the same volume before it, or the volume's origin; null for a first one. */
  readonly parent: SnapshotId | null;
  readonly fullBytes: number | null;
  readonly changedBytes: number | null;
  readonly storedBytes: number | null;
  /** Made block by block through EBS direct. */
  readonly direct: boolean;
  /** No more blocks are accepted: always so for a snapshot of a volume, and from CompleteSnapshot on for a direct one. */
  readonly sealed: boolean;
  /** The host does not keep slots for the cut any more. */
  readonly released: boolean;
  /** An unsealed direct snapshot fails after so many minutes without a block; null for others. */
  readonly timeoutMinutes: number | null;
  /** When the last block came, for that timeout; null for others. */
  readonly touchedAtMs: number | null;
  /** See lineage.ts. */
  readonly lineage: Lineage;
  readonly tags: Tags;
}

/** Whether an account may make volumes and copies of it: its own, or because it is shared. */
export function mayUse(snapshot: Pick<Snapshot, 'account' | 'sharedWith'>, account: AccountId): boolean {
  return snapshot.account === account || snapshot.sharedWith.includes(account) || snapshot.sharedWith.includes('all');
}

/** Whether Lightsail's lists of disk snapshots have it: not a part of a machine's, and not an automatic one. */
export function isListedByName({ partOf, autoDate }: Pick<Snapshot, 'partOf' | 'autoDate'>): boolean {
  return partOf === null && autoDate === null;
}

/** What clients see: EC2 and EBS direct call the first `pending`. */
export type VisibleSnapshotState = 'pending' | 'completed' | 'error' | 'recovering';

/** The state that clients see; null for a snapshot that they do not see at all. */
export function visibleState(snapshot: Snapshot): VisibleSnapshotState | null {
  const { state, isStaging } = snapshot;
  return isStaging || state === 'cutting' || state === 'deleting' || state === 'recoverable' ? null : state;
}

/** Why a snapshot cannot be read or made into a volume, as the state that it is in; null: it can. */
export function hindrance({ state, tier }: Pick<Snapshot, 'state' | 'tier'>): string | null {
  if (state !== 'completed') return state;
  return isInArchive(tier) ? 'archived' : null;
}
