import { dirname, join } from 'node:path';

import { KeyLock } from '#base/key-lock.ts';
import { TaskGroup } from '#base/task-group.ts';
import type { DataKeyId } from '#chunk/data-key-ring.ts';
import { StoreError } from '#chunk/errors.ts';
import { CHUNK_BYTES, chunkCount } from '#domain/geometry.ts';
import type { CutId, Epoch, SnapshotId, VolumeId } from '#domain/ids.ts';
import type { Manifest } from '#snapshot/manifest.ts';
import type { ChunkChange, SnapshotStore } from '#snapshot/snapshot-store.ts';
import type { TreeRoot } from '#snapshot/tree.ts';

import { type UploadJob, type UploadProgress, type UploadResult, VolumeHostError } from './host.ts';
import { toHostError } from './host-errors.ts';
import type { VolumeDevice } from './volume-device.ts';
import { SINCE_NOTHING } from './volume-map.ts';

/** Snapshots written at once, of different volumes. The store has its own limits on workers and memory; this one keeps a volume from waiting behind a thousand others without moving at all. */
const UPLOADS_MAX = 8;

/**
 * Uploads of cuts. An upload belongs to its snapshot: whoever asks for the same one joins it, and whoever aborts it aborts
 * it for all. It outlives the connection that asked for it. Those of one volume run one after another, in the order in
 * which they were asked for, so that each finds what the one before has stored.
 *
 *   asked → waiting for its volume → waiting for a place → writing → manifest there
 *
 * An abort or an error at any point leaves the cut as it is; asking again goes on from the chunks that are stored.
 */
export class Uploads implements AsyncDisposable {
  readonly #store: UploadStore;
  readonly #deviceOf: (volume: VolumeId) => Promise<VolumeDevice>;
  readonly #dataKeyIdOf: (device: VolumeDevice) => DataKeyId | null;
  readonly #running = new Map<SnapshotId, RunningUpload>();
  readonly #volumes = new KeyLock();
  readonly #places = new TaskGroup({ limit: UPLOADS_MAX });

  /** `deviceOf` answers the open device of a volume or throws VolumeHostError. Whoever closes it calls `abortVolume` first. */
  constructor(options: {
    readonly store: UploadStore;
    readonly deviceOf: (volume: VolumeId) => Promise<VolumeDevice>;
    /** The data key of an open volume, which is lent as long as it is open; missing: none has one. */
    readonly dataKeyIdOf?: (device: VolumeDevice) => DataKeyId | null;
  }) {
    this.#store = options.store;
    this.#deviceOf = options.deviceOf;
    this.#dataKeyIdOf = options.dataKeyIdOf ?? (() => null);
  }

