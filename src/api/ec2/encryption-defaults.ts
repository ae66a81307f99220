import type { CallContext } from '#api/handler.ts';
import { kmsCallOf } from '#api/kms/calls.ts';
import { resetDefaultKey, setDefaultKey } from '#control/kms/default-key.ts';
import { resolveKey } from '#control/kms/data-keys.ts';
import { changeEbsDefaults, readEbsDefaults } from '#control/kms/ebs-defaults.ts';
import { EBS_ALIAS } from '#control/kms/managed-keys.ts';
import type * as model from '#wire/aws/models/ec2.ts';
import { endDryRun } from './dry-run.ts';

/** What an account says of encryption in a region: whether everything new is encrypted, and with which key. */

interface Plain {
  readonly DryRun?: boolean | undefined;
}

export async function enableEbsEncryptionByDefault(
  context: CallContext,
  request: Plain,
): Promise<model.EnableEbsEncryptionByDefaultResult> {
  endDryRun(request);
  await changeEbsDefaults(context.ports, context.scope, { isEncrypted: true });
  return { EbsEncryptionByDefault: true };
}

export async function disableEbsEncryptionByDefault(
  context: CallContext,
  request: Plain,
): Promise<model.DisableEbsEncryptionByDefaultResult> {
  endDryRun(request);
  await changeEbsDefaults(context.ports, context.scope, { isEncrypted: false });
  return { EbsEncryptionByDefault: false };
}

export async function getEbsEncryptionByDefault(
  { ports, scope }: CallContext,
  request: Plain,
): Promise<model.GetEbsEncryptionByDefaultResult> {
  endDryRun(request);
  return { EbsEncryptionByDefault: (await readEbsDefaults(ports, scope)).isEncrypted, SseType: 'sse-ebs' };
}

/** The ARN, or the alias of the service's key while nobody has chosen another. */
export async function getEbsDefaultKmsKeyId(
  { ports, scope }: CallContext,
  request: Plain,
): Promise<model.GetEbsDefaultKmsKeyIdResult> {
  endDryRun(request);
  return { KmsKeyId: (await readEbsDefaults(ports, scope)).keyArn ?? EBS_ALIAS };
}

/** Takes an id, an alias, or the ARN of either. */
export async function modifyEbsDefaultKmsKeyId(
  context: CallContext,
  request: model.ModifyEbsDefaultKmsKeyIdRequest,
): Promise<model.ModifyEbsDefaultKmsKeyIdResult> {
  const call = kmsCallOf(context, 'ec2');
  if (request.DryRun === true) await resolveKey(call, request.KmsKeyId);
  endDryRun(request);
  return { KmsKeyId: await setDefaultKey(call, request.KmsKeyId) };
}

export async function resetEbsDefaultKmsKeyId(
  { ports, scope }: CallContext,
  request: Plain,
): Promise<model.ResetEbsDefaultKmsKeyIdResult> {
  endDryRun(request);
  return { KmsKeyId: await resetDefaultKey(ports, scope) };
}
