import type { Handlers } from '#api/handler.ts';
import { AWS_MANAGED } from '#control/identity/aws-managed.ts';
import { allOf } from '#control/identity/documents.ts';
import {
  createPolicy,
  createPolicyVersion,
  deletePolicy,
  deletePolicyVersion,
  type Managed,
  requireManaged,
  setDefaultVersion,
  tagPolicy,
  untagPolicy,
  usesOf,
  versionOf,
} from '#control/identity/managed.ts';
import { type IdentityRecord, POLICIES, ROLES, USERS } from '#control/identity/records.ts';
import type { InputOf } from '#wire/aws/operations.ts';
import { identityHandler } from './errors.ts';
import { madeBy } from './made-by.ts';
import { pageOf } from './paging.ts';
import { ownManaged, parseTags, policyListView, policyView, tagViews, versionView } from './views.ts';

export const policyHandlers: Handlers<'iam'> = {
  CreatePolicy: identityHandler(async (context, input) => {
    const { ports, scope } = context;
    const managed = await createPolicy(ports, scope.account, {
      name: input.PolicyName,
      path: input.Path ?? '/',
      document: input.PolicyDocument,
      description: input.Description ?? null,
      tags: parseTags(input.Tags),
      madeBy: madeBy(context, input),
    });
    return { Policy: policyView(managed, undefined) };
  }),

  GetPolicy: identityHandler(async ({ ports, scope }, { PolicyArn: arn }) => {
    return await ports.meta.read(async (tx) => {
      const managed = await requireManaged(tx, scope.account, arn);
      return { Policy: policyView(managed, (await usesOf(tx, scope.account)).get(arn)) };
    });
  }),

  ListPolicies: identityHandler(async ({ ports, scope }, input) => {
    const { account } = scope;
    return await ports.meta.read(async (tx) => {
      const own = (await allOf(tx, POLICIES, account)).map((record) => ownManaged(account, record));
      const aws = [...AWS_MANAGED].map(([arn, record]): Managed => ({ arn, record }));
      const uses = await usesOf(tx, account);
      const wanted = chosen(own, aws, input).filter(({ arn, record }) => {
        const used = uses.get(arn);
        const count = input.PolicyUsageFilter === 'PermissionsBoundary' ? used?.boundaries : used?.attachments;
        return record.path.startsWith(input.PathPrefix ?? '/') && (input.OnlyAttached !== true || (count ?? 0) > 0);
      });
      const { items, more } = pageOf(wanted, ({ arn, record }) => `${record.name} ${arn}`, input);
      return { Policies: items.map((managed) => policyListView(managed, uses.get(managed.arn))), ...more };
    });
  }),

  DeletePolicy: identityHandler(async ({ ports, scope }, input) => {
    await deletePolicy(ports, scope.account, input.PolicyArn);
    return {};
  }),

  CreatePolicyVersion: identityHandler(async (context, input) => {
    const { version, isDefault } = await createPolicyVersion(context.ports, context.scope.account, {
      arn: input.PolicyArn,
      document: input.PolicyDocument,
      setDefault: input.SetAsDefault ?? false,
      madeBy: madeBy(context, input),
    });
    return { PolicyVersion: versionView(version, isDefault, false) };
  }),

  GetPolicyVersion: identityHandler(async ({ ports, scope }, input) => {
    const { record } = await ports.meta.read((tx) => requireManaged(tx, scope.account, input.PolicyArn));
    const version = versionOf(record, input.VersionId);
    return { PolicyVersion: versionView(version, version.number === record.defaultVersion, true) };
  }),

  ListPolicyVersions: identityHandler(async ({ ports, scope }, input) => {
    const { record } = await ports.meta.read((tx) => requireManaged(tx, scope.account, input.PolicyArn));
    // The newest first, as AWS lists them.
    const { items, more } = pageOf(record.versions, ({ number }) => String(1e6 - number), input);
    const isDefault = (number: number): boolean => number === record.defaultVersion;
    return { Versions: items.map((version) => versionView(version, isDefault(version.number), false)), ...more };
  }),

  SetDefaultPolicyVersion: identityHandler(async ({ ports, scope }, input) => {
    await setDefaultVersion(ports, scope.account, { arn: input.PolicyArn, versionId: input.VersionId });
    return {};
  }),

  TagPolicy: identityHandler(async ({ ports, scope }, input) => {
    await tagPolicy(ports, scope.account, { arn: input.PolicyArn, tags: parseTags(input.Tags) });
    return {};
  }),

  UntagPolicy: identityHandler(async ({ ports, scope }, input) => {
    await untagPolicy(ports, scope.account, { arn: input.PolicyArn, keys: input.TagKeys });
    return {};
  }),

  ListPolicyTags: identityHandler(async ({ ports, scope }, input) => {
    const { record } = await ports.meta.read((tx) => requireManaged(tx, scope.account, input.PolicyArn));
    const { items, more } = pageOf(record.tags, ({ key }) => key, input);
    return { Tags: tagViews(items), ...more };
  }),

  /** Users before roles, each by name; there are no groups here. */
  ListEntitiesForPolicy: identityHandler(async ({ ports, scope }, input) => {
    const { PolicyArn: arn, EntityFilter: filter, PolicyUsageFilter: usage } = input;
    const isNamed = (record: IdentityRecord): boolean => {
      const isUsed =
        (usage !== 'PermissionsBoundary' && record.attached.includes(arn)) ||
        (usage !== 'PermissionsPolicy' && record.boundary === arn);
      return isUsed && record.path.startsWith(input.PathPrefix ?? '/');
    };
    const entities = await ports.meta.read(async (tx) => {
      await requireManaged(tx, scope.account, arn);
      const wanted = (kind: 'User' | 'Role'): boolean => filter === undefined || filter === kind;
      const users = wanted('User') ? await allOf(tx, USERS, scope.account) : [];
      const roles = wanted('Role') ? await allOf(tx, ROLES, scope.account) : [];
      return [
        ...users.filter(isNamed).map(({ name, id }) => ({ kind: 'user' as const, name, id })),
        ...roles.filter(isNamed).map(({ name, id }) => ({ kind: 'role' as const, name, id })),
      ];
    });
    const { items, more } = pageOf(entities, ({ kind, name }) => `${kind === 'user' ? 0 : 1} ${name}`, input);
    return {
      PolicyGroups: [],
      PolicyUsers: items.flatMap(({ kind, name, id }) => (kind === 'user' ? { UserName: name, UserId: id } : [])),
      PolicyRoles: items.flatMap(({ kind, name, id }) => (kind === 'role' ? { RoleName: name, RoleId: id } : [])),
      ...more,
    };
  }),

  DeletePolicyVersion: identityHandler(async ({ ports, scope }, input) => {
    await deletePolicyVersion(ports, scope.account, { arn: input.PolicyArn, versionId: input.VersionId });
    return {};
  }),
};

function chosen(
  own: readonly Managed[],
  aws: readonly Managed[],
  { Scope: scope = 'All' }: InputOf<'iam', 'ListPolicies'>,
): readonly Managed[] {
  if (scope === 'Local') return own;
  return scope === 'AWS' ? aws : [...own, ...aws];
}
