import type { CallContext, Handler } from '#api/handler.ts';
import {
  deregisterImage as deregister,
  listImages,
  registerImage as register,
  findImage,
} from '#control/machines/images.ts';
import { createImage as create } from '#control/machines/machine-sets.ts';
import { findInstance } from '#control/machines/records.ts';
import { deleteSnapshot, findSnapshot } from '#control/snapshots.ts';
import { DomainError } from '#domain/errors.ts';
import type { VolumeId } from '#domain/ids.ts';
import { IMAGE_NAME_RULE, IMAGE_USER_NAME, type ImageDevice, isImageName } from '#domain/image.ts';
import { deviceLetter, type Instance, SYSTEM_DEVICE } from '#domain/instance.ts';
import { VOLUME_TYPE_DEFAULT } from '#domain/volume-type.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { parseDescription } from './descriptions.ts';
import { endDryRun } from './dry-run.ts';
import { instanceRefusal, invalidParameter, invalidValue, missingParameter, unsupportedRequest } from './errors.ts';
import { parseFilters } from './filters.ts';
import { parseIds, requireImageId, requireInstanceId, requireSnapshotId } from './ids.ts';
import { imageFilters, imageView, isOwnedBy } from './image-views.ts';
import { invalidDevices } from './instance-devices.ts';
import { nextToken, parsePage, refusePagedIds } from './paging.ts';
import { attachmentAt, requireRoot } from './root-volume.ts';
import { parseTagsByType, parseTagSpecifications } from './tag-rules.ts';
import { parseVolumeShape } from './volume-rules.ts';

type RegisterRequest = InputOf<'ec2', 'RegisterImage'>;
type DeviceRequest = NonNullable<RegisterRequest['BlockDeviceMappings']>[number];

/** The root device of an image that does not say how it calls it. */
const ROOT_DEFAULT = '/dev/sda1';

export const registerImage: Handler<RegisterRequest, OutputOf<'ec2', 'RegisterImage'>> = async (context, request) => {
  const { ports, scope } = context;
  refuseUnbuilt(request);
  checkName(request.Name);
  const tags = parseTagSpecifications(request.TagSpecifications, 'image');
  const description = parseDescription(request.Description);
  const devices = await parseImageDevices(context, request);
  endDryRun(request);
  const image = await register(ports, scope, {
    name: request.Name,
    description,
    devices,
    sourceInstance: null,
    userName: IMAGE_USER_NAME,
    enaSupport: request.EnaSupport !== false,
    tags,
  });
  return { ImageId: image.id };
};

function checkName(name: string): void {
  if (!isImageName(name)) throw instanceRefusal('InvalidAMIName.Malformed', `AMI names must have ${IMAGE_NAME_RULE}.`);
}

function refuseUnbuilt(request: RegisterRequest): void {
  const { Architecture: architecture = 'x86_64', VirtualizationType: virtualization = 'hvm' } = request;
  if (request.ImageLocation !== undefined) {
    throw unsupportedRequest('Images are registered from snapshots; there are none in buckets.');
  }
  if (architecture !== 'x86_64')
    throw unsupportedRequest(`Instances here have the architecture x86_64, not ${architecture}.`);
  if (virtualization !== 'hvm') throw unsupportedRequest(`The virtualization type is hvm, not ${virtualization}.`);
  if (request.BootMode !== undefined && request.BootMode !== 'legacy-bios' && request.BootMode !== 'uefi-preferred') {
    throw unsupportedRequest(`Instances here boot from a BIOS; ${request.BootMode} is not supported.`);
  }
  for (const name of ['KernelId', 'RamdiskId', 'TpmSupport', 'UefiData', 'BillingProducts'] as const) {
    const value = request[name];
    if (value !== undefined && value.length > 0) throw unsupportedRequest(`The parameter ${name} is not supported.`);
  }
}

/** The root device first. */
async function parseImageDevices(context: CallContext, request: RegisterRequest): Promise<readonly ImageDevice[]> {
  const rootName = request.RootDeviceName ?? ROOT_DEFAULT;
  const mappings = (request.BlockDeviceMappings ?? []).filter(({ VirtualName: name }) => name === undefined);
  const root = mappings.find(({ DeviceName: name }) => name === rootName);
  if (root?.Ebs?.SnapshotId === undefined) {
    throw invalidDevices(`The root device '${rootName}' needs a mapping with a snapshot.`);
  }
  const places = new Set<string>();
  for (const one of mappings) {
    const place = one === root ? 'root' : deviceLetter(one.DeviceName ?? '');
    if (place === null) throw invalidDevices(`Invalid device name ${one.DeviceName ?? ''}`);
    if (places.has(place)) throw invalidDevices(`The device '${one.DeviceName}' is used in more than one mapping`);
    places.add(place);
  }
  const devices: ImageDevice[] = [];
  for (const mapping of [root, ...mappings.filter((one) => one !== root)]) {
    devices.push(await parseImageDevice(context, mapping));
  }
  return devices;
}

