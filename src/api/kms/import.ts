import type { KmsCall } from '#control/kms/access.ts';
import * as imports from '#control/kms/import.ts';
import { keyArn } from '#domain/kms/arn.ts';
import type * as model from '#wire/aws/models/kms.ts';
import { invalid, unsupported } from './errors.ts';

export async function getParametersForImport(
  call: KmsCall,
  input: model.GetParametersForImportRequest,
): Promise<model.GetParametersForImportResponse> {
  const { WrappingAlgorithm: algorithm, WrappingKeySpec: spec } = input;
  const parameters = await imports.parametersForImport(call, {
    key: input.KeyId,
    hash: hashOf(algorithm),
    modulusBits: modulusBitsOf(spec),
    words: [algorithm, spec],
  });
  return {
    KeyId: parameters.keyArn,
    ImportToken: parameters.token,
    PublicKey: parameters.publicKey,
    ParametersValidTo: new Date(parameters.validToMs),
  };
}

function hashOf(algorithm: model.AlgorithmSpec): imports.OaepHash {
  if (algorithm === 'RSAES_OAEP_SHA_256') return 'sha256';
  if (algorithm === 'RSAES_OAEP_SHA_1') return 'sha1';
  throw unsupported(`The wrapping algorithm ${algorithm} is not supported by this server.`);
}

function modulusBitsOf(spec: model.WrappingKeySpec): number {
  if (spec === 'SM2') throw unsupported('Wrapping keys of the spec SM2 are not supported by this server.');
  return Number(spec.slice('RSA_'.length));
}

export async function importKeyMaterial(
  call: KmsCall,
  input: model.ImportKeyMaterialRequest,
): Promise<model.ImportKeyMaterialResponse> {
  const { key, materialId } = await imports.importMaterial(call, {
    key: input.KeyId,
    token: input.ImportToken,
    wrapped: input.EncryptedKeyMaterial,
    expiresAtMs: expiryOf(input),
    isNew: input.ImportType === undefined ? null : input.ImportType === 'NEW_KEY_MATERIAL',
    materialId: input.KeyMaterialId ?? null,
    description: input.KeyMaterialDescription ?? null,
  });
  return { KeyId: keyArn(key), KeyMaterialId: materialId };
}

/** Material expires unless it is said that it does not. */
function expiryOf(input: model.ImportKeyMaterialRequest): number | null {
  const expires = input.ExpirationModel !== 'KEY_MATERIAL_DOES_NOT_EXPIRE';
  if (expires && input.ValidTo === undefined)
    throw invalid('A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES');
  if (!expires && input.ValidTo !== undefined) {
    throw invalid('A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE');
  }
  return input.ValidTo?.getTime() ?? null;
}

export async function deleteImportedKeyMaterial(
  call: KmsCall,
  input: model.DeleteImportedKeyMaterialRequest,
): Promise<model.DeleteImportedKeyMaterialResponse> {
  const { key, materialId } = await imports.deleteImportedMaterial(call, input.KeyId, input.KeyMaterialId ?? null);
  return { KeyId: keyArn(key), ...(materialId === null ? {} : { KeyMaterialId: materialId }) };
}
