import { aliasArn, checkAliasName, keyArn, parseKeyOnly } from '#domain/kms/arn.ts';
import { refuseKms } from '#domain/kms/failure.ts';
import { type KmsKey, NOT_PENDING_DELETION, requireState } from '#domain/kms/key.ts';
import { KMS_LIMITS } from '#domain/kms/limits.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { readPage } from '#control/pages.ts';
import { authorize, authorizeAccount, keyFor, type KmsCall } from './access.ts';
import type { PageOf } from './keys.ts';
import { type Alias, aliasKind, keyKind } from './records.ts';

/** Refuses: alias-name, alias-reserved, alias-taken, limit, key-state; denied on the alias or the key. */
export async function createAlias(call: KmsCall, name: string, target: string): Promise<void> {
  const { ports, scope } = call;
  checkAliasName(name);
  mayOnAlias(call, 'CreateAlias', name);
  await ports.meta.transact(async (tx) => {
    const key = await targetOf(call, tx, target, 'CreateAlias');
    if ((await tx.documents.find(aliasKind, scope, name)) !== null) {
      refuseKms({ kind: 'alias-taken', alias: aliasArn(scope, name) });
    }
    await checkAliasCount(tx, key);
    const nowMs = ports.clock.nowMs();
    await tx.documents.insert(aliasKind, scope, { name, key: key.id, createdAtMs: nowMs, updatedAtMs: nowMs });
  });
}

/** Points it at another key. Refuses: alias-not-found, limit, key-state (of the new key); denied. */
export async function updateAlias(call: KmsCall, name: string, target: string): Promise<void> {
  const { ports, scope } = call;
  checkAliasName(name);
  mayOnAlias(call, 'UpdateAlias', name);
  await ports.meta.transact(async (tx) => {
    const key = await targetOf(call, tx, target, 'UpdateAlias');
    const alias = await aliasNamed(call, tx, name);
    await authorizeOnTarget(call, tx, alias, 'UpdateAlias');
    if (alias.key !== key.id) await checkAliasCount(tx, key);
    await tx.documents.update(aliasKind, scope, { ...alias, key: key.id, updatedAtMs: ports.clock.nowMs() });
  });
}

/** Refuses: alias-not-found; denied. */
export async function deleteAlias(call: KmsCall, name: string): Promise<void> {
  const { ports, scope } = call;
  checkAliasName(name);
  mayOnAlias(call, 'DeleteAlias', name);
  await ports.meta.transact(async (tx) => {
    const alias = await aliasNamed(call, tx, name);
    await authorizeOnTarget(call, tx, alias, 'DeleteAlias');
    await tx.documents.remove(aliasKind, scope, name);
  });
}

/** In the order of creation; of one key, or all. Refuses: denied, key-not-found; page-token-invalid. */
export async function listAliases(
  call: KmsCall,
  page: PageOf & { readonly key: string | null },
): Promise<{ readonly records: readonly Alias[]; readonly next: string | null }> {
  const { ports, scope } = call;
  authorizeAccount(call, 'ListAliases');
  const owner = page.key === null ? null : await ports.meta.read((tx) => keyId(call, tx, page.key ?? ''));
  return await readPage<Alias>(ports, scope, `kms aliases ${owner}`, page, (part) =>
    ports.meta.read((tx) => tx.documents.list(aliasKind, scope, owner, part)),
  );
}

async function keyId(call: KmsCall, tx: ReadTx, text: string): Promise<string> {
  const ref = parseKeyOnly(call.scope, text);
  const isOwn = ref.scope.account === call.scope.account;
  const key = isOwn ? await tx.documents.find(keyKind, ref.scope, ref.id) : null;
  return key?.id ?? refuseKms({ kind: 'key-not-found', key: keyArn({ ...ref.scope, id: ref.id }) });
}

/** The key that an alias is to name: of the same account and region, and not on its way to deletion. */
async function targetOf(call: KmsCall, tx: ReadTx, target: string, action: string): Promise<KmsKey> {
  const key = await keyFor(call, tx, target, { action });
  requireState(key, call.ports.clock.nowMs(), NOT_PENDING_DELETION);
  return key;
}

function mayOnAlias(call: KmsCall, action: string, name: string): void {
  authorizeAccount(call, action, { resource: aliasArn(call.scope, name) });
}

async function aliasNamed(call: KmsCall, tx: ReadTx, name: string): Promise<Alias> {
  const alias = await tx.documents.find(aliasKind, call.scope, name);
  return alias ?? refuseKms({ kind: 'alias-not-found', alias: aliasArn(call.scope, name) });
}

/** Of the key that the alias names now. */
async function authorizeOnTarget(call: KmsCall, tx: ReadTx, alias: Alias, action: string): Promise<void> {
  const key = await tx.documents.find(keyKind, call.scope, alias.key);
  if (key !== null) await authorize(call, tx, key, { action });
}

async function checkAliasCount(tx: ReadTx, key: KmsKey): Promise<void> {
  if ((await tx.documents.count(aliasKind, key, key.id)) >= KMS_LIMITS.aliasesPerKeyMax) {
    refuseKms({ kind: 'limit', what: 'aliases of a key', max: KMS_LIMITS.aliasesPerKeyMax });
  }
}
