import { present } from '#base/assert.ts';
import { refuse } from '#domain/errors.ts';
import {
  type CutId,
  type InstanceId,
  type InstanceSnapshotId,
  newCutId,
  newInstanceSnapshotId,
  newSnapshotId,
  type SnapshotId,
  type VolumeId,
} from '#domain/ids.ts';
import type { InstanceSnapshot, InstanceSnapshotPart } from '#domain/instance-snapshot.ts';
import type { Instance } from '#domain/instance.ts';
import { checkName } from '#domain/name.ts';
import type { Operation } from '#domain/operation.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import { type FoundAgain, once } from '#control/creation.ts';
import { type Deleted, deleteOnce, type DeleteRequest } from '#control/delete-once.ts';
import { giveUp, giveUpSnapshot } from '#control/deletion.ts';
import { findTokenResult, recordToken, type TokenUse } from '#control/idempotency.ts';
import { type Ref, volumeIn } from '#control/lookup.ts';
import { endOperations, operationsOf, recordDone, startOperations } from '#control/operations.ts';
import type { ControlPorts } from '#control/ports.ts';
import { refuseLocked } from '#control/snapshot-locks.ts';
import { cutSet, runAll } from '#control/snapshot-sets.ts';
import { planSnapshot } from '#control/snapshots.ts';
import type { Tx } from '#meta/meta-store.ts';
import { ATTACHMENT_COUNT_MAX } from './disks.ts';
import { INSTANCE_SNAPSHOTS, instanceSnapshotOf, isInstanceSnapshotId, partsOf } from './instance-snapshot-records.ts';
import { instanceOf, INSTANCES } from './records.ts';

/*
 * A snapshot of a machine: one transaction records it and its parts as `cutting`; the guest's file systems are frozen, as far
 * as the guest can; one cut of all its volumes; the guest goes on; one transaction makes all `pending`. A crash between any two of these leaves
 * what is `cutting`, which is given up, and a guest that thaws by itself: the hypervisor sees to that.
 */

/** So long a guest's writes are held at most. */
const FREEZE_MS_MAX = 10_000;

export interface CreateInstanceSnapshot {
  readonly instance: Ref<InstanceId>;
  /** Lightsail's name. */
  readonly name: string;
  /** The day of an automatic one; its name is not claimed then. Null: somebody asked for it. */
  readonly autoDate: string | null;
  readonly tags: readonly Tag[];
  readonly token: string | null;
  /** Lightsail's operation type to record, for the snapshot and then for the machine; null: none. */
  readonly operation: string | null;
}

export interface InstanceSnapshotCreated {
  readonly snapshot: InstanceSnapshot;
  readonly operations: readonly Operation[];
}

/**
 * Resolves with a pending snapshot once the cut of all volumes is durable. Whatever state the machine or its guest is in, it
 * is made; which consistency was reached is recorded. Refuses: not-found (machine, or what the token made is deleted), wrong-state (it
 * is being made or deleted, or one of its volumes), invalid-value, name-taken, limit, snapshot-rate, token-mismatch.
 */
export async function createInstanceSnapshot(
  ports: ControlPorts,
  scope: Scope,
  request: CreateInstanceSnapshot,
): Promise<InstanceSnapshotCreated> {
  return await once<InstanceSnapshotId, InstanceSnapshotCreated>(ports, {
    newId: () => newInstanceSnapshotId(ports.random),
    make: (id) => cutMachine(ports, scope, id, request),
    findAgain: (id) =>
      ports.meta.read(async (tx) => {
        const snapshot = await tx.documents.find(INSTANCE_SNAPSHOTS, scope, id);
        if (snapshot === null) refuse({ kind: 'not-found', resource: 'instance-snapshot', id: request.name });
        return { snapshot, operations: await operationsOf(tx, id, request.operation) };
      }),
    isSettled: ({ snapshot }) => snapshot.state !== 'cutting',
  });
}

async function cutMachine(
  ports: ControlPorts,
  scope: Scope,
  id: InstanceSnapshotId,
  request: CreateInstanceSnapshot,
): Promise<InstanceSnapshotCreated | FoundAgain<InstanceSnapshotId>> {
  const { token, operation: _operation, ...rest } = request;
  const use: TokenUse = { purpose: 'create-instance-snapshot', token, request: rest };
  const again = await ports.meta.read((tx) => findTokenResult(tx, scope, use));
  if (again !== null)
    return { again: present(isInstanceSnapshotId(again) ? again : null, 'it names a snapshot of a machine') };
  // For as many volumes as a machine can have: one may come before it is recorded.
  const ids = Array.from({ length: ATTACHMENT_COUNT_MAX }, () => newSnapshotId(ports.random));
  return await runAll(ports, ids, async () => {
    const begun = await ports.meta.transact((tx) => record(ports, tx, scope, { id, ids, request, use }));
    if ('again' in begun) return begun;
    try {
      const reached = await cutHeld(ports, begun.instance, () => cutSet(ports, begun.volumes, begun.cut));
      const snapshot = await ports.meta.transact((tx) => setPending(tx, begun, reached));
      ports.wake('upload-snapshots');
      return { snapshot, operations: begun.operations };
    } catch (error) {
      await giveUpInstanceSnapshot(ports, begun.snapshot);
      throw error;
    }
  });
}

