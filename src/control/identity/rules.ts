import type { Random } from '#base/random.ts';
import { parsePolicy, type Policy, type PolicyKind } from '#domain/policy/document.ts';
import type { Tag } from '#domain/tags.ts';
import { refuseIdentity } from './failures.ts';

/** What AWS allows by default; GetAccountSummary tells them. */
export const QUOTAS = {
  users: 5000,
  roles: 1000,
  policies: 1500,
  attached: 10,
  versions: 5,
  keysPerUser: 2,
  tags: 50,
  policyCharacters: 6144,
  userInlineCharacters: 2048,
  roleInlineCharacters: 10_240,
  trustCharacters: 2048,
} as const;

const NAME = /^[\w+=,.@-]+$/;
const NAME_PATTERN = String.raw`[\w+=,.@-]+`;
const PATH = /^(?:\/|\/[\u0021-\u007e]+\/)$/;
const PATH_LENGTH_MAX = 512;

/** `field` as clients spell it: `userName`. */
export function checkName(field: string, name: string, lengthMax: number): void {
  const constraint = !NAME.test(name)
    ? `Member must satisfy regular expression pattern: ${NAME_PATTERN}`
    : name.length > lengthMax
      ? `Member must have length less than or equal to ${lengthMax}`
      : null;
  if (constraint !== null) refuseIdentity({ kind: 'invalid-form', field, value: name, constraint });
}

export function checkPath(path: string): void {
  if (PATH.test(path) && path.length <= PATH_LENGTH_MAX) return;
  const reason =
    'The specified value for path is invalid. It must begin and end with / and contain only ASCII characters without blanks.';
  refuseIdentity({ kind: 'invalid-input', reason });
}

/** The tags with others over them, keys compared without case as IAM does. Refuses: invalid-form, invalid-input, quota. */
export function mergeTags(tags: readonly Tag[], more: readonly Tag[]): readonly Tag[] {
  const merged = new Map(tags.map((tag) => [tag.key.toLowerCase(), tag]));
  const seen = new Set<string>();
  for (const tag of more) {
    const key = tag.key.toLowerCase();
    if (seen.has(key)) {
      refuseIdentity({
        kind: 'invalid-input',
        reason: 'Duplicate tag keys found. Please note that Tag keys are case insensitive.',
      });
    }
    seen.add(key);
    checkTag(tag);
    merged.set(key, tag);
  }
  if (merged.size > QUOTAS.tags) refuseIdentity({ kind: 'quota', what: 'TagsPerResource', max: QUOTAS.tags });
  return [...merged.values()];
}

/** Keys compared without case. */
export function withoutTags(tags: readonly Tag[], keys: readonly string[]): readonly Tag[] {
  const gone = new Set(keys.map((key) => key.toLowerCase()));
  return tags.filter(({ key }) => !gone.has(key.toLowerCase()));
}

const TAG_TEXT = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

function checkTag({ key, value }: Tag): void {
  const wrong = (field: string, text: string, constraint: string): never =>
    refuseIdentity({ kind: 'invalid-form', field, value: text, constraint });
  const pattern = String.raw`Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`;
  if (key === '' || !TAG_TEXT.test(key)) wrong('tags.member.key', key, pattern);
  if (key.length > 128) wrong('tags.member.key', key, 'Member must have length less than or equal to 128');
  if (!TAG_TEXT.test(value)) wrong('tags.member.value', value, pattern);
  if (value.length > 256) wrong('tags.member.value', value, 'Member must have length less than or equal to 256');
  if (key.toLowerCase().startsWith('aws:')) {
    refuseIdentity({ kind: 'invalid-input', reason: 'Tag keys beginning with aws: are reserved for internal use.' });
  }
}

/** Refuses: malformed-policy. */
export function requirePolicy(document: string, kind: PolicyKind): Policy {
  const parsed = parsePolicy(document, kind);
  return parsed.kind === 'policy' ? parsed.policy : refuseIdentity({ kind: 'malformed-policy', reason: parsed.reason });
}

/** IAM counts a document's characters without white space. */
export function policyCharacters(document: string): number {
  return document.replace(/\s+/g, '').length;
}

/** RFC 4648's base 32: AWS's ids have its capitals and 2 to 7. */
export const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** `AIDA` and 17 characters. */
export function newUniqueId(random: Random, prefix: 'AIDA' | 'AROA' | 'ANPA'): string {
  return prefix + base32(random.bytes(17));
}

/** One character for every byte. */
export function base32(bytes: Uint8Array): string {
  return [...bytes].map((byte) => BASE32[byte & 31]).join('');
}

/** 30 bytes are 40 base-64 characters without padding. */
export function newSecret(random: Random): string {
  return random.bytes(30).toString('base64');
}
