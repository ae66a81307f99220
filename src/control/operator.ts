import { refuse } from '#domain/errors.ts';
import { parseSnapshotId, parseVolumeId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Volume } from '#domain/volume.ts';
import type { NbdAccess, NbdGrant } from '#volume/host.ts';
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
  const resource = await servableOf(ports, nameOrId);
  if (isVolume(resource)) {
    // Open already, except in the moments after a start of the volume host; the same generation changes nothing.
    const { socketPath } = await ports.host.open(resource.id, resource.generation);
    return { exportName: resource.id, socketPath, readOnly: false };
  }
  const { socketPath } = await ports.host.openSnapshot(resource.id);
  return { exportName: resource.id, socketPath, readOnly: true };
}

/** A credential for one volume or snapshot over TCP; refuses and throws as `addressOf`. */
export async function grantAccess(
  ports: ControlPorts,
  nameOrId: string,
  ttlMs: number | null,
): Promise<NbdAccess & { readonly readOnly: boolean }> {
  const resource = await servableOf(ports, nameOrId);
  return { ...(await ports.host.issueGrant(resource.id, ttlMs)), readOnly: !isVolume(resource) };
}

/** The credentials of one volume or snapshot, in whatever state it is, or (null) of all. */
export async function grantsOf(ports: ControlPorts, nameOrId: string | null): Promise<readonly NbdGrant[]> {
  return await ports.host.grants(nameOrId === null ? null : (await oneOf(ports, nameOrId)).id);
}

/** What can be opened by clients now. */
async function servableOf(ports: ControlPorts, nameOrId: string): Promise<Volume | Snapshot> {
  const resource = await oneOf(ports, nameOrId);
  if (isVolume(resource)) {
    if (resource.draft || resource.state !== 'available') {
      refuse({ kind: 'wrong-state', resource: 'volume', id: resource.id, state: resource.state });
    }
  } else if (resource.state !== 'completed') {
    refuse({ kind: 'wrong-state', resource: 'snapshot', id: resource.id, state: resource.state });
  }
  return resource;
}

function isVolume(resource: Volume | Snapshot): resource is Volume {
  return 'sizeGib' in resource;
}

async function oneOf(ports: ControlPorts, nameOrId: string): Promise<Volume | Snapshot> {
  const found = await findAnywhere(ports, nameOrId);
  const [resource] = found;
  if (resource === undefined) refuse({ kind: 'not-found', resource: 'resource', id: nameOrId });
  if (found.length > 1) {
    const choices = found.map(({ id, account, region }) => `${id} (account ${account}, ${region})`).join(', ');
    throw new AmbiguousNameError(`"${nameOrId}" names several: ${choices}. Give the id`);
  }
  return resource;
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
