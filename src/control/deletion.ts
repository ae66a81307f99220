import { refuse } from '#domain/errors.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import type { Operation } from '#domain/operation.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { hasArchive } from '#domain/snapshot-tier.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import type { Deleted } from './delete-once.ts';
import { isHostError, onOpenVolume } from './host-failure.ts';
import { freeToken, recordToken, type TokenUse } from './idempotency.ts';
import { snapshotIn, volumeIn } from './lookup.ts';
import { imageWith } from './machines/image-records.ts';
import { exportPartEnded } from './machines/export-records.ts';
import { binOf } from './recycle-bin.ts';
import { refuseLocked } from './snapshot-locks.ts';
import { endOperations, startOperations } from './operations.ts';
import { isKeyDestroyed } from './open-volume.ts';
import type { ControlPorts } from './ports.ts';

/*
 * Deletion: `deleting` in one transaction (invisible to clients from then on), then the bytes, then the record. Every step
 * may be repeated, so whoever finds a record `deleting` can go on: the request, or the task `finish-deletions`.
 *
 * A volume whose snapshots are still pending keeps its bytes, and stays open at the host for their uploads, until those
 * are done; clients do not see it, and its name is free.
 */

/** What a deletion is recorded with: its token, by which the same call finds it again, and its operation's type. */
interface Decision {
  readonly use: TokenUse;
  readonly operation: string | null;
}

/** deleteVolume, once nobody else works on the volume. */
export async function retireVolume(
  ports: ControlPorts,
  scope: Scope,
  id: VolumeId,
  { use, operation }: Decision,
): Promise<Deleted> {
  refuseAttached(await ports.meta.read((tx) => volumeIn(tx, scope, id)));
  const [status] = await ports.host.status([id]);
  if (status !== undefined && status.clientCount > 0) refuseInUse(id);
  const begun = await ports.meta.transact(async (tx) => {
    const volume = await volumeIn(tx, scope, id);
    if (volume.state === 'creating') refuse({ kind: 'wrong-state', resource: 'volume', id, state: volume.state });
    refuseAttached(volume);
    const bin = volume.state === 'available' ? await binOf(ports, tx, volume, 'EBS_VOLUME') : null;
    await tx.volumes.update({ ...volume, state: bin === null ? 'deleting' : 'recoverable', bin });
    await recordToken(tx, scope, use, id, ports.time.latestMs());
    if (bin !== null) return null;
    const operations = await startOperations(
      ports,
      tx,
      scope,
      id,
      operation === null
        ? []
        : [
            {
              type: operation,
              resourceName: volume.name ?? id,
              resourceType: 'Disk',
              zone: volume.zone,
              details: null,
            },
          ],
    );
    return { volume, operations };
  });
  if (begun === null) {
    ports.wake('empty-bin'); // Stops serving it.
    return { operations: [] };
  }
  try {
    const ended = await finishVolume(ports, begun.volume, { evict: false });
    return { operations: begun.operations.map((one) => ended.find(({ id: other }) => other === one.id) ?? one) };
  } catch (error) {
    if (isHostError(error, 'in-use')) {
      // A client connected after the question. Nothing was destroyed, so nothing was deleted.
      await restore(ports, begun.volume, begun.operations, use);
      refuseInUse(id);
    }
    // It is deleted, as the record says; the bytes follow.
    ports.log.warn('volume.delete', { volume: id, error });
    ports.wake('finish-deletions');
    return { operations: begun.operations };
  }
}

function refuseAttached({ id, attachment }: Volume): void {
  if (attachment !== null) refuse({ kind: 'in-use', resource: 'volume', id, by: attachment.instance });
}

function refuseInUse(id: VolumeId): never {
  refuse({ kind: 'in-use', resource: 'volume', id, by: 'an NBD client' });
}

async function restore(
  ports: ControlPorts,
  volume: Volume,
  operations: readonly Operation[],
  use: TokenUse,
): Promise<void> {
  await ports.meta.transact(async (tx) => {
    await freeToken(tx, volume, use);
    const current = await tx.volumes.find(volume.id);
    if (current?.state === 'deleting') await tx.volumes.update({ ...current, state: volume.state });
    if (operations.length > 0) {
      const errorDetails = 'NBD clients are connected';
      await endOperations(ports, tx, volume.id, { status: 'Failed', errorCode: 'InUse', errorDetails });
    }
  });
}

