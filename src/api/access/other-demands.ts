import type { Fact, Ref } from '#control/identity/facts.ts';
import {
  type Asked,
  demandsOn,
  type Key,
  type Plan,
  plainPlan,
  requestTagKeys,
  tagKeys,
  tagsOf,
  tagsOfMap,
  type TagText,
  textOf,
  textsOf,
  untagKeys,
} from './demand.ts';

/** EBS direct: every operation on the snapshots that it names or makes. */
export function ebsPlan({ scope, operation, input }: Asked): Plan {
  const action = `ebs:${operation}`;
  const arnOf = (id: string): string => `arn:aws:ec2:${scope.region}::snapshot/${id}`;
  if (operation === 'StartSnapshot') {
    const parent = textOf(input['ParentSnapshotId']);
    const size = input['VolumeSize'];
    const description = textOf(input['Description']);
    const keys: Key[] = [...requestTagKeys(tagsOf(input['Tags']))];
    if (parent !== null) keys.push(['ebs:parentsnapshot', [arnOf(parent)]]);
    if (typeof size === 'number') keys.push(['ebs:volumesize', [String(size)]]);
    if (description !== null) keys.push(['ebs:description', [description]]);
    const made = { arn: arnOf('*'), keys };
    return plainPlan(demandsOn(action, [made, ...(parent === null ? [] : [{ arn: arnOf(parent), keys: [] }])]));
  }
  const ids = ['SnapshotId', 'FirstSnapshotId', 'SecondSnapshotId'].flatMap((member) => textsOf(input[member]));
  const refs: readonly Ref[] = ids.map((id) => ({ kind: 'snapshot', id }));
  return {
    refs,
    demands: (facts) =>
      demandsOn(
        action,
        ids.map((id, index) => ({ arn: arnOf(id), keys: ebsKeys(facts[index]) })),
      ),
  };
}

function ebsKeys(fact: Fact | undefined): readonly Key[] {
  if (fact?.kind !== 'snapshot') return [];
  const { tags, volumeSizeGib, description } = fact.snapshot;
  const list = Object.entries(tags).map(([key, value]) => ({ key, value }));
  return [
    ...tagKeys('aws:resourcetag', list),
    ['ebs:volumesize', [String(volumeSizeGib)]],
    ['ebs:description', [description]],
  ];
}

/** The recycle bin's rules. */
export function rbinPlan({ scope, operation, input }: Asked): Plan {
  const tags = operation.startsWith('Untag') ? [] : tagsOf(input['Tags']);
  const id = textOf(input['Identifier']) ?? idOfArn(input['ResourceArn']);
  const type = textOf(input['ResourceType']);
  const prefix = `arn:aws:rbin:${scope.region}:${scope.account}:rule/`;
  return ruledPlan({
    action: `rbin:${operation}`,
    prefix,
    id,
    making: operation === 'CreateRule' ? { on: `${prefix}*`, tagging: 'rbin:TagResource' } : null,
    more: type === null ? [] : [['rbin:request/resourcetype', [type]]],
    tags,
    untagged: textsOf(input['TagKeys']),
    ref: id === null ? null : { kind: 'retention-rule', id },
  });
}

/** Lifecycle policies. */
export function dlmPlan({ scope, operation, input }: Asked): Plan {
  const id = textOf(input['PolicyId']) ?? idOfArn(input['ResourceArn']);
  const role = textOf(input['ExecutionRoleArn']);
  const plan = ruledPlan({
    action: `dlm:${operation}`,
    prefix: `arn:aws:dlm:${scope.region}:${scope.account}:policy/`,
    id,
    making: operation === 'CreateLifecyclePolicy' ? { on: '*', tagging: 'dlm:TagResource' } : null,
    more: [],
    tags: operation === 'UntagResource' ? [] : tagsOfMap(input['Tags']),
    untagged: textsOf(input['TagKeys']),
    ref: id === null ? null : { kind: 'lifecycle-policy', id },
  });
  if (role === null) return plan;
  // Who gives a role to a service could do with it whatever the role may.
  const passed: Key = ['iam:passedtoservice', ['dlm.amazonaws.com']];
  const passing = demandsOn('iam:PassRole', [{ arn: role, keys: [passed] }]);
  return { refs: plan.refs, demands: (facts) => [...plan.demands(facts), ...passing] };
}

interface Ruled {
  readonly action: string;
  readonly prefix: string;
  readonly id: string | null;
  /** On what creation is decided, and what the tags of what is made need; null: nothing is made. */
  readonly making: { readonly on: string; readonly tagging: string } | null;
  /** Condition keys of the request. */
  readonly more: readonly Key[];
  readonly tags: readonly TagText[];
  readonly untagged: readonly string[];
  readonly ref: Ref | null;
}

function ruledPlan({ action, prefix, id, making, more, tags, untagged, ref }: Ruled): Plan {
  const keys = [...requestTagKeys(tags), ...untagKeys(untagged), ...more];
  if (making !== null) {
    const tagged = tags.length === 0 ? [] : demandsOn(making.tagging, [{ arn: `${prefix}*`, keys }]);
    return plainPlan([...demandsOn(action, [{ arn: making.on, keys }]), ...tagged]);
  }
  if (id === null) return plainPlan(demandsOn(action, [], keys));
  return {
    refs: ref === null ? [] : [ref],
    demands: ([fact]) => {
      const known = fact === undefined ? [] : ruleKeys(fact);
      return demandsOn(action, [{ arn: `${prefix}${id}`, keys: known }], keys);
    },
  };
}

