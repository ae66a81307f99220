import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { assert, present } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import { type DataKeyId, dataKeyIdOf } from '#chunk/data-key-ring.ts';
import type { PackCache } from '#chunk/pack-cache.ts';
import { KeyLock } from '#base/key-lock.ts';
import type { Log } from '#base/log.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { CutId, Generation, SnapshotId, VolumeId } from '#domain/ids.ts';
import type { AccountRoot } from '#snapshot/holds.ts';
import type { VolumeRoot } from '#snapshot/sizes.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';
import type { TreeRoot } from '#snapshot/tree.ts';

import { AccessTraces } from './access-traces.ts';
import { presentChunks, type PresentChunks } from './chunk-presence.ts';
import { Archives } from './archives.ts';
import { Copies } from './copies.ts';
import { beginCuts, forgetPartialCut } from './cuts-together.ts';
import {
  type CollectReport,
  type CopyJob,
  type SnapshotSize,
  type StoreSize,
  type NbdAccess,
  type NbdClients,
  type NbdGrant,
  type UploadJob,
  type UploadProgress,
  type UploadResult,
  type VolumeHost,
  VolumeHostError,
  type VolumeSpec,
  type VolumeStatus,
  type WarmStatus,
} from './host.ts';
import { asHostErrors } from './host-errors.ts';
import { type HydrationSettings, Hydrations } from './hydrations.ts';
import type { LiveSettings, NbdTcp } from './host-settings.ts';
import { NbdExportTable } from './nbd-export-table.ts';
import type { NbdGrants } from './nbd-grants.ts';
import { NbdTcpAccess } from './nbd-tcp-access.ts';
import { nbdUri } from './nbd-uri.ts';
import { RestoredVolumes } from './restored-volumes.ts';
import { SnapshotExports } from './snapshot-exports.ts';
import { Uploads } from './upload.ts';
import { VolumeDevice } from './volume-device.ts';
import type { VolumeRecord } from './volume-file.ts';
import { nodeVolumeFiles, type VolumeFiles } from './volume-files.ts';
import { dataKeyOf, dataKeysOf, type VolumeKeys } from './volume-key.ts';
import { VolumeStore } from './volume-store.ts';
import { WarmSnapshots } from './warm-snapshots.ts';

export interface LocalVolumeHostOptions {
  /** Where volumes are; made if it is not there. */
  readonly volumesDirectory: string;
  /** Where it is kept in which order snapshots are read; made when there is something to keep; by default `traces` beside the volumes. */
  readonly tracesDirectory?: string;
  /** Of the bucket that `store` is in; null or missing: the store is nearby itself. */
  readonly packCache?: PackCache | null;
  /** By default chunks of restored volumes come only when they are read. */
  readonly hydration?: HydrationSettings;
  /** Where the sockets go; exists. */
  readonly socketDirectory: string;
  /** Taken over: disposed with the host. */
  readonly store: SnapshotStore;
  /** Where exports are served over TCP as well, with TLS, to who has a grant; port 0: any free one. Null: unix sockets only. */
  readonly nbdTcp: NbdTcp | null;
  readonly grants: NbdGrants;
  /** Of encrypted volumes. */
  readonly keys: VolumeKeys;
  /** Whether the data files of new volumes are encrypted. */
  readonly encryptVolumes: boolean;
  readonly clock: Clock;
  readonly log: Log;
  /** What volumes are written with; by default the file system's. */
  readonly files?: VolumeFiles;
}

/** Volumes whose status is put together before other work gets its turn: a few milliseconds. */
const STATUSES_A_TURN = 64;

/**
 * The data plane in this process: volumes, their NBD exports, the snapshot store.
 *
 *   volume:  (nothing) → create → on disk → open(generation) → served → close → on disk → destroy → (nothing)
 *
 * create, open, close and destroy of one volume run one after another. Whoever closes a device first ends what serves it
 * and its uploads; slots of pending cuts stay, so an upload goes on after the next open.
 * The caller holds the data directory's lock: nobody else touches these directories.
 */
