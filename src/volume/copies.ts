import { dataKeyIdOf } from '#chunk/data-key-ring.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';

import type { CopyJob, UploadProgress, UploadResult } from './host.ts';
import { SnapshotJobs } from './snapshot-jobs.ts';
import { dataKeyOf, dataKeysOf } from './volume-key.ts';

/** Copies that read and seal at once. */
const COPIES_MAX = 4;

/** Copies of snapshots. As an upload, a copy belongs to the snapshot that it makes. */
export class Copies implements AsyncDisposable {
  readonly #store: Pick<SnapshotStore, 'copy' | 'lend'>;
  readonly #jobs = new SnapshotJobs<UploadResult>({ doing: 'copy', countMax: COPIES_MAX });

  constructor(store: Pick<SnapshotStore, 'copy' | 'lend'>) {
    this.#store = store;
  }

  /** Starts the copy or joins it. Throws VolumeHostError. */
  async copy(job: CopyJob, signal: AbortSignal): Promise<UploadResult> {
    return await this.#jobs.run(job.label.snapshot, signal, async (options) => {
      const { label, source } = job;
      const given = dataKeyOf(job.dataKey);
      const dataKey = given === null ? null : dataKeyIdOf(given);
      using _lent = this.#store.lend(dataKeysOf(job.dataKey, job.sourceDataKey));
      const copied = await this.#store.copy({ label, source, dataKey, ...options });
      const { fullBytes, changedBytes, storedBytes } = copied;
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
