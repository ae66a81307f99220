import type { Volume } from '#domain/volume.ts';
import type { Sequence } from '#meta/meta-store.ts';
import type { VolumeStatus } from '#volume/host.ts';
import type { ControlPorts } from './ports.ts';

/** Volumes of one page: the volume host is asked for all of them at once. */
const COUNT_PER_PAGE = 200;

export interface ServedVolume {
  readonly volume: Volume;
  /** Null while the volume host has not opened it. */
  readonly status: VolumeStatus | null;
}

/** For whoever runs the server: volumes of all accounts and regions, drafts left out, in the order of creation, after one that may be gone. `next`: where to go on; null at the end. */
export async function servedVolumes(
  ports: ControlPorts,
  after: Sequence,
): Promise<{ readonly volumes: readonly ServedVolume[]; readonly next: Sequence | null }> {
  const rows = await ports.meta.read((tx) =>
    tx.volumes.inState(['creating', 'available', 'recoverable', 'deleting', 'error'], {
      after,
      countMax: COUNT_PER_PAGE,
    }),
  );
  const volumes = rows.flatMap(({ record }) => (record.draft ? [] : [record]));
  const statuses = new Map(
    (volumes.length === 0 ? [] : await ports.host.status(volumes.map(({ id }) => id))).map((one) => [one.volume, one]),
  );
  const last = rows.at(-1);
  return {
    volumes: volumes.map((volume) => ({ volume, status: statuses.get(volume.id) ?? null })),
    next: last === undefined || rows.length < COUNT_PER_PAGE ? null : last.sequence,
  };
}
