import { isHostError } from '#control/host-failure.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Binned } from '#domain/recycle-bin.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { isInArchive } from '#domain/snapshot-tier.ts';
import type { Volume } from '#domain/volume.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task } from './task.ts';

/**
 * Deletes what has been in the recycle bin for its time, completes what was taken out of it, and keeps volumes in the bin
 * from being served.
 */
export function emptyBin(ports: ControlPorts): Task {
  return {
    name: 'empty-bin',
    periodMs: 30_000,
    startDelayMs: 2000,
    wakeDelayMs: 0,
    async activate(signal) {
      const tally = new Tally();
      const nowMs = ports.time.earliestMs();
      // What fails of one holds up no other.
      const attempt = async (id: string, work: () => Promise<boolean>): Promise<void> => {
        try {
          if (await work()) tally.done();
        } catch (error) {
          signal.throwIfAborted();
          ports.log.warn('bin.empty', { id, error });
          tally.failed();
        }
      };
      const snapshots = eachRow((page) => ports.meta.read((tx) => tx.snapshots.inState(['recoverable'], page)), signal);
      for await (const { id, bin } of snapshots) {
        if (isOver(bin, nowMs)) await attempt(id, () => expireSnapshot(ports, id, nowMs));
      }
      const volumes = eachRow((page) => ports.meta.read((tx) => tx.volumes.inState(['recoverable'], page)), signal);
      for await (const volume of volumes) {
        await attempt(volume.id, async () =>
          isOver(volume.bin, nowMs) ? await expireVolume(ports, volume, nowMs) : await keepClosed(ports, volume),
        );
      }
      const returning = eachRow((page) => ports.meta.read((tx) => tx.snapshots.inState(['recovering'], page)), signal);
      for await (const snapshot of returning) await attempt(snapshot.id, () => complete(ports, snapshot));
      const report = tally.report();
      if (report.done > 0) ports.wake('finish-deletions');
      return report;
    },
  };
}

function isOver(bin: Binned | null, nowMs: number): boolean {
  return bin !== null && bin.exitAtMs <= nowMs;
}

/** Unless it was taken out meanwhile, and perhaps put in again. */
async function expireSnapshot(ports: ControlPorts, id: SnapshotId, nowMs: number): Promise<boolean> {
  return await ports.meta.transact(async (tx) => {
    const snapshot = await tx.snapshots.find(id);
    if (snapshot?.state !== 'recoverable' || !isOver(snapshot.bin, nowMs)) return false;
    await tx.snapshots.update({ ...snapshot, state: 'deleting', bin: null });
    return true;
  });
}

async function expireVolume(ports: ControlPorts, { id }: Volume, nowMs: number): Promise<boolean> {
  return await ports.meta.transact(async (tx) => {
    const volume = await tx.volumes.find(id);
    if (volume?.state !== 'recoverable' || !isOver(volume.bin, nowMs)) return false;
    await tx.volumes.update({ ...volume, state: 'deleting', bin: null });
    return true;
  });
}

/** An upload of a snapshot that was pending may have opened it. */
async function keepClosed(ports: ControlPorts, { id, generation }: Volume): Promise<boolean> {
  const isKept = async (): Promise<boolean> =>
    (await ports.meta.read((tx) => tx.volumes.find(id)))?.state === 'recoverable';
  const pending = await ports.meta.read((tx) => tx.snapshots.ofVolume(id, 'pending', null, 1));
  if (pending.length > 0 || (await ports.host.status([id])).length === 0 || !(await isKept())) return false;
  await ports.host.close(id, generation);
  // It came back in between: it is to be served.
  if (!(await isKept())) ports.wake('open-volumes');
  return false;
}

/** Its bytes are where they were, or the snapshot is in error. What is in the archive is looked at when it is restored from there. */
async function complete(ports: ControlPorts, { id, tier }: Snapshot): Promise<boolean> {
  let lost: string | null = null;
  try {
    if (!isInArchive(tier)) await ports.host.listBlocks(id, 0, 1);
  } catch (error) {
    if (!isHostError(error, 'snapshot-not-found', 'damaged')) throw error;
    lost = 'The data of the snapshot was not found in the store.';
    ports.log.error('snapshot.lost', { snapshot: id, error });
  }
  return await ports.meta.transact(async (tx) => {
    const snapshot = await tx.snapshots.find(id);
    if (snapshot?.state !== 'recovering') return false;
    await tx.snapshots.update({ ...snapshot, state: lost === null ? 'completed' : 'error', stateMessage: lost });
    return true;
  });
}
