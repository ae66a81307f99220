import type { AccountId } from '#domain/ids.ts';
import type { Trustee } from '#domain/policy/trustees.ts';
import type { Tag } from '#domain/tags.ts';
import type { Scope } from '#domain/volume.ts';
import { type DocumentKind, GLOBAL } from '#meta/document-table.ts';

// What an account keeps about who may do what; see docs/formats/metadata.md. Names are unique whatever their case, so a record is
// found by its name in lower case.

export interface NamedPolicy {
  readonly name: string;
  readonly document: string;
}

/** What users and roles have in common. */
export interface IdentityRecord {
  /** `AIDA…` or `AROA…`: never given to another, also when the name is. */
  readonly id: string;
  readonly name: string;
  /** `/`, `/teams/red/`. */
  readonly path: string;
  readonly createdAtMs: number;
  readonly tags: readonly Tag[];
  /** ARN of a managed policy; null: no boundary. */
  readonly boundary: string | null;
  /** ARNs of managed policies, in the order in which they were attached. */
  readonly attached: readonly string[];
  readonly inline: readonly NamedPolicy[];
  /** The call that made it: a repetition of that call finds its own work; null: unknown. */
  readonly madeBy: string | null;
}

export type UserRecord = IdentityRecord;

export interface RoleRecord extends IdentityRecord {
  /** The trust policy. */
  readonly trust: string;
  /** The users and roles that it names, as they were when it was put: who gets a name later is not trusted for it. */
  readonly trustees: readonly Trustee[];
  readonly description: string | null;
  readonly sessionSecondsMax: number;
}

export interface PolicyVersion {
  /** From 1; `v1` to clients. */
  readonly number: number;
  readonly document: string;
  readonly createdAtMs: number;
  readonly madeBy: string | null;
}

export interface PolicyRecord {
  /** `ANPA…`. */
  readonly id: string;
  readonly name: string;
  readonly path: string;
  readonly description: string | null;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly tags: readonly Tag[];
  readonly versions: readonly PolicyVersion[];
  readonly defaultVersion: number;
  /** Numbers are not used again. */
  readonly lastVersion: number;
  readonly madeBy: string | null;
}

export interface UserKeyRecord {
  readonly id: string;
  readonly userId: string;
  /** The secret, sealed by the vault for this key. */
  readonly sealedSecret: string;
  readonly active: boolean;
  readonly createdAtMs: number;
  readonly madeBy: string | null;
}

/** When an access key or a role was last used; written at most once a minute. */
export interface UseRecord {
  /** Of the key, or of the role. */
  readonly id: string;
  readonly atMs: number;
  readonly service: string;
  readonly region: string;
}

export const USERS: DocumentKind<UserRecord> = {
  name: 'iam-user',
  idOf: ({ name }) => name.toLowerCase(),
  ownerOf: ({ id }) => id,
};

export const ROLES: DocumentKind<RoleRecord> = {
  name: 'iam-role',
  idOf: ({ name }) => name.toLowerCase(),
  ownerOf: ({ id }) => id,
};

export const POLICIES: DocumentKind<PolicyRecord> = {
  name: 'iam-policy',
  idOf: ({ name }) => name.toLowerCase(),
  ownerOf: () => null,
};

export const USER_KEYS: DocumentKind<UserKeyRecord> = {
  name: 'iam-access-key',
  idOf: ({ id }) => id,
  ownerOf: ({ userId }) => userId,
};

export const USES: DocumentKind<UseRecord> = { name: 'iam-use', idOf: ({ id }) => id, ownerOf: () => null };

export function inAccount(account: AccountId): Scope {
  return { account, region: GLOBAL };
}

export function userArn(account: AccountId, { path, name }: Pick<UserRecord, 'path' | 'name'>): string {
  return `arn:aws:iam::${account}:user${path}${name}`;
}

export function roleArn(account: AccountId, { path, name }: Pick<RoleRecord, 'path' | 'name'>): string {
  return `arn:aws:iam::${account}:role${path}${name}`;
}

export function policyArn(account: AccountId, { path, name }: Pick<PolicyRecord, 'path' | 'name'>): string {
  return `arn:aws:iam::${account}:policy${path}${name}`;
}
