import { refuse } from '#domain/errors.ts';
import { parseSnapshotId, parseVolumeId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Volume } from '#domain/volume.ts';
import type { ControlPorts } from './ports.ts';

/** Where a volume or snapshot is served over NBD. */
export interface NbdAddress {
  /** The export's name: the id. */
  readonly exportName: string;
  readonly socketPath: string;
  readonly readOnly: boolean;
}

/** Several resources of different accounts or regions have the name; the operator must say which by id. */
export class AmbiguousNameError extends Error {
  override readonly name = 'AmbiguousNameError';
}

/**
 * For whoever runs the server, across accounts and regions: the address of a volume or a completed snapshot, by id or by
 * Lightsail's name. Refuses: not-found, wrong-state. Throws AmbiguousNameError with the ids to choose from.
 */
export async function addressOf(ports: ControlPorts, nameOrId: string): Promise<NbdAddress> {
  const found = await findAnywhere(ports, nameOrId);
  const [resource] = found;
  if (resource === undefined) refuse({ kind: 'not-found', resource: 'resource', id: nameOrId });
  if (found.length > 1) {
    const choices = found.map(({ id, account, region }) => `${id} (account ${account}, ${region})`).join(', ');
    throw new AmbiguousNameError(`"${nameOrId}" names several: ${choices}. Give the id`);
  }
  if ('sizeGib' in resource) {
    if (resource.draft || resource.state !== 'available') {
      refuse({ kind: 'wrong-state', resource: 'volume', id: resource.id, state: resource.state });
    }
    // Open already, except in the moments after a start of the volume host; the same generation changes nothing.
    const { socketPath } = await ports.host.open(resource.id, resource.generation);
    return { exportName: resource.id, socketPath, readOnly: false };
  }
  if (resource.state !== 'completed') {
    refuse({ kind: 'wrong-state', resource: 'snapshot', id: resource.id, state: resource.state });
  }
  const { socketPath } = await ports.host.openSnapshot(resource.id);
  return { exportName: resource.id, socketPath, readOnly: true };
}

async function findAnywhere(ports: ControlPorts, nameOrId: string): Promise<readonly (Volume | Snapshot)[]> {
  const volumeId = parseVolumeId(nameOrId);
  const snapshotId = parseSnapshotId(nameOrId);
  return await ports.meta.read(async (tx) => {
    if (volumeId !== null) return [await tx.volumes.find(volumeId)].filter((volume) => volume !== null);
    if (snapshotId !== null) return [await tx.snapshots.find(snapshotId)].filter((snapshot) => snapshot !== null);
    return [...(await tx.volumes.named(nameOrId)), ...(await tx.snapshots.named(nameOrId))];
  });
}
