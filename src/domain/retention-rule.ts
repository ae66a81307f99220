import type { Tags } from './volume.ts';

/** What a rule of the recycle bin keeps when it is deleted. */
export type RetainedType = 'EBS_SNAPSHOT' | 'EC2_IMAGE' | 'EBS_VOLUME';

/** A tag that a resource may have. Null: whatever its value. */
export interface TagMatch {
  readonly key: string;
  readonly value: string | null;
}

/** A rule of the recycle bin: of resources that have a tag, or of all of a region but those that have one. */
export interface RetentionRule {
  /** 11 letters and digits. */
  readonly id: string;
  readonly type: RetainedType;
  readonly description: string | null;
  readonly days: number;
  /** Not empty: what has one of them is kept (a tag-level rule). Empty: everything (a Region-level rule). */
  readonly tagged: readonly TagMatch[];
  /** Of a Region-level rule: what has one of them is not kept. */
  readonly excluded: readonly TagMatch[];
  /** Null: never locked. */
  readonly lock: RuleLock | null;
  readonly tags: Tags;
}

export interface RuleLock {
  readonly unlockDelayDays: number;
  /** When it can be changed again: it was unlocked that delay before. Null: locked. */
  readonly endsAtMs: number | null;
}

export type LockState = 'locked' | 'pending_unlock' | 'unlocked';

/** Resources of these kinds are kept for so many days at most. */
export const RETENTION_DAYS_MAX: Readonly<Record<RetainedType, number>> = {
  EBS_SNAPSHOT: 365,
  EC2_IMAGE: 365,
  EBS_VOLUME: 7,
};

/** Null: it never was locked. */
export function lockStateOf({ lock }: RetentionRule, nowMs: number): LockState | null {
  if (lock === null) return null;
  if (lock.endsAtMs === null) return 'locked';
  return nowMs < lock.endsAtMs ? 'pending_unlock' : 'unlocked';
}

/** Whether nobody may change or delete it now. */
export function isLocked(rule: RetentionRule, nowMs: number): boolean {
  const state = lockStateOf(rule, nowMs);
  return state === 'locked' || state === 'pending_unlock';
}

/** How many days a deleted resource is kept: the longest of the rules that it meets; null: not at all. */
export function retentionDaysOf(rules: readonly RetentionRule[], type: RetainedType, tags: Tags): number | null {
  const days = rules.filter((rule) => rule.type === type && keeps(rule, tags)).map((rule) => rule.days);
  return days.length === 0 ? null : Math.max(...days);
}

function keeps(rule: RetentionRule, tags: Tags): boolean {
  if (rule.tagged.length > 0) return rule.tagged.some((match) => hasTag(tags, match));
  return !rule.excluded.some((match) => hasTag(tags, match));
}

function hasTag(tags: Tags, { key, value }: TagMatch): boolean {
  return Object.hasOwn(tags, key) && (value === null || tags[key] === value);
}
