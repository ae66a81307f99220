import assert from 'node:assert/strict';
import { KmsError } from '#domain/kms/failure.ts';
import type { AccountId } from '#domain/ids.ts';
import { parsePolicy } from '#domain/policy/document.ts';
import type { Scope } from '#domain/volume.ts';
import { DomainError } from '#domain/errors.ts';
import type { World } from '#control/world.fake.ts';
import { principalOfUser } from '#control/identity/callers.ts';
import { inAccount, type UserRecord, USERS } from '#control/identity/records.ts';
import { namesOf } from '#control/identity/trustees.ts';
import { createUser } from '#control/identity/users.ts';
import { type Caller, type KmsCall, rootCaller } from './access.ts';
import type { CreateKey } from './keys.ts';
import type { MessageOptions } from './messages.ts';

/** A key as most tests want it. */
export const PLAIN_KEY: CreateKey = {
  description: '',
  origin: 'generated',
  policy: null,
  mayLockOut: false,
  tags: [],
};

export const NO_OPTIONS: MessageOptions = { context: {}, grantTokens: [], isRehearsal: false };

/** A call of the account's root; `via`: through a service. */
export function asRoot(world: World, scope: Scope, via: string | null = null): KmsCall {
  return { ports: world.ports, scope, caller: rootCaller(scope.account, via) };
}

/** A call of a user, made when there is none of the name, who has one policy; null: none. */
export async function asUser(world: World, scope: Scope, name: string, statement: object | null): Promise<KmsCall> {
  const { account } = scope;
  const known = await world.ports.meta.read((tx) => tx.documents.find(USERS, inAccount(account), name));
  const asked = { name, path: '/', boundary: null, tags: [], madeBy: null };
  const user = known ?? (await createUser(world.ports, account, asked));
  return { ports: world.ports, scope, caller: userCaller(account, user, statement) };
}

export function userArn(account: AccountId, name: string): string {
  return `arn:aws:iam::${account}:user/${name}`;
}

function userCaller(account: AccountId, user: UserRecord, statement: object | null): Caller {
  const principal = principalOfUser(account, user, null);
  const { arn } = principal;
  const document =
    statement === null
      ? null
      : parsePolicy(JSON.stringify({ Version: '2012-10-17', Statement: [statement] }), 'identity');
  assert.notEqual(document?.kind, 'malformed', JSON.stringify(document));
  return {
    account,
    arn,
    principal: namesOf(principal),
    policies: { identity: document?.kind === 'policy' ? [document.policy] : [], boundary: null, session: null },
    context: new Map([['aws:principalarn', [arn]]]),
    via: null,
  };
}

/** A key policy of these statements, and of the account's root, who may do everything. */
export function policyWith(account: AccountId, ...statements: readonly object[]): string {
  const root = { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${account}:root` }, Action: 'kms:*', Resource: '*' };
  return JSON.stringify({ Version: '2012-10-17', Statement: [root, ...statements] });
}

/** What a call is refused with: its kind, and what tells kinds apart further; `not refused` when it is not. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof DomainError && error.failure.kind === 'key-unusable')
      return `unusable: ${error.failure.problem}`;
    assert.ok(error instanceof KmsError, error instanceof Error ? error.stack : String(error));
    const { failure } = error;
    if (failure.kind === 'key-state') return failure.state;
    return failure.kind === 'denied' ? `denied: ${failure.by}` : failure.kind;
  }
  return 'not refused';
}
