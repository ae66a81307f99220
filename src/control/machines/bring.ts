import { assert } from '#base/assert.ts';
import { DomainError } from '#domain/errors.ts';
import type { InstanceId, VolumeId } from '#domain/ids.ts';
import { type Attachment, GUEST_SHUT_DOWN, type Instance } from '#domain/instance.ts';
import type { Volume } from '#domain/volume.ts';
import { HypervisorError, type MachineDisk, type MachineSpec, type MachineStatus } from '#machine/hypervisor.ts';
import type { Tx } from '#meta/meta-store.ts';
import { isHostError } from '#control/host-failure.ts';
import { openVolume } from '#control/open-volume.ts';
import { endOperations, type OperationEnd } from '#control/operations.ts';
import type { ControlPorts, MachinePlace } from '#control/ports.ts';
import { makeOnHost } from '#control/volumes.ts';
import { freeStaticIp, withAddress, withoutAddress } from './addresses.ts';
import { removeAttachment, setAttachmentState } from './attachments.ts';
import { bringForwards, hasOtherForwards, sshForward } from './forwards.ts';
import { hostNameOf } from './host-name.ts';
import { cutImages, failImages, withoutImages } from './image-cuts.ts';
import { INSTANCES } from './records.ts';
import { freeSshPort } from './ssh-ports.ts';

/*
 * One machine is brought from what it is towards what it should be. Requests only record what is wanted; whatever is done to
 * a machine is done here, by one worker for each machine at a time, so that nothing needs to be locked. Every step may be
 * repeated: after a crash the next worker finds the record as the last transaction left it, and asks the hypervisor what runs.
 *
 *   pending        volumes are made and opened, the machine is started            → running, or stopped with the reason
 *   running        it has a process: disks come and go, it boots anew             → itself
 *                  it has none, and this boot of the computer began it            → stopped with the reason, or
 *                                                                                   shutting-down, where it ends with its guest
 *                  it has none, and the computer has started anew since           → pending
 *   stopping       it is asked to shut down, and ended after a while; then images
 *                  of it are cut, where it was stopped for them                   → stopped, or pending
 *   shutting-down  it is ended and forgotten; what is deleted with it goes        → (gone)
 */

/** What a guest has to shut down in; Debian takes 10 to 20 s of it when it is emulated. */
const STOP_GRACE_MS = 90_000;
/** A machine that is deleted may write what its disks, which stay, should hold. */
const TERMINATE_GRACE_MS = 10_000;
const REBOOT_GRACE_MS = 60_000;
const DETACH_GRACE_MS = 20_000;
/** Ports that are tried when somebody else of the computer has one. */
const PORT_TRIES_MAX = 4;

/** `waits`: for something else, which will wake the reconciler. */
export type Brought = 'done' | 'waits';

/** Whether there is something to do for a machine of which the hypervisor says so; null: it knows none. */
export function needsWork(place: MachinePlace, instance: Instance, status: MachineStatus | null): boolean {
  const runs = status !== null && status.state !== 'stopped';
  switch (instance.state) {
    case 'pending':
    case 'stopping':
    case 'shutting-down':
      return true;
    case 'running':
      return (
        !runs ||
        instance.rebootWanted ||
        disksToMove(instance, status.volumes).length > 0 ||
        strayVolumes(instance, status.volumes).length > 0 ||
        hasOtherForwards(place, instance, status)
      );
    case 'stopped':
      return runs;
    case 'terminated':
      return false;
  }
}

/** Disks whose place is not as it should be. */
function disksToMove(instance: Instance, open: readonly VolumeId[]): readonly Attachment[] {
  return instance.attachments.filter(({ state, volume }) => state !== 'attached' || !open.includes(volume));
}

/** Volumes that a machine has open and should not have: the record went on while nobody could reach its process. */
function strayVolumes({ attachments }: Instance, open: readonly VolumeId[]): readonly VolumeId[] {
  return open.filter((id) => !attachments.some(({ volume }) => volume === id));
}