/**
 * Brings a `deleting` volume as far as it goes: answers the operations that ended by it. With `evict`, clients that
 * connected after the deletion are cut off; without, they make it throw `in-use`.
 */
export async function finishVolume(
  ports: ControlPorts,
  volume: Volume,
  options: { readonly evict: boolean },
): Promise<readonly Operation[]> {
  const { id } = volume;
  const needed = await ports.meta.read((tx) => isNeeded(tx, id));
  if (!needed) {
    if (options.evict) await ports.host.close(id, volume.generation);
    await ports.host.destroy(id);
  }
  return await ports.meta.transact(async (tx) => {
    if (volume.name !== null) await tx.names.free(volume, volume.name, id);
    const ended = await endOperations(ports, tx, id, { status: 'Succeeded' });
    if (!needed) await tx.volumes.remove(id);
    return ended;
  });
}

/** Whether a snapshot still reads the volume's slots. */
async function isNeeded(tx: ReadTx, id: VolumeId): Promise<boolean> {
  const pending = await tx.snapshots.ofVolume(id, 'pending', null, 1);
  const cutting = await tx.snapshots.ofVolume(id, 'cutting', null, 1);
  return pending.length + cutting.length > 0;
}

/** Undoes a creation that its client will not hear of. Its name and its token are free at once; the bytes follow. */
export async function giveUpVolume(ports: ControlPorts, id: VolumeId): Promise<void> {
  await giveUp(ports, id, async (tx) => {
    const volume = await tx.volumes.find(id);
    if (volume === null) return;
    await tx.volumes.update({ ...volume, state: 'deleting' });
    await forget(tx, volume, id);
  });
}

/** The same for a snapshot; a direct one takes its draft volume with it. */
export async function giveUpSnapshot(ports: ControlPorts, id: SnapshotId): Promise<void> {
  await giveUp(ports, id, async (tx) => {
    const snapshot = await tx.snapshots.find(id);
    if (snapshot === null) return;
    await tx.snapshots.update({ ...snapshot, state: 'deleting' });
    await forget(tx, snapshot, id);
    await retireDraft(tx, snapshot);
  });
}

/** Undoes what was begun, in one transaction. Never throws: what cannot be undone now is left to the task. */
export async function giveUp(ports: ControlPorts, id: string, body: (tx: Tx) => Promise<void>): Promise<void> {
  try {
    await ports.meta.transact(body);
    ports.wake('finish-deletions');
  } catch (error) {
    // The first error says more than this one, so it is the one that is thrown. The record stays as it is for the task.
    ports.log.error('intent.give-up', { id, error });
    ports.wake('finish-intents');
  }
}

async function forget(
  tx: Tx,
  resource: Scope & { readonly name: string | null },
  id: VolumeId | SnapshotId,
): Promise<void> {
  if (resource.name !== null) await tx.names.free(resource, resource.name, id);
  await tx.operations.removeOf(id);
  await tx.tokens.removeOf(id);
}

/** The draft volume of a direct snapshot that will not be written any more. */
export async function retireDraft(tx: Tx, snapshot: Snapshot): Promise<void> {
  if (!snapshot.direct) return;
  await tx.blocks.removeOf(snapshot.id);
  const draft = await tx.volumes.find(snapshot.volume);
  if (draft !== null && draft.state !== 'deleting') await tx.volumes.update({ ...draft, state: 'deleting' });
}

