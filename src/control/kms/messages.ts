import { present } from '#base/assert.ts';
import {
  type Ciphertext,
  type EncryptionContext,
  MESSAGE_RANDOM_BYTES,
  openMessage,
  parseCiphertext,
  sealMessage,
} from '#domain/kms/ciphertext.ts';
import { keyArn, parseKeyRef } from '#domain/kms/arn.ts';
import { refuseKms } from '#domain/kms/failure.ts';
import { currentMaterial, type KmsKey, requireEnabled } from '#domain/kms/key.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';
import { authorize, authorizeAccount, findKey, keyFor, type KeyUse, type KmsCall } from './access.ts';
import { ensureManagedKey } from './managed-keys.ts';
import { keyKind, openMaterial } from './records.ts';

/** What every cryptographic operation takes. */
export interface MessageOptions {
  readonly context: EncryptionContext;
  readonly grantTokens: readonly string[];
  /** Decide, and do nothing: refuses would-succeed. */
  readonly isRehearsal: boolean;
}

export interface Sealed {
  readonly ciphertext: Buffer;
  readonly keyArn: string;
  readonly materialId: string;
}

export interface Opened {
  readonly plaintext: Buffer;
  readonly keyArn: string;
  readonly materialId: string;
}

/** Seals with a key's current material. Refuses: as keyFor; disabled, key-state; would-succeed. */
export async function encrypt(
  call: KmsCall,
  request: MessageOptions & { readonly key: string; readonly plaintext: Uint8Array },
): Promise<Sealed> {
  return await sealFor(call, request.key, { action: 'Encrypt', ...useOf(request) }, request, () => request.plaintext);
}

/** New random bytes, sealed. Refuses: as encrypt. */
export async function generateDataKey(
  call: KmsCall,
  request: MessageOptions & { readonly key: string; readonly bytes: number; readonly action: string },
): Promise<Sealed & { readonly plaintext: Buffer }> {
  const plaintext = call.ports.random.bytes(request.bytes);
  const use = { action: request.action, ...useOf(request) };
  return { plaintext, ...(await sealFor(call, request.key, use, request, () => plaintext)) };
}

/**
 * Opens what a key sealed; the ciphertext names the key, and `key` must be that one. Refuses: ciphertext, ciphertext-unseen,
 * wrong-key, denied, disabled, key-state; would-succeed.
 */
export async function decrypt(
  call: KmsCall,
  request: MessageOptions & { readonly ciphertext: Uint8Array; readonly key: string | null },
): Promise<Opened> {
  const { key, ciphertext } = request;
  if (key !== null) await ensureManagedKey(call.ports, call.scope, key);
  return await call.ports.meta.read(async (tx) => {
    const opened = await openFor(call, tx, { action: 'Decrypt', ...useOf(request) }, { ...request, key, ciphertext });
    if (!request.isRehearsal) return opened;
    opened.plaintext.fill(0);
    return refuseKms({ kind: 'would-succeed' });
  });
}

export interface ReEncrypt {
  readonly ciphertext: Uint8Array;
  readonly sourceKey: string | null;
  readonly sourceContext: EncryptionContext;
  readonly destinationKey: string;
  readonly destinationContext: EncryptionContext;
  readonly grantTokens: readonly string[];
  readonly isRehearsal: boolean;
}

/** Seals with another key, or another context, what nobody sees on the way. Refuses: as decrypt and encrypt. */
export async function reEncrypt(
  call: KmsCall,
  request: ReEncrypt,
): Promise<{ readonly source: Omit<Opened, 'plaintext'>; readonly sealed: Sealed }> {
  const { ports } = call;
  const { grantTokens, isRehearsal } = request;
  await ensureManagedKey(ports, call.scope, request.destinationKey);
  return await ports.meta.read(async (tx) => {
    const parsed = parse(request.ciphertext);
    const destination = await locate(call, tx, request.destinationKey);
    const isSame = destination?.id === parsed.keyId && destination.account === parsed.scope.account;
    const keys = [['kms:reencryptonsamekey', [String(isSame)]]] as const;
    const from = { context: request.sourceContext, grantTokens, isRehearsal };
    const to = { context: request.destinationContext, grantTokens, isRehearsal };
    const source = await openFor(
      call,
      tx,
      { action: 'ReEncryptFrom', ...useOf(from), keys },
      {
        ...from,
        ciphertext: request.ciphertext,
        key: request.sourceKey,
      },
    );
    try {
      const key = await keyFor(call, tx, request.destinationKey, { action: 'ReEncryptTo', ...useOf(to), keys });
      const sealed = await sealWith(call, tx, key, to, () => source.plaintext);
      return { source: { keyArn: source.keyArn, materialId: source.materialId }, sealed };
    } finally {
      source.plaintext.fill(0);
    }
  });
}