/** Brings one machine as far as it goes. Throws what may pass: the volume host is away, the hypervisor's process died. */
export async function bringInstance(ports: ControlPorts, id: InstanceId, signal: AbortSignal): Promise<Brought> {
  // The record first: what it says of a process was so before the hypervisor is asked.
  const instance = await readInstance(ports, id);
  const statuses = await ports.hypervisor.list();
  const status = statuses.find((one) => one.id === id) ?? null;
  if (instance === null) {
    if (status !== null) ports.log.warn('instance.unknown', { instance: id, state: status.state });
    await endProcess(ports, id, signal);
    return 'done';
  }
  const runs = status !== null && status.state !== 'stopped';
  switch (instance.state) {
    case 'pending':
      return await start(ports, instance);
    case 'running':
      return runs
        ? await tend(ports, instance, status, signal)
        : await settleDead(ports, instance, status?.reason ?? null);
    case 'stopping':
      if (runs) {
        const graceMs = instance.stopsAtOnce ? 0 : STOP_GRACE_MS;
        await orAborted(signal, ports.hypervisor.stop(id, { graceMs }));
      }
      if ((instance.imagesWanted ?? []).length > 0) return await cutAndStart(ports, instance);
      return await settleStopped(ports, id, 'stopping', null);
    case 'stopped':
      if (runs) await orAborted(signal, ports.hypervisor.stop(id, { graceMs: STOP_GRACE_MS }));
      return 'done';
    case 'shutting-down':
      return await terminate(ports, instance, signal);
    case 'terminated':
      return 'done';
  }
}

/**
 * The server stops sooner than a guest: what was asked of it goes on, and the next server asks again. Throws the signal's
 * reason.
 */
async function orAborted(signal: AbortSignal, work: Promise<void>): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function readInstance({ meta }: ControlPorts, id: InstanceId): Promise<Instance | null> {
  const [found] = await meta.read((tx) => tx.documents.everywhere(INSTANCES, id));
  return found?.record ?? null;
}

/** Changes the record, when it is still in the state that the work began with; null: it is not. */
async function change(
  ports: ControlPorts,
  id: InstanceId,
  from: Instance['state'],
  body: (tx: Tx, current: Instance) => Promise<Instance>,
): Promise<Instance | null> {
  return await ports.meta.transact(async (tx) => {
    const [found] = await tx.documents.everywhere(INSTANCES, id);
    return found === undefined || found.record.state !== from ? null : await body(tx, found.record);
  });
}

async function put(tx: Tx, instance: Instance): Promise<Instance> {
  await tx.documents.update(INSTANCES, instance, instance);
  return instance;
}

async function start(ports: ControlPorts, instance: Instance): Promise<Brought> {
  let disks: readonly MachineDisk[] | 'waits';
  try {
    disks = await openDisks(ports, instance);
  } catch (error) {
    const words = finalWords(error);
    if (words === null) throw error;
    return await settleFailed(ports, instance, words);
  }
  if (disks === 'waits') return 'waits';
  let current = instance;
  const refused = new Set<number>();
  for (;;) {
    try {
      await ports.hypervisor.start(specOf(ports, current, disks));
      break;
    } catch (error) {
      if (!(error instanceof HypervisorError)) throw error;
      refused.add(current.sshPort);
      const isLast = error.problem !== 'port-taken' || refused.size === PORT_TRIES_MAX;
      const moved = isLast ? null : await movePort(ports, current, refused);
      if (moved === null) return await settleFailed(ports, current, error.message);
      current = moved;
    }
  }
  await change(ports, instance.id, 'pending', async (tx, now) => {
    await endOperations(ports, tx, now.id, { status: 'Succeeded' });
    const settled = await withAddress(ports, tx, await settleDisks(ports, tx, now));
    const { boot } = ports.machinePlace;
    return await put(tx, {
      ...settled,
      state: 'running',
      stateReason: null,
      launchedAtMs: ports.clock.nowMs(),
      launchedBoot: boot,
    });
  });
  ports.wake('reconcile-instances'); // Which opens its ports.
  return 'done';
}

/** Another port: somebody of this computer has the machine's. Null: it is wanted otherwise by now. */
async function movePort(ports: ControlPorts, { id }: Instance, refused: ReadonlySet<number>): Promise<Instance | null> {
  return await change(ports, id, 'pending', async (tx, now) =>
    put(tx, { ...now, sshPort: await freeSshPort(tx, refused) }),
  );
}

