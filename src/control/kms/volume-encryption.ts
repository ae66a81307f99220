import type { Encryption } from '#domain/encryption.ts';
import type { Lineage } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import { type Caller, type KmsCall, rootCaller } from './access.ts';
import { encryptionOfLine } from './copy-lines.ts';
import { newDataKey, openDataKey, resolveKey, rewrapDataKey } from './data-keys.ts';
import { readEbsDefaults } from './ebs-defaults.ts';

/** What a request says about encryption. */
export interface EncryptionAsked {
  /** It asks for it; what is encrypted already stays so in any case. */
  readonly isEncrypted: boolean;
  /** As the client gave it; null: none. */
  readonly key: string | null;
}

export const NOTHING_ASKED: EncryptionAsked = { isEncrypted: false, key: null };

/** What something new is made of; `encryption` null: that is not encrypted. */
export interface EncryptedOrigin extends Scope {
  readonly encryption: Encryption | null;
}

/** Who asks for the key, through the service; without a caller it is the account itself. */
export function encryptionCall(ports: ControlPorts, scope: Scope, caller: Caller | null): KmsCall {
  return { ports, scope, caller: { ...(caller ?? rootCaller(scope.account)), via: 'ec2' } };
}

/**
 * How a new volume is encrypted; null: it is not. Made of something encrypted, it has that data key, under the same KMS key
 * unless another is named, or that is another account's. Everything else has a new data key, when the request or the account
 * wants it encrypted. Refuses: key-unusable.
 */
export async function encryptionOfVolume(
  call: KmsCall,
  asked: EncryptionAsked,
  origin: EncryptedOrigin | null,
): Promise<Encryption | null> {
  const before = origin?.encryption ?? null;
  if (origin === null || before === null) return await encryptionOfNew(call, asked);
  const isOwn = origin.account === call.scope.account;
  if (asked.key === null && isOwn) return await keepEncryption(call, before);
  return await encryptionUnder(call, before, await resolveKey(call, asked.key));
}

/**
 * How a copy of a snapshot is encrypted: under the key that is named, or else the default of where the copy will be. Under
 * the KMS key of its source it has the same data key; under another one, that of all such copies (copy-lines.ts). Refuses:
 * key-unusable.
 */
export async function encryptionOfCopy(
  call: KmsCall,
  asked: EncryptionAsked,
  source: EncryptedOrigin & { readonly lineage: Lineage },
): Promise<Encryption | null> {
  const { encryption, lineage } = source;
  if (encryption === null && !(await isEncryptedNow(call, asked))) return null;
  const arn = await resolveKey(call, asked.key);
  if (encryption?.keyArn === arn) return await keepEncryption(call, encryption);
  // Only for whether the caller may: the copy gets another data key.
  if (encryption !== null) await rewrapDataKey(call, encryption, arn);
  return await encryptionOfLine(call, lineage, arn);
}

async function encryptionOfNew(call: KmsCall, asked: EncryptionAsked): Promise<Encryption | null> {
  if (!(await isEncryptedNow(call, asked))) return null;
  const made = await newDataKey(call, await resolveKey(call, asked.key));
  made.plaintext.fill(0);
  return made.encryption;
}

async function isEncryptedNow(call: KmsCall, { isEncrypted }: EncryptionAsked): Promise<boolean> {
  return isEncrypted || (await readEbsDefaults(call.ports, call.scope)).isEncrypted;
}

/** Whether a caller may read and write what is so encrypted; null: it is not. Refuses: key-unusable. */
export async function checkUse(call: KmsCall, encryption: Encryption | null): Promise<void> {
  if (encryption !== null) await keepEncryption(call, encryption);
}

/** The same, for who may use it. */
async function keepEncryption(call: KmsCall, encryption: Encryption): Promise<Encryption> {
  (await openDataKey(call, encryption)).fill(0);
  return encryption;
}

async function encryptionUnder(call: KmsCall, encryption: Encryption, arn: string): Promise<Encryption> {
  if (encryption.keyArn === arn) return await keepEncryption(call, encryption);
  return await rewrapDataKey(call, encryption, arn);
}
