import { present } from '#base/assert.ts';
import { COPIED_VOLUME_ID } from '#domain/ids.ts';
import { isInArchive } from '#domain/snapshot-tier.ts';
import { visibleState, type Snapshot, type VisibleSnapshotState } from '#domain/snapshot.ts';
import type { OutputOf } from '#wire/aws/operations.ts';
import type { FilterTable, FilterTexts } from './filters.ts';
import { tagViews } from './tag-views.ts';

export type SnapshotView = NonNullable<OutputOf<'ec2', 'DescribeSnapshots'>['Snapshots']>[number];

/** What CreateSnapshot answers: the state at its start, progress not known yet, and none of what only DescribeSnapshots shows. */
export function createdSnapshotView(snapshot: Snapshot): SnapshotView {
  return { ...commonView(snapshot), State: 'pending', Progress: '' };
}

export function snapshotView(snapshot: Snapshot): SnapshotView {
  return {
    ...commonView(snapshot),
    State: stateOf(snapshot),
    Progress: progressOf(snapshot),
    StorageTier: storageTierOf(snapshot),
    ...restoreExpiry(snapshot),
    ...(snapshot.encryption === null ? {} : { DataEncryptionKeyId: snapshot.encryption.dataKeyId }),
    ...(snapshot.stateMessage === null ? {} : { StateMessage: snapshot.stateMessage }),
    ...(snapshot.completedAtMs === null ? {} : { CompletionTime: new Date(snapshot.completedAtMs) }),
    ...transferOf(snapshot),
    ...(snapshot.fullBytes === null ? {} : { FullSnapshotSizeInBytes: snapshot.fullBytes }),
  };
}

function commonView(snapshot: Snapshot): SnapshotView {
  return {
    Description: snapshot.description,
    Encrypted: snapshot.encryption !== null,
    ...(snapshot.encryption === null ? {} : { KmsKeyId: snapshot.encryption.keyArn, SseType: 'sse-kms' }),
    OwnerId: snapshot.account,
    ...(snapshot.outpost === null ? {} : { OutpostArn: snapshot.outpost }),
    SnapshotId: snapshot.id,
    StartTime: new Date(snapshot.startedAtMs),
    Tags: tagViews(snapshot.tags),
    VolumeId: volumeIdOf(snapshot),
    VolumeSize: snapshot.volumeSizeGib,
  };
}

/** `standard`: it can be used as it is. */
export function storageTierOf({ tier }: Snapshot): 'standard' | 'archive' {
  return isInArchive(tier) ? 'archive' : 'standard';
}

/** Only while it is restored for some days. */
export function restoreExpiry({ tier }: Snapshot): { readonly RestoreExpiryTime?: Date } {
  const expiresAtMs = tier?.state === 'restored-for-days' ? tier.restoreExpiresAtMs : null;
  return expiresAtMs === null ? {} : { RestoreExpiryTime: new Date(expiresAtMs) };
}

/** Only copies were transferred. */
function transferOf({
  copiedFrom,
  completionDurationMinutes: minutes,
}: Snapshot): Pick<SnapshotView, 'TransferType' | 'CompletionDurationMinutes'> {
  if (copiedFrom === null) return {};
  return minutes === null
    ? { TransferType: 'standard' }
    : { TransferType: 'time-based', CompletionDurationMinutes: minutes };
}

function stateOf(snapshot: Snapshot): VisibleSnapshotState {
  return present(visibleState(snapshot), 'clients are shown only snapshots that they can see');
}

function progressOf(snapshot: Snapshot): string {
  return `${snapshot.progressPercent}%`;
}

function volumeIdOf(snapshot: Snapshot): string {
  return snapshot.direct ? COPIED_VOLUME_ID : snapshot.volume;
}

/** Every filter of EC2's DescribeSnapshots, and `outpost-arn`, which it has for other resources. */
export const snapshotFilters: FilterTable<Snapshot> = {
  named: new Map<string, FilterTexts<Snapshot>>([
    ['description', (snapshot) => [snapshot.description]],
    ['encrypted', (snapshot) => [String(snapshot.encryption !== null)]],
    // Only Amazon's own snapshots have an alias, and there are none here.
    ['owner-alias', () => []],
    ['outpost-arn', ({ outpost }) => (outpost === null ? [] : [outpost])],
    ['owner-id', (snapshot) => [snapshot.account]],
    ['progress', (snapshot) => [progressOf(snapshot)]],
    ['snapshot-id', (snapshot) => [snapshot.id]],
    ['start-time', (snapshot) => [new Date(snapshot.startedAtMs).toISOString()]],
    ['status', (snapshot) => [stateOf(snapshot)]],
    ['storage-tier', (snapshot) => [storageTierOf(snapshot)]],
    ['tag-key', (snapshot) => Object.keys(snapshot.tags)],
    ['transfer-type', (snapshot) => [transferOf(snapshot).TransferType ?? []].flat()],
    ['volume-id', (snapshot) => [volumeIdOf(snapshot)]],
    ['volume-size', (snapshot) => [String(snapshot.volumeSizeGib)]],
  ]),
  tags: (snapshot) => snapshot.tags,
};
