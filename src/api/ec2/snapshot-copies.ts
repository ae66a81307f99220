import type { CallContext, Handler } from '#api/handler.ts';
import { kmsCallOf } from '#api/kms/calls.ts';
import * as control from '#control/snapshot-copies.ts';
import type { RegionName } from '#domain/ids.ts';
import { findRegion } from '#domain/region.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { clientToken } from './client-token.ts';
import { parseDescription } from './descriptions.ts';
import { endDryRun } from './dry-run.ts';
import { invalidCombination, invalidParameter, invalidValue, missingParameter, unsupportedRequest } from './errors.ts';
import { requireSnapshotId } from './ids.ts';
import { parseTagSpecifications } from './tag-rules.ts';
import { tagViews } from './tag-views.ts';

type CopySnapshotRequest = InputOf<'ec2', 'CopySnapshot'>;

/** Time-based copies: in steps of 15 minutes, up to 48 hours. */
const DURATION_STEP_MINUTES = 15;
const DURATION_MINUTES_MAX = 2880;

/** `PresignedUrl` is not looked at: SDKs make one of the endpoint that they were given, and source and copy are in one place. */
export const copySnapshot: Handler<CopySnapshotRequest, OutputOf<'ec2', 'CopySnapshot'>> = async (context, request) => {
  const { ports, scope } = context;
  const source = requireSnapshotId(request.SourceSnapshotId, 'SourceSnapshotId');
  const sourceRegion = parseSourceRegion(request.SourceRegion);
  const description = parseDescription(request.Description);
  const tags = parseTagSpecifications(request.TagSpecifications, 'snapshot');
  const completionDurationMinutes = parseDuration(request.CompletionDurationMinutes);
  refuseElsewhere(request, context);
  refuseEncryption(request);
  const outpost = request.DestinationOutpostArn ?? null;
  control.checkCopyPlace(ports, scope, { sourceRegion, outpost });
  if (request.DryRun === true) await control.findCopySource(ports, scope, { source, sourceRegion });
  endDryRun(request);
  const copy = await control.copySnapshot(ports, scope, {
    face: 'ec2',
    source,
    sourceRegion,
    description,
    tags,
    completionDurationMinutes,
    outpost,
    encryption: { isEncrypted: request.Encrypted === true, key: request.KmsKeyId ?? null },
    caller: kmsCallOf(context).caller,
    token: clientToken(undefined, context),
  });
  return { SnapshotId: copy.id, Tags: tagViews(copy.tags) };
};

function parseSourceRegion(name: string): RegionName {
  if (name === '') throw missingParameter('SourceRegion');
  const region = findRegion(name);
  if (region === null) throw invalidValue(`Invalid region: [${name}]`);
  return region.name;
}

function parseDuration(minutes: number | undefined): number | null {
  if (minutes === undefined) return null;
  const isStep = minutes % DURATION_STEP_MINUTES === 0;
  if (minutes >= DURATION_STEP_MINUTES && minutes <= DURATION_MINUTES_MAX && isStep) return minutes;
  throw invalidParameter(
    'completionDurationMinutes',
    String(minutes),
    `Valid values are multiples of ${DURATION_STEP_MINUTES} from ${DURATION_STEP_MINUTES} to ${DURATION_MINUTES_MAX}.`,
  );
}

/** A copy comes to the region that the request was sent to. */
function refuseElsewhere(request: CopySnapshotRequest, { scope }: CallContext): void {
  const { DestinationRegion: region } = request;
  if (region !== undefined && region !== scope.region) {
    throw invalidParameter('destinationRegion', region, `The request was sent to the Region ${scope.region}.`);
  }
  if (request.DestinationAvailabilityZone !== undefined) {
    throw unsupportedRequest('The parameter DestinationAvailabilityZone is supported only for copies to a Local Zone.');
  }
}

function refuseEncryption(request: CopySnapshotRequest): void {
  if (request.KmsKeyId !== undefined && request.Encrypted !== true) {
    throw invalidCombination('The parameter KmsKeyId requires the parameter Encrypted to be set.');
  }
}
