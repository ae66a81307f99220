import type { Handler } from '#api/handler.ts';
import { archiveSnapshot, restoreSnapshot, type TieredSnapshot } from '#control/snapshot-tiers.ts';
import { findSnapshot, listSnapshots } from '#control/snapshots.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { SnapshotTier } from '#domain/snapshot-tier.ts';
import type { SnapshotTierStatus } from '#wire/aws/models/ec2.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidCombination, invalidParameter, missingParameter } from './errors.ts';
import { exactValues, type FilterTable, type FilterTexts, parseFilters } from './filters.ts';
import { requireSnapshotId } from './ids.ts';
import { nextToken, parsePage } from './paging.ts';
import { restoreExpiry, snapshotView, storageTierOf } from './snapshot-views.ts';

export const modifySnapshotTier: Handler<
  InputOf<'ec2', 'ModifySnapshotTier'>,
  OutputOf<'ec2', 'ModifySnapshotTier'>
> = async ({ ports, scope }, request) => {
  const id = requireSnapshotId(request.SnapshotId);
  if (request.StorageTier !== undefined && request.StorageTier !== 'archive') {
    throw invalidParameter('storageTier', request.StorageTier, "The only valid value is 'archive'.");
  }
  if (request.DryRun === true) await findSnapshot(ports, scope, id);
  endDryRun(request);
  const { tier } = await archiveSnapshot(ports, scope, id);
  return { SnapshotId: id, TieringStartTime: new Date(tier.startedAtMs) };
};

export const restoreSnapshotTier: Handler<
  InputOf<'ec2', 'RestoreSnapshotTier'>,
  OutputOf<'ec2', 'RestoreSnapshotTier'>
> = async ({ ports, scope }, request) => {
  const id = requireSnapshotId(request.SnapshotId);
  const { TemporaryRestoreDays: days, PermanentRestore: isForGood = false } = request;
  if (isForGood && days !== undefined) {
    throw invalidCombination('The parameters permanentRestore and temporaryRestoreDays cannot be used together');
  }
  if (!isForGood && days === undefined) throw missingParameter('temporaryRestoreDays or permanentRestore');
  if (request.DryRun === true) await findSnapshot(ports, scope, id);
  endDryRun(request);
  const { tier } = await restoreSnapshot(ports, scope, id, isForGood ? null : (days ?? null));
  return {
    SnapshotId: id,
    RestoreStartTime: new Date(tier.startedAtMs),
    ...(tier.restoreDays !== null && { RestoreDuration: tier.restoreDays }),
    IsPermanentRestore: isForGood,
  };
};

export const describeSnapshotTierStatus: Handler<
  InputOf<'ec2', 'DescribeSnapshotTierStatus'>,
  OutputOf<'ec2', 'DescribeSnapshotTierStatus'>
> = async ({ ports, scope }, request) => {
  const page = parsePage(request);
  const passes = parseFilters(request.Filters, tierFilters);
  endDryRun(request);
  const named = exactValues(request.Filters, 'snapshot-id');
  const match = (snapshot: Snapshot): boolean => passes(snapshot);
  // By id, nothing else is looked at; an id that is not there finds nothing.
  const found =
    named === null
      ? await listSnapshots(ports, scope, { ids: null, face: 'ec2', match, ...page })
      : { snapshots: await thoseThere(named, (id) => findSnapshot(ports, scope, id)), next: null };
  const progress = await ports.host.progress();
  return {
    SnapshotTierStatuses: found.snapshots.filter(match).map((snapshot) => statusView(snapshot, progress[snapshot.id])),
    ...nextToken(found.next),
  };
};

async function thoseThere(
  texts: readonly string[],
  find: (id: SnapshotId) => Promise<Snapshot>,
): Promise<readonly Snapshot[]> {
  const all = await Promise.allSettled(texts.map((text) => find(requireSnapshotId(text))));
  return all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}

const tierFilters: FilterTable<Snapshot> = {
  named: new Map<string, FilterTexts<Snapshot>>([
    ['snapshot-id', ({ id }) => [id]],
    ['volume-id', (snapshot) => [snapshotView(snapshot).VolumeId ?? '']],
    ['last-tiering-operation', ({ tier }) => (tier === null ? [] : [operationOf(tier)])],
  ]),
  tags: null,
};

type Progress = { readonly doneBytes: number; readonly totalBytes: number } | undefined;

function statusView(snapshot: Snapshot, progress: Progress): SnapshotTierStatus {
  const { SnapshotId, VolumeId, State, OwnerId, Tags } = snapshotView(snapshot);
  return { SnapshotId, VolumeId, Status: State, OwnerId, Tags, ...tierMembers(snapshot, progress) };
}

function tierMembers(snapshot: Snapshot, progress: Progress): Partial<SnapshotTierStatus> {
  if (!isTiered(snapshot)) return { StorageTier: 'standard' };
  const { tier } = snapshot;
  const isMoving = tier.state === 'archiving' || tier.state === 'restoring';
  const share = progress === undefined || progress.totalBytes === 0 ? 0 : progress.doneBytes / progress.totalBytes;
  return {
    StorageTier: storageTierOf(snapshot),
    LastTieringStartTime: new Date(tier.startedAtMs),
    LastTieringProgress: isMoving ? Math.floor(99 * share) : 100,
    LastTieringOperationStatus: operationOf(tier),
    ...(tier.trouble !== null && { LastTieringOperationStatusDetail: tier.trouble }),
    ...(tier.archivedAtMs !== null && { ArchivalCompleteTime: new Date(tier.archivedAtMs) }),
    ...restoreExpiry(snapshot),
  };
}

function isTiered(snapshot: Snapshot): snapshot is TieredSnapshot {
  return snapshot.tier !== null;
}

function operationOf({
  state,
  restoreDays,
}: SnapshotTier): NonNullable<SnapshotTierStatus['LastTieringOperationStatus']> {
  switch (state) {
    case 'archiving':
      return 'archival-in-progress';
    case 'archived':
      return 'archival-completed';
    case 'restoring':
      return restoreDays === null ? 'permanent-restore-in-progress' : 'temporary-restore-in-progress';
    case 'restored':
      return 'permanent-restore-completed';
    case 'restored-for-days':
      return restoreDays === null ? 'permanent-restore-in-progress' : 'temporary-restore-completed';
  }
}
