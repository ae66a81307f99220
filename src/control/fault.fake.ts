import type { Hypervisor } from '#machine/hypervisor.ts';
import type { MetaStore } from '#meta/meta-store.ts';
import { type VolumeHost, VolumeHostError, type VolumeHostErrorKind } from '#volume/host.ts';

/** `before`: the call does not happen. `after`: it happens, and its answer is lost. */
export type FaultMode = 'before' | 'after';

/** Lets the n-th call of all wrapped ports fail, once. */
export class Faults {
  #countdown = 0;
  #mode: FaultMode = 'before';
  #kind: VolumeHostErrorKind = 'internal';
  #fired: string | null = null;

  arm(call: number, mode: FaultMode, kind: VolumeHostErrorKind = 'internal'): void {
    this.#countdown = call;
    this.#mode = mode;
    this.#kind = kind;
    this.#fired = null;
  }

  /** Which call failed; null when fewer were made. */
  disarm(): string | null {
    this.#countdown = 0;
    return this.#fired;
  }

  async around<R>(name: string, call: () => Promise<R>): Promise<R> {
    if (this.#countdown === 0 || --this.#countdown > 0) return await call();
    this.#fired = name;
    if (this.#mode === 'after') await call();
    throw new VolumeHostError(this.#kind, `fault ${this.#mode} ${name}`);
  }
}

export function faultyHost(host: VolumeHost, faults: Faults): VolumeHost {
  return {
    create: (spec) => faults.around('create', () => host.create(spec)),
    open: (...all) => faults.around('open', () => host.open(...all)),
    close: (volume, generation) => faults.around('close', () => host.close(volume, generation)),
    grow: (volume, sizeBytes) => faults.around('grow', () => host.grow(volume, sizeBytes)),
    destroy: (volume) => faults.around('destroy', () => host.destroy(volume)),
    status: (volumes) => faults.around('status', () => host.status(volumes)),
    cut: (volumes, cut) => faults.around('cut', () => host.cut(volumes, cut)),
    upload: (job, signal) => faults.around('upload', () => host.upload(job, signal)),
    copySnapshot: (job, signal) => faults.around('copySnapshot', () => host.copySnapshot(job, signal)),
    progress: () => faults.around('progress', () => host.progress()),
    archiveSnapshot: (...all) => faults.around('archiveSnapshot', () => host.archiveSnapshot(...all)),
    unarchiveSnapshot: (...all) => faults.around('unarchiveSnapshot', () => host.unarchiveSnapshot(...all)),
    deleteArchive: (snapshot) => faults.around('deleteArchive', () => host.deleteArchive(snapshot)),
    release: (volume, cut) => faults.around('release', () => host.release(volume, cut)),
    openSnapshot: (...all) => faults.around('openSnapshot', () => host.openSnapshot(...all)),
    warmSnapshot: (...all) => faults.around('warmSnapshot', () => host.warmSnapshot(...all)),
    coolSnapshot: (snapshot) => faults.around('coolSnapshot', () => host.coolSnapshot(snapshot)),
    issueGrant: (...all) => faults.around('issueGrant', () => host.issueGrant(...all)),
    clients: () => faults.around('clients', () => host.clients()),
    grants: (exportId) => faults.around('grants', () => host.grants(exportId)),
    revokeGrant: (grantId) => faults.around('revokeGrant', () => host.revokeGrant(grantId)),
    deleteSnapshot: (snapshot) => faults.around('deleteSnapshot', () => host.deleteSnapshot(snapshot)),
    snapshotSizes: (snapshots) => faults.around('snapshotSizes', () => host.snapshotSizes(snapshots)),
    freedBytes: (snapshots) => faults.around('freedBytes', () => host.freedBytes(snapshots)),
    storeSize: () => faults.around('storeSize', () => host.storeSize()),
    listBlocks: (...all) => faults.around('listBlocks', () => host.listBlocks(...all)),
    changedBlocks: (...all) => faults.around('changedBlocks', () => host.changedBlocks(...all)),
    readBlock: (...all) => faults.around('readBlock', () => host.readBlock(...all)),
    writeBlock: (...all) => faults.around('writeBlock', () => host.writeBlock(...all)),
    collect: (volumes, signal) => faults.around('collect', () => host.collect(volumes, signal)),
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  };
}

export function faultyHypervisor(hypervisor: Hypervisor, faults: Faults): Hypervisor {
  return {
    capabilities: () => faults.around('capabilities', () => hypervisor.capabilities()),
    start: (spec) => faults.around('start', () => hypervisor.start(spec)),
    stop: (...all) => faults.around('stop', () => hypervisor.stop(...all)),
    reboot: (...all) => faults.around('reboot', () => hypervisor.reboot(...all)),
    list: () => faults.around('list', () => hypervisor.list()),
    attach: (...all) => faults.around('attach', () => hypervisor.attach(...all)),
    detach: (...all) => faults.around('detach', () => hypervisor.detach(...all)),
    quiesce: (...all) => faults.around('quiesce', () => hypervisor.quiesce(...all)),
    console: (...all) => faults.around('console', () => hypervisor.console(...all)),
    usage: (id) => faults.around('usage', () => hypervisor.usage(id)),
    forward: (...all) => faults.around('forward', () => hypervisor.forward(...all)),
    forget: (id) => faults.around('forget', () => hypervisor.forget(id)),
    watch: (onChange) => hypervisor.watch(onChange),
    [Symbol.asyncDispose]: () => hypervisor[Symbol.asyncDispose](),
  };
}

export function faultyMeta(meta: MetaStore, faults: Faults): MetaStore {
  return {
    transact: (body) => faults.around('transact', () => meta.transact(body)),
    read: (body) => faults.around('read', () => meta.read(body)),
    purge: () => faults.around('purge', () => meta.purge()),
    [Symbol.asyncDispose]: () => meta[Symbol.asyncDispose](),
  };
}
