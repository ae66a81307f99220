import { keyArn, parseKeyOnly } from '#domain/kms/arn.ts';
import { refuseKms } from '#domain/kms/failure.ts';
import {
  checkPrincipal,
  type Grant,
  type GrantConstraints,
  type GrantOperation,
  granteeOf,
  isNarrower,
  isPrincipal,
  retiringOf,
} from '#domain/kms/grant.ts';
import { type KmsKey, requireEnabled } from '#domain/kms/key.ts';
import { KMS_LIMITS } from '#domain/kms/limits.ts';
import type { Scope } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { idOfPrincipal } from '#control/identity/trustees.ts';
import { readPage } from '#control/pages.ts';
import { authorizeAccount, contextsOf, decideOnKey, keyFor, type KmsCall } from './access.ts';
import { makeGrantToken, readGrantToken } from './grant-tokens.ts';
import type { PageOf } from './keys.ts';
import { grantKind, keyKind, ofOwner } from './records.ts';

export interface CreateGrant {
  readonly key: string;
  readonly grantee: string;
  readonly retiring: string | null;
  readonly operations: readonly GrantOperation[];
  readonly constraints: GrantConstraints;
  /** With a name, the same grant asked for again is the same grant; null: each time a new one. */
  readonly name: string | null;
  readonly grantTokens: readonly string[];
  readonly isRehearsal: boolean;
}

/** Refuses: malformed-arn (of a principal), as keyFor; disabled, key-state, limit; would-succeed. */
export async function createGrant(
  call: KmsCall,
  request: CreateGrant,
): Promise<{ readonly grant: Grant; readonly token: string }> {
  const { ports } = call;
  const { grantee, retiring, operations, constraints, name } = request;
  for (const principal of retiring === null ? [grantee] : [grantee, retiring]) checkPrincipal(principal);
  return await ports.meta.transact(async (tx) => {
    const key = await keyFor(call, tx, request.key, {
      action: 'CreateGrant',
      grantTokens: request.grantTokens,
      isGrantable: true,
      grantFits: (parent) => isNarrower(parent, request),
      isCrossAccount: true,
      keys: conditionsOf(call, request),
    });
    requireEnabled(key, ports.clock.nowMs());
    if (request.isRehearsal) refuseKms({ kind: 'would-succeed' });
    const granteeId = await idOf(tx, grantee);
    const retiringId = retiring === null ? null : await idOf(tx, retiring);
    const again = name === null ? null : await sameGrant(tx, key, { ...request, granteeId, retiringId });
    const grant: Grant = again ?? {
      id: ports.random.bytes(32).toString('hex'),
      key: key.id,
      name,
      grantee,
      retiring,
      granteeId,
      retiringId,
      operations: [...new Set(operations)],
      constraints,
      issuer: call.scope.account,
      createdAtMs: ports.clock.nowMs(),
    };
    if (again === null) {
      if ((await tx.documents.count(grantKind, key, key.id)) >= KMS_LIMITS.grantsPerKeyMax) {
        refuseKms({ kind: 'limit', what: 'grants of a key', max: KMS_LIMITS.grantsPerKeyMax });
      }
      await tx.documents.insert(grantKind, key, grant);
    }
    return { grant, token: makeGrantToken(ports.vault, { scope: key, key: key.id, grant: grant.id }) };
  });
}

/** Refuses a user or role that is not there: malformed-arn. */
async function idOf(tx: ReadTx, arn: string): Promise<string | null> {
  const id = await idOfPrincipal(tx, arn);
  return id === 'none' ? refuseKms({ kind: 'malformed-arn', arn }) : id;
}

function conditionsOf(call: KmsCall, request: CreateGrant): readonly (readonly [string, readonly string[]])[] {
  const { subset, equals } = request.constraints;
  const types = [
    ...(subset === null ? [] : ['EncryptionContextSubset']),
    ...(equals === null ? [] : ['EncryptionContextEquals']),
  ];
  return [
    ['kms:granteeprincipal', [request.grantee]],
    ['kms:grantoperations', request.operations],
    ['kms:grantisforawsresource', [String(call.caller.via !== null)]],
    ...(request.retiring === null ? [] : [['kms:retiringprincipal', [request.retiring]] as const]),
    ...(types.length === 0 ? [] : [['kms:grantconstrainttype', types] as const]),
  ];
}

type Asked = Pick<Grant, 'grantee' | 'granteeId' | 'retiring' | 'retiringId' | 'operations' | 'constraints' | 'name'>;

async function sameGrant(tx: ReadTx, key: KmsKey, request: Asked): Promise<Grant | null> {
  const textOf = (grant: Asked): string => {
    const { grantee, granteeId, retiring, retiringId, constraints, name } = grant;
    const { subset, equals } = constraints;
    return JSON.stringify([
      grantee,
      granteeId,
      retiring,
      retiringId,
      [...new Set(grant.operations)].toSorted(),
      sorted(subset),
      sorted(equals),
      name,
    ]);
  };
  const wanted = textOf(request);
  return (await ofOwner(tx, grantKind, key, key.id)).find((grant) => textOf(grant) === wanted) ?? null;
}

function sorted(context: Readonly<Record<string, string>> | null): readonly (readonly [string, string])[] | null {
  return context === null ? null : Object.entries(context).toSorted(([one], [other]) => (one < other ? -1 : 1));
}

