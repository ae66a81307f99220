import type { InstanceId } from '#domain/ids.ts';
import { SYSTEM_DEVICE } from '#domain/instance.ts';
import type { Operation } from '#domain/operation.ts';
import type { Region, Zone } from '#domain/region.ts';
import { type Snapshot, visibleState } from '#domain/snapshot.ts';
import type { Scope, Tags, Volume, VolumeState } from '#domain/volume.ts';
import type {
  AvailabilityZone,
  Disk,
  DiskSnapshot,
  DiskState,
  Operation as OperationShape,
  OperationType,
  Region as RegionShape,
  RegionName,
  ResourceLocation,
  Tag,
} from '#wire/aws/models/lightsail.ts';
import { diskArn, diskSnapshotArn, instanceArn } from './arn.ts';

/** What belongs to a whole region and to none of its zones. */
export const ALL_ZONES = 'all';

/** `holders`: what the machines that have disks are called. */
export function diskView(disk: Volume, holders: ReadonlyMap<InstanceId, string> = new Map()): Disk {
  const { attachment } = disk;
  return {
    ...(disk.name === null ? {} : { name: disk.name }),
    arn: diskArn(disk, disk.id),
    supportCode: `${disk.account}/${disk.id}`,
    createdAt: new Date(disk.createdAtMs),
    location: location(disk, disk.zone),
    resourceType: 'Disk',
    tags: tagViews(disk.tags),
    sizeInGb: disk.sizeGib,
    isSystemDisk: attachment?.device === SYSTEM_DEVICE,
    iops: disk.iops ?? diskIops(disk.sizeGib),
    ...(attachment === null
      ? { state: DISK_STATES[disk.state], isAttached: false }
      : {
          state: disk.state === 'available' ? 'in-use' : DISK_STATES[disk.state],
          isAttached: true,
          path: attachment.device,
          attachedTo: holders.get(attachment.instance) ?? attachment.instance,
          attachmentState: attachment.state,
        }),
  };
}

const DISK_STATES: Readonly<Record<VolumeState, DiskState>> = {
  creating: 'pending',
  available: 'available',
  recoverable: 'unknown', // Never seen: disks do not come into the recycle bin.
  deleting: 'unknown', // Never seen: a disk being deleted is not found.
  error: 'error',
};

/** What AWS shows for a disk of that size: 3 a GB, at least 100, at most 16,000 (EBS gp2). */
export function diskIops(sizeGib: number): number {
  return Math.min(Math.max(100, 3 * sizeGib), 16_000);
}

export function diskSnapshotView(snapshot: Snapshot): DiskSnapshot {
  return {
    ...(snapshot.name === null ? {} : { name: snapshot.name }),
    arn: diskSnapshotArn(snapshot, snapshot.id),
    supportCode: `${snapshot.account}/${snapshot.id}`,
    createdAt: new Date(snapshot.startedAtMs),
    location: location(snapshot, ALL_ZONES),
    resourceType: 'DiskSnapshot',
    tags: tagViews(snapshot.tags),
    sizeInGb: snapshot.volumeSizeGib,
    state: snapshotState(snapshot),
    progress: `${snapshot.progressPercent}%`,
    ...sourceView(snapshot),
    isFromAutoSnapshot: snapshot.copiedFrom?.isAutomatic === true,
  };
}

function sourceView(
  snapshot: Snapshot,
): Pick<DiskSnapshot, 'fromDiskName' | 'fromDiskArn' | 'fromInstanceName' | 'fromInstanceArn'> {
  const { fromInstance, volume, volumeName, copiedFrom } = snapshot;
  if (fromInstance !== null) {
    const fromInstanceName = fromInstance.name;
    return copiedFrom === null
      ? { fromInstanceName, fromInstanceArn: instanceArn(snapshot, fromInstance.id) }
      : { fromInstanceName };
  }
  // Of a copy, only the name of what its source was made of is known.
  if (copiedFrom !== null) return volumeName === null ? {} : { fromDiskName: volumeName };
  const fromDiskArn = diskArn(snapshot, volume);
  return volumeName === null ? { fromDiskArn } : { fromDiskName: volumeName, fromDiskArn };
}

/** Lightsail's snapshots do not come into the recycle bin; another face's that does is `pending` until it is back. */
function snapshotState(snapshot: Snapshot): NonNullable<DiskSnapshot['state']> {
  const state = visibleState(snapshot);
  return state === null ? 'unknown' : state === 'recovering' ? 'pending' : state;
}

export function operationView(operation: Operation): OperationShape {
  return {
    id: operation.id,
    resourceName: operation.resourceName,
    resourceType: operation.resourceType,
    createdAt: new Date(operation.createdAtMs),
    location: location(operation, operation.zone),
    isTerminal: operation.status !== 'Started',
    ...(operation.details === null ? {} : { operationDetails: operation.details }),
    // Types are data in the domain; AWS, too, answers some that its model does not list (TagResource).
    operationType: operation.type as OperationType,
    status: operation.status,
    statusChangedAt: new Date(operation.statusChangedAtMs),
    ...(operation.errorCode === null ? {} : { errorCode: operation.errorCode }),
    ...(operation.errorDetails === null ? {} : { errorDetails: operation.errorDetails }),
  };
}

/** For an operation that answers one, and not a list. */
export function firstOperation(operations: readonly Operation[]): { readonly operation?: OperationShape } {
  const [first] = operations;
  return first === undefined ? {} : { operation: operationView(first) };
}

/** Null for a region that Lightsail does not have. */
export function regionView(
  region: Region,
  options: { readonly zones: boolean; readonly databaseZones: boolean },
): RegionShape | null {
  if (region.lightsail === null) return null;
  return {
    continentCode: region.lightsail.continentCode,
    description: region.lightsail.description,
    displayName: region.lightsail.displayName,
    name: shownRegion(region.name),
    availabilityZones: options.zones ? region.zones.map(zoneView) : [],
    relationalDatabaseAvailabilityZones: options.databaseZones ? region.zones.map(zoneView) : [],
  };
}

function zoneView(zone: Zone): AvailabilityZone {
  return { zoneName: zone.name, state: 'available' };
}

export function location(scope: Scope, availabilityZone: string): ResourceLocation {
  return { availabilityZone, regionName: shownRegion(scope.region) };
}

// The catalogue gives Lightsail to regions of the model's list only (a test checks it), and the face refuses the others.
function shownRegion(name: string): RegionName {
  return name as RegionName;
}

/** A key-only tag has no value, as it was given. */
export function tagViews(tags: Tags): Tag[] {
  return Object.entries(tags).map(([key, value]) => (value === '' ? { key } : { key, value }));
}
