import { refuse } from '#domain/errors.ts';
import type { AddressType, Instance, MetadataOptions, OpenPorts } from '#domain/instance.ts';
import { DEFAULT_METADATA_OPTIONS } from '#domain/instance.ts';
import { checkOpenPorts, closedPorts, exactPorts, openedPorts } from '#domain/open-ports.ts';
import type { Operation } from '#domain/operation.ts';
import type { Scope } from '#domain/volume.ts';
import { recordDone } from '#control/operations.ts';
import type { ControlPorts } from '#control/ports.ts';
import { INSTANCES, instanceOf } from './records.ts';

export interface InstanceChange {
  /** Lightsail's name. */
  readonly name: string;
  readonly operation: string;
}

/** Opens ports beside those that are open. Refuses: not-found, invalid-value, limit. */
export async function openPorts(
  ports: ControlPorts,
  scope: Scope,
  request: InstanceChange & { readonly opened: OpenPorts },
): Promise<readonly Operation[]> {
  const opened = checkOpenPorts(request.opened);
  const details = wordsOf([opened]);
  return await change(ports, scope, { ...request, details }, (instance) => ({
    ...instance,
    openPorts: openedPorts(instance.openPorts, opened),
  }));
}

/** Refuses: not-found, invalid-value (a part of what is open). */
export async function closePorts(
  ports: ControlPorts,
  scope: Scope,
  request: InstanceChange & { readonly closed: OpenPorts },
): Promise<readonly Operation[]> {
  const closed = checkOpenPorts(request.closed);
  const details = wordsOf([closed]);
  return await change(ports, scope, { ...request, details }, (instance) => ({
    ...instance,
    openPorts: closedPorts(instance.openPorts, closed),
  }));
}

/** Opens these and closes all others. Refuses: not-found, invalid-value, limit. */
export async function putPorts(
  ports: ControlPorts,
  scope: Scope,
  request: InstanceChange & { readonly open: readonly OpenPorts[] },
): Promise<readonly Operation[]> {
  const open = exactPorts(request.open.map(checkOpenPorts));
  const details = wordsOf(open);
  return await change(ports, scope, { ...request, details }, (instance) => ({ ...instance, openPorts: open }));
}

/** What operations say of ports: `22/tcp`. */
function wordsOf(ports: readonly OpenPorts[]): string {
  return ports
    .map(({ protocol, fromPort: from, toPort: to }) => `${from === to ? from : `${from}-${to}`}/${protocol}`)
    .join(', ');
}

/** Refuses: not-found. */
export async function setAddressType(
  ports: ControlPorts,
  scope: Scope,
  request: InstanceChange & { readonly addressType: AddressType },
): Promise<readonly Operation[]> {
  const { addressType } = request;
  return await change(ports, scope, request, (instance) => ({ ...instance, addressType }));
}

/** What is not said stays. Refuses: not-found. */
export async function setMetadataOptions(
  ports: ControlPorts,
  scope: Scope,
  request: InstanceChange & { readonly options: Partial<MetadataOptions> },
): Promise<readonly Operation[]> {
  return await change(ports, scope, request, (instance) => ({
    ...instance,
    metadataOptions: { ...(instance.metadataOptions ?? DEFAULT_METADATA_OPTIONS), ...request.options },
  }));
}

/** Host keys are not kept here, so there is nothing to forget. Refuses: not-found. */
export async function forgetHostKeys(
  ports: ControlPorts,
  scope: Scope,
  request: InstanceChange,
): Promise<readonly Operation[]> {
  return await change(ports, scope, request, (instance) => instance);
}

/** The operation has ended when it answers; ports of a machine that runs follow at once. */
async function change(
  ports: ControlPorts,
  scope: Scope,
  { name, operation, details }: InstanceChange & { readonly details?: string },
  plan: (instance: Instance) => Instance,
): Promise<readonly Operation[]> {
  const operations = await ports.meta.transact(async (tx) => {
    const instance = await instanceOf(tx, scope, { name });
    const { id, zone, state } = instance;
    if (state === 'shutting-down') refuse({ kind: 'wrong-state', resource: 'instance', id: name, state });
    await tx.documents.update(INSTANCES, scope, plan(instance));
    const draft = {
      type: operation,
      resourceName: name,
      resourceType: 'Instance',
      zone,
      details: details ?? null,
    } as const;
    return await recordDone(ports, tx, scope, id, draft);
  });
  ports.wake('reconcile-instances');
  return operations;
}
