import type { CallContext, Handlers } from '#api/handler.ts';
import { findIdentity, USER } from '#control/identity/identities.ts';
import { createUser, deleteUser, updateUser } from '#control/identity/users.ts';
import {
  createUserKey,
  deleteUserKey,
  lastUseOf,
  listUserKeys,
  setUserKeyActive,
} from '#control/identity/user-keys.ts';
import { identityHandler, validationError } from './errors.ts';
import { operationsOf } from './identities.ts';
import { madeBy } from './made-by.ts';
import { pageOf } from './paging.ts';
import { parseTags, userListView, userView } from './views.ts';

const user = operationsOf(USER, ({ UserName: name }: { readonly UserName: string }) => name);

export const userHandlers: Handlers<'iam'> = {
  CreateUser: identityHandler(async (context, input) => {
    const { account } = context.scope;
    const made = await createUser(context.ports, account, {
      name: input.UserName,
      path: input.Path ?? '/',
      boundary: input.PermissionsBoundary ?? null,
      tags: parseTags(input.Tags),
      madeBy: madeBy(context, input),
    });
    return { User: userView(account, made) };
  }),

  /** Without a name: who calls. The root has an answer, too. */
  GetUser: identityHandler(async ({ ports, scope, principal }, { UserName: name }) => {
    const { account } = scope;
    if (name === undefined && principal.kind === 'root') {
      const created = (await ports.meta.read((tx) => tx.accounts.find(account)))?.createdAtMs ?? 0;
      const { arn: Arn, id: UserId } = principal;
      return { User: { Path: '/', UserName: 'root', UserId, Arn, CreateDate: new Date(created) } };
    }
    const found = await findIdentity(ports, USER, account, name ?? callerName(principal));
    return { User: userView(account, found) };
  }),

  ListUsers: identityHandler(async (context, input) => {
    const { items, more } = await user.list(context, input);
    return { Users: items.map((one) => userListView(context.scope.account, one)), ...more };
  }),

  UpdateUser: identityHandler(async ({ ports, scope }, input) => {
    await updateUser(ports, scope.account, {
      name: input.UserName,
      newName: input.NewUserName ?? null,
      newPath: input.NewPath ?? null,
    });
    return {};
  }),

  DeleteUser: identityHandler(async ({ ports, scope }, input) => {
    await deleteUser(ports, scope.account, input.UserName);
    return {};
  }),

  CreateAccessKey: identityHandler(async (context, input) => {
    const userName = nameOf(context, input.UserName);
    const key = await createUserKey(context.ports, context.scope.account, { userName, madeBy: madeBy(context, input) });
    return {
      AccessKey: {
        UserName: userName,
        AccessKeyId: key.id,
        Status: key.active ? 'Active' : 'Inactive',
        SecretAccessKey: key.secret,
        CreateDate: new Date(key.createdAtMs),
      },
    };
  }),

  ListAccessKeys: identityHandler(async (context, input) => {
    const UserName = nameOf(context, input.UserName);
    const keys = await listUserKeys(context.ports, context.scope.account, UserName);
    const { items, more } = pageOf(keys, ({ id }) => id, input);
    return {
      AccessKeyMetadata: items.map((key) => ({
        UserName,
        AccessKeyId: key.id,
        Status: key.active ? 'Active' : 'Inactive',
        CreateDate: new Date(key.createdAtMs),
      })),
      ...more,
    };
  }),

  UpdateAccessKey: identityHandler(async (context, input) => {
    if (input.Status !== 'Active' && input.Status !== 'Inactive') {
      throw validationError(
        "1 validation error detected: Value at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]",
      );
    }
    await setUserKeyActive(context.ports, context.scope.account, {
      userName: nameOf(context, input.UserName),
      keyId: input.AccessKeyId,
      active: input.Status === 'Active',
    });
    return {};
  }),

  DeleteAccessKey: identityHandler(async (context, input) => {
    const userName = nameOf(context, input.UserName);
    await deleteUserKey(context.ports, context.scope.account, { userName, keyId: input.AccessKeyId });
    return {};
  }),

  GetAccessKeyLastUsed: identityHandler(async ({ ports, scope }, input) => {
    const { userName, use } = await lastUseOf(ports, scope.account, input.AccessKeyId);
    return {
      UserName: userName,
      AccessKeyLastUsed:
        use === null
          ? { ServiceName: 'N/A', Region: 'N/A' }
          : { LastUsedDate: new Date(use.atMs), ServiceName: use.service, Region: use.region },
    };
  }),

  AttachUserPolicy: user.attachPolicy,
  DetachUserPolicy: user.detachPolicy,
  ListAttachedUserPolicies: user.listAttached,
  PutUserPolicy: user.putPolicy,
  DeleteUserPolicy: user.deletePolicy,
  ListUserPolicies: user.listPolicies,
  TagUser: user.tag,
  UntagUser: user.untag,
  ListUserTags: user.listTags,
  PutUserPermissionsBoundary: user.putBoundary,
  DeleteUserPermissionsBoundary: user.deleteBoundary,

  GetUserPolicy: async (context, input) => {
    const { owner, ...policy } = await user.getPolicy(context, input);
    return { UserName: owner, ...policy };
  },

  /** There are no groups here. */
  ListGroupsForUser: identityHandler(async ({ ports, scope }, input) => {
    await findIdentity(ports, USER, scope.account, input.UserName);
    return { Groups: [], IsTruncated: false };
  }),
};

function nameOf({ principal }: CallContext, given: string | undefined): string {
  return given ?? callerName(principal);
}

function callerName(principal: CallContext['principal']): string {
  if (principal.kind === 'user') return principal.userName;
  throw validationError('Must specify userName when calling with non-User credentials');
}
