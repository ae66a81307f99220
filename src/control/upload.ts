import { present } from '#base/assert.ts';
import { isHostError, onOpenVolume } from './host-failure.ts';
import { releaseCut, retireDraft, uploadIntent } from './deletion.ts';
import { partEnded } from './machines/instance-snapshot-records.ts';
import { endOperations } from './operations.ts';
import { isKeyDestroyed, withDataKey } from './open-volume.ts';
import type { ControlPorts } from './ports.ts';
import { lockStarted } from './snapshot-locks.ts';
import { cutVolume } from './snapshots.ts';
import { gibToBytes } from '#domain/geometry.ts';
import type { Epoch, SnapshotId } from '#domain/ids.ts';
import { outpostIdOf } from '#domain/outpost.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { isInArchive } from '#domain/snapshot-tier.ts';
import type { Volume } from '#domain/volume.ts';
import { type SnapshotLabel, type UploadJob, type UploadResult, VolumeHostError } from '#volume/host.ts';

/** Of the newest snapshots of a volume, so many are looked at for one that is not in the archive. */
const BASES_MAX = 32;

/** What one attempt at a snapshot's upload ended in. */
export type UploadEnd = 'ended' | 'retry';

/**
 * Uploads one pending snapshot and records how it ended: completed, or error when no repetition can help. `retry`: it stays
 * pending, and what was stored is found again by its keys. Never throws.
 */
export async function uploadSnapshot(ports: ControlPorts, snapshot: Snapshot, signal: AbortSignal): Promise<UploadEnd> {
  const { id } = snapshot;
  try {
    // From here on a deletion waits for this upload; one that was recorded before is seen now.
    await ports.intents.run(uploadIntent(id), async () => {
      const found = await ports.meta.read(async (tx) => ({
        current: await tx.snapshots.find(id),
        volume: await tx.volumes.find(snapshot.volume),
      }));
      if (found.current?.state !== 'pending') return;
      const { copiedFrom } = found.current;
      if (copiedFrom !== null) {
        await complete(ports, found.current, await copyFrom(ports, found.current, copiedFrom.snapshot, signal));
        return;
      }
      const volume = present(found.volume, 'a volume is there as long as a snapshot of it is pending');
      const epoch = found.current.epoch ?? (await cutDraft(ports, found.current, volume));
      const result = await uploadFrom(ports, found.current, volume, epoch, signal);
      await complete(ports, found.current, result);
    });
    return 'ended';
  } catch (error) {
    if (signal.aborted || isRetryable(error)) {
      ports.log.warn('upload.retry', { snapshot: id, error });
      if (!signal.aborted) await sayWhy(ports, id, error);
      return 'retry';
    }
    return await fail(ports, snapshot, error);
  }
}

/** So that whoever looks at a snapshot that stays pending sees what it waits for. */
async function sayWhy(ports: ControlPorts, id: SnapshotId, error: unknown): Promise<void> {
  if (isHostError(error, 'unavailable', 'aborted')) return; // The host is being started again; that takes a moment.
  // The rest of the message is the log's: it may name files of the server.
  const code = /\bE[A-Z]{3,12}\b/.exec(error instanceof Error ? error.message : '')?.[0];
  const stateMessage = isHostError(error, 'no-space')
    ? 'The snapshot store is full. The snapshot goes on when there is space.'
    : `The snapshot could not be stored yet${code === undefined ? '' : ` (${code})`}. It is tried again.`;
  try {
    await ports.meta.transact(async (tx) => {
      const current = await tx.snapshots.find(id);
      if (current?.state !== 'pending' || current.stateMessage === stateMessage) return;
      await tx.snapshots.update({ ...current, stateMessage });
    });
  } catch (cause) {
    ports.log.warn('upload.reason', { snapshot: id, error: cause }); // The metadata may be on the same full disk.
  }
}

function isRetryable(error: unknown): boolean {
  if (isKeyDestroyed(error)) return false;
  // What is not the host's (the metadata, say) may be better next time; a snapshot is lost only when its data are.
  if (!(error instanceof VolumeHostError)) return true;
  return error.retryable || error.kind === 'aborted';
}

/** A direct snapshot is cut when it is sealed: nothing more can come. */
async function cutDraft(ports: ControlPorts, snapshot: Snapshot, draft: Volume): Promise<Epoch> {
  const epoch = await cutVolume(ports, draft, snapshot.cut);
  await ports.meta.transact(async (tx) => {
    const current = await tx.snapshots.find(snapshot.id);
    if (current?.state === 'pending') await tx.snapshots.update({ ...current, epoch });
  });
  return epoch;
}

async function copyFrom(
  ports: ControlPorts,
  copy: Snapshot,
  source: SnapshotId,
  signal: AbortSignal,
): Promise<UploadResult> {
  // Deleted meanwhile: the copy may be there already, which the host finds out.
  const from = (await ports.meta.read((tx) => tx.snapshots.find(source))) ?? { encryption: null };
  return await withDataKey(ports, from, (sourceDataKey) =>
    withDataKey(ports, copy, (dataKey) =>
      ports.host.copySnapshot({ label: labelOf(copy, null), source, dataKey, sourceDataKey }, signal),
    ),
  );
}

