import type { CallContext, Handlers } from '#api/handler.ts';
import { allOf } from '#control/identity/documents.ts';
import {
  deleteInlinePolicy,
  findIdentity,
  inlinePolicyOf,
  putInlinePolicy,
  tagIdentity,
  untagIdentity,
  USER,
  attachPolicy,
  detachPolicy,
} from '#control/identity/identities.ts';
import { USERS } from '#control/identity/records.ts';
import { createUser, deleteUser, updateUser } from '#control/identity/users.ts';
import {
  createUserKey,
  deleteUserKey,
  lastUseOf,
  listUserKeys,
  setUserKeyActive,
} from '#control/identity/user-keys.ts';
import { identityHandler, validationError } from './errors.ts';
import { attachedViews } from './attached.ts';
import { madeBy } from './made-by.ts';
import { pageOf } from './paging.ts';
import { documentView, parseTags, tagViews, userListView, userView } from './views.ts';

export const userHandlers: Handlers<'iam'> = {
  CreateUser: identityHandler(async (context, input) => {
    const { account } = context.scope;
    const user = await createUser(context.ports, account, {
      name: input.UserName,
      path: input.Path ?? '/',
      boundary: input.PermissionsBoundary ?? null,
      tags: parseTags(input.Tags),
      madeBy: madeBy(context, input),
    });
    return { User: userView(account, user) };
  }),

  /** Without a name: who calls. The root has an answer, too. */
  GetUser: identityHandler(async ({ ports, scope, principal }, { UserName: name }) => {
    const { account } = scope;
    if (name === undefined && principal.kind === 'root') {
      const created = (await ports.meta.read((tx) => tx.accounts.find(account)))?.createdAtMs ?? 0;
      const { arn: Arn, id: UserId } = principal;
      return { User: { Path: '/', UserName: 'root', UserId, Arn, CreateDate: new Date(created) } };
    }
    const user = await findIdentity(ports, USER, account, name ?? callerName(principal));
    return { User: userView(account, user) };
  }),

  ListUsers: identityHandler(async ({ ports, scope }, input) => {
    const all = await ports.meta.read((tx) => allOf(tx, USERS, scope.account));
    const under = all.filter(({ path }) => path.startsWith(input.PathPrefix ?? '/'));
    const { items, more } = pageOf(under, ({ name }) => name, input);
    return { Users: items.map((user) => userListView(scope.account, user)), ...more };
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

  AttachUserPolicy: identityHandler(async ({ ports, scope }, input) => {
    await attachPolicy(ports, USER, scope.account, { name: input.UserName, policyArn: input.PolicyArn });
    return {};
  }),

  DetachUserPolicy: identityHandler(async ({ ports, scope }, input) => {
    await detachPolicy(ports, USER, scope.account, { name: input.UserName, policyArn: input.PolicyArn });
    return {};
  }),

  ListAttachedUserPolicies: identityHandler(async ({ ports, scope }, input) => {
    const user = await findIdentity(ports, USER, scope.account, input.UserName);
    return attachedViews(user, input);
  }),

  PutUserPolicy: identityHandler(async ({ ports, scope }, input) => {
    const { UserName: owner, PolicyName: name, PolicyDocument: document } = input;
    await putInlinePolicy(ports, USER, scope.account, { owner, name, document });
    return {};
  }),

  GetUserPolicy: identityHandler(async ({ ports, scope }, input) => {
    const user = await findIdentity(ports, USER, scope.account, input.UserName);
    const { name, document } = inlinePolicyOf(user, input.PolicyName);
    return { UserName: user.name, PolicyName: name, PolicyDocument: documentView(document) };
  }),

  DeleteUserPolicy: identityHandler(async ({ ports, scope }, input) => {
    await deleteInlinePolicy(ports, USER, scope.account, { owner: input.UserName, name: input.PolicyName });
    return {};
  }),

  ListUserPolicies: identityHandler(async ({ ports, scope }, input) => {
    const user = await findIdentity(ports, USER, scope.account, input.UserName);
    const { items, more } = pageOf(user.inline, ({ name }) => name, input);
    return { PolicyNames: items.map(({ name }) => name), ...more };
  }),

  /** There are no groups here. */
  ListGroupsForUser: identityHandler(async ({ ports, scope }, input) => {
    await findIdentity(ports, USER, scope.account, input.UserName);
    return { Groups: [], IsTruncated: false };
  }),

  TagUser: identityHandler(async ({ ports, scope }, input) => {
    await tagIdentity(ports, USER, scope.account, { name: input.UserName, tags: parseTags(input.Tags) });
    return {};
  }),

  UntagUser: identityHandler(async ({ ports, scope }, input) => {
    await untagIdentity(ports, USER, scope.account, { name: input.UserName, keys: input.TagKeys });
    return {};
  }),

  ListUserTags: identityHandler(async ({ ports, scope }, input) => {
    const user = await findIdentity(ports, USER, scope.account, input.UserName);
    const { items, more } = pageOf(user.tags, ({ key }) => key, input);
    return { Tags: tagViews(items), ...more };
  }),
};

function nameOf({ principal }: CallContext, given: string | undefined): string {
  return given ?? callerName(principal);
}

function callerName(principal: CallContext['principal']): string {
  if (principal.kind === 'user') return principal.userName;
  throw validationError('Must specify userName when calling with non-User credentials');
}