interface Begun extends InstanceSnapshotCreated {
  readonly instance: Instance;
  readonly volumes: readonly Volume[];
  readonly cut: CutId;
}

async function record(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  {
    id,
    ids,
    request,
    use,
  }: {
    readonly id: InstanceSnapshotId;
    readonly ids: readonly SnapshotId[];
    readonly request: CreateInstanceSnapshot;
    readonly use: TokenUse;
  },
): Promise<Begun | FoundAgain<InstanceSnapshotId>> {
  const again = await findTokenResult(tx, scope, use);
  if (again !== null && isInstanceSnapshotId(again)) return { again };
  const instance = await instanceOf(tx, scope, request.instance);
  const { state } = instance;
  const { name, autoDate } = request;
  if (state === 'pending' && instance.launchedAtMs === null) refuseState(instance);
  if (state === 'shutting-down' || state === 'terminated') refuseState(instance);
  checkName(name, 'name');
  const tags = tagsOf(TAG_RULES.lightsail, request.tags, ports.limitsOf(scope.account).tagCountMax);
  if (autoDate === null && !(await tx.names.claim(scope, name, id))) refuse({ kind: 'name-taken', name });
  const cut = newCutId(ports.random);
  const parts: InstanceSnapshotPart[] = [];
  const volumes: Volume[] = [];
  for (const [at, attachment] of instance.attachments.entries()) {
    const snapshot = present(ids[at], 'every volume gets a snapshot');
    const volume = await volumeIn(tx, scope, attachment.volume);
    const planned = await planSnapshot(ports, tx, volume, {
      face: 'lightsail',
      name: null,
      description: `of ${instance.name ?? instance.id} at ${attachment.device}`,
      tags: [],
      id: snapshot,
      cut,
    });
    await tx.snapshots.insert({ ...planned, partOf: id });
    volumes.push(volume);
    parts.push({ snapshot, device: attachment.device, diskName: volume.name, sizeGib: volume.sizeGib });
  }
  const instanceName = instance.name ?? instance.id;
  const snapshot: InstanceSnapshot = {
    account: scope.account,
    region: scope.region,
    id,
    name,
    state: 'cutting',
    createdAtMs: ports.clock.nowMs(),
    instance: instance.id,
    instanceName,
    zone: instance.zone,
    blueprint: instance.blueprint,
    blueprintName: instance.blueprintName,
    bundle: instance.bundle,
    cpuCount: instance.cpuCount,
    memoryMib: instance.memoryMib,
    userName: instance.userName,
    parts,
    consistency: 'crash',
    consistencyNote: null,
    heldMs: 0,
    autoDate,
    copiedFrom: null,
    tags,
  };
  await tx.documents.insert(INSTANCE_SNAPSHOTS, scope, snapshot);
  await recordToken(tx, scope, use, id, ports.time.latestMs());
  const type = request.operation;
  const drafts =
    type === null
      ? []
      : [
          { type, resourceName: name, resourceType: 'InstanceSnapshot' as const, zone: 'all', details: instanceName },
          { type, resourceName: instanceName, resourceType: 'Instance' as const, zone: instance.zone, details: name },
        ];
  const operations = await startOperations(ports, tx, scope, id, drafts);
  return { snapshot, instance, volumes, cut, operations };
}

function refuseState({ id, state }: Instance): never {
  refuse({ kind: 'wrong-state', resource: 'instance', id, state });
}

interface Reached extends Pick<InstanceSnapshot, 'consistency' | 'consistencyNote' | 'heldMs'> {
  readonly epochs: ReadonlyMap<VolumeId, number>;
}

/** Cuts volumes of a machine by `cutAll` while the guest is held, as far as it can be. */
export async function cutHeld(
  ports: ControlPorts,
  instance: Instance,
  cutAll: () => Promise<ReadonlyMap<VolumeId, number>>,
): Promise<Reached> {
  const held = await ports.hypervisor.quiesce(instance.id, { timeoutMs: FREEZE_MS_MAX }).catch((error: unknown) => {
    ports.log.warn('machine.quiesce', { instance: instance.id, error });
    return null;
  });
  if (held === null) {
    const consistencyNote = 'the machine could not be asked to hold its writes';
    return { epochs: await cutAll(), consistency: 'crash', consistencyNote, heldMs: 0 };
  }
  try {
    const epochs = await cutAll();
    // A guest that was let go before the cut ended may have written in it.
    const isFrozen = held.consistency === 'filesystem' && held.isHeld();
    await held[Symbol.asyncDispose]();
    const consistencyNote = isFrozen ? held.note : (held.note ?? 'the guest went on before the cut was done');
    const consistency = isFrozen ? 'filesystem' : 'crash';
    return { epochs, consistency, consistencyNote, heldMs: Math.round(held.heldMs()) };
  } finally {
    await held[Symbol.asyncDispose]();
  }
}

