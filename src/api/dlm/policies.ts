import { AwsRefusal } from '#api/aws-error.ts';
import type { CallContext, Handlers } from '#api/handler.ts';
import * as control from '#control/lifecycle/policies.ts';
import { type LifecyclePolicy, type PolicyDetails, schedulesOf } from '#domain/lifecycle/policy.ts';
import type { Tag } from '#domain/tags.ts';
import type { LifecyclePolicySummary } from '#wire/aws/models/dlm.ts';
import type { InputOf } from '#wire/aws/operations.ts';
import { detailsOf, detailsView } from './details.ts';
import { invalid, policyNotFound } from './errors.ts';

type CreateRequest = InputOf<'dlm', 'CreateLifecyclePolicy'>;
type UpdateRequest = InputOf<'dlm', 'UpdateLifecyclePolicy'>;
type ListRequest = InputOf<'dlm', 'GetLifecyclePolicies'>;
type DefaultMembers = Pick<
  UpdateRequest,
  'CreateInterval' | 'RetainInterval' | 'CopyTags' | 'ExtendDeletion' | 'CrossRegionCopyTargets' | 'Exclusions'
>;

export const policyHandlers: Handlers<'dlm'> = {
  CreateLifecyclePolicy: async ({ ports, scope }, request) => {
    const policy = await control.createPolicy(ports, scope, {
      description: request.Description,
      state: request.State,
      roleArn: request.ExecutionRoleArn,
      details: newDetails(request),
      tags: request.Tags ?? {},
    });
    return { PolicyId: policy.id };
  },

  GetLifecyclePolicy: async (context, request) => {
    const policy = await control.findPolicy(context.ports, context.scope, request.PolicyId);
    return {
      Policy: {
        ...summaryOf(policy),
        StatusMessage: policy.trouble ?? policy.followUpTrouble ?? policy.state,
        ExecutionRoleArn: policy.roleArn,
        DateCreated: new Date(policy.createdAtMs),
        DateModified: new Date(policy.modifiedAtMs),
        PolicyDetails: detailsView(policy.details),
        PolicyArn: arnPrefix(context) + policy.id,
      },
    };
  },

  GetLifecyclePolicies: async ({ ports, scope }, request) => {
    const policies = await control.listPolicies(ports, scope);
    for (const id of request.PolicyIds ?? []) {
      if (!policies.some((policy) => policy.id === id)) throw new AwsRefusal(policyNotFound(id));
    }
    return {
      Policies: policies.filter((policy) => isWanted(policy, request)).map(listedOf),
    };
  },

  UpdateLifecyclePolicy: async ({ ports, scope }, request) => {
    await control.updatePolicy(ports, scope, request.PolicyId, {
      description: request.Description ?? null,
      state: request.State ?? null,
      roleArn: request.ExecutionRoleArn ?? null,
      details: changeOf(request),
    });
    return {};
  },

  DeleteLifecyclePolicy: async ({ ports, scope }, request) => {
    await control.deletePolicy(ports, scope, request.PolicyId);
    return {};
  },

  TagResource: async (context, request) => {
    await control.tagPolicy(context.ports, context.scope, idOf(context, request.ResourceArn), request.Tags);
    return {};
  },

  UntagResource: async (context, request) => {
    await control.untagPolicy(context.ports, context.scope, idOf(context, request.ResourceArn), request.TagKeys);
    return {};
  },

  ListTagsForResource: async (context, request) => {
    const policy = await control.findPolicy(context.ports, context.scope, idOf(context, request.ResourceArn));
    return { Tags: policy.tags };
  },
};

