import type { AccountId } from '#domain/ids.ts';
import { parseAccountId } from '#domain/ids.ts';
import type { Policy } from '#domain/policy/document.ts';
import type { Trustee } from '#domain/policy/trustees.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';
import { refuseIdentity } from './failures.ts';
import { changeIdentity, createIdentity, type CreateIdentity, deleteIdentity, ROLE } from './identities.ts';
import { storedPolicy } from './policy-cache.ts';
import { inAccount, roleArn, type RoleRecord, ROLES } from './records.ts';
import { QUOTAS, requirePolicy } from './rules.ts';
import { findTrustees } from './trustees.ts';

export const SESSION_SECONDS_MIN = 900;
const ROLE_SESSION_SECONDS_MIN = 3600;
const ROLE_SESSION_SECONDS_MAX = 43_200;

export interface CreateRole extends CreateIdentity {
  readonly trust: string;
  readonly description: string | null;
  readonly sessionSecondsMax: number;
}

/** Refuses: malformed-policy, and as createIdentity. */
export async function createRole(ports: ControlPorts, account: AccountId, request: CreateRole): Promise<RoleRecord> {
  const { trust, description, sessionSecondsMax } = request;
  checkSessionSeconds(sessionSecondsMax);
  return await createIdentity(ports, ROLE, account, request, async (record, tx) => ({
    ...record,
    trust,
    trustees: await checkTrust(tx, trust),
    description,
    sessionSecondsMax,
  }));
}

/** What is null stays as it is. Refuses: no-entity, invalid-form. */
export async function updateRole(
  ports: ControlPorts,
  account: AccountId,
  request: {
    readonly name: string;
    readonly description: string | null;
    readonly sessionSecondsMax: number | null;
  },
): Promise<RoleRecord> {
  const { name, description, sessionSecondsMax } = request;
  if (sessionSecondsMax !== null) checkSessionSeconds(sessionSecondsMax);
  return await changeIdentity(ports, ROLE, account, name, (role) => ({
    ...role,
    description: description ?? role.description,
    sessionSecondsMax: sessionSecondsMax ?? role.sessionSecondsMax,
  }));
}

function checkSessionSeconds(seconds: number): void {
  if (seconds >= ROLE_SESSION_SECONDS_MIN && seconds <= ROLE_SESSION_SECONDS_MAX) return;
  const constraint = `Member must have value between ${ROLE_SESSION_SECONDS_MIN} and ${ROLE_SESSION_SECONDS_MAX}`;
  refuseIdentity({ kind: 'invalid-form', field: 'maxSessionDuration', value: String(seconds), constraint });
}

export async function updateTrust(
  ports: ControlPorts,
  account: AccountId,
  request: { readonly name: string; readonly trust: string },
): Promise<void> {
  const { name, trust } = request;
  await changeIdentity(ports, ROLE, account, name, async (role, tx) => ({
    ...role,
    trust,
    trustees: await checkTrust(tx, trust),
  }));
}

export async function deleteRole(ports: ControlPorts, account: AccountId, name: string): Promise<void> {
  await deleteIdentity(ports, ROLE, account, name);
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
