import { parseAccountId } from '#domain/ids.ts';
import type { RequestPrincipal } from '#domain/policy/evaluate.ts';
import type { Policy } from '#domain/policy/document.ts';
import { principalsOf, type Trustee } from '#domain/policy/trustees.ts';
import type { Principal } from '#domain/principal.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { inAccount, roleArn, ROLES, userArn, USERS } from './records.ts';

/** Everything that policies may call a principal by. */
export function namesOf(principal: Principal): RequestPrincipal {
  const { account, arn, id, kind } = principal;
  switch (kind) {
    case 'root':
      return { account, isRoot: true, arns: [arn] };
    case 'user':
      return { account, isRoot: false, arns: [arn, id] };
    case 'role':
      return { account, isRoot: false, arns: [arn, principal.roleArn, id, principal.roleId] };
  }
}

/** Whom a policy names, as they are now; a text: an ARN of nobody. */
export async function findTrustees(tx: ReadTx, policy: Policy): Promise<readonly Trustee[] | string> {
  const trustees: Trustee[] = [];
  for (const arn of principalsOf(policy)) {
    const id = await idOfPrincipal(tx, arn);
    if (id === 'none') return arn;
    if (id !== null) trustees.push({ arn, id });
  }
  return trustees;
}

/** Of a user, a role or a session of one; null: a root, which has no other name; `none`: there is nobody of that ARN. */
export async function idOfPrincipal(tx: ReadTx, arn: string): Promise<string | null> {
  const [, accountText = '', kind, rest = ''] =
    /^arn:aws:(?:iam|sts)::(\d{12}):(root|user|role|assumed-role)(?:\/(.+))?$/.exec(arn) ?? [];
  const account = parseAccountId(accountText);
  if (account === null || (await tx.accounts.find(account)) === null) return 'none';
  if (kind === 'root') return null;
  const names = rest.split('/');
  if (kind === 'user') {
    const user = await tx.documents.find(USERS, inAccount(account), (names.at(-1) ?? '').toLowerCase());
    return user !== null && userArn(account, user) === arn ? user.id : 'none';
  }
  const [roleName, session] = kind === 'role' ? [names.at(-1)] : names;
  const role = await tx.documents.find(ROLES, inAccount(account), (roleName ?? '').toLowerCase());
  if (role === null) return 'none';
  if (kind === 'role') return roleArn(account, role) === arn ? role.id : 'none';
  return role.name === roleName && session !== undefined ? `${role.id}:${session}` : 'none';
}
