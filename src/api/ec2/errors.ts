import { unreachable } from '#base/assert.ts';
import type { Failure, ResourceKind } from '#domain/errors.ts';
import { AwsRefusal, type AwsError } from '#api/aws-error.ts';
import type { RefusedCall } from '#api/handler.ts';

// Codes and texts are AWS's as clients have reported them: tools read ids and reasons out of the texts, and the Terraform
// provider retries on one of them. Whatever is the client's to correct is 400 in EC2, also "not found" and "in use".

type Limit = Extract<Failure, { kind: 'limit' }>['limit'];

function clientError(code: string, message: string): AwsError {
  return { code, message, status: 400 };
}

export function invalidValue(message: string): AwsRefusal {
  return new AwsRefusal(clientError('InvalidParameterValue', message));
}

/** `parameter` as the request spells it, with a small first letter. */
export function invalidParameter(parameter: string, value: string, reason: string): AwsRefusal {
  return invalidValue(`Value (${value}) for parameter ${parameter} is invalid. ${reason}`);
}

export function missingParameter(parameter: string): AwsRefusal {
  return new AwsRefusal(clientError('MissingParameter', `The request must contain the parameter ${parameter}`));
}

export function invalidCombination(message: string): AwsRefusal {
  return new AwsRefusal(clientError('InvalidParameterCombination', message));
}

/** What AWS has and this server does not: refused, because a client that asked for it would believe that it got it. */
export function unsupportedRequest(message: string): AwsRefusal {
  return new AwsRefusal(clientError('UnsupportedOperation', message));
}

export function unknownFilter(name: string | null): AwsRefusal {
  return invalidValue(`The filter '${name ?? 'null'}' is invalid`);
}

export function filterLimitExceeded(): AwsRefusal {
  return new AwsRefusal(
    clientError('FilterLimitExceeded', 'The request uses too many filters or too many filter values.'),
  );
}

export function malformedUserId(id: string): AwsRefusal {
  return new AwsRefusal(clientError('InvalidUserID.Malformed', `Invalid user id: "${id}"`));
}

export function malformedId(resource: ResourceKind, id: string): AwsRefusal {
  return new AwsRefusal(malformed(resource, id));
}

/** An id that CreateTags or DeleteTags was given and that is of no kind of resource. */
export function invalidResourceId(id: string): AwsRefusal {
  return new AwsRefusal(clientError('InvalidID', `The ID '${id}' is not valid`));
}

export function invalidTagKey(message: string): AwsRefusal {
  return new AwsRefusal(clientError('InvalidTagKey.Malformed', message));
}

export function tagLimitExceeded(max: number): AwsRefusal {
  return new AwsRefusal(limitExceeded('tags', max));
}

export function sizeBelowSnapshot(
  sizeGib: number,
  origin: { readonly id: string; readonly volumeSizeGib: number },
): AwsRefusal {
  return invalidValue(
    `Volume of size ${sizeGib}GB is smaller than snapshot '${origin.id}', expect size >= ${origin.volumeSizeGib}GB`,
  );
}

export function zoneNotFound(zone: string): AwsRefusal {
  return new AwsRefusal(noZone(zone));
}

export function zoneMismatch(volume: string, instance: string): AwsRefusal {
  const message = `The volume '${volume}' is not in the same availability zone as instance '${instance}'`;
  return new AwsRefusal(clientError('InvalidVolume.ZoneMismatch', message));
}

export function attachmentLimitExceeded(max: number): AwsRefusal {
  return new AwsRefusal(
    clientError('AttachmentLimitExceeded', `An instance has at most ${max} volumes, its root volume among them.`),
  );
}

export function attachmentNotFound(volume: string, instance: string, device: string | null): AwsRefusal {
  const as = device === null ? '' : ` as device '${device}'`;
  const message = `The volume '${volume}' is not attached to instance '${instance}'${as}.`;
  return new AwsRefusal(clientError('InvalidAttachment.NotFound', message));
}

