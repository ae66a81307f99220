import type { ControlPorts } from '#control/ports.ts';
import type { VolumeId } from '#domain/ids.ts';
import type { VolumeState } from '#domain/volume.ts';
import { eachRow } from './each-row.ts';
import type { Task } from './task.ts';

/** A volume that is `creating` is the host's to find, if it is there; one that is `deleting` may be gone. */
const ON_DISK: readonly VolumeState[] = ['available', 'recoverable', 'error'];

/**
 * Gives back what deleted snapshots alone held: some seconds after deletions, gathered, and every day. The host refuses while
 * one of the volumes that exist here is not on its disk; one that was deleted during the question is not asked for again.
 */
export function collectChunks(ports: ControlPorts): Task {
  return {
    name: 'collect-chunks',
    periodMs: 24 * 3_600_000,
    startDelayMs: 300_000,
    wakeDelayMs: 5000,
    async activate(signal) {
      const report = await ports.host.collect(await restoredVolumes(ports, signal), signal);
      ports.log.info('chunks.collected', { ...report });
      return { done: report.deletedChunks, failed: 0, remaining: 0 };
    },
  };
}

/** What is restored from snapshots and must be on the host's disk. */
async function restoredVolumes(ports: ControlPorts, signal: AbortSignal): Promise<readonly VolumeId[]> {
  const ids: VolumeId[] = [];
  for await (const volume of eachRow((page) => ports.meta.read((tx) => tx.volumes.inState(ON_DISK, page)), signal)) {
    if (volume.origin !== null || volume.sourceVolume !== null) ids.push(volume.id);
  }
  return ids;
}
