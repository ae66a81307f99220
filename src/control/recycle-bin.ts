import { refuse } from '#domain/errors.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import type { Binned } from '#domain/recycle-bin.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import type { Page, ReadTx, Row } from '#meta/meta-store.ts';
import { eachOnce, isIn } from './lookup.ts';
import { readPage, slicePage } from './pages.ts';
import { openVolume } from './open-volume.ts';
import type { ControlPorts } from './ports.ts';
import { retentionOf } from './retention-rules.ts';

/*
 * What a rule of the recycle bin keeps is `recoverable` instead of deleted: clients find it in the bin only, and its bytes
 * stay as they are. It comes back when it is asked for, and goes for good when its time is over (tasks/empty-bin.ts).
 */

/** How long a snapshot stays in the bin when it is deleted now; null: it does not come there. */
export async function binOf(
  ports: ControlPorts,
  tx: ReadTx,
  resource: Snapshot | Volume,
  type: 'EBS_SNAPSHOT' | 'EBS_VOLUME',
): Promise<Binned | null> {
  if (resource.face !== 'ec2') return null; // Lightsail has no recycle bin.
  const retentionMs = await retentionOf(tx, resource, type, resource.tags);
  if (retentionMs === null) return null;
  const nowMs = ports.time.latestMs();
  return { enteredAtMs: nowMs, exitAtMs: nowMs + retentionMs };
}

export interface BinnedSnapshot extends Snapshot {
  readonly bin: Binned;
}

export interface BinnedVolume extends Volume {
  readonly bin: Binned;
}

export interface ListBin<Id> {
  /** These, and all of them must be in the bin; null: all. */
  readonly ids: readonly Id[] | null;
  readonly after: string | null;
  readonly countMax: number;
}

/** In the order of creation. Refuses: not-found, page-token-invalid. */
export async function listBinnedSnapshots(
  ports: ControlPorts,
  scope: Scope,
  request: ListBin<SnapshotId>,
): Promise<{ readonly snapshots: readonly BinnedSnapshot[]; readonly next: string | null }> {
  const page = await binPage<Snapshot, SnapshotId>(ports, scope, 'snapshots', request, {
    list: (tx, part) => tx.snapshots.list({ scope, face: null, binned: true }, part),
    find: (tx, id) => binnedSnapshot(tx, scope, id),
  });
  return { snapshots: page.records.flatMap(asBinned), next: page.next };
}

export async function listBinnedVolumes(
  ports: ControlPorts,
  scope: Scope,
  request: ListBin<VolumeId>,
): Promise<{ readonly volumes: readonly BinnedVolume[]; readonly next: string | null }> {
  const page = await binPage<Volume, VolumeId>(ports, scope, 'volumes', request, {
    list: (tx, part) => tx.volumes.list({ scope, face: null, binned: true }, part),
    find: (tx, id) => binnedVolume(tx, scope, id),
  });
  return { volumes: page.records.flatMap(asBinned), next: page.next };
}

/** A page of all that is in the bin, or of those that are asked for. */
async function binPage<R, Id>(
  ports: ControlPorts,
  scope: Scope,
  what: 'snapshots' | 'volumes',
  request: ListBin<Id>,
  read: {
    readonly list: (tx: ReadTx, part: Page) => Promise<readonly Row<R>[]>;
    readonly find: (tx: ReadTx, id: Id) => Promise<R>;
  },
): Promise<{ readonly records: readonly R[]; readonly next: string | null }> {
  const { ids, after, countMax } = request;
  const page = { after, countMax };
  if (ids === null) {
    return await readPage<R>(ports, scope, `${what} in the bin`, page, (part) =>
      ports.meta.read((tx) => read.list(tx, part)),
    );
  }
  const found = await ports.meta.read((tx) => eachOnce(ids, (id) => read.find(tx, id)));
  return await slicePage<R>(ports, scope, `${what} in the bin by id`, page, found);
}

function asBinned<R extends { readonly bin: Binned | null }>(record: R): readonly (R & { readonly bin: Binned })[] {
  const { bin } = record;
  return bin === null ? [] : [{ ...record, bin }];
}

async function binnedSnapshot(tx: ReadTx, scope: Scope, id: SnapshotId): Promise<Snapshot> {
  const snapshot = await tx.snapshots.find(id);
  if (snapshot?.state !== 'recoverable' || !isIn(scope, snapshot)) {
    refuse({ kind: 'not-found', resource: 'snapshot', id });
  }
  return snapshot;
}

async function binnedVolume(tx: ReadTx, scope: Scope, id: VolumeId): Promise<Volume> {
  const volume = await tx.volumes.find(id);
  if (volume?.state !== 'recoverable' || !isIn(scope, volume)) refuse({ kind: 'not-found', resource: 'volume', id });
  return volume;
}

/** The snapshot is `recovering` when it resolves, and completed once its bytes were found. Refuses: not-found. */
export async function recoverSnapshot(ports: ControlPorts, scope: Scope, id: SnapshotId): Promise<Snapshot> {
  const recovering = await ports.meta.transact(async (tx) => {
    const snapshot = await binnedSnapshot(tx, scope, id);
    const changed: Snapshot = { ...snapshot, state: 'recovering', bin: null };
    await tx.snapshots.update(changed);
    return changed;
  });
  ports.wake('empty-bin');
  return recovering;
}

/** The volume is available, and served again, when it resolves. Refuses: not-found. */
export async function recoverVolume(ports: ControlPorts, scope: Scope, id: VolumeId): Promise<void> {
  const volume = await ports.meta.transact(async (tx) => {
    const current = await binnedVolume(tx, scope, id);
    const changed: Volume = { ...current, state: 'available', bin: null };
    await tx.volumes.update(changed);
    return changed;
  });
  try {
    await openVolume(ports, volume);
  } catch (error) {
    // It is out of the bin, as the record says, and opened like every other as soon as that is possible.
    ports.log.warn('volume.open', { volume: id, error });
    ports.wake('open-volumes');
  }
}
