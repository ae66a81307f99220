import { type AddOnRequest, addOnsOf, setAddOn } from '#control/machines/add-ons.ts';
import { attachDisk as attach, detachDisk as detach } from '#control/machines/disks.ts';
import { holdersOf } from '#control/machines/views.ts';
import { eachOnce } from '#control/lookup.ts';
import type { ControlPorts } from '#control/ports.ts';
import { findSnapshotByName } from '#control/snapshots.ts';
import { createVolume, deleteVolume, findVolumeByName, listVolumes } from '#control/volumes.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Volume } from '#domain/volume.ts';
import { LIGHTSAIL_VOLUME_TYPE } from '#domain/volume-type.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  AddOnRequest as AddOnRequestShape,
  AttachDiskRequest,
  AttachDiskResult,
  CreateDiskFromSnapshotRequest,
  CreateDiskFromSnapshotResult,
  CreateDiskRequest,
  CreateDiskResult,
  DeleteDiskRequest,
  DeleteDiskResult,
  DetachDiskRequest,
  DetachDiskResult,
  Disk,
  GetDiskRequest,
  GetDiskResult,
  GetDisksRequest,
  GetDisksResult,
} from '#wire/aws/models/lightsail.ts';
import { addOnViews, parseAddOn } from './add-ons.ts';
import { refuseInvalid } from './errors.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';
import { chooseSource, findAuto } from './snapshot-sources.ts';
import { parseTags } from './tags.ts';
import { diskView, operationView } from './views.ts';

export async function createDisk(context: CallContext, input: CreateDiskRequest): Promise<CreateDiskResult> {
  return await create(context, input, null);
}

export async function createDiskFromSnapshot(
  context: CallContext,
  input: CreateDiskFromSnapshotRequest,
): Promise<CreateDiskFromSnapshotResult> {
  const source = chooseSource(
    {
      snapshotName: input.diskSnapshotName,
      resourceName: input.sourceDiskName,
      restoreDate: input.restoreDate,
      useLatest: input.useLatestRestorableAutoSnapshot,
    },
    { snapshot: 'diskSnapshotName', resource: 'sourceDiskName' },
  );
  const { id } =
    source.kind === 'named'
      ? await findSnapshotByName(context.ports, context.scope, source.name)
      : await findAuto(context, source, 'Disk');
  return await create(context, input, id);
}

async function create(
  context: CallContext,
  input: CreateDiskRequest,
  origin: SnapshotId | null,
): Promise<CreateDiskResult> {
  const addOns = diskAddOns(input.addOns);
  const { volume, operations } = await createVolume(context.ports, context.scope, {
    face: 'lightsail',
    name: input.diskName,
    zone: input.availabilityZone,
    sizeGib: input.sizeInGb,
    type: LIGHTSAIL_VOLUME_TYPE,
    iops: null,
    throughputMibps: null,
    multiAttach: false,
    origin,
    tags: parseTags(input.tags),
    // Lightsail has no client tokens: what the SDK says of its attempts holds across a restart of the server, too.
    token: context.invocationId,
    operation: context.operation,
  });
  // What is sent again enables them again: nobody loses one because the server died in between.
  const resource = { type: 'Disk', name: input.diskName, record: volume } as const;
  for (const addOn of addOns) await context.ports.meta.transact((tx) => setAddOn(context.ports, tx, resource, addOn));
  return { operations: operations.map(operationView) };
}

export async function getDisk({ ports, scope }: CallContext, input: GetDiskRequest): Promise<GetDiskResult> {
  const disk = await findVolumeByName(ports, scope, input.diskName);
  return { disk: (await diskViews(ports, [disk]))[0] };
}

export async function getDisks({ ports, scope }: CallContext, input: GetDisksRequest): Promise<GetDisksResult> {
  const { volumes, next } = await listVolumes(ports, scope, {
    ids: null,
    face: 'lightsail',
    after: pageAfter(input),
    countMax: ITEMS_MAX,
    // System disks have no name: they are their instances'.
    match: ({ name }) => name !== null,
  });
  return { disks: await diskViews(ports, volumes), ...nextPage(next) };
}

async function diskViews(ports: ControlPorts, disks: readonly Volume[]): Promise<readonly Disk[]> {
  const holders = await holdersOf(ports, disks);
  const addOns = await ports.meta.read((tx) => eachOnce(disks, (disk) => addOnsOf(tx, disk, disk.id)));
  const nowMs = ports.clock.nowMs();
  return disks.map((disk, at) => ({
    ...diskView(disk, holders),
    addOns: addOnViews(addOns[at] ?? null, nowMs),
  }));
}

export async function deleteDisk(
  { ports, scope, operation, invocationId: token }: CallContext,
  input: DeleteDiskRequest,
): Promise<DeleteDiskResult> {
  const { operations } = await deleteVolume(ports, scope, { name: input.diskName }, { token, operation });
  return { operations: operations.map(operationView) };
}

/** The disk's operation, and then the instance's. */
export async function attachDisk(
  { ports, scope, operation }: CallContext,
  input: AttachDiskRequest,
): Promise<AttachDiskResult> {
  const { operations } = await attach(ports, scope, {
    instance: { name: input.instanceName },
    volume: { name: input.diskName },
    device: input.diskPath,
    deleteOnTermination: false,
    operation,
  });
  return { operations: operations.map(operationView) };
}

export async function detachDisk(
  { ports, scope, operation }: CallContext,
  input: DetachDiskRequest,
): Promise<DetachDiskResult> {
  const { operations } = await detach(ports, scope, { volume: { name: input.diskName }, operation });
  return { operations: operations.map(operationView) };
}

/** Refuses what is no add-on of a disk, before there is a disk. */
function diskAddOns(addOns: readonly AddOnRequestShape[] | undefined): readonly AddOnRequest[] {
  if (addOns?.some(({ addOnType }) => addOnType === 'StopInstanceOnIdle') === true) {
    refuseInvalid('A disk has no add-on StopInstanceOnIdle.', 'A disk has automatic snapshots only.');
  }
  return (addOns ?? []).map(parseAddOn);
}
