import { holds } from './condition.ts';
import type { Policy, Principals, Statement } from './document.ts';
import { type Context, expand, matches, type Template } from './template.ts';

/** What is to be decided: may this principal do this to that? */
export interface PolicyRequest {
  /** `ec2:CreateSnapshot`; compared without case. */
  readonly action: string;
  /** An ARN, or `*` where the action has no resource. */
  readonly resource: string;
  readonly principal: RequestPrincipal;
  readonly context: Context;
}

export interface RequestPrincipal {
  readonly account: string;
  readonly isRoot: boolean;
  /** Every ARN that names it: of a session of a role, the session's and the role's. */
  readonly arns: readonly string[];
  /** `dlm.amazonaws.com`: it is a service of this server. */
  readonly service?: string;
}

/** What a policy of an identity says: a deny outweighs every allow. */
export type Effect = 'allow' | 'deny' | 'none';

/**
 * Of a resource's policy: `principal`: it allows this very principal (or everyone); `account`: it allows the principal's account, which may
 * then allow the principal.
 */
export type ResourceEffect = 'deny' | 'principal' | 'account' | 'none';

export function evaluateIdentity(policies: readonly Policy[], request: PolicyRequest): Effect {
  let allowed = false;
  for (const { statements } of policies) {
    for (const statement of statements) {
      if (!applies(statement, request)) continue;
      if (statement.effect === 'Deny') return 'deny';
      allowed = true;
    }
  }
  return allowed ? 'allow' : 'none';
}

/** The policy of a resource: a role's trust policy, a KMS key's policy. */
export function evaluateResource(policy: Policy, request: PolicyRequest): ResourceEffect {
  let best: ResourceEffect = 'none';
  for (const statement of policy.statements) {
    const named = statement.principals === null ? 'none' : namedBy(statement.principals, request.principal);
    if (named === 'none' || !applies(statement, request)) continue;
    if (statement.effect === 'Deny') return 'deny';
    if (named === 'principal') best = 'principal';
    else if (best === 'none') best = 'account';
  }
  return best;
}

/** Everything that has a say about one principal. */
export interface PolicySet {
  readonly identity: readonly Policy[];
  /** At most this, whatever `identity` allows; null: no boundary. */
  readonly boundary: readonly Policy[] | null;
  /** Given with AssumeRole: at most this, too; null: none. */
  readonly session: readonly Policy[] | null;
}

/** A resource that has a policy of its own, which must agree. */
export interface GuardedResource {
  readonly account: string;
  readonly policy: Policy;
}

export type Decision = 'allowed' | 'explicit-deny' | 'implicit-deny';

/**
 * The decision. A deny anywhere wins. Otherwise, without `resource`: the identity, its boundary and its session must each
 * allow. With it: the resource's policy must allow; within its account that is enough when it names the principal itself, but
 * for a role's boundary, which stays; when it names the account only, or the principal is of another account, the identity
 * must allow, too.
 */
export function decide(policies: PolicySet, request: PolicyRequest, resource: GuardedResource | null): Decision {
  const identity = evaluateIdentity(policies.identity, request);
  const boundary = policies.boundary === null ? 'allow' : evaluateIdentity(policies.boundary, request);
  const session = policies.session === null ? 'allow' : evaluateIdentity(policies.session, request);
  const guard = resource === null ? null : evaluateResource(resource.policy, request);
  if ([identity, boundary, session, guard].includes('deny')) return 'explicit-deny';
  const own = identity === 'allow' && boundary === 'allow';
  const limited = session === 'allow';
  if (resource === null) return own && limited ? 'allowed' : 'implicit-deny';
  if (guard === 'none') return 'implicit-deny';
  const isNamed = guard === 'principal' && resource.account === request.principal.account;
  const enough = isNamed && (boundary === 'allow' || !isRole(request.principal));
  return (enough || own) && limited ? 'allowed' : 'implicit-deny';
}

function isRole({ arns }: RequestPrincipal): boolean {
  return arns.some((arn) => /^arn:aws:(?:iam|sts)::\d+:(?:assumed-)?role\//.test(arn));
}

function applies({ actions, resources, effect, conditions }: Statement, request: PolicyRequest): boolean {
  const { action, resource, context } = request;
  const lower = action.toLowerCase();
  const named = actions.of.some((template) => matchesTemplate(template, lower, context));
  if (named === actions.not) return false;
  if (resources !== null) {
    const hit = resources.of.some((template) => matchesTemplate(template, resource, context));
    if (hit === resources.not) return false;
    // A variable without a value names nothing: "all but nothing" must not become a grant of everything.
    if (resources.not && effect === 'Allow' && resources.of.some((template) => expand(template, context) === null)) {
      return false;
    }
  }
  return conditions.every((condition) => holds(condition, context));
}

function matchesTemplate(template: Template, text: string, context: Context): boolean {
  const tokens = expand(template, context);
  return tokens !== null && matches(tokens, text);
}

function namedBy(principals: Principals, principal: RequestPrincipal): 'principal' | 'account' | 'none' {
  const { everyone, aws, services, not } = principals;
  const root = `arn:aws:iam::${principal.account}:root`;
  const isService = principal.service !== undefined && services.includes(principal.service);
  const itself = everyone || isService || principal.arns.some((arn) => aws.includes(arn));
  if (not) return itself || (principal.isRoot && aws.includes(root)) ? 'none' : 'principal';
  if (itself) return 'principal';
  return aws.includes(root) ? 'account' : 'none';
}
