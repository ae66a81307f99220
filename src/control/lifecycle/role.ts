import { rootCaller } from '#control/kms/access.ts';
import type { Caller } from '#control/kms/access.ts';
import { policiesOf, principalOfRole } from '#control/identity/callers.ts';
import { findRoleByArn } from '#control/identity/roles.ts';
import type { ControlPorts } from '#control/ports.ts';
import { refuse } from '#domain/errors.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import type { LifecyclePolicy } from '#domain/lifecycle/policy.ts';
import { decide } from '#domain/policy/evaluate.ts';
import { type ContextKey, readings } from '#domain/policy/readings.ts';
import type { Scope, Tags } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';

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
  readonly id: VolumeId | SnapshotId | '*';
  readonly tags: Tags;
}

/** The role that a policy names now, for its record; null: there is none. */
export async function roleIdOf(tx: ReadTx, scope: Scope, roleArn: string): Promise<string | null> {
  const found = await findRoleByArn(tx, roleArn);
  return found?.account === scope.account ? found.role.id : null;
}

/**
 * Without such a role when the policy was made, or given its role, the account itself is asked, as servers without any users
 * and roles need. A role that is gone since, or another of its name, lets it do nothing.
 */
export async function leaveOf(ports: ControlPorts, scope: Scope, policy: LifecyclePolicy): Promise<Leave> {
  const { roleArn, roleId = null } = policy;
  if (roleId === null) return { require: () => undefined, caller: rootCaller(scope.account) };
  const { account } = scope;
  const known = await ports.meta.read(async (tx) => {
    const found = await findRoleByArn(tx, roleArn);
    if (found === null || found.account !== account || found.role.id !== roleId) return null;
    return { role: found.role, policies: await policiesOf(tx, account, found.role) };
  });
  const none = { identity: [], boundary: null, session: null };
  const session = { sessionName: SESSION_NAME, tags: {}, sourceIdentity: null, transitiveTags: [], issuedAtMs: null };
  const principal = known === null ? null : principalOfRole(account, known.role, session);
  const policies = known?.policies ?? none;
  const names = { account, isRoot: false, arns: [...(principal === null ? [] : [principal.arn]), roleArn] };
  const nowMs = ports.clock.nowMs();
  const base: readonly ContextKey[] = [
    ['aws:principalarn', [roleArn]],
    ['aws:principalaccount', [account]],
    ['aws:principaltype', ['AssumedRole']],
    ['aws:currenttime', [new Date(nowMs).toISOString()]],
    ['aws:epochtime', [String(Math.floor(nowMs / 1000))]],
    ...Object.entries(principal?.tags ?? {}).map(
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
    caller: { account, arn: principal?.arn ?? roleArn, principal: names, policies, context, via: 'ec2' },
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
  const isVolume = id.startsWith('vol-');
  return `arn:aws:ec2:${region}:${isVolume ? account : ''}:${isVolume ? 'volume' : 'snapshot'}/${id}`;
}
