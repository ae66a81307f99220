import type { AwsError } from '#api/aws-error.ts';
import type { Failure } from '#domain/errors.ts';

/** A refusal of the domain in KMS's words. */
export function mapFailure(failure: Failure): AwsError {
  return { code: 'ValidationException', message: `The request is not valid: ${failure.kind}.`, status: 400 };
}
