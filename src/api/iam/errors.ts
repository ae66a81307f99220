import { unreachable } from '#base/assert.ts';
import { AwsRefusal, type AwsError } from '#api/aws-error.ts';
import type { CallContext, Handler } from '#api/handler.ts';
import type { Failure } from '#domain/errors.ts';
import { type Entity, IdentityError, type IdentityFailure } from '#control/identity/failures.ts';

/** A refusal of the domain in IAM's words. What IAM keeps has failures of its own, below. */
export function mapFailure(failure: Failure): AwsError {
  return { code: 'ValidationError', message: `The request is not valid: ${failure.kind}.`, status: 400 };
}

/** A handler whose refusals about users, roles and policies are told in IAM's words. */
export function identityHandler<Input, Output>(handler: Handler<Input, Output>): Handler<Input, Output> {
  return async (context: CallContext, input: Input) => {
    try {
      return await handler(context, input);
    } catch (error) {
      throw error instanceof IdentityError ? new AwsRefusal(identityErrorOf(error.failure)) : error;
    }
  };
}

export function identityErrorOf(failure: IdentityFailure): AwsError {
  switch (failure.kind) {
    case 'no-entity':
      return { code: 'NoSuchEntity', message: missing(failure.entity, failure.name), status: 404 };
    case 'exists':
      return {
        code: 'EntityAlreadyExists',
        message:
          failure.entity === 'policy'
            ? `A policy called ${failure.name} already exists. Duplicate names are not allowed.`
            : `${capital(failure.entity)} with name ${failure.name} already exists.`,
        status: 409,
      };
    case 'malformed-policy':
      return { code: 'MalformedPolicyDocument', message: failure.reason, status: 400 };
    case 'conflict':
      return { code: 'DeleteConflict', message: failure.reason, status: 409 };
    case 'quota':
      return {
        code: 'LimitExceeded',
        message: failure.what.includes(' ') ? failure.what : `Cannot exceed quota for ${failure.what}: ${failure.max}`,
        status: 409,
      };
    case 'invalid-input':
      return { code: 'InvalidInput', message: failure.reason, status: 400 };
    case 'invalid-form':
      return {
        code: 'ValidationError',
        message: `1 validation error detected: Value '${failure.value.slice(0, 256)}' at '${failure.field}' failed to satisfy constraint: ${failure.constraint}`,
        status: 400,
      };
    case 'too-long':
      return { code: 'ValidationError', message: failure.reason, status: 400 };
    case 'too-large':
      return {
        code: 'PackedPolicyTooLarge',
        message: `Packed size of session policies and tags consumes ${failure.percent}% of allotted space.`,
        status: 400,
      };
    case 'unmodifiable':
      return { code: 'AccessDenied', message: failure.reason, status: 403 };
    default:
      return unreachable(failure);
  }
}

export function validationError(message: string): AwsRefusal {
  return new AwsRefusal({ code: 'ValidationError', message, status: 400 });
}

function missing(entity: Entity, name: string): string {
  switch (entity) {
    case 'user':
      return `The user with name ${name} cannot be found.`;
    case 'role':
      return `The role with name ${name} cannot be found.`;
    case 'policy':
      return `Policy ${name} does not exist or is not attachable.`;
    case 'policy version':
      return `Policy version ${name} does not exist or is not attachable.`;
    case 'access key':
      return `The Access Key with id ${name} cannot be found.`;
    case 'inline policy':
      return `The policy with name ${name} cannot be found.`;
    case 'boundary':
      return `The entity with name ${name} has no permissions boundary.`;
    case 'attachment':
      return `Policy ${name} was not found.`;
    default:
      return unreachable(entity);
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
