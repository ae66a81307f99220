import { AwsRefusal } from '#api/aws-error.ts';
import type { CallContext, Handlers } from '#api/handler.ts';
import * as control from '#control/retention-rules.ts';
import { lockStateOf, type RetentionRule, type TagMatch } from '#domain/retention-rule.ts';
import type { LockConfiguration, ResourceTag, RetentionPeriod, RuleSummary, Tag } from '#wire/aws/models/rbin.ts';
import { invalidParameter, ruleNotFound } from './errors.ts';

/** The most, and the default: their reference gives no other. */
const PAGE_SIZE_MAX = 1000;

export const ruleHandlers: Handlers<'rbin'> = {
  CreateRule: async (context, request) => {
    const { ports, scope } = context;
    const rule = await control.createRule(ports, scope, {
      type: request.ResourceType,
      description: request.Description ?? null,
      days: request.RetentionPeriod.RetentionPeriodValue,
      tagged: matchesOf(request.ResourceTags),
      excluded: matchesOf(request.ExcludeResourceTags),
      unlockDelayDays: request.LockConfiguration?.UnlockDelay.UnlockDelayValue ?? null,
      tags: tagsOf(request.Tags),
    });
    return { ...ruleView(context, rule), Tags: tagViews(rule) };
  },

  GetRule: async (context, request) => {
    const rule = await control.findRule(context.ports, context.scope, request.Identifier);
    return { ...ruleView(context, rule), ...lockEnd(context, rule) };
  },

  ListRules: async (context, request) => {
    const { rules, next } = await control.listRules(context.ports, context.scope, {
      type: request.ResourceType,
      tagged: matchesOf(request.ResourceTags),
      excluded: matchesOf(request.ExcludeResourceTags),
      lockState: request.LockState ?? null,
      after: request.NextToken ?? null,
      countMax: request.MaxResults ?? PAGE_SIZE_MAX,
    });
    return { Rules: rules.map((rule) => summaryView(context, rule)), ...(next !== null && { NextToken: next }) };
  },

  UpdateRule: async (context, request) => {
    const { ports, scope } = context;
    const { Identifier: id } = request;
    if (request.ResourceType !== undefined) {
      const { type } = await control.findRule(ports, scope, id);
      if (type !== request.ResourceType) throw invalidParameter('The resource type of a rule cannot be changed.');
    }
    const rule = await control.updateRule(ports, scope, id, {
      description: request.Description ?? null,
      days: request.RetentionPeriod?.RetentionPeriodValue ?? null,
      tagged: request.ResourceTags === undefined ? null : matchesOf(request.ResourceTags),
      excluded: request.ExcludeResourceTags === undefined ? null : matchesOf(request.ExcludeResourceTags),
    });
    const { LockConfiguration: _, ...view } = ruleView(context, rule);
    return { ...view, ...lockEnd(context, rule) };
  },

  DeleteRule: async ({ ports, scope }, request) => {
    await control.deleteRule(ports, scope, request.Identifier);
    return {};
  },

  LockRule: async (context, request) => {
    const delay = request.LockConfiguration.UnlockDelay.UnlockDelayValue;
    return ruleView(context, await control.lockRule(context.ports, context.scope, request.Identifier, delay));
  },

  UnlockRule: async (context, request) => {
    const rule = await control.unlockRule(context.ports, context.scope, request.Identifier);
    return { ...ruleView(context, rule), ...lockEnd(context, rule) };
  },

  TagResource: async (context, request) => {
    await control.tagRule(context.ports, context.scope, idOf(context, request.ResourceArn), tagsOf(request.Tags));
    return {};
  },

  UntagResource: async (context, request) => {
    await control.untagRule(context.ports, context.scope, idOf(context, request.ResourceArn), request.TagKeys);
    return {};
  },

  ListTagsForResource: async (context, request) => {
    const rule = await control.findRule(context.ports, context.scope, idOf(context, request.ResourceArn));
    return { Tags: tagViews(rule) };
  },
};

interface RuleView extends Required<Omit<RuleSummary, 'LockState' | 'Description'>> {
  readonly Description?: string;
  readonly LockState?: RuleSummary['LockState'];
  readonly ResourceType: RetentionRule['type'];
  readonly ResourceTags: readonly ResourceTag[];
  readonly ExcludeResourceTags: readonly ResourceTag[];
  readonly Status: 'available';
  readonly LockConfiguration?: LockConfiguration;
}

/** A rule works from the moment that it is written, so its status is always `available`. */
function ruleView(context: CallContext, rule: RetentionRule): RuleView {
  const { Identifier, RetentionPeriod: period, RuleArn, ...rest } = summaryView(context, rule);
  return {
    Identifier,
    RetentionPeriod: period,
    RuleArn,
    ...rest,
    ResourceType: rule.type,
    ResourceTags: rule.tagged.map(matchView),
    ExcludeResourceTags: rule.excluded.map(matchView),
    Status: 'available',
    ...(rule.lock !== null && {
      LockConfiguration: { UnlockDelay: { UnlockDelayValue: rule.lock.unlockDelayDays, UnlockDelayUnit: 'DAYS' } },
    }),
  };
}

function summaryView(
  context: CallContext,
  rule: RetentionRule,
): Pick<RuleView, 'Identifier' | 'RetentionPeriod' | 'RuleArn' | 'Description' | 'LockState'> {
  const state = lockStateOf(rule, context.ports.time.earliestMs());
  const period: RetentionPeriod = { RetentionPeriodValue: rule.days, RetentionPeriodUnit: 'DAYS' };
  return {
    Identifier: rule.id,
    RetentionPeriod: period,
    RuleArn: arnPrefix(context) + rule.id,
    ...(rule.description !== null && { Description: rule.description }),
    ...(state !== null && { LockState: state }),
  };
}

function lockEnd({ ports }: CallContext, rule: RetentionRule): { readonly LockEndTime?: Date } {
  const isPending = lockStateOf(rule, ports.time.earliestMs()) === 'pending_unlock';
  const endsAtMs = rule.lock?.endsAtMs ?? null;
  return isPending && endsAtMs !== null ? { LockEndTime: new Date(endsAtMs) } : {};
}

function arnPrefix({ scope }: CallContext): string {
  return `arn:aws:rbin:${scope.region}:${scope.account}:rule/`;
}

/** The id in an ARN of this account and region; another's names nothing here. */
function idOf(context: CallContext, arn: string): string {
  const prefix = arnPrefix(context);
  if (!arn.startsWith(prefix)) throw new AwsRefusal(ruleNotFound(arn));
  return arn.slice(prefix.length);
}

function matchesOf(tags: readonly ResourceTag[] | undefined): readonly TagMatch[] {
  return (tags ?? []).map(({ ResourceTagKey: key, ResourceTagValue: value }) => ({ key, value: value ?? null }));
}

function matchView({ key, value }: TagMatch): ResourceTag {
  return { ResourceTagKey: key, ...(value !== null && { ResourceTagValue: value }) };
}

function tagsOf(tags: readonly Tag[] | undefined): readonly { readonly key: string; readonly value: string }[] {
  return (tags ?? []).map(({ Key: key, Value: value }) => ({ key, value }));
}

function tagViews({ tags }: RetentionRule): readonly Tag[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}
