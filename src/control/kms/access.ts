import type { AccountId } from '#domain/ids.ts';
import { aliasArn, keyArn, type KeyRef, parseKeyOnly, parseKeyRef, rootArn } from '#domain/kms/arn.ts';
import type { EncryptionContext } from '#domain/kms/ciphertext.ts';
import { refuseKms } from '#domain/kms/failure.ts';
import { type Grant, grantAllows } from '#domain/kms/grant.ts';
import type { KmsKey } from '#domain/kms/key.ts';
import {
  decide,
  type Decision,
  evaluateIdentity,
  type PolicySet,
  type RequestPrincipal,
} from '#domain/policy/evaluate.ts';
import { type ContextKey, readings } from '#domain/policy/readings.ts';
import type { Context } from '#domain/policy/template.ts';
import type { Scope } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';
import { ALLOW_ALL, storedPolicy } from '#control/identity/policy-cache.ts';
import { checkGrantTokens } from './grant-tokens.ts';
import { aliasKind, grantKind, keyKind, ofOwner } from './records.ts';

/** Who asks, with everything that has a say about them. */
export interface Caller {
  readonly account: AccountId;
  /** As refusals name them. */
  readonly arn: string;
  readonly principal: RequestPrincipal;
  readonly policies: PolicySet;
  /** Condition keys of the request (`aws:SourceIp`), in lower case. */
  readonly context: Context;
  /** The service that asks in the principal's name (`ec2`); null: the principal itself. */
  readonly via: string | null;
}

/** What every use case of KMS stands on: the server, the request's account and region, and who asks. */
export interface KmsCall {
  readonly ports: ControlPorts;
  readonly scope: Scope;
  readonly caller: Caller;
}

/** The root of an account, which may do everything that no other account's policy forbids. */
export function rootCaller(account: AccountId, via: string | null = null): Caller {
  const arn = rootArn(account);
  return {
    account,
    arn,
    principal: { account, isRoot: true, arns: [arn] },
    policies: { identity: [ALLOW_ALL], boundary: null, session: null },
    context: new Map([
      ['aws:principalarn', [arn]],
      ['aws:principalaccount', [account]],
    ]),
    via,
  };
}

/** What is asked of a key, as policies, grants and conditions see it. */
export interface KeyUse {
  /** `Encrypt`; of a grant the same word. */
  readonly action: string;
  /** What the operation is bound to; null: it takes no encryption context. */
  readonly context?: EncryptionContext | null;
  readonly grantTokens?: readonly string[];
  /** Whether a grant can allow it. */
  readonly isGrantable?: boolean;
  /** Of grants that allow the action, those that count; absent: all. */
  readonly grantFits?: (grant: Grant) => boolean;
  /** Whether keys of other accounts can be named. */
  readonly isCrossAccount?: boolean;
  /** Whether an alias can be named. */
  readonly takesAlias?: boolean;
  /** Further condition keys, in lower case. */
  readonly keys?: readonly (readonly [string, readonly string[]])[];
}

/**
 * The key that a client named, when they may do that to it. Refuses: malformed-arn, malformed-key-id, other-region,
 * key-not-found, alias-not-found, grant-token, denied.
 */
export async function keyFor(call: KmsCall, tx: ReadTx, text: string, use: KeyUse): Promise<KmsKey> {
  const ref = use.takesAlias === true ? parseKeyRef(call.scope, text) : parseKeyOnly(call.scope, text);
  const key = await findKey(tx, ref);
  if (key === null) return refuseMissing(call, ref, use);
  await authorize(call, tx, key, use, ref.kind === 'alias' ? ref.name : null);
  return key;
}

export async function findKey(tx: ReadTx, ref: KeyRef): Promise<KmsKey | null> {
  if (ref.kind === 'key') return await tx.documents.find(keyKind, ref.scope, ref.id);
  const alias = await tx.documents.find(aliasKind, ref.scope, ref.name);
  return alias === null ? null : await tx.documents.find(keyKind, ref.scope, alias.key);
}

/** Nobody learns whether another account's key is there. */
function refuseMissing(call: KmsCall, ref: KeyRef, use: KeyUse): never {
  const resource = ref.kind === 'key' ? keyArn({ ...ref.scope, id: ref.id }) : aliasArn(ref.scope, ref.name);
  if (ref.scope.account !== call.scope.account) {
    refuseKms({ kind: 'denied', principal: call.caller.arn, action: use.action, resource, by: 'unseen' });
  }
  if (ref.kind === 'alias') refuseKms({ kind: 'alias-not-found', alias: resource });
  refuseKms({ kind: 'key-not-found', key: resource });
}

/**
 * A deny of any policy refuses. Otherwise the key's policy and, where that delegates to the account or the caller is of
 * another, the caller's own policies allow; or a grant does. Refuses: denied, grant-token.
 */