/** `code` of those that only instances, images and keys have. */
export function instanceRefusal(
  code:
    | 'InstanceLimitExceeded'
    | 'InvalidAddress.NotFound'
    | 'InvalidAllocationID.NotFound'
    | 'InvalidConversionTaskId'
    | 'InvalidExportTaskID.NotFound'
    | 'InvalidInternetGatewayID.NotFound'
    | 'InvalidLaunchTemplateId.NotFound'
    | 'InvalidLaunchTemplateName.NotFoundException'
    | 'InvalidRouteTableID.NotFound'
    | 'InvalidAMIID.Unavailable'
    | 'InvalidAMIName.Malformed'
    | 'InvalidBlockDeviceMapping'
    | 'InvalidGroup.NotFound'
    | 'InvalidInstanceAttributeValue'
    | 'InvalidNetworkInterfaceID.NotFound'
    | 'InvalidSubnetID.NotFound'
    | 'InvalidUserData.Malformed'
    | 'InvalidVpcID.NotFound'
    | 'InvalidKey.Format'
    | 'InvalidInstanceType'
    | 'IncorrectInstanceState'
    | 'OperationNotPermitted',
  message: string,
): AwsRefusal {
  return new AwsRefusal(clientError(code, message));
}

/** The answer to a request that asked only whether it would succeed, and would. */
export function dryRunSucceeded(): AwsRefusal {
  return new AwsRefusal({
    code: 'DryRunOperation',
    message: 'Request would have succeeded, but DryRun flag is set.',
    status: 412,
  });
}

function malformed(resource: ResourceKind, id: string): AwsError {
  const code = {
    volume: 'InvalidVolumeID.Malformed',
    'volume-modification': 'InvalidVolumeID.Malformed',
    snapshot: 'InvalidSnapshotID.Malformed',
    instance: 'InvalidInstanceID.Malformed',
    'instance-snapshot': 'InvalidID',
    blueprint: 'InvalidAMIID.Malformed',
    'key-pair': 'InvalidKeyPair.NotFound',
    'static-ip': 'InvalidID',
    alarm: 'InvalidID',
    'contact-method': 'InvalidID',
    operation: 'InvalidID',
    resource: 'InvalidID',
  }[resource];
  return clientError(code, `Invalid id: "${id}"`);
}

function notFound(resource: ResourceKind, id: string): AwsError {
  switch (resource) {
    case 'volume':
      return clientError('InvalidVolume.NotFound', `The volume '${id}' does not exist.`);
    case 'snapshot':
      return clientError('InvalidSnapshot.NotFound', `The snapshot '${id}' does not exist.`);
    case 'volume-modification':
      return clientError('InvalidVolumeModification.NotFound', `Modification for volume '${id}' does not exist.`);
    case 'instance':
      return clientError('InvalidInstanceID.NotFound', `The instance ID '${id}' does not exist`);
    case 'blueprint':
      return clientError('InvalidAMIID.NotFound', `The image id '[${id}]' does not exist`);
    case 'key-pair':
      return clientError('InvalidKeyPair.NotFound', `The key pair '${id}' does not exist`);
    case 'instance-snapshot':
    case 'static-ip':
    case 'alarm':
    case 'contact-method':
    case 'operation':
    case 'resource':
      return clientError('InvalidID', `The ID '${id}' is not valid`);
    default:
      return unreachable(resource);
  }
}

function noZone(zone: string): AwsError {
  return clientError('InvalidZone.NotFound', `The zone '${zone}' does not exist.`);
}

function volumeTypeUnknown(type: string): AwsError {
  return clientError('UnknownVolumeType', `Unsupported volume type '${type}' for volume creation.`);
}

