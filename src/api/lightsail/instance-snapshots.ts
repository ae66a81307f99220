import {
  findInstanceSnapshot,
  type InstanceSnapshotSeen,
  listInstanceSnapshots,
} from '#control/machines/instance-snapshot-records.ts';
import {
  createInstanceSnapshot as createOnControl,
  deleteInstanceSnapshot as deleteOnControl,
} from '#control/machines/instance-snapshots.ts';
import { regionName } from '#domain/ids.ts';
import type { InstanceSnapshot, InstanceSnapshotPart } from '#domain/instance-snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  CreateInstanceSnapshotRequest,
  CreateInstanceSnapshotResult,
  DeleteInstanceSnapshotRequest,
  DeleteInstanceSnapshotResult,
  Disk,
  GetInstanceSnapshotRequest,
  GetInstanceSnapshotResult,
  GetInstanceSnapshotsRequest,
  GetInstanceSnapshotsResult,
  InstanceSnapshot as InstanceSnapshotShape,
} from '#wire/aws/models/lightsail.ts';
import { instanceArn, instanceSnapshotArn } from './arn.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';
import { parseTags } from './tags.ts';
import { ALL_ZONES, location, operationView, tagViews } from './views.ts';

/** Answers two operations, the snapshot's and then the instance's, as the reference page of create-instance-snapshot shows. */
export async function createInstanceSnapshot(
  context: CallContext,
  input: CreateInstanceSnapshotRequest,
): Promise<CreateInstanceSnapshotResult> {
  const { operations } = await createOnControl(context.ports, context.scope, {
    instance: { name: input.instanceName },
    name: input.instanceSnapshotName,
    autoDate: null,
    tags: parseTags(input.tags),
    token: context.invocationId,
    operation: context.operation,
  });
  return { operations: operations.map(operationView) };
}

export async function getInstanceSnapshot(
  { ports, scope }: CallContext,
  input: GetInstanceSnapshotRequest,
): Promise<GetInstanceSnapshotResult> {
  const found = await findInstanceSnapshot(ports, scope, { name: input.instanceSnapshotName });
  return { instanceSnapshot: instanceSnapshotView(found) };
}

export async function getInstanceSnapshots(
  { ports, scope }: CallContext,
  input: GetInstanceSnapshotsRequest,
): Promise<GetInstanceSnapshotsResult> {
  const { snapshots, next } = await listInstanceSnapshots(ports, scope, {
    after: pageAfter(input),
    countMax: ITEMS_MAX,
  });
  return { instanceSnapshots: snapshots.map(instanceSnapshotView), ...nextPage(next) };
}

export async function deleteInstanceSnapshot(
  { ports, scope, operation, invocationId: token }: CallContext,
  input: DeleteInstanceSnapshotRequest,
): Promise<DeleteInstanceSnapshotResult> {
  const named = { name: input.instanceSnapshotName };
  const { operations } = await deleteOnControl(ports, scope, named, { token, operation });
  return { operations: operations.map(operationView) };
}

export function instanceSnapshotView({ record, progressPercent }: InstanceSnapshotSeen): InstanceSnapshotShape {
  const [system, ...disks] = record.parts;
  return {
    name: record.name,
    arn: instanceSnapshotArn(record, record.id),
    supportCode: `${record.account}/${record.id}`,
    createdAt: new Date(record.createdAtMs),
    location: location(record, ALL_ZONES),
    resourceType: 'InstanceSnapshot',
    tags: tagViews(record.tags),
    // A client never sees one that is `cutting`.
    state: record.state === 'cutting' ? 'pending' : record.state,
    progress: `${progressPercent}%`,
    fromAttachedDisks: disks.map(diskView),
    fromInstanceName: record.instanceName,
    fromInstanceArn: instanceArn(machinePlace(record), record.instance),
    fromBlueprintId: record.blueprint,
    fromBundleId: record.bundle,
    isFromAutoSnapshot: record.autoDate !== null || record.copiedFrom?.isAutomatic === true,
    ...(system === undefined ? {} : { sizeInGb: system.sizeGib }),
  };
}

/** Where the machine is, or was: of a copy, another region. */
function machinePlace({ account, zone }: InstanceSnapshot): Scope {
  return { account, region: regionName(zone.slice(0, -1)) };
}

function diskView({ device, diskName, sizeGib }: InstanceSnapshotPart): Disk {
  return { ...(diskName === null ? {} : { name: diskName }), path: device, sizeInGb: sizeGib, isSystemDisk: false };
}
