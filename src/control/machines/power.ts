import { present } from '#base/assert.ts';
import { refuse } from '#domain/errors.ts';
import { type InstanceId, parseInstanceId, type ResourceId } from '#domain/ids.ts';
import { type Instance, stateShown, SYSTEM_DEVICE } from '#domain/instance.ts';
import type { Operation } from '#domain/operation.ts';
import type { Scope } from '#domain/volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import { type Deleted, deleteOnce, type DeleteRequest } from '#control/delete-once.ts';
import { recordToken, type TokenUse } from '#control/idempotency.ts';
import type { Ref } from '#control/lookup.ts';
import { endOperations, type OperationDraft, recordDone, startOperations } from '#control/operations.ts';
import type { ControlPorts } from '#control/ports.ts';
import { refuseWithoutMachines } from './create.ts';
import { refuseWithoutMemory } from './memory.ts';
import { INSTANCES, instanceIn, instanceOf } from './records.ts';

/*
 * What becomes of a machine is recorded, and the operation with it; the reconciler does it (bring.ts) and ends the operation.
 * A request for what is so already succeeds at once.
 */

export interface PowerChanged {
  readonly instance: Instance;
  /** The state that it had. */
  readonly before: Instance['state'];
  readonly operations: readonly Operation[];
}

/** Refuses: not-found, wrong-state (it is stopping, or being deleted), no-machines, no-memory. */
export async function startInstance(
  ports: ControlPorts,
  scope: Scope,
  ref: Ref<InstanceId>,
  operation: string | null,
): Promise<PowerChanged> {
  return only(await startInstances(ports, scope, [ref], operation));
}

/** All of them or, where one is refused, none. Refuses as `startInstance`. */
export async function startInstances(
  ports: ControlPorts,
  scope: Scope,
  refs: readonly Ref<InstanceId>[],
  operation: string | null,
): Promise<readonly PowerChanged[]> {
  await refuseWithoutMachines(ports);
  return await changePower(ports, scope, refs, operation, (instance) => {
    if (instance.state === 'pending' || stateShown(instance) === 'running') return null;
    refuseUnless(instance, 'stopped');
    refuseWithoutSystem(instance);
    return { ...instance, state: 'pending', wanted: 'running', stateReason: null };
  });
}

export interface StopOptions {
  readonly force: boolean;
  readonly operation: string | null;
  /** Why, when no client asked for it: it is shown. */
  readonly reason?: string;
}

/** Asks the guest to shut down, and ends it when it has not after a while, or, with `force`, at once. Refuses: not-found, wrong-state (it is starting, or being deleted). */
export async function stopInstance(
  ports: ControlPorts,
  scope: Scope,
  ref: Ref<InstanceId>,
  options: StopOptions,
): Promise<PowerChanged> {
  return only(await stopInstances(ports, scope, [ref], options));
}

/** All of them or, where one is refused, none. Refuses as `stopInstance`. */
export async function stopInstances(
  ports: ControlPorts,
  scope: Scope,
  refs: readonly Ref<InstanceId>[],
  options: StopOptions,
): Promise<readonly PowerChanged[]> {
  const { force, reason: stateReason = null } = options;
  const changed = await changePower(ports, scope, refs, options.operation, (instance) => {
    if (instance.state === 'stopped') return null;
    if (instance.state === 'stopping') {
      // It may have been on its way to run again.
      return { ...instance, wanted: 'stopped', stopsAtOnce: instance.stopsAtOnce || force };
    }
    refuseUnless(instance, 'running');
    return { ...instance, state: 'stopping', wanted: 'stopped', stopsAtOnce: force, stateReason };
  });
  // Whoever waits for the guest to shut down meanwhile finds it gone.
  const waiting = changed.filter(({ before }) => force && before === 'stopping');
  await Promise.all(waiting.map(({ instance }) => ports.hypervisor.stop(instance.id, { graceMs: 0 })));
  return changed;
}

/** Refuses: not-found, wrong-state (it does not run). */
export async function rebootInstance(
  ports: ControlPorts,
  scope: Scope,
  ref: Ref<InstanceId>,
  operation: string | null,
): Promise<PowerChanged> {
  return only(await rebootInstances(ports, scope, [ref], operation));
}

