import type { Policy, Statement } from './document.ts';

/*
 * A resource's policy names users and roles by their ARNs, and means those who had them when it was put. Who is made under a
 * name later is somebody else: the ids of users and roles are never given again, so a policy is decided by these.
 */

/** A user, a role or one of its sessions, as a policy names it. */
export interface Trustee {
  readonly arn: string;
  /** Of the user or role; of a session `ROLE-ID:SESSION`. */
  readonly id: string;
}

/** Every ARN of a principal that the policy names. */
export function principalsOf({ statements }: Policy): ReadonlySet<string> {
  return new Set(statements.flatMap(({ principals }) => principals?.aws ?? []).filter((arn) => arn !== '*'));
}

/** The policy with ids in the place of ARNs. */
export function boundTo(policy: Policy, trustees: readonly Trustee[]): Policy {
  if (trustees.length === 0) return policy;
  const ids = new Map(trustees.map(({ arn, id }) => [arn, id]));
  return { statements: policy.statements.map((statement) => boundStatement(statement, ids)) };
}

function boundStatement(statement: Statement, ids: ReadonlyMap<string, string>): Statement {
  const { principals } = statement;
  if (principals === null) return statement;
  return { ...statement, principals: { ...principals, aws: principals.aws.map((arn) => ids.get(arn) ?? arn) } };
}