/** The machine's disks as they are served, made before when they are new; the system volume first. */
async function openDisks(ports: ControlPorts, instance: Instance): Promise<readonly MachineDisk[] | 'waits'> {
  const disks: MachineDisk[] = [];
  for (const { volume: id, device, state } of instance.attachments) {
    // What was to go while it stopped.
    if (state === 'detaching') continue;
    const volume = await ports.meta.read((tx) => tx.volumes.find(id));
    if (volume === null || volume.state === 'deleting' || volume.state === 'recoverable') {
      throw new LostVolumeError(`its volume ${id} is gone`);
    }
    if (volume.state === 'error') throw new LostVolumeError(`its volume ${id} cannot be read`);
    // Copied first, because another account shares it: finish-intents brings it on.
    if (volume.staging !== null) return 'waits';
    if (volume.state === 'creating') await makeVolume(ports, volume);
    const { socketPath } = await openVolume(ports, volume);
    disks.push({ volume: id, socketPath, exportName: id, device });
  }
  return disks;
}

class LostVolumeError extends Error {
  override readonly name = 'LostVolumeError';
}

async function makeVolume(ports: ControlPorts, volume: Volume): Promise<void> {
  await makeOnHost(ports, volume);
  await ports.meta.transact(async (tx) => {
    const current = await tx.volumes.find(volume.id);
    if (current?.state === 'creating') await tx.volumes.update({ ...current, state: 'available' });
  });
}

/** Why a machine cannot be started, in words; null: it may be tried again. */
function finalWords(error: unknown): string | null {
  if (error instanceof LostVolumeError) return error.message;
  if (isHostError(error, 'snapshot-not-found')) return 'what its volume is made of is gone';
  if (isHostError(error, 'volume-not-found', 'damaged')) return 'its volume cannot be read';
  if (error instanceof DomainError && error.failure.kind === 'key-unusable') {
    return `the KMS key ${error.failure.key} of its volume cannot be used: ${error.failure.problem}`;
  }
  return null;
}

function specOf({ machinePlace }: ControlPorts, instance: Instance, disks: readonly MachineDisk[]): MachineSpec {
  const { id, cpuCount, memoryMib, name, publicKeys, userData } = instance;
  return {
    id,
    cpuCount,
    memoryMib,
    disks,
    seed: {
      instance: id,
      hostName: hostNameOf(name ?? id) ?? id,
      publicKeys,
      userData: userData === null ? null : Buffer.from(userData, 'base64'),
    },
    forwards: [sshForward(machinePlace, instance)],
  };
}

/** It was never started: then it is not there. It was, once: then it is stopped. */
async function settleFailed(ports: ControlPorts, instance: Instance, reason: string): Promise<Brought> {
  ports.log.warn('instance.start', { instance: instance.id, reason });
  const end: OperationEnd = { status: 'Failed', errorCode: 'StartFailed', errorDetails: reason };
  await change(ports, instance.id, 'pending', async (tx, now) => {
    await endOperations(ports, tx, now.id, end);
    const lost = await withoutDisks(tx, now);
    if (lost === null) {
      const settled = withoutAddress(await settleDisks(ports, tx, now));
      return await put(tx, { ...settled, state: 'stopped', wanted: 'stopped', stateReason: reason });
    }
    return await put(tx, { ...lost, state: 'shutting-down', wanted: 'terminated', stateReason: reason });
  });
  ports.wake('reconcile-instances');
  return 'done';
}

/** The machine of which a volume was never made, or null when all are there: it can be started another time. */
async function withoutDisks(tx: Tx, instance: Instance): Promise<Instance | null> {
  for (const { volume } of instance.attachments) {
    const found = await tx.volumes.find(volume);
    if (found === null || found.state === 'creating' || found.state === 'deleting') return instance;
  }
  return null;
}

/** A machine without a process has what it was to get, and what it was to lose is out of it. */
async function settleDisks(ports: ControlPorts, tx: Tx, instance: Instance): Promise<Instance> {
  let current = instance;
  for (const { volume, state } of instance.attachments) {
    if (state === 'attached') continue;
    await endOperations(ports, tx, volume, { status: 'Succeeded' });
    current =
      state === 'attaching'
        ? await setAttachmentState(tx, current, volume, 'attached')
        : await removeAttachment(tx, current, volume, { isDeleted: false });
  }
  return current;
}

/** A machine whose process is gone, though nobody ended it. */
async function settleDead(
  ports: ControlPorts,
  { id, launchedBoot, options }: Instance,
  reason: string | null,
): Promise<Brought> {
  if (launchedBoot === ports.machinePlace.boot) {
    if (reason === GUEST_SHUT_DOWN && options.shutdownBehavior === 'terminate') return await retire(ports, id, reason);
    return await settleStopped(ports, id, 'running', reason ?? 'its process is gone');
  }
  ports.log.info('instance.restart', { instance: id });
  await change(ports, id, 'running', async (tx, now) =>
    put(tx, { ...(await settleDisks(ports, tx, now)), state: 'pending', rebootWanted: false }),
  );
  ports.wake('reconcile-instances');
  return 'done';
}

