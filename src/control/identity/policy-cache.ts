import { parsePolicy, type Policy, type PolicyKind } from '#domain/policy/document.ts';
import { boundTo, type Trustee } from '#domain/policy/trustees.ts';

/** Parsing a document takes a hundred times as long as deciding by it, and the same few come again with every request. */
const POLICIES_MAX = 2000;

const parsed = new Map<string, Policy>();

/**
 * A stored document, parsed, and bound to those whom it named when it was put. One that is not understood (written by a newer
 * server) allows nothing and denies everything.
 */
export function storedPolicy(document: string, kind: PolicyKind, trustees: readonly Trustee[] = []): Policy {
  const key = `${kind} ${trustees.map(({ id }) => id).join(' ')} ${document}`;
  const known = parsed.get(key);
  if (known !== undefined) return known;
  const result = parsePolicy(document, kind);
  const policy = result.kind === 'policy' ? boundTo(result.policy, trustees) : DENY_ALL[kind];
  if (parsed.size >= POLICIES_MAX) parsed.delete(parsed.keys().next().value ?? '');
  parsed.set(key, policy);
  return policy;
}

function all(effect: 'Allow' | 'Deny', kind: PolicyKind): Policy {
  const whom = kind === 'identity' ? {} : { Principal: '*' };
  const what = kind === 'trust' ? {} : { Resource: '*' };
  const document = JSON.stringify({ Statement: { Effect: effect, Action: '*', ...whom, ...what } });
  const result = parsePolicy(document, kind);
  if (result.kind === 'malformed') throw new Error(result.reason);
  return result.policy;
}

const DENY_ALL: Readonly<Record<PolicyKind, Policy>> = {
  identity: all('Deny', 'identity'),
  trust: all('Deny', 'trust'),
  resource: all('Deny', 'resource'),
};
export const DENY_IDENTITY = DENY_ALL.identity;
/** What the root of an account may. */
export const ALLOW_ALL = all('Allow', 'identity');
