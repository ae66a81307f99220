import { uuid } from '#base/random.ts';
import { parseKeyRef } from '#domain/kms/arn.ts';
import { KMS_LIMITS, DAY_MS } from '#domain/kms/limits.ts';
import type { Scope } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';
import { findKey } from './access.ts';
import { insertKey } from './new-key.ts';
import { servicePolicy } from './policies.ts';
import { aliasKind } from './records.ts';

/** The key that volumes and snapshots have when nobody names one. */
export const EBS_ALIAS = 'alias/aws/ebs';

/** Keys that services have in every account and region, made when they are asked for first. */
const MANAGED: ReadonlyMap<string, { readonly service: string; readonly title: string; readonly description: string }> =
  new Map([
    [
      EBS_ALIAS,
      {
        service: 'ec2',
        title: 'EBS',
        description: 'Default key that protects my EBS volumes when no other key is defined',
      },
    ],
    [
      'alias/aws/lightsail',
      {
        service: 'lightsail',
        title: 'Lightsail',
        description: 'Default key that protects my Lightsail signing keys when no other key is defined',
      },
    ],
  ]);

/** Makes the key when `text` is the alias of one, by name or by ARN, and it is not there yet. */
export async function ensureManagedKey(ports: ControlPorts, scope: Scope, text: string): Promise<void> {
  const own = `arn:aws:kms:${scope.region}:${scope.account}:`;
  const name = text.startsWith(own) ? text.slice(own.length) : text;
  const managed = MANAGED.get(name);
  if (managed === undefined) return;
  const isThere = (await ports.meta.read((tx) => tx.documents.find(aliasKind, scope, name))) !== null;
  if (isThere) return;
  await ports.meta.transact(async (tx) => {
    if ((await tx.documents.find(aliasKind, scope, name)) !== null) return; // Another request was first.
    const nowMs = ports.clock.nowMs();
    const periodDays = KMS_LIMITS.rotationPeriodDays.standard;
    const key = await insertKey(ports, tx, scope, {
      id: uuid(ports.random),
      description: managed.description,
      origin: 'generated',
      policy: servicePolicy(scope, managed.service, managed.title),
      trustees: [],
      tags: {},
      manager: 'service',
      rotation: { periodDays, nextAtMs: ports.time.estimateMs() + periodDays * DAY_MS },
    });
    await tx.documents.insert(aliasKind, scope, { name, key: key.id, createdAtMs: nowMs, updatedAtMs: nowMs });
  });
}

/** Whether it is a key that a service made: what it seals is for its account alone. */
export async function isManagedKey(tx: ReadTx, scope: Scope, arn: string): Promise<boolean> {
  const key = await findKey(tx, parseKeyRef(scope, arn));
  return key?.manager === 'service';
}
