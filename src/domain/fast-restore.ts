import type { SnapshotId } from './ids.ts';

/**
 * enabling → optimizing → enabled; any of these → disabling → disabled. `optimizing`: what the snapshot holds is being
 * fetched and verified. An enabled one whose data is not ready any more (its copies were lost) is `optimizing` again: a
 * state says what is so.
 */
export type FastRestoreState = 'enabling' | 'optimizing' | 'enabled' | 'disabling' | 'disabled';

/** That a snapshot is kept ready for volumes of one zone, as one account asked for. */
export interface FastRestore {
  readonly snapshot: SnapshotId;
  /** `us-east-1a`. */
  readonly zone: string;
  readonly state: FastRestoreState;
  /** Who wanted the state: the client, or what followed from that. */
  readonly isOwnWish: boolean;
  /** Why it does not go on; null: nothing is in the way. */
  readonly trouble: string | null;
  /** When it came to each state last; null: it has not. */
  readonly enablingAtMs: number;
  readonly optimizingAtMs: number | null;
  readonly enabledAtMs: number | null;
  readonly disablingAtMs: number | null;
  readonly disabledAtMs: number | null;
}

export function newFastRestore(snapshot: SnapshotId, zone: string, nowMs: number): FastRestore {
  return {
    snapshot,
    zone,
    state: 'enabling',
    isOwnWish: true,
    trouble: null,
    enablingAtMs: nowMs,
    optimizingAtMs: null,
    enabledAtMs: null,
    disablingAtMs: null,
    disabledAtMs: null,
  };
}

/** It is to be ready, or is. */
export function isWanted({ state }: FastRestore): boolean {
  return state === 'enabling' || state === 'optimizing' || state === 'enabled';
}

/** In another state, from now on. */
export function fastRestoreIn(
  one: FastRestore,
  state: Exclude<FastRestoreState, 'enabling'>,
  nowMs: number,
  isOwnWish = false,
): FastRestore {
  const next = { ...one, state, isOwnWish, trouble: null };
  switch (state) {
    case 'optimizing':
      return { ...next, optimizingAtMs: nowMs, enabledAtMs: null };
    case 'enabled':
      return { ...next, enabledAtMs: nowMs };
    case 'disabling':
      return { ...next, disablingAtMs: nowMs };
    case 'disabled':
      return { ...next, disabledAtMs: nowMs };
  }
}
