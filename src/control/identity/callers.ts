import type { AccountId } from '#domain/ids.ts';
import type { Policy } from '#domain/policy/document.ts';
import type { PolicySet, RequestPrincipal } from '#domain/policy/evaluate.ts';
import { type Principal, type RolePrincipal, rootPrincipal, type UserPrincipal } from '#domain/principal.ts';
import type { Tag } from '#domain/tags.ts';
import type { Tags } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { type AccessKey, findRootKey, isAccessKeyId } from '#control/access.ts';
import type { KeyVault } from '#control/kms/vault.ts';
import type { ControlPorts } from '#control/ports.ts';
import { defaultDocument, findManaged } from './managed.ts';
import { ALLOW_ALL, DENY_IDENTITY, storedPolicy } from './policy-cache.ts';
import { type IdentityRecord, roleArn, type RoleRecord, USER_KEYS, userArn, type UserRecord } from './records.ts';
import { findRoleByArn } from './roles.ts';
import { openSession, type SessionClaims, type SessionHolder } from './session-token.ts';
import { namesOf } from './trustees.ts';
import { secretOf, userOfId } from './user-keys.ts';

/** Who makes a request, and everything that has a say about what they may do. */
export interface Caller {
  readonly key: AccessKey;
  readonly principal: Principal;
  /** The principal as policies name it. */
  readonly names: RequestPrincipal;
  readonly policies: PolicySet;
}

export type CallerLookup =
  | { readonly kind: 'found'; readonly caller: Caller }
  /** No such key, an inactive one, a token that is not of this server, or a user or role that is gone. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'expired' };

const UNKNOWN: CallerLookup = { kind: 'unknown' };

/** Whose an access key is. `sessionToken` belongs to temporary keys, and to no others. */
export async function findCaller(
  ports: Pick<ControlPorts, 'meta' | 'clock' | 'vault'>,
  accessKeyId: string,
  sessionToken: string | null,
): Promise<CallerLookup> {
  if (!isAccessKeyId(accessKeyId)) return UNKNOWN;
  if (sessionToken === null) return await ports.meta.read((tx) => callerOfKey(tx, ports.vault, accessKeyId));
  const claims = openSession(ports, sessionToken);
  if (claims === null || claims.accessKeyId !== accessKeyId) return UNKNOWN;
  if (ports.clock.nowMs() >= claims.expiresAtMs) return { kind: 'expired' };
  return await ports.meta.read((tx) => callerOfSession(tx, claims));
}

async function callerOfKey(tx: ReadTx, vault: KeyVault, accessKeyId: string): Promise<CallerLookup> {
  const root = await findRootKey(tx, accessKeyId);
  if (root !== null) return found(rootCaller(root));
  const [placed] = await tx.documents.everywhere(USER_KEYS, accessKeyId);
  if (placed === undefined || !placed.record.active) return UNKNOWN;
  const { account, record } = placed;
  const user = await userOfId(tx, account, record.userId);
  if (user === null) return UNKNOWN;
  const key = { accessKeyId, secretAccessKey: secretOf(vault, record), account };
  return found(await userCaller(tx, key, user, null));
}

async function callerOfSession(tx: ReadTx, claims: SessionClaims): Promise<CallerLookup> {
  const { accessKeyId, secretAccessKey, account, holder, issuedAtMs } = claims;
  const key = { accessKeyId, secretAccessKey, account };
  switch (holder.kind) {
    case 'root':
      return (await tx.accounts.find(account)) === null ? UNKNOWN : found(rootCaller(key, issuedAtMs));
    case 'user': {
      const user = await userOfId(tx, account, holder.userId);
      return user === null ? UNKNOWN : found(await userCaller(tx, key, user, issuedAtMs));
    }
    case 'role': {
      const known = await findRoleByArn(tx, holder.roleArn);
      // A role that was made anew under the name is another role.
      if (known === null || known.role.id !== holder.roleId) return UNKNOWN;
      const { role } = known;
      const principal = principalOfRole(account, role, { ...holder, issuedAtMs });
      const policies = await policiesOf(tx, account, role);
      const session = await sessionPolicies(tx, account, holder);
      return found({
        key,
        principal,
        names: namesOf(principal),
        policies: { ...policies, session },
      });
    }
  }
}

