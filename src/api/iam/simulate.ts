import { principalKeys } from '#api/access/call-access.ts';
import type { Handler } from '#api/handler.ts';
import { type PrincipalPolicies, principalOfArn } from '#control/identity/simulation.ts';
import { requirePolicy } from '#control/identity/rules.ts';
import { type Decision, decide, evaluateIdentity, type PolicySet } from '#domain/policy/evaluate.ts';
import type { Context } from '#domain/policy/template.ts';
import type { EvaluationResult, PolicyEvaluationDecisionType } from '#wire/aws/models/iam.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { identityHandler } from './errors.ts';
import { pageOf } from './paging.ts';

type Request = InputOf<'iam', 'SimulatePrincipalPolicy'>;

const DECISIONS: Readonly<Record<Decision, PolicyEvaluationDecisionType>> = {
  allowed: 'allowed',
  'explicit-deny': 'explicitDeny',
  'implicit-deny': 'implicitDeny',
};

/** What the policies of a user or role say of actions on resources, without doing anything. */
export const simulatePrincipalPolicy: Handler<Request, OutputOf<'iam', 'SimulatePrincipalPolicy'>> = identityHandler(
  async ({ ports, scope }, input) => {
    const source = await principalOfArn(ports, scope.account, input.PolicySourceArn);
    const policies = policiesOf(source, input);
    const context = contextOf(source, input);
    const resourceArns =
      input.ResourceArns === undefined || input.ResourceArns.length === 0 ? ['*'] : input.ResourceArns;
    const guard = guardOf(input, scope.account);
    const pairs = input.ActionNames.flatMap((action) => resourceArns.map((resource) => ({ action, resource })));
    const { items, more } = pageOf(
      pairs.map(({ action, resource }, index) => ({ action, resource, order: String(index).padStart(8, '0') })),
      ({ order }) => order,
      input,
    );
    const { boundary } = policies;
    const results = items.map(({ action, resource }): EvaluationResult => {
      const request = { action, resource, principal: source.names, context };
      return {
        EvalActionName: action,
        EvalResourceName: resource,
        EvalDecision: DECISIONS[decide(policies, request, guard)],
        MatchedStatements: [],
        MissingContextValues: [],
        PermissionsBoundaryDecisionDetail:
          boundary === null
            ? undefined
            : { AllowedByPermissionsBoundary: evaluateIdentity(boundary, request) === 'allow' },
      };
    });
    return { EvaluationResults: results, ...more };
  },
);

function policiesOf({ policies }: PrincipalPolicies, input: Request): PolicySet {
  const more = (input.PolicyInputList ?? []).map((document) => requirePolicy(document, 'identity'));
  const boundary = input.PermissionsBoundaryPolicyInputList?.map((document) => requirePolicy(document, 'identity'));
  return { ...policies, identity: [...policies.identity, ...more], boundary: boundary ?? policies.boundary };
}

function guardOf(input: Request, account: string): Parameters<typeof decide>[2] {
  if (input.ResourcePolicy === undefined) return null;
  const [, owner = account] = /^(?:arn:aws:iam::)?(\d{12})/.exec(input.ResourceOwner ?? '') ?? [];
  return { account: owner, policy: requirePolicy(input.ResourcePolicy, 'resource') };
}

function contextOf({ principal }: PrincipalPolicies, input: Request): Context {
  const context = new Map<string, readonly string[]>(principalKeys(principal));
  for (const { ContextKeyName: name, ContextKeyValues: values } of input.ContextEntries ?? []) {
    if (name !== undefined) context.set(name.toLowerCase(), values ?? []);
  }
  return context;
}
