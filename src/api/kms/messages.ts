import type { KmsCall } from '#control/kms/access.ts';
import * as messages from '#control/kms/messages.ts';
import { KMS_LIMITS } from '#domain/kms/limits.ts';
import type * as model from '#wire/aws/models/kms.ts';
import { invalid, unsupported } from './errors.ts';

const ALGORITHM = 'SYMMETRIC_DEFAULT';
const CIPHERTEXT_BYTES_MAX = 6144;
const KEY_BYTES = { AES_128: 16, AES_256: 32 } as const satisfies Record<model.DataKeySpec, number>;

export async function encrypt(call: KmsCall, input: model.EncryptRequest): Promise<model.EncryptResponse> {
  checkAlgorithm(input.EncryptionAlgorithm);
  checkLength('Plaintext', input.Plaintext, KMS_LIMITS.plaintextBytesMax);
  const asked = { ...optionsOf(input), key: input.KeyId, plaintext: input.Plaintext };
  const { ciphertext, keyArn } = await messages.encrypt(call, asked);
  return { CiphertextBlob: ciphertext, KeyId: keyArn, EncryptionAlgorithm: ALGORITHM };
}

export async function decrypt(call: KmsCall, input: model.DecryptRequest): Promise<model.DecryptResponse> {
  checkAlgorithm(input.EncryptionAlgorithm);
  refuseRecipient(input);
  const ciphertext = ciphertextOf(input);
  const asked = { ...optionsOf(input), ciphertext, key: input.KeyId ?? null };
  const { plaintext, keyArn, materialId } = await messages.decrypt(call, asked);
  return { KeyId: keyArn, Plaintext: plaintext, EncryptionAlgorithm: ALGORITHM, KeyMaterialId: materialId };
}

export async function reEncrypt(call: KmsCall, input: model.ReEncryptRequest): Promise<model.ReEncryptResponse> {
  checkAlgorithm(input.SourceEncryptionAlgorithm);
  checkAlgorithm(input.DestinationEncryptionAlgorithm);
  const { source, sealed } = await messages.reEncrypt(call, {
    ciphertext: ciphertextOf(input),
    sourceKey: input.SourceKeyId ?? null,
    sourceContext: input.SourceEncryptionContext ?? {},
    destinationKey: input.DestinationKeyId,
    destinationContext: input.DestinationEncryptionContext ?? {},
    grantTokens: input.GrantTokens ?? [],
    isRehearsal: input.DryRun === true,
  });
  return {
    CiphertextBlob: sealed.ciphertext,
    SourceKeyId: source.keyArn,
    KeyId: sealed.keyArn,
    SourceEncryptionAlgorithm: ALGORITHM,
    DestinationEncryptionAlgorithm: ALGORITHM,
    SourceKeyMaterialId: source.materialId,
    DestinationKeyMaterialId: sealed.materialId,
  };
}

export async function generateDataKey(
  call: KmsCall,
  input: model.GenerateDataKeyRequest,
): Promise<model.GenerateDataKeyResponse> {
  refuseRecipient(input);
  const { plaintext, ...sealed } = await dataKey(call, input, 'GenerateDataKey');
  return { ...sealedView(sealed), Plaintext: plaintext };
}

export async function generateDataKeyWithoutPlaintext(
  call: KmsCall,
  input: model.GenerateDataKeyWithoutPlaintextRequest,
): Promise<model.GenerateDataKeyWithoutPlaintextResponse> {
  const { plaintext, ...sealed } = await dataKey(call, input, 'GenerateDataKeyWithoutPlaintext');
  plaintext.fill(0);
  return sealedView(sealed);
}

export async function generateRandom(
  call: KmsCall,
  input: model.GenerateRandomRequest,
): Promise<model.GenerateRandomResponse> {
  refuseRecipient(input);
  if (input.CustomKeyStoreId !== undefined) throw unsupported('Custom key stores are not supported by this server.');
  if (input.NumberOfBytes === undefined) throw invalid('NumberOfBytes is required');
  return { Plaintext: messages.generateRandom(call, bytesOf(input.NumberOfBytes)) };
}

async function dataKey(
  call: KmsCall,
  input: model.GenerateDataKeyWithoutPlaintextRequest,
  action: string,
): Promise<messages.Sealed & { readonly plaintext: Buffer }> {
  const { KeySpec: spec, NumberOfBytes: count } = input;
  if ((spec === undefined) === (count === undefined)) {
    throw invalid('Please specify either number of bytes or key spec.');
  }
  const bytes = spec === undefined ? bytesOf(count ?? 0) : KEY_BYTES[spec];
  return await messages.generateDataKey(call, { ...optionsOf(input), key: input.KeyId, bytes, action });
}

function sealedView(sealed: messages.Sealed): model.GenerateDataKeyWithoutPlaintextResponse {
  return { CiphertextBlob: sealed.ciphertext, KeyId: sealed.keyArn, KeyMaterialId: sealed.materialId };
}

function bytesOf(count: number): number {
  if (count < 1 || count > KMS_LIMITS.randomBytesMax) {
    throw invalid(`NumberOfBytes must be between 1 and ${KMS_LIMITS.randomBytesMax} inclusive`);
  }
  return count;
}

function ciphertextOf(input: { readonly CiphertextBlob?: Uint8Array | undefined }): Uint8Array {
  const { CiphertextBlob: blob } = input;
  if (blob === undefined) throw invalid('CiphertextBlob is required');
  checkLength('CiphertextBlob', blob, CIPHERTEXT_BYTES_MAX);
  return blob;
}

function optionsOf(input: {
  readonly EncryptionContext?: Readonly<Record<string, string>> | undefined;
  readonly GrantTokens?: readonly string[] | undefined;
  readonly DryRun?: boolean | undefined;
}): messages.MessageOptions {
  return {
    context: input.EncryptionContext ?? {},
    grantTokens: input.GrantTokens ?? [],
    isRehearsal: input.DryRun === true,
  };
}

function checkAlgorithm(algorithm: model.EncryptionAlgorithmSpec | undefined): void {
  if (algorithm !== undefined && algorithm !== ALGORITHM) {
    throw invalid(`The algorithm ${algorithm} is not one of a key of the spec SYMMETRIC_DEFAULT`);
  }
}

function checkLength(name: string, bytes: Uint8Array, max: number): void {
  if (bytes.length < 1 || bytes.length > max) throw invalid(`${name} must have between 1 and ${max} bytes`);
}

function refuseRecipient(input: { readonly Recipient?: model.RecipientInfo | undefined }): void {
  if (input.Recipient !== undefined) throw unsupported('Recipients in enclaves are not supported by this server.');
}