/** The root of an account: everything is allowed. */
export function rootCaller(key: AccessKey, issuedAtMs: number | null = null): Caller {
  const principal = rootPrincipal(key.account, issuedAtMs);
  return {
    key,
    principal,
    names: namesOf(principal),
    policies: { identity: [ALLOW_ALL], boundary: null, session: null },
  };
}

async function userCaller(tx: ReadTx, key: AccessKey, user: UserRecord, issuedAtMs: number | null): Promise<Caller> {
  const { account } = key;
  const principal = principalOfUser(account, user, issuedAtMs);
  return {
    key,
    principal,
    names: namesOf(principal),
    policies: await policiesOf(tx, account, user),
  };
}

export function principalOfUser(account: AccountId, user: UserRecord, issuedAtMs: number | null): UserPrincipal {
  return {
    kind: 'user',
    account,
    arn: userArn(account, user),
    id: user.id,
    tags: tagsOf(user.tags),
    issuedAtMs,
    userId: user.id,
    userName: user.name,
  };
}

/** A session of a role; `tags` were given with AssumeRole, and stand over the role's. */
export function principalOfRole(
  account: AccountId,
  role: RoleRecord,
  session: Pick<RolePrincipal, 'sessionName' | 'tags' | 'issuedAtMs' | 'sourceIdentity' | 'transitiveTags'>,
): RolePrincipal {
  const { sessionName, tags, issuedAtMs, sourceIdentity, transitiveTags } = session;
  return {
    kind: 'role',
    account,
    arn: `arn:aws:sts::${account}:assumed-role/${role.name}/${sessionName}`,
    id: `${role.id}:${sessionName}`,
    tags: { ...tagsOf(role.tags), ...tags },
    issuedAtMs,
    roleId: role.id,
    roleName: role.name,
    roleArn: roleArn(account, role),
    sessionName,
    sourceIdentity,
    transitiveTags,
  };
}

/** The policies of a user or role, parsed. What is attached and not there any more allows nothing; a boundary that is not there denies. */
export async function policiesOf(tx: ReadTx, account: AccountId, record: IdentityRecord): Promise<PolicySet> {
  const identity: Policy[] = record.inline.map(({ document }) => storedPolicy(document, 'identity'));
  for (const arn of record.attached) {
    const policy = await managedPolicy(tx, account, arn);
    if (policy !== null) identity.push(policy);
  }
  const { boundary } = record;
  return {
    identity,
    boundary: boundary === null ? null : [(await managedPolicy(tx, account, boundary)) ?? DENY_IDENTITY],
    session: null,
  };
}

/** Null: the session has none. One that is not there any more denies. */
async function sessionPolicies(
  tx: ReadTx,
  account: AccountId,
  { policy, policyArns }: Extract<SessionHolder, { kind: 'role' }>,
): Promise<readonly Policy[] | null> {
  if (policy === null && policyArns.length === 0) return null;
  const policies = policy === null ? [] : [storedPolicy(policy, 'identity')];
  for (const arn of policyArns) policies.push((await managedPolicy(tx, account, arn)) ?? DENY_IDENTITY);
  return policies;
}

async function managedPolicy(tx: ReadTx, account: AccountId, arn: string): Promise<Policy | null> {
  const managed = await findManaged(tx, account, arn);
  return managed === null ? null : storedPolicy(defaultDocument(managed.record), 'identity');
}

function tagsOf(tags: readonly Tag[]): Tags {
  return Object.fromEntries(tags.map(({ key, value }) => [key, value]));
}

function found(caller: Caller): CallerLookup {
  return { kind: 'found', caller };
}
