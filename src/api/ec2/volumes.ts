import type { CallContext, Handler } from '#api/handler.ts';
import { kmsCallOf } from '#api/kms/calls.ts';
import { checkOriginPlace, checkOutpostZone, outpostAsked } from '#control/outposts.ts';
import { findUsableSnapshot } from '#control/snapshots.ts';
import * as control from '#control/volumes.ts';
import { refuse } from '#domain/errors.ts';
import { hindrance } from '#domain/snapshot.ts';
import { findZone, zonesOf } from '#domain/region.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { clientToken } from './client-token.ts';
import { endDryRun } from './dry-run.ts';
import { invalidCombination, missingParameter, unsupportedRequest, zoneNotFound } from './errors.ts';
import { parseFilters } from './filters.ts';
import { parseIds, requireSnapshotId, requireVolumeId } from './ids.ts';
import { nextToken, parsePage, refusePagedIds } from './paging.ts';
import { tagSearches } from './searches.ts';
import { parseTagSpecifications } from './tag-rules.ts';
import { checkInitializationRate, parseVolumeShape } from './volume-rules.ts';
import { createdVolumeView, volumeFilters, volumeView } from './volume-views.ts';

type CreateVolumeRequest = InputOf<'ec2', 'CreateVolume'>;

export const createVolume: Handler<CreateVolumeRequest, OutputOf<'ec2', 'CreateVolume'>> = async (context, request) => {
  const { ports, scope } = context;
  refuseUnbuilt(request);
  const zone = parseZone(request, context);
  const tags = parseTagSpecifications(request.TagSpecifications, 'volume');
  const token = clientToken(request.ClientToken, context);
  const originId = request.SnapshotId === undefined ? null : requireSnapshotId(request.SnapshotId);
  if (originId === null && request.Size === undefined) throw missingParameter('size/snapshot');
  const origin = originId === null ? null : await findUsableSnapshot(ports, scope, originId);
  const state = origin === null ? null : hindrance(origin);
  if (origin !== null && state !== null) refuse({ kind: 'wrong-state', resource: 'snapshot', id: origin.id, state });
  const outpost = outpostAsked(ports, scope, request.OutpostArn);
  checkOriginPlace(origin, outpost?.arn ?? null);
  if (outpost !== null) checkOutpostZone(outpost, zone);
  const shape = parseVolumeShape(request, origin);
  checkInitializationRate(request.VolumeInitializationRate, origin);
  endDryRun(request);
  const { volume } = await control.createVolume(ports, scope, {
    face: 'ec2',
    name: null,
    zone,
    ...shape,
    origin: originId,
    outpost: outpost?.arn ?? null,
    initializationRateMibps: request.VolumeInitializationRate ?? null,
    encryption: { isEncrypted: request.Encrypted === true, key: request.KmsKeyId ?? null },
    caller: kmsCallOf(context).caller,
    tags,
    token,
    operation: null,
  });
  return createdVolumeView(volume);
};

/** What this server cannot give is refused, not left out: the client would believe that it has it. */
function refuseUnbuilt(request: CreateVolumeRequest): void {
  if (request.KmsKeyId !== undefined && request.Encrypted !== true) {
    throw invalidCombination('The parameter KmsKeyId requires the parameter Encrypted to be set.');
  }
  if (request.Operator !== undefined) {
    throw unsupportedRequest('The parameter Operator is reserved for internal use.');
  }
}

/** The name of the zone, which a request gives by name or by id. */
function parseZone(request: CreateVolumeRequest, context: CallContext): string {
  const { AvailabilityZone: name, AvailabilityZoneId: id } = request;
  const { region } = context.scope;
  if (name !== undefined && id !== undefined) {
    throw invalidCombination('The parameters AvailabilityZone and AvailabilityZoneId cannot be used together');
  }
  if (name !== undefined) {
    if (findZone(region, name) === null) throw zoneNotFound(name);
    return name;
  }
  if (id === undefined) throw missingParameter('AvailabilityZone');
  const zone = zonesOf(region).find((candidate) => candidate.id === id);
  if (zone === undefined) throw zoneNotFound(id);
  return zone.name;
}

export const describeVolumes: Handler<InputOf<'ec2', 'DescribeVolumes'>, OutputOf<'ec2', 'DescribeVolumes'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const ids = parseIds(request.VolumeIds, (text) => requireVolumeId(text));
  refusePagedIds(ids, request, 'volumeSet');
  const page = parsePage(request);
  const match = parseFilters(request.Filters, volumeFilters);
  endDryRun(request);
  const face = ids === null ? 'ec2' : null;
  const { volumes, next } = await control.listVolumes(ports, scope, {
    ids,
    face,
    match,
    searches: tagSearches(request.Filters),
    ...page,
  });
  return { Volumes: volumes.map(volumeView), ...nextToken(next) };
};

export const deleteVolume: Handler<InputOf<'ec2', 'DeleteVolume'>, OutputOf<'ec2', 'DeleteVolume'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const id = requireVolumeId(request.VolumeId);
  if (request.DryRun === true) await control.findVolume(ports, scope, id);
  endDryRun(request);
  await control.deleteVolume(ports, scope, id, { token: clientToken(undefined, context), operation: null });
  return {};
};
