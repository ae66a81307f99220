import { parsePolicy, type Policy, type PolicyKind } from '#domain/policy/document.ts';

/** Parsing a document takes a hundred times as long as deciding by it, and the same few come again with every request. */
const POLICIES_MAX = 2000;

const parsed = new Map<string, Policy>();

/** A stored document, parsed. One that is not understood (written by a newer server) allows nothing and denies everything. */
export function storedPolicy(document: string, kind: PolicyKind): Policy {
  const key = `${kind} ${document}`;
  const known = parsed.get(key);
  if (known !== undefined) return known;
  const result = parsePolicy(document, kind);
  const policy = result.kind === 'policy' ? result.policy : DENY_ALL;
  if (parsed.size >= POLICIES_MAX) parsed.delete(parsed.keys().next().value ?? '');
  parsed.set(key, policy);
  return policy;
}

function all(effect: 'Allow' | 'Deny'): Policy {
  const document = JSON.stringify({ Statement: { Effect: effect, Action: '*', Resource: '*' } });
  const result = parsePolicy(document, 'identity');
  if (result.kind === 'malformed') throw new Error(result.reason);
  return result.policy;
}

export const DENY_ALL = all('Deny');
/** What the root of an account may. */
export const ALLOW_ALL = all('Allow');
