import { AwsRefusal, type AwsError } from '#api/aws-error.ts';
import type { RefusedCall } from '#api/handler.ts';
import { unreachable } from '#base/assert.ts';
import type { Failure } from '#domain/errors.ts';

// The service tells few errors apart by their code and many by `Reason`, whose words are the model's.

export type ValidationReason =
  | 'INVALID_BLOCK'
  | 'INVALID_BLOCK_TOKEN'
  | 'INVALID_CUSTOMER_KEY'
  | 'INVALID_PAGE_TOKEN'
  | 'INVALID_PARAMETER_VALUE'
  | 'INVALID_SNAPSHOT_ID'
  | 'INVALID_TAG'
  | 'INVALID_VOLUME_SIZE'
  | 'UNRELATED_SNAPSHOTS'
  | 'CONFLICTING_BLOCK_UPDATE';

export function invalid(reason: ValidationReason, message: string): AwsRefusal {
  return new AwsRefusal(validation(reason, message));
}

/** CompleteSnapshot's checksum, its algorithm and its way of aggregation come together. */
export function checksumPartMissing(what: string): AwsRefusal {
  return invalid('INVALID_PARAMETER_VALUE', `Invalid parameter combination. ${what} is missing.`);
}

function validation(reason: ValidationReason, message: string): AwsError {
  return { code: 'ValidationException', message, status: 400, members: { Reason: reason } };
}

function keyDenied(key: string): AwsError {
  return {
    code: 'AccessDeniedException',
    message: `You are not authorized to use the KMS key ${key}.`,
    status: 403,
    members: { Reason: 'DEPENDENCY_ACCESS_DENIED' },
  };
}

function notFound(id: string): AwsError {
  return {
    code: 'ResourceNotFoundException',
    message: `The snapshot '${id}' does not exist.`,
    status: 404,
    members: { Reason: 'SNAPSHOT_NOT_FOUND' },
  };
}

function limitExceeded({ limit, max }: Extract<Failure, { kind: 'limit' }>): AwsError {
  switch (limit) {
    case 'tags':
      return validation('INVALID_TAG', `A snapshot has at most ${max} tags.`);
    case 'direct-snapshots':
    case 'pending-snapshots':
    case 'pending-snapshots-per-volume':
    case 'pending-copies':
      return {
        code: 'ConcurrentLimitExceededException',
        message: `The maximum number of pending snapshots (${max}) has been reached.`,
        status: 400,
      };
    case 'snapshots':
    case 'volumes':
    case 'volume-gib':
    case 'provisioned-iops':
    case 'names':
    case 'addresses':
    case 'resources':
      return {
        code: 'ServiceQuotaExceededException',
        message: `The quota of ${limit} (${max}) has been reached.`,
        status: 402,
        members: { Reason: 'DEPENDENCY_SERVICE_QUOTA_EXCEEDED' },
      };
    default:
      return unreachable(limit);
  }
}

/** The checksum of a block is a signed header, so AWS calls bytes that do not fit it a wrong signature. */
function checksumMismatch(operation: string): AwsError {
  const what = operation === 'PutSnapshotBlock' ? 'the block data' : 'the blocks that were written';
  return validation('INVALID_PARAMETER_VALUE', `The checksum does not match ${what}.`);
}

/** The reason that belongs to a wrong value of one of the domain's fields. */
function reasonOf(field: string): ValidationReason {
  switch (field) {
    case 'size':
      return 'INVALID_VOLUME_SIZE';
    case 'block-index':
    case 'data-length':
      return 'INVALID_BLOCK';
    case 'tags':
    case 'tag-key':
    case 'tag-value':
      return 'INVALID_TAG';
    default:
      return 'INVALID_PARAMETER_VALUE';
  }
}

/** A refusal of the domain as the EBS direct APIs say it. */
export function mapFailure(failure: Failure, call: Pick<RefusedCall, 'operation'>): AwsError {
  switch (failure.kind) {
    case 'not-found':
      return notFound(failure.id);
    case 'malformed-id':
      return validation('INVALID_SNAPSHOT_ID', `The snapshot ID '${failure.id}' is not valid.`);
    case 'invalid-value':
      return validation(reasonOf(failure.field), `The value of ${failure.field} is not valid: ${failure.reason}.`);
    case 'missing':
      return validation('INVALID_PARAMETER_VALUE', `The parameter ${failure.field} is missing.`);
    case 'exclusive':
      return validation('INVALID_PARAMETER_VALUE', `${failure.fields.join(' and ')} cannot be specified together`);
    case 'wrong-state':
      return validation('INVALID_SNAPSHOT_ID', `The snapshot '${failure.id}' is in the state '${failure.state}'.`);
    case 'in-use':
      return validation('INVALID_SNAPSHOT_ID', `The snapshot '${failure.id}' is in use by ${failure.by}.`);
    case 'limit':
      return limitExceeded(failure);
    case 'snapshot-rate':
      return {
        code: 'RequestThrottledException',
        message: 'The maximum rate of snapshots of one volume has been exceeded.',
        status: 400,
        members: { Reason: 'RESOURCE_LEVEL_THROTTLE' },
      };
    case 'token-mismatch':
      return {
        code: 'ConflictException',
        message: 'Current request does not match request stored with this token.',
        status: 409,
      };
    case 'tag-key-reserved':
      return validation('INVALID_TAG', "Tag keys starting with 'aws:' are reserved for internal use");
    case 'unrelated-snapshots':
      return validation(
        'UNRELATED_SNAPSHOTS',
        `The snapshots '${failure.first}' and '${failure.second}' are not of the same volume lineage.`,
      );
    case 'block-token-invalid':
      return validation('INVALID_BLOCK_TOKEN', 'The block token is invalid or has expired.');
    case 'page-token-invalid':
      return validation('INVALID_PAGE_TOKEN', 'The page token is invalid or has expired.');
    case 'checksum-mismatch':
      return checksumMismatch(call.operation);
    case 'block-conflict':
      return validation('CONFLICTING_BLOCK_UPDATE', `Block ${failure.index} is being written by another request.`);
    case 'block-count-mismatch':
      return validation(
        'INVALID_PARAMETER_VALUE',
        `Changed blocks count mismatch: ${failure.given} were named and ${failure.expected} were written.`,
      );
    case 'key-unusable':
      if (failure.problem === 'denied') return keyDenied(failure.key);
      return validation('INVALID_CUSTOMER_KEY', `The KMS key ${failure.key} cannot be used: ${failure.problem}.`);
    case 'unsupported':
      return validation('INVALID_PARAMETER_VALUE', `${failure.what} is not supported by this server.`);
    case 'not-permitted':
      return validation('INVALID_PARAMETER_VALUE', failure.what);
    // What only other faces meet.
    case 'volume-modification':
    case 'name-taken':
    case 'no-machines':
    case 'no-memory':
    case 'zone-not-found':
    case 'volume-type-unknown':
      return validation('INVALID_PARAMETER_VALUE', `The request is not valid: ${failure.kind}.`);
    default:
      return unreachable(failure);
  }
}
