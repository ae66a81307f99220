import { parseSnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { UploadProgress } from '#volume/host.ts';
import type { ControlPorts } from './ports.ts';

/** As many are told of at once. */
export const UPLOAD_COUNT_MAX = 1000;

export interface RunningUpload {
  readonly snapshot: Snapshot;
  /** Null while nothing of it is known: it waits for its turn, or is complete. */
  readonly progress: UploadProgress | null;
}

export interface RunningUploads {
  readonly uploads: readonly RunningUpload[];
  /** Ids of which there is no snapshot, or not any more. */
  readonly gone: readonly string[];
}

/** For whoever runs the server, across accounts and regions: how far snapshots have come; null: the oldest that are pending. */
export async function runningUploads(ports: ControlPorts, ids: readonly string[] | null): Promise<RunningUploads> {
  const gone: string[] = [];
  const snapshots = await ports.meta.read(async (tx) => {
    if (ids === null) {
      return (await tx.snapshots.inState(['pending'], { after: 0, countMax: UPLOAD_COUNT_MAX })).map(
        ({ record }) => record,
      );
    }
    const found: Snapshot[] = [];
    for (const text of ids) {
      const id = parseSnapshotId(text);
      const snapshot = id === null ? null : await tx.snapshots.find(id);
      if (snapshot === null || isGone(snapshot)) gone.push(text);
      else found.push(snapshot);
    }
    return found;
  });
  const progress = snapshots.some(({ state }) => state === 'pending') ? await ports.host.progress() : {};
  return { gone, uploads: snapshots.map((snapshot) => ({ snapshot, progress: progress[snapshot.id] ?? null })) };
}

/** Whoever watches it need not wait for it any more. */
function isGone({ state }: Snapshot): boolean {
  return state === 'deleting' || state === 'recoverable';
}
