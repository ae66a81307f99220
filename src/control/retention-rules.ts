import { refuse } from '#domain/errors.ts';
import {
  isLocked,
  lockStateOf,
  type LockState,
  RETENTION_DAYS_MAX,
  type RetainedType,
  retentionDaysOf,
  type RetentionRule,
  type TagMatch,
} from '#domain/retention-rule.ts';
import { LIGHTSAIL_TAG_RULES, type Tag, type TagRules, tagsOf, withTags } from '#domain/tags.ts';
import type { Scope, Tags } from '#domain/volume.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { readPage } from './pages.ts';
import type { ControlPorts } from './ports.ts';

/*
 * Rules of the recycle bin. What they do is done where something is deleted: `retentionOf` says how long it is kept.
 */

export const retentionRules: DocumentKind<RetentionRule> = {
  name: 'retention-rule',
  idOf: ({ id }) => id,
  ownerOf: ({ type }) => type,
};

/** Its tags have the letters and lengths that Lightsail's have. */
const RULE_TAG_RULES: TagRules = LIGHTSAIL_TAG_RULES;

/** Rules of one account and region: their service's quota. */
const RULE_COUNT_MAX = 250;
const TAG_COUNT_MAX = 200;
const DAY_MS = 86_400_000;
const ID_LETTERS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

export interface CreateRule {
  readonly type: RetainedType;
  readonly description: string | null;
  readonly days: number;
  readonly tagged: readonly TagMatch[];
  readonly excluded: readonly TagMatch[];
  /** Null: unlocked. */
  readonly unlockDelayDays: number | null;
  readonly tags: readonly Tag[];
}

/** Refuses: invalid-value, exclusive, limit, tag-key-reserved. */
export async function createRule(ports: ControlPorts, scope: Scope, request: CreateRule): Promise<RetentionRule> {
  const { unlockDelayDays, tags, ...rest } = request;
  const rule: RetentionRule = {
    ...rest,
    id: Array.from({ length: 11 }, () => ID_LETTERS[ports.random.bytes(4).readUInt32BE() % ID_LETTERS.length]).join(''),
    lock: unlockDelayDays === null ? null : { unlockDelayDays, endsAtMs: null },
    tags: tagsOf(RULE_TAG_RULES, tags, TAG_COUNT_MAX),
  };
  checkRule(rule);
  await ports.meta.transact(async ({ documents }) => {
    if ((await documents.count(retentionRules, scope, null)) >= RULE_COUNT_MAX) {
      refuse({ kind: 'limit', limit: 'resources', max: RULE_COUNT_MAX });
    }
    await documents.insert(retentionRules, scope, rule);
  });
  return rule;
}

function checkRule(rule: RetentionRule): void {
  const daysMax = RETENTION_DAYS_MAX[rule.type];
  if (rule.days > daysMax) {
    refuse({
      kind: 'invalid-value',
      field: 'retention-period',
      reason: `${rule.type} is kept for 1 to ${daysMax} days`,
    });
  }
  if (rule.tagged.length > 0 && rule.excluded.length > 0) {
    refuse({ kind: 'exclusive', fields: ['ResourceTags', 'ExcludeResourceTags'] });
  }
  if (rule.lock !== null && rule.tagged.length + rule.excluded.length > 0) {
    refuse({
      kind: 'invalid-value',
      field: 'lock',
      reason: 'only a Region-level rule without exclusion tags can be locked',
    });
  }
}

/** Refuses: not-found. */
export async function findRule(ports: ControlPorts, scope: Scope, id: string): Promise<RetentionRule> {
  return await ports.meta.read((tx) => ruleIn(tx, scope, id));
}

async function ruleIn(tx: ReadTx, scope: Scope, id: string): Promise<RetentionRule> {
  const rule = await tx.documents.find(retentionRules, scope, id);
  return rule ?? refuse({ kind: 'not-found', resource: 'resource', id });
}

export interface ListRules {
  readonly type: RetainedType;
  /** Rules that have all of these. */
  readonly tagged: readonly TagMatch[];
  readonly excluded: readonly TagMatch[];
  readonly lockState: LockState | null;
  readonly after: string | null;
  readonly countMax: number;
}

/** In the order of creation. Refuses: page-token-invalid. */
export async function listRules(
  ports: ControlPorts,
  scope: Scope,
  request: ListRules,
): Promise<{ readonly rules: readonly RetentionRule[]; readonly next: string | null }> {
  const { type, tagged, excluded, lockState, after, countMax } = request;
  const nowMs = ports.time.earliestMs();
  const match = (rule: RetentionRule): boolean =>
    includesAll(rule.tagged, tagged) &&
    includesAll(rule.excluded, excluded) &&
    (lockState === null || lockStateOf(rule, nowMs) === lockState);
  const page = await readPage<RetentionRule>(
    ports,
    scope,
    `retention rules ${type}`,
    { after, countMax, match },
    (part) => ports.meta.read((tx) => tx.documents.list(retentionRules, scope, type, part)),
  );
  return { rules: page.records, next: page.next };
}

