import { present } from '#base/assert.ts';
import { DomainError } from '#domain/errors.ts';
import type { ImageId } from '#domain/ids.ts';
import type { Image, ImageDevice } from '#domain/image.ts';
import type { Instance } from '#domain/instance.ts';
import { isHostError } from '#control/host-failure.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { Tx } from '#meta/meta-store.ts';
import { IMAGES } from './image-records.ts';
import { cutVolumes, snapshotDescription } from './machine-sets.ts';

/*
 * Images for which a machine was shut down (CreateImage with a reboot). The request recorded them, and that the machine is
 * to stop and to run again; its worker (bring.ts) cuts its volumes when it has stopped, and starts it. Each cut ends in one
 * transaction with the image's record, so a crash leaves an image that is cut, or one that is cut anew. Whatever becomes of
 * an image, the machine is started.
 */

/** Cuts the images that wait for the machine's stop, one after another. Throws what may pass: the volume host is away. */
export async function cutImages(ports: ControlPorts, instance: Instance): Promise<void> {
  for (const id of instance.imagesWanted ?? []) {
    const image = await ports.meta.read((tx) => tx.documents.find(IMAGES, instance, id));
    // It was deregistered, or cut before a crash.
    if (image?.cutWanted === undefined) continue;
    try {
      await cutImage(ports, instance, image, image.cutWanted);
    } catch (error) {
      if (!(error instanceof DomainError) && isHostError(error, 'unavailable', 'aborted')) throw error;
      ports.log.error('image.cut', { instance: instance.id, image: id, error });
      const failure = 'The volumes of the instance could not be cut.';
      await ports.meta.transact((tx) => failImage(tx, instance, id, failure));
    }
  }
}

async function cutImage(
  ports: ControlPorts,
  instance: Instance,
  image: Image,
  { volumes, snapshotTags }: NonNullable<Image['cutWanted']>,
): Promise<void> {
  await cutVolumes(ports, instance, instance, {
    volumes,
    description: snapshotDescription(instance, image.name),
    tags: snapshotTags,
    copiesTags: false,
    settle: async (tx, snapshots) => {
      const current = await tx.documents.find(IMAGES, image, image.id);
      if (current === null) throw new Error(`the image ${image.id} was deregistered while it was cut`);
      const { cutWanted: _done, ...rest } = current;
      const devices: ImageDevice[] = [];
      for (const [at, device] of current.devices.entries()) {
        const { id, volumeSizeGib: sizeGib } = present(snapshots[at], 'every device of the image was cut');
        devices.push({ ...device, snapshot: id, sizeGib });
      }
      await tx.documents.update(IMAGES, image, { ...rest, devices });
    },
  });
}

/** Of images that will not be cut any more: their machine is being deleted. */
export async function failImages(tx: Tx, instance: Instance): Promise<void> {
  for (const id of instance.imagesWanted ?? []) {
    await failImage(tx, instance, id, 'The instance was terminated before its volumes were cut.');
  }
}

async function failImage(tx: Tx, instance: Instance, id: ImageId, failure: string): Promise<void> {
  const image = await tx.documents.find(IMAGES, instance, id);
  if (image?.cutWanted === undefined) return;
  const { cutWanted: _never, ...rest } = image;
  await tx.documents.update(IMAGES, instance, { ...rest, failure });
}

/** The machine without the images that were cut: those that came meanwhile stay. */
export function withoutImages(instance: Instance, cut: readonly ImageId[]): Instance {
  const { imagesWanted = [], ...rest } = instance;
  const left = imagesWanted.filter((id) => !cut.includes(id));
  return left.length === 0 ? rest : { ...rest, imagesWanted: left };
}
