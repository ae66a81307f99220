import { uuid } from '#base/random.ts';
import type { Encryption } from '#domain/encryption.ts';
import { DomainError, type KeyProblem, refuse } from '#domain/errors.ts';
import { keyArn } from '#domain/kms/arn.ts';
import { parseCiphertext } from '#domain/kms/ciphertext.ts';
import { KmsError, type KmsFailure } from '#domain/kms/failure.ts';
import { requireEnabled } from '#domain/kms/key.ts';
import type { ControlPorts } from '#control/ports.ts';
import { keyFor, type KeyUse, type KmsCall } from './access.ts';
import { readEbsDefaults } from './ebs-defaults.ts';
import { EBS_ALIAS, ensureManagedKey } from './managed-keys.ts';
import { openFor, openUnasked, sealFor } from './messages.ts';

/*
 * Keys of volumes and snapshots, for the rest of control. Their data is encrypted with a data key, 32 random bytes; a KMS key
 * seals it, and the sealed form stands in the record of the volume and of every snapshot of its line (domain/encryption.ts).
 *
 *   to make   resolveKey, newDataKey    the caller may kms:GenerateDataKeyWithoutPlaintext
 *   to use    openDataKey               the KMS key is enabled; a caller may kms:Decrypt
 *   to change rewrapDataKey             the caller may kms:ReEncryptFrom the one key and kms:ReEncryptTo the other
 *
 * Whoever has the bytes overwrites them when done. When the KMS key is destroyed, no sealed form opens any more.
 */

export const DATA_KEY_BYTES = 32;

export interface DataKey {
  readonly plaintext: Buffer;
  readonly encryption: Encryption;
}

/**
 * Full ARN of the key that new data is sealed with: `text` as a client gave it (id, alias, or ARN of either, also of another
 * account), or null: the default of the account and region. Refuses: key-unusable.
 */
export async function resolveKey(call: KmsCall, text: string | null): Promise<string> {
  const { ports, scope } = call;
  const named = text ?? (await readEbsDefaults(ports, scope)).keyArn ?? EBS_ALIAS;
  return await inDomainWords(named, async () => {
    await ensureManagedKey(ports, scope, named);
    const use = useOf('GenerateDataKeyWithoutPlaintext', null);
    const key = await ports.meta.read((tx) => keyFor(call, tx, named, use));
    requireEnabled(key, ports.clock.nowMs());
    return keyArn(key);
  });
}

/** A new data key. `arn`: of resolveKey. Refuses: key-unusable. */
export async function newDataKey(call: KmsCall, arn: string): Promise<DataKey> {
  const plaintext = call.ports.random.bytes(DATA_KEY_BYTES);
  const dataKeyId = uuid(call.ports.random);
  const sealed = await seal(call, arn, 'GenerateDataKeyWithoutPlaintext', { plaintext, dataKeyId });
  return { plaintext, encryption: sealed };
}

/** The data key of a record, for a caller who may use it. Refuses: key-unusable. */
export async function openDataKey(call: KmsCall, encryption: Encryption): Promise<Buffer> {
  return await open(call, encryption, 'Decrypt');
}

/**
 * The data key of a record for the server itself, which serves what was made by who was allowed to: only the state of the key
 * decides. Refuses: key-unusable (disabled, pending deletion or import, destroyed).
 */
export async function openDataKeyUnasked(
  ports: Pick<ControlPorts, 'meta' | 'clock' | 'vault'>,
  encryption: Encryption,
): Promise<Buffer> {
  return await inDomainWords(encryption.keyArn, () =>
    openUnasked(ports, sealedBytes(encryption), contextOf(encryption.dataKeyId)),
  );
}

/**
 * The same data key under another KMS key, perhaps of another region: for a volume, which reads through to what has it.
 * `call.scope` is where the volume will be. Refuses: key-unusable (either key).
 */
export async function rewrapDataKey(call: KmsCall, encryption: Encryption, arn: string): Promise<Encryption> {
  const { dataKeyId } = encryption;
  const region = parseCiphertext(sealedBytes(encryption))?.scope.region ?? call.scope.region;
  const plaintext = await open({ ...call, scope: { ...call.scope, region } }, encryption, 'ReEncryptFrom');
  try {
    return await seal(call, arn, 'ReEncryptTo', { plaintext, dataKeyId });
  } finally {
    plaintext.fill(0);
  }
}

async function seal(
  call: KmsCall,
  arn: string,
  action: string,
  { plaintext, dataKeyId }: { readonly plaintext: Buffer; readonly dataKeyId: string },
): Promise<Encryption> {
  return await inDomainWords(arn, async () => {
    const options = { context: contextOf(dataKeyId), grantTokens: [], isRehearsal: false };
    const sealed = await sealFor(call, arn, useOf(action, options.context), options, () => plaintext);
    return { keyArn: sealed.keyArn, dataKeyId, sealedKey: sealed.ciphertext.toString('base64') };
  });
}

async function open(call: KmsCall, encryption: Encryption, action: string): Promise<Buffer> {
  return await inDomainWords(encryption.keyArn, async () => {
    const context = contextOf(encryption.dataKeyId);
    const asked = { ciphertext: sealedBytes(encryption), key: null, context };
    return (await call.ports.meta.read((tx) => openFor(call, tx, useOf(action, context), asked))).plaintext;
  });
}

function sealedBytes({ sealedKey }: Encryption): Buffer {
  return Buffer.from(sealedKey, 'base64');
}

/** What a sealed data key is bound to: it opens for no other record. */
function contextOf(dataKeyId: string): Readonly<Record<string, string>> {
  return { 'aws:ebs:id': dataKeyId };
}

function useOf(action: string, context: Readonly<Record<string, string>> | null): KeyUse {
  return { action, context, isGrantable: true, isCrossAccount: true, takesAlias: true };
}

/** Whatever KMS refuses is one refusal here: the key cannot be used, and why. */
async function inDomainWords<R>(key: string, act: () => Promise<R>): Promise<R> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof KmsError) || error instanceof DomainError) throw error;
    return refuse({ kind: 'key-unusable', key, problem: problemOf(error.failure) });
  }
}

function problemOf(failure: KmsFailure): KeyProblem {
  if (failure.kind === 'disabled' || failure.kind === 'denied') return failure.kind;
  if (failure.kind === 'key-state') {
    return failure.state === 'is pending deletion' ? 'pending-deletion' : 'pending-import';
  }
  const isGone = failure.kind === 'ciphertext' || failure.kind === 'ciphertext-unseen';
  return isGone ? 'destroyed' : 'not-found';
}
