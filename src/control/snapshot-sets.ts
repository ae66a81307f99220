import { present } from '#base/assert.ts';
import { refuse } from '#domain/errors.ts';
import { type CutId, newCutId, newSnapshotId, type SnapshotId, type VolumeId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Tag } from '#domain/tags.ts';
import type { Face, Scope, Volume } from '#domain/volume.ts';
import { giveUpSnapshot } from './deletion.ts';
import { isHostError } from './host-failure.ts';
import { eachOnce, volumeIn } from './lookup.ts';
import { openVolume } from './open-volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import type { ControlPorts } from './ports.ts';
import { planSnapshot } from './snapshots.ts';

/*
 * Snapshots of several volumes at one instant. As one snapshot (snapshots.ts): all records as `cutting` in one transaction,
 * one cut of all volumes, all `pending` in one transaction. A crash between any two of these leaves snapshots that are
 * `cutting`, which are given up: there is never a part of a set.
 */

export interface CreateSnapshotSet {
  readonly face: Face;
  /** Each once; at least one. */
  readonly volumes: readonly VolumeId[];
  readonly description: string;
  /** Of each snapshot; with the volume's own under them. */
  readonly tags: readonly Tag[];
  /** Each snapshot has its volume's tags, too. */
  readonly copiesTags: boolean;
  /** ARN of the Outpost that all of the volumes are on and the snapshots are to be on; null or missing: they go to the region. */
  readonly outpost?: string | null;
  /** Runs the cut, and may hold a machine's writes meanwhile; missing: nothing holds them. */
  readonly hold?: (cut: () => Promise<Epochs>) => Promise<Epochs>;
  /** What is recorded with them, in the transaction in which they become `pending`; when it refuses, there is none of them. */
  readonly settle?: (tx: Tx, snapshots: readonly Snapshot[]) => Promise<void>;
}

/** The epoch that each volume of a cut ended. */
export type Epochs = ReadonlyMap<VolumeId, number>;

/**
 * Resolves with pending snapshots, in the order of the volumes, once the cut is durable: of all volumes together, what was
 * acknowledged before the instant is in, and what was begun after it is not. Refuses as createSnapshot, and then there is
 * none of them.
 */
export async function createSnapshots(
  ports: ControlPorts,
  scope: Scope,
  request: CreateSnapshotSet,
): Promise<readonly Snapshot[]> {
  const volumeIds = [...new Set(request.volumes)];
  if (volumeIds.length === 0) refuse({ kind: 'missing', field: 'volumes' });
  const ids = volumeIds.map(() => newSnapshotId(ports.random));
  return await runAll(ports, ids, async () => {
    const begun = await recordSet(ports, scope, request, ids);
    try {
      const cutAll = (): Promise<Epochs> => cutSet(ports, begun.volumes, begun.cut);
      const epochs = await (request.hold ?? ((cut) => cut()))(cutAll);
      const pending = await ports.meta.transact(async (tx) => {
        const snapshots = await eachOnce(ids, (id) => setPending(tx, id, epochs));
        await request.settle?.(tx, snapshots);
        return snapshots;
      });
      ports.wake('upload-snapshots');
      return pending;
    } catch (error) {
      for (const id of ids) await giveUpSnapshot(ports, id);
      throw error;
    }
  });
}

async function setPending(tx: Tx, id: SnapshotId, epochs: Epochs): Promise<Snapshot> {
  const current = present(await tx.snapshots.find(id), 'a snapshot that is being cut exists');
  const epoch = present(epochs.get(current.volume), 'a cut answers the epoch of every volume');
  const volumeSizeGib = (await tx.volumes.find(current.volume))?.sizeGib ?? current.volumeSizeGib;
  const changed: Snapshot = { ...current, state: 'pending', epoch, volumeSizeGib };
  await tx.snapshots.update(changed);
  return changed;
}

async function recordSet(
  ports: ControlPorts,
  scope: Scope,
  request: CreateSnapshotSet,
  ids: readonly SnapshotId[],
): Promise<{ readonly volumes: readonly Volume[]; readonly cut: CutId }> {
  const cut = newCutId(ports.random);
  const { face, description, copiesTags, outpost = null } = request;
  return await ports.meta.transact(async (tx) => {
    const volumes = await eachOnce(request.volumes, (id) => volumeIn(tx, scope, id));
    for (const [at, volume] of volumes.entries()) {
      const id = present(ids[at], 'every volume gets a snapshot');
      const tags = copiesTags ? mergedTags(volume, request.tags) : request.tags;
      // One after another in one transaction, so limits count those before.
      await tx.snapshots.insert(
        await planSnapshot(ports, tx, volume, { face, name: null, description, tags, outpost, id, cut }),
      );
    }
    return { volumes, cut };
  });
}

/** What the request says goes over what the volume has. AWS's own tags are not copied. */
function mergedTags(volume: Volume, tags: readonly Tag[]): readonly Tag[] {
  const named = new Set(tags.map(({ key }) => key));
  const own = Object.entries(volume.tags).filter(([key]) => !named.has(key) && !key.toLowerCase().startsWith('aws:'));
  return [...own.map(([key, value]) => ({ key, value })), ...tags];
}

/** One cut of all these volumes: the epoch that each ends. */
export async function cutSet(ports: ControlPorts, volumes: readonly Volume[], cut: CutId): Promise<Epochs> {
  const ids = volumes.map(({ id }) => id);
  const attempt = async (): Promise<Epochs> =>
    new Map((await ports.host.cut(ids, cut)).map(({ volume, epoch }) => [volume, epoch]));
  try {
    return await attempt();
  } catch (error) {
    if (isHostError(error, 'volume-not-found')) {
      // One was deleted meanwhile; which, its record says.
      await ports.meta.read((tx) => eachOnce(volumes, (volume) => volumeIn(tx, volume, volume.id)));
    }
    if (!isHostError(error, 'unavailable')) throw error;
    for (const volume of volumes) await openVolume(ports, volume);
    return await attempt();
  }
}

/** As the one that works on all of these. They are new, so nobody waits for another. */
export async function runAll<R>(ports: ControlPorts, ids: readonly SnapshotId[], work: () => Promise<R>): Promise<R> {
  const [first, ...rest] = ids;
  return first === undefined ? await work() : await ports.intents.run(first, () => runAll(ports, rest, work));
}