export async function authorize(
  call: KmsCall,
  tx: ReadTx,
  key: KmsKey,
  use: KeyUse,
  alias: string | null = null,
): Promise<void> {
  const { caller } = call;
  const tokens = use.grantTokens ?? [];
  if (tokens.length > 0) checkGrantTokens(call.ports.vault, tokens);
  const isForeign = key.account !== call.scope.account;
  const contexts = await contextsOf(call, tx, key, use, alias);
  const isOutOfReach = isForeign && use.isCrossAccount !== true;
  const decision = isOutOfReach ? 'implicit-deny' : decideOnKey(caller, key, use.action, contexts);
  if (decision === 'allowed') return;
  const mayBeGranted =
    decision === 'implicit-deny' && use.isGrantable === true && sessionAllows(caller, key, use, contexts);
  if (mayBeGranted && (await grantFor(tx, caller, key, use)) !== null) return;
  const by = isForeign ? 'unseen' : decision === 'explicit-deny' ? 'explicit' : 'nothing-allows';
  refuseKms({ kind: 'denied', principal: caller.arn, action: use.action, resource: keyArn(key), by });
}

/** A session has at most what its policy says, also of what a grant gives its role. */
function sessionAllows(caller: Caller, key: KmsKey, { action }: KeyUse, contexts: readonly Context[]): boolean {
  const { session } = caller.policies;
  if (session === null) return true;
  const request = { action: `kms:${action}`, resource: keyArn(key), principal: caller.principal };
  return contexts.every((context) => evaluateIdentity(session, { ...request, context }) === 'allow');
}

/** What policies say, the key's and the caller's, of all the contexts: a deny of one is a deny, and each must be allowed. */
export function decideOnKey(
  caller: Caller,
  key: Pick<KmsKey, 'account' | 'region' | 'id' | 'policy' | 'trustees'>,
  action: string,
  contexts: readonly Context[],
): Decision {
  const request = { action: `kms:${action}`, resource: keyArn(key), principal: caller.principal };
  const guard = { account: key.account, policy: storedPolicy(key.policy, 'resource', key.trustees) };
  return worst(contexts.map((context) => decide(caller.policies, { ...request, context }, guard)));
}

/** Without any decision nobody knows what a policy would have denied. */
function worst(decisions: readonly Decision[]): Decision {
  if (decisions.length === 0 || decisions.includes('explicit-deny')) return 'explicit-deny';
  return decisions.every((one) => one === 'allowed') ? 'allowed' : 'implicit-deny';
}

/** The grant that allows it; null: none. */
export async function grantFor(tx: ReadTx, caller: Caller, key: KmsKey, use: KeyUse): Promise<Grant | null> {
  const grants = await ofOwner(tx, grantKind, key, key.id);
  for (const principal of caller.principal.arns) {
    const asked = { principal, operation: use.action, context: use.context ?? null };
    const found = grants.find((grant) => grantAllows(grant, asked) && (use.grantFits?.(grant) ?? true));
    if (found !== undefined) return found;
  }
  return null;
}

/** Whether the caller may do what concerns no key there is yet: policies of the caller alone. Refuses: denied. */
export function authorizeAccount(
  call: KmsCall,
  action: string,
  options: { readonly resource?: string; readonly keys?: readonly (readonly [string, readonly string[]])[] } = {},
): void {
  const { caller } = call;
  const resource = options.resource ?? '*';
  const contexts = readings(caller.context, [...callKeys(call), ...(options.keys ?? [])]) ?? [];
  const request = { action: `kms:${action}`, resource, principal: caller.principal };
  const decision = worst(contexts.map((context) => decide(caller.policies, { ...request, context }, null)));
  if (decision === 'allowed') return;
  const by = decision === 'explicit-deny' ? 'explicit' : 'nothing-allows';
  refuseKms({ kind: 'denied', principal: caller.arn, action, resource, by });
}

/** Empty when there are too many to be decided on. */
export async function contextsOf(
  call: KmsCall,
  tx: ReadTx,
  key: KmsKey,
  use: KeyUse,
  alias: string | null,
): Promise<readonly Context[]> {
  const names = (await ofOwner(tx, aliasKind, key, key.id)).map(({ name }) => name);
  const encryption = Object.entries(use.context ?? {});
  const keys: ContextKey[] = [
    ...callKeys(call),
    ['kms:keyorigin', [key.origin === 'generated' ? 'AWS_KMS' : 'EXTERNAL']],
    ['kms:keyspec', ['SYMMETRIC_DEFAULT']],
    ['kms:keyusage', ['ENCRYPT_DECRYPT']],
    ['kms:multiregion', ['false']],
    ...(use.keys ?? []),
    ...Object.entries(key.tags).map(([name, value]) => [`aws:resourcetag/${name.toLowerCase()}`, [value]] as const),
    ...encryption.map(([name, value]) => [`kms:encryptioncontext:${name.toLowerCase()}`, [value]] as const),
  ];
  if (alias !== null) keys.push(['kms:requestalias', [alias]]);
  if (names.length > 0) keys.push(['kms:resourcealiases', names]);
  if (encryption.length > 0) keys.push(['kms:encryptioncontextkeys', encryption.map(([name]) => name)]);
  return readings(call.caller.context, keys) ?? [];
}

function callKeys({ caller, scope }: KmsCall): readonly (readonly [string, readonly string[]])[] {
  const own = [['kms:calleraccount', [caller.account]] as const];
  return caller.via === null ? own : [...own, ['kms:viaservice', [`${caller.via}.${scope.region}.amazonaws.com`]]];
}
