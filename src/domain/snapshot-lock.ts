import { refuse } from './errors.ts';

/** What a locked snapshot is: nobody may delete it. */
export interface SnapshotLock {
  /** Who has the permission ends a lock of governance; after its cool-off, nobody ends one of compliance. */
  readonly mode: 'governance' | 'compliance';
  readonly durationDays: number;
  /** From when the duration counts: when it was locked, or when the snapshot completed if that was later; null: not yet. */
  readonly startMs: number | null;
  readonly createdAtMs: number;
  /** Of a lock of compliance: for so long it can still be changed and ended; null: it cannot. */
  readonly coolOffHours: number | null;
}

export type LockState = 'compliance-cooloff' | 'compliance' | 'governance' | 'expired';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
export const LOCK_DAYS_MAX = 36_500;
export const COOL_OFF_HOURS_MAX = 72;

/** Null while the duration has not begun. */
export function lockExpiresMs({ startMs, durationDays }: SnapshotLock): number | null {
  return startMs === null ? null : startMs + durationDays * DAY_MS;
}

export function coolOffExpiresMs({ createdAtMs, coolOffHours }: SnapshotLock): number | null {
  return coolOffHours === null ? null : createdAtMs + coolOffHours * HOUR_MS;
}

/** `latestMs`: a cool-off that was over does not begin again when the clock is set back. */
export function lockStateOf(lock: SnapshotLock, earliestMs: number, latestMs: number): LockState {
  const expiresMs = lockExpiresMs(lock);
  if (expiresMs !== null && expiresMs <= earliestMs) return 'expired';
  if (lock.mode === 'governance') return 'governance';
  const coolOffMs = coolOffExpiresMs(lock);
  return coolOffMs !== null && latestMs < coolOffMs ? 'compliance-cooloff' : 'compliance';
}

/** Whether it keeps its snapshot from being deleted. */
export function holds(lock: SnapshotLock | null, earliestMs: number): boolean {
  return lock !== null && lockStateOf(lock, earliestMs, earliestMs) !== 'expired';
}

export interface LockRequest {
  readonly mode: 'governance' | 'compliance';
  readonly coolOffHours: number | null;
  /** One of the two. */
  readonly durationDays: number | null;
  readonly expiresAtMs: number | null;
}

/**
 * The lock that a request makes of the one before (null: none). `completedAtMs`: of the snapshot; null: it is pending. A lock
 * of compliance that has cooled off can be made longer and nothing else. Refuses: exclusive, missing, invalid-value,
 * wrong-state (by `refuseState`).
 */
export function locked(
  before: SnapshotLock | null,
  request: LockRequest,
  times: { readonly earliestMs: number; readonly latestMs: number; readonly completedAtMs: number | null },
  refuseState: (state: LockState) => never,
): SnapshotLock {
  const { earliestMs, latestMs, completedAtMs } = times;
  const startMs = completedAtMs === null ? null : latestMs;
  const lock: SnapshotLock = {
    mode: request.mode,
    durationDays: durationOf(request, latestMs),
    startMs,
    createdAtMs: latestMs,
    coolOffHours: coolOffOf(request),
  };
  const state = before === null ? 'expired' : lockStateOf(before, earliestMs, latestMs);
  if (before === null || state === 'expired' || state === 'governance') return lock;
  // Of governance, it has no cool-off any more.
  if (state === 'compliance-cooloff' && request.mode === 'governance') return lock;
  if (state === 'compliance-cooloff') {
    return { ...lock, createdAtMs: before.createdAtMs, coolOffHours: lock.coolOffHours ?? before.coolOffHours };
  }
  const isLonger = (lockExpiresMs(lock) ?? lock.durationDays) > (lockExpiresMs(before) ?? before.durationDays);
  if (request.mode !== 'compliance' || request.coolOffHours !== null || !isLonger) refuseState(state);
  return { ...lock, createdAtMs: before.createdAtMs, coolOffHours: before.coolOffHours };
}

function durationOf({ durationDays, expiresAtMs }: LockRequest, nowMs: number): number {
  if (durationDays !== null && expiresAtMs !== null) {
    refuse({ kind: 'exclusive', fields: ['LockDuration', 'ExpirationDate'] });
  }
  if (durationDays === null && expiresAtMs === null) {
    refuse({ kind: 'missing', field: 'LockDuration or ExpirationDate' });
  }
  const days = durationDays ?? ((expiresAtMs ?? 0) - nowMs) / DAY_MS;
  if (!(days >= 1 && days <= LOCK_DAYS_MAX)) {
    const field = durationDays === null ? 'ExpirationDate' : 'LockDuration';
    refuse({ kind: 'invalid-value', field, reason: `a lock lasts 1 to ${LOCK_DAYS_MAX} days` });
  }
  return days;
}

function coolOffOf({ mode, coolOffHours }: LockRequest): number | null {
  if (coolOffHours === null) return null;
  if (mode === 'governance') refuse({ kind: 'exclusive', fields: ['CoolOffPeriod', 'LockMode governance'] });
  if (coolOffHours < 1 || coolOffHours > COOL_OFF_HOURS_MAX) {
    const reason = `the cool-off period is 1 to ${COOL_OFF_HOURS_MAX} hours`;
    refuse({ kind: 'invalid-value', field: 'CoolOffPeriod', reason });
  }
  return coolOffHours;
}
