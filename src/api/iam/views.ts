import {
  type PolicyRecord,
  type PolicyVersion,
  policyArn,
  roleArn,
  type RoleRecord,
  userArn,
  type UseRecord,
  type UserRecord,
} from '#control/identity/records.ts';
import type { Managed, Uses } from '#control/identity/managed.ts';
import type { AccountId } from '#domain/ids.ts';
import type { Tag as DomainTag } from '#domain/tags.ts';
import type { Policy, PolicyVersion as VersionView, Role, Tag, User } from '#wire/aws/models/iam.ts';

export function tagViews(tags: readonly DomainTag[]): readonly Tag[] {
  return tags.map(({ key, value }) => ({ Key: key, Value: value }));
}

export function parseTags(tags: readonly Tag[] | undefined): readonly DomainTag[] {
  return (tags ?? []).map(({ Key: key, Value: value }) => ({ key, value }));
}

/** IAM gives documents percent-encoded (RFC 3986). */
export function documentView(document: string): string {
  return encodeURIComponent(document).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Lists leave tags and boundaries out. */
export function userListView(account: AccountId, user: UserRecord): User {
  return {
    Path: user.path,
    UserName: user.name,
    UserId: user.id,
    Arn: userArn(account, user),
    CreateDate: new Date(user.createdAtMs),
  };
}

export function userView(account: AccountId, user: UserRecord): User {
  return {
    ...userListView(account, user),
    ...boundaryView(user.boundary),
    ...(user.tags.length === 0 ? {} : { Tags: tagViews(user.tags) }),
  };
}

export function roleListView(account: AccountId, role: RoleRecord): Role {
  return {
    Path: role.path,
    RoleName: role.name,
    RoleId: role.id,
    Arn: roleArn(account, role),
    CreateDate: new Date(role.createdAtMs),
    AssumeRolePolicyDocument: documentView(role.trust),
    ...(role.description === null ? {} : { Description: role.description }),
    MaxSessionDuration: role.sessionSecondsMax,
  };
}

export function roleView(account: AccountId, role: RoleRecord, use: UseRecord | null): Role {
  return {
    ...roleListView(account, role),
    ...boundaryView(role.boundary),
    ...(role.tags.length === 0 ? {} : { Tags: tagViews(role.tags) }),
    RoleLastUsed: use === null ? {} : { LastUsedDate: new Date(use.atMs), Region: use.region },
  };
}

function boundaryView(boundary: string | null): Pick<User, 'PermissionsBoundary'> {
  if (boundary === null) return {};
  return {
    PermissionsBoundary: { PermissionsBoundaryType: 'PermissionsBoundaryPolicy', PermissionsBoundaryArn: boundary },
  };
}

export function policyListView({ arn, record }: Managed, uses: Uses | undefined): Policy {
  return {
    PolicyName: record.name,
    PolicyId: record.id,
    Arn: arn,
    Path: record.path,
    DefaultVersionId: `v${record.defaultVersion}`,
    AttachmentCount: uses?.attachments ?? 0,
    PermissionsBoundaryUsageCount: uses?.boundaries ?? 0,
    IsAttachable: true,
    CreateDate: new Date(record.createdAtMs),
    UpdateDate: new Date(record.updatedAtMs),
  };
}

export function policyView(managed: Managed, uses: Uses | undefined): Policy {
  const { description, tags } = managed.record;
  return {
    ...policyListView(managed, uses),
    ...(description === null ? {} : { Description: description }),
    Tags: tagViews(tags),
  };
}

export function versionView(version: PolicyVersion, isDefault: boolean, withDocument: boolean): VersionView {
  return {
    ...(withDocument ? { Document: documentView(version.document) } : {}),
    VersionId: `v${version.number}`,
    IsDefaultVersion: isDefault,
    CreateDate: new Date(version.createdAtMs),
  };
}

export function ownManaged(account: AccountId, record: PolicyRecord): Managed {
  return { arn: policyArn(account, record), record };
}
