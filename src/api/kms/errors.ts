import { AwsRefusal, type AwsError } from '#api/aws-error.ts';
import { unreachable } from '#base/assert.ts';
import type { Failure } from '#domain/errors.ts';
import type { KmsFailure } from '#domain/kms/failure.ts';

// Codes are the model's, which gives each its status; texts are AWS's where clients have reported them.

/** A value that breaks a rule of the request. */
export function invalid(message: string): AwsRefusal {
  return new AwsRefusal({ code: 'ValidationException', message });
}

/** What KMS has and this server does not. */
export function unsupported(message: string): AwsRefusal {
  return new AwsRefusal({ code: 'UnsupportedOperationException', message });
}

export function refusalOf(failure: KmsFailure): AwsRefusal {
  return new AwsRefusal(kmsError(failure));
}

function kmsError(failure: KmsFailure): AwsError {
  switch (failure.kind) {
    case 'key-not-found':
      return { code: 'NotFoundException', message: `Key '${failure.key}' does not exist` };
    case 'alias-not-found':
      return { code: 'NotFoundException', message: `Alias ${failure.alias} is not found.` };
    case 'malformed-key-id':
      return { code: 'NotFoundException', message: `Invalid keyId '${failure.id.slice(0, 256)}'` };
    case 'malformed-arn':
      return { code: 'InvalidArnException', message: `Invalid ARN '${failure.arn.slice(0, 256)}'` };
    case 'other-region':
      return { code: 'NotFoundException', message: `Invalid arn ${failure.region}` };
    case 'alias-name':
      return {
        code: 'InvalidAliasNameException',
        message: `The alias name ${failure.name.slice(0, 256)} is not valid: it begins with "alias/", and has letters, digits, / _ and -.`,
      };
    case 'alias-reserved':
      return {
        code: 'InvalidAliasNameException',
        message: `The alias name ${failure.name} is not valid: alias/aws/ is reserved for AWS managed keys.`,
      };
    case 'alias-taken':
      return { code: 'AlreadyExistsException', message: `An alias with the name ${failure.alias} already exists` };
    case 'disabled':
      return { code: 'DisabledException', message: `${failure.key} is disabled.` };
    case 'key-state':
      return { code: 'KMSInvalidStateException', message: `${failure.key} ${failure.state}.` };
    case 'denied':
      return denied(failure);
    case 'wrong-key':
      return {
        code: 'IncorrectKeyException',
        message: 'The key ID in the request does not identify a CMK that can perform this operation.',
      };
    case 'ciphertext':
      return { code: 'InvalidCiphertextException', message: 'The ciphertext or the encryption context is not valid.' };
    case 'ciphertext-unseen':
      return {
        code: 'AccessDeniedException',
        message:
          'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.',
        status: 400,
      };
    case 'policy':
      return { code: 'MalformedPolicyDocumentException', message: failure.reason };
    case 'tag':
      return { code: 'TagException', message: failure.reason };
    case 'limit':
      return { code: 'LimitExceededException', message: `The limit of ${failure.what} (${failure.max}) is reached.` };
    case 'grant-token':
      return { code: 'InvalidGrantTokenException', message: 'A grant token is not valid.' };
    case 'grant-not-found':
      return { code: 'NotFoundException', message: `Grant ID ${failure.grant} not found` };
    case 'import-token':
      return failure.isExpired
        ? { code: 'ExpiredImportTokenException', message: 'The import token has expired.' }
        : { code: 'InvalidImportTokenException', message: 'The import token is not valid for this key.' };
    case 'import-material':
      return { code: 'IncorrectKeyMaterialException', message: failure.reason };
    case 'unsupported':
      return { code: 'UnsupportedOperationException', message: failure.reason };
    case 'invalid':
      return { code: 'ValidationException', message: failure.reason };
    case 'would-succeed':
      return {
        code: 'DryRunOperationException',
        message: 'The request would have succeeded, but the DryRun option is set.',
      };
    default:
      return unreachable(failure);
  }
}

function denied({ principal, action, resource, by }: Extract<KmsFailure, { kind: 'denied' }>): AwsError {
  const because = {
    explicit: 'with an explicit deny in a policy',
    'nothing-allows': `because no resource-based policy allows the kms:${action} action`,
    unseen:
      'because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access',
  }[by];
  return {
    code: 'AccessDeniedException',
    message: `User: ${principal} is not authorized to perform: kms:${action} on resource: ${resource} ${because}`,
    status: 400,
  };
}

/** A refusal of the domain in KMS's words. What KMS itself refuses is a KmsFailure; this is what it shares with others. */
export function mapFailure(failure: Failure): AwsError {
  if (failure.kind === 'page-token-invalid') {
    return { code: 'InvalidMarkerException', message: 'The marker is not valid, or has expired.' };
  }
  return { code: 'ValidationException', message: `The request is not valid: ${failure.kind}.` };
}