/** deleteSnapshot, once nobody else works on the snapshot. */
export async function retireSnapshot(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  { use, operation }: Decision,
): Promise<Deleted> {
  const begun = await ports.meta.transact(async (tx) => {
    const snapshot = await snapshotIn(tx, scope, id);
    refuseLocked(snapshot, ports.time.earliestMs());
    if (snapshot.partOf !== null) refuse({ kind: 'in-use', resource: 'snapshot', id, by: snapshot.partOf });
    const image = await imageWith(tx, scope, id);
    if (image !== null) refuse({ kind: 'in-use', resource: 'snapshot', id, by: image });
    const isWhole = snapshot.state === 'completed' || snapshot.state === 'recovering';
    const bin = isWhole ? await binOf(ports, tx, snapshot, 'EBS_SNAPSHOT') : null;
    if (bin !== null) {
      await tx.snapshots.update({ ...snapshot, state: 'recoverable', bin });
      await recordToken(tx, scope, use, id, ports.time.latestMs());
      return null;
    }
    const deleting: Snapshot = { ...snapshot, state: 'deleting' };
    await tx.snapshots.update(deleting);
    await recordToken(tx, scope, use, id, ports.time.latestMs());
    if (snapshot.name !== null) await tx.names.free(scope, snapshot.name, id);
    await retireDraft(tx, snapshot);
    const errorDetails = 'the snapshot was deleted before it was complete';
    await endOperations(ports, tx, id, { status: 'Failed', errorCode: 'Deleted', errorDetails });
    if (snapshot.exportOf !== null) await exportPartEnded(ports, tx, deleting, snapshot.exportOf);
    const operations = await startOperations(
      ports,
      tx,
      scope,
      id,
      operation === null
        ? []
        : [
            {
              type: operation,
              resourceName: snapshot.name ?? id,
              resourceType: 'DiskSnapshot',
              zone: 'all',
              details: snapshot.volumeName,
            },
          ],
    );
    return { snapshot: deleting, operations };
  });
  if (begun === null) return { operations: [] };
  ports.wake('upload-snapshots'); // An upload of it ends.
  try {
    const ended = await finishSnapshot(ports, begun.snapshot);
    return { operations: begun.operations.map((one) => ended.find(({ id: other }) => other === one.id) ?? one) };
  } catch (error) {
    ports.log.warn('snapshot.delete', { snapshot: id, error });
    ports.wake('finish-deletions');
    return { operations: begun.operations };
  }
}

/** Brings a `deleting` snapshot to its end, unless it is being copied: manifest, cut, record. Answers the operations that ended by it. */
export async function finishSnapshot(ports: ControlPorts, snapshot: Snapshot): Promise<readonly Operation[]> {
  const { id } = snapshot;
  // What was to be copied before it was deleted is copied; the end of the copy wakes `finish-deletions`.
  if (await ports.meta.read((tx) => tx.snapshots.isCopied(id))) return [];
  // Whoever moves it may be about to put something; the task `finish-deletions` comes back.
  if (ports.intents.has(tierIntent(id))) throw new Error('the snapshot is on its way into the archive or out of it');
  if (hasArchive(snapshot.tier)) await ports.host.deleteArchive(id);
  // An upload that began before the record said `deleting` must be over before the manifest is removed for good.
  const upload = uploadIntent(id);
  if (ports.intents.has(upload)) {
    await ports.host.deleteSnapshot(id); // Ends it.
    await ports.intents.settled(upload);
  }
  await ports.host.deleteSnapshot(id);
  if (!snapshot.released) await releaseCut(ports, snapshot);
  const ended = await ports.meta.transact(async (tx) => {
    await tx.snapshots.remove(id);
    await tx.blocks.removeOf(id);
    return await endOperations(ports, tx, id, { status: 'Succeeded' });
  });
  ports.wake('collect-chunks');
  ports.wake('finish-deletions'); // A deleted volume may have waited for this snapshot.
  return ended;
}

/** The intent of who moves a snapshot into the archive or out of it. */
export function tierIntent(id: SnapshotId): string {
  return `tier:${id}`;
}

/** The intent of who uploads a snapshot; beside its own, which a deletion has. */
export function uploadIntent(id: SnapshotId): string {
  return `upload:${id}`;
}

/** Gives the cut's slots back; a volume that is gone has given back everything. */
export async function releaseCut(ports: ControlPorts, snapshot: Snapshot): Promise<void> {
  const volume = await ports.meta.read((tx) => tx.volumes.find(snapshot.volume));
  if (volume === null) return;
  try {
    await onOpenVolume(ports, volume, () => ports.host.release(snapshot.volume, snapshot.cut));
  } catch (error) {
    // What cannot be opened any more is never read again; its slots go with it.
    if (!isHostError(error, 'volume-not-found') && !isKeyDestroyed(error)) throw error;
  }
}
