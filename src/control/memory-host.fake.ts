import { createHash } from 'node:crypto';
import { CHUNK_BYTES, chunkCount } from '#domain/geometry.ts';
import type { CutId, Epoch, Generation, SnapshotId, VolumeId } from '#domain/ids.ts';
import {
  type ChangedBlock,
  type CollectReport,
  type HydrationStatus,
  type CopyJob,
  type NbdAccess,
  type NbdClients,
  type NbdGrant,
  type SnapshotBlock,
  type SnapshotLabel,
  type SnapshotSize,
  type StoreSize,
  type UploadJob,
  type UploadProgress,
  type UploadResult,
  type VolumeHost,
  VolumeHostError,
  type VolumeSpec,
  type VolumeStatus,
  type WarmStatus,
} from '#volume/host.ts';

/** Content by chunk index; what is not there is zeros. Values are never changed, so a cut is a copy of the map. */
type Content = Map<number, Uint8Array>;

interface MemoryVolume {
  readonly spec: VolumeSpec;
  sizeBytes: number;
  /** What it reads through to, also when the snapshot is gone. */
  readonly origin: Content | null;
  content: Content;
  epoch: Epoch;
  readonly changedIn: Map<number, Epoch>;
  readonly cuts: Map<
    CutId,
    { readonly epoch: Epoch; readonly content: Content; readonly changedIn: Map<number, Epoch> }
  >;
  /** Null: on disk, not open. */
  generation: Generation | null;
  clientCount: number;
  /** Since then the volume answers nothing until it is opened again. */
  failure: string | null;
}

interface MemorySnapshot {
  readonly label: SnapshotLabel;
  readonly content: Content;
}

interface MemoryUpload {
  readonly volume: VolumeId;
  /** Null: it is a copy. */
  readonly cut: CutId | null;
  readonly abort: AbortController;
  readonly done: Promise<UploadResult>;
  progress: UploadProgress;
}

/**
 * A volume host in memory: small and real. It keeps the contract of VolumeHost on maps of chunks, so tests of use cases and
 * faces can write bytes, cut, upload and read back.
 *
 * Uploads go in as many steps as chunks, and end at once unless `holdUploads` was called: then each waits for `step`.
 */
export class MemoryHost implements VolumeHost {
  readonly volumes = new Map<VolumeId, MemoryVolume>();
  /** What `status` says of volumes; of others that they were made from nothing. */
  readonly hydrations = new Map<VolumeId, HydrationStatus>();
  readonly snapshots = new Map<SnapshotId, MemorySnapshot>();
  readonly archives = new Map<SnapshotId, MemorySnapshot>();
  readonly #grants = new Map<string, NbdGrant>();
  readonly #uploads = new Map<SnapshotId, MemoryUpload>();
  #uploadFailure: VolumeHostError | null = null;
  #held: { readonly released: Promise<void>; readonly release: () => void } | null = null;
  collectCount = 0;

  // What tests do to it.

  /** Uploads stop before each chunk until `releaseUploads`. */
  holdUploads(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held = { released: promise, release: resolve };
  }

  releaseUploads(): void {
    this.#held?.release();
    this.#held = null;
  }

  /** Every upload fails so until null. */
  failUploads(error: VolumeHostError | null): void {
    this.#uploadFailure = error;
  }

  /** What a running upload says of its progress. */
  setProgress(snapshot: SnapshotId, progress: UploadProgress): void {
    const upload = this.#uploads.get(snapshot);
    if (upload !== undefined) upload.progress = progress;
  }