async function parseImageDevice({ ports, scope }: CallContext, mapping: DeviceRequest): Promise<ImageDevice> {
  const { DeviceName: device, Ebs: ebs = {} } = mapping;
  if (device === undefined) throw missingParameter('BlockDeviceMapping.DeviceName');
  if (ebs.Encrypted !== undefined) {
    throw invalidDevices('The parameter Encrypted cannot be given: a volume is encrypted when its snapshot is.');
  }
  const id = ebs.SnapshotId === undefined ? null : requireSnapshotId(ebs.SnapshotId);
  const origin = id === null ? null : await findSnapshot(ports, scope, id);
  const shape = parseVolumeShape(
    {
      Size: ebs.VolumeSize,
      VolumeType: ebs.VolumeType ?? VOLUME_TYPE_DEFAULT,
      Iops: ebs.Iops,
      Throughput: ebs.Throughput,
    },
    origin,
  );
  return {
    device,
    snapshot: id,
    sizeGib: shape.sizeGib,
    type: shape.type,
    iops: shape.iops,
    throughputMibps: shape.throughputMibps,
    deleteOnTermination: ebs.DeleteOnTermination ?? true,
  };
}

export const deregisterImage: Handler<InputOf<'ec2', 'DeregisterImage'>, OutputOf<'ec2', 'DeregisterImage'>> = async (
  { ports, scope },
  request,
) => {
  const id = requireImageId(request.ImageId);
  if (request.DryRun === true) await findImage(ports, scope, id);
  endDryRun(request);
  const { devices } = await deregister(ports, scope, id);
  if (request.DeleteAssociatedSnapshots !== true) return { Return: true };
  const results = [];
  for (const { snapshot } of devices) {
    if (snapshot === null) continue;
    results.push({ SnapshotId: snapshot, ReturnCode: await deleteCode(ports, scope, snapshot) });
  }
  return { Return: true, DeleteSnapshotResults: results };
};

async function deleteCode(
  ports: CallContext['ports'],
  scope: CallContext['scope'],
  snapshot: Parameters<typeof deleteSnapshot>[2],
): Promise<'success' | 'skipped' | 'missing-permissions' | 'internal-error' | 'client-error'> {
  try {
    await deleteSnapshot(ports, scope, snapshot, { token: null, operation: null });
    return 'success';
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    // Another image has it.
    return error.failure.kind === 'in-use' ? 'skipped' : 'client-error';
  }
}

export const describeImages: Handler<InputOf<'ec2', 'DescribeImages'>, OutputOf<'ec2', 'DescribeImages'>> = async (
  { ports, scope },
  request,
) => {
  const ids = parseIds(request.ImageIds, (text) => requireImageId(text));
  refusePagedIds(ids, request, 'imagesSet');
  const page = parsePage(request);
  const passes = parseFilters(request.Filters, imageFilters);
  const { Owners: owners = [], ExecutableUsers: users = [] } = request;
  for (const owner of owners) {
    if (!/^(?:self|amazon|aws-marketplace|aws-backup-vault|\d{12})$/.test(owner))
      throw invalidValue(`Invalid owner: ${owner}`);
  }
  endDryRun(request);
  const { images, next } = await listImages(ports, scope, {
    ids,
    ...page,
    match: (seen) => {
      const isOwned = owners.length === 0 || owners.some((owner) => isOwnedBy(seen, scope, owner));
      const isPublic = seen.image.blueprint !== null;
      const mayRun =
        users.length === 0 || users.some((user) => (user === 'all' ? isPublic : user === 'self' && isPublic));
      return isOwned && mayRun && passes(seen);
    },
  });
  return { Images: images.map(imageView), ...nextToken(next) };
};

type CreateRequest = InputOf<'ec2', 'CreateImage'>;

/** Without `NoReboot` an instance that runs is shut down for the cut, and started again; with it, its guest's writes are held for it. */
export const createImage: Handler<CreateRequest, OutputOf<'ec2', 'CreateImage'>> = async (
  { ports, scope },
  request,
) => {
  const id = requireInstanceId(request.InstanceId);
  checkName(request.Name);
  const tags = parseTagsByType(request.TagSpecifications, ['image', 'snapshot']);
  const description = parseDescription(request.Description);
  if (request.SnapshotLocation === 'local') throw unsupportedRequest('Snapshots are stored in the region.');
  const instance = await findInstance(ports, scope, id);
  requireRoot(instance);
  const { excluded, deleteOnTermination } = parseChanges(instance, request);
  endDryRun(request);
  const image = await create(ports, scope, {
    instance: id,
    name: request.Name,
    description,
    excluded,
    deleteOnTermination,
    imageTags: tags.get('image') ?? [],
    snapshotTags: tags.get('snapshot') ?? [],
    reboots: request.NoReboot !== true,
  });
  return { ImageId: image.id };
};

/** What the image has otherwise than the instance: volumes left out, and what becomes of others. */
function parseChanges(
  instance: Instance,
  { BlockDeviceMappings: mappings = [] }: CreateRequest,
): { readonly excluded: ReadonlySet<VolumeId>; readonly deleteOnTermination: ReadonlyMap<VolumeId, boolean> } {
  const excluded = new Set<VolumeId>();
  const deleteOnTermination = new Map<VolumeId, boolean>();
  for (const { DeviceName: device = '', Ebs: ebs, NoDevice: left } of mappings) {
    const attachment = attachmentAt(instance, device);
    if (attachment === null) throw invalidParameter('deviceName', device, 'The instance has no volume there.');
    if (left !== undefined) {
      if (attachment.device === SYSTEM_DEVICE) throw invalidDevices('The root device cannot be left out.');
      excluded.add(attachment.volume);
      continue;
    }
    const { DeleteOnTermination: goes, ...others } = ebs ?? {};
    if (Object.values(others).some((value) => value !== undefined)) {
      throw unsupportedRequest('Of a volume of the instance DeleteOnTermination alone can be said otherwise.');
    }
    if (goes !== undefined) deleteOnTermination.set(attachment.volume, goes);
  }
  return { excluded, deleteOnTermination };
}
