import type { SnapshotId } from '#domain/ids.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';

import type { UploadProgress } from './host.ts';
import { SnapshotJobs } from './snapshot-jobs.ts';
import { dataKeysOf } from './volume-key.ts';

/** Moves of one direction at once: each compresses, or decompresses, on a thread for itself. */
const MOVES_MAX = 2;

/**
 * Snapshots on their way into the archive and out of it. A control that was killed leaves a move going on; the next one,
 * which asks for it again, joins it.
 */
export class Archives implements AsyncDisposable {
  readonly #store: Pick<SnapshotStore, 'archive' | 'unarchive' | 'lend'>;
  readonly #in = new SnapshotJobs<number>({ doing: 'archive', countMax: MOVES_MAX });
  readonly #out = new SnapshotJobs<void>({ doing: 'bring back', countMax: MOVES_MAX });

  constructor(store: Pick<SnapshotStore, 'archive' | 'unarchive' | 'lend'>) {
    this.#store = store;
  }

  /** What it takes in the archive, in bytes. Throws VolumeHostError. */
  async archive(snapshot: SnapshotId, signal: AbortSignal, dataKey: string | null): Promise<number> {
    return await this.#in.run(snapshot, signal, async (options) => {
      using _lent = this.#store.lend(dataKeysOf(dataKey));
      return await this.#store.archive(snapshot, options);
    });
  }

  /** Throws VolumeHostError. */
  async unarchive(snapshot: SnapshotId, signal: AbortSignal, dataKey: string | null): Promise<void> {
    await this.#out.run(snapshot, signal, async (options) => {
      using _lent = this.#store.lend(dataKeysOf(dataKey));
      await this.#store.unarchive(snapshot, options);
    });
  }

  progress(): Readonly<Record<SnapshotId, UploadProgress>> {
    return { ...this.#in.progress(), ...this.#out.progress() };
  }

  /** Ends the moves of a snapshot and waits until they touch nothing any more. */
  async abortSnapshot(snapshot: SnapshotId): Promise<void> {
    await Promise.all([this.#in.abortSnapshot(snapshot), this.#out.abortSnapshot(snapshot)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#in[Symbol.asyncDispose](), this.#out[Symbol.asyncDispose]()]);
  }
}
