import type { SnapshotId } from '#domain/ids.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';

import type { CopyJob, UploadProgress, UploadResult } from './host.ts';
import { SnapshotJobs } from './snapshot-jobs.ts';

/** Copies that read and seal at once. */
const COPIES_MAX = 4;

/** Copies of snapshots. As an upload, a copy belongs to the snapshot that it makes. */
export class Copies implements AsyncDisposable {
  readonly #store: Pick<SnapshotStore, 'copy'>;
  readonly #jobs = new SnapshotJobs<UploadResult>({ doing: 'copy', countMax: COPIES_MAX });

  constructor(store: Pick<SnapshotStore, 'copy'>) {
    this.#store = store;
  }

  /** Starts the copy or joins it. Throws VolumeHostError. */
  async copy(job: CopyJob, signal: AbortSignal): Promise<UploadResult> {
    return await this.#jobs.run(job.label.snapshot, signal, async (options) => {
      const { fullBytes, changedBytes, storedBytes } = await this.#store.copy({ ...job, ...options });
      return { fullBytes, changedBytes, storedBytes };
    });
  }

  /** Of the copies that are being written. */
  progress(): Readonly<Record<SnapshotId, UploadProgress>> {
    return this.#jobs.progress();
  }

  /** Ends the copy that makes the snapshot, if there is one, and waits until it touches nothing any more. */
  async abortSnapshot(snapshot: SnapshotId): Promise<void> {
    await this.#jobs.abortSnapshot(snapshot);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#jobs[Symbol.asyncDispose]();
  }
}
