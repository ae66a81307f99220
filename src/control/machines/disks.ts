import { refuse } from '#domain/errors.ts';
import type { InstanceId, VolumeId } from '#domain/ids.ts';
import { DEVICE_RULE, deviceLetter, type Instance, SYSTEM_DEVICE } from '#domain/instance.ts';
import type { Operation } from '#domain/operation.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import { type Ref, volumeOf } from '#control/lookup.ts';
import { endOperations, startOperations } from '#control/operations.ts';
import type { ControlPorts } from '#control/ports.ts';
import { addAttachment, removeAttachment, setAttachmentState } from './attachments.ts';
import { instanceIn, instanceOf } from './records.ts';

/** Disks of one machine, its system volume among them: as many as a guest has places for (hypervisor's adapter). */
export const ATTACHMENT_COUNT_MAX = 16;

export interface DiskMoved {
  readonly instance: Instance;
  readonly volume: Volume;
  /** The disk's and then the machine's, as they were recorded: Started. Of a machine that does not run they have ended since. */
  readonly operations: readonly Operation[];
}

/**
 * Gives a machine a disk: at its next start, or at once when it runs. Refuses: not-found, wrong-state (of the machine or the
 * disk), in-use (the disk is in a machine, or an NBD client is connected to it), invalid-value (device, other zone), limit.
 */
export async function attachDisk(
  ports: ControlPorts,
  scope: Scope,
  request: {
    readonly instance: Ref<InstanceId>;
    readonly volume: Ref<VolumeId>;
    readonly device: string;
    readonly deleteOnTermination: boolean;
    /** Lightsail's operation type to record; null: none. */
    readonly operation: string | null;
  },
): Promise<DiskMoved> {
  const { device, deleteOnTermination, operation } = request;
  const wanted = await ports.meta.read((tx) => volumeOf(tx, scope, request.volume));
  const [status] = wanted.attachment === null ? await ports.host.status([wanted.id]) : [];
  const moved = await ports.meta.transact(async (tx) => {
    const instance = await instanceOf(tx, scope, request.instance);
    const volume = await volumeOf(tx, scope, request.volume);
    const runs = refuseUnready(instance);
    if (volume.attachment !== null) refuseInUse(volume, volume.attachment.instance);
    if (volume.state !== 'available') {
      refuse({ kind: 'wrong-state', resource: 'volume', id: volume.name ?? volume.id, state: volume.state });
    }
    // Two who write to one file system destroy it.
    if (status !== undefined && status.clientCount > 0) refuseInUse(volume, 'an NBD client');
    checkPlace(instance, volume, device);
    const { rootDevice: shownAs } = instance.options;
    const operations = await startBoth(ports, tx, scope, instance, volume, operation);
    const changed = await addAttachment(tx, instance, volume, {
      device,
      ...(device === SYSTEM_DEVICE && shownAs !== undefined ? { shownAs } : {}),
      state: runs ? 'attaching' : 'attached',
      attachedAtMs: ports.clock.nowMs(),
      deleteOnTermination,
    });
    if (!runs) await endOperations(ports, tx, volume.id, { status: 'Succeeded' });
    return { instance: changed, volume, operations };
  });
  ports.wake('reconcile-instances');
  return moved;
}

/**
 * Takes a disk out of the machine that has it. A guest that runs must let go of it: it keeps a disk that it uses, and the
 * operation fails; with `force` it is taken away then, also when it was asked for without before. Refuses: not-found, wrong-state (no machine has it, it is coming or going, or the machine is neither running
 * nor stopped), not-permitted (the system volume, but of a machine of EC2's that is stopped).
 */
export async function detachDisk(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly volume: Ref<VolumeId>; readonly force?: boolean; readonly operation: string | null },
): Promise<DiskMoved> {
  const moved = await ports.meta.transact(async (tx) => {
    const volume = await volumeOf(tx, scope, request.volume);
    const { attachment } = volume;
    const id = volume.name ?? volume.id;
    if (attachment === null) refuse({ kind: 'wrong-state', resource: 'volume', id, state: 'available' });
    const { force: isForced = false } = request;
    if (attachment.state !== 'attached' && !(isForced && attachment.state === 'detaching')) {
      refuse({ kind: 'wrong-state', resource: 'volume', id, state: attachment.state });
    }
    const instance = await instanceIn(tx, scope, attachment.instance);
    if (attachment.device === SYSTEM_DEVICE && !mayLoseSystem(instance)) {
      refuse({ kind: 'not-permitted', what: `${id} is the system disk of ${attachment.instance}.` });
    }
    const runs = refuseUnready(instance);
    const operations = await startBoth(ports, tx, scope, instance, volume, request.operation);
    if (runs) {
      const detaching = await setAttachmentState(tx, instance, volume.id, 'detaching', { isForced });
      return { instance: detaching, volume, operations };
    }
    await endOperations(ports, tx, volume.id, { status: 'Succeeded' });
    return { instance: await removeAttachment(tx, instance, volume.id, { isDeleted: false }), volume, operations };
  });
  ports.wake('reconcile-instances');
  return moved;
}

/** Lightsail's machines have theirs for their whole life, EC2's while they are not stopped. */
function mayLoseSystem({ face, state }: Instance): boolean {
  return face === 'ec2' && state === 'stopped';
}

/** Whether it runs. */
function refuseUnready({ id, name, state }: Instance): boolean {
  if (state === 'running' || state === 'stopped') return state === 'running';
  return refuse({ kind: 'wrong-state', resource: 'instance', id: name ?? id, state });
}

function refuseInUse({ id, name }: Volume, by: string): never {
  refuse({ kind: 'in-use', resource: 'volume', id: name ?? id, by });
}

function checkPlace(instance: Instance, volume: Volume, device: string): void {
  const isSystem = device === SYSTEM_DEVICE && instance.face === 'ec2';
  const letter = deviceLetter(device);
  if (letter === null && !isSystem)
    refuse({ kind: 'invalid-value', field: 'diskPath', reason: `${device}: ${DEVICE_RULE}` });
  const other = instance.attachments.find((one) => deviceLetter(one.device) === letter);
  if (other !== undefined) {
    const reason = `the instance has a disk at ${other.device} already`;
    refuse({ kind: 'invalid-value', field: 'diskPath', reason });
  }
  if (volume.zone !== instance.zone) {
    const reason = `the disk is in ${volume.zone}, and the instance in ${instance.zone}`;
    refuse({ kind: 'invalid-value', field: 'zone', reason });
  }
  if (instance.attachments.length >= ATTACHMENT_COUNT_MAX) {
    refuse({ kind: 'limit', limit: 'resources', max: ATTACHMENT_COUNT_MAX });
  }
}

async function startBoth(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  instance: Instance,
  volume: Volume,
  type: string | null,
): Promise<readonly Operation[]> {
  if (type === null) return [];
  const disk = volume.name ?? volume.id;
  const machine = instance.name ?? instance.id;
  return await startOperations(ports, tx, scope, volume.id, [
    { type, resourceName: disk, resourceType: 'Disk', zone: volume.zone, details: machine },
    { type, resourceName: machine, resourceType: 'Instance', zone: instance.zone, details: disk },
  ]);
}
