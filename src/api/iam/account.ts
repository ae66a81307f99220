import type { Handlers } from '#api/handler.ts';
import { allOf } from '#control/identity/documents.ts';
import { inAccount, POLICIES, ROLES, USERS } from '#control/identity/records.ts';
import { QUOTAS } from '#control/identity/rules.ts';
import { identityHandler } from './errors.ts';
import { pageOf } from './paging.ts';

export const accountHandlers: Handlers<'iam'> = {
  GetAccountSummary: identityHandler(async ({ ports, scope }) => {
    const account = inAccount(scope.account);
    return await ports.meta.read(async (tx) => {
      const policies = await allOf(tx, POLICIES, scope.account);
      return {
        SummaryMap: {
          Users: await tx.documents.count(USERS, account, null),
          UsersQuota: QUOTAS.users,
          Roles: await tx.documents.count(ROLES, account, null),
          RolesQuota: QUOTAS.roles,
          Policies: policies.length,
          PoliciesQuota: QUOTAS.policies,
          PolicySizeQuota: QUOTAS.policyCharacters,
          PolicyVersionsInUse: policies.reduce((sum, { versions }) => sum + versions.length, 0),
          PolicyVersionsInUseQuota: QUOTAS.policies * QUOTAS.versions,
          VersionsPerPolicyQuota: QUOTAS.versions,
          AccessKeysPerUserQuota: QUOTAS.keysPerUser,
          AttachedPoliciesPerUserQuota: QUOTAS.attached,
          AttachedPoliciesPerRoleQuota: QUOTAS.attached,
          UserPolicySizeQuota: QUOTAS.userInlineCharacters,
          RolePolicySizeQuota: QUOTAS.roleInlineCharacters,
          AssumeRolePolicySizeQuota: QUOTAS.trustCharacters,
          AccountAccessKeysPresent: 1,
          AccountMFAEnabled: 0,
          Groups: 0,
          InstanceProfiles: 0,
          MFADevices: 0,
          MFADevicesInUse: 0,
          Providers: 0,
          ServerCertificates: 0,
        },
      };
    });
  }),

  ListAccountAliases: identityHandler(async ({ ports, scope }, input) => {
    const account = await ports.meta.read((tx) => tx.accounts.find(scope.account));
    const aliases = account?.alias === null || account === null ? [] : [account.alias];
    const { items, more } = pageOf(aliases, (alias) => alias, input);
    return { AccountAliases: items, ...more };
  }),
};
