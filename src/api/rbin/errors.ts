import { AwsRefusal, type AwsError } from '#api/aws-error.ts';
import { failureMap } from '#api/failure-words.ts';

export function invalidParameter(message: string): AwsRefusal {
  return new AwsRefusal(invalid(message));
}

function invalid(message: string): AwsError {
  return { code: 'ValidationException', message, status: 400, members: { Reason: 'INVALID_PARAMETER_VALUE' } };
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
export const mapFailure = failureMap(
  {
    'not-found': ({ id }) => ruleNotFound(id),
    'wrong-state': ({ id, state }) => ({
      code: 'ConflictException',
      message: `The retention rule ${id} is in the lock state ${state}, which does not allow this.`,
      status: 409,
      members: { Reason: 'INVALID_RULE_STATE' },
    }),
    limit: ({ limit, max }) => ({
      code: 'ServiceQuotaExceededException',
      message: `The quota of ${limit} (${max}) has been reached.`,
      status: 402,
      members: { Reason: 'SERVICE_QUOTA_EXCEEDED' },
    }),
    'page-token-invalid': () => ({
      code: 'ValidationException',
      message: 'The page token is invalid or has expired.',
      status: 400,
      members: { Reason: 'INVALID_PAGE_TOKEN' },
    }),
    'invalid-value': ({ field, reason }) => invalid(`The value of ${field} is not valid: ${reason}.`),
    exclusive: ({ fields }) => invalid(`${fields.join(' and ')} cannot be specified together.`),
    'tag-key-reserved': () => invalid("Tag keys starting with 'aws:' are reserved for internal use."),
  },
  invalid,
);
