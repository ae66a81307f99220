import { present } from '#base/assert.ts';
import { refuse } from '#domain/errors.ts';
import { type InstanceId, newCutId, newSnapshotId, type SnapshotId, type VolumeId } from '#domain/ids.ts';
import type { Image, ImageDevice } from '#domain/image.ts';
import { type Attachment, type Instance, SYSTEM_DEVICE } from '#domain/instance.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Tag } from '#domain/tags.ts';
import { VOLUME_TYPES } from '#domain/volume-type.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import { volumeIn } from '#control/lookup.ts';
import type { ControlPorts } from '#control/ports.ts';
import { createSnapshots, type CreateSnapshotSet } from '#control/snapshot-sets.ts';
import { planSnapshot } from '#control/snapshots.ts';
import { checkNewName, insertImage, type NewImage } from './images.ts';
import { cutHeld } from './instance-snapshots.ts';
import { findInstance, instanceIn, INSTANCES } from './records.ts';
import { volumesOf } from './views.ts';

// EC2's snapshots of a machine's volumes: one cut of all of them while the guest holds its writes, as far as it can
// (instance-snapshots.ts), and each a snapshot of its own.

export interface CreateMachineSnapshots {
  readonly instance: InstanceId;
  /** Of these of its volumes; at least one. */
  readonly volumes: readonly VolumeId[];
  readonly description: string;
  readonly tags: readonly Tag[];
  readonly copiesTags: boolean;
  readonly outpost: string | null;
  readonly settle?: NonNullable<CreateSnapshotSet['settle']>;
}

/** As `createSnapshots`. Refuses beside: not-found and wrong-state (the machine). */
export async function createMachineSnapshots(
  ports: ControlPorts,
  scope: Scope,
  { instance: id, ...request }: CreateMachineSnapshots,
): Promise<readonly Snapshot[]> {
  return await cutVolumes(ports, scope, await settledInstance(ports, scope, id), request);
}

/** One cut of volumes of a machine, which is held for it as far as it can be. */
export async function cutVolumes(
  ports: ControlPorts,
  scope: Scope,
  instance: Instance,
  request: Omit<CreateSnapshotSet, 'face' | 'hold'>,
): Promise<readonly Snapshot[]> {
  return await createSnapshots(ports, scope, {
    ...request,
    face: 'ec2',
    hold: async (cut) => {
      const { epochs, consistency, consistencyNote: note, heldMs } = await cutHeld(ports, instance, cut);
      ports.log.info('instance.snapshots', { instance: instance.id, consistency, note, heldMs });
      return epochs;
    },
  });
}

export interface CreateImage {
  readonly instance: InstanceId;
  readonly name: string;
  readonly description: string;
  /** Volumes that are not in the image. */
  readonly excluded: ReadonlySet<VolumeId>;
  /** Where the image says otherwise than the machine. */
  readonly deleteOnTermination: ReadonlyMap<VolumeId, boolean>;
  readonly imageTags: readonly Tag[];
  readonly snapshotTags: readonly Tag[];
  /** A machine that runs is shut down for the cut, and started again. */
  readonly reboots: boolean;
}

/**
 * An image of a machine: its volumes at one instant, and registered with them, or nothing of it. It is `pending` until all
 * snapshots are complete. Of a machine that runs, with `reboots`, it is recorded, and cut when that has shut down
 * (image-cuts.ts). Refuses: not-found, wrong-state, name-taken, invalid-value, limit, snapshot-rate.
 */
export async function createImage(ports: ControlPorts, scope: Scope, request: CreateImage): Promise<Image> {
  const instance = await settledInstance(ports, scope, request.instance);
  if (!instance.attachments.some(({ device }) => device === SYSTEM_DEVICE)) {
    const { id } = instance;
    refuse({ kind: 'wrong-state', resource: 'instance', id, state: 'stopped without a system volume' });
  }
  await ports.meta.read((tx) => checkNewName(tx, scope, request.name));
  const wanted = request.reboots ? await recordWanted(ports, scope, request) : null;
  if (wanted !== null) return wanted;
  const attachments = instance.attachments.filter(({ volume }) => !request.excluded.has(volume));
  const volumes = await volumesOf(ports, [instance]);
  const made: Image[] = [];
  await cutVolumes(ports, scope, instance, {
    volumes: attachments.map(({ volume }) => volume),
    description: snapshotDescription(instance, request.name),
    tags: request.snapshotTags,
    copiesTags: false,
    settle: async (tx, snapshots) => {
      const devices = attachments.flatMap((attachment, at): readonly ImageDevice[] => {
        const [snapshot, volume] = [snapshots[at], volumes.get(attachment.volume)];
        if (snapshot === undefined || volume === undefined) return [];
        const { id, volumeSizeGib: sizeGib } = snapshot;
        return [deviceOf(request, attachment, { ...volume, sizeGib }, id)];
      });
      made.push(await insertImage(ports, tx, scope, newImage(request, instance, devices)));
    },
  });
  return present(made.at(-1), 'an image is recorded with its snapshots');
}

