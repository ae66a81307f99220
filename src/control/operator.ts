import { refuse } from '#domain/errors.ts';
import { parseSnapshotId, parseVolumeId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Volume } from '#domain/volume.ts';
import type { NbdAccess, NbdGrant } from '#volume/host.ts';
import { refuseUnusable } from './lookup.ts';
import { openVolume, withDataKey } from './open-volume.ts';
import type { ControlPorts } from './ports.ts';

/** Where a volume or snapshot is served over NBD. */
export interface NbdAddress {
  /** The export's name: the id. */
  readonly exportName: string;
  readonly socketPath: string;
  readonly readOnly: boolean;
}

/** As many are named where a name is of several. */
const CHOICES_MAX = 10;

/** Several resources have the name; the operator must say which by id. */
export class AmbiguousNameError extends Error {
  override readonly name = 'AmbiguousNameError';
}

/**
 * For whoever runs the server, across accounts and regions: the address of a volume or a completed snapshot, by id, by
 * Lightsail's `supportCode`, by Lightsail's name or the tag Name. Refuses: not-found, wrong-state. Throws AmbiguousNameError with the ids to choose from.
 */
export async function addressOf(ports: ControlPorts, nameOrId: string): Promise<NbdAddress> {
  const resource = await servableOf(ports, nameOrId);
  if (isVolume(resource)) {
    // Open already, except in the moments after a start of the volume host; the same generation changes nothing.
    const { socketPath } = await openVolume(ports, resource);
    return { exportName: resource.id, socketPath, readOnly: false };
  }
  const { socketPath } = await withDataKey(ports, resource, (dataKey) => ports.host.openSnapshot(resource.id, dataKey));
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
  } else refuseUnusable(resource);
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
    const choices = found.slice(0, CHOICES_MAX).map((one) => {
      return `${one.id} (${isVolume(one) ? 'volume' : 'snapshot'}, account ${one.account}, ${one.region})`;
    });
    if (found.length > CHOICES_MAX) choices.push(`and ${found.length - CHOICES_MAX} more`);
    throw new AmbiguousNameError(`"${nameOrId}" names several: ${choices.join(', ')}. Give the id`);
  }
  return resource;
}

/** All that have the name, or the one of the id; of an account where a `supportCode` names it. */
export async function findAnywhere(ports: ControlPorts, text: string): Promise<readonly (Volume | Snapshot)[]> {
  // Lightsail's supportCode: the account before the id.
  const { account, id = text } = /^(?<account>\d{12})\/(?<id>.+)$/.exec(text)?.groups ?? {};
  const volumeId = parseVolumeId(id);
  const snapshotId = parseSnapshotId(id);
  return await ports.meta.read(async (tx) => {
    if (volumeId === null && snapshotId === null) {
      return [...(await tx.volumes.named(text)), ...(await tx.snapshots.named(text))];
    }
    const found = volumeId === null ? null : await tx.volumes.find(volumeId);
    const one = found ?? (snapshotId === null ? null : await tx.snapshots.find(snapshotId));
    return one === null || (account !== undefined && one.account !== account) ? [] : [one];
  });
}
