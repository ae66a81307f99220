import type { Encryption } from './encryption.ts';
import type { Binned } from './recycle-bin.ts';
import type { VolumeModification } from './volume-modification.ts';
import type { OutpostArn } from './outpost.ts';
import type { AccountId, Generation, InstanceId, Lineage, RegionName, SnapshotId, VolumeId } from './ids.ts';

/** Whose request, and where: every resource belongs to one account and one region. */
export interface Scope {
  readonly account: AccountId;
  readonly region: RegionName;
}

export type Tags = Readonly<Record<string, string>>;

/** Which service's lists show it. An explicit id is found by every face. */
export type Face = 'ec2' | 'lightsail';

export type VolumeType = 'standard' | 'gp2' | 'gp3' | 'io1' | 'io2' | 'st1' | 'sc1';

/**
 * creating → available → deleting → (gone); creating → deleting; available ⇄ error (its bytes cannot be served).
 * available → recoverable → available or deleting: deleted, kept by a rule of the recycle bin, and not served.
 * `deleting` is invisible to clients; it lasts while pending snapshots still read the volume's slots.
 * A `draft` is a volume that nobody serves: an EBS direct snapshot being made.
 */
export type VolumeState = 'creating' | 'available' | 'recoverable' | 'deleting' | 'error';

/**
 * A volume's place in a machine. attaching → attached → detaching → (gone); attaching → (gone), when the machine cannot have
 * it; detaching → attached, when the guest does not let go of it.
 */
export interface VolumeAttachment {
  readonly instance: InstanceId;
  /** As the client named it: `/dev/xvda` for the system volume, `/dev/xvdf` and the like. */
  readonly device: string;
  /** What clients read as the device of a system volume, where its image has another name for it. */
  readonly shownAs?: string;
  readonly state: 'attaching' | 'attached' | 'detaching';
  readonly attachedAtMs: number;
  /** It goes with the machine. */
  readonly deleteOnTermination: boolean;
  /** Of one that is `detaching`: it is taken away though the guest does not let go of it. */
  readonly isForced?: boolean;
}

/** What a volume may have beside what every volume has. */
export interface VolumeDetails {
  /** Null: not encrypted as EC2 understands it. */
  readonly encryption: Encryption | null;
  /** Marketplace codes, from the snapshot that it was made from. */
  readonly productCodes: readonly string[];
  /** MiB/s at which what its snapshot holds is brought in the background, as was asked for; null: as the server is set. */
  readonly initializationRateMibps: number | null;
  /** Its snapshot was kept ready when it was made: all of it is brought at once, as fast as can be. */
  readonly fastRestored: boolean;
  /** What it is a copy of (EC2 CopyVolumes); null: it is none. */
  readonly sourceVolume: VolumeId | null;
  /** While it is being made of what its account has not in the store yet: the snapshot that is being stored for it. */
  readonly staging: SnapshotId | null;
  /** The last one; null: none. */
  readonly modification: VolumeModification | null;
  /** When it was modified, newest last: those that count for how often it may be. */
  readonly modifiedAtMs: readonly number[];
  /** When a snapshot of it was last asked for, whatever has become of that; null: not since its rate is limited. */
  readonly snapshotAskedAtMs: number | null;
  /** What clients set and read; what it says happens always, since a volume whose data is in doubt is never served. */
  readonly autoEnableIo: boolean;
  /** Of a `recoverable` one. */
  readonly bin: Binned | null;
  /** Also in the record of the machine; both are written in one transaction. Null: no machine has it. */
  readonly attachment: VolumeAttachment | null;
  /** The Outpost that it lies on; null: it lies in the region. */
  readonly outpost: OutpostArn | null;
}

export const NO_VOLUME_DETAILS: VolumeDetails = {
  encryption: null,
  productCodes: [],
  initializationRateMibps: null,
  fastRestored: false,
  sourceVolume: null,
  staging: null,
  modification: null,
  modifiedAtMs: [],
  snapshotAskedAtMs: null,
  autoEnableIo: false,
  bin: null,
  attachment: null,
  outpost: null,
};

export interface Volume extends Scope, VolumeDetails {
  readonly id: VolumeId;
  readonly face: Face;
  readonly draft: boolean;
  /** Lightsail's name of it; null in EC2. */
  readonly name: string | null;
  readonly zone: string;
  readonly sizeGib: number;
  readonly type: VolumeType;
  readonly iops: number | null;
  readonly throughputMibps: number | null;
  readonly multiAttach: boolean;
  readonly state: VolumeState;
  readonly createdAtMs: number;
  readonly origin: SnapshotId | null;
  readonly generation: Generation;
  /** See lineage.ts. */
  readonly lineage: Lineage;
  readonly tags: Tags;
}
