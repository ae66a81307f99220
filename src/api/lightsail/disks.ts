import { attachDisk as attach, detachDisk as detach } from '#control/machines/disks.ts';
import { holdersOf } from '#control/machines/views.ts';
import { findSnapshotByName } from '#control/snapshots.ts';
import { createVolume, deleteVolume, findVolumeByName, listVolumes } from '#control/volumes.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { LIGHTSAIL_VOLUME_TYPE } from '#domain/volume-type.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  AddOnRequest,
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
  GetDiskRequest,
  GetDiskResult,
  GetDisksRequest,
  GetDisksResult,
} from '#wire/aws/models/lightsail.ts';
import { refuseInvalid, refuseNotFound, refuseUnsupported } from './errors.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';
import { parseTags } from './tags.ts';
import { diskView, operationView } from './views.ts';

export async function createDisk(context: CallContext, input: CreateDiskRequest): Promise<CreateDiskResult> {
  checkAddOns(input.addOns);
  return await create(context, input, null);
}

export async function createDiskFromSnapshot(
  context: CallContext,
  input: CreateDiskFromSnapshotRequest,
): Promise<CreateDiskFromSnapshotResult> {
  checkAddOns(input.addOns);
  const name = sourceSnapshotName(input);
  const snapshot = await findSnapshotByName(context.ports, context.scope, name);
  return await create(context, input, snapshot.id);
}

async function create(
  context: CallContext,
  input: CreateDiskRequest,
  origin: SnapshotId | null,
): Promise<CreateDiskResult> {
  const { operations } = await createVolume(context.ports, context.scope, {
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
  return { operations: operations.map(operationView) };
}

export async function getDisk({ ports, scope }: CallContext, input: GetDiskRequest): Promise<GetDiskResult> {
  const disk = await findVolumeByName(ports, scope, input.diskName);
  return { disk: diskView(disk, await holdersOf(ports, [disk])) };
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
  const holders = await holdersOf(ports, volumes);
  return { disks: volumes.map((disk) => diskView(disk, holders)), ...nextPage(next) };
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

function checkAddOns(addOns: readonly AddOnRequest[] | undefined): void {
  if (addOns === undefined || addOns.length === 0) return;
  refuseUnsupported(`The add-on ${addOns[0]?.addOnType} of a disk is not supported by this server.`);
}

/** A manual snapshot by its name, or an automatic one by its disk and a selector; of the latter there are none. */
function sourceSnapshotName(input: CreateDiskFromSnapshotRequest): string {
  const { diskSnapshotName, sourceDiskName, restoreDate, useLatestRestorableAutoSnapshot: latest } = input;
  const selected = restoreDate !== undefined || latest === true;
  if (diskSnapshotName !== undefined) {
    if (sourceDiskName !== undefined || selected) {
      refuseInvalid(
        'The parameters diskSnapshotName and sourceDiskName, restoreDate or useLatestRestorableAutoSnapshot are mutually exclusive.',
        'Give diskSnapshotName alone, or sourceDiskName with one of the others.',
      );
    }
    return diskSnapshotName;
  }
  if (sourceDiskName === undefined) {
    refuseInvalid('Either diskSnapshotName or sourceDiskName is required.', 'Add one of them.');
  }
  if (restoreDate !== undefined && latest === true) {
    refuseInvalid(
      'The parameters restoreDate and useLatestRestorableAutoSnapshot are mutually exclusive.',
      'Give one of them only.',
    );
  }
  if (!selected) {
    refuseInvalid(
      'With sourceDiskName, restoreDate or useLatestRestorableAutoSnapshot is required.',
      'Add one of them.',
    );
  }
  if (restoreDate !== undefined && !isDate(restoreDate)) {
    refuseInvalid(`${restoreDate} is not a date of the form YYYY-MM-DD.`, 'Correct the date.');
  }
  return refuseNotFound(`The disk has no automatic snapshots: ${sourceDiskName}`);
}

function isDate(text: string): boolean {
  const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(`${text}T00:00:00Z`) : null;
  return at !== null && !Number.isNaN(at.getTime()) && at.toISOString().startsWith(text);
}
