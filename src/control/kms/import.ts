import { constants, createPrivateKey, generateKeyPair, privateDecrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { keyArn } from '#domain/kms/arn.ts';
import { MATERIAL_BYTES } from '#domain/kms/ciphertext.ts';
import { refuseKms } from '#domain/kms/failure.ts';
import {
  currentMaterial,
  type KeyMaterial,
  type KmsKey,
  keyState,
  NOT_PENDING_DELETION,
  requireState,
} from '#domain/kms/key.ts';
import { DAY_MS, KMS_LIMITS } from '#domain/kms/limits.ts';
import type { Scope } from '#domain/volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import { keyFor, type KmsCall } from './access.ts';
import { changeKey } from './keys.ts';
import { putMaterial, removeMaterial } from './records.ts';
import type { KeyVault } from './vault.ts';

/*
 * Material that its owner brings. The owner asks for parameters: a public key, and a token that is the private key, sealed:
 * the server keeps nothing. The owner wraps the material with the public key and sends both back. What was once imported can
 * be deleted, or expire, and only the same bytes can take its place.
 */

const newKeyPair = promisify(generateKeyPair);

export type OaepHash = 'sha1' | 'sha256';

/** What the token holds. */
interface ImportParameters {
  readonly hash: OaepHash;
  readonly validToMs: number;
  /** PKCS #8, DER, in base64. */
  readonly privateKey: string;
}

/** Refuses: as keyFor; unsupported (made here), key-state (pending deletion). */
export async function parametersForImport(
  call: KmsCall,
  request: {
    readonly key: string;
    readonly hash: OaepHash;
    readonly modulusBits: number;
    readonly words: readonly [string, string];
  },
): Promise<{
  readonly keyArn: string;
  readonly token: Buffer;
  readonly publicKey: Buffer;
  readonly validToMs: number;
}> {
  const { ports } = call;
  const [algorithm, spec] = request.words;
  const keys = [['kms:wrappingalgorithm', [algorithm]] as const, ['kms:wrappingkeyspec', [spec]] as const];
  const key = await ports.meta.read((tx) => keyFor(call, tx, request.key, { action: 'GetParametersForImport', keys }));
  requireImported(key);
  requireState(key, ports.clock.nowMs(), NOT_PENDING_DELETION);
  const { publicKey, privateKey } = await newKeyPair('rsa', {
    modulusLength: request.modulusBits,
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  });
  const validToMs = ports.clock.nowMs() + KMS_LIMITS.importParametersMs;
  const parameters: ImportParameters = { hash: request.hash, validToMs, privateKey: privateKey.toString('base64') };
  const token = ports.vault.seal(tokenPurpose(key), Buffer.from(JSON.stringify(parameters)));
  return { keyArn: keyArn(key), token: Buffer.from(token, 'base64'), publicKey, validToMs };
}

export interface ImportMaterial {
  readonly key: string;
  readonly token: Uint8Array;
  readonly wrapped: Uint8Array;
  /** Null: it does not expire. */
  readonly expiresAtMs: number | null;
  /** Null: new for a key that has none, and what the key had otherwise. */
  readonly isNew: boolean | null;
  /** Of what is there already; null: whichever it is. */
  readonly materialId: string | null;
  readonly description: string | null;
}

/** Refuses: as keyFor; unsupported, key-state, import-token, ciphertext, import-material, invalid. */
export async function importMaterial(
  call: KmsCall,
  request: ImportMaterial,
): Promise<{ readonly key: KmsKey; readonly materialId: string }> {
  const { ports } = call;
  const { expiresAtMs } = request;
  const model = expiresAtMs === null ? 'KEY_MATERIAL_DOES_NOT_EXPIRE' : 'KEY_MATERIAL_EXPIRES';
  const keys = [
    ['kms:expirationmodel', [model]] as const,
    ...(expiresAtMs === null ? [] : [['kms:validto', [new Date(expiresAtMs).toISOString()]] as const]),
  ];
  let materialId = '';
  const key = await changeKey(call, request.key, { action: 'ImportKeyMaterial', keys }, async (found, nowMs, tx) => {
    requireImported(found);
    requireState(found, nowMs, NOT_PENDING_DELETION);
    checkExpiry(expiresAtMs, nowMs);
    const material = unwrap(ports.vault, found, request, nowMs);
    try {
      materialId = ports.vault.materialId(found.id, material);
      return await withImported(ports.vault, tx, found, {
        ...request,
        material,
        materialId: request.materialId,
        id: materialId,
        nowMs,
      });
    } finally {
      material.fill(0);
    }
  });
  return { key, materialId };
}

function checkExpiry(expiresAtMs: number | null, nowMs: number): void {
  if (expiresAtMs === null) return;
  if (expiresAtMs <= nowMs || expiresAtMs > nowMs + KMS_LIMITS.importValidDaysMax * DAY_MS) {
    const reason = `ValidTo must be in the future and at most ${KMS_LIMITS.importValidDaysMax} days from now`;
    refuseKms({ kind: 'invalid', reason });
  }
}

function unwrap(vault: KeyVault, key: KmsKey, request: ImportMaterial, nowMs: number): Buffer {
  const opened = vault.open(tokenPurpose(key), Buffer.from(request.token).toString('base64'));
  if (opened === null) refuseKms({ kind: 'import-token', isExpired: false });
  // Sealed by parametersForImport.
  const parameters = JSON.parse(opened.toString()) as ImportParameters;
  if (parameters.validToMs <= nowMs) refuseKms({ kind: 'import-token', isExpired: true });
  const material = decryptOaep(parameters, request.wrapped);
  if (material === null) refuseKms({ kind: 'ciphertext' });
  if (material.length !== MATERIAL_BYTES) {
    refuseKms({ kind: 'import-material', reason: `The key material must have ${MATERIAL_BYTES * 8} bits.` });
  }
  return material;
}

function decryptOaep({ privateKey, hash }: ImportParameters, wrapped: Uint8Array): Buffer | null {
  const key = createPrivateKey({ key: Buffer.from(privateKey, 'base64'), format: 'der', type: 'pkcs8' });
  try {
    return privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash }, wrapped);
  } catch {
    return null; // Not wrapped with this key, or in another way.
  }
}