/** All of them or, where one is refused, none. Refuses as `rebootInstance`. */
export async function rebootInstances(
  ports: ControlPorts,
  scope: Scope,
  refs: readonly Ref<InstanceId>[],
  operation: string | null,
): Promise<readonly PowerChanged[]> {
  return await changePower(ports, scope, refs, operation, (instance) => {
    // It is shut down, and started again: that is what was asked for.
    if (instance.state === 'stopping' && stateShown(instance) === 'running') return null;
    refuseUnless(instance, 'running');
    return { ...instance, rebootWanted: true };
  });
}

function only(changed: readonly PowerChanged[]): PowerChanged {
  return present(changed[0], 'what is asked of one is done to one');
}

/**
 * Its system volume goes with it; disks are detached, and stay. The name is free when the operation has ended. Refuses:
 * not-found, token-mismatch.
 */
export async function deleteInstance(
  ports: ControlPorts,
  scope: Scope,
  ref: Ref<InstanceId>,
  { token, operation }: DeleteRequest,
): Promise<Deleted> {
  const use: TokenUse = { purpose: 'delete-instance', token, request: { instance: ref, operation } };
  const deleted = await deleteOnce(ports, scope, {
    use,
    operation,
    find: async (tx) => (await instanceOf(tx, scope, ref)).id,
    isId: isInstanceId,
    retire: async (id) =>
      await ports.meta.transact(async (tx) => {
        const instance = await instanceIn(tx, scope, id);
        await recordToken(tx, scope, use, id, ports.time.latestMs());
        if (instance.state !== 'shutting-down' && instance.state !== 'terminated') {
          const errorDetails = 'the instance was deleted';
          await endOperations(ports, tx, id, { status: 'Failed', errorCode: 'Deleted', errorDetails });
          const changed: Instance = { ...instance, state: 'shutting-down', wanted: 'terminated', rebootWanted: false };
          await tx.documents.update(INSTANCES, scope, changed);
        }
        if (operation === null) return { operations: [] };
        return { operations: await startOperations(ports, tx, scope, id, [draftOf(instance, operation)]) };
      }),
  });
  ports.wake('reconcile-instances');
  return deleted;
}

function isInstanceId(id: ResourceId): id is InstanceId {
  return parseInstanceId(id) !== null;
}

/** `plan` answers a machine as it is wanted; null: it is so already. What it refuses of one happens to none. */
async function changePower(
  ports: ControlPorts,
  scope: Scope,
  refs: readonly Ref<InstanceId>[],
  operation: string | null,
  plan: (instance: Instance) => Instance | null,
): Promise<readonly PowerChanged[]> {
  const changed = await ports.meta.transact(async (tx) => {
    const all: PowerChanged[] = [];
    for (const ref of refs) {
      const instance = await instanceOf(tx, scope, ref);
      const planned = plan(instance);
      // Those before are recorded, and so counted.
      if (planned?.state === 'pending') await refuseWithoutMemory(ports, tx, instance.memoryMib);
      if (planned !== null) await tx.documents.update(INSTANCES, scope, planned);
      const operations = await recordPower(ports, tx, scope, instance, operation, planned !== null);
      all.push({ instance: planned ?? instance, before: instance.state, operations });
    }
    return all;
  });
  ports.wake('reconcile-instances');
  return changed;
}

async function recordPower(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  instance: Instance,
  operation: string | null,
  isToDo: boolean,
): Promise<readonly Operation[]> {
  if (operation === null) return [];
  const draft = draftOf(instance, operation);
  return isToDo
    ? await startOperations(ports, tx, scope, instance.id, [draft])
    : await recordDone(ports, tx, scope, instance.id, draft);
}

function draftOf({ id, name, zone }: Instance, type: string): OperationDraft {
  return { type, resourceName: name ?? id, resourceType: 'Instance', zone, details: null };
}

/** One that lost its system volume while it was stopped has nothing to boot from. */
function refuseWithoutSystem({ id, name, attachments }: Instance): void {
  if (attachments.some(({ device }) => device === SYSTEM_DEVICE)) return;
  refuse({ kind: 'wrong-state', resource: 'instance', id: name ?? id, state: 'without a system disk' });
}

function refuseUnless({ id, name, state }: Instance, wanted: Instance['state']): void {
  if (state !== wanted) refuse({ kind: 'wrong-state', resource: 'instance', id: name ?? id, state });
}
