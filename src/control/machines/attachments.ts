import { assert } from '#base/assert.ts';
import type { VolumeId } from '#domain/ids.ts';
import { type Attachment, type Instance, SYSTEM_DEVICE } from '#domain/instance.ts';
import type { Volume, VolumeAttachment } from '#domain/volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import { INSTANCES } from './records.ts';

// What a machine has stands in its own record and in that of each volume. Whoever changes it does so here, in one transaction,
// so that no state of the metadata shows the one without the other.

/** Gives a machine a volume that no machine has; both as they are after. */
export async function addAttachment(
  tx: Tx,
  instance: Instance,
  volume: Volume,
  attachment: Omit<VolumeAttachment, 'instance'>,
): Promise<Instance> {
  assert(volume.attachment === null, 'a volume is in one machine at a time');
  const added: Attachment = { volume: volume.id, ...attachment };
  const others = instance.attachments;
  // The system volume is the first, whenever it comes.
  const attachments = attachment.device === SYSTEM_DEVICE ? [added, ...others] : [...others, added];
  const changed = { ...instance, attachments };
  await tx.documents.update(INSTANCES, instance, changed);
  await tx.volumes.update({ ...volume, attachment: { instance: instance.id, ...attachment } });
  return changed;
}

/** Another state of what a machine has; `isForced` is said of one that is `detaching`. */
export async function setAttachmentState(
  tx: Tx,
  instance: Instance,
  id: VolumeId,
  state: Attachment['state'],
  { isForced = false }: { readonly isForced?: boolean } = {},
): Promise<Instance> {
  return await changeAttachment(tx, instance, id, { state, isForced });
}

/** Whether a volume goes with its machine. */
export async function setDeleteOnTermination(
  tx: Tx,
  instance: Instance,
  id: VolumeId,
  deleteOnTermination: boolean,
): Promise<Instance> {
  return await changeAttachment(tx, instance, id, { deleteOnTermination });
}

async function changeAttachment(
  tx: Tx,
  instance: Instance,
  id: VolumeId,
  change: Partial<Pick<Attachment, 'state' | 'isForced' | 'deleteOnTermination'>>,
): Promise<Instance> {
  const attachments = instance.attachments.map((one) => (one.volume === id ? { ...one, ...change } : one));
  const changed = { ...instance, attachments };
  await tx.documents.update(INSTANCES, instance, changed);
  const volume = await attachedVolume(tx, instance, id);
  if (volume !== null) await tx.volumes.update({ ...volume, attachment: { ...volume.attachment, ...change } });
  return changed;
}

/** Takes a volume out of a machine; answers the machine. A volume that goes with its machine is `deleting` then. */
export async function removeAttachment(
  tx: Tx,
  instance: Instance,
  id: VolumeId,
  options: { readonly isDeleted: boolean },
): Promise<Instance> {
  const changed = { ...instance, attachments: instance.attachments.filter((one) => one.volume !== id) };
  await tx.documents.update(INSTANCES, instance, changed);
  const volume = await attachedVolume(tx, instance, id);
  if (volume !== null) {
    await tx.volumes.update({ ...volume, attachment: null, state: options.isDeleted ? 'deleting' : volume.state });
    const staging = volume.staging === null || !options.isDeleted ? null : await tx.snapshots.find(volume.staging);
    if (staging !== null) await tx.snapshots.update({ ...staging, state: 'deleting' });
  }
  return changed;
}

/** Null: the volume is gone, or was lost before it was made. */
async function attachedVolume(
  tx: Tx,
  instance: Instance,
  id: VolumeId,
): Promise<(Volume & { readonly attachment: VolumeAttachment }) | null> {
  const volume = await tx.volumes.find(id);
  if (volume === null || volume.attachment === null) return null;
  assert(volume.attachment.instance === instance.id, 'a volume says the same of its machine as the machine');
  return { ...volume, attachment: volume.attachment };
}
