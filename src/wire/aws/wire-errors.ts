/** Requests that a codec refuses, operations that do not exist and trouble of our own, in the words of each service. */
import type { ServiceName } from './operations.ts';
import type { WireError } from './wire-error.ts';

/** An error in a service's own words. */
export interface ErrorReply {
  /** `InvalidVolume.NotFound`, `NotFoundException`. */
  readonly code: string;
  readonly message: string;
  /** Default: the status that the model gives the code, else 400. */
  readonly status?: number | undefined;
  /** Further modelled members: `Reason` of ebs; `docs` and `tip` of lightsail, which have defaults. Absent ones are left out. */
  readonly members?: Readonly<Record<string, string | undefined>> | undefined;
}

export function wireErrorReply(service: ServiceName, error: WireError): ErrorReply {
  switch (service) {
    case 'ec2':
      return { code: ec2Codes[error.kind], message: error.reason };
    case 'lightsail':
      if (isSerialization(error)) return { code: 'SerializationException', message: error.reason };
      return {
        code: 'InvalidInputException',
        message: error.reason,
      };
    case 'ebs':
      if (isSerialization(error)) return { code: 'SerializationException', message: error.reason };
      return { code: 'ValidationException', message: error.reason, members: { Reason: ebsReason(error.member) } };
    case 'rbin':
      if (isSerialization(error)) return { code: 'SerializationException', message: error.reason };
      return {
        code: 'ValidationException',
        message: error.reason,
        members: { Reason: error.member === 'NextToken' ? 'INVALID_PAGE_TOKEN' : 'INVALID_PARAMETER_VALUE' },
      };
    case 'dlm':
      return {
        code: isSerialization(error) ? 'SerializationException' : 'InvalidRequestException',
        message: error.reason,
      };
    case 'kms':
      return { code: isSerialization(error) ? 'SerializationException' : 'ValidationException', message: error.reason };
    case 'iam':
    case 'sts':
      return {
        code: error.kind === 'malformed' ? 'MalformedQueryString' : 'ValidationError',
        message: error.reason,
      };
  }
}

const ec2Codes = {
  missing: 'MissingParameter',
  'unknown-parameter': 'UnknownParameter',
  'wrong-type': 'InvalidParameterValue',
  invalid: 'InvalidParameterValue',
  malformed: 'MalformedQueryString',
} as const;

/** The body could not be read at all, as opposed to: it was read and says something that is not allowed. */
function isSerialization(error: WireError): boolean {
  return error.kind === 'malformed' || error.kind === 'wrong-type';
}

/** What Lightsail's exceptions carry beside their message. */
export function lightsailMembers(code: string): Readonly<Record<string, string>> {
  return {
    code,
    docs: 'https://docs.aws.amazon.com/lightsail/2016-11-28/api-reference/API_Operations.html',
    tip: 'Check the names and values of the request against the reference of the operation.',
  };
}

const ebsReasons: ReadonlyMap<string, string> = new Map([
  ['SnapshotId', 'INVALID_SNAPSHOT_ID'],
  ['FirstSnapshotId', 'INVALID_SNAPSHOT_ID'],
  ['SecondSnapshotId', 'INVALID_SNAPSHOT_ID'],
  ['ParentSnapshotId', 'INVALID_SNAPSHOT_ID'],
  ['NextToken', 'INVALID_PAGE_TOKEN'],
  ['BlockToken', 'INVALID_BLOCK_TOKEN'],
  ['BlockIndex', 'INVALID_BLOCK'],
  ['VolumeSize', 'INVALID_VOLUME_SIZE'],
  ['KmsKeyArn', 'INVALID_CUSTOMER_KEY'],
]);

function ebsReason(member: string): string {
  if (member.startsWith('Tags')) return 'INVALID_TAG';
  return ebsReasons.get(member) ?? 'INVALID_PARAMETER_VALUE';
}

export function unknownOperationReply(service: ServiceName, operation: string | null): ErrorReply {
  const shown = operation === null ? null : operation.slice(0, 128);
  switch (service) {
    case 'ec2':
    case 'iam':
    case 'sts':
      return shown === null
        ? { code: 'MissingAction', message: 'The request must contain the parameter Action', status: 400 }
        : { code: 'InvalidAction', message: `The action ${shown} is not valid for this web service.`, status: 400 };
    case 'lightsail':
    case 'kms':
      return {
        code: 'UnknownOperationException',
        message: shown === null ? 'The request names no operation.' : `The operation ${shown} does not exist.`,
        status: 404,
      };
    case 'ebs':
    case 'dlm':
    case 'rbin':
      return {
        code: 'UnknownOperationException',
        message: 'The method and path of the request name no operation.',
        status: 404,
      };
  }
}

export function notSupportedReply(service: ServiceName, operation: string): ErrorReply {
  const message = `The operation ${operation} is not supported by this server.`;
  switch (service) {
    case 'ec2':
      return { code: 'UnsupportedOperation', message, status: 400 };
    case 'iam':
    case 'sts':
      return { code: 'InvalidAction', message, status: 400 };
    case 'lightsail':
      return { code: 'OperationFailureException', message };
    case 'kms':
      return { code: 'UnsupportedOperationException', message };
    case 'dlm':
      return { code: 'InvalidRequestException', message };
    case 'rbin':
    case 'ebs':
      return { code: 'ValidationException', message, members: { Reason: 'INVALID_PARAMETER_VALUE' } };
  }
}

const internalMessage = 'An internal error has occurred. Retry the request; the log of the server says more.';

export function internalErrorReply(service: ServiceName): ErrorReply {
  switch (service) {
    case 'ec2':
      return { code: 'InternalError', message: internalMessage, status: 500 };
    case 'sts':
      return { code: 'InternalFailure', message: internalMessage, status: 500 };
    case 'iam':
      return { code: 'ServiceFailure', message: internalMessage, status: 500 };
    case 'kms':
      return { code: 'KMSInternalException', message: internalMessage, status: 500 };
    case 'lightsail':
      return {
        code: 'ServiceException',
        message: internalMessage,
        status: 500,
      };
    case 'dlm':
    case 'rbin':
    case 'ebs':
      return { code: 'InternalServerException', message: internalMessage, status: 500 };
  }
}
