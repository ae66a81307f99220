import type { ControlPorts } from '#control/ports.ts';
import { findRootKey, isAccessKeyId } from '#control/access.ts';
import type { AccountId } from '#domain/ids.ts';
import type { Principal } from '#domain/principal.ts';
import type { Tag } from '#domain/tags.ts';
import type { Tags } from '#domain/volume.ts';
import { noEntity, refuseIdentity } from './failures.ts';
import { requireManaged } from './managed.ts';
import { roleArn, type RoleRecord, USER_KEYS } from './records.ts';
import { findRoleByArn, SESSION_SECONDS_MIN } from './roles.ts';
import { checkName, mergeTags, requirePolicy } from './rules.ts';
import { accountOfTemporaryKey, issueSession, type SessionCredentials } from './session-token.ts';

const SECONDS_DEFAULT = 3600;
/** A session that begins another one lasts an hour at most. */
const CHAINED_SECONDS_MAX = 3600;
const SESSION_POLICY_CHARACTERS_MAX = 2048;
const SESSION_POLICIES_MAX = 10;
const USER_TOKEN_SECONDS_DEFAULT = 43_200;
const USER_TOKEN_SECONDS_MAX = 129_600;
const ROOT_TOKEN_SECONDS_MAX = 3600;

export interface AssumeRole {
  readonly roleArn: string;
  readonly sessionName: string;
  readonly seconds: number | null;
  /** A session policy; null: none. */
  readonly policy: string | null;
  /** ARNs of managed policies of the role's account, as further session policies. */
  readonly policyArns: readonly string[];
  readonly tags: readonly Tag[];
  /** Keys of tags that go on to the sessions which this one begins. */
  readonly transitiveTags: readonly string[];
  readonly sourceIdentity: string | null;
  readonly externalId: string | null;
}

export interface AssumedRole {
  readonly credentials: SessionCredentials;
  readonly account: AccountId;
  readonly role: RoleRecord;
}

/**
 * Temporary credentials of a session of a role. That the role trusts the caller has been decided. Refuses: no-entity,
 * invalid-form, invalid-input, malformed-policy.
 */
export async function assumeRole(ports: ControlPorts, caller: Principal, request: AssumeRole): Promise<AssumedRole> {
  const { sessionName, policy, policyArns, externalId } = request;
  checkLength('roleSessionName', sessionName, 2, 64);
  checkName('roleSessionName', sessionName, 64);
  if (externalId !== null) checkLength('externalId', externalId, 2, 1224);
  if (policy !== null) {
    checkLength('policy', policy, 1, SESSION_POLICY_CHARACTERS_MAX);
    requirePolicy(policy, 'identity');
  }
  if (policyArns.length > SESSION_POLICIES_MAX) {
    refuseIdentity({
      kind: 'invalid-input',
      reason: `At most ${SESSION_POLICIES_MAX} managed session policies are allowed.`,
    });
  }
  const passed = passedOn(caller, request);
  const { account, role } = await ports.meta.read(async (tx) => {
    const found = (await findRoleByArn(tx, request.roleArn)) ?? noEntity('role', request.roleArn);
    for (const arn of policyArns) await requireManaged(tx, found.account, arn);
    return found;
  });
  const seconds = request.seconds ?? SECONDS_DEFAULT;
  const isChained = caller.kind === 'role';
  const secondsMax = isChained ? Math.min(CHAINED_SECONDS_MAX, role.sessionSecondsMax) : role.sessionSecondsMax;
  if (seconds > secondsMax) {
    const reason = isChained
      ? 'The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining'
      : 'The requested DurationSeconds exceeds the MaxSessionDuration set for this role.';
    refuseIdentity({ kind: 'too-long', reason });
  }
  checkSeconds(seconds, SESSION_SECONDS_MIN, 43_200);
  const holder = {
    kind: 'role' as const,
    roleArn: roleArn(account, role),
    roleId: role.id,
    sessionName,
    policy,
    policyArns,
    ...passed,
  };
  return { credentials: issueSession(ports, account, holder, seconds), account, role };
}

