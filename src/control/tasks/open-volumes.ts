import { TaskGroup } from '#base/task-group.ts';
import { isHostError } from '#control/host-failure.ts';
import { openVolume } from '#control/open-volume.ts';
import { growOnHost } from '#control/volume-modifications.ts';
import type { ControlPorts } from '#control/ports.ts';
import { DomainError } from '#domain/errors.ts';
import type { VolumeId } from '#domain/ids.ts';
import type { Volume, VolumeState } from '#domain/volume.ts';
import type { VolumeStatus } from '#volume/host.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task } from './task.ts';

/** Volumes that are opened at once: each reads its map from the disk. */
const OPEN_CONCURRENCY_MAX = 4;
/** Volumes whose status is asked for in one call. */
const STATUS_COUNT_MAX = 200;

/**
 * Every volume is open at the host, after a start of either process and after a failure of its files. One that cannot be opened, because its bytes are gone or
 * damaged, is in state `error` until it can.
 */
export function openVolumes(ports: ControlPorts): Task {
  /** Volumes that still need the snapshots that they were made from. */
  const needing = new Set<VolumeId>();
  const open = async (tally: Tally, volume: Volume): Promise<void> => {
    // Being deleted; or never made.
    if (ports.intents.has(volume.id) || volume.staging !== null) return;
    try {
      await openVolume(ports, volume);
      await setState(ports, volume.id, 'error', 'available');
      if (isGrowing(volume)) await growOnHost(ports, volume);
      tally.done();
    } catch (error) {
      if (isHostError(error, 'volume-not-found', 'damaged')) {
        ports.log.error('volume.lost', { volume: volume.id, error });
        await setState(ports, volume.id, 'available', 'error');
        tally.remaining();
      } else if (error instanceof DomainError) {
        // Its KMS key is disabled, or gone: opened when that is enabled again.
        ports.log.warn('volume.key', { volume: volume.id, failure: error.failure });
        tally.remaining();
      } else {
        ports.log.warn('volume.open', { volume: volume.id, error });
        tally.failed();
      }
    }
  };

  const grow = async (tally: Tally, volume: Volume): Promise<void> => {
    try {
      await growOnHost(ports, volume);
      tally.done();
    } catch (error) {
      ports.log.warn('volume.grow', { volume: volume.id, error });
      tally.failed();
    }
  };

  return {
    name: 'open-volumes',
    periodMs: 60_000,
    startDelayMs: 0,
    wakeDelayMs: 0,
    async activate(signal) {
      const tally = new Tally();
      const group = new TaskGroup({ limit: OPEN_CONCURRENCY_MAX });
      const openBatch = async (batch: readonly Volume[]): Promise<void> => {
        const statuses = await ports.host.status(batch.map(({ id }) => id));
        for (const { volume, failure } of statuses) {
          if (failure !== null) ports.log.error('volume.failed', { volume, error: failure });
        }
        if (await hasFreed(ports, needing, statuses)) ports.wake('collect-chunks');
        const opened = new Set(statuses.filter(({ failure }) => failure === null).map(({ volume }) => volume));
        for (const volume of batch) {
          if (!opened.has(volume.id)) await group.add(() => open(tally, volume));
          else if (isGrowing(volume)) await group.add(() => grow(tally, volume));
        }
      };
      try {
        let batch: Volume[] = [];
        const states: readonly VolumeState[] = ['available', 'error'];
        for await (const volume of eachRow(
          (page) => ports.meta.read((tx) => tx.volumes.inState(states, page)),
          signal,
        )) {
          batch.push(volume);
          if (batch.length < STATUS_COUNT_MAX) continue;
          await openBatch(batch);
          batch = [];
        }
        if (batch.length > 0) await openBatch(batch);
      } finally {
        await group.drain();
      }
      return tally.report();
    },
  };
}

/** Whether one of the volumes has let go of its snapshot since it was looked at last, and the snapshot is deleted: then nobody may need what that held. */
async function hasFreed(
  ports: ControlPorts,
  needing: Set<VolumeId>,
  statuses: readonly VolumeStatus[],
): Promise<boolean> {
  let found = false;
  for (const { volume, hydration } of statuses) {
    if (hydration === null) continue;
    if (!hydration.detached) needing.add(volume);
    else if (needing.delete(volume)) {
      const isGone = await ports.meta.read(async (tx) => {
        const origin = (await tx.volumes.find(volume))?.origin ?? null;
        return origin !== null && (await tx.snapshots.find(origin)) === null;
      });
      found ||= isGone;
    }
  }
  return found;
}

/** It was made larger, and the request died before it was. */
function isGrowing({ modification }: Volume): boolean {
  return modification !== null && modification.grownAtMs === null;
}

async function setState(ports: ControlPorts, id: VolumeId, from: VolumeState, to: VolumeState): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const volume = await tx.volumes.find(id);
    if (volume?.state === from) await tx.volumes.update({ ...volume, state: to });
  });
}
