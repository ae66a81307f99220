import { present } from '#base/assert.ts';
import { refuse } from '#domain/errors.ts';
import type { InstanceId, VolumeId } from '#domain/ids.ts';
import type { Image, ImageDevice } from '#domain/image.ts';
import { type Instance, SYSTEM_DEVICE } from '#domain/instance.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Tag } from '#domain/tags.ts';
import { VOLUME_TYPES } from '#domain/volume-type.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import { createSnapshots, type CreateSnapshotSet } from '#control/snapshot-sets.ts';
import { checkNewName, insertImage } from './images.ts';
import { cutHeld } from './instance-snapshots.ts';
import { findInstance } from './records.ts';
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

async function cutVolumes(
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
}

/**
 * An image of a machine: its volumes at one instant, and registered with them, or nothing of it. It is `pending` until all
 * snapshots are complete. Refuses: not-found, wrong-state, name-taken, invalid-value, limit, snapshot-rate.
 */
export async function createImage(ports: ControlPorts, scope: Scope, request: CreateImage): Promise<Image> {
  const instance = await settledInstance(ports, scope, request.instance);
  if (!instance.attachments.some(({ device }) => device === SYSTEM_DEVICE)) {
    const { id } = instance;
    refuse({ kind: 'wrong-state', resource: 'instance', id, state: 'stopped without a system volume' });
  }
  await ports.meta.read((tx) => checkNewName(tx, scope, request.name));
  const attachments = instance.attachments.filter(({ volume }) => !request.excluded.has(volume));
  const volumes = await volumesOf(ports, [instance]);
  const made: Image[] = [];
  await cutVolumes(ports, scope, instance, {
    volumes: attachments.map(({ volume }) => volume),
    description: `Created by CreateImage(${instance.id}) for ${request.name}`,
    tags: request.snapshotTags,
    copiesTags: false,
    settle: async (tx, snapshots) => {
      const devices = attachments.flatMap((attachment, at): readonly ImageDevice[] => {
        const [snapshot, volume] = [snapshots[at], volumes.get(attachment.volume)];
        if (snapshot === undefined || volume === undefined) return [];
        const goes = request.deleteOnTermination.get(volume.id) ?? attachment.deleteOnTermination;
        return [
          { device: attachment.shownAs ?? attachment.device, ...shapeOf(volume, snapshot), deleteOnTermination: goes },
        ];
      });
      const { name, description, imageTags: tags } = request;
      const { userName, id: sourceInstance } = instance;
      const image = await insertImage(ports, tx, scope, {
        name,
        description,
        devices,
        sourceInstance,
        userName,
        enaSupport: true,
        tags,
      });
      made.push(image);
    },
  });
  return present(made.at(-1), 'an image is recorded with its snapshots');
}

function shapeOf(
  { type, iops, throughputMibps }: Volume,
  { id, volumeSizeGib }: Snapshot,
): Omit<ImageDevice, 'device' | 'deleteOnTermination'> {
  // What follows from the type and size is not said again.
  const rule = VOLUME_TYPES[type];
  return {
    snapshot: id,
    sizeGib: volumeSizeGib,
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
