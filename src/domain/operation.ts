import type { ResourceId } from './ids.ts';
import type { Scope } from './volume.ts';

/** Lightsail's record of a request and its effect on one resource. */
export interface Operation extends Scope {
  readonly id: string;
  /** The resource whose work ends it. */
  readonly subject: ResourceId;
  readonly resourceName: string;
  readonly resourceType:
    | 'Disk'
    | 'DiskSnapshot'
    | 'Instance'
    | 'InstanceSnapshot'
    | 'KeyPair'
    | 'StaticIp'
    | 'Alarm'
    | 'ContactMethod'
    | 'ExportSnapshotRecord';
  readonly type: string;
  readonly zone: string;
  readonly details: string | null;
  readonly createdAtMs: number;
  readonly status: 'Started' | 'Succeeded' | 'Failed';
  readonly statusChangedAtMs: number;
  readonly errorCode: string | null;
  readonly errorDetails: string | null;
}
