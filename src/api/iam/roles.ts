import type { Handlers } from '#api/handler.ts';
import { findIdentity, requireIdentity, ROLE } from '#control/identity/identities.ts';
import { inAccount, USES } from '#control/identity/records.ts';
import { createRole, deleteRole, updateRole, updateTrust } from '#control/identity/roles.ts';
import { identityHandler } from './errors.ts';
import { operationsOf } from './identities.ts';
import { madeBy } from './made-by.ts';
import { parseTags, roleListView, roleView } from './views.ts';

const SESSION_SECONDS_DEFAULT = 3600;

const role = operationsOf(ROLE, ({ RoleName: name }: { readonly RoleName: string }) => name);

export const roleHandlers: Handlers<'iam'> = {
  CreateRole: identityHandler(async (context, input) => {
    const { account } = context.scope;
    const made = await createRole(context.ports, account, {
      name: input.RoleName,
      path: input.Path ?? '/',
      trust: input.AssumeRolePolicyDocument,
      description: input.Description ?? null,
      sessionSecondsMax: input.MaxSessionDuration ?? SESSION_SECONDS_DEFAULT,
      boundary: input.PermissionsBoundary ?? null,
      tags: parseTags(input.Tags),
      madeBy: madeBy(context, input),
    });
    const { RoleLastUsed: _none, ...view } = roleView(account, made, null);
    return { Role: view };
  }),

  GetRole: identityHandler(async ({ ports, scope }, input) => {
    const { account } = scope;
    return await ports.meta.read(async (tx) => {
      const found = await requireIdentity(tx, ROLE, account, input.RoleName);
      const use = await tx.documents.find(USES, inAccount(account), found.id);
      return { Role: roleView(account, found, use) };
    });
  }),

  ListRoles: identityHandler(async (context, input) => {
    const { items, more } = await role.list(context, input);
    return { Roles: items.map((one) => roleListView(context.scope.account, one)), ...more };
  }),

  DeleteRole: identityHandler(async ({ ports, scope }, input) => {
    await deleteRole(ports, scope.account, input.RoleName);
    return {};
  }),

  UpdateAssumeRolePolicy: identityHandler(async ({ ports, scope }, input) => {
    await updateTrust(ports, scope.account, { name: input.RoleName, trust: input.PolicyDocument });
    return {};
  }),

  UpdateRole: identityHandler(async ({ ports, scope }, input) => {
    await updateRole(ports, scope.account, {
      name: input.RoleName,
      description: input.Description ?? null,
      sessionSecondsMax: input.MaxSessionDuration ?? null,
    });
    return {};
  }),

  UpdateRoleDescription: identityHandler(async ({ ports, scope }, { RoleName: name, Description: description }) => {
    const changed = await updateRole(ports, scope.account, { name, description, sessionSecondsMax: null });
    return { Role: roleListView(scope.account, changed) };
  }),

  AttachRolePolicy: role.attachPolicy,
  DetachRolePolicy: role.detachPolicy,
  ListAttachedRolePolicies: role.listAttached,
  PutRolePolicy: role.putPolicy,
  DeleteRolePolicy: role.deletePolicy,
  ListRolePolicies: role.listPolicies,
  TagRole: role.tag,
  UntagRole: role.untag,
  ListRoleTags: role.listTags,
  PutRolePermissionsBoundary: role.putBoundary,
  DeleteRolePermissionsBoundary: role.deleteBoundary,

  GetRolePolicy: async (context, input) => {
    const { owner, ...policy } = await role.getPolicy(context, input);
    return { RoleName: owner, ...policy };
  },

  /** Instances here carry no roles. */
  ListInstanceProfilesForRole: identityHandler(async ({ ports, scope }, input) => {
    await findIdentity(ports, ROLE, scope.account, input.RoleName);
    return { InstanceProfiles: [], IsTruncated: false };
  }),
};
