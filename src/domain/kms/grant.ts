import type { AccountId } from '#domain/ids.ts';
import type { EncryptionContext } from './ciphertext.ts';
import { refuseKms } from './failure.ts';

/** What a grant may allow; of AWS's list, what keys for encryption can do. */
export const GRANT_OPERATIONS = [
  'CreateGrant',
  'Decrypt',
  'DescribeKey',
  'Encrypt',
  'GenerateDataKey',
  'GenerateDataKeyWithoutPlaintext',
  'GenerateDataKeyPair',
  'GenerateDataKeyPairWithoutPlaintext',
  'ReEncryptFrom',
  'ReEncryptTo',
  'RetireGrant',
] as const;
export type GrantOperation = (typeof GRANT_OPERATIONS)[number];

export interface GrantConstraints {
  /** All of these must be in the encryption context. */
  readonly subset: EncryptionContext | null;
  /** The encryption context must be this. */
  readonly equals: EncryptionContext | null;
}

/** Lets a principal use a key, beside what the key's policy says. Takes effect at once. */
export interface Grant {
  /** 64 hexadecimal digits. */
  readonly id: string;
  /** The key's id; account and region are the record's. */
  readonly key: string;
  readonly name: string | null;
  readonly grantee: string;
  readonly retiring: string | null;
  /** Of the grantee, when it is a user or role: who is made under its name later has no grant. Null: a root; missing: of an earlier version. */
  readonly granteeId?: string | null;
  readonly retiringId?: string | null;
  readonly operations: readonly GrantOperation[];
  readonly constraints: GrantConstraints;
  readonly issuer: AccountId;
  readonly createdAtMs: number;
}

const PRINCIPAL =
  /^arn:aws[a-z-]*:(?:iam|sts)::[0-9]{12}:(?:root|(?:user|role|assumed-role|federated-user)\/[\w+=,.@/-]+)$/;

/** Refuses what cannot be a principal: malformed-arn. */
export function checkPrincipal(arn: string): void {
  if (!PRINCIPAL.test(arn)) refuseKms({ kind: 'malformed-arn', arn });
}

export interface GrantUse {
  /** An ARN or an id. */
  readonly principal: string;
  readonly operation: string;
  /** Null: the operation has none; then constraints do not apply. */
  readonly context: EncryptionContext | null;
}

/** Whether the grant alone allows the use. A role is meant with all its sessions; an account's root is its root alone. */
export function grantAllows(grant: Grant, use: GrantUse): boolean {
  if (!isPrincipal(granteeOf(grant), use.principal)) return false;
  if (!grant.operations.some((operation) => operation === use.operation)) return false;
  return use.context === null || contextFits(grant.constraints, use.context);
}

/** By id where that is known. */
export function granteeOf({ grantee, granteeId }: Grant): string {
  return granteeId ?? grantee;
}

/** By id where that is known; null: there is none. */
export function retiringOf({ retiring, retiringId }: Grant): string | null {
  return retiringId ?? retiring;
}

/** Whether `arn`, of a call, is `named`, of a grant. */
export function isPrincipal(named: string, arn: string): boolean {
  if (named === arn) return true;
  const session = /^arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role\/([^/]+)\/[^/]+$/.exec(arn);
  if (session === null) return false;
  const role = /^arn:(aws[a-z-]*):iam::([0-9]{12}):role\/(?:.*\/)?([^/]+)$/.exec(named);
  return role !== null && role[1] === session[1] && role[2] === session[2] && role[3] === session[3];
}

export function contextFits({ subset, equals }: GrantConstraints, context: EncryptionContext): boolean {
  if (equals !== null && !isEqual(equals, context)) return false;
  return subset === null || isSubset(subset, context);
}

/** What a principal that holds `parent` may hand on: no more operations, and constraints that are at least as narrow. */
export function isNarrower(
  parent: Grant,
  child: { readonly operations: readonly GrantOperation[]; readonly constraints: GrantConstraints },
): boolean {
  if (!child.operations.every((operation) => parent.operations.includes(operation))) return false;
  const { subset, equals } = parent.constraints;
  if (equals !== null) return child.constraints.equals !== null && isEqual(equals, child.constraints.equals);
  if (subset === null) return true;
  const own = child.constraints.equals ?? child.constraints.subset;
  return own !== null && isSubset(subset, own);
}

function isEqual(one: EncryptionContext, other: EncryptionContext): boolean {
  return Object.keys(one).length === Object.keys(other).length && isSubset(one, other);
}

function isSubset(part: EncryptionContext, whole: EncryptionContext): boolean {
  return Object.entries(part).every(([key, value]) => Object.hasOwn(whole, key) && whole[key] === value);
}
