import type { KmsCall } from '#control/kms/access.ts';
import * as keys from '#control/kms/keys.ts';
import { keyArn } from '#domain/kms/arn.ts';
import { KMS_LIMITS } from '#domain/kms/limits.ts';
import type { Tag } from '#domain/tags.ts';
import type * as model from '#wire/aws/models/kms.ts';
import { invalid, unsupported } from './errors.ts';
import { nextOf, pageOf, PAGES } from './paging.ts';
import { keyMetadata } from './views.ts';

/** A key has one policy, and this is its name. */
const POLICY_NAME = 'default';
const DESCRIPTION_CHARACTERS_MAX = 8192;

export async function createKey(call: KmsCall, input: model.CreateKeyRequest): Promise<model.CreateKeyResponse> {
  const spec = input.KeySpec ?? input.CustomerMasterKeySpec ?? 'SYMMETRIC_DEFAULT';
  if (input.KeySpec !== undefined && input.CustomerMasterKeySpec !== undefined) {
    throw invalid(
      'You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.',
    );
  }
  if (spec !== 'SYMMETRIC_DEFAULT') throw unsupported(`Keys of the spec ${spec} are not supported by this server.`);
  if ((input.KeyUsage ?? 'ENCRYPT_DECRYPT') !== 'ENCRYPT_DECRYPT') {
    throw invalid(`KeyUsage ${input.KeyUsage} is not compatible with KeySpec SYMMETRIC_DEFAULT`);
  }
  if (input.MultiRegion === true) throw unsupported('Multi-Region keys are not supported by this server.');
  const origin = input.Origin ?? 'AWS_KMS';
  if (
    input.CustomKeyStoreId !== undefined ||
    input.XksKeyId !== undefined ||
    origin === 'AWS_CLOUDHSM' ||
    origin === 'EXTERNAL_KEY_STORE'
  ) {
    throw unsupported('Custom key stores are not supported by this server.');
  }
  const key = await keys.createKey(call, {
    description: descriptionOf(input.Description ?? ''),
    origin: origin === 'EXTERNAL' ? 'imported' : 'generated',
    policy: input.Policy ?? null,
    mayLockOut: input.BypassPolicyLockoutSafetyCheck === true,
    tags: tagsOf(input.Tags ?? []),
  });
  return { KeyMetadata: keyMetadata(key, call.ports.clock.nowMs()) };
}

export async function describeKey(call: KmsCall, input: model.DescribeKeyRequest): Promise<model.DescribeKeyResponse> {
  const key = await keys.describeKey(call, input.KeyId, input.GrantTokens ?? []);
  return { KeyMetadata: keyMetadata(key, call.ports.clock.nowMs()) };
}

export async function listKeys(call: KmsCall, input: model.ListKeysRequest): Promise<model.ListKeysResponse> {
  const { records, next } = await keys.listKeys(call, pageOf(input, PAGES.keys));
  return { Keys: records.map((key) => ({ KeyId: key.id, KeyArn: keyArn(key) })), ...nextOf(next) };
}

export async function enableKey(call: KmsCall, input: model.EnableKeyRequest): Promise<model.Nothing> {
  await keys.enableKey(call, input.KeyId);
  return {};
}

export async function disableKey(call: KmsCall, input: model.DisableKeyRequest): Promise<model.Nothing> {
  await keys.disableKey(call, input.KeyId);
  return {};
}

export async function updateKeyDescription(
  call: KmsCall,
  input: model.UpdateKeyDescriptionRequest,
): Promise<model.Nothing> {
  await keys.updateDescription(call, input.KeyId, descriptionOf(input.Description));
  return {};
}

export async function getKeyPolicy(
  call: KmsCall,
  input: model.GetKeyPolicyRequest,
): Promise<model.GetKeyPolicyResponse> {
  checkPolicyName(input.PolicyName);
  return { Policy: await keys.getPolicy(call, input.KeyId), PolicyName: POLICY_NAME };
}

export async function putKeyPolicy(call: KmsCall, input: model.PutKeyPolicyRequest): Promise<model.Nothing> {
  checkPolicyName(input.PolicyName);
  const mayLockOut = input.BypassPolicyLockoutSafetyCheck === true;
  await keys.putPolicy(call, input.KeyId, input.Policy, { mayLockOut });
  return {};
}

export async function listKeyPolicies(
  call: KmsCall,
  input: model.ListKeyPoliciesRequest,
): Promise<model.ListKeyPoliciesResponse> {
  pageOf(input, PAGES.keys);
  await keys.getPolicy(call, input.KeyId, 'ListKeyPolicies');
  return { PolicyNames: [POLICY_NAME], ...nextOf(null) };
}

export async function listResourceTags(
  call: KmsCall,
  input: model.ListResourceTagsRequest,
): Promise<model.ListResourceTagsResponse> {
  const page = pageOf(input, PAGES.tags);
  const { records, next } = await keys.listTags(call, input.KeyId, page);
  return { Tags: records.map(({ key, value }) => ({ TagKey: key, TagValue: value })), ...nextOf(next) };
}

export async function tagResource(call: KmsCall, input: model.TagResourceRequest): Promise<model.Nothing> {
  await keys.tagKey(call, input.KeyId, tagsOf(input.Tags));
  return {};
}

export async function untagResource(call: KmsCall, input: model.UntagResourceRequest): Promise<model.Nothing> {
  await keys.untagKey(call, input.KeyId, input.TagKeys);
  return {};
}

export async function scheduleKeyDeletion(
  call: KmsCall,
  input: model.ScheduleKeyDeletionRequest,
): Promise<model.ScheduleKeyDeletionResponse> {
  const windowDays = input.PendingWindowInDays ?? KMS_LIMITS.deletionWindowDays.standard;
  const { key, atMs } = await keys.scheduleDeletion(call, input.KeyId, windowDays);
  return {
    KeyId: keyArn(key),
    DeletionDate: new Date(atMs),
    KeyState: 'PendingDeletion',
    PendingWindowInDays: windowDays,
  };
}

export async function cancelKeyDeletion(
  call: KmsCall,
  input: model.CancelKeyDeletionRequest,
): Promise<model.CancelKeyDeletionResponse> {
  return { KeyId: keyArn(await keys.cancelDeletion(call, input.KeyId)) };
}

function descriptionOf(text: string): string {
  if (text.length > DESCRIPTION_CHARACTERS_MAX) {
    throw invalid(`Description has at most ${DESCRIPTION_CHARACTERS_MAX} characters`);
  }
  return text;
}

function checkPolicyName(name: string | undefined): void {
  if (name !== undefined && name !== POLICY_NAME) throw invalid(`PolicyName must be "${POLICY_NAME}"`);
}

function tagsOf(tags: readonly model.Tag[]): readonly Tag[] {
  return tags.map(({ TagKey, TagValue }) => ({ key: TagKey, value: TagValue }));
}