export class LocalVolumeHost implements VolumeHost {
  readonly #volumes: VolumeStore;
  readonly #store: SnapshotStore;
  readonly #log: Log;
  readonly #files: VolumeFiles;
  readonly #exports: NbdExportTable;
  readonly #snapshots: SnapshotExports;
  readonly #uploads: Uploads;
  readonly #archives: Archives;
  readonly #copies: Copies;
  readonly #hydrations: Hydrations;
  readonly #restored: RestoredVolumes;
  readonly #warm: WarmSnapshots;
  readonly #lock = new KeyLock();
  readonly #open = new Map<VolumeId, VolumeDevice>();
  /** The data keys of those that are open. */
  readonly #lent = new Map<VolumeDevice, { readonly id: DataKeyId | null; readonly scope: AsyncDisposable }>();
  /** Calls that are being served, those that wait for their turn included; none of them rejects. */
  readonly #calls = new Set<Promise<void>>();
  readonly #tcp: NbdTcpAccess;
  readonly #keys: VolumeKeys;
  #encryptVolumes: boolean;
  readonly #closing = new AbortController();
  #stopping: Promise<void> | null = null;

  private constructor(options: LocalVolumeHostOptions, volumes: VolumeStore, warm: WarmSnapshots) {
    this.#volumes = volumes;
    this.#warm = warm;
    this.#store = options.store;
    this.#log = options.log;
    this.#keys = options.keys;
    this.#encryptVolumes = options.encryptVolumes;
    this.#files = options.files ?? nodeVolumeFiles;
    this.#exports = new NbdExportTable({
      socketDirectory: options.socketDirectory,
      clock: options.clock,
      log: options.log,
      openSnapshot: async (snapshot) => {
        await this.openSnapshot(snapshot);
      },
    });
    this.#tcp = new NbdTcpAccess({ exports: this.#exports, grants: options.grants, log: options.log });
    this.#snapshots = new SnapshotExports({
      store: options.store,
      log: options.log,
      isUsed: (snapshot) => this.#exports.clientCount(snapshot) > 0,
      onClose: (snapshot) => this.#exports.remove(snapshot),
    });
    const { clock, log, hydration = { bytesPerSecond: 0 } } = options;
    this.#hydrations = new Hydrations({ directory: options.volumesDirectory, settings: hydration, clock, log });
    this.#restored = new RestoredVolumes({
      hydrations: this.#hydrations,
      traces: new AccessTraces({
        directory: options.tracesDirectory ?? join(dirname(options.volumesDirectory), 'traces'),
        clock,
        log,
      }),
    });
    this.#archives = new Archives(options.store);
    this.#copies = new Copies(options.store);
    this.#uploads = new Uploads({
      store: options.store,
      deviceOf: (volume) => this.#deviceOf(volume),
      dataKeyIdOf: (device) => this.#lent.get(device)?.id ?? null,
    });
  }

  static async open(options: LocalVolumeHostOptions): Promise<LocalVolumeHost> {
    const volumes = await VolumeStore.open(options.volumesDirectory);
    const { store, packCache: cache = null, log } = options;
    const directory = join(dirname(options.volumesDirectory), 'warm', 'snapshots');
    const warm = await WarmSnapshots.open({ directory, store, cache, log });
    const host = new LocalVolumeHost(options, volumes, warm);
    if (options.nbdTcp !== null) await host.#tcp.listen(options.nbdTcp);
    return host;
  }

  /** Takes up what differs and needs no restart; clients notice nothing. Listens on TCP where it did not; else `nbdTcp` changes nothing. */
  async configure(settings: LiveSettings): Promise<void> {
    await this.#serving('take up settings', async () => {
      if (!this.#tcp.isListening && settings.nbdTcp !== null) await this.#tcp.listen(settings.nbdTcp);
      this.#encryptVolumes = settings.encryptVolumes;
      this.#hydrations.setRate(settings.hydration);
    });
  }

  async create(spec: VolumeSpec): Promise<void> {
    await this.#alone(spec.volume, `create ${spec.volume}`, async () => {
      if (await this.#volumes.has(spec.volume)) return;
      const { volume, account, sizeBytes, hydrationBytesPerSecond = null } = spec;
      const path = this.#volumes.pathOf(volume);
      const dataKey = dataKeyOf(spec.dataKey);
      const sealedKey = dataKey !== null || this.#encryptVolumes ? this.#keys.make(volume, dataKey) : null;
      if (spec.origin === null) {
        await VolumeDevice.create(path, { volume, account, sizeBytes, origin: null, sealedKey }, this.#files);
        return;
      }
      // Held until the volume is on disk, where a collection finds it as a root of its own.
      using held = await this.#store.hold(spec.origin);
      if (held.account !== account) throw new VolumeHostError('snapshot-not-found', `no snapshot ${spec.origin}`);
      const { root } = held;
      const origin = { snapshot: spec.origin, root, chunkCount: root.chunkCount };
      const made = { volume, account, sizeBytes, origin, sealedKey, hydrationBytesPerSecond };
      await VolumeDevice.create(path, made, this.#files);
    });
  }

  async open(
    volume: VolumeId,
    generation: Generation,
    dataKey: string | null = null,
  ): Promise<{ readonly socketPath: string }> {
    return await this.#alone(volume, `open ${volume}`, async () => {
      const current = this.#open.get(volume);
      if (current !== undefined) {
        if (current.generation === generation && current.failure === null) {
          return { socketPath: this.#exports.socketPath(volume) };
        }
        if (current.generation > generation) throw fenced(volume, generation, current.generation);
        await this.#close(current);
      }
      await using scope = new AsyncDisposableStack();
      // What it reads through to is sealed under it, too.
      const keys = dataKeysOf(dataKey);
      scope.use(this.#store.lend(keys));
      const [id = null] = keys.map(dataKeyIdOf);
      const device = await VolumeDevice.open(this.#volumes.pathOf(volume), {
        generation,
        files: this.#files,
        openKey: (id, sealed) => this.#keys.open(id, sealed, dataKeyOf(dataKey)),
        fetchOrigin: (index) => this.#fetchOrigin(device, index),
        readOrigin: (wanted, how) => this.#store.readChunks(device.account, rootOf(device), wanted, how),
        originPresence: (start, end) => this.#originPresence(device, start, end),
        onTrouble: (error) => this.#log.error('volume.trouble', { volume, error }),
      });
      try {
        if (device.originChunks !== null) this.#store.checkKey(rootOf(device));
        await this.#restored.begin(device);
        const socketPath = await this.#exports.add(volume, device);
        this.#open.set(volume, device);
        this.#lent.set(device, { id, scope: scope.move() });
        this.#log.info('volume.open', { volume, generation, uri: nbdUri(volume, socketPath) });
        return { socketPath };
      } catch (error) {
        try {
          await this.#restored.end(device);
        } finally {
          await device.close();
        }
        throw error;
      }
    });
  }

  async close(volume: VolumeId, generation: Generation): Promise<void> {
    await this.#alone(volume, `close ${volume}`, async () => {
      const device = this.#open.get(volume);
      if (device !== undefined && device.generation <= generation) await this.#close(device);
    });
  }

  async grow(volume: VolumeId, sizeBytes: number): Promise<void> {
    await this.#alone(volume, `grow ${volume}`, async () => {
      const device = await this.#deviceOf(volume);
      await device.grow(sizeBytes);
    });
  }

  async destroy(volume: VolumeId): Promise<void> {
    await this.#alone(volume, `destroy ${volume}`, async () => {
      const device = this.#open.get(volume);
      const clientCount = this.#exports.clientCount(volume);
      if (clientCount > 0) throw new VolumeHostError('in-use', `${clientCount} NBD clients use volume ${volume}`);
      if (device !== undefined) await this.#close(device);
      await this.#tcp.forget(volume);
      await this.#volumes.remove(volume);
    });
  }

  async status(volumes: readonly VolumeId[]): Promise<readonly VolumeStatus[]> {
    this.#assertServing();
    const found: VolumeStatus[] = [];
    for (const [at, volume] of volumes.entries()) {
      if (at > 0 && at % STATUSES_A_TURN === 0) await setImmediate();
      const device = this.#open.get(volume);
      if (device === undefined) continue;
      const { epoch, slotBytes } = device;
      const socketPath = this.#exports.socketPath(volume);
      const failure = device.failure?.message ?? null;
      const clientCount = this.#exports.clientCount(volume);
      const hydration = this.#restored.status(device);
      const encrypted = device.dataKey !== null;
      found.push({ volume, socketPath, clientCount, epoch, slotBytes, encrypted, failure, hydration });
    }
    return found;
  }

  async cut(volumes: readonly VolumeId[], cut: CutId) {
    return await this.#serving(`cut ${cut}`, async () => {
      const devices = await Promise.all(volumes.map((volume) => this.#deviceOf(volume)));
      await forgetPartialCut(devices, cut);
      // The instant: no request of any client comes between these.
      const begun = beginCuts(devices, cut);
      const durable = await Promise.allSettled(begun.map((one) => one.durable));
      const failed = durable.find((one) => one.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return begun.map(({ volume, epoch }) => ({ volume, epoch }));
    });
  }

  async upload(job: UploadJob, signal: AbortSignal): Promise<UploadResult> {
    this.#assertServing();
    const result = await this.#uploads.upload(job, signal);
    const device = this.#open.get(job.label.volume);
    if (device !== undefined) await this.#restored.inherit(device, job.label.snapshot);
    return result;
  }

  async copySnapshot(job: CopyJob, signal: AbortSignal): Promise<UploadResult> {
    this.#assertServing();
    return await this.#copies.copy(job, signal);
  }

  async progress(): Promise<Readonly<Record<SnapshotId, UploadProgress>>> {
    return { ...this.#uploads.progress(), ...this.#copies.progress(), ...this.#archives.progress() };
  }

  async archiveSnapshot(snapshot: SnapshotId, signal: AbortSignal, dataKey: string | null = null): Promise<number> {
    this.#assertServing();
    return await this.#archives.archive(snapshot, signal, dataKey);
  }

  async unarchiveSnapshot(snapshot: SnapshotId, signal: AbortSignal, dataKey: string | null = null): Promise<void> {
    this.#assertServing();
    await this.#archives.unarchive(snapshot, signal, dataKey);
  }

  async deleteArchive(snapshot: SnapshotId): Promise<void> {
    await this.#serving(`delete the archive of ${snapshot}`, async () => {
      await this.#archives.abortSnapshot(snapshot);
      await this.#store.deleteArchive(snapshot);
    });
  }

  async release(volume: VolumeId, cut: CutId): Promise<void> {
    await this.#serving(`release ${cut} of ${volume}`, async () => {
      if (!this.#open.has(volume) && !(await this.#volumes.has(volume))) return; // Its slots are gone with it.
      const device = await this.#deviceOf(volume);
      await this.#uploads.abortCut(volume, cut); // It reads the slots.
      await device.release(cut);
    });
  }

  async openSnapshot(snapshot: SnapshotId, dataKey: string | null = null): Promise<{ readonly socketPath: string }> {
    return await this.#serving(`open ${snapshot}`, async () => {
      await this.#snapshots.open(snapshot, dataKeysOf(dataKey), async (device) => {
        const socketPath = await this.#exports.add(snapshot, device);
        this.#log.info('snapshot.open', { snapshot, uri: nbdUri(snapshot, socketPath) });
      });
      return { socketPath: this.#exports.socketPath(snapshot) };
    });
  }

  async warmSnapshot(snapshot: SnapshotId, dataKey: string | null = null): Promise<WarmStatus> {
    return await this.#serving(`make ${snapshot} ready`, () => this.#warm.warm(snapshot, dataKeysOf(dataKey)));
  }

  async coolSnapshot(snapshot: SnapshotId): Promise<void> {
    await this.#serving(`let ${snapshot} go`, () => this.#warm.cool(snapshot));
  }

  async clients(): Promise<NbdClients> {
    this.#assertServing();
    return this.#exports.clients();
  }

  async issueGrant(exportId: VolumeId | SnapshotId, ttlMs: number | null): Promise<NbdAccess> {
    return await this.#serving(`issue a credential for ${exportId}`, () => this.#tcp.issue(exportId, ttlMs));
  }

  async grants(exportId: VolumeId | SnapshotId | null): Promise<readonly NbdGrant[]> {
    return this.#tcp.list(exportId);
  }

  async revokeGrant(grantId: string): Promise<boolean> {
    return await this.#serving('revoke a credential', () => this.#tcp.revoke(grantId));
  }

  async deleteSnapshot(snapshot: SnapshotId): Promise<void> {
    await this.#serving(`delete ${snapshot}`, async () => {
      await this.#uploads.abortSnapshot(snapshot);
      await this.#copies.abortSnapshot(snapshot);
      await this.#archives.abortSnapshot(snapshot);
      await this.#tcp.forget(snapshot);
      await this.#store.deleteManifest(snapshot);
      await this.#snapshots.close(snapshot);
      await this.#restored.forget(snapshot);
      await this.#warm.cool(snapshot);
    });
  }

  async snapshotSizes(snapshots: readonly SnapshotId[]): Promise<readonly SnapshotSize[]> {
    return await this.#serving('sizes of snapshots', async () =>
      this.#store.sizes(snapshots, await this.#volumeRoots()),
    );
  }

  async freedBytes(snapshots: readonly SnapshotId[]): Promise<number> {
    return await this.#serving('sizes of snapshots', async () =>
      this.#store.freedBytes(snapshots, await this.#volumeRoots()),
    );
  }

  async #volumeRoots(): Promise<readonly VolumeRoot[]> {
    const volumes: VolumeRoot[] = [];
    for (const volume of await this.#volumes.list()) {
      const record = await this.#recordOf(volume);
      if (record === null || record.origin === null || record.detached) continue;
      volumes.push({ volume, account: record.account, root: record.origin.root });
    }
    return volumes;
  }

  async storeSize(): Promise<StoreSize> {
    return await this.#serving('size of the store', () => this.#store.storeSize());
  }

  async listBlocks(snapshot: SnapshotId, start: number, countMax: number) {
    return await this.#serving(`list ${snapshot}`, () => this.#store.listBlocks(snapshot, start, countMax));
  }

  async changedBlocks(first: SnapshotId, second: SnapshotId, start: number, countMax: number) {
    return await this.#serving(`compare ${first} and ${second}`, () =>
      this.#store.changedBlocks(first, second, start, countMax),
    );
  }

  async readBlock(snapshot: SnapshotId, index: number, dataKey: string | null = null) {
    return await this.#serving(`read chunk ${index} of ${snapshot}`, async () => {
      using _lent = this.#store.lend(dataKeysOf(dataKey));
      using held = await this.#store.hold(snapshot);
      if (index >= held.root.chunkCount) return null;
      return await this.#store.readChunk(held.account, held.root, index);
    });
  }

  async writeBlock(volume: VolumeId, generation: Generation, index: number, bytes: Uint8Array): Promise<void> {
    await this.#serving(`write chunk ${index} of ${volume}`, async () => {
      const device = await this.#deviceOf(volume);
      if (device.generation !== generation) throw fenced(volume, generation, device.generation);
      const offset = index * CHUNK_BYTES;
      if (bytes.length !== CHUNK_BYTES || offset + CHUNK_BYTES > device.sizeBytes) {
        throw new VolumeHostError('internal', `chunk ${index} is not a chunk of volume ${volume}`);
      }
      // What is answered is durable: a client that puts blocks has no flush to ask for.
      await device.write(offset, bytes, { fua: true });
    });
  }

  async collect(volumes: readonly VolumeId[], signal: AbortSignal): Promise<CollectReport> {
    return await this.#serving('collect', () =>
      // One after another, so that no other collection takes the origins between their reading and their marking.
      this.#lock.run('collect', async () => {
        const needed = await this.#originsOf(volumes);
        const extraRoots = async (): Promise<readonly AccountRoot[]> => [...needed, ...(await this.#originsOnDisk())];
        const either = AbortSignal.any([signal, this.#closing.signal]);
        const report = await this.#store.collect({ extraRoots, signal: either });
        if (report.deletedChunks > 0) this.#warm.refresh();
        return report;
      }),
    );
  }

  /** Stops serving, flushes and closes everything. Calls are refused as `unavailable` from now on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping ??= this.#stop();
    await this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#closing.abort(new VolumeHostError('unavailable', 'the volume host is stopping'));
    // At the end, in reverse; each is done though one before it fails.
    await using ending = new AsyncDisposableStack();
    ending.use(this.#store);
    ending.use(this.#exports);
    ending.use(this.#snapshots);
    await this.#uploads[Symbol.asyncDispose]();
    await this.#archives[Symbol.asyncDispose]();
    await this.#copies[Symbol.asyncDispose]();
    await this.#warm[Symbol.asyncDispose]();
    // Nobody begins any more; who is at work on a directory or the store ends before they are let go of.
    await Promise.all(this.#calls);
    const closed = await Promise.allSettled(
      [...this.#open.keys()].map((volume) =>
        this.#lock.run(volume, async () => {
          const device = this.#open.get(volume);
          if (device !== undefined) await this.#close(device);
        }),
      ),
    );
    const failed = closed.filter((one) => one.status === 'rejected').map((one): unknown => one.reason);
    if (failed.length > 0) throw new AggregateError(failed, `${failed.length} volumes did not close in order`);
  }

  async #close(device: VolumeDevice): Promise<void> {
    const { volume } = device;
    assert(this.#open.get(volume) === device, 'a device is closed once');
    this.#open.delete(volume);
    const lent = this.#lent.get(device);
    this.#lent.delete(device);
    // In reverse; each is done though one before it fails.
    await using ending = new AsyncDisposableStack();
    ending.use(lent?.scope);
    ending.defer(() => this.#log.info('volume.close', { volume, generation: device.generation }));
    ending.defer(() => device.close());
    ending.defer(() => this.#restored.end(device));
    ending.defer(() => this.#uploads.abortVolume(volume));
    ending.defer(() => this.#exports.remove(volume));
  }

  async #fetchOrigin(device: VolumeDevice, index: number): Promise<Uint8Array | null> {
    const found = await this.#store.readChunk(device.account, rootOf(device), index);
    return found?.bytes ?? null;
  }

  async #originPresence(device: VolumeDevice, start: number, end: number): Promise<PresentChunks> {
    return await presentChunks(this.#store, { account: device.account, root: rootOf(device) }, start, end);
  }

  /** The device of a volume that is open; `unavailable` while it is only on disk, or failed: both want an `open`. */
  async #deviceOf(volume: VolumeId): Promise<VolumeDevice> {
    const device = this.#open.get(volume);
    if (device !== undefined && device.failure === null) return device;
    if (device !== undefined) throw new VolumeHostError('unavailable', `volume ${volume}: ${device.failure?.message}`);
    if (await this.#volumes.has(volume)) throw new VolumeHostError('unavailable', `volume ${volume} is not open`);
    throw new VolumeHostError('volume-not-found', `there is no volume ${volume}`);
  }

  /** Of volumes that have one. Where their directories are not there (`volumes/` not mounted, restored in part), it is not known. */
  async #originsOf(volumes: readonly VolumeId[]): Promise<readonly AccountRoot[]> {
    const roots: AccountRoot[] = [];
    for (const volume of volumes) {
      const record = await this.#recordOf(volume);
      if (record === null) {
        throw new VolumeHostError(
          'volume-not-found',
          `volume ${volume} is not on disk: what it is restored from is unknown`,
        );
      }
      if (record.origin === null) throw new VolumeHostError('damaged', `volume ${volume} has lost its origin`);
      if (!record.detached) roots.push({ account: record.account, root: record.origin.root });
    }
    return roots;
  }

  /** What volumes read through to, open or not. A volume that cannot be read ends the collection: its origin is not known. */
  async #originsOnDisk(): Promise<readonly AccountRoot[]> {
    const roots: AccountRoot[] = [];
    for (const volume of await this.#volumes.list()) {
      const record = await this.#recordOf(volume);
      if (record === null || record.origin === null || record.detached) continue;
      roots.push({ account: record.account, root: record.origin.root });
    }
    return roots;
  }

  /** Null when nothing of it is on disk. Waits for a creation of it. */
  async #recordOf(volume: VolumeId): Promise<VolumeRecord | null> {
    return await this.#lock.run(volume, () => this.#volumes.readAll(volume));
  }

  async #alone<R>(volume: VolumeId, doing: string, work: () => Promise<R>): Promise<R> {
    return await this.#serving(doing, () =>
      this.#lock.run(volume, async () => {
        this.#assertServing(); // It may have begun to stop meanwhile.
        return await work();
      }),
    );
  }

  async #serving<R>(doing: string, work: () => Promise<R>): Promise<R> {
    this.#assertServing();
    const ended = Promise.withResolvers<void>();
    this.#calls.add(ended.promise);
    try {
      return await asHostErrors(doing, work);
    } finally {
      this.#calls.delete(ended.promise);
      ended.resolve();
    }
  }

  #assertServing(): void {
    if (this.#stopping !== null) throw new VolumeHostError('unavailable', 'the volume host is stopping');
  }
}

function rootOf({ origin }: VolumeDevice): TreeRoot {
  return present(origin, 'only a volume with an origin reads through').root;
}

function fenced(volume: VolumeId, asked: Generation, current: Generation): VolumeHostError {
  return new VolumeHostError('fenced', `volume ${volume} is at generation ${current}, not ${asked}`);
}