/** In one transaction: the image, and that its machine shuts down for it. Null: the machine does not run, or shuts down for somebody else. */
async function recordWanted(ports: ControlPorts, scope: Scope, request: CreateImage): Promise<Image | null> {
  await refuseUncut(ports, scope, request);
  const made = await ports.meta.transact(async (tx) => {
    const instance = await instanceIn(tx, scope, request.instance);
    const { id, state, imagesWanted = [] } = instance;
    const isOnItsWay = state === 'stopping' && imagesWanted.length > 0;
    if (state !== 'running' && !isOnItsWay) return null;
    const attachments = instance.attachments.filter(({ volume }) => !request.excluded.has(volume));
    const devices: ImageDevice[] = [];
    for (const attachment of attachments) {
      devices.push(deviceOf(request, attachment, await volumeIn(tx, scope, attachment.volume), null));
    }
    const { snapshotTags } = request;
    const cutWanted = { volumes: attachments.map(({ volume }) => volume), snapshotTags };
    const image = await insertImage(ports, tx, scope, { ...newImage(request, instance, devices), cutWanted });
    const wanted = [...imagesWanted, image.id];
    await tx.documents.update(
      INSTANCES,
      scope,
      isOnItsWay
        ? { ...instance, imagesWanted: wanted }
        : { ...instance, state: 'stopping', wanted: 'running', stopsAtOnce: false, imagesWanted: wanted },
    );
    ports.log.info('instance.image', { instance: id, image: image.id });
    return image;
  });
  if (made !== null) ports.wake('reconcile-instances');
  return made;
}

/** What would be refused of the cut is refused before the machine is shut down for it. Nothing is recorded. */
async function refuseUncut(
  ports: ControlPorts,
  scope: Scope,
  { instance: of, excluded, snapshotTags }: CreateImage,
): Promise<void> {
  const planned = new Error('what was planned is not recorded');
  const plan = ports.meta.transact(async (tx) => {
    const { attachments } = await instanceIn(tx, scope, of);
    for (const { volume: id } of attachments) {
      if (excluded.has(id)) continue;
      const [cut, snapshot] = [newCutId(ports.random), newSnapshotId(ports.random)];
      const wish = { face: 'ec2', name: null, description: '', tags: snapshotTags, id: snapshot, cut } as const;
      await tx.snapshots.insert(await planSnapshot(ports, tx, await volumeIn(tx, scope, id), wish));
    }
    throw planned;
  });
  await plan.catch((error: unknown) => {
    if (error !== planned) throw error;
  });
}

function newImage(request: CreateImage, instance: Instance, devices: readonly ImageDevice[]): NewImage {
  const { name, description, imageTags: tags } = request;
  const { userName, id: sourceInstance } = instance;
  return { name, description, devices, sourceInstance, userName, enaSupport: true, tags };
}

function deviceOf(
  request: CreateImage,
  attachment: Attachment,
  volume: Volume,
  snapshot: SnapshotId | null,
): ImageDevice {
  const deleteOnTermination = request.deleteOnTermination.get(volume.id) ?? attachment.deleteOnTermination;
  return { device: attachment.shownAs ?? attachment.device, ...shapeOf(volume, snapshot), deleteOnTermination };
}

/** Of the snapshots of an image. */
export function snapshotDescription({ id }: Instance, image: string): string {
  return `Created by CreateImage(${id}) for ${image}`;
}

function shapeOf(
  { type, iops, throughputMibps, sizeGib }: Volume,
  snapshot: SnapshotId | null,
): Omit<ImageDevice, 'device' | 'deleteOnTermination'> {
  // What follows from the type and size is not said again.
  const rule = VOLUME_TYPES[type];
  return {
    snapshot,
    sizeGib,
    type,
    iops: rule.iops === null ? null : iops,
    throughputMibps: rule.throughput === null ? null : throughputMibps,
  };
}

/** One whose volumes are all there. Refuses: not-found, wrong-state. */
async function settledInstance(ports: ControlPorts, scope: Scope, id: InstanceId): Promise<Instance> {
  const instance = await findInstance(ports, scope, id);
  const { state, launchedAtMs } = instance;
  const isMade = state === 'running' || state === 'stopped' || state === 'stopping' || launchedAtMs !== null;
  if (!isMade || state === 'shutting-down' || state === 'terminated') {
    refuse({ kind: 'wrong-state', resource: 'instance', id, state });
  }
  return instance;
}
