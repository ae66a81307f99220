import type { AccountId } from '#domain/ids.ts';
import { parseAccountId } from '#domain/ids.ts';
import type { Policy } from '#domain/policy/document.ts';
import type { Trustee } from '#domain/policy/trustees.ts';
import type { Tag } from '#domain/tags.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';
import { refuseIdentity } from './failures.ts';
import { requireBare, requireIdentity, ROLE } from './identities.ts';
import { requireManaged } from './managed.ts';
import { storedPolicy } from './policy-cache.ts';
import { inAccount, roleArn, type RoleRecord, ROLES } from './records.ts';
import { checkName, checkPath, mergeTags, newUniqueId, QUOTAS, requirePolicy } from './rules.ts';
import { findTrustees } from './trustees.ts';

export const SESSION_SECONDS_MIN = 900;
const ROLE_SESSION_SECONDS_MIN = 3600;
const ROLE_SESSION_SECONDS_MAX = 43_200;

export interface CreateRole {
  readonly name: string;
  readonly path: string;
  readonly trust: string;
  readonly description: string | null;
  readonly sessionSecondsMax: number;
  readonly boundary: string | null;
  readonly tags: readonly Tag[];
  readonly madeBy: string | null;
}

export async function createRole(ports: ControlPorts, account: AccountId, request: CreateRole): Promise<RoleRecord> {
  const { name, path, trust, description, sessionSecondsMax, boundary, madeBy } = request;
  checkName('roleName', name, 64);
  checkPath(path);
  if (sessionSecondsMax < ROLE_SESSION_SECONDS_MIN || sessionSecondsMax > ROLE_SESSION_SECONDS_MAX) {
    const constraint = `Member must have value between ${ROLE_SESSION_SECONDS_MIN} and ${ROLE_SESSION_SECONDS_MAX}`;
    refuseIdentity({ kind: 'invalid-form', field: 'maxSessionDuration', value: String(sessionSecondsMax), constraint });
  }
  const tags = mergeTags([], request.tags);
  return await ports.meta.transact(async (tx) => {
    const known = await tx.documents.find(ROLES, inAccount(account), name.toLowerCase());
    if (known !== null) {
      if (madeBy !== null && known.madeBy === madeBy) return known;
      refuseIdentity({ kind: 'exists', entity: 'role', name });
    }
    const trustees = await checkTrust(tx, trust);
    if (boundary !== null) await requireManaged(tx, account, boundary);
    if ((await tx.documents.count(ROLES, inAccount(account), null)) >= QUOTAS.roles) {
      refuseIdentity({ kind: 'quota', what: 'Roles', max: QUOTAS.roles });
    }
    const record: RoleRecord = {
      id: newUniqueId(ports.random, 'AROA'),
      name,
      path,
      createdAtMs: ports.clock.nowMs(),
      tags,
      boundary,
      attached: [],
      inline: [],
      madeBy,
      trust,
      trustees,
      description,
      sessionSecondsMax,
    };
    await tx.documents.insert(ROLES, inAccount(account), record);
    return record;
  });
}

export async function updateTrust(
  ports: ControlPorts,
  account: AccountId,
  request: { readonly name: string; readonly trust: string },
): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const role = await requireIdentity(tx, ROLE, account, request.name);
    const trustees = await checkTrust(tx, request.trust);
    await tx.documents.update(ROLES, inAccount(account), { ...role, trust: request.trust, trustees });
  });
}

export async function deleteRole(ports: ControlPorts, account: AccountId, name: string): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const role = await requireIdentity(tx, ROLE, account, name);
    requireBare(role);
    await tx.documents.remove(ROLES, inAccount(account), role.name.toLowerCase());
  });
}

/** Of any account, by its ARN; null: there is none. */
export async function findRoleByArn(
  tx: ReadTx,
  arn: string,
): Promise<{ readonly account: AccountId; readonly role: RoleRecord } | null> {
  const [, accountText = '', name = ''] = /^arn:aws:iam::(\d{12}):role\/(?:.*\/)?([^/]+)$/.exec(arn) ?? [];
  const account = parseAccountId(accountText);
  if (account === null) return null;
  const role = await tx.documents.find(ROLES, inAccount(account), name.toLowerCase());
  return role !== null && roleArn(account, role) === arn ? { account, role } : null;
}

/** Whom it names. Refuses: malformed-policy, also for users and roles that do not exist; quota. */
async function checkTrust(tx: ReadTx, trust: string): Promise<readonly Trustee[]> {
  if (trust.length > QUOTAS.trustCharacters) {
    refuseIdentity({ kind: 'quota', what: 'ACLSizePerRole', max: QUOTAS.trustCharacters });
  }
  const trustees = await findTrustees(tx, requirePolicy(trust, 'trust'));
  if (typeof trustees !== 'string') return trustees;
  return refuseIdentity({ kind: 'malformed-policy', reason: `Invalid principal in policy: "AWS":"${trustees}"` });
}

/** The trust policy of a role, by which who has a name only since it was put is not trusted. */
export function trustOf({ trust, trustees }: RoleRecord): Policy {
  return storedPolicy(trust, 'trust', trustees);
}
