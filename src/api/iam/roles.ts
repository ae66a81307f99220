import type { Handlers } from '#api/handler.ts';
import { allOf } from '#control/identity/documents.ts';
import {
  attachPolicy,
  deleteInlinePolicy,
  detachPolicy,
  findIdentity,
  inlinePolicyOf,
  putInlinePolicy,
  requireIdentity,
  ROLE,
  tagIdentity,
  untagIdentity,
} from '#control/identity/identities.ts';
import { inAccount, ROLES, USES } from '#control/identity/records.ts';
import { createRole, deleteRole, updateTrust } from '#control/identity/roles.ts';
import { attachedViews } from './attached.ts';
import { identityHandler } from './errors.ts';
import { madeBy } from './made-by.ts';
import { pageOf } from './paging.ts';
import { documentView, parseTags, roleListView, roleView, tagViews } from './views.ts';

const SESSION_SECONDS_DEFAULT = 3600;

export const roleHandlers: Handlers<'iam'> = {
  CreateRole: identityHandler(async (context, input) => {
    const { account } = context.scope;
    const role = await createRole(context.ports, account, {
      name: input.RoleName,
      path: input.Path ?? '/',
      trust: input.AssumeRolePolicyDocument,
      description: input.Description ?? null,
      sessionSecondsMax: input.MaxSessionDuration ?? SESSION_SECONDS_DEFAULT,
      boundary: input.PermissionsBoundary ?? null,
      tags: parseTags(input.Tags),
      madeBy: madeBy(context, input),
    });
    const { RoleLastUsed: _none, ...view } = roleView(account, role, null);
    return { Role: view };
  }),

  GetRole: identityHandler(async ({ ports, scope }, input) => {
    const { account } = scope;
    return await ports.meta.read(async (tx) => {
      const role = await requireIdentity(tx, ROLE, account, input.RoleName);
      const use = await tx.documents.find(USES, inAccount(account), role.id);
      return { Role: roleView(account, role, use) };
    });
  }),

  ListRoles: identityHandler(async ({ ports, scope }, input) => {
    const all = await ports.meta.read((tx) => allOf(tx, ROLES, scope.account));
    const under = all.filter(({ path }) => path.startsWith(input.PathPrefix ?? '/'));
    const { items, more } = pageOf(under, ({ name }) => name, input);
    return { Roles: items.map((role) => roleListView(scope.account, role)), ...more };
  }),

  DeleteRole: identityHandler(async ({ ports, scope }, input) => {
    await deleteRole(ports, scope.account, input.RoleName);
    return {};
  }),

  UpdateAssumeRolePolicy: identityHandler(async ({ ports, scope }, input) => {
    await updateTrust(ports, scope.account, { name: input.RoleName, trust: input.PolicyDocument });
    return {};
  }),

  AttachRolePolicy: identityHandler(async ({ ports, scope }, input) => {
    await attachPolicy(ports, ROLE, scope.account, { name: input.RoleName, policyArn: input.PolicyArn });
    return {};
  }),

  DetachRolePolicy: identityHandler(async ({ ports, scope }, input) => {
    await detachPolicy(ports, ROLE, scope.account, { name: input.RoleName, policyArn: input.PolicyArn });
    return {};
  }),

  ListAttachedRolePolicies: identityHandler(async ({ ports, scope }, input) => {
    const role = await findIdentity(ports, ROLE, scope.account, input.RoleName);
    return attachedViews(role, input);
  }),

  PutRolePolicy: identityHandler(async ({ ports, scope }, input) => {
    const { RoleName: owner, PolicyName: name, PolicyDocument: document } = input;
    await putInlinePolicy(ports, ROLE, scope.account, { owner, name, document });
    return {};
  }),

  GetRolePolicy: identityHandler(async ({ ports, scope }, input) => {
    const role = await findIdentity(ports, ROLE, scope.account, input.RoleName);
    const { name, document } = inlinePolicyOf(role, input.PolicyName);
    return { RoleName: role.name, PolicyName: name, PolicyDocument: documentView(document) };
  }),

  DeleteRolePolicy: identityHandler(async ({ ports, scope }, input) => {
    await deleteInlinePolicy(ports, ROLE, scope.account, { owner: input.RoleName, name: input.PolicyName });
    return {};
  }),

  ListRolePolicies: identityHandler(async ({ ports, scope }, input) => {
    const role = await findIdentity(ports, ROLE, scope.account, input.RoleName);
    const { items, more } = pageOf(role.inline, ({ name }) => name, input);
    return { PolicyNames: items.map(({ name }) => name), ...more };
  }),

  TagRole: identityHandler(async ({ ports, scope }, input) => {
    await tagIdentity(ports, ROLE, scope.account, { name: input.RoleName, tags: parseTags(input.Tags) });
    return {};
  }),

  UntagRole: identityHandler(async ({ ports, scope }, input) => {
    await untagIdentity(ports, ROLE, scope.account, { name: input.RoleName, keys: input.TagKeys });
    return {};
  }),

  ListRoleTags: identityHandler(async ({ ports, scope }, input) => {
    const role = await findIdentity(ports, ROLE, scope.account, input.RoleName);
    const { items, more } = pageOf(role.tags, ({ key }) => key, input);
    return { Tags: tagViews(items), ...more };
  }),

  /** Instances here carry no roles. */
  ListInstanceProfilesForRole: identityHandler(async ({ ports, scope }, input) => {
    await findIdentity(ports, ROLE, scope.account, input.RoleName);
    return { InstanceProfiles: [], IsTruncated: false };
  }),
};
