import type {
  ExportRecordId,
  ImageId,
  InstanceId,
  InstanceSnapshotId,
  RegionName,
  SnapshotId,
  VolumeId,
} from './ids.ts';
import type { Scope } from './volume.ts';

/** What was exported, as it was then: it may be gone since. */
export type ExportSource = {
  readonly name: string;
  readonly createdAtMs: number;
} & (
  | {
      readonly type: 'DiskSnapshot';
      readonly id: SnapshotId;
      readonly disk: { readonly id: VolumeId; readonly name: string | null };
      readonly sizeGib: number;
    }
  | {
      readonly type: 'InstanceSnapshot';
      readonly id: InstanceSnapshotId;
      readonly instance: { readonly id: InstanceId; readonly name: string; readonly region: RegionName };
      readonly bundle: string;
      readonly blueprint: string;
      readonly blueprintName: string;
      readonly userName: string;
      /** The system disk first. */
      readonly disks: readonly {
        readonly device: string;
        readonly name: string | null;
        readonly sizeGib: number;
      }[];
    }
);

/** That a snapshot of Lightsail was exported to EC2: its volumes are snapshots there, a machine's an image, too. */
export interface ExportRecord extends Scope {
  readonly id: ExportRecordId;
  readonly name: string;
  readonly createdAtMs: number;
  readonly source: ExportSource;
  /** In EC2, in the order of the source's disks. */
  readonly snapshots: readonly SnapshotId[];
  /** In EC2, of a machine's; null of a disk's. */
  readonly image: ImageId | null;
  /** `Started` until all snapshots are stored. */
  readonly state: 'Started' | 'Succeeded' | 'Failed';
}