/** Refuses: denied. */
export function generateRandom(call: KmsCall, bytes: number): Buffer {
  authorizeAccount(call, 'GenerateRandom');
  return call.ports.random.bytes(bytes);
}

function useOf(options: MessageOptions): Omit<KeyUse, 'action'> {
  const { context, grantTokens } = options;
  return { context, grantTokens, isGrantable: true, isCrossAccount: true, takesAlias: true };
}

/** Which key a text names, whoever may use it; null: none. */
async function locate(call: KmsCall, tx: ReadTx, text: string): Promise<KmsKey | null> {
  return await findKey(tx, parseKeyRef(call.scope, text));
}

/** Seals for whoever may do `use`. Refuses: as encrypt. */
export async function sealFor(
  call: KmsCall,
  text: string,
  use: KeyUse,
  options: MessageOptions,
  plaintext: () => Uint8Array,
): Promise<Sealed> {
  await ensureManagedKey(call.ports, call.scope, text);
  return await call.ports.meta.read(async (tx) => {
    const key = await keyFor(call, tx, text, use);
    return await sealWith(call, tx, key, options, plaintext);
  });
}

async function sealWith(
  { ports }: KmsCall,
  tx: ReadTx,
  key: KmsKey,
  { context, isRehearsal }: MessageOptions,
  plaintext: () => Uint8Array,
): Promise<Sealed> {
  requireEnabled(key, ports.clock.nowMs());
  if (isRehearsal) refuseKms({ kind: 'would-succeed' });
  const { id } = present(currentMaterial(key), 'an enabled key has material');
  const material = present(await openMaterial(ports.vault, tx, key, id), 'material that is here is in the metadata');
  try {
    const header = { scope: key, keyId: key.id, materialId: id };
    const random = ports.random.bytes(MESSAGE_RANDOM_BYTES);
    const ciphertext = sealMessage(header, material, { plaintext: plaintext(), context, random });
    return { ciphertext, keyArn: keyArn(key), materialId: id };
  } finally {
    material.fill(0);
  }
}

function parse(bytes: Uint8Array): Ciphertext {
  return parseCiphertext(bytes) ?? refuseKms({ kind: 'ciphertext' });
}

/** Opens for whoever may do `use`. Refuses: as decrypt. */
export async function openFor(
  call: KmsCall,
  tx: ReadTx,
  use: KeyUse,
  request: { readonly ciphertext: Uint8Array; readonly key: string | null; readonly context: EncryptionContext },
): Promise<Opened> {
  const { ports, scope } = call;
  const parsed = parse(request.ciphertext);
  const named = request.key === null ? null : await keyFor(call, tx, request.key, use);
  if (named !== null && (named.id !== parsed.keyId || named.account !== parsed.scope.account)) {
    refuseKms({ kind: 'wrong-key' });
  }
  const key =
    parsed.scope.region === scope.region ? await tx.documents.find(keyKind, parsed.scope, parsed.keyId) : null;
  if (key === null) refuseKms({ kind: 'ciphertext-unseen' });
  if (named === null) await authorize(call, tx, key, use);
  return await openWith(ports, tx, key, { parsed, context: request.context });
}

type OpeningPorts = Pick<ControlPorts, 'meta' | 'clock' | 'vault'>;

/** Opens for the server itself: only the state of the key decides. Refuses: ciphertext, ciphertext-unseen, disabled, key-state. */
export async function openUnasked(
  ports: OpeningPorts,
  ciphertext: Uint8Array,
  context: EncryptionContext,
): Promise<Buffer> {
  const parsed = parse(ciphertext);
  return await ports.meta.read(async (tx) => {
    const key = await tx.documents.find(keyKind, parsed.scope, parsed.keyId);
    if (key === null) refuseKms({ kind: 'ciphertext-unseen' });
    return (await openWith(ports, tx, key, { parsed, context })).plaintext;
  });
}

async function openWith(
  ports: OpeningPorts,
  tx: ReadTx,
  key: KmsKey,
  { parsed, context }: { readonly parsed: Ciphertext; readonly context: EncryptionContext },
): Promise<Opened> {
  requireEnabled(key, ports.clock.nowMs());
  const material = await openMaterial(ports.vault, tx, key, parsed.materialId);
  if (material === null) refuseKms({ kind: 'ciphertext' });
  try {
    const plaintext = openMessage(parsed, material, context) ?? refuseKms({ kind: 'ciphertext' });
    return { plaintext, keyArn: keyArn(key), materialId: parsed.materialId };
  } finally {
    material.fill(0);
  }
}