/** What a session has from its request, and from the session that begins it: that is not to be changed. Refuses: invalid-input. */
function passedOn(
  caller: Principal,
  { tags, transitiveTags, sourceIdentity }: AssumeRole,
): { readonly tags: Tags; readonly transitiveTags: readonly string[]; readonly sourceIdentity: string | null } {
  const before = caller.kind === 'role' ? caller : null;
  if (sourceIdentity !== null) {
    checkLength('sourceIdentity', sourceIdentity, 2, 64);
    checkName('sourceIdentity', sourceIdentity, 64);
  }
  const known = before?.sourceIdentity ?? null;
  if (known !== null && sourceIdentity !== null && known !== sourceIdentity) {
    refuseIdentity({ kind: 'invalid-input', reason: 'The source identity of a session cannot be changed.' });
  }
  const inherited = before?.transitiveTags ?? [];
  const own = mergeTags([], tags);
  // Keys have no case: `Team` would stand over `team` wherever a policy asks for it.
  const changed = own.find(({ key }) => inherited.some((one) => one.toLowerCase() === key.toLowerCase()));
  if (changed !== undefined) {
    refuseIdentity({
      kind: 'invalid-input',
      reason: `The tag key ${changed.key} is transitive in the calling session and cannot be set.`,
    });
  }
  const unknown = transitiveTags.find((key) => !own.some((tag) => tag.key === key) && !inherited.includes(key));
  if (unknown !== undefined) {
    refuseIdentity({
      kind: 'invalid-input',
      reason: `The transitive tag key ${unknown.slice(0, 128)} is not among the tags.`,
    });
  }
  const all = [
    ...inherited.map((key) => [key, before?.tags[key] ?? ''] as const),
    ...own.map(({ key, value }) => [key, value] as const),
  ];
  return {
    tags: Object.fromEntries(all),
    transitiveTags: [...new Set([...inherited, ...transitiveTags])],
    sourceIdentity: known ?? sourceIdentity,
  };
}

/** Temporary credentials of the caller itself. Refuses: unmodifiable (a session has no sessions), invalid-form. */
export function sessionToken(ports: ControlPorts, caller: Principal, seconds: number | null): SessionCredentials {
  if (caller.kind === 'role' || caller.issuedAtMs !== null) {
    refuseIdentity({ kind: 'unmodifiable', reason: 'Cannot call GetSessionToken with session credentials' });
  }
  if (caller.kind === 'root') {
    const asked = seconds ?? ROOT_TOKEN_SECONDS_MAX;
    checkSeconds(asked, SESSION_SECONDS_MIN, USER_TOKEN_SECONDS_MAX);
    return issueSession(ports, caller.account, { kind: 'root' }, Math.min(asked, ROOT_TOKEN_SECONDS_MAX));
  }
  const asked = seconds ?? USER_TOKEN_SECONDS_DEFAULT;
  checkSeconds(asked, SESSION_SECONDS_MIN, USER_TOKEN_SECONDS_MAX);
  return issueSession(ports, caller.account, { kind: 'user', userId: caller.userId }, asked);
}

/** The account that a key belongs to; null: no key of this server. */
export async function accountOfKey(ports: ControlPorts, accessKeyId: string): Promise<AccountId | null> {
  if (!isAccessKeyId(accessKeyId)) return null;
  return await ports.meta.read(async (tx) => {
    const root = await findRootKey(tx, accessKeyId);
    if (root !== null) return root.account;
    const [placed] = await tx.documents.everywhere(USER_KEYS, accessKeyId);
    if (placed !== undefined) return placed.account;
    const account = accountOfTemporaryKey(accessKeyId);
    return account === null || (await tx.accounts.find(account)) === null ? null : account;
  });
}

function checkLength(field: string, value: string, min: number, max: number): void {
  const constraint =
    value.length < min
      ? `Member must have length greater than or equal to ${min}`
      : value.length > max
        ? `Member must have length less than or equal to ${max}`
        : null;
  if (constraint !== null) refuseIdentity({ kind: 'invalid-form', field, value, constraint });
}

function checkSeconds(seconds: number, min: number, max: number): void {
  if (seconds >= min && seconds <= max) return;
  const constraint = `Member must have value ${seconds < min ? `greater than or equal to ${min}` : `less than or equal to ${max}`}`;
  refuseIdentity({ kind: 'invalid-form', field: 'durationSeconds', value: String(seconds), constraint });
}