const CONSISTENCY_WORDS: Readonly<Record<InstanceSnapshot['consistency'], string>> = {
  filesystem: 'file systems whole',
  crash: 'as after a power cut',
};

async function setPending(
  tx: Tx,
  { snapshot: begun, instance }: Pick<Begun, 'snapshot' | 'instance'>,
  { epochs, ...reached }: Reached,
): Promise<InstanceSnapshot> {
  for (const { snapshot: id } of begun.parts) {
    const current = present(await tx.snapshots.find(id), 'a snapshot that is being cut exists');
    const epoch = present(epochs.get(current.volume), 'a cut answers the epoch of every volume');
    const volumeSizeGib = (await tx.volumes.find(current.volume))?.sizeGib ?? current.volumeSizeGib;
    // In its manifest, for who has the store and nothing else.
    const description = `${current.description}, ${CONSISTENCY_WORDS[reached.consistency]}`;
    await tx.snapshots.update({ ...current, state: 'pending', epoch, volumeSizeGib, description });
  }
  const held = (await isStillStopped(tx, instance)) ? reached : { ...reached, ...STARTED_MEANWHILE };
  const pending: InstanceSnapshot = { ...begun, ...held, state: 'pending' };
  await tx.documents.update(INSTANCE_SNAPSHOTS, begun, pending);
  return pending;
}

const STARTED_MEANWHILE = {
  consistency: 'crash',
  consistencyNote: 'the machine was started before the cut was done',
} as const satisfies Partial<InstanceSnapshot>;

/** Whether a machine that was stopped, and so was not asked to hold its writes, has made none; of others always. */
async function isStillStopped(tx: Tx, { state, launchedAtMs, ...seen }: Instance): Promise<boolean> {
  if (state !== 'stopped') return true;
  const now = await tx.documents.find(INSTANCES, seen, seen.id);
  if (now === null) return true;
  // Once it is being deleted, nobody starts it.
  const mayRun = now.state !== 'stopped' && now.state !== 'shutting-down' && now.state !== 'terminated';
  return !mayRun && now.launchedAtMs === launchedAtMs;
}

/** Undoes one that its client will not hear of. */
export async function giveUpInstanceSnapshot(ports: ControlPorts, snapshot: InstanceSnapshot): Promise<void> {
  for (const part of snapshot.parts) await giveUpSnapshot(ports, part.snapshot);
  await giveUp(ports, snapshot.id, async (tx) => {
    await tx.names.free(snapshot, snapshot.name, snapshot.id);
    await tx.operations.removeOf(snapshot.id);
    await tx.tokens.removeOf(snapshot.id);
    await tx.documents.remove(INSTANCE_SNAPSHOTS, snapshot, snapshot.id);
  });
}

/** Also of a pending one, and of an automatic one. It is gone for clients when it resolves. Refuses: not-found, token-mismatch, locked (one of its parts). */
export async function deleteInstanceSnapshot(
  ports: ControlPorts,
  scope: Scope,
  snapshot: Ref<InstanceSnapshotId>,
  { token, operation }: DeleteRequest,
): Promise<Deleted> {
  const use: TokenUse = { purpose: 'delete-instance-snapshot', token, request: { snapshot, operation } };
  return await deleteOnce(ports, scope, {
    use,
    operation,
    find: async (tx) => (await instanceSnapshotOf(tx, scope, snapshot)).id,
    isId: isInstanceSnapshotId,
    retire: (id) => retire(ports, scope, id, { use, operation }),
  });
}

async function retire(
  ports: ControlPorts,
  scope: Scope,
  id: InstanceSnapshotId,
  { use, operation }: { readonly use: TokenUse; readonly operation: string | null },
): Promise<Deleted> {
  const operations = await ports.meta.transact(async (tx) => {
    const snapshot = await instanceSnapshotOf(tx, scope, id);
    const parts = await partsOf(tx, snapshot);
    for (const part of parts) refuseLocked(part, ports.time.earliestMs());
    for (const part of parts) await retirePart(tx, part);
    await recordToken(tx, scope, use, id, ports.time.latestMs());
    await tx.names.free(scope, snapshot.name, id);
    const errorDetails = 'the snapshot was deleted before it was complete';
    await endOperations(ports, tx, id, { status: 'Failed', errorCode: 'Deleted', errorDetails });
    await tx.documents.remove(INSTANCE_SNAPSHOTS, scope, id);
    if (operation === null) return [];
    return await recordDone(ports, tx, scope, id, {
      type: operation,
      resourceName: snapshot.name,
      resourceType: 'InstanceSnapshot',
      zone: 'all',
      details: snapshot.instanceName,
    });
  });
  ports.wake('upload-snapshots'); // Uploads of its parts end.
  ports.wake('finish-deletions');
  return { operations };
}

async function retirePart(tx: Tx, part: Snapshot): Promise<void> {
  await tx.snapshots.update({ ...part, state: 'deleting' });
}
