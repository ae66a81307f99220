import type { SnapshotId } from '#domain/ids.ts';
import type { TreeRoot } from '#snapshot/tree.ts';

/** What a volume reads through to where nothing was written yet. */
export interface VolumeOrigin {
  readonly snapshot: SnapshotId;
  /** Copied into the volume, so that deleting the snapshot's manifest does not hurt the volume. */
  readonly root: TreeRoot;
  /** Chunks at and beyond this index are zeros (the volume may be larger than the snapshot). */
  readonly chunkCount: number;
}
