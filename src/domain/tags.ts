import { refuse } from './errors.ts';
import type { Tags } from './volume.ts';

/** Control characters but tab and line ends, and what is no character: neither XML nor a log can carry them. */
const NOT_TEXT = /[[\p{Cc}--[\t\n\r]]\uFFFE\uFFFF]/v;

/** What one face asks of tags. Lengths are Unicode code points, as AWS counts them. */
export interface TagRules {
  readonly keyLengthMax: number;
  readonly valueLengthMax: number;
  /** What keys and values consist of; null: anything. */
  readonly charset: RegExp | null;
  /** No key of a client begins so, whatever the case. */
  readonly reservedPrefix: string;
}

/** A tag as clients send it. Lightsail's tags may have a key only: then the value is ''. */
export interface Tag {
  readonly key: string;
  readonly value: string;
}

/**
 * EC2: its pages say 127 for the key and, one of them, 255 for the value; the service takes 128 and 256, and so do we:
 * refusing what AWS accepts would break a client, accepting one character more breaks none.
 */
export const EC2_TAG_RULES: TagRules = {
  keyLengthMax: 128,
  valueLengthMax: 256,
  charset: null,
  reservedPrefix: 'aws:',
};

/** Lightsail: letters, numbers, spaces in UTF-8, and `+ - = . _ : / @`. */
export const LIGHTSAIL_TAG_RULES: TagRules = {
  keyLengthMax: 128,
  valueLengthMax: 256,
  charset: /^[\p{L}\p{M}\p{N}\p{Z}+\-=._:/@]*$/u,
  reservedPrefix: 'aws:',
};

export const TAG_RULES = { ec2: EC2_TAG_RULES, lightsail: LIGHTSAIL_TAG_RULES } as const satisfies Record<
  string,
  TagRules
>;

/** Refuses a tag that breaks a rule: tag-key-reserved, or invalid-value of `tag-key` or `tag-value`. */
export function checkTag(rules: TagRules, tag: Tag): void {
  checkText(rules, 'tag-key', tag.key, rules.keyLengthMax);
  if (tag.key === '')
    refuse({ kind: 'invalid-value', field: 'tag-key', reason: 'a tag key has at least one character' });
  if (tag.key.toLowerCase().startsWith(rules.reservedPrefix)) refuse({ kind: 'tag-key-reserved', key: tag.key });
  checkText(rules, 'tag-value', tag.value, rules.valueLengthMax);
}

function checkText(rules: TagRules, field: 'tag-key' | 'tag-value', text: string, lengthMax: number): void {
  // A string of n UTF-16 units has at least n/2 code points: count exactly only where it can matter.
  if (text.length > lengthMax && (text.length > 2 * lengthMax || Array.from(text).length > lengthMax)) {
    refuse({ kind: 'invalid-value', field, reason: `at most ${lengthMax} characters` });
  }
  if (rules.charset !== null && !rules.charset.test(text)) {
    refuse({ kind: 'invalid-value', field, reason: 'only letters, numbers, spaces and + - = . _ : / @' });
  }
  if (NOT_TEXT.test(text) || !text.isWellFormed()) {
    refuse({ kind: 'invalid-value', field, reason: 'no control characters' });
  }
}

/** Tags of a creation: each checked, no key twice, at most `countMax`. */
export function tagsOf(rules: TagRules, list: readonly Tag[], countMax: number): Tags {
  const tags = new Map<string, string>();
  for (const tag of list) {
    checkTag(rules, tag);
    if (tags.has(tag.key)) {
      refuse({ kind: 'invalid-value', field: 'tag-key', reason: `the key ${tag.key} is given twice` });
    }
    tags.set(tag.key, tag.value);
  }
  if (tags.size > countMax) refuse({ kind: 'limit', limit: 'tags', max: countMax });
  return Object.fromEntries(tags);
}

/** Tags with others set over them; at most `countMax` then. */
export function withTags(tags: Tags, set: Tags, countMax: number): Tags {
  const merged = new Map([...Object.entries(tags), ...Object.entries(set)]);
  if (merged.size > countMax) refuse({ kind: 'limit', limit: 'tags', max: countMax });
  return Object.fromEntries(merged);
}

/** What to remove: a key, and only where it has that value; null: whatever its value is. */
export interface TagRemoval {
  readonly key: string;
  readonly value: string | null;
}

/** Tags without those that one of the removals names; a key may be named several times, with different values. */
export function withoutTags(tags: Tags, removals: readonly TagRemoval[]): Tags {
  const isRemoved = (key: string, value: string): boolean =>
    removals.some((removal) => removal.key === key && (removal.value === null || removal.value === value));
  return Object.fromEntries(Object.entries(tags).filter(([key, value]) => !isRemoved(key, value)));
}

/** The value of a tag, or null. Never meets Object.prototype. */
export function tagValue(tags: Tags, key: string): string | null {
  return Object.hasOwn(tags, key) ? (tags[key] ?? null) : null;
}
