import { TaskGroup } from '#base/task-group.ts';
import { StoreError } from '#chunk/errors.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { JobOptions } from '#snapshot/snapshot-store.ts';

import { type UploadProgress, VolumeHostError } from './host.ts';
import { toHostError } from './host-errors.ts';

interface RunningJob<R> {
  readonly abort: AbortController;
  isWaiting: boolean;
  /** Null until it is known what there is to do. */
  progress: UploadProgress | null;
  readonly result: Promise<R>;
}

/**
 * Long work of one kind, each for one snapshot: a job belongs to its snapshot. Whoever asks for the same one joins it,
 * whoever aborts it aborts it for all, and it outlives the connection that asked for it.
 */
export class SnapshotJobs<R> implements AsyncDisposable {
  readonly #doing: string;
  readonly #running = new Map<SnapshotId, RunningJob<R>>();
  readonly #places: TaskGroup;

  /** `doing` begins what its errors say; `countMax` run at once. */
  constructor(options: { readonly doing: string; readonly countMax: number }) {
    this.#doing = options.doing;
    this.#places = new TaskGroup({ limit: options.countMax });
  }

  /** Starts the work for a snapshot or joins it. Throws VolumeHostError. */
  async run(snapshot: SnapshotId, signal: AbortSignal, work: (options: JobOptions) => Promise<R>): Promise<R> {
    if (signal.aborted) throw this.#aborted(snapshot);
    const job = this.#running.get(snapshot) ?? this.#start(snapshot, work);
    const onAbort = (): void => job.abort.abort(this.#aborted(snapshot));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await job.result;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Of the jobs that are at work. */
  progress(): Readonly<Record<SnapshotId, UploadProgress>> {
    return Object.fromEntries(
      [...this.#running].flatMap(([snapshot, { progress }]) => (progress === null ? [] : [[snapshot, progress]])),
    );
  }

  /** Ends the job of a snapshot, if there is one, and waits until it touches nothing any more. */
  async abortSnapshot(snapshot: SnapshotId): Promise<void> {
    const job = this.#running.get(snapshot);
    if (job !== undefined) await end(job, this.#aborted(snapshot));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new VolumeHostError('unavailable', 'the volume host is stopping');
    await Promise.all([...this.#running.values()].map((job) => end(job, reason)));
  }

  #start(snapshot: SnapshotId, work: (options: JobOptions) => Promise<R>): RunningJob<R> {
    const ended = Promise.withResolvers<R>();
    const job: RunningJob<R> = {
      abort: new AbortController(),
      isWaiting: true,
      progress: null,
      result: ended.promise.finally(() => this.#running.delete(snapshot)),
    };
    const { signal } = job.abort;
    signal.addEventListener('abort', () => {
      if (job.isWaiting) ended.reject(signal.reason); // It does not wait for its turn to end.
    });
    void this.#places.add(() =>
      this.#work(job, work).then(ended.resolve, (error: unknown) => {
        // Why it was ended says more than that it was.
        const doing = `${this.#doing} ${snapshot}`;
        ended.reject(signal.aborted && isAborted(error) ? signal.reason : toHostError(doing, error));
      }),
    );
    job.result.catch(() => {}); // Those who joined hear of it; after a lost connection there may be none.
    this.#running.set(snapshot, job);
    return job;
  }

  async #work(job: RunningJob<R>, work: (options: JobOptions) => Promise<R>): Promise<R> {
    const { signal } = job.abort;
    signal.throwIfAborted();
    job.isWaiting = false;
    return await work({
      signal,
      onProgress: ({ doneCount, totalCount }) => {
        job.progress = { doneBytes: doneCount * CHUNK_BYTES, totalBytes: totalCount * CHUNK_BYTES };
      },
    });
  }

  #aborted(snapshot: SnapshotId): VolumeHostError {
    return new VolumeHostError('aborted', `${this.#doing} ${snapshot}: aborted`);
  }
}

async function end(job: RunningJob<unknown>, reason: VolumeHostError): Promise<void> {
  job.abort.abort(reason);
  await job.result.catch(() => {}); // Ended, one way or another; whoever asked for it hears which.
}

function isAborted(error: unknown): boolean {
  return error instanceof VolumeHostError || (error instanceof StoreError && error.kind === 'aborted');
}
