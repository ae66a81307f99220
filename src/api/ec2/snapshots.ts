import type { CallContext, Handler } from '#api/handler.ts';
import * as control from '#control/snapshots.ts';
import { checkSnapshotPlace, outpostAsked } from '#control/outposts.ts';
import { findVolume } from '#control/volumes.ts';
import { parseAccountId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { clientToken } from './client-token.ts';
import { parseDescription } from './descriptions.ts';
import { endDryRun } from './dry-run.ts';
import { malformedUserId } from './errors.ts';
import { parseFilters } from './filters.ts';
import { parseIds, requireSnapshotId, requireVolumeId } from './ids.ts';
import { nextToken, parsePage, refusePagedIds } from './paging.ts';
import { checkLocation } from './snapshot-place.ts';
import { createdSnapshotView, snapshotFilters, snapshotView } from './snapshot-views.ts';
import { snapshotSearches } from './searches.ts';
import { parseTagSpecifications } from './tag-rules.ts';

type CreateSnapshotRequest = InputOf<'ec2', 'CreateSnapshot'>;
type DescribeSnapshotsRequest = InputOf<'ec2', 'DescribeSnapshots'>;

export const createSnapshot: Handler<CreateSnapshotRequest, OutputOf<'ec2', 'CreateSnapshot'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const volume = requireVolumeId(request.VolumeId);
  const description = parseDescription(request.Description);
  const tags = parseTagSpecifications(request.TagSpecifications, 'snapshot');
  checkLocation(request);
  const outpost = outpostAsked(ports, scope, request.OutpostArn);
  if (request.DryRun === true || outpost !== null) {
    checkSnapshotPlace(await findVolume(ports, scope, volume), outpost);
  }
  endDryRun(request);
  const { snapshot } = await control.createSnapshot(ports, scope, {
    face: 'ec2',
    name: null,
    volume,
    description,
    tags,
    outpost: outpost?.arn ?? null,
    // The request has no token of its own.
    token: clientToken(undefined, context),
    operation: null,
  });
  return createdSnapshotView(snapshot);
};

export const describeSnapshots: Handler<DescribeSnapshotsRequest, OutputOf<'ec2', 'DescribeSnapshots'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const ids = parseIds(request.SnapshotIds, (text) => requireSnapshotId(text));
  refusePagedIds(ids, request, 'snapshotSet');
  const page = parsePage(request);
  const passes = parseFilters(request.Filters, snapshotFilters);
  const isAskedFor = parseAudience(request, context);
  endDryRun(request);
  const face = ids === null ? ('ec2' as const) : null;
  const match = (snapshot: Snapshot): boolean => isAskedFor(snapshot) && passes(snapshot);
  const searches = snapshotSearches(request.Filters);
  const list = { ids, face, match, searches, shared: !isOwnOnly(request, context), ...page };
  const { snapshots, next } = await control.listSnapshots(ports, scope, list);
  return { Snapshots: snapshots.map(snapshotView), ...nextToken(next) };
};

/** Whether a snapshot is of one of the owners, and usable by one of those, that the request names. Without either: all that the account may use. */
function parseAudience(
  { OwnerIds: owners = [], RestorableByUserIds: restorers = [] }: DescribeSnapshotsRequest,
  { scope }: CallContext,
): (snapshot: Snapshot) => boolean {
  checkUserIds(owners, OWNER_ALIASES);
  checkUserIds(restorers, RESTORER_ALIASES);
  const named = (id: string): string => (id === 'self' ? scope.account : id);
  const ownerIds = new Set(owners.map(named));
  const restorerIds = new Set(restorers.map(named));
  const isRestorable = ({ account, sharedWith }: Snapshot): boolean =>
    restorerIds.has(account) || sharedWith.some((grantee) => restorerIds.has(grantee));
  return (snapshot) =>
    (ownerIds.size === 0 || ownerIds.has(snapshot.account)) && (restorerIds.size === 0 || isRestorable(snapshot));
}

/** No other account's snapshots can be among those that are asked for. */
function isOwnOnly({ OwnerIds: owners = [] }: DescribeSnapshotsRequest, { scope }: CallContext): boolean {
  return owners.length > 0 && owners.every((id) => id === 'self' || id === scope.account);
}

const OWNER_ALIASES: ReadonlySet<string> = new Set(['self', 'amazon', 'aws-marketplace', 'aws-backup-vault']);
const RESTORER_ALIASES: ReadonlySet<string> = new Set(['self', 'all']);

function checkUserIds(ids: readonly string[], aliases: ReadonlySet<string>): void {
  for (const id of ids) {
    if (!aliases.has(id) && parseAccountId(id) === null) throw malformedUserId(id);
  }
}

export const deleteSnapshot: Handler<InputOf<'ec2', 'DeleteSnapshot'>, OutputOf<'ec2', 'DeleteSnapshot'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const id = requireSnapshotId(request.SnapshotId);
  if (request.DryRun === true) await control.findSnapshot(ports, scope, id);
  endDryRun(request);
  await control.deleteSnapshot(ports, scope, id, { token: clientToken(undefined, context), operation: null });
  return {};
};