async function withImported(
  vault: KeyVault,
  tx: Tx,
  key: KmsKey,
  request: Pick<ImportMaterial, 'isNew' | 'expiresAtMs' | 'description' | 'materialId'> & {
    readonly material: Uint8Array;
    readonly id: string;
    readonly nowMs: number;
  },
): Promise<KmsKey> {
  const { id, expiresAtMs, nowMs } = request;
  const isNew = request.isNew ?? key.materials.length === 0;
  const before = key.materials.find((material) => material.id === id);
  if (!isNew && (before === undefined || (request.materialId !== null && request.materialId !== id))) {
    refuseKms({ kind: 'import-material', reason: 'It is not the key material that was imported before.' });
  }
  if (isNew && before !== undefined) {
    refuseKms({ kind: 'import-material', reason: 'The key has this key material already.' });
  }
  if (isNew && key.materials.some(({ state }) => state === 'pending-rotation')) {
    refuseKms({ kind: 'key-state', key: keyArn(key), state: 'has key material that waits for a rotation' });
  }
  const wasPending = keyState(key, nowMs) === 'pending-import';
  await removeMaterial(tx, key, id);
  await putMaterial(vault, tx, key, request.material);
  const description = request.description ?? before?.description ?? null;
  const imported: KeyMaterial = {
    ...(before ?? { id, state: key.materials.length === 0 ? 'current' : 'pending-rotation', rotation: null }),
    isHere: true,
    expiresAtMs,
    description,
  };
  const materials =
    before === undefined
      ? [...key.materials, imported]
      : key.materials.map((material) => (material.id === id ? imported : material));
  return { ...key, materials, enabled: wasPending ? true : key.enabled };
}

/** The current material, or the one named: gone from the metadata, file and log, when it resolves. Refuses: as keyFor; unsupported, import-material. */
export async function deleteImportedMaterial(
  call: KmsCall,
  text: string,
  materialId: string | null,
): Promise<{ readonly key: KmsKey; readonly materialId: string | null }> {
  let deleted: string | null = null;
  const key = await changeKey(call, text, { action: 'DeleteImportedKeyMaterial' }, async (found, _nowMs, tx) => {
    requireImported(found);
    const material = materialId === null ? currentMaterial(found) : found.materials.find(({ id }) => id === materialId);
    if (material === undefined)
      refuseKms({ kind: 'import-material', reason: `The key has no material ${materialId}.` });
    deleted = material?.id ?? null;
    return material === null ? found : await withoutMaterial(tx, found, material.id);
  });
  await call.ports.meta.purge();
  return { key, materialId: deleted };
}

/** The key, whose material `id` can be imported again. */
export async function withoutMaterial(tx: Tx, key: KmsKey, id: string): Promise<KmsKey> {
  await removeMaterial(tx, key, id);
  const materials = key.materials.map((one) => (one.id === id ? { ...one, isHere: false, expiresAtMs: null } : one));
  return { ...key, materials };
}

function requireImported(key: KmsKey): void {
  if (key.origin === 'imported') return;
  const reason = `${keyArn(key)} origin is AWS_KMS which is not valid for this operation.`;
  refuseKms({ kind: 'unsupported', reason });
}

function tokenPurpose(key: Scope & { readonly id: string }): readonly string[] {
  return ['import token', key.account, key.region, key.id];
}
