import { TaskGroup } from '#base/task-group.ts';
import { isHostError } from '#control/host-failure.ts';
import { openVolume } from '#control/open-volume.ts';
import { INSTANCES } from '#control/machines/records.ts';
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
 * damaged, is in state `error` until it can. Those that somebody waits for come first: a guest sees errors when its disks are
 * away for longer than it waits.
 */
export function openVolumes(ports: ControlPorts): Task {
  /** Volumes that still need the snapshots that they were made from. */
  const needing = new Set<VolumeId>();
  /** Volumes that had clients when they were looked at last. */
  const used = new Set<VolumeId>();
  const open = async (tally: Tally, volume: Volume, opened: Set<VolumeId>): Promise<void> => {
    // Being deleted; or never made.
    if (ports.intents.has(volume.id) || volume.staging !== null) return;
    try {
      await openVolume(ports, volume);
      opened.add(volume.id);
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
      /** Found open, or opened, by this activation. */
      const opened = new Set<VolumeId>();
      const openBatch = async (batch: readonly Volume[]): Promise<void> => {
        const statuses = await ports.host.status(batch.map(({ id }) => id));
        for (const { volume, failure, clientCount } of statuses) {
          if (failure !== null) ports.log.error('volume.failed', { volume, error: failure });
          else if (clientCount > 0) used.add(volume);
          else used.delete(volume);
        }
        if (await hasFreed(ports, needing, statuses)) ports.wake('collect-chunks');
        const serving = new Set(statuses.filter(({ failure }) => failure === null).map(({ volume }) => volume));
        for (const volume of batch) {
          if (!serving.has(volume.id)) await group.add(() => open(tally, volume, opened));
          else {
            opened.add(volume.id);
            if (isGrowing(volume)) await group.add(() => grow(tally, volume));
          }
        }
      };
      const openThese = async (ids: readonly VolumeId[]): Promise<void> => {
        for (let at = 0; at < ids.length; at += STATUS_COUNT_MAX) {
          signal.throwIfAborted();
          await openBatch(await servedVolumes(ports, ids.slice(at, at + STATUS_COUNT_MAX)));
        }
      };
      try {
        for (const id of used) if ((await servedVolumes(ports, [id])).length === 0) used.delete(id);
        const awaited = new Set([...(await volumesOfMachines(ports, signal)), ...used]);
        await openThese([...awaited]);
        let batch: Volume[] = [];
        const openRest = async (): Promise<void> => {
          // The host may have died again meanwhile.
          await openThese([...awaited].filter((id) => opened.has(id)));
          await openBatch(batch);
          batch = [];
        };
        for await (const volume of eachRow(
          (page) => ports.meta.read((tx) => tx.volumes.inState(SERVED, page)),
          signal,
        )) {
          if (awaited.has(volume.id)) continue;
          batch.push(volume);
          if (batch.length === STATUS_COUNT_MAX) await openRest();
        }
        if (batch.length > 0) await openRest();
      } finally {
        await group.drain();
      }
      return tally.report();
    },
  };
}

/** What is to be open at the host. */
const SERVED: readonly VolumeState[] = ['available', 'error'];

/** Those of them that are to be open, as they are recorded now. */
async function servedVolumes({ meta }: ControlPorts, ids: readonly VolumeId[]): Promise<readonly Volume[]> {
  return await meta.read(async (tx) => {
    const found: Volume[] = [];
    for (const id of ids) {
      const volume = await tx.volumes.find(id);
      if (volume !== null && SERVED.includes(volume.state)) found.push(volume);
    }
    return found;
  });
}

/** Of machines whose process may be there. */
async function volumesOfMachines({ meta }: ControlPorts, signal: AbortSignal): Promise<readonly VolumeId[]> {
  const found: VolumeId[] = [];
  for await (const { record } of eachRow((page) => meta.read((tx) => tx.documents.all(INSTANCES, page)), signal)) {
    const { state, attachments } = record;
    if (state === 'stopped' || state === 'terminated') continue;
    for (const { volume } of attachments) found.push(volume);
  }
  return found;
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
