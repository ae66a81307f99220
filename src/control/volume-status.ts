import { refuse } from '#domain/errors.ts';
import type { VolumeId } from '#domain/ids.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import type { Row } from '#meta/meta-store.ts';
import type { VolumeStatus } from '#volume/host.ts';
import { isHostError } from './host-failure.ts';
import { eachOnce, volumeIn } from './lookup.ts';
import { readPage, slicePage } from './pages.ts';
import { openVolume } from './open-volume.ts';
import type { ControlPorts } from './ports.ts';

/** What is known of a volume's health. */
export interface VolumeHealth {
  readonly volume: Volume;
  /** Null while the volume host has not opened it. */
  readonly status: VolumeStatus | null;
}

/** `impaired`: it answers no request, because its files failed or are lost; `unknown`: it is not open yet. */
export function healthOf({ volume, status }: VolumeHealth): 'ok' | 'impaired' | 'unknown' {
  if (volume.state === 'error' || (status !== null && status.failure !== null)) return 'impaired';
  return status === null ? 'unknown' : 'ok';
}

export interface ListHealth {
  readonly ids: readonly VolumeId[] | null;
  readonly after: string | null;
  readonly countMax: number;
  readonly match: (health: VolumeHealth) => boolean;
}

/** As listVolumes, without regard to the face. Refuses: not-found, page-token-invalid. */
export async function listHealth(
  ports: ControlPorts,
  scope: Scope,
  request: ListHealth,
): Promise<{ readonly volumes: readonly VolumeHealth[]; readonly next: string | null }> {
  const { ids } = request;
  if (ids !== null) {
    const volumes = await ports.meta.read((tx) => eachOnce(ids, (id) => volumeIn(tx, scope, id)));
    const page = await slicePage(ports, scope, 'health by id', request, await withStatus(ports, volumes));
    return { volumes: page.records, next: page.next };
  }
  const page = await readPage<VolumeHealth>(
    ports,
    scope,
    'health',
    request,
    async (part): Promise<readonly Row<VolumeHealth>[]> => {
      const rows = await ports.meta.read((tx) => tx.volumes.list({ scope, face: 'ec2' }, part));
      const health = await withStatus(
        ports,
        rows.map(({ record }) => record),
      );
      return rows.flatMap(({ sequence }, index) => {
        const record = health[index];
        return record === undefined ? [] : [{ sequence, record }];
      });
    },
  );
  return { volumes: page.records, next: page.next };
}

async function withStatus(ports: ControlPorts, volumes: readonly Volume[]): Promise<readonly VolumeHealth[]> {
  if (volumes.length === 0) return [];
  const found = await ports.host.status(volumes.map(({ id }) => id));
  const statuses = new Map(found.map((status) => [status.volume, status]));
  return volumes.map((volume) => ({ volume, status: statuses.get(volume.id) ?? null }));
}

/**
 * Opens a volume again whose requests fail since its files did: what it shows then is what is on the disk. No error when it
 * serves. Refuses: not-found, wrong-state (its bytes are gone, or damaged).
 */
export async function enableIo(ports: ControlPorts, scope: Scope, id: VolumeId): Promise<void> {
  const volume = await ports.meta.read((tx) => volumeIn(tx, scope, id));
  if (volume.state === 'creating') refuse({ kind: 'wrong-state', resource: 'volume', id, state: volume.state });
  try {
    await openVolume(ports, volume);
  } catch (error) {
    if (!isHostError(error, 'volume-not-found', 'damaged')) throw error;
    ports.log.error('volume.lost', { volume: id, error });
    refuse({ kind: 'wrong-state', resource: 'volume', id, state: 'error' });
  }
  await ports.meta.transact(async (tx) => {
    const current = await tx.volumes.find(id);
    if (current?.state === 'error') await tx.volumes.update({ ...current, state: 'available' });
  });
}

/** Refuses: not-found. */
export async function setAutoEnableIo(
  ports: ControlPorts,
  scope: Scope,
  id: VolumeId,
  autoEnableIo: boolean,
): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const volume = await volumeIn(tx, scope, id);
    await tx.volumes.update({ ...volume, autoEnableIo });
  });
}