function inUse(resource: ResourceKind, id: string, by: string): AwsError {
  switch (resource) {
    case 'volume':
      return clientError('VolumeInUse', `Volume ${id} is currently attached to ${by}`);
    case 'snapshot':
      return clientError('InvalidSnapshot.InUse', `The snapshot ${id} is currently in use by ${by}`);
    case 'volume-modification':
    case 'instance':
    case 'instance-snapshot':
    case 'blueprint':
    case 'key-pair':
    case 'static-ip':
    case 'alarm':
    case 'contact-method':
    case 'operation':
    case 'resource':
      return clientError('IncorrectState', `${id} is currently in use by ${by}`);
    default:
      return unreachable(resource);
  }
}

function wrongState({ resource, id, state }: Extract<Failure, { kind: 'wrong-state' }>): AwsError {
  const text =
    resource === 'snapshot' ? `Snapshot is in invalid state - ${state}` : `The ${resource} '${id}' is '${state}'.`;
  return clientError(resource === 'instance' ? 'IncorrectInstanceState' : 'IncorrectState', text);
}

function limitExceeded(limit: Limit, max: number): AwsError {
  switch (limit) {
    case 'volumes':
      return clientError('VolumeLimitExceeded', `Maximum number of volumes (${max}) exceeded.`);
    case 'volume-gib':
      return clientError('MaxVolumeSizeExceeded', `Maximum storage of volumes (${max} GiB) exceeded.`);
    case 'provisioned-iops':
      return clientError('MaxIOPSLimitExceeded', `Maximum provisioned IOPS of volumes (${max}) exceeded.`);
    case 'snapshots':
      return clientError('SnapshotLimitExceeded', `Maximum number of snapshots (${max}) exceeded.`);
    case 'pending-snapshots-per-volume':
      return clientError(
        'ConcurrentSnapshotLimitExceeded',
        `Maximum allowed in-progress snapshots for a single volume (${max}) exceeded.`,
      );
    case 'pending-snapshots':
      return clientError('PendingSnapshotLimitExceeded', `Maximum number of pending snapshots (${max}) exceeded.`);
    case 'direct-snapshots':
      return clientError(
        'ConcurrentSnapshotLimitExceeded',
        `Maximum number of snapshots being written (${max}) exceeded.`,
      );
    case 'pending-copies':
      return clientError(
        'ResourceLimitExceeded',
        `Too many snapshot copies in progress. The limit is ${max} for this destination region.`,
      );
    case 'tags':
      return clientError('TagLimitExceeded', `The maximum number of Tags for a resource (${max}) has been reached.`);
    case 'names':
    case 'addresses':
    case 'resources':
      return clientError('ResourceLimitExceeded', `Maximum number of ${limit} (${max}) exceeded.`);
    default:
      return unreachable(limit);
  }
}

function modificationRefused(failure: Extract<Failure, { kind: 'volume-modification' }>): AwsError {
  switch (failure.why) {
    case 'in-progress':
      return clientError(
        'IncorrectModificationState',
        `Volume ${failure.volume} is in modification state '${failure.state}' and cannot be modified until it is completed.`,
      );
    case 'rate':
      return clientError(
        'VolumeModificationRateExceeded',
        `You've reached the maximum modification rate per volume limit (${failure.max} modifications in a rolling 24-hour period).`,
      );
    case 'size-limit':
      return clientError(
        'VolumeModificationSizeLimitExceeded',
        `You've exceeded the maximum storage of volumes (${failure.max} GiB) in the Region.`,
      );
    default:
      return unreachable(failure);
  }
}

function keyUnusable({ key, problem }: Extract<Failure, { kind: 'key-unusable' }>): AwsError {
  switch (problem) {
    case 'not-found':
      return clientError(
        'InvalidParameterValue',
        `Value (${key}) for parameter kmsKeyId is invalid. The key does not exist.`,
      );
    case 'denied':
      return {
        code: 'UnauthorizedOperation',
        message: `You are not authorized to use the KMS key ${key}.`,
        status: 403,
      };
    case 'destroyed':
      return clientError('CustomerKeyHasBeenRevoked', `The KMS key ${key} has been deleted.`);
    case 'disabled':
    case 'pending-deletion':
    case 'pending-import':
      return clientError('InvalidKMSKey.InvalidState', `The KMS key ${key} is in an incorrect state: ${problem}.`);
    default:
      return unreachable(problem);
  }
}

