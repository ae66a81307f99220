import { present } from '#base/assert.ts';
import { findInstance } from '#control/machines/records.ts';
import {
  type CreateSnapshot,
  createSnapshot,
  deleteSnapshot,
  findSnapshotByName,
  listSnapshots,
} from '#control/snapshots.ts';
import { isListedByName } from '#domain/snapshot.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  CreateDiskSnapshotRequest,
  CreateDiskSnapshotResult,
  DeleteDiskSnapshotRequest,
  DeleteDiskSnapshotResult,
  GetDiskSnapshotRequest,
  GetDiskSnapshotResult,
  GetDiskSnapshotsRequest,
  GetDiskSnapshotsResult,
} from '#wire/aws/models/lightsail.ts';
import { refuseInvalid } from './errors.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';
import { parseTags } from './tags.ts';
import { diskSnapshotView, operationView } from './views.ts';

/** Answers two operations, the snapshot's and then the disk's, as the reference page of create-disk-snapshot shows. */
export async function createDiskSnapshot(
  context: CallContext,
  input: CreateDiskSnapshotRequest,
): Promise<CreateDiskSnapshotResult> {
  const { operations } = await createSnapshot(context.ports, context.scope, {
    face: 'lightsail',
    name: input.diskSnapshotName,
    ...(await sourceOf(context, input)),
    description: '',
    tags: parseTags(input.tags),
    token: context.invocationId,
    operation: context.operation,
  });
  return { operations: operations.map(operationView) };
}

/** A disk, or the system volume of an instance, whatever state its guest is in. */
async function sourceOf(
  { ports, scope }: CallContext,
  { diskName, instanceName }: CreateDiskSnapshotRequest,
): Promise<Pick<CreateSnapshot, 'volume' | 'fromInstance'>> {
  if (diskName !== undefined && instanceName !== undefined) {
    refuseInvalid('The parameters diskName and instanceName are mutually exclusive.', 'Give one of them only.');
  }
  if (instanceName !== undefined) {
    const instance = await findInstance(ports, scope, { name: instanceName });
    const system = present(instance.attachments[0], 'an instance has a system volume');
    return { volume: system.volume, fromInstance: { id: instance.id, name: instanceName } };
  }
  if (diskName === undefined) refuseInvalid('Either diskName or instanceName is required.', 'Add one of them.');
  return { volume: { name: diskName } };
}

export async function getDiskSnapshot(
  { ports, scope }: CallContext,
  input: GetDiskSnapshotRequest,
): Promise<GetDiskSnapshotResult> {
  return { diskSnapshot: diskSnapshotView(await findSnapshotByName(ports, scope, input.diskSnapshotName)) };
}

export async function getDiskSnapshots(
  { ports, scope }: CallContext,
  input: GetDiskSnapshotsRequest,
): Promise<GetDiskSnapshotsResult> {
  const { snapshots, next } = await listSnapshots(ports, scope, {
    ids: null,
    face: 'lightsail',
    after: pageAfter(input),
    countMax: ITEMS_MAX,
    match: isListedByName,
  });
  return { diskSnapshots: snapshots.map(diskSnapshotView), ...nextPage(next) };
}

export async function deleteDiskSnapshot(
  { ports, scope, operation, invocationId: token }: CallContext,
  input: DeleteDiskSnapshotRequest,
): Promise<DeleteDiskSnapshotResult> {
  const { operations } = await deleteSnapshot(ports, scope, { name: input.diskSnapshotName }, { token, operation });
  return { operations: operations.map(operationView) };
}
