import { assert } from '#base/assert.ts';
import type { AccountId } from '#domain/ids.ts';

/** What an account and a region may have, and how long things take at most. Every number has a unit in its name. */
export interface Limits {
  readonly volumeCountMax: number;
  readonly volumeGibTotalMax: number;
  /** Of all io1 and io2 volumes; 0: no limit. */
  readonly provisionedIopsTotalMax: number;
  readonly snapshotCountMax: number;
  /** Of an account in a region, all volumes together. */
  readonly pendingSnapshotCountMax: number;
  /** Snapshots of one volume that may be pending at once; 0: as AWS says for its type (domain/volume-type.ts). */
  readonly pendingSnapshotsPerVolumeMax: number;
  /** Least time between two snapshots of one volume, by when they were asked for; 0: no limit. */
  readonly snapshotIntervalMsMin: number;
  /** EBS direct snapshots being written. */
  readonly directSnapshotCountMax: number;
  /** Copies that are pending in the region to which they are made. */
  readonly pendingCopyCountMax: number;
  /** Snapshots that are kept ready for fast restores, in a region. */
  readonly fastRestoreSnapshotCountMax: number;
  /** Modifications of one volume in `modificationWindowMs`. */
  readonly modificationCountMax: number;
  readonly modificationWindowMs: number;
  /** How long a modified volume is shown as being modified, and then as being optimized. */
  readonly modifyingMs: number;
  readonly optimizingMs: number;
  readonly tagCountMax: number;
  /** How long a block token and a page token may be used. */
  readonly blockTokenMs: number;
  readonly pageTokenMs: number;
  /** How long a client token is remembered. */
  readonly clientTokenMs: number;
  /** How long an operation that has ended is kept. */
  readonly operationMs: number;
  /** Volumes that upload at once; each holds a few chunks in memory in the host. */
  readonly uploadConcurrencyMax: number;
  /** How often the progress of uploads is asked for. */
  readonly progressPeriodMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  volumeCountMax: 100_000,
  // 50 TiB is AWS's default for one type; a server of one's own has what its disks have.
  volumeGibTotalMax: 1024 * 1024 * 1024,
  provisionedIopsTotalMax: 0,
  snapshotCountMax: 1_000_000,
  pendingSnapshotCountMax: 1000,
  pendingSnapshotsPerVolumeMax: 0,
  // AWS: 15 s. Off by default: nothing here gets slower by it, and tests and loops need not wait.
  snapshotIntervalMsMin: 0,
  directSnapshotCountMax: 100,
  pendingCopyCountMax: 20,
  fastRestoreSnapshotCountMax: 5,
  modificationCountMax: 4,
  modificationWindowMs: 3_600_000 * 24,
  modifyingMs: 1000,
  optimizingMs: 10_000,
  tagCountMax: 50,
  // As observed of AWS.
  blockTokenMs: 585_000_000,
  pageTokenMs: 3_600_000 * 24,
  // EC2 keeps client tokens at least 24 hours.
  clientTokenMs: 3_600_000 * 24 * 7,
  operationMs: 3_600_000 * 24 * 90,
  uploadConcurrencyMax: 4,
  progressPeriodMs: 500,
};

/** Those that an installation sets, for all accounts or for one. The others are of the server as a whole. */
export const ACCOUNT_LIMITS = [
  'volumeCountMax',
  'volumeGibTotalMax',
  'provisionedIopsTotalMax',
  'snapshotCountMax',
  'pendingSnapshotCountMax',
  'pendingSnapshotsPerVolumeMax',
  'snapshotIntervalMsMin',
  'directSnapshotCountMax',
  'pendingCopyCountMax',
  'fastRestoreSnapshotCountMax',
  'modificationCountMax',
  'tagCountMax',
] as const satisfies readonly (keyof Limits)[];

export type AccountLimits = Pick<Limits, (typeof ACCOUNT_LIMITS)[number]>;

/** What differs from the default, and what of one account differs from that. */
export interface LimitSettings {
  readonly general: Partial<AccountLimits>;
  readonly accounts: ReadonlyMap<AccountId, Partial<AccountLimits>>;
}

export const NO_LIMIT_SETTINGS: LimitSettings = { general: {}, accounts: new Map() };

/** The default limits with some of them replaced. */
export function limits(some: Partial<Limits> = {}): Limits {
  const all = { ...DEFAULT_LIMITS, ...some };
  for (const [name, value] of Object.entries(all)) {
    assert(Number.isSafeInteger(value) && value >= 0, `the limit ${name} is a whole number`);
  }
  assert(all.tagCountMax < 1024, 'a position in a list of tags has ten bits for the tag');
  assert(all.uploadConcurrencyMax >= 1, 'at least one volume uploads');
  assert(all.progressPeriodMs >= 10, 'progress is not asked for all the time');
  return all;
}
