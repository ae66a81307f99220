/*
 * Locks and tiers of snapshots as EC2's reference and user guide state them, for the model of the rules. Written from those
 * pages: nothing of the server is used.
 */

const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

export interface ModelLock {
  readonly mode: 'governance' | 'compliance';
  readonly days: number;
  readonly coolOffHours: number | null;
  readonly createdAtMs: number;
  /** The duration begins when the snapshot is completed; null: it is not. */
  readonly startedAtMs: number | null;
}

export interface LockWish {
  readonly mode: 'governance' | 'compliance';
  readonly coolOffHours: number | null;
  readonly days: number | null;
  readonly untilMs: number | null;
}

export type ModelLockState = 'governance' | 'compliance-cooloff' | 'compliance' | 'expired';

export function lockEndMs({ startedAtMs, days }: ModelLock): number {
  return startedAtMs === null ? Infinity : startedAtMs + days * DAY_MS;
}

export function lockStateAt(lock: ModelLock, nowMs: number): ModelLockState {
  if (nowMs >= lockEndMs(lock)) return 'expired';
  if (lock.mode === 'governance') return 'governance';
  const coolOffMs = (lock.coolOffHours ?? 0) * HOUR_MS;
  return nowMs < lock.createdAtMs + coolOffMs ? 'compliance-cooloff' : 'compliance';
}

/** Which refusals a request to lock may get; none: it succeeds. */
export function lockRefusals(
  { state, lock, completedAtMs }: { state: string; lock: ModelLock | null; completedAtMs: number | null },
  wish: LockWish,
  nowMs: number,
): readonly string[] {
  const refusals: string[] = [];
  if (state !== 'pending' && state !== 'completed') refusals.push('IncorrectState');
  if (wish.days !== null && wish.untilMs !== null) refusals.push('InvalidParameterCombination');
  if (wish.days === null && wish.untilMs === null) refusals.push('MissingParameter');
  const days = wish.days ?? ((wish.untilMs ?? nowMs + DAY_MS) - nowMs) / DAY_MS;
  if (days < 1 || days > 36_500) refusals.push('InvalidParameterValue');
  if (wish.coolOffHours !== null && wish.mode === 'governance') refusals.push('InvalidParameterCombination');
  if (wish.coolOffHours !== null && (wish.coolOffHours < 1 || wish.coolOffHours > 72)) {
    refusals.push('InvalidParameterValue');
  }
  if (lock !== null && lockStateAt(lock, nowMs) === 'compliance') {
    const isLonger = completedAtMs === null ? days > lock.days : nowMs + days * DAY_MS > lockEndMs(lock);
    if (wish.mode !== 'compliance' || wish.coolOffHours !== null || !isLonger) refusals.push('IncorrectState');
  }
  return refusals;
}

/** The lock after a request that succeeds. */
export function relocked(
  lock: ModelLock | null,
  wish: LockWish,
  { nowMs, completedAtMs }: { readonly nowMs: number; readonly completedAtMs: number | null },
): ModelLock {
  const state = lock === null ? 'expired' : lockStateAt(lock, nowMs);
  const days = wish.days ?? ((wish.untilMs ?? nowMs) - nowMs) / DAY_MS;
  const fresh: ModelLock = {
    mode: wish.mode,
    days,
    coolOffHours: wish.coolOffHours,
    createdAtMs: nowMs,
    startedAtMs: completedAtMs === null ? null : nowMs,
  };
  // What locked it in compliance mode goes on: neither does its cool-off begin anew, nor is there another one.
  if (lock === null || state === 'expired' || state === 'governance' || wish.mode === 'governance') return fresh;
  return { ...fresh, createdAtMs: lock.createdAtMs, coolOffHours: wish.coolOffHours ?? lock.coolOffHours };
}

export type TierPhase = 'archiving' | 'archived' | 'restoring' | 'restored' | 'lent';

export interface ModelTier {
  /** `lent`: restored for some days. */
  readonly phase: TierPhase;
  /** Null: for good. */
  readonly days: number | null;
  /** Of one that is lent: when it goes back; null: never, it is about to stay. */
  readonly backAtMs: number | null;
  /** It was in the archive since it was last restored for good. */
  readonly wasArchived: boolean;
}

/** Whether it cannot be used until it is restored. */
export function isArchived(tier: ModelTier | null): boolean {
  if (tier === null) return false;
  return tier.phase === 'archived' || tier.phase === 'restoring' || (tier.phase === 'archiving' && tier.wasArchived);
}

/** What DescribeSnapshotTierStatus says of the last operation. */
export function tieringStatus(tier: ModelTier | null): string | null {
  if (tier === null) return null;
  const kind = tier.days === null ? 'permanent' : 'temporary';
  switch (tier.phase) {
    case 'archiving':
      return 'archival-in-progress';
    case 'archived':
      return 'archival-completed';
    case 'restoring':
      return `${kind}-restore-in-progress`;
    case 'restored':
      return 'permanent-restore-completed';
    case 'lent':
      return tier.days === null ? 'permanent-restore-in-progress' : 'temporary-restore-completed';
  }
}

/** Where it is once what was under way is done, or its days are over. It does not leave the store while it is copied. */
export function tierAfter(tier: ModelTier, nowMs: number, isCopied: boolean): ModelTier {
  const { days } = tier;
  const archived: ModelTier = { phase: 'archived', days: null, backAtMs: null, wasArchived: true };
  const restored: ModelTier = { phase: 'restored', days: null, backAtMs: null, wasArchived: false };
  switch (tier.phase) {
    case 'archiving':
      return isCopied ? tier : archived;
    case 'restoring':
      return days === null ? restored : { ...tier, phase: 'lent', backAtMs: nowMs + days * DAY_MS };
    case 'lent':
      if (days === null) return restored;
      if (tier.backAtMs === null || tier.backAtMs > nowMs) return tier;
      return isCopied ? { ...archived, phase: 'archiving' } : archived;
    case 'archived':
    case 'restored':
      return tier;
  }
}

/** The tier after ModifySnapshotTier; null: it is refused as being in the wrong state. */
export function archiveAsked(state: string, tier: ModelTier | null): ModelTier | null {
  const isThere = tier === null || tier.phase === 'restored' || tier.phase === 'lent';
  if (state !== 'completed' || !isThere) return null;
  return { phase: 'archiving', days: null, backAtMs: null, wasArchived: tier?.phase === 'lent' };
}

/** The same of RestoreSnapshotTier. */
export function restoreAsked(
  state: string,
  tier: ModelTier | null,
  days: number | null,
  nowMs: number,
): ModelTier | null {
  if (tier === null || state !== 'completed') return null;
  if (tier.phase === 'archived') return { ...tier, phase: 'restoring', days };
  if (tier.phase !== 'lent') return null;
  return { ...tier, days, backAtMs: days === null ? null : nowMs + days * DAY_MS };
}
