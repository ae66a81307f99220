import { refuse } from '#domain/errors.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { RESTORE_DAYS_MAX, type SnapshotTier } from '#domain/snapshot-tier.ts';
import type { Scope } from '#domain/volume.ts';
import { refuseState, snapshotIn } from './lookup.ts';
import { refuseLocal } from './outposts.ts';
import type { ControlPorts } from './ports.ts';

const DAY_MS = 86_400_000;

export interface TieredSnapshot extends Snapshot {
  readonly tier: SnapshotTier;
}

/** The snapshot is `archiving` when it resolves; the task `tend-tiers` moves it. Refuses: not-found, wrong-state. */
export async function archiveSnapshot(ports: ControlPorts, scope: Scope, id: SnapshotId): Promise<TieredSnapshot> {
  return await changeTier(ports, scope, id, (snapshot, nowMs) => {
    refuseLocal(snapshot, 'An archive');
    if (snapshot.state !== 'completed') refuseState(id, snapshot.state);
    const { tier } = snapshot;
    if (tier !== null && tier.state !== 'restored' && tier.state !== 'restored-for-days') refuseState(id, tier.state);
    const archivedAtMs = tier?.state === 'restored-for-days' ? tier.archivedAtMs : null;
    return {
      state: 'archiving',
      startedAtMs: nowMs,
      archivedAtMs,
      restoreDays: null,
      restoreExpiresAtMs: null,
      trouble: null,
    };
  });
}

/**
 * For good, or for some days (`days`). One that is restored for days already gets other days, from now on, or stays for
 * good. Refuses: not-found, wrong-state, invalid-value.
 */
export async function restoreSnapshot(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  days: number | null,
): Promise<TieredSnapshot> {
  if (days !== null && !(days >= 1 && days <= RESTORE_DAYS_MAX)) {
    const reason = `a snapshot is restored for 1 to ${RESTORE_DAYS_MAX} days, or for good`;
    refuse({ kind: 'invalid-value', field: 'TemporaryRestoreDays', reason });
  }
  return await changeTier(ports, scope, id, ({ state, tier }, nowMs) => {
    if (state !== 'completed') refuseState(id, state);
    if (tier === null || (tier.state !== 'archived' && tier.state !== 'restored-for-days')) {
      refuseState(id, tier?.state ?? 'standard');
    }
    const begun = { ...tier, startedAtMs: nowMs, restoreDays: days, trouble: null };
    if (tier.state === 'archived') return { ...begun, state: 'restoring' };
    return { ...begun, restoreExpiresAtMs: days === null ? null : nowMs + days * DAY_MS };
  });
}

async function changeTier(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  change: (snapshot: Snapshot, nowMs: number) => SnapshotTier,
): Promise<TieredSnapshot> {
  const changed = await ports.meta.transact(async (tx) => {
    const snapshot = await snapshotIn(tx, scope, id);
    const tiered = { ...snapshot, tier: change(snapshot, ports.clock.nowMs()) };
    await tx.snapshots.update(tiered);
    return tiered;
  });
  ports.wake('tend-tiers');
  return changed;
}