/** A machine that is to end with its guest. */
async function retire(ports: ControlPorts, id: InstanceId, reason: string): Promise<Brought> {
  ports.log.info('instance.retired', { instance: id, reason });
  await change(ports, id, 'running', async (tx, now) => {
    await endOperations(ports, tx, id, { status: 'Failed', errorCode: 'InstanceStopped', errorDetails: reason });
    const ending = { state: 'shutting-down', wanted: 'terminated', rebootWanted: false, stateReason: reason } as const;
    return await put(tx, { ...now, ...ending });
  });
  ports.wake('reconcile-instances');
  return 'done';
}

async function settleStopped(
  ports: ControlPorts,
  id: InstanceId,
  from: 'running' | 'stopping',
  reason: string | null,
): Promise<Brought> {
  if (reason !== null) ports.log.info('instance.stopped', { instance: id, reason });
  await change(ports, id, from, async (tx, now) => {
    const end: OperationEnd =
      reason === null
        ? { status: 'Succeeded' }
        : { status: 'Failed', errorCode: 'InstanceStopped', errorDetails: reason };
    await endOperations(ports, tx, id, end);
    const settled = withoutAddress(await settleDisks(ports, tx, now));
    return await put(tx, {
      ...settled,
      state: 'stopped',
      wanted: 'stopped',
      stopsAtOnce: false,
      rebootWanted: false,
      // Whoever asked for it may have said why.
      stateReason: reason ?? now.stateReason,
    });
  });
  return 'done';
}

/** Of a machine that was shut down for images of it. It starts again, unless somebody stopped it meanwhile. */
async function cutAndStart(ports: ControlPorts, instance: Instance): Promise<Brought> {
  const { id, imagesWanted = [] } = instance;
  await cutImages(ports, instance);
  await change(ports, id, 'stopping', async (tx, now) => {
    const left = withoutImages(now, imagesWanted);
    if (left.imagesWanted !== undefined || left.wanted !== 'running') return await put(tx, left);
    return await put(tx, { ...(await settleDisks(ports, tx, left)), state: 'pending', rebootWanted: false });
  });
  ports.wake('reconcile-instances'); // Cuts those that came meanwhile, starts it, or leaves it stopped.
  return 'done';
}

/** Of a machine that runs: it boots anew, disks come and go, ports are opened and closed. */
async function tend(
  ports: ControlPorts,
  instance: Instance,
  status: MachineStatus,
  signal: AbortSignal,
): Promise<Brought> {
  const { id } = instance;
  try {
    if (instance.rebootWanted) {
      await orAborted(signal, ports.hypervisor.reboot(id, { graceMs: REBOOT_GRACE_MS }));
      await change(ports, id, 'running', async (tx, now) => {
        await endOperations(ports, tx, id, { status: 'Succeeded' });
        return await put(tx, { ...now, rebootWanted: false });
      });
    }
    for (const attachment of disksToMove(instance, status.volumes)) {
      await (attachment.state === 'detaching' ? detach(ports, id, attachment, signal) : attach(ports, id, attachment));
    }
    for (const volume of strayVolumes(instance, status.volumes)) {
      ports.log.warn('instance.stray', { instance: id, volume });
      await orAborted(signal, ports.hypervisor.detach(id, volume, { graceMs: DETACH_GRACE_MS, force: true }));
    }
    if (hasOtherForwards(ports.machinePlace, instance, status)) await bringForwards(ports, instance, status);
  } catch (error) {
    // It ended in the middle of it: the next look says so.
    if (!(error instanceof HypervisorError) || error.problem !== 'not-running') throw error;
    ports.wake('reconcile-instances');
  }
  return 'done';
}

