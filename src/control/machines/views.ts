import type { InstanceId, VolumeId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import type { Volume } from '#domain/volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import { INSTANCES } from './records.ts';

// What faces show of machines and disks together, read in one view of the metadata.

/** The volumes of machines, by id. */
export async function volumesOf(
  ports: ControlPorts,
  instances: readonly Instance[],
): Promise<ReadonlyMap<VolumeId, Volume>> {
  return await ports.meta.read(async (tx) => {
    const found = new Map<VolumeId, Volume>();
    for (const { volume: id } of instances.flatMap(({ attachments }) => attachments)) {
      const volume = await tx.volumes.find(id);
      if (volume !== null) found.set(id, volume);
    }
    return found;
  });
}

/** What the machines that have the volumes are called: Lightsail's name, or the id. */
export async function holdersOf(
  ports: ControlPorts,
  volumes: readonly Volume[],
): Promise<ReadonlyMap<InstanceId, string>> {
  const attached = volumes.filter(({ attachment }) => attachment !== null);
  if (attached.length === 0) return new Map();
  return await ports.meta.read(async (tx) => {
    const names = new Map<InstanceId, string>();
    for (const volume of attached) {
      const id = volume.attachment?.instance;
      if (id === undefined || names.has(id)) continue;
      const instance = await tx.documents.find(INSTANCES, volume, id);
      names.set(id, instance?.name ?? id);
    }
    return names;
  });
}
