import { TaskGroup } from '#base/task-group.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { ArchiveOptions, SnapshotStore } from '#snapshot/snapshot-store.ts';

import { type UploadProgress, VolumeHostError } from './host.ts';
import { toHostError } from './host-errors.ts';

/** Moves into and out of the archive at once: each compresses on a thread for itself. */
const MOVES_MAX = 2;

/** Snapshots on their way into the archive and out of it. Ends with the host, or with who asked for it. */
export class Archives implements AsyncDisposable {
  readonly #store: Pick<SnapshotStore, 'archive' | 'unarchive'>;
  readonly #places = new TaskGroup({ limit: MOVES_MAX });
  readonly #progress = new Map<SnapshotId, UploadProgress>();
  readonly #closing = new AbortController();

  constructor(store: Pick<SnapshotStore, 'archive' | 'unarchive'>) {
    this.#store = store;
  }

  /** What it takes in the archive, in bytes. Throws VolumeHostError. */
  async archive(snapshot: SnapshotId, signal: AbortSignal): Promise<number> {
    return await this.#move(snapshot, signal, (options) => this.#store.archive(snapshot, options));
  }

  /** Throws VolumeHostError. */
  async unarchive(snapshot: SnapshotId, signal: AbortSignal): Promise<void> {
    await this.#move(snapshot, signal, (options) => this.#store.unarchive(snapshot, options));
  }

  progress(): Readonly<Record<SnapshotId, UploadProgress>> {
    return Object.fromEntries(this.#progress);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new VolumeHostError('unavailable', 'the volume host is stopping'));
    await this.#places[Symbol.asyncDispose]();
  }

  async #move<R>(snapshot: SnapshotId, asked: AbortSignal, move: (options: ArchiveOptions) => Promise<R>): Promise<R> {
    const ended = Promise.withResolvers<R>();
    const signal = AbortSignal.any([asked, this.#closing.signal]);
    const onProgress: ArchiveOptions['onProgress'] = ({ doneCount, totalCount }) => {
      const [doneBytes, totalBytes] = [doneCount * CHUNK_BYTES, totalCount * CHUNK_BYTES];
      this.#progress.set(snapshot, { doneBytes, totalBytes });
    };
    void this.#places.add(async () => {
      try {
        signal.throwIfAborted();
        ended.resolve(await move({ signal, onProgress }));
      } catch (error) {
        ended.reject(signal.aborted ? abortedBy(signal, snapshot) : toHostError(`archive ${snapshot}`, error));
      } finally {
        this.#progress.delete(snapshot);
      }
    });
    return await ended.promise;
  }
}

function abortedBy({ reason }: AbortSignal, snapshot: SnapshotId): VolumeHostError {
  return reason instanceof VolumeHostError
    ? reason
    : new VolumeHostError('aborted', `the move of ${snapshot} was aborted`, { cause: reason });
}
