/**
 * A snapshot that is, was, or will be in the archive. archiving → archived → restoring → restored (it is in the archive no
 * more) or restored-for-days → archiving → archived. Whether it can be used: isInArchive.
 */
export type TierState = 'archiving' | 'archived' | 'restoring' | 'restored' | 'restored-for-days';

export interface SnapshotTier {
  readonly state: TierState;
  /** When what the state says last began. */
  readonly startedAtMs: number;
  /** When it came into the archive; null: not yet. */
  readonly archivedAtMs: number | null;
  /** For how many days it is, or is being, restored; null: for good. */
  readonly restoreDays: number | null;
  /** Of one that is restored for days: when it is archived again. */
  readonly restoreExpiresAtMs: number | null;
  /** Why it does not go on at the moment; null: it does. */
  readonly trouble: string | null;
}

/** AWS's range. */
export const RESTORE_DAYS_MAX = 180;

/** Whether it must be restored before it can be used: also one that is leaving the store, its archive being whole. */
export function isInArchive(tier: SnapshotTier | null): boolean {
  if (tier === null) return false;
  const isLeaving = tier.state === 'archiving' && tier.archivedAtMs !== null;
  return isLeaving || tier.state === 'archived' || tier.state === 'restoring';
}

/** Whether there is an archive of it, or part of one. */
export function hasArchive(tier: SnapshotTier | null): boolean {
  return tier !== null && tier.state !== 'restored';
}
