import { present } from '#base/assert.ts';
import { keyArn } from '#domain/kms/arn.ts';
import type { Scope } from '#domain/volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { KmsCall } from './access.ts';
import { resolveKey } from './data-keys.ts';
import { changeEbsDefaults } from './ebs-defaults.ts';
import { EBS_ALIAS, ensureManagedKey } from './managed-keys.ts';
import { aliasKind } from './records.ts';

/** Makes a key the one that volumes have when nobody names one; its ARN. Refuses: key-unusable. */
export async function setDefaultKey(call: KmsCall, text: string): Promise<string> {
  const arn = await resolveKey(call, text);
  await changeEbsDefaults(call.ports, call.scope, { keyArn: arn });
  return arn;
}

/** Back to the service's key; its ARN. */
export async function resetDefaultKey(ports: ControlPorts, scope: Scope): Promise<string> {
  await changeEbsDefaults(ports, scope, { keyArn: null });
  await ensureManagedKey(ports, scope, EBS_ALIAS);
  const alias = await ports.meta.read((tx) => tx.documents.find(aliasKind, scope, EBS_ALIAS));
  return keyArn({ ...scope, id: present(alias, 'the alias of a key that was ensured is there').key });
}