function includesAll(has: readonly TagMatch[], wanted: readonly TagMatch[]): boolean {
  return wanted.every(({ key, value }) =>
    has.some((one) => one.key === key && (value === null || one.value === value)),
  );
}

/** Members that are null stay as they are. */
export interface UpdateRule {
  readonly description: string | null;
  readonly days: number | null;
  readonly tagged: readonly TagMatch[] | null;
  readonly excluded: readonly TagMatch[] | null;
}

/** Refuses: not-found, wrong-state, invalid-value, exclusive. */
export async function updateRule(
  ports: ControlPorts,
  scope: Scope,
  id: string,
  request: UpdateRule,
): Promise<RetentionRule> {
  return await changeRule(ports, scope, id, (rule) => {
    refuseLocked(ports, rule);
    const changed: RetentionRule = {
      ...rule,
      description: request.description ?? rule.description,
      days: request.days ?? rule.days,
      tagged: request.tagged ?? rule.tagged,
      excluded: request.excluded ?? rule.excluded,
      // A lock that ended leaves nothing that a rule with tags could not have.
      lock: rule.lock !== null && lockStateOf(rule, ports.time.earliestMs()) === 'unlocked' ? null : rule.lock,
    };
    checkRule(changed);
    return { ...changed, lock: rule.lock };
  });
}

/** Refuses: not-found, wrong-state. */
export async function deleteRule(ports: ControlPorts, scope: Scope, id: string): Promise<void> {
  await ports.meta.transact(async (tx) => {
    refuseLocked(ports, await ruleIn(tx, scope, id));
    await tx.documents.remove(retentionRules, scope, id);
  });
}

/** Refuses: not-found, wrong-state, invalid-value (a rule with tags). */
export async function lockRule(
  ports: ControlPorts,
  scope: Scope,
  id: string,
  unlockDelayDays: number,
): Promise<RetentionRule> {
  return await changeRule(ports, scope, id, (rule) => {
    refuseLocked(ports, rule);
    const locked: RetentionRule = { ...rule, lock: { unlockDelayDays, endsAtMs: null } };
    checkRule(locked);
    return locked;
  });
}

/** Begins the delay after which the rule can be changed. Refuses: not-found, wrong-state. */
export async function unlockRule(ports: ControlPorts, scope: Scope, id: string): Promise<RetentionRule> {
  return await changeRule(ports, scope, id, (rule) => {
    const nowMs = ports.time.earliestMs();
    if (rule.lock === null || lockStateOf(rule, nowMs) !== 'locked') {
      refuse({ kind: 'wrong-state', resource: 'resource', id, state: lockStateOf(rule, nowMs) ?? 'unlocked' });
    }
    return { ...rule, lock: { ...rule.lock, endsAtMs: ports.time.latestMs() + rule.lock.unlockDelayDays * DAY_MS } };
  });
}

/** Refuses: not-found, invalid-value, limit, tag-key-reserved. */
export async function tagRule(ports: ControlPorts, scope: Scope, id: string, tags: readonly Tag[]): Promise<void> {
  const set = tagsOf(RULE_TAG_RULES, tags, TAG_COUNT_MAX);
  await changeRule(ports, scope, id, (rule) => ({ ...rule, tags: withTags(rule.tags, set, TAG_COUNT_MAX) }));
}

/** A key that is not there is no error. Refuses: not-found. */
export async function untagRule(ports: ControlPorts, scope: Scope, id: string, keys: readonly string[]): Promise<void> {
  const gone = new Set(keys);
  await changeRule(ports, scope, id, (rule) => ({
    ...rule,
    tags: Object.fromEntries(Object.entries(rule.tags).filter(([key]) => !gone.has(key))),
  }));
}

async function changeRule(
  ports: ControlPorts,
  scope: Scope,
  id: string,
  change: (rule: RetentionRule) => RetentionRule,
): Promise<RetentionRule> {
  return await ports.meta.transact(async (tx) => {
    const rule = change(await ruleIn(tx, scope, id));
    await tx.documents.update(retentionRules, scope, rule);
    return rule;
  });
}

function refuseLocked(ports: ControlPorts, rule: RetentionRule): void {
  const nowMs = ports.time.earliestMs();
  if (isLocked(rule, nowMs)) {
    refuse({ kind: 'wrong-state', resource: 'resource', id: rule.id, state: lockStateOf(rule, nowMs) ?? '' });
  }
}

/** For how long what is deleted now stays in the recycle bin, in milliseconds; null: it is deleted for good. */
export async function retentionOf(tx: ReadTx, scope: Scope, type: RetainedType, tags: Tags): Promise<number | null> {
  const rows = await tx.documents.list(retentionRules, scope, type, { after: 0, countMax: RULE_COUNT_MAX });
  const days = retentionDaysOf(
    rows.map(({ record }) => record),
    type,
    tags,
  );
  return days === null ? null : days * DAY_MS;
}
