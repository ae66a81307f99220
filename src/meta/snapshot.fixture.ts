import { cutIdOf, type Lineage, type SnapshotId, type VolumeId } from '#domain/ids.ts';
import { NO_SNAPSHOT_DETAILS, type Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';

/** The record of a completed snapshot of 8 GiB in EC2, plain but for `some`. */
export function snapshotRecord(
  scope: Scope,
  ids: { readonly id: SnapshotId; readonly volume: VolumeId },
  some: Partial<Snapshot> = {},
): Snapshot {
  return {
    ...scope,
    ...ids,
    face: 'ec2',
    name: null,
    volumeName: null,
    volumeSizeGib: 8,
    state: 'completed',
    stateMessage: null,
    progressPercent: 100,
    description: '',
    startedAtMs: 0,
    completedAtMs: null,
    cut: cutIdOf(ids.id),
    epoch: 1,
    parent: null,
    fullBytes: null,
    changedBytes: null,
    storedBytes: null,
    direct: false,
    sealed: true,
    released: true,
    timeoutMinutes: null,
    touchedAtMs: null,
    lineage: ids.volume as string as Lineage,
    ...NO_SNAPSHOT_DETAILS,
    tags: {},
    ...some,
  };
}