  /** Starts the upload or joins it. Throws VolumeHostError. */
  async upload(job: UploadJob, signal: AbortSignal): Promise<UploadResult> {
    const { snapshot } = job.label;
    if (signal.aborted) throw aborted(snapshot);
    const upload = this.#running.get(snapshot) ?? this.#start(job);
    const onAbort = (): void => upload.abort.abort(aborted(snapshot));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await upload.result;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Of the uploads that are writing. */
  progress(): Readonly<Record<SnapshotId, UploadProgress>> {
    const entries = [...this.#running].flatMap(([snapshot, upload]) =>
      upload.progress === null ? [] : [[snapshot, upload.progress] as const],
    );
    return Object.fromEntries(entries);
  }

  /** Ends the upload of a snapshot, if there is one, and waits until it touches nothing any more. */
  async abortSnapshot(snapshot: SnapshotId): Promise<void> {
    const upload = this.#running.get(snapshot);
    if (upload !== undefined) await end(upload, aborted(snapshot));
  }

  /** Ends the upload of a cut, because its slots are about to be used again. */
  async abortCut(volume: VolumeId, cut: CutId): Promise<void> {
    const uploads = [...this.#running.values()].filter((upload) => upload.volume === volume && upload.cut === cut);
    const reason = new VolumeHostError('aborted', `cut ${cut} of volume ${volume} was released during its upload`);
    await Promise.all(uploads.map((upload) => end(upload, reason)));
  }

  /** Ends all uploads of a volume, because its device is about to be closed; they can be asked for again once it is open. */
  async abortVolume(volume: VolumeId): Promise<void> {
    const uploads = [...this.#running.values()].filter((upload) => upload.volume === volume);
    const reason = new VolumeHostError('unavailable', `volume ${volume} was closed during the upload`);
    await Promise.all(uploads.map((upload) => end(upload, reason)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new VolumeHostError('unavailable', 'the volume host is stopping');
    await Promise.all([...this.#running.values()].map((upload) => end(upload, reason)));
  }

  #start(job: UploadJob): RunningUpload {
    const { snapshot, volume } = job.label;
    const ended = Promise.withResolvers<UploadResult>();
    const upload: RunningUpload = {
      volume,
      cut: job.cut,
      abort: new AbortController(),
      state: 'waiting',
      progress: null,
      result: ended.promise.finally(() => this.#running.delete(snapshot)),
    };
    upload.abort.signal.addEventListener('abort', () => {
      if (upload.state === 'waiting') ended.reject(upload.abort.signal.reason); // It does not wait for its turn to end.
    });
    this.#volumes
      .run(volume, () => this.#inPlace(() => this.#write(job, upload)))
      .then(
        (manifest) => ended.resolve(resultOf(manifest)),
        (error: unknown) => {
          // Why it was ended says more than that it was.
          const { signal } = upload.abort;
          ended.reject(signal.aborted && isAborted(error) ? signal.reason : toHostError(`upload ${snapshot}`, error));
        },
      );
    upload.result.catch(() => {}); // Those who joined hear of it; after a lost connection there may be none.
    this.#running.set(snapshot, upload);
    return upload;
  }

  async #inPlace<R>(work: () => Promise<R>): Promise<R> {
    const settled = Promise.withResolvers<R>();
    await this.#places.add(() => work().then(settled.resolve, settled.reject));
    return settled.promise;
  }

  async #write(job: UploadJob, upload: RunningUpload): Promise<Manifest> {
    const { snapshot, volume } = job.label;
    upload.abort.signal.throwIfAborted();
    upload.state = 'writing';
    const done = await this.#store.read(snapshot);
    if (done !== null) return done;

    const device = await this.#deviceOf(volume);
    if (!isPending(device, job)) {
      throw new VolumeHostError('snapshot-not-found', `volume ${volume} has no cut ${job.cut} of epoch ${job.epoch}`);
    }
    await using scope = new AsyncDisposableStack();
    const base = await this.#baseOf(job, device, scope);
    const totalCount = device.changeCount(job.cut, base.epoch);
    const show = (doneCount: number): void => {
      upload.progress = { doneBytes: doneCount * CHUNK_BYTES, totalBytes: totalCount * CHUNK_BYTES };
    };
    show(0);
    return await this.#store.write({
      label: job.label,
      dataKey: this.#dataKeyIdOf(device),
      base: base.root,
      keepZeroChunks: job.keepZeroChunks,
      changes: { count: totalCount, items: { [Symbol.iterator]: () => changesOf(device, job, base.epoch) } },
      digestPath: join(dirname(device.dataPath), 'digests'),
      signal: upload.abort.signal,
      // Slots of a released cut get other content.
      checkSources: () => {
        if (!isPending(device, job)) throw new VolumeHostError('aborted', `cut ${job.cut} is not pending any more`);
      },
      onProgress: ({ doneCount }) => show(doneCount),
    });
  }

  /** What need not be looked at again: the base snapshot, held in `scope`, or where that is gone the volume's origin, or nothing. */
  async #baseOf(
    job: UploadJob,
    device: VolumeDevice,
    scope: AsyncDisposableStack,
  ): Promise<{ readonly root: TreeRoot | null; readonly epoch: Epoch }> {
    if (job.base !== null) {
      const root = await this.#holdIfThere(job.base.snapshot, scope);
      // Its size is what was recorded after its cut: the volume may have grown between.
      const isBase = root !== null && isThere(root, job) && root.chunkCount <= chunkCount(job.label.sizeBytes);
      if (isBase) return { root, epoch: job.base.epoch };
    }
    if (device.origin === null) return { root: null, epoch: 0 };
    if (!device.mayLoseOrigin) return { root: device.origin.root, epoch: 0 };
    // Nothing but this keeps it; the volume has all that is in it.
    const root = await this.#holdIfThere(device.origin.snapshot, scope);
    if (root !== null && isThere(root, job)) return { root, epoch: 0 };
    return { root: null, epoch: SINCE_NOTHING };
  }

  /** Null when it was deleted since the upload was planned. More is read then, and the store finds that it has it. */
  async #holdIfThere(snapshot: SnapshotId, scope: AsyncDisposableStack): Promise<TreeRoot | null> {
    try {
      return scope.use(await this.#store.hold(snapshot)).root;
    } catch (error) {
      if (error instanceof StoreError && error.kind === 'snapshot-not-found') return null;
      throw error;
    }
  }
}

/** What uploads need of a SnapshotStore. */
export type UploadStore = Pick<SnapshotStore, 'read' | 'hold' | 'write'>;

interface RunningUpload {
  readonly volume: VolumeId;
  readonly cut: CutId;
  readonly abort: AbortController;
  state: 'waiting' | 'writing';
  /** Null until it is known what there is to do. */
  progress: UploadProgress | null;
  readonly result: Promise<UploadResult>;
}

/** Whether it is in the store that the snapshot goes to. What is elsewhere would be read back, all of it. */
function isThere({ outpost }: TreeRoot, { label }: UploadJob): boolean {
  return outpost === label.outpost;
}

function isPending(device: VolumeDevice, job: UploadJob): boolean {
  return device.cuts().some(({ cut, epoch }) => cut === job.cut && epoch === job.epoch);
}

function* changesOf(device: VolumeDevice, job: UploadJob, sinceEpoch: Epoch): Generator<ChunkChange> {
  const { dataPath: path, dataKey } = device;
  for (const { index, slotOffset, under, changedBlocks } of device.changes(job.cut, sinceEpoch)) {
    const source = slotOffset === null ? null : { path, offset: slotOffset, dataKey, under };
    yield { index, source, changedBlocks };
  }
}

function resultOf(manifest: Manifest): UploadResult {
  const { fullBytes, changedBytes, storedBytes } = manifest;
  return { fullBytes, changedBytes, storedBytes };
}

async function end(upload: RunningUpload, reason: VolumeHostError): Promise<void> {
  upload.abort.abort(reason);
  await upload.result.catch(() => {}); // Ended, one way or another; whoever asked for it hears which.
}

function aborted(snapshot: SnapshotId): VolumeHostError {
  return new VolumeHostError('aborted', `the upload of ${snapshot} was aborted`);
}

function isAborted(error: unknown): boolean {
  return error instanceof VolumeHostError || (error instanceof StoreError && error.kind === 'aborted');
}