function nameTaken(name: string, operation: string): AwsError {
  if (operation.endsWith('KeyPair')) {
    return clientError('InvalidKeyPair.Duplicate', `The keypair already exists`);
  }
  if (operation.endsWith('Image')) return clientError('InvalidAMIName.Duplicate', `AMI name ${name} is already in use`);
  return clientError('InvalidParameterValue', `The name '${name}' is already in use.`);
}

/** A refusal of the domain as EC2 says it. */
export function mapFailure(failure: Failure, call?: RefusedCall): AwsError {
  switch (failure.kind) {
    case 'not-found':
      return notFound(failure.resource, failure.id);
    case 'malformed-id':
      return malformed(failure.resource, failure.id);
    case 'name-taken':
      return nameTaken(failure.name, call?.operation ?? '');
    case 'invalid-value':
      return clientError(
        'InvalidParameterValue',
        `The value for parameter ${failure.field} is invalid. ${failure.reason}`,
      );
    case 'missing':
      return clientError('MissingParameter', `The request must contain the parameter ${failure.field}`);
    case 'exclusive':
      return clientError(
        'InvalidParameterCombination',
        `The parameters ${failure.fields.join(' and ')} cannot be used together`,
      );
    case 'zone-not-found':
      return noZone(failure.zone);
    case 'volume-type-unknown':
      return volumeTypeUnknown(failure.type);
    case 'wrong-state':
      return wrongState(failure);
    case 'in-use':
      return inUse(failure.resource, failure.id, failure.by);
    case 'limit':
      return limitExceeded(failure.limit, failure.max);
    case 'snapshot-rate':
      return clientError(
        'SnapshotCreationPerVolumeRateExceeded',
        'The maximum per volume CreateSnapshot request rate has been exceeded. Use an increasing or variable sleep interval between requests.',
      );
    case 'volume-modification':
      return modificationRefused(failure);
    case 'not-permitted':
      return clientError('OperationNotPermitted', failure.what);
    case 'no-machines':
      return clientError('Unsupported', `This server runs no instances: ${failure.reason}`);
    case 'no-memory':
      return {
        code: 'InsufficientInstanceCapacity',
        message: `There is not enough memory for the request: it needs ${failure.neededMib} MiB, and ${failure.leftMib} MiB are left for instances.`,
        status: 500,
      };
    case 'key-unusable':
      return keyUnusable(failure);
    case 'token-mismatch':
      return clientError(
        'IdempotentParameterMismatch',
        `The client token '${failure.token}' was used before with other parameters.`,
      );
    case 'tag-key-reserved':
      return clientError('InvalidParameterValue', "Tag keys starting with 'aws:' are reserved for internal use");
    case 'unrelated-snapshots':
      return clientError(
        'InvalidParameterCombination',
        `The snapshots ${failure.first} and ${failure.second} are not of one lineage.`,
      );
    case 'block-token-invalid':
      return clientError('InvalidParameterValue', 'The block token is invalid.');
    case 'page-token-invalid':
      return clientError('InvalidNextToken', 'The specified NextToken is not valid.');
    case 'checksum-mismatch':
      return clientError('InvalidParameterValue', 'The checksum does not match the data.');
    case 'block-conflict':
      return clientError('IncorrectState', `The block ${failure.index} of ${failure.snapshot} is being written.`);
    case 'block-count-mismatch':
      return clientError(
        'InvalidParameterValue',
        `${failure.given} blocks were named and ${failure.expected} were written to ${failure.snapshot}.`,
      );
    case 'unsupported':
      return clientError('UnsupportedOperation', `${failure.what} is not supported by this server.`);
    default:
      return unreachable(failure);
  }
}