export interface ListGrants extends PageOf {
  readonly key: string;
  readonly grant: string | null;
  readonly grantee: string | null;
}

/** Of one key, in the order of creation. Refuses: as keyFor; page-token-invalid. */
export async function listGrants(
  call: KmsCall,
  request: ListGrants,
): Promise<{ readonly key: KmsKey; readonly records: readonly Grant[]; readonly next: string | null }> {
  const { ports, scope } = call;
  const { grant, grantee } = request;
  const key = await ports.meta.read((tx) =>
    keyFor(call, tx, request.key, { action: 'ListGrants', isCrossAccount: true }),
  );
  const list = `kms grants ${keyArn(key)} ${grant} ${grantee}`;
  const match = (one: Grant): boolean =>
    (grant === null || one.id === grant) && (grantee === null || one.grantee === grantee);
  const page = await readPage<Grant>(ports, scope, list, { ...request, match }, (part) =>
    ports.meta.read((tx) => tx.documents.list(grantKind, key, key.id, part)),
  );
  return { key, ...page };
}

/** Of keys of any account in the region, those that a principal of the caller's account may retire. Refuses: denied, malformed-arn; page-token-invalid. */
export async function listRetirable(
  call: KmsCall,
  request: PageOf & { readonly retiring: string },
): Promise<{ readonly records: readonly (Scope & { readonly record: Grant })[]; readonly next: string | null }> {
  const { ports, scope } = call;
  const { retiring } = request;
  checkPrincipal(retiring);
  authorizeAccount(call, 'ListRetirableGrants');
  if (retiring.split(':')[4] !== scope.account) {
    const by = 'nothing-allows';
    refuseKms({ kind: 'denied', principal: call.caller.arn, action: 'ListRetirableGrants', resource: retiring, by });
  }
  const match = (row: Scope & { readonly record: Grant }): boolean =>
    row.region === scope.region && row.record.retiring === retiring;
  return await readPage(ports, scope, `kms retirable grants ${retiring}`, { ...request, match }, (part) =>
    ports.meta.read((tx) => tx.documents.all(grantKind, part)),
  );
}

/** By who has a say over the key. Refuses: as keyFor; grant-not-found; would-succeed. */
export async function revokeGrant(
  call: KmsCall,
  request: { readonly key: string; readonly grant: string; readonly isRehearsal: boolean },
): Promise<void> {
  await call.ports.meta.transact(async (tx) => {
    const keys = [['kms:grantisforawsresource', [String(call.caller.via !== null)]]] as const;
    const key = await keyFor(call, tx, request.key, { action: 'RevokeGrant', isCrossAccount: true, keys });
    const grant = await tx.documents.find(grantKind, key, request.grant);
    if (grant === null || grant.key !== key.id) refuseKms({ kind: 'grant-not-found', grant: request.grant });
    if (request.isRehearsal) refuseKms({ kind: 'would-succeed' });
    await tx.documents.remove(grantKind, key, grant.id);
  });
}

/** Which grant: by its token, or by its id and the ARN of its key. */
export type RetiredGrant = { readonly token: string } | { readonly key: string; readonly grant: string };

/**
 * By the retiring principal, by the grantee whose grant says so, or by who issued it. Refuses: grant-token, malformed-arn,
 * grant-not-found, denied; would-succeed.
 */
export async function retireGrant(
  call: KmsCall,
  request: { readonly which: RetiredGrant; readonly isRehearsal: boolean },
): Promise<void> {
  const { ports } = call;
  const named = nameOf(call, request.which);
  await ports.meta.transact(async (tx) => {
    const key = await tx.documents.find(keyKind, named.scope, named.key);
    const grant = key === null ? null : await tx.documents.find(grantKind, named.scope, named.grant);
    if (key === null || grant === null || grant.key !== key.id || !(await mayRetire(call, tx, key, grant))) {
      // Also when it is there: who may not retire it does not learn that.
      refuseKms({ kind: 'grant-not-found', grant: named.grant });
    }
    if (request.isRehearsal) refuseKms({ kind: 'would-succeed' });
    await tx.documents.remove(grantKind, key, grant.id);
  });
}

function nameOf(
  call: KmsCall,
  which: RetiredGrant,
): { readonly scope: Scope; readonly key: string; readonly grant: string } {
  if ('token' in which) return readGrantToken(call.ports.vault, which.token);
  const ref = parseKeyOnly(call.scope, which.key);
  return { scope: ref.scope, key: ref.id, grant: which.grant };
}

async function mayRetire(call: KmsCall, tx: ReadTx, key: KmsKey, grant: Grant): Promise<boolean> {
  const { caller, scope } = call;
  const use = { action: 'RetireGrant', isCrossAccount: true };
  const decision = decideOnKey(caller, key, 'RetireGrant', await contextsOf(call, tx, key, use, null));
  if (decision === 'explicit-deny') return false;
  const is = (named: string | null): boolean =>
    named !== null && caller.principal.arns.some((arn) => isPrincipal(named, arn));
  if (is(retiringOf(grant))) return true;
  if (is(granteeOf(grant)) && grant.operations.includes('RetireGrant')) return true;
  return decision === 'allowed' && scope.account === grant.issuer;
}
