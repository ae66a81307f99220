import type { KmsCall } from '#control/kms/access.ts';
import * as rotation from '#control/kms/rotation.ts';
import { keyArn } from '#domain/kms/arn.ts';
import { KMS_LIMITS } from '#domain/kms/limits.ts';
import type * as model from '#wire/aws/models/kms.ts';
import { nextOf, pageOf, PAGES } from './paging.ts';
import { rotationEntry } from './views.ts';

export async function enableKeyRotation(call: KmsCall, input: model.EnableKeyRotationRequest): Promise<model.Nothing> {
  await rotation.enableRotation(
    call,
    input.KeyId,
    input.RotationPeriodInDays ?? KMS_LIMITS.rotationPeriodDays.standard,
  );
  return {};
}

export async function disableKeyRotation(
  call: KmsCall,
  input: model.DisableKeyRotationRequest,
): Promise<model.Nothing> {
  await rotation.disableRotation(call, input.KeyId);
  return {};
}

export async function getKeyRotationStatus(
  call: KmsCall,
  input: model.GetKeyRotationStatusRequest,
): Promise<model.GetKeyRotationStatusResponse> {
  const key = await rotation.rotationStatus(call, input.KeyId);
  const { rotation: plan } = key;
  if (plan === null || key.deletion !== null) return { KeyRotationEnabled: false, KeyId: keyArn(key) };
  return {
    KeyRotationEnabled: true,
    KeyId: keyArn(key),
    RotationPeriodInDays: plan.periodDays,
    NextRotationDate: new Date(plan.nextAtMs),
  };
}

export async function rotateKeyOnDemand(
  call: KmsCall,
  input: model.RotateKeyOnDemandRequest,
): Promise<model.RotateKeyOnDemandResponse> {
  return { KeyId: keyArn(await rotation.rotateOnDemand(call, input.KeyId)) };
}

export async function listKeyRotations(
  call: KmsCall,
  input: model.ListKeyRotationsRequest,
): Promise<model.ListKeyRotationsResponse> {
  const isAll = input.IncludeKeyMaterial === 'ALL_KEY_MATERIAL';
  const request = { ...pageOf(input, PAGES.keys), key: input.KeyId, isAll };
  const { key, records, next } = await rotation.listRotations(call, request);
  const nowMs = call.ports.clock.nowMs();
  return { Rotations: records.map((material) => rotationEntry(key, material, nowMs)), ...nextOf(next) };
}
