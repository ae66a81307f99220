import { refuse } from '#domain/errors.ts';
import { checkDetails } from '#domain/lifecycle/check.ts';
import { type LifecyclePolicy, type PolicyDetails, schedulesOf } from '#domain/lifecycle/policy.ts';
import type { Scope, Tags } from '#domain/volume.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';
import { managedCopies, managedSnapshots, ofPolicy } from './managed.ts';
import { requireRole } from './role.ts';
import { beginWatching, seenShares } from './shared-with-us.ts';

export const lifecyclePolicies: DocumentKind<LifecyclePolicy> = {
  name: 'lifecycle-policy',
  idOf: ({ id }) => id,
  ownerOf: () => null,
};

/** Policies of one account and region: their service's quota. */
const POLICY_COUNT_MAX = 100;
const TAG_COUNT_MAX = 200;

/** What clients set. */
type SettableState = Exclude<LifecyclePolicy['state'], 'ERROR'>;

export interface CreatePolicy {
  readonly description: string;
  readonly state: SettableState;
  readonly roleArn: string;
  readonly details: PolicyDetails;
  readonly tags: Tags;
}

/** Refuses: missing, invalid-value (also a role that cannot be assumed), exclusive, unsupported, limit. */
export async function createPolicy(ports: ControlPorts, scope: Scope, request: CreatePolicy): Promise<LifecyclePolicy> {
  checkDetails(request.details);
  checkTags(request.tags);
  const nowMs = ports.clock.nowMs();
  const draft: LifecyclePolicy = {
    ...request,
    id: `policy-0${ports.random.bytes(8).toString('hex')}`,
    trouble: null,
    createdAtMs: nowMs,
    modifiedAtMs: nowMs,
    doneMs: [],
  };
  const policy = { ...draft, doneMs: schedulesOf(draft).map(() => nowMs) };
  return await ports.meta.transact(async (tx) => {
    const { documents } = tx;
    if ((await documents.count(lifecyclePolicies, scope, null)) >= POLICY_COUNT_MAX) {
      refuse({ kind: 'limit', limit: 'resources', max: POLICY_COUNT_MAX });
    }
    const made = { ...policy, roleId: await requireRole(tx, { ...scope, ...policy }) };
    await documents.insert(lifecyclePolicies, scope, made);
    await beginWatching(tx, scope, made, nowMs);
    return made;
  });
}

/** Refuses: not-found. */
export async function findPolicy(ports: ControlPorts, scope: Scope, id: string): Promise<LifecyclePolicy> {
  return await ports.meta.read((tx) => policyIn(tx, scope, id));
}

async function policyIn(tx: ReadTx, scope: Scope, id: string): Promise<LifecyclePolicy> {
  const policy = await tx.documents.find(lifecyclePolicies, scope, id);
  return policy ?? refuse({ kind: 'not-found', resource: 'resource', id });
}

/** In the order of creation. */
export async function listPolicies(ports: ControlPorts, scope: Scope): Promise<readonly LifecyclePolicy[]> {
  const page = { after: 0, countMax: POLICY_COUNT_MAX };
  const rows = await ports.meta.read((tx) => tx.documents.list(lifecyclePolicies, scope, null, page));
  return rows.map(({ record }) => record);
}

/** Members that are null stay as they are. */
export interface UpdatePolicy {
  readonly description: string | null;
  readonly state: SettableState | null;
  readonly roleArn: string | null;
  readonly details: ((details: PolicyDetails) => PolicyDetails) | null;
}

/**
 * What was due before new details, or while the policy was disabled, is not done any more. A policy in error is tried anew.
 * Refuses: not-found, and as createPolicy.
 */
export async function updatePolicy(
  ports: ControlPorts,
  scope: Scope,
  id: string,
  request: UpdatePolicy,
): Promise<LifecyclePolicy> {
  return await changePolicy(ports, scope, id, async (policy, tx) => {
    const nowMs = ports.clock.nowMs();
    const details = request.details?.(policy.details) ?? policy.details;
    checkDetails(details);
    const { roleArn } = request;
    const wasInError = policy.state === 'ERROR';
    const changed: LifecyclePolicy = {
      ...policy,
      description: request.description ?? policy.description,
      state: request.state ?? (policy.state === 'DISABLED' ? 'DISABLED' : 'ENABLED'),
      trouble: wasInError ? null : policy.trouble,
      ...(roleArn === null ? {} : { roleArn, roleId: await requireRole(tx, { ...scope, id, roleArn }) }),
      details,
      modifiedAtMs: nowMs,
    };
    const beginsAnew = request.details !== null || (policy.state === 'DISABLED' && changed.state === 'ENABLED');
    if (!beginsAnew) return changed;
    await beginWatching(tx, scope, changed, nowMs);
    return { ...changed, doneMs: schedulesOf(changed).map(() => nowMs) };
  });
}

export async function tagPolicy(ports: ControlPorts, scope: Scope, id: string, tags: Tags): Promise<void> {
  await changePolicy(ports, scope, id, (policy) => {
    const all = { ...policy.tags, ...tags };
    checkTags(all);
    return { ...policy, tags: all };
  });
}

export async function untagPolicy(
  ports: ControlPorts,
  scope: Scope,
  id: string,
  keys: readonly string[],
): Promise<void> {
  await changePolicy(ports, scope, id, (policy) => ({
    ...policy,
    tags: Object.fromEntries(Object.entries(policy.tags).filter(([key]) => !keys.includes(key))),
  }));
}

function checkTags(tags: Tags): void {
  const keys = Object.keys(tags);
  const reserved = keys.find((key) => key.toLowerCase().startsWith('aws:'));
  if (reserved !== undefined) refuse({ kind: 'tag-key-reserved', key: reserved });
  if (keys.length > TAG_COUNT_MAX) refuse({ kind: 'limit', limit: 'tags', max: TAG_COUNT_MAX });
}

export async function changePolicy(
  ports: ControlPorts,
  scope: Scope,
  id: string,
  change: (policy: LifecyclePolicy, tx: Tx) => LifecyclePolicy | Promise<LifecyclePolicy>,
): Promise<LifecyclePolicy> {
  return await ports.meta.transact(async (tx) => {
    const policy = await change(await policyIn(tx, scope, id), tx);
    await tx.documents.update(lifecyclePolicies, scope, policy);
    return policy;
  });
}

async function forgetAll<R>(tx: Tx, kind: DocumentKind<R>, scope: Scope, policy: string): Promise<void> {
  for (const one of await ofPolicy(tx, kind, scope, policy)) await tx.documents.remove(kind, scope, kind.idOf(one));
}

/** Its snapshots and copies stay, and nobody removes them any more. Refuses: not-found. */
export async function deletePolicy(ports: ControlPorts, scope: Scope, id: string): Promise<void> {
  await ports.meta.transact(async (tx) => {
    await policyIn(tx, scope, id);
    await tx.documents.remove(lifecyclePolicies, scope, id);
    await forgetAll(tx, managedSnapshots, scope, id);
    await forgetAll(tx, managedCopies, scope, id);
    await forgetAll(tx, seenShares, scope, id);
  });
}
