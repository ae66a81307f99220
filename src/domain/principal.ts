import type { AccountId } from './ids.ts';
import type { Tags } from './volume.ts';

/** Who makes a request. Every access key belongs to one of these. */
export type Principal = RootPrincipal | UserPrincipal | RolePrincipal;

interface Named {
  readonly account: AccountId;
  /** `arn:aws:iam::123456789012:user/ana`; of a session of a role, `arn:aws:sts::123456789012:assumed-role/backup/nightly`. */
  readonly arn: string;
  /** What GetCallerIdentity calls UserId: the account, `AIDA…`, or `AROA…:session`. */
  readonly id: string;
  /** A user's tags; of a session, the role's and over them those that were given with AssumeRole. */
  readonly tags: Tags;
  /** When its temporary credentials were issued; null: a permanent key. */
  readonly issuedAtMs: number | null;
}

/** The account itself: everything in it is allowed. */
export interface RootPrincipal extends Named {
  readonly kind: 'root';
}

export interface UserPrincipal extends Named {
  readonly kind: 'user';
  readonly userId: string;
  readonly userName: string;
}

/** A session of a role. */
export interface RolePrincipal extends Named {
  readonly kind: 'role';
  readonly roleId: string;
  readonly roleName: string;
  readonly roleArn: string;
  readonly sessionName: string;
  /** Who began the chain of sessions, as they said; it stays through the chain. Null: nobody said. */
  readonly sourceIdentity: string | null;
  /** Keys of tags that sessions which this one begins have, too. */
  readonly transitiveTags: readonly string[];
}

export function rootPrincipal(account: AccountId, issuedAtMs: number | null = null): RootPrincipal {
  return { kind: 'root', account, arn: rootArn(account), id: account, tags: {}, issuedAtMs };
}

export function rootArn(account: string): string {
  return `arn:aws:iam::${account}:root`;
}
