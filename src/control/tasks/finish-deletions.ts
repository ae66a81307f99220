import { finishSnapshot, finishVolume } from '#control/deletion.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task } from './task.ts';

/** Brings what is `deleting` to its end. */
export function finishDeletions(ports: ControlPorts): Task {
  const attempt = async (tally: Tally, id: VolumeId | SnapshotId, finish: () => Promise<boolean>): Promise<void> => {
    if (ports.intents.has(id)) {
      tally.remaining(); // The request that deletes it is at it.
      return;
    }
    try {
      if (await ports.intents.run(id, finish)) tally.done();
      else tally.remaining();
    } catch (error) {
      ports.log.warn('deletion.failed', { id, error });
      tally.failed();
    }
  };

  const deleteVolume = async (id: VolumeId): Promise<boolean> => {
    const volume = await ports.meta.read((tx) => tx.volumes.find(id));
    if (volume?.state !== 'deleting') return true; // Done, or taken back, meanwhile.
    await finishVolume(ports, volume, { evict: true });
    return (await ports.meta.read((tx) => tx.volumes.find(id))) === null;
  };

  const deleteSnapshot = async (id: SnapshotId): Promise<boolean> => {
    const snapshot = await ports.meta.read((tx) => tx.snapshots.find(id));
    if (snapshot?.state !== 'deleting') return true;
    await finishSnapshot(ports, snapshot);
    return (await ports.meta.read((tx) => tx.snapshots.find(id))) === null;
  };

  return {
    name: 'finish-deletions',
    periodMs: 60_000,
    startDelayMs: 0,
    wakeDelayMs: 0,
    async activate(signal) {
      const tally = new Tally();
      const volumes = eachRow((page) => ports.meta.read((tx) => tx.volumes.inState(['deleting'], page)), signal);
      for await (const { id } of volumes) await attempt(tally, id, () => deleteVolume(id));
      const snapshots = eachRow((page) => ports.meta.read((tx) => tx.snapshots.inState(['deleting'], page)), signal);
      for await (const { id } of snapshots) await attempt(tally, id, () => deleteSnapshot(id));
      return tally.report();
    },
  };
}
