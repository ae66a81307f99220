import type { Grant } from '#domain/kms/grant.ts';
import { type KmsKey } from '#domain/kms/key.ts';
import type { Scope } from '#domain/volume.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import type { KeyVault } from './vault.ts';

/** What KMS keeps in the metadata: docs/formats/kms-keys.md. */

export const keyKind: DocumentKind<KmsKey> = { name: 'kms-key', idOf: ({ id }) => id, ownerOf: () => null };

/** A record of its own, so that it can be removed and nothing of it stays. */
export interface SealedMaterial {
  readonly key: string;
  /** The material's id. */
  readonly id: string;
  readonly sealed: string;
}

export const materialKind: DocumentKind<SealedMaterial> = {
  name: 'kms-material',
  idOf: ({ key, id }) => materialRecordId(key, id),
  ownerOf: ({ key }) => key,
};

export interface Alias {
  /** With its prefix: `alias/database`. */
  readonly name: string;
  /** The key's id. */
  readonly key: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export const aliasKind: DocumentKind<Alias> = {
  name: 'kms-alias',
  idOf: ({ name }) => name,
  ownerOf: ({ key }) => key,
};

export const grantKind: DocumentKind<Grant> = { name: 'kms-grant', idOf: ({ id }) => id, ownerOf: ({ key }) => key };

function materialRecordId(key: string, id: string): string {
  return `${key}/${id}`;
}

export async function putMaterial(
  vault: KeyVault,
  tx: Tx,
  key: Scope & { readonly id: string },
  material: Uint8Array,
): Promise<string> {
  const id = vault.materialId(key.id, material);
  const sealed = vault.seal(materialPurpose(key, id), material);
  await tx.documents.insert(materialKind, key, { key: key.id, id, sealed });
  return id;
}

/** The bytes; null: they were deleted. Whoever gets them overwrites them when it is done. Throws when they do not open. */
export async function openMaterial(
  vault: KeyVault,
  tx: ReadTx,
  key: Scope & { readonly id: string },
  id: string,
): Promise<Buffer | null> {
  const record = await tx.documents.find(materialKind, key, materialRecordId(key.id, id));
  if (record === null) return null;
  const material = vault.open(materialPurpose(key, id), record.sealed);
  if (material === null) throw new Error(`the material ${id} of the KMS key ${key.id} is damaged in the metadata`);
  return material;
}

export async function removeMaterial(tx: Tx, key: Scope & { readonly id: string }, id: string): Promise<void> {
  await tx.documents.remove(materialKind, key, materialRecordId(key.id, id));
}

/** Every record of an owner; what is listed may be removed meanwhile. */
export async function ofOwner<R>(
  tx: ReadTx,
  kind: DocumentKind<R>,
  scope: Scope,
  owner: string | null,
): Promise<readonly R[]> {
  const found: R[] = [];
  for (let after = 0; ;) {
    const rows = await tx.documents.list(kind, scope, owner, { after, countMax: BATCH_ROWS });
    for (const { sequence, record } of rows) {
      found.push(record);
      after = sequence;
    }
    if (rows.length < BATCH_ROWS) return found;
  }
}

const BATCH_ROWS = 500;

function materialPurpose(key: Scope & { readonly id: string }, id: string): readonly string[] {
  return ['material', key.account, key.region, key.id, id];
}
