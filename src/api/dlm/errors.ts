import type { AwsError } from '#api/aws-error.ts';
import { failureMap } from '#api/failure-words.ts';

export function invalid(message: string): AwsError {
  return { code: 'InvalidRequestException', message, status: 400 };
}

export function policyNotFound(id: string): AwsError {
  return { code: 'ResourceNotFoundException', message: `The policy ${id} does not exist.`, status: 404 };
}

/** A refusal of the domain in Data Lifecycle Manager's words. */
export const mapFailure = failureMap(
  {
    'not-found': ({ id }) => policyNotFound(id),
    limit: ({ limit, max }) => ({
      code: 'LimitExceededException',
      message: `At most ${max} ${limit === 'resources' ? 'policies' : limit} are allowed.`,
      status: 429,
    }),
    'invalid-value': ({ field, reason }) => invalid(`The value of ${field} is not valid: ${reason}.`),
    missing: ({ field }) => invalid(`The parameter ${field} is missing.`),
    exclusive: ({ fields }) => invalid(`${fields.join(' and ')} cannot be specified together.`),
    'tag-key-reserved': ({ key }) => invalid(`The tag key ${key} begins with aws:, which is reserved.`),
    unsupported: ({ what }) => invalid(`This server does not support ${what}.`),
  },
  invalid,
);
