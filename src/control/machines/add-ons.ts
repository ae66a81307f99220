import type { AddOns, AutoSnapshotAddOn } from '#domain/add-on.ts';
import { refuse } from '#domain/errors.ts';
import { type InstanceId, parseInstanceId, parseVolumeId, type VolumeId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import type { Operation } from '#domain/operation.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import { volumeSeen } from '#control/lookup.ts';
import { recordDone } from '#control/operations.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { instanceSeen } from './records.ts';

/**
 * Add-ons go with their resource: whoever reads them looks whether that is still there. Where all are disabled the record
 * stays: by it the automatic snapshots that were made before go with the resource, too.
 */
export const ADD_ONS: DocumentKind<AddOns> = {
  name: 'add-ons',
  idOf: ({ resource }) => resource,
  ownerOf: () => null,
};

/** A machine or a disk, by Lightsail's name of it. */
export type AddOnResource =
  | { readonly type: 'Instance'; readonly name: string; readonly record: Instance }
  | { readonly type: 'Disk'; readonly name: string; readonly record: Volume };

/** What a client asks to be enabled, or changed. */
export type AddOnRequest =
  | { readonly type: 'auto-snapshot'; readonly hour: number }
  | { readonly type: 'stop-on-idle'; readonly thresholdPercent: number; readonly durationMinutes: number };

/** Refuses: not-found, also of what has no add-ons. */
export async function addOnResourceNamed(tx: ReadTx, scope: Scope, name: string): Promise<AddOnResource> {
  const holder = await tx.names.find(scope, name);
  const found = holder === null ? null : await addOnResource(tx, scope, holder, name);
  return found ?? refuse({ kind: 'not-found', resource: 'resource', id: name });
}

async function addOnResource(tx: ReadTx, scope: Scope, id: string, name: string): Promise<AddOnResource | null> {
  const instanceId = parseInstanceId(id);
  if (instanceId !== null) {
    const record = await instanceSeen(tx, scope, instanceId);
    return record === null ? null : { type: 'Instance', name, record };
  }
  const volumeId = parseVolumeId(id);
  const record = volumeId === null ? null : await volumeSeen(tx, scope, volumeId);
  return record === null ? null : { type: 'Disk', name, record };
}

/** Of a machine or disk; null: it has none. */
export async function addOnsOf(tx: ReadTx, scope: Scope, resource: InstanceId | VolumeId): Promise<AddOns | null> {
  return await tx.documents.find(ADD_ONS, scope, resource);
}

/** Enables an add-on, or changes one that is enabled. The operation has ended when it answers. Refuses: not-found, invalid-value. */
export async function enableAddOn(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly name: string; readonly addOn: AddOnRequest; readonly operation: string },
): Promise<readonly Operation[]> {
  return await ports.meta.transact(async (tx) => {
    const resource = await addOnResourceNamed(tx, scope, request.name);
    await setAddOn(ports, tx, resource, request.addOn);
    return await recordOperation(ports, tx, scope, resource, request.operation);
  });
}

/** As `enableAddOn`, in the transaction that makes the resource. */
export async function setAddOn(
  ports: Pick<ControlPorts, 'time'>,
  tx: Tx,
  { type, record }: AddOnResource,
  addOn: AddOnRequest,
): Promise<void> {
  const before = await addOnsOf(tx, record, record.id);
  const current: AddOns = before ?? { resource: record.id, autoSnapshot: null, stopOnIdle: null };
  const enabledAtMs = ports.time.estimateMs();
  let changed: AddOns;
  if (addOn.type === 'auto-snapshot') {
    const lastDate = current.autoSnapshot?.lastDate ?? null;
    changed = { ...current, autoSnapshot: { hour: addOn.hour, enabledAtMs, lastDate } };
  } else {
    if (type !== 'Instance') {
      refuse({ kind: 'invalid-value', field: 'addOnType', reason: 'a disk has automatic snapshots only' });
    }
    const { thresholdPercent, durationMinutes } = addOn;
    changed = { ...current, stopOnIdle: { thresholdPercent, durationMinutes, enabledAtMs } };
  }
  if (before === null) await tx.documents.insert(ADD_ONS, record, changed);
  else await tx.documents.update(ADD_ONS, record, changed);
}

/** No error when it is not enabled. The operation has ended when it answers. Refuses: not-found. */
export async function disableAddOn(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly name: string; readonly type: AddOnRequest['type']; readonly operation: string },
): Promise<readonly Operation[]> {
  return await ports.meta.transact(async (tx) => {
    const resource = await addOnResourceNamed(tx, scope, request.name);
    const current = await addOnsOf(tx, scope, resource.record.id);
    if (current !== null) {
      const off = request.type === 'auto-snapshot' ? { autoSnapshot: null } : { stopOnIdle: null };
      await tx.documents.update(ADD_ONS, scope, { ...current, ...off });
    }
    return await recordOperation(ports, tx, scope, resource, request.operation);
  });
}

/** That a snapshot was made for this day: no second one is. */
export async function recordAutoSnapshot(
  tx: Tx,
  scope: Scope,
  resource: InstanceId | VolumeId,
  date: string,
): Promise<void> {
  const current = await addOnsOf(tx, scope, resource);
  if (current === null || current.autoSnapshot === null) return;
  const autoSnapshot: AutoSnapshotAddOn = { ...current.autoSnapshot, lastDate: date };
  await tx.documents.update(ADD_ONS, scope, { ...current, autoSnapshot });
}

async function recordOperation(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  { type, name, record }: AddOnResource,
  operation: string,
): Promise<readonly Operation[]> {
  const { zone, id } = record;
  return await recordDone(ports, tx, scope, id, {
    type: operation,
    resourceName: name,
    resourceType: type,
    zone,
    details: null,
  });
}