async function attach(ports: ControlPorts, id: InstanceId, { volume: volumeId, device }: Attachment): Promise<void> {
  const volume = await ports.meta.read((tx) => tx.volumes.find(volumeId));
  assert(volume !== null, 'a volume that a machine has is there');
  let end: OperationEnd = { status: 'Succeeded' };
  try {
    const { socketPath } = await openVolume(ports, volume);
    await ports.hypervisor.attach(id, { volume: volumeId, socketPath, exportName: volumeId, device });
  } catch (error) {
    // Where QEMU does not answer, the guest may have the disk: nobody else gets it before that is known.
    const isOfMachine = error instanceof HypervisorError && !['not-running', 'failed'].includes(error.problem);
    const words = isOfMachine ? error.message : finalWords(error);
    if (words === null) throw error;
    ports.log.warn('instance.attach', { instance: id, volume: volumeId, reason: words });
    end = { status: 'Failed', errorCode: 'AttachFailed', errorDetails: words };
  }
  await endMove(ports, id, volumeId, 'attaching', end, (tx, now) =>
    end.status === 'Succeeded'
      ? setAttachmentState(tx, now, volumeId, 'attached')
      : removeAttachment(tx, now, volumeId, { isDeleted: false }),
  );
}

async function detach(ports: ControlPorts, id: InstanceId, { volume }: Attachment, signal: AbortSignal): Promise<void> {
  let end: OperationEnd = { status: 'Succeeded' };
  try {
    await orAborted(signal, letGo(ports, id, volume));
  } catch (error) {
    if (!(error instanceof HypervisorError) || error.problem !== 'guest-refuses') throw error;
    ports.log.warn('instance.detach', { instance: id, volume, reason: error.message });
    end = { status: 'Failed', errorCode: 'DetachFailed', errorDetails: error.message };
  }
  await endMove(ports, id, volume, 'detaching', end, (tx, now) =>
    end.status === 'Succeeded'
      ? removeAttachment(tx, now, volume, { isDeleted: false })
      : setAttachmentState(tx, now, volume, 'attached'),
  );
}

/** What the guest keeps is taken away where that was asked for, be it meanwhile. */
async function letGo(ports: ControlPorts, id: InstanceId, volume: VolumeId): Promise<void> {
  const options = { graceMs: DETACH_GRACE_MS };
  try {
    await ports.hypervisor.detach(id, volume, { ...options, force: false });
  } catch (error) {
    if (!(error instanceof HypervisorError) || error.problem !== 'guest-refuses') throw error;
    const found = await ports.meta.read((tx) => tx.volumes.find(volume));
    if (found?.attachment?.isForced !== true) throw error;
    await ports.hypervisor.detach(id, volume, { ...options, force: true });
  }
}

/** Nothing happens to a disk that is wanted otherwise by now. */
async function endMove(
  ports: ControlPorts,
  id: InstanceId,
  volume: VolumeId,
  from: Attachment['state'],
  end: OperationEnd,
  body: (tx: Tx, current: Instance) => Promise<Instance>,
): Promise<void> {
  await change(ports, id, 'running', async (tx, now) => {
    if (now.attachments.find((one) => one.volume === volume)?.state !== from) return now;
    await endOperations(ports, tx, volume, end);
    return await body(tx, now);
  });
}

/** Also of what the hypervisor does not list: a crash may have left files of it. */
async function endProcess({ hypervisor }: ControlPorts, id: InstanceId, signal: AbortSignal): Promise<void> {
  await orAborted(signal, hypervisor.stop(id, { graceMs: TERMINATE_GRACE_MS }));
  await hypervisor.forget(id);
}

async function terminate(ports: ControlPorts, instance: Instance, signal: AbortSignal): Promise<Brought> {
  const { id } = instance;
  await endProcess(ports, id, signal);
  await change(ports, id, 'shutting-down', async (tx, now) => {
    await failImages(tx, now);
    let current = withoutImages(now, now.imagesWanted ?? []);
    for (const { volume, deleteOnTermination } of now.attachments) {
      const end: OperationEnd = { status: 'Failed', errorCode: 'Deleted', errorDetails: 'the instance was deleted' };
      await endOperations(ports, tx, volume, end);
      current = await removeAttachment(tx, current, volume, { isDeleted: deleteOnTermination });
    }
    await freeStaticIp(tx, now);
    if (now.name !== null) await tx.names.free(now, now.name, id);
    await endOperations(ports, tx, id, { status: 'Succeeded' });
    // EC2's clients wait until they read that it is terminated; it is forgotten later (tasks/prune.ts).
    if (now.face === 'ec2') {
      return await put(tx, {
        ...current,
        address: null,
        staticIp: null,
        state: 'terminated',
        wanted: 'terminated',
        endedAtMs: ports.clock.nowMs(),
      });
    }
    await tx.documents.remove(INSTANCES, now, id);
    return current;
  });
  ports.wake('finish-deletions');
  return 'done';
}
