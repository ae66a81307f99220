import type { CallContext } from '#api/handler.ts';
import { ATTACHMENT_COUNT_MAX } from '#control/machines/disks.ts';
import type { DiskShape, NewDisk, SystemVolume } from '#control/machines/create.ts';
import { findUsableSnapshot } from '#control/snapshots.ts';
import type { Image, ImageDevice } from '#domain/image.ts';
import { deviceLetter, SYSTEM_DEVICE } from '#domain/instance.ts';
import { refuse } from '#domain/errors.ts';
import { hindrance, type Snapshot } from '#domain/snapshot.ts';
import { VOLUME_TYPE_DEFAULT } from '#domain/volume-type.ts';
import { instanceRefusal, invalidCombination, unsupportedRequest } from './errors.ts';
import { requireSnapshotId } from './ids.ts';
import type { DeviceRequest } from './instance-views.ts';
import { isRootName } from './root-volume.ts';
import { parseVolumeShape } from './volume-rules.ts';

/** The volumes that a new machine gets. */
export interface MachineVolumes {
  readonly system: SystemVolume;
  readonly disks: readonly NewDisk[];
}

type EbsRequest = NonNullable<DeviceRequest['Ebs']>;

/**
 * What a request makes of the volumes of an image: it changes those that the image has, leaves them out, and adds others.
 * Refuses: InvalidBlockDeviceMapping, and whatever CreateVolume refuses of one volume.
 */
export async function parseDevices(
  context: CallContext,
  requests: readonly DeviceRequest[] | undefined,
  image: Pick<Image, 'devices'>,
): Promise<MachineVolumes> {
  const [root, ...others] = image.devices;
  if (root === undefined) throw invalidDevices('The image has no root device.');
  const asked = new Map<string, DeviceRequest>();
  for (const request of requests ?? []) {
    const place = placeOf(request.DeviceName, root);
    if (asked.has(place)) throw invalidDevices(`The device '${request.DeviceName}' is used in more than one mapping`);
    asked.set(place, request);
  }
  const rootRequest = asked.get(ROOT);
  if (rootRequest?.NoDevice !== undefined) throw invalidDevices('The root device cannot be left out.');
  const disks: NewDisk[] = [];
  const seen = new Set<string>([ROOT]);
  for (const device of others) {
    const place = placeOf(device.device, root);
    seen.add(place);
    const request = asked.get(place);
    if (request?.NoDevice === undefined) disks.push(await parseDisk(context, request ?? {}, device));
  }
  for (const [place, request] of asked) {
    if (seen.has(place) || request.NoDevice !== undefined || isEphemeral(request)) continue;
    disks.push(await parseDisk(context, request, null));
  }
  if (disks.length >= ATTACHMENT_COUNT_MAX) {
    throw invalidDevices(`An instance has at most ${ATTACHMENT_COUNT_MAX} volumes, its root volume among them.`);
  }
  return { system: parseSystem(rootRequest?.Ebs ?? {}, root), disks };
}

const ROOT = 'root';

/** What tells one place of a machine from another. */
function placeOf(name: string | undefined, root: ImageDevice): string {
  if (name === undefined || name === '') throw invalidDevices('A block device mapping must have a device name');
  if (isRootName(name, root.device)) return ROOT;
  const letter = deviceLetter(name);
  if (letter === null) throw invalidDevices(`Invalid device name ${name}`);
  return letter;
}

/** Instance stores, which no type of instance here has: AWS leaves those out, too. */
function isEphemeral({ VirtualName: name }: DeviceRequest): boolean {
  return name !== undefined && /^ephemeral\d+$/.test(name);
}

function parseSystem(ebs: EbsRequest, root: ImageDevice): SystemVolume {
  refuseUnbuilt(ebs);
  if (ebs.SnapshotId !== undefined && ebs.SnapshotId !== root.snapshot) {
    throw invalidDevices('snapshotId cannot be modified on root device');
  }
  const { sizeGib, shape } = parseShape(ebs, root, { id: root.snapshot ?? '', volumeSizeGib: root.sizeGib });
  const shownAs = root.device === SYSTEM_DEVICE ? {} : { shownAs: root.device };
  return { sizeGib, shape, ...shownAs, deleteOnTermination: ebs.DeleteOnTermination ?? root.deleteOnTermination };
}

async function parseDisk(
  { ports, scope }: CallContext,
  request: DeviceRequest,
  device: ImageDevice | null,
): Promise<NewDisk> {
  const ebs = request.Ebs ?? {};
  refuseUnbuilt(ebs);
  const id = ebs.SnapshotId === undefined ? (device?.snapshot ?? null) : requireSnapshotId(ebs.SnapshotId);
  const origin = id === null ? null : await findUsableSnapshot(ports, scope, id);
  refuseUnready(origin);
  const { sizeGib, shape } = parseShape(ebs, device, origin);
  return {
    name: null,
    origin: id,
    sizeGib,
    device: request.DeviceName ?? device?.device ?? '',
    deleteOnTermination: ebs.DeleteOnTermination ?? device?.deleteOnTermination ?? true,
    shape,
  };
}

function refuseUnready(origin: Snapshot | null): void {
  const state = origin === null ? null : hindrance(origin);
  if (origin !== null && state !== null) refuse({ kind: 'wrong-state', resource: 'snapshot', id: origin.id, state });
}

function parseShape(
  ebs: EbsRequest,
  device: ImageDevice | null,
  origin: { readonly id: string; readonly volumeSizeGib: number } | null,
): { readonly sizeGib: number; readonly shape: DiskShape } {
  const type = ebs.VolumeType ?? device?.type ?? VOLUME_TYPE_DEFAULT;
  // What an image says of a type says nothing of another one.
  const isSame = device !== null && type === device.type;
  const { sizeGib, ...shape } = parseVolumeShape(
    {
      Size: ebs.VolumeSize ?? (ebs.SnapshotId === undefined ? device?.sizeGib : undefined),
      VolumeType: type,
      Iops: ebs.Iops ?? (isSame ? (device.iops ?? undefined) : undefined),
      Throughput: ebs.Throughput ?? (isSame ? (device.throughputMibps ?? undefined) : undefined),
    },
    origin,
  );
  if (ebs.KmsKeyId !== undefined && ebs.Encrypted !== true) {
    throw invalidCombination('The parameter KmsKeyId requires the parameter Encrypted to be set.');
  }
  const encryption = { isEncrypted: ebs.Encrypted === true, key: ebs.KmsKeyId ?? null };
  return {
    sizeGib,
    shape: { type: shape.type, iops: shape.iops, throughputMibps: shape.throughputMibps, encryption },
  };
}

function refuseUnbuilt(ebs: EbsRequest): void {
  if (ebs.OutpostArn !== undefined) throw unsupportedRequest('Instances on an Outpost are not supported.');
  if (ebs.VolumeInitializationRate !== undefined) {
    throw unsupportedRequest('VolumeInitializationRate is supported for CreateVolume only.');
  }
}

export function invalidDevices(message: string): Error {
  return instanceRefusal('InvalidBlockDeviceMapping', message);
}
