import { AwsRefusal, type AwsError } from '#api/aws-error.ts';
import type { Failure } from '#domain/errors.ts';

export function invalidParameter(message: string): AwsRefusal {
  return new AwsRefusal(invalid('INVALID_PARAMETER_VALUE', message));
}

function invalid(reason: 'INVALID_PARAMETER_VALUE' | 'INVALID_PAGE_TOKEN', message: string): AwsError {
  return { code: 'ValidationException', message, status: 400, members: { Reason: reason } };
}

export function ruleNotFound(id: string): AwsError {
  return {
    code: 'ResourceNotFoundException',
    message: `The retention rule ${id} does not exist.`,
    status: 404,
    members: { Reason: 'RULE_NOT_FOUND' },
  };
}

/** A refusal of the domain in Recycle Bin's words. */
export function mapFailure(failure: Failure): AwsError {
  switch (failure.kind) {
    case 'not-found':
      return ruleNotFound(failure.id);
    case 'wrong-state':
      return {
        code: 'ConflictException',
        message: `The retention rule ${failure.id} is in the lock state ${failure.state}, which does not allow this.`,
        status: 409,
        members: { Reason: 'INVALID_RULE_STATE' },
      };
    case 'limit':
      return {
        code: 'ServiceQuotaExceededException',
        message: `The quota of ${failure.limit} (${failure.max}) has been reached.`,
        status: 402,
        members: { Reason: 'SERVICE_QUOTA_EXCEEDED' },
      };
    case 'page-token-invalid':
      return invalid('INVALID_PAGE_TOKEN', 'The page token is invalid or has expired.');
    case 'invalid-value':
      return invalid('INVALID_PARAMETER_VALUE', `The value of ${failure.field} is not valid: ${failure.reason}.`);
    case 'exclusive':
      return invalid('INVALID_PARAMETER_VALUE', `${failure.fields.join(' and ')} cannot be specified together.`);
    case 'tag-key-reserved':
      return invalid('INVALID_PARAMETER_VALUE', "Tag keys starting with 'aws:' are reserved for internal use.");
    default:
      // What only other services' resources meet.
      return invalid('INVALID_PARAMETER_VALUE', `The request is not valid: ${failure.kind}.`);
  }
}
