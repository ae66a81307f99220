import { DAY_MS } from './rules-model-locks.fake.ts';

/*
 * Rules of the recycle bin as their reference and user guide state them, for the model of the rules. Written from those
 * pages: nothing of the server is used.
 */

export type ModelTags = Readonly<Record<string, string>>;
export type BinType = 'EBS_SNAPSHOT' | 'EBS_VOLUME';

export interface ModelMatch {
  readonly key: string;
  /** Null: any. */
  readonly value: string | null;
}

export interface ModelRule {
  readonly type: BinType;
  days: number;
  tagged: readonly ModelMatch[];
  excluded: readonly ModelMatch[];
  delayDays: number | null;
  /** Once it was unlocked. */
  lockEndsAtMs: number | null;
}

export function ruleLockState({ delayDays, lockEndsAtMs }: ModelRule, nowMs: number): string | null {
  if (delayDays === null) return null;
  if (lockEndsAtMs === null) return 'locked';
  return nowMs < lockEndsAtMs ? 'pending_unlock' : 'unlocked';
}

/** Whether the rule may not be changed or deleted. */
export function isRuleFixed(rule: ModelRule, nowMs: number): boolean {
  return ['locked', 'pending_unlock'].includes(ruleLockState(rule, nowMs) ?? '');
}

/** Which refusals a rule of this shape may get. */
export function ruleRefusals({ type, days, tagged, excluded, delayDays }: ModelRule): readonly string[] {
  const isPeriod = days >= 1 && days <= (type === 'EBS_VOLUME' ? 7 : 365);
  const isOneLevel = tagged.length === 0 || excluded.length === 0;
  // Only Region-level rules are locked, and none that leaves resources out.
  const isLockable = delayDays === null || tagged.length + excluded.length === 0;
  return isPeriod && isOneLevel && isLockable ? [] : ['ValidationException'];
}

/** For how long what is deleted now is kept; null: not at all. Of several rules that fit, the longest counts. */
export function retentionMs(rules: Iterable<ModelRule>, type: BinType, tags: ModelTags): number | null {
  let daysMax = 0;
  for (const rule of rules) {
    if (rule.type !== type) continue;
    const fits = rule.tagged.length > 0 ? hasOne(tags, rule.tagged) : !hasOne(tags, rule.excluded);
    if (fits) daysMax = Math.max(daysMax, rule.days);
  }
  return daysMax === 0 ? null : daysMax * DAY_MS;
}

function hasOne(tags: ModelTags, matches: readonly ModelMatch[]): boolean {
  return matches.some(({ key, value }) => tags[key] !== undefined && (value === null || tags[key] === value));
}
