import type { CallContext, Handler } from '#api/handler.ts';
import { attachDisk, ATTACHMENT_COUNT_MAX, detachDisk } from '#control/machines/disks.ts';
import { findInstance } from '#control/machines/records.ts';
import { findVolume } from '#control/volumes.ts';
import { deviceLetter, type Instance, SYSTEM_DEVICE } from '#domain/instance.ts';
import type { Volume, VolumeAttachment } from '#domain/volume.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import {
  attachmentLimitExceeded,
  attachmentNotFound,
  invalidParameter,
  invalidValue,
  unsupportedRequest,
  zoneMismatch,
} from './errors.ts';
import { requireInstanceId, requireVolumeId } from './ids.ts';
import { isRootName, rootNameOf, rootOf, shownDevice } from './root-volume.ts';
import { attachmentView } from './volume-views.ts';

/** A volume stays when its instance is terminated, unless ModifyInstanceAttribute says otherwise: so EC2 attaches them. */
export const attachVolume: Handler<InputOf<'ec2', 'AttachVolume'>, OutputOf<'ec2', 'AttachVolume'>> = async (
  { ports, scope },
  request,
) => {
  const volumeId = requireVolumeId(request.VolumeId);
  const instanceId = requireInstanceId(request.InstanceId);
  const { Device: device } = request;
  if ((request.EbsCardIndex ?? 0) !== 0) throw unsupportedRequest('Instances have one EBS card.');
  const volume = await findVolume(ports, scope, volumeId);
  const instance = await findInstance(ports, scope, instanceId);
  const isRoot = isRootName(device, rootNameOf(instance));
  checkPlace(instance, volume, device, isRoot);
  endDryRun(request);
  const moved = await attachDisk(ports, scope, {
    instance: instanceId,
    volume: volumeId,
    device: isRoot ? SYSTEM_DEVICE : device,
    deleteOnTermination: false,
    operation: null,
  });
  const made = moved.instance.attachments.find((one) => one.volume === volumeId);
  // Of an instance that is stopped it is attached at once; clients are told `attaching`, as AWS tells them.
  return made === undefined ? {} : attachmentView(volumeId, { ...made, instance: instanceId, state: 'attaching' });
};

/** In EC2's words; the use case has the same rules. What it says of the volume's state comes before. */
function checkPlace(instance: Instance, volume: Volume, device: string, isRoot: boolean): void {
  const letter = deviceLetter(device);
  if (letter === null && !isRoot) throw invalidParameter('device', device, `${device} is not a valid EBS device name.`);
  if (volume.attachment !== null) return;
  if (volume.zone !== instance.zone) throw zoneMismatch(volume.id, instance.id);
  if (isRoot ? rootOf(instance) !== null : instance.attachments.some((one) => deviceLetter(one.device) === letter)) {
    throw invalidValue(`Invalid value '${device}' for unixDevice. Attachment point ${device} is already in use`);
  }
  if (instance.attachments.length >= ATTACHMENT_COUNT_MAX) throw attachmentLimitExceeded(ATTACHMENT_COUNT_MAX);
}

export const detachVolume: Handler<InputOf<'ec2', 'DetachVolume'>, OutputOf<'ec2', 'DetachVolume'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const id = requireVolumeId(request.VolumeId);
  const attachment = await attachmentOf(context, request);
  endDryRun(request);
  await detachDisk(ports, scope, { volume: id, force: request.Force === true, operation: null });
  return attachment === null ? {} : attachmentView(id, { ...attachment, state: 'detaching' });
};

function isSamePlace(name: string, attachment: VolumeAttachment): boolean {
  const shown = shownDevice(attachment);
  return attachment.device === SYSTEM_DEVICE ? isRootName(name, shown) : name === shown;
}

/** The attachment that the request means; null: the volume has none, which the use case refuses. */
async function attachmentOf(
  { ports, scope }: CallContext,
  request: InputOf<'ec2', 'DetachVolume'>,
): Promise<VolumeAttachment | null> {
  const { attachment } = await findVolume(ports, scope, requireVolumeId(request.VolumeId));
  const instance = request.InstanceId === undefined ? null : requireInstanceId(request.InstanceId);
  if (attachment === null) return null;
  const isMeant =
    (instance === null || instance === attachment.instance) &&
    (request.Device === undefined || isSamePlace(request.Device, attachment));
  if (!isMeant) throw attachmentNotFound(request.VolumeId, instance ?? attachment.instance, request.Device ?? null);
  return attachment;
}
