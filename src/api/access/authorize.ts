import { assert } from '#base/assert.ts';
import { findFacts } from '#control/identity/facts.ts';
import type { ControlPorts } from '#control/ports.ts';
import { type Decision, decide } from '#domain/policy/evaluate.ts';
import { readings } from '#domain/policy/readings.ts';
import type { Context } from '#domain/policy/template.ts';
import type { Principal } from '#domain/principal.ts';
import type { Scope } from '#domain/volume.ts';
import type { CallAccess } from './call-access.ts';
import type { Demand, Plan } from './demand.ts';

/** What was decided about a call. */
export interface Verdict {
  readonly decision: Decision;
  /** ARNs of what it was decided on; empty when nothing was asked. */
  readonly resources: readonly string[];
  /** What was not allowed; null: everything was. */
  readonly denied: Denied | null;
}

export interface Denied {
  readonly demand: Demand;
  readonly explicit: boolean;
  /** All condition keys that the decision could see. */
  readonly context: Context;
}

/** No request may name more: each is looked up and decided by itself. */
const REFS_MAX = 1000;

/** Decides a call: every demand of its plan must be allowed; the first that is not is told. */
export async function authorize(
  ports: Pick<ControlPorts, 'meta'>,
  call: { readonly scope: Scope; readonly principal: Principal; readonly access: CallAccess },
  plan: Plan,
): Promise<Verdict> {
  // The root of an account may everything, whatever the resources are; only who is to become another asks whom that one trusts.
  const isAsked = !call.access.names.isRoot || plan.refs.some(({ kind }) => kind === 'role-arn');
  if (isAsked && plan.refs.length > REFS_MAX) {
    const [demand] = plan.demands([]);
    assert(demand !== undefined, 'what is named is asked for');
    return { decision: 'implicit-deny', resources: [], denied: { demand, explicit: false, context: call.access.keys } };
  }
  const facts = isAsked ? await findFacts(ports, call.scope, plan.refs) : [];
  const demands = plan.demands(facts);
  const all = new Set([...demands.map(({ resource }) => resource), ...(plan.named ?? [])]);
  const resources = [...all].filter((resource) => resource !== '*');
  for (const demand of demands) {
    const { names, policies, keys } = call.access;
    if (names.isRoot && demand.guard === null) continue;
    const contexts = readings(keys, demand.keys);
    if (contexts === null) {
      return { decision: 'implicit-deny', resources, denied: { demand, explicit: false, context: keys } };
    }
    for (const context of contexts) {
      const request = { action: demand.action, resource: demand.resource, principal: names, context };
      const decision = decide(policies, request, demand.guard);
      if (decision === 'allowed') continue;
      return { decision, resources, denied: { demand, explicit: decision === 'explicit-deny', context } };
    }
  }
  return { decision: 'allowed', resources, denied: null };
}