async function uploadFrom(
  ports: ControlPorts,
  snapshot: Snapshot,
  volume: Volume,
  epoch: Epoch,
  signal: AbortSignal,
): Promise<UploadResult> {
  const upload = (base: UploadJob['base']): Promise<UploadResult> =>
    onOpenVolume(ports, volume, () => ports.host.upload(jobOf(snapshot, volume, epoch, base), signal));
  const base = await baseOf(ports, snapshot, epoch);
  if (base === null) return await upload(null);
  try {
    return await upload(base);
  } catch (error) {
    // Deleted meanwhile, or damaged: then everything is read from the volume, which has it.
    if (!isHostError(error, 'snapshot-not-found', 'damaged')) throw error;
    ports.log.warn('upload.base-lost', { snapshot: snapshot.id, base: base.snapshot, error });
    return await upload(null);
  }
}

/** The newest completed cut of the volume before this one. */
async function baseOf(ports: ControlPorts, snapshot: Snapshot, epoch: Epoch): Promise<UploadJob['base']> {
  const newest = await ports.meta.read((tx) => tx.snapshots.ofVolume(snapshot.volume, 'completed', epoch, BASES_MAX));
  // One in another store is no base.
  const base = newest.find(({ tier, outpost }) => !isInArchive(tier) && outpost === snapshot.outpost);
  return base === undefined || base.epoch === null ? null : { snapshot: base.id, epoch: base.epoch };
}

function jobOf(snapshot: Snapshot, volume: Volume, epoch: Epoch, base: UploadJob['base']): UploadJob {
  return {
    label: labelOf(snapshot, volume),
    cut: snapshot.cut,
    epoch,
    base,
    // Zeros that a client put as a block are a block that it lists later.
    keepZeroChunks: snapshot.direct,
  };
}

/** `volume` null: it is a copy. */
function labelOf(snapshot: Snapshot, volume: Volume | null): SnapshotLabel {
  const volumeName = snapshot.volumeName ?? volume?.name ?? volume?.tags['Name'] ?? null;
  return {
    snapshot: snapshot.id,
    account: snapshot.account,
    region: snapshot.region,
    volume: snapshot.volume,
    sizeBytes: gibToBytes(snapshot.volumeSizeGib),
    description: snapshot.description,
    startedAtMs: snapshot.startedAtMs,
    tags: snapshot.tags,
    parent: snapshot.parent,
    ...(snapshot.encryption === null ? {} : { encryption: snapshot.encryption }),
    ...(snapshot.name === null ? {} : { name: snapshot.name }),
    ...(volumeName === null ? {} : { volumeName }),
    ...(snapshot.outpost === null ? {} : { outpost: outpostIdOf(snapshot.outpost) }),
  };
}

async function complete(ports: ControlPorts, snapshot: Snapshot, result: UploadResult): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const current = await tx.snapshots.find(snapshot.id);
    if (current?.state !== 'pending') return; // Deleted meanwhile; whoever does it removes the manifest, too.
    const nowMs = Math.max(ports.clock.nowMs(), current.startedAtMs);
    await tx.snapshots.update({
      ...lockStarted(current, Math.max(nowMs, ports.time.latestMs())),
      ...result,
      state: 'completed',
      stateMessage: null,
      progressPercent: 100,
      completedAtMs: nowMs,
      // A draft goes as a whole.
      released: current.direct,
    });
    await endOperations(ports, tx, snapshot.id, { status: 'Succeeded' });
    await partEnded(ports, tx, current);
    await retireDraft(tx, current);
  });
  ports.log.info('snapshot.completed', { snapshot: snapshot.id, ...result });
  if (snapshot.isStaging) ports.wake('finish-intents');
  ports.wake('finish-deletions'); // Of the draft, or of a deleted volume that waited for this.
}

async function fail(ports: ControlPorts, snapshot: Snapshot, cause: unknown): Promise<UploadEnd> {
  const message = cause instanceof Error ? cause.message : String(cause);
  ports.log.error('snapshot.failed', { snapshot: snapshot.id, error: cause });
  try {
    const what = snapshot.copiedFrom === null ? 'stored' : `copied from ${snapshot.copiedFrom.snapshot}`;
    await failSnapshot(ports, snapshot, `The snapshot could not be ${what}: ${message}`);
    return 'ended';
  } catch (error) {
    ports.log.error('upload.not-recorded', { snapshot: snapshot.id, error });
    return 'retry';
  }
}

/** pending → error, with its operations. */
export async function failSnapshot(ports: ControlPorts, snapshot: Snapshot, stateMessage: string): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const current = await tx.snapshots.find(snapshot.id);
    if (current?.state !== 'pending') return;
    // Its lock would never begin to run out, and there is nothing that it could protect.
    const ended = { state: 'error', stateMessage, sealed: true, released: current.direct, lock: null } as const;
    await tx.snapshots.update({ ...current, ...ended });
    await endOperations(ports, tx, snapshot.id, {
      status: 'Failed',
      errorCode: 'SnapshotFailed',
      errorDetails: stateMessage,
    });
    await partEnded(ports, tx, current);
    await retireDraft(tx, current);
  });
  if (snapshot.isStaging) ports.wake('finish-intents');
  ports.wake('finish-deletions');
}

/** Gives back the cut of a snapshot that has ended. */
export async function releaseEnded(ports: ControlPorts, snapshot: Snapshot): Promise<void> {
  await releaseCut(ports, snapshot);
  await ports.meta.transact(async (tx) => {
    const current = await tx.snapshots.find(snapshot.id);
    if (current !== null) await tx.snapshots.update({ ...current, released: true });
  });
}