function newDetails(request: CreateRequest): PolicyDetails {
  const defaults = defaultMembers(request);
  if (request.DefaultPolicy === undefined) {
    if (request.PolicyDetails === undefined) throw new AwsRefusal(invalid('The parameter PolicyDetails is missing.'));
    if (Object.keys(defaults).length > 0) {
      const names = Object.keys(defaults).join(', ');
      throw new AwsRefusal(invalid(`${names}: only a default policy has these; name one with DefaultPolicy.`));
    }
    // What the service fills in, clients read back.
    return { policyType: 'EBS_SNAPSHOT_MANAGEMENT', resourceLocations: ['CLOUD'], ...detailsOf(request.PolicyDetails) };
  }
  return {
    policyType: 'EBS_SNAPSHOT_MANAGEMENT',
    policyLanguage: 'SIMPLIFIED',
    resourceType: request.DefaultPolicy,
    ...detailsOf(request.PolicyDetails ?? {}),
    createInterval: 1,
    retainInterval: 7,
    copyTags: false,
    extendDeletion: false,
    ...defaults,
  };
}

function changeOf(request: UpdateRequest): ((details: PolicyDetails) => PolicyDetails) | null {
  const given = request.PolicyDetails === undefined ? {} : detailsOf(request.PolicyDetails);
  const change = { ...given, ...defaultMembers(request) };
  return Object.keys(change).length === 0 ? null : (details) => ({ ...details, ...change });
}

function defaultMembers(request: DefaultMembers): PolicyDetails {
  const { CreateInterval, RetainInterval, CopyTags, ExtendDeletion, CrossRegionCopyTargets, Exclusions } = request;
  return detailsOf({ CreateInterval, RetainInterval, CopyTags, ExtendDeletion, CrossRegionCopyTargets, Exclusions });
}

function summaryOf({ id, description, state, tags, details }: LifecyclePolicy): {
  readonly PolicyId: string;
  readonly Description: string;
  readonly State: LifecyclePolicy['state'];
  readonly Tags: Readonly<Record<string, string>>;
  readonly DefaultPolicy: boolean;
} {
  return {
    PolicyId: id,
    Description: description,
    State: state,
    Tags: tags,
    DefaultPolicy: details.policyLanguage === 'SIMPLIFIED',
  };
}

function listedOf(policy: LifecyclePolicy): LifecyclePolicySummary {
  return { ...summaryOf(policy), PolicyType: policy.details.policyType ?? 'EBS_SNAPSHOT_MANAGEMENT' };
}

function isWanted(policy: LifecyclePolicy, request: ListRequest): boolean {
  const { PolicyIds, State, ResourceTypes, TargetTags, TagsToAdd, DefaultPolicyType } = request;
  const { details } = policy;
  const types = details.resourceTypes ?? (details.resourceType === undefined ? [] : [details.resourceType]);
  const added = schedulesOf(policy).flatMap(({ tagsToAdd = [] }) => tagsToAdd);
  const isDefault = details.policyLanguage === 'SIMPLIFIED';
  return (
    (PolicyIds === undefined || PolicyIds.length === 0 || PolicyIds.includes(policy.id)) &&
    (State === undefined || State === policy.state) &&
    (ResourceTypes === undefined || ResourceTypes.length === 0 || types.some((type) => ResourceTypes.includes(type))) &&
    hasOneOf(details.targetTags ?? [], TargetTags) &&
    hasOneOf(added, TagsToAdd) &&
    (DefaultPolicyType === undefined ||
      (isDefault && (DefaultPolicyType === 'ALL' || DefaultPolicyType === details.resourceType)))
  );
}

/** `wanted`: `key=value`; undefined or empty: anything will do. */
function hasOneOf(tags: readonly Tag[], wanted: readonly string[] | undefined): boolean {
  if (wanted === undefined || wanted.length === 0) return true;
  return tags.some(({ key, value }) => wanted.includes(`${key}=${value}`));
}

function arnPrefix({ scope }: CallContext): string {
  return `arn:aws:dlm:${scope.region}:${scope.account}:policy/`;
}

/** The id in an ARN of this account and region; another's names nothing here. */
function idOf(context: CallContext, arn: string): string {
  const prefix = arnPrefix(context);
  if (!arn.startsWith(prefix)) throw new AwsRefusal(policyNotFound(arn));
  return arn.slice(prefix.length);
}
