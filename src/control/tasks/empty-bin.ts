import { isHostError } from '#control/host-failure.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { SnapshotId } from '#domain/ids.ts';
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
      const nowMs = ports.clock.nowMs();
      const snapshots = eachRow((page) => ports.meta.read((tx) => tx.snapshots.inState(['recoverable'], page)), signal);
      for await (const { id, bin } of snapshots) {
        if (bin === null || bin.exitAtMs > nowMs) continue;
        await expireSnapshot(ports, id);
        tally.done();
      }
      const volumes = eachRow((page) => ports.meta.read((tx) => tx.volumes.inState(['recoverable'], page)), signal);
      for await (const volume of volumes) {
        if (volume.bin !== null && volume.bin.exitAtMs <= nowMs) {
          await expireVolume(ports, volume);
          tally.done();
        } else await keepClosed(ports, volume);
      }
      const returning = eachRow((page) => ports.meta.read((tx) => tx.snapshots.inState(['recovering'], page)), signal);
      for await (const snapshot of returning) await complete(ports, tally, snapshot);
      const report = tally.report();
      if (report.done > 0) ports.wake('finish-deletions');
      return report;
    },
  };
}

async function expireSnapshot(ports: ControlPorts, id: SnapshotId): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const snapshot = await tx.snapshots.find(id);
    if (snapshot?.state === 'recoverable') await tx.snapshots.update({ ...snapshot, state: 'deleting', bin: null });
  });
}

async function expireVolume(ports: ControlPorts, { id }: Volume): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const volume = await tx.volumes.find(id);
    if (volume?.state === 'recoverable') await tx.volumes.update({ ...volume, state: 'deleting', bin: null });
  });
}

/** An upload of a snapshot that was pending may have opened it. */
async function keepClosed(ports: ControlPorts, { id, generation }: Volume): Promise<void> {
  const pending = await ports.meta.read((tx) => tx.snapshots.ofVolume(id, 'pending', null, 1));
  if (pending.length > 0 || (await ports.host.status([id])).length === 0) return;
  await ports.host.close(id, generation);
}

/** Its bytes are where they were, or the snapshot is in error. What is in the archive is looked at when it is restored from there. */
async function complete(ports: ControlPorts, tally: Tally, { id, tier }: Snapshot): Promise<void> {
  let lost: string | null = null;
  try {
    if (!isInArchive(tier)) await ports.host.listBlocks(id, 0, 1);
  } catch (error) {
    if (!isHostError(error, 'snapshot-not-found', 'damaged')) {
      ports.log.warn('snapshot.recover', { snapshot: id, error });
      tally.failed();
      return;
    }
    lost = 'The data of the snapshot was not found in the store.';
    ports.log.error('snapshot.lost', { snapshot: id, error });
  }
  await ports.meta.transact(async (tx) => {
    const snapshot = await tx.snapshots.find(id);
    if (snapshot?.state !== 'recovering') return;
    await tx.snapshots.update({ ...snapshot, state: lost === null ? 'completed' : 'error', stateMessage: lost });
  });
  tally.done();
}
