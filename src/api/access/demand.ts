import type { GuardedResource } from '#domain/policy/evaluate.ts';
import type { Scope } from '#domain/volume.ts';
import type { Fact, Ref } from '#control/identity/facts.ts';

/** A condition key in lower case, and its values. */
export type Key = readonly [string, readonly string[]];

/** One thing that must be allowed for a call to be performed. */
export interface Demand {
  /** `ec2:CreateSnapshot`. */
  readonly action: string;
  /** An ARN, or `*` where the action has no resource. */
  readonly resource: string;
  /** Condition keys of this action on this resource. */
  readonly keys: readonly Key[];
  /** The resource's own policy, which must agree; null: it has none. */
  readonly guard: GuardedResource | null;
}

/** A call as it is decided. `input` as decoded. */
export interface Asked {
  readonly scope: Scope;
  readonly operation: string;
  readonly input: Input;
}

/** What must be known of the metadata, and what is demanded then. `facts` are those of `refs`, in their order. */
export interface Plan {
  readonly refs: readonly Ref[];
  readonly demands: (facts: readonly Fact[]) => readonly Demand[];
  /** What a call names that is decided elsewhere, as it names it: for the audit log. */
  readonly named?: readonly string[];
}

export type Input = Readonly<Record<string, unknown>>;

/** A resource as policies see it: its ARN, and what they can ask about it. */
export interface Seen {
  readonly arn: string;
  readonly keys: readonly Key[];
}

export interface TagText {
  readonly key: string;
  readonly value: string;
}

export function tagKeys(
  prefix: 'aws:requesttag' | 'aws:resourcetag' | 'ec2:resourcetag',
  tags: readonly TagText[],
): readonly Key[] {
  return tags.map(({ key, value }) => [`${prefix}/${key.toLowerCase()}`, [value]]);
}

/** What a request says about tags; nothing when it says nothing. */
export function requestTagKeys(tags: readonly TagText[]): readonly Key[] {
  if (tags.length === 0) return [];
  return [...tagKeys('aws:requesttag', tags), ['aws:tagkeys', tags.map(({ key }) => key)]];
}

export function untagKeys(keys: readonly string[]): readonly Key[] {
  return keys.length === 0 ? [] : [['aws:tagkeys', keys]];
}

/** Of the pairs `[{Key, Value}]` that most services have, whatever the case of the names; what is no such list is empty. */
export function tagsOf(value: unknown): readonly TagText[] {
  return recordsOf(value).flatMap((item) => {
    const key = item['Key'] ?? item['key'] ?? item['TagKey'];
    const text = item['Value'] ?? item['value'] ?? item['TagValue'];
    return typeof key === 'string' ? [{ key, value: typeof text === 'string' ? text : '' }] : [];
  });
}

/** Of a map of tags, as dlm has them. */
export function tagsOfMap(value: unknown): readonly TagText[] {
  return Object.entries(recordOf(value)).flatMap(([key, text]) =>
    typeof text === 'string' ? [{ key, value: text }] : [],
  );
}

export function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** A text or a list of texts, each once. */
export function textsOf(value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return [...new Set(list.filter((item): item is string => typeof item === 'string' && item !== ''))];
}

export function recordsOf(value: unknown): readonly Input[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [];
  return list.filter((item): item is Input => typeof item === 'object' && item !== null);
}

export function recordOf(value: unknown): Input {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}

export function plainPlan(demands: readonly Demand[]): Plan {
  return { refs: [], demands: () => demands };
}

/** Each action on each of the resources; on `*` when there are none. */
export function demandsOn(action: string, seen: readonly Seen[], keys: readonly Key[] = []): readonly Demand[] {
  const on = seen.length === 0 ? [{ arn: '*', keys: [] }] : seen;
  return on.map((resource) => ({ action, resource: resource.arn, keys: [...keys, ...resource.keys], guard: null }));
}
