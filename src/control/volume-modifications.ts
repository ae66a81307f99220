import { assert } from '#base/assert.ts';
import { refuse } from '#domain/errors.ts';
import { gibToBytes } from '#domain/geometry.ts';
import type { VolumeId } from '#domain/ids.ts';
import {
  isSamePlan,
  modificationStatus,
  type ModificationStatus,
  type ModificationWish,
  planModification,
  type VolumeModification,
} from '#domain/volume-modification.ts';
import type { VolumePlan } from '#domain/volume-type.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import { isHostError, onOpenVolume } from './host-failure.ts';
import { eachOnce, volumeIn } from './lookup.ts';
import { readPage, slicePage } from './pages.ts';
import type { ControlPorts } from './ports.ts';
import { checkProvisionedIops, PROVISIONED } from './volumes.ts';

/*
 * A volume is modified in three steps: the new shape is recorded, the host makes the volume larger, and that it has is
 * recorded. A crash after the first leaves a modification that has not grown, which the task `open-volumes` brings on; the
 * size in the metadata is never less than the host's, so a snapshot of the volume has room for whatever was written.
 */

export interface Modified {
  readonly volume: Volume;
  readonly modification: VolumeModification;
  readonly status: ModificationStatus;
}

/**
 * Changes what is asked for; a request that changes nothing succeeds and leaves no trace. Refuses: not-found, wrong-state,
 * invalid-value, missing, volume-modification (one is going on, too many in a day, too many GiB).
 */
export async function modifyVolume(
  ports: ControlPorts,
  scope: Scope,
  id: VolumeId,
  wish: ModificationWish,
): Promise<Modified> {
  const nowMs = ports.clock.nowMs();
  const { volume, modification } = await ports.meta.transact((tx) => record(ports, tx, scope, id, wish, nowMs));
  if (modification.grownAtMs !== null) return modified(ports, volume, modification);
  try {
    return modified(ports, volume, (await growOnHost(ports, volume)) ?? modification);
  } catch (error) {
    // It is recorded, so it happens.
    ports.log.warn('volume.grow', { volume: id, error });
    ports.wake('open-volumes');
    return modified(ports, volume, modification);
  }
}

async function record(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  id: VolumeId,
  wish: ModificationWish,
  nowMs: number,
): Promise<{ readonly volume: Volume; readonly modification: VolumeModification }> {
  const volume = await volumeIn(tx, scope, id);
  if (volume.state !== 'available') refuse({ kind: 'wrong-state', resource: 'volume', id, state: volume.state });
  const from = planOf(volume);
  const to = planModification(from, wish);
  const modification: VolumeModification = {
    startedAtMs: nowMs,
    grownAtMs: to.sizeGib > from.sizeGib ? null : nowMs,
    from,
    to,
  };
  if (isSamePlan(from, to)) {
    const { modifyingMs, optimizingMs } = ports.limits;
    return { volume, modification: { ...modification, grownAtMs: nowMs - modifyingMs - optimizingMs } };
  }
  const recentMs = checkRate(ports, volume, nowMs);
  const { volumeGibTotalMax } = ports.limitsOf(scope.account);
  if ((await tx.volumes.count(scope)).sizeGib + to.sizeGib - from.sizeGib > volumeGibTotalMax) {
    refuse({ kind: 'volume-modification', volume: id, why: 'size-limit', max: volumeGibTotalMax });
  }
  await checkProvisionedIops(ports, tx, scope, to, PROVISIONED.has(from.type) ? (from.iops ?? 0) : 0);
  const changed: Volume = { ...volume, ...to, modification, modifiedAtMs: [...recentMs, nowMs] };
  await tx.volumes.update(changed);
  return { volume: changed, modification };
}

/** Answers when the volume was modified in the last day. */
function checkRate(ports: ControlPorts, volume: Volume, nowMs: number): readonly number[] {
  const { id, modification } = volume;
  const { modificationCountMax, modificationWindowMs } = ports.limitsOf(volume.account);
  if (modification !== null) {
    const { state } = modificationStatus(modification, ports.limits, nowMs);
    if (state !== 'completed') refuse({ kind: 'volume-modification', volume: id, why: 'in-progress', state });
  }
  // A time in the future is a clock that was set back, not a rate.
  const recentMs = volume.modifiedAtMs.filter((atMs) => atMs <= nowMs && nowMs - atMs < modificationWindowMs);
  if (recentMs.length >= modificationCountMax) {
    refuse({ kind: 'volume-modification', volume: id, why: 'rate', max: modificationCountMax });
  }
  return recentMs;
}

export function planOf({ type, sizeGib, iops, throughputMibps, multiAttach }: Volume): VolumePlan {
  return { type, sizeGib, iops, throughputMibps, multiAttach };
}

/** Makes the volume as large at the host as it is recorded; answers its modification, or null when the volume is gone. */
export async function growOnHost(ports: ControlPorts, volume: Volume): Promise<VolumeModification | null> {
  try {
    await onOpenVolume(ports, volume, () => ports.host.grow(volume.id, gibToBytes(volume.sizeGib)));
  } catch (error) {
    if (isHostError(error, 'volume-not-found')) return null; // Deleted meanwhile.
    throw error;
  }
  return await ports.meta.transact(async (tx) => {
    const current = await tx.volumes.find(volume.id);
    if (current === null || current.modification === null) return null;
    if (current.modification.grownAtMs !== null) return current.modification;
    assert(current.sizeGib === volume.sizeGib, 'a volume grows by one modification at a time');
    const modification = { ...current.modification, grownAtMs: ports.clock.nowMs() };
    await tx.volumes.update({ ...current, modification });
    return modification;
  });
}

function modified(ports: ControlPorts, volume: Volume, modification: VolumeModification): Modified {
  return { volume, modification, status: modificationStatus(modification, ports.limits, ports.clock.nowMs()) };
}

export interface ListModifications {
  /** Null: all that were ever modified. */
  readonly ids: readonly VolumeId[] | null;
  readonly after: string | null;
  readonly countMax: number;
  readonly match: (modified: Modified) => boolean;
}

/** The last modification of each volume, in the order in which the volumes were made. Refuses: not-found (volume, or that it was never modified), page-token-invalid. */
export async function listModifications(
  ports: ControlPorts,
  scope: Scope,
  request: ListModifications,
): Promise<{ readonly modified: readonly Modified[]; readonly next: string | null }> {
  const { ids, match } = request;
  const shown = (volume: Volume): Modified | null =>
    volume.modification === null ? null : modified(ports, volume, volume.modification);
  if (ids !== null) {
    const volumes = await ports.meta.read((tx) => eachOnce(ids, (id) => volumeIn(tx, scope, id)));
    const all = volumes.map(
      (volume) => shown(volume) ?? refuse({ kind: 'not-found', resource: 'volume-modification', id: volume.id }),
    );
    const page = await slicePage(ports, scope, 'modifications by id', request, all);
    return { modified: page.records, next: page.next };
  }
  const matches = (volume: Volume): boolean => {
    const one = shown(volume);
    return one !== null && match(one);
  };
  const page = await readPage<Volume>(ports, scope, 'modifications', { ...request, match: matches }, (part) =>
    ports.meta.read((tx) => tx.volumes.list({ scope, face: null }, part)),
  );
  return { modified: page.records.flatMap((volume) => shown(volume) ?? []), next: page.next };
}