function ruleKeys(fact: Fact): readonly Key[] {
  if (fact.kind === 'tagged') return tagKeys('aws:resourcetag', fact.tags);
  if (fact.kind !== 'retention-rule') return [];
  return [...tagKeys('aws:resourcetag', fact.tags), ['rbin:attribute/resourcetype', [fact.type]]];
}

function idOfArn(value: unknown): string | null {
  const arn = textOf(value);
  return arn === null ? null : (arn.split('/').at(-1) ?? null);
}

/** Users, roles and policies. A name that means nothing has the ARN that it would have at the path `/`. */
export function iamPlan({ scope, operation, input }: Asked, caller: { readonly userName: string | null }): Plan {
  const action = `iam:${operation}`;
  const { account } = scope;
  const tags = tagsOf(input['Tags']);
  const keys: Key[] = [...requestTagKeys(tags), ...untagKeys(textsOf(input['TagKeys']))];
  const policyArn = textOf(input['PolicyArn']);
  const boundary = textOf(input['PermissionsBoundary']);
  if (boundary !== null) keys.push(['iam:permissionsboundary', [boundary]]);
  const path = textOf(input['Path']) ?? '/';
  const made = (type: string, name: unknown, tagging: string): Plan => {
    const seen = { arn: `arn:aws:iam::${account}:${type}${path}${textOf(name) ?? ''}`, keys };
    return plainPlan([...demandsOn(action, [seen]), ...(tags.length === 0 ? [] : demandsOn(tagging, [seen]))]);
  };
  if (operation === 'CreateUser') return made('user', input['UserName'], 'iam:TagUser');
  if (operation === 'CreateRole') return made('role', input['RoleName'], 'iam:TagRole');
  if (operation === 'CreatePolicy') return made('policy', input['PolicyName'], 'iam:TagPolicy');

  const role = textOf(input['RoleName']);
  // Without a name, operations on a user's own keys and data mean the caller.
  const user = textOf(input['UserName']) ?? (OWN_USER.has(operation) ? caller.userName : null);
  if (user !== null || role !== null) {
    // What is attached or detached is a condition of the user's or role's action, not a resource of its own.
    if (policyArn !== null) keys.push(['iam:policyarn', [policyArn]]);
    const ref: Ref = user === null ? { kind: 'role', name: role ?? '' } : { kind: 'user', name: user };
    const type = ref.kind === 'user' ? 'user' : 'role';
    return {
      refs: [ref],
      demands: ([fact]) => {
        const seen =
          fact?.kind === 'identity'
            ? { arn: fact.arn, keys: [...tagKeys('aws:resourcetag', fact.tags), ...boundaryKeys(fact, boundary)] }
            : { arn: `arn:aws:iam::${account}:${type}/${user ?? role ?? ''}`, keys: [] };
        return demandsOn(action, [seen], keys);
      },
    };
  }
  const arn = policyArn ?? textOf(input['PolicySourceArn']);
  if (arn === null) return plainPlan(demandsOn(action, [], keys));
  return {
    refs: [{ kind: 'managed-policy', arn }],
    demands: ([fact]) => {
      const known = fact?.kind === 'tagged' ? tagKeys('aws:resourcetag', fact.tags) : [];
      return demandsOn(action, [{ arn, keys: known }], keys);
    },
  };
}

/** Whoever may manage those within a boundary only: theirs, unless the request gives another. */
function boundaryKeys(fact: Extract<Fact, { kind: 'identity' }>, given: string | null): readonly Key[] {
  return given !== null || fact.boundary === null ? [] : [['iam:permissionsboundary', [fact.boundary]]];
}

const OWN_USER: ReadonlySet<string> = new Set([
  'GetUser',
  'CreateAccessKey',
  'DeleteAccessKey',
  'ListAccessKeys',
  'UpdateAccessKey',
]);

/** Tokens and sessions. Who one is, and a token for oneself, nobody needs leave for. */
export function stsPlan({ operation, input }: Asked): Plan {
  if (operation === 'GetCallerIdentity' || operation === 'GetSessionToken') return plainPlan([]);
  const action = `sts:${operation}`;
  const arn = textOf(input['RoleArn']);
  if (operation !== 'AssumeRole' || arn === null) return plainPlan(demandsOn(action, []));
  const tags = tagsOf(input['Tags']);
  const externalId = textOf(input['ExternalId']);
  const sourceIdentity = textOf(input['SourceIdentity']);
  const keys: Key[] = [
    ...requestTagKeys(tags),
    ['sts:rolesessionname', textsOf(input['RoleSessionName'])],
    ...(externalId === null ? [] : [['sts:externalid', [externalId]] as const]),
    ...(sourceIdentity === null ? [] : [['sts:sourceidentity', [sourceIdentity]] as const]),
  ];
  const actions = [
    action,
    ...(tags.length === 0 ? [] : ['sts:TagSession']),
    ...(sourceIdentity === null ? [] : ['sts:SetSourceIdentity']),
  ];
  return {
    refs: [{ kind: 'role-arn', arn }],
    demands: ([fact]) => {
      const role = fact?.kind === 'trusting-role' ? fact : null;
      // A role that is not there trusts nobody.
      const guard =
        role === null ? { account: '', policy: { statements: [] } } : { account: role.account, policy: role.trust };
      const all = [...keys, ...tagKeys('aws:resourcetag', role?.tags ?? [])];
      return actions.map((each) => ({ action: each, resource: arn, keys: all, guard }));
    },
  };
}
