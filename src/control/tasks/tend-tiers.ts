import { tierIntent } from '#control/deletion.ts';
import { isHostError } from '#control/host-failure.ts';
import { withDataKey } from '#control/open-volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { SnapshotTier } from '#domain/snapshot-tier.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task } from './task.ts';

const DAY_MS = 86_400_000;

/**
 * Moves snapshots into the archive and out of it, and back when their days are over. Every step may be repeated: what is
 * written is there before anything else is removed, and the record says where the data are when both is done.
 */
export function tendTiers(ports: ControlPorts): Task {
  return {
    name: 'tend-tiers',
    periodMs: 30_000,
    startDelayMs: 3000,
    wakeDelayMs: 0,
    async activate(signal) {
      const tally = new Tally();
      const rows = eachRow((page) => ports.meta.read((tx) => tx.snapshots.tiered(page)), signal);
      for await (const snapshot of rows) {
        const { tier, id } = snapshot;
        if (tier === null || snapshot.state !== 'completed') continue;
        try {
          const tended = await ports.intents.run(tierIntent(id), () => tend(ports, snapshot, tier, signal));
          if (tended) tally.done();
        } catch (error) {
          signal.throwIfAborted();
          ports.log.warn('snapshot.tier', { snapshot: id, state: tier.state, error });
          await sayWhy(ports, id, tier, error);
          tally.failed();
        }
      }
      return tally.report();
    },
  };
}

async function tend(
  ports: ControlPorts,
  snapshot: Snapshot,
  tier: SnapshotTier,
  signal: AbortSignal,
): Promise<boolean> {
  const { id } = snapshot;
  switch (tier.state) {
    case 'archiving':
      if (await isCopied(ports, id)) return false;
      await withDataKey(ports, snapshot, (dataKey) => ports.host.archiveSnapshot(id, signal, dataKey));
      await leaveStore(ports, id, tier);
      return true;
    case 'restoring': {
      await withDataKey(ports, snapshot, (dataKey) => ports.host.unarchiveSnapshot(id, signal, dataKey));
      const { restoreDays } = tier;
      if (restoreDays === null) await leaveArchive(ports, id, tier);
      else {
        const restoreExpiresAtMs = ports.time.latestMs() + restoreDays * DAY_MS;
        await setTier(ports, id, tier, { ...tier, state: 'restored-for-days', restoreExpiresAtMs, trouble: null });
      }
      return true;
    }
    case 'restored-for-days':
      if (tier.restoreDays === null) {
        await leaveArchive(ports, id, tier);
        return true;
      }
      if ((tier.restoreExpiresAtMs ?? 0) > ports.time.earliestMs()) return false;
      await ports.host.archiveSnapshot(id, signal); // It is there; should it have lost something, it is written again.
      await leaveStore(ports, id, tier);
      return true;
    case 'archived':
    case 'restored':
      return false;
  }
}

async function isCopied(ports: ControlPorts, id: SnapshotId): Promise<boolean> {
  return await ports.meta.read((tx) => tx.snapshots.isCopied(id));
}

/** The archive is whole: from the first record on nobody uses the snapshot, so its manifest can go. */
async function leaveStore(ports: ControlPorts, id: SnapshotId, tier: SnapshotTier): Promise<void> {
  const archivedAtMs = tier.archivedAtMs ?? ports.clock.nowMs();
  const plain = { archivedAtMs, restoreDays: null, restoreExpiresAtMs: null, trouble: null };
  const leaving: SnapshotTier = { ...tier, ...plain, state: 'archiving' };
  if (!(await setTier(ports, id, tier, leaving))) return;
  // A copy that began before reads it to its end; no other begins.
  if (await isCopied(ports, id)) return;
  await ports.host.deleteSnapshot(id);
  await setTier(ports, id, leaving, { ...leaving, state: 'archived' });
  ports.wake('collect-chunks');
}

/** The snapshot is in the store again: what is in the archive goes before the record says so, or it might stay for ever. */
async function leaveArchive(ports: ControlPorts, id: SnapshotId, tier: SnapshotTier): Promise<void> {
  await ports.host.deleteArchive(id);
  await setTier(ports, id, tier, { ...tier, state: 'restored', restoreExpiresAtMs: null, trouble: null });
}

/** Unless a client asked for something else, or it was deleted, meanwhile. */
async function setTier(
  ports: ControlPorts,
  id: SnapshotId,
  before: SnapshotTier,
  after: SnapshotTier,
): Promise<boolean> {
  return await ports.meta.transact(async (tx) => {
    const snapshot = await tx.snapshots.find(id);
    const isAsBefore = snapshot?.tier?.state === before.state && snapshot.tier.startedAtMs === before.startedAtMs;
    if (snapshot === null || !isAsBefore || snapshot.state !== 'completed') return false;
    await tx.snapshots.update({ ...snapshot, tier: after });
    return true;
  });
}

async function sayWhy(ports: ControlPorts, id: SnapshotId, tier: SnapshotTier, error: unknown): Promise<void> {
  const trouble = isHostError(error, 'damaged', 'snapshot-not-found')
    ? 'The data of the snapshot are damaged or missing.'
    : isHostError(error, 'no-space')
      ? 'The snapshot store is full.'
      : 'It could not be moved yet and is tried again.';
  if (trouble !== tier.trouble) await setTier(ports, id, tier, { ...tier, trouble });
}
