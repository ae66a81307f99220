import { refuse } from '#domain/errors.ts';
import { parseSnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { UploadProgress } from '#volume/host.ts';
import type { ControlPorts } from './ports.ts';

/** Of those that are asked for without a name. */
const COUNT_MAX = 1000;

export interface RunningUpload {
  readonly snapshot: Snapshot;
  /** Null while nothing of it is known: it waits for its turn, or is complete. */
  readonly progress: UploadProgress | null;
}

/** For whoever runs the server, across accounts and regions: how far snapshots have come; null: all that are pending. Refuses: not-found. */
export async function runningUploads(
  ports: ControlPorts,
  ids: readonly string[] | null,
): Promise<readonly RunningUpload[]> {
  const snapshots = await ports.meta.read(async (tx) => {
    if (ids === null) {
      return (await tx.snapshots.inState(['pending'], { after: 0, countMax: COUNT_MAX })).map(({ record }) => record);
    }
    const found: Snapshot[] = [];
    for (const text of ids) {
      const id = parseSnapshotId(text);
      const snapshot = id === null ? null : await tx.snapshots.find(id);
      found.push(snapshot ?? refuse({ kind: 'not-found', resource: 'resource', id: text }));
    }
    return found;
  });
  const progress = snapshots.some(({ state }) => state === 'pending') ? await ports.host.progress() : {};
  return snapshots.map((snapshot) => ({ snapshot, progress: progress[snapshot.id] ?? null }));
}
