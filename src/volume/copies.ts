import { TaskGroup } from '#base/task-group.ts';
import { StoreError } from '#chunk/errors.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';

import { type CopyJob, type UploadProgress, type UploadResult, VolumeHostError } from './host.ts';
import { toHostError } from './host-errors.ts';

/** Copies that read and seal at once. */
const COPIES_MAX = 4;

interface RunningCopy {
  readonly abort: AbortController;
  isWaiting: boolean;
  /** Null until it is known what there is to do. */
  progress: UploadProgress | null;
  readonly result: Promise<UploadResult>;
}

/**
 * Copies of snapshots. As an upload, a copy belongs to the snapshot that it makes: whoever asks for the same one joins it,
 * whoever aborts it aborts it for all, and it outlives the connection that asked for it.
 */
export class Copies implements AsyncDisposable {
  readonly #store: Pick<SnapshotStore, 'copy'>;
  readonly #running = new Map<SnapshotId, RunningCopy>();
  readonly #places = new TaskGroup({ limit: COPIES_MAX });

  constructor(store: Pick<SnapshotStore, 'copy'>) {
    this.#store = store;
  }

  /** Starts the copy or joins it. Throws VolumeHostError. */
  async copy(job: CopyJob, signal: AbortSignal): Promise<UploadResult> {
    const { snapshot } = job.label;
    if (signal.aborted) throw aborted(snapshot);
    const copy = this.#running.get(snapshot) ?? this.#start(job);
    const onAbort = (): void => copy.abort.abort(aborted(snapshot));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await copy.result;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Of the copies that are being written. */
  progress(): Readonly<Record<SnapshotId, UploadProgress>> {
    return Object.fromEntries(
      [...this.#running].flatMap(([snapshot, { progress }]) => (progress === null ? [] : [[snapshot, progress]])),
    );
  }

  /** Ends the copy that makes the snapshot, if there is one, and waits until it touches nothing any more. */
  async abortSnapshot(snapshot: SnapshotId): Promise<void> {
    const copy = this.#running.get(snapshot);
    if (copy !== undefined) await end(copy, aborted(snapshot));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new VolumeHostError('unavailable', 'the volume host is stopping');
    await Promise.all([...this.#running.values()].map((copy) => end(copy, reason)));
  }

  #start(job: CopyJob): RunningCopy {
    const { snapshot } = job.label;
    const ended = Promise.withResolvers<UploadResult>();
    const copy: RunningCopy = {
      abort: new AbortController(),
      isWaiting: true,
      progress: null,
      result: ended.promise.finally(() => this.#running.delete(snapshot)),
    };
    const { signal } = copy.abort;
    signal.addEventListener('abort', () => {
      if (copy.isWaiting) ended.reject(signal.reason); // It does not wait for its turn to end.
    });
    void this.#places.add(() =>
      this.#write(job, copy).then(ended.resolve, (error: unknown) => {
        // Why it was ended says more than that it was.
        ended.reject(signal.aborted && isAborted(error) ? signal.reason : toHostError(`copy ${snapshot}`, error));
      }),
    );
    copy.result.catch(() => {}); // Those who joined hear of it; after a lost connection there may be none.
    this.#running.set(snapshot, copy);
    return copy;
  }

  async #write(job: CopyJob, copy: RunningCopy): Promise<UploadResult> {
    const { signal } = copy.abort;
    signal.throwIfAborted();
    copy.isWaiting = false;
    const { fullBytes, changedBytes, storedBytes } = await this.#store.copy({
      ...job,
      signal,
      onProgress: ({ doneCount, totalCount }) => {
        copy.progress = { doneBytes: doneCount * CHUNK_BYTES, totalBytes: totalCount * CHUNK_BYTES };
      },
    });
    return { fullBytes, changedBytes, storedBytes };
  }
}

async function end(copy: RunningCopy, reason: VolumeHostError): Promise<void> {
  copy.abort.abort(reason);
  await copy.result.catch(() => {}); // Ended, one way or another; whoever asked for it hears which.
}

function aborted(snapshot: SnapshotId): VolumeHostError {
  return new VolumeHostError('aborted', `the copy ${snapshot} was aborted`);
}

function isAborted(error: unknown): boolean {
  return error instanceof VolumeHostError || (error instanceof StoreError && error.kind === 'aborted');
}
