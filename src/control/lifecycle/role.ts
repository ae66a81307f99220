import type { Caller } from '#control/kms/access.ts';
import { policiesOf, principalOfRole } from '#control/identity/callers.ts';
import type { RoleRecord } from '#control/identity/records.ts';
import { findRoleByArn, trustOf } from '#control/identity/roles.ts';
import { namesOf } from '#control/identity/trustees.ts';
import type { ControlPorts } from '#control/ports.ts';
import { refuse } from '#domain/errors.ts';
import type { InstanceId, SnapshotId, VolumeId } from '#domain/ids.ts';
import type { LifecyclePolicy } from '#domain/lifecycle/policy.ts';
import { decide, evaluateResource } from '#domain/policy/evaluate.ts';
import { type ContextKey, readings } from '#domain/policy/readings.ts';
import type { Scope, Tags } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';

/** As trust policies name what runs policies. */
const SERVICE = 'dlm.amazonaws.com';
/** The session of a role in which a policy is run. */
const SESSION_NAME = 'lifecycle';

/** What the role of a policy lets it do: no more than that, whoever may make policies. */
export interface Leave {
  /** Refuses: not-permitted. */
  readonly require: (action: string, on: Target, keys?: readonly ContextKey[]) => void;
  /** Whose permissions for KMS keys count. */
  readonly caller: Caller;
}

/** `id` `*`: one that is made. */
export interface Target extends Scope {
  readonly id: InstanceId | VolumeId | SnapshotId | '*';
  readonly tags: Tags;
}

/** Whose policy it is that a role is wanted for. */
type OfPolicy = Scope & Pick<LifecyclePolicy, 'id' | 'roleArn'>;

/** The id of the role that a policy is given. Refuses one that is not there, or does not trust the service: invalid-value. */
export async function requireRole(tx: ReadTx, of: OfPolicy): Promise<string> {
  const found = await findRole(tx, of);
  if (typeof found !== 'string') return found.id;
  return refuse({ kind: 'invalid-value', field: 'ExecutionRoleArn', reason: found });
}

/** A role that may be assumed for a policy; else why not. */
async function findRole(tx: ReadTx, of: OfPolicy): Promise<RoleRecord | string> {
  const { account, region, id, roleArn } = of;
  const found = await findRoleByArn(tx, roleArn);
  if (found === null || found.account !== account) {
    return `the role ${roleArn} does not exist in this account; aws dlm create-default-role makes the default one`;
  }
  const context = new Map([
    ['aws:sourceaccount', [account]],
    ['aws:sourcearn', [`arn:aws:dlm:${region}:${account}:policy/${id}`]],
    ['aws:principalisawsservice', ['true']],
    ['aws:principalservicename', [SERVICE]],
  ]);
  const principal = { account: '', isRoot: false, arns: [], service: SERVICE };
  const request = { action: 'sts:AssumeRole', resource: roleArn, principal, context };
  const isTrusting = evaluateResource(trustOf(found.role), request) === 'principal';
  return isTrusting ? found.role : `the role ${roleArn} does not trust ${SERVICE}`;
}

/**
 * What the role of a policy lets it do; a text: why it cannot be assumed. A role that is gone since it was given, or another
 * of its name, lets the policy do nothing.
 */
export async function leaveOf(ports: ControlPorts, scope: Scope, policy: LifecyclePolicy): Promise<Leave | string> {
  const { id, roleArn, roleId = null } = policy;
  const { account } = scope;
  const known = await ports.meta.read(async (tx) => {
    const role = await findRole(tx, { ...scope, id, roleArn });
    return typeof role === 'string' ? role : { role, policies: await policiesOf(tx, account, role) };
  });
  if (typeof known === 'string') return known;
  const { role, policies } = known;
  if (role.id !== roleId)
    return `the role ${roleArn} was made after the policy was given it; give it to the policy again`;
  const session = { sessionName: SESSION_NAME, tags: {}, sourceIdentity: null, transitiveTags: [], issuedAtMs: null };
  const principal = principalOfRole(account, role, session);
  const names = namesOf(principal);
  const nowMs = ports.clock.nowMs();
  const base: readonly ContextKey[] = [
    ['aws:principalarn', [roleArn]],
    ['aws:principalaccount', [account]],
    ['aws:principaltype', ['AssumedRole']],
    ['aws:currenttime', [new Date(nowMs).toISOString()]],
    ['aws:epochtime', [String(Math.floor(nowMs / 1000))]],
    ...Object.entries(principal.tags).map(
      ([key, value]) => [`aws:principaltag/${key.toLowerCase()}`, [value]] as const,
    ),
  ];
  const context = new Map(base);
  return {
    require: (action, on, keys = []) => {
      const resource = arnOf(on);
      const all: readonly ContextKey[] = [
        ['aws:requestedregion', [on.region]],
        ['ec2:region', [on.region]],
        ...Object.entries(on.tags).flatMap(([key, value]): readonly ContextKey[] => [
          [`aws:resourcetag/${key.toLowerCase()}`, [value]],
          [`ec2:resourcetag/${key.toLowerCase()}`, [value]],
        ]),
        ...keys,
      ];
      const contexts = readings(context, all);
      const may = contexts?.every(
        (one) => decide(policies, { action, resource, principal: names, context: one }, null) === 'allowed',
      );
      if (may !== true) refuse({ kind: 'not-permitted', what: `The role ${roleArn} does not allow ${action}.` });
    },
    caller: { account, arn: principal.arn, principal: names, policies, context, via: 'ec2' },
  };
}

/** Of tags that are given to what is made. */
export function requestedTags(tags: readonly (readonly [string, string])[]): readonly ContextKey[] {
  return [
    ...tags.map(([key, value]) => [`aws:requesttag/${key.toLowerCase()}`, [value]] as const),
    ['aws:tagkeys', tags.map(([key]) => key)],
  ];
}

function arnOf({ id, region, account }: Target): string {
  if (id.startsWith('i-')) return `arn:aws:ec2:${region}:${account}:instance/${id}`;
  const isVolume = id.startsWith('vol-');
  return `arn:aws:ec2:${region}:${isVolume ? account : ''}:${isVolume ? 'volume' : 'snapshot'}/${id}`;
}
