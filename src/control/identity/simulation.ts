import type { ControlPorts } from '#control/ports.ts';
import type { AccountId } from '#domain/ids.ts';
import type { PolicySet, RequestPrincipal } from '#domain/policy/evaluate.ts';
import type { Principal } from '#domain/principal.ts';
import { policiesOf, principalOfRole, principalOfUser } from './callers.ts';
import { noEntity, refuseIdentity } from './failures.ts';
import { requireIdentity, ROLE, USER } from './identities.ts';
import { roleArn, userArn } from './records.ts';
import { namesOf } from './trustees.ts';

/** A user or role as it would be when it called. */
export interface PrincipalPolicies {
  readonly principal: Principal;
  readonly names: RequestPrincipal;
  readonly policies: PolicySet;
}

/** The session of a role in simulations has this name. */
const SESSION_NAME = 'simulation';

/** Refuses: no-entity, invalid-input. */
export async function principalOfArn(ports: ControlPorts, account: AccountId, arn: string): Promise<PrincipalPolicies> {
  const [, kind, name = ''] = new RegExp(`^arn:aws:iam::${account}:(user|role)/(?:.*/)?([^/]+)$`).exec(arn) ?? [];
  if (kind === undefined) {
    refuseIdentity({
      kind: 'invalid-input',
      reason: `Invalid Entity Arn: ${arn} does not clearly define entity type and name.`,
    });
  }
  return await ports.meta.read(async (tx) => {
    if (kind === 'user') {
      const user = await requireIdentity(tx, USER, account, name);
      if (userArn(account, user) !== arn) noEntity('user', name);
      const principal = principalOfUser(account, user, null);
      return {
        principal,
        names: namesOf(principal),
        policies: await policiesOf(tx, account, user),
      };
    }
    const role = await requireIdentity(tx, ROLE, account, name);
    if (roleArn(account, role) !== arn) noEntity('role', name);
    const principal = principalOfRole(account, role, {
      sessionName: SESSION_NAME,
      tags: {},
      issuedAtMs: null,
      sourceIdentity: null,
      transitiveTags: [],
    });
    return {
      principal,
      names: namesOf(principal),
      policies: await policiesOf(tx, account, role),
    };
  });
}