  get uploading(): readonly SnapshotId[] {
    return [...this.#uploads.keys()];
  }

  setClients(volume: VolumeId, clientCount: number): void {
    this.#onDisk(volume).clientCount = clientCount;
  }

  /** A sync of its files fails. */
  fail(volume: VolumeId): void {
    this.#onDisk(volume).failure = 'sync the data; the volume must be opened again';
  }

  /** As an NBD client would: a whole chunk, acknowledged when it returns. */
  write(volume: VolumeId, index: number, fill: number | Uint8Array): void {
    const bytes = typeof fill === 'number' ? new Uint8Array(CHUNK_BYTES).fill(fill) : fill.slice();
    const found = this.#opened(volume);
    found.content.set(index, bytes);
    found.changedIn.set(index, found.epoch);
  }

  read(volume: VolumeId, index: number): Uint8Array {
    return this.#onDisk(volume).content.get(index) ?? new Uint8Array(CHUNK_BYTES);
  }

  /** The process dies and another one begins: nothing is open, no upload runs, what was on disk is there. */
  restart(): void {
    for (const volume of this.volumes.values()) {
      volume.generation = null;
      volume.failure = null;
      volume.clientCount = 0;
    }
    for (const upload of this.#uploads.values()) {
      upload.abort.abort(new VolumeHostError('unavailable', 'the volume host died'));
    }
    this.#uploads.clear();
    this.releaseUploads();
  }

  // VolumeHost.

  async issueGrant(exportId: VolumeId | SnapshotId, ttlMs: number | null): Promise<NbdAccess> {
    const number = (this.#grants.size + 1).toString(16).padStart(16, '0');
    const expiresAtMs = ttlMs === null ? null : ttlMs;
    const grant: NbdGrant = { id: `${exportId}.${number}`, exportId, issuedAtMs: 0, expiresAtMs };
    this.#grants.set(grant.id, grant);
    const key = createHash('sha256').update(grant.id).digest('hex');
    return { grant, key, host: '127.0.0.1', port: 10_809 };
  }

  async clients(): Promise<NbdClients> {
    const counts = [...this.volumes.values()].map(({ clientCount }) => clientCount).filter((count) => count > 0);
    return { connectionCount: counts.reduce((sum, count) => sum + count, 0), exportCount: counts.length };
  }

  async grants(exportId: VolumeId | SnapshotId | null): Promise<readonly NbdGrant[]> {
    return [...this.#grants.values()].filter((grant) => exportId === null || grant.exportId === exportId);
  }

  async revokeGrant(grantId: string): Promise<boolean> {
    return this.#grants.delete(grantId);
  }

  async create(spec: VolumeSpec): Promise<void> {
    if (this.volumes.has(spec.volume)) return;
    const origin = spec.origin === null ? null : this.#snapshot(spec.origin);
    this.volumes.set(spec.volume, {
      spec,
      sizeBytes: spec.sizeBytes,
      origin: origin === null ? null : new Map(origin.content),
      content: new Map(origin?.content),
      epoch: 1,
      changedIn: new Map(),
      cuts: new Map(),
      generation: null,
      clientCount: 0,
      failure: null,
    });
  }

  async open(
    volume: VolumeId,
    generation: Generation,
    dataKey: string | null = null,
  ): Promise<{ readonly socketPath: string }> {
    const found = this.#onDisk(volume);
    if ((found.spec.dataKey ?? null) !== dataKey) throw new VolumeHostError('damaged', `${volume}: another data key`);
    if (found.generation !== null && found.generation > generation) throw new VolumeHostError('fenced', volume);
    if (found.failure !== null) found.clientCount = 0;
    found.failure = null;
    found.generation = generation;
    return { socketPath: socketOf(volume) };
  }

  async close(volume: VolumeId, generation: Generation): Promise<void> {
    const found = this.volumes.get(volume);
    if (found === undefined || found.generation === null || found.generation > generation) return;
    found.generation = null;
    found.failure = null;
    found.clientCount = 0;
    this.#endUploads((upload) => upload.volume === volume, 'unavailable');
  }

  async grow(volume: VolumeId, sizeBytes: number): Promise<void> {
    const found = this.#opened(volume);
    found.sizeBytes = Math.max(found.sizeBytes, sizeBytes);
  }

  async destroy(volume: VolumeId): Promise<void> {
    const found = this.volumes.get(volume);
    if (found === undefined) return;
    if (found.clientCount > 0) throw new VolumeHostError('in-use', `${found.clientCount} clients`);
    this.#endUploads((upload) => upload.volume === volume, 'unavailable');
    this.volumes.delete(volume);
  }

  async status(volumes: readonly VolumeId[]): Promise<readonly VolumeStatus[]> {
    return volumes.flatMap((volume) => {
      const found = this.volumes.get(volume);
      if (found === undefined || found.generation === null) return [];
      const { clientCount, epoch, content } = found;
      const slotBytes = content.size * CHUNK_BYTES;
      return [
        {
          volume,
          socketPath: socketOf(volume),
          clientCount,
          epoch,
          slotBytes,
          failure: found.failure,
          encrypted: false,
          hydration: this.hydrations.get(volume) ?? null,
        },
      ];
    });
  }

  async cut(
    volumes: readonly VolumeId[],
    cut: CutId,
  ): Promise<readonly { readonly volume: VolumeId; readonly epoch: Epoch }[]> {
    const found = volumes.map((volume) => this.#opened(volume));
    return found.map((volume) => {
      const before = volume.cuts.get(cut);
      if (before !== undefined) return { volume: volume.spec.volume, epoch: before.epoch };
      const { epoch, content, changedIn } = volume;
      volume.cuts.set(cut, { epoch, content: new Map(content), changedIn: new Map(changedIn) });
      volume.epoch += 1;
      return { volume: volume.spec.volume, epoch };
    });
  }

  async upload(job: UploadJob, signal: AbortSignal): Promise<UploadResult> {
    const { snapshot } = job.label;
    const running = this.#uploads.get(snapshot);
    if (running !== undefined) return await running.done;
    const stored = this.snapshots.get(snapshot);
    const abort = new AbortController();
    const both = AbortSignal.any([abort.signal, signal]);
    const progress = { doneBytes: 0, totalBytes: 1 };
    const { cut } = job;
    const { volume } = job.label;
    const upload: MemoryUpload = { volume, cut, abort, progress, done: this.#store(job, both, stored !== undefined) };
    this.#uploads.set(snapshot, upload);
    try {
      return await upload.done;
    } finally {
      if (this.#uploads.get(snapshot) === upload) this.#uploads.delete(snapshot);
    }
  }

  async #store(job: UploadJob, signal: AbortSignal, isStored: boolean): Promise<UploadResult> {
    const volume = this.#opened(job.label.volume);
    const cut = volume.cuts.get(job.cut);
    if (cut === undefined) throw new VolumeHostError('internal', `no cut ${job.cut}`);
    const base = job.base === null ? null : this.#snapshot(job.base.snapshot);
    const content: Content = new Map(base?.content ?? volume.origin);
    const sinceEpoch = job.base?.epoch ?? 0;
    const changed = [...cut.changedIn].filter(([, epoch]) => epoch > sinceEpoch && epoch <= cut.epoch);
    // The first await: from here on the upload can be held, failed and aborted.
    for (const [step, [index]] of [...changed, [-1] as const].entries()) {
      await this.#gate(signal);
      const bytes = cut.content.get(index);
      if (bytes !== undefined && (job.keepZeroChunks || bytes.some((byte) => byte !== 0))) content.set(index, bytes);
      else content.delete(index);
      const upload = this.#uploads.get(job.label.snapshot);
      if (upload !== undefined) upload.progress = { doneBytes: step + 1, totalBytes: changed.length + 1 };
    }
    if (!isStored) this.snapshots.set(job.label.snapshot, { label: job.label, content });
    const changedBytes = changed.length * CHUNK_BYTES;
    return { fullBytes: content.size * CHUNK_BYTES, changedBytes, storedBytes: Math.ceil(changedBytes / 2) };
  }

  async copySnapshot({ label, source }: CopyJob, signal: AbortSignal): Promise<UploadResult> {
    const { snapshot } = label;
    const running = this.#uploads.get(snapshot);
    if (running !== undefined) return await running.done;
    const abort = new AbortController();
    const both = AbortSignal.any([abort.signal, signal]);
    const upload: MemoryUpload = {
      abort,
      volume: label.volume,
      cut: null,
      progress: { doneBytes: 0, totalBytes: 1 },
      done: this.#copy(label, source, both),
    };
    this.#uploads.set(snapshot, upload);
    try {
      return await upload.done;
    } finally {
      if (this.#uploads.get(snapshot) === upload) this.#uploads.delete(snapshot);
    }
  }

  async #copy(label: SnapshotLabel, source: SnapshotId, signal: AbortSignal): Promise<UploadResult> {
    const there = this.snapshots.get(label.snapshot);
    const from = there ?? this.#snapshot(source);
    await this.#gate(signal);
    this.snapshots.set(label.snapshot, there ?? { label, content: from.content });
    const isShared = from.label.account === label.account;
    const fullBytes = from.content.size * CHUNK_BYTES;
    const changedBytes = isShared ? 0 : fullBytes;
    return { fullBytes, changedBytes, storedBytes: Math.ceil(changedBytes / 2) };
  }

  async archiveSnapshot(snapshot: SnapshotId, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const archived = this.archives.get(snapshot) ?? this.#snapshot(snapshot);
    this.archives.set(snapshot, archived);
    return Math.ceil((archived.content.size * CHUNK_BYTES) / 4);
  }

  async unarchiveSnapshot(snapshot: SnapshotId, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.snapshots.has(snapshot)) return;
    const archived = this.archives.get(snapshot);
    if (archived === undefined) throw new VolumeHostError('snapshot-not-found', `there is no archive of ${snapshot}`);
    this.snapshots.set(snapshot, archived);
  }

  async deleteArchive(snapshot: SnapshotId): Promise<void> {
    this.archives.delete(snapshot);
  }

  async #gate(signal: AbortSignal): Promise<void> {
    await Promise.resolve();
    if (this.#uploadFailure !== null) throw this.#uploadFailure;
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => {
      const { reason } = signal;
      aborted.reject(
        reason instanceof VolumeHostError ? reason : new VolumeHostError('aborted', 'aborted', { cause: reason }),
      );
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([this.#held?.released ?? Promise.resolve(), aborted.promise]);
      if (signal.aborted) await aborted.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      aborted.promise.catch(() => {}); // Lost the race.
    }
    if (this.#uploadFailure !== null) throw this.#uploadFailure;
  }

  async progress(): Promise<Readonly<Record<SnapshotId, UploadProgress>>> {
    return Object.fromEntries([...this.#uploads].map(([snapshot, { progress }]) => [snapshot, progress]));
  }

  async release(volume: VolumeId, cut: CutId): Promise<void> {
    if (!this.volumes.has(volume)) return;
    const { cuts } = this.#opened(volume);
    const uploads = [...this.#uploads.values()].filter((upload) => upload.volume === volume && upload.cut === cut);
    this.#endUploads((upload) => uploads.includes(upload), 'aborted');
    await Promise.allSettled(uploads.map(({ done }) => done));
    cuts.delete(cut);
  }

  async openSnapshot(snapshot: SnapshotId): Promise<{ readonly socketPath: string }> {
    this.#snapshot(snapshot);
    return { socketPath: socketOf(snapshot) };
  }

  /** Whether snapshots that are to be warm are so by the next time that somebody asks. */
  warms = true;
  readonly warm = new Set<SnapshotId>();

  async warmSnapshot(snapshot: SnapshotId): Promise<WarmStatus> {
    this.#snapshot(snapshot);
    const isWarm = this.warm.has(snapshot);
    if (this.warms) this.warm.add(snapshot);
    return { isWarm, trouble: this.warms ? null : 'there is no room' };
  }

  async coolSnapshot(snapshot: SnapshotId): Promise<void> {
    this.warm.delete(snapshot);
  }

  async deleteSnapshot(snapshot: SnapshotId): Promise<void> {
    this.warm.delete(snapshot);
    const upload = this.#uploads.get(snapshot);
    this.#endUploads((one) => one === upload, 'aborted');
    await upload?.done.catch(() => {});
    this.snapshots.delete(snapshot);
  }

  /** A chunk takes its own size in the store, once whatever needs it; nodes and manifests take nothing. */
  async snapshotSizes(snapshots: readonly SnapshotId[]): Promise<readonly SnapshotSize[]> {
    const keysOf = (content: Content): Set<string> => new Set([...content.values()].map(keyOf));
    return snapshots.flatMap((snapshot) => {
      const found = this.snapshots.get(snapshot);
      if (found === undefined) return [];
      const others = new Set<string>();
      for (const [id, other] of this.snapshots) {
        if (id !== snapshot) for (const key of keysOf(other.content)) others.add(key);
      }
      const keys = [...keysOf(found.content)];
      const sharedBytes = keys.filter((key) => others.has(key)).length * CHUNK_BYTES;
      const exclusiveBytes = keys.length * CHUNK_BYTES - sharedBytes;
      const fullBytes = found.content.size * CHUNK_BYTES;
      return [{ snapshot, fullBytes, newBytes: 0, exclusiveBytes, sharedBytes }];
    });
  }

  /** As `snapshotSizes` counts. */
  async freedBytes(snapshots: readonly SnapshotId[]): Promise<number> {
    const gone = new Set(snapshots);
    const keysOf = (areGone: boolean): Set<string> =>
      new Set(
        [...this.snapshots]
          .filter(([id]) => gone.has(id) === areGone)
          .flatMap(([, { content }]) => [...content.values()].map(keyOf)),
      );
    return keysOf(true).difference(keysOf(false)).size * CHUNK_BYTES;
  }

  async storeSize(): Promise<StoreSize> {
    const all = [...this.snapshots.values()].flatMap(({ content }) => [...content.values()].map(keyOf));
    const storedBytes = new Set(all).size * CHUNK_BYTES;
    const fullBytes = all.length * CHUNK_BYTES;
    return { snapshotCount: this.snapshots.size, storedBytes, neededBytes: storedBytes, fullBytes };
  }

  async listBlocks(
    snapshot: SnapshotId,
    start: number,
    countMax: number,
  ): Promise<{ readonly blocks: readonly SnapshotBlock[]; readonly next: number | null }> {
    const { content } = this.#snapshot(snapshot);
    const indexes = [...content.keys()].filter((index) => index >= start).toSorted((a, b) => a - b);
    const blocks = indexes.slice(0, countMax).map((index) => ({ index, key: keyOf(content.get(index)) }));
    return { blocks, next: indexes[countMax] ?? null };
  }

  async changedBlocks(
    first: SnapshotId,
    second: SnapshotId,
    start: number,
    countMax: number,
  ): Promise<{ readonly blocks: readonly ChangedBlock[]; readonly next: number | null }> {
    const before = this.#snapshot(first).content;
    const after = this.#snapshot(second).content;
    const keyIn = (content: Content, index: number): string | null =>
      content.has(index) ? keyOf(content.get(index)) : null;
    const changed = [...new Set([...before.keys(), ...after.keys()])]
      .filter((index) => index >= start && keyIn(before, index) !== keyIn(after, index))
      .toSorted((a, b) => a - b);
    const blocks = changed
      .slice(0, countMax)
      .map((index) => ({ index, firstKey: keyIn(before, index), secondKey: keyIn(after, index) }));
    return { blocks, next: changed[countMax] ?? null };
  }

  async readBlock(
    snapshot: SnapshotId,
    index: number,
  ): Promise<{ readonly key: string; readonly bytes: Uint8Array } | null> {
    const bytes = this.#snapshot(snapshot).content.get(index);
    return bytes === undefined ? null : { key: keyOf(bytes), bytes };
  }

  async writeBlock(volume: VolumeId, generation: Generation, index: number, bytes: Uint8Array): Promise<void> {
    const found = this.#opened(volume);
    if (found.generation !== generation) throw new VolumeHostError('fenced', volume);
    if (index >= chunkCount(found.sizeBytes)) throw new VolumeHostError('internal', `no chunk ${index}`);
    this.write(volume, index, bytes);
  }

  async collect(volumes: readonly VolumeId[], _signal: AbortSignal): Promise<CollectReport> {
    for (const volume of volumes) this.#onDisk(volume);
    this.collectCount += 1;
    return { liveChunks: 0, deletedChunks: 0, freedBytes: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.restart();
  }

  #endUploads(which: (upload: MemoryUpload) => boolean, kind: 'aborted' | 'unavailable'): void {
    for (const upload of this.#uploads.values()) {
      if (which(upload)) upload.abort.abort(new VolumeHostError(kind, 'the upload was ended'));
    }
  }

  #onDisk(volume: VolumeId): MemoryVolume {
    const found = this.volumes.get(volume);
    if (found === undefined) throw new VolumeHostError('volume-not-found', `there is no volume ${volume}`);
    return found;
  }

  #opened(volume: VolumeId): MemoryVolume {
    const found = this.#onDisk(volume);
    if (found.generation === null) throw new VolumeHostError('unavailable', `volume ${volume} is not open`);
    if (found.failure !== null) throw new VolumeHostError('unavailable', `volume ${volume}: ${found.failure}`);
    return found;
  }

  #snapshot(snapshot: SnapshotId): MemorySnapshot {
    const found = this.snapshots.get(snapshot);
    if (found === undefined) throw new VolumeHostError('snapshot-not-found', `there is no snapshot ${snapshot}`);
    return found;
  }
}

function keyOf(bytes: Uint8Array | undefined): string {
  return createHash('sha256')
    .update(bytes ?? '')
    .digest('hex');
}

function socketOf(id: string): string {
  return `/memory/${id}.sock`;
}
