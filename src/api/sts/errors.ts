import type { Failure } from '#domain/errors.ts';
import { AwsRefusal, type AwsError } from '#api/aws-error.ts';

/** What STS does touches no resource: whatever is refused is a value of the request. */
export function mapFailure(failure: Failure): AwsError {
  return { code: 'ValidationError', message: `The request is not valid: ${failure.kind}.`, status: 400 };
}

export function invalidMessage(): AwsRefusal {
  return new AwsRefusal({
    code: 'InvalidAuthorizationMessageException',
    message: 'The message is not an encoded authorization message of this account.',
    status: 400,
  });
}
