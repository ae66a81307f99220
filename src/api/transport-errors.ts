import type { ErrorReply } from '#wire/aws/protocol.ts';
import type { ServiceName } from '#wire/aws/operations.ts';

/** What can go wrong with a request of any service before or beside its handler, and has no word in the wire. */
export type TransportTrouble =
  /** The body is longer than the service allows. */
  | 'too-large'
  /** The body did not arrive in time. */
  | 'too-slow'
  /** No room for another body or call, a part is not reachable for a moment, or the call takes too long. Clients repeat it. */
  | 'unavailable'
  /** A disk of the server is full. Nothing was changed. */
  | 'no-space'
  /** The service of the signature or of X-Amz-Target is none of ours. */
  | 'unknown-service'
  /** Not HTTP. */
  | 'not-http'
  /** Request line and headers are too long together. */
  | 'headers-too-large';

type Service = 'json' | 'kms' | 'query' | 'ebs' | 'dlm' | 'ec2';

const MESSAGES: Readonly<Record<TransportTrouble, string>> = {
  'too-large': 'The request body is larger than this operation allows.',
  'too-slow': 'The request body was not received within the time allowed.',
  unavailable: 'The server is not able to answer this request at the moment. Please try again.',
  'no-space': 'The server has no space left on its disk for this request. Nothing was changed.',
  'unknown-service': 'This server does not provide the requested service.',
  'not-http': 'The request is not valid HTTP.',
  'headers-too-large': 'The request line and headers are larger than this server allows.',
};

const STATUSES: Readonly<Record<TransportTrouble, number>> = {
  'too-large': 413,
  'too-slow': 408,
  unavailable: 503,
  'no-space': 500,
  'unknown-service': 400,
  'not-http': 400,
  'headers-too-large': 431,
};

/** Codes that clients of each kind know where there is one: `unavailable` and `too-slow` are repeated by SDKs, the others are not. */
const CODES: Readonly<Record<TransportTrouble, Readonly<Record<Service, string>>>> = {
  'too-large': {
    kms: 'ValidationException',
    dlm: 'InvalidRequestException',
    json: 'InvalidInputException',
    query: 'RequestEntityTooLarge',
    ebs: 'ValidationException',
    ec2: 'RequestEntityTooLarge',
  },
  'too-slow': {
    kms: 'RequestTimeoutException',
    dlm: 'RequestTimeoutException',
    json: 'RequestTimeoutException',
    query: 'RequestTimeout',
    ebs: 'RequestTimeoutException',
    ec2: 'RequestTimeout',
  },
  unavailable: {
    kms: 'KMSInternalException',
    dlm: 'InternalServerException',
    json: 'ServiceException',
    query: 'ServiceUnavailable',
    ebs: 'InternalServerException',
    ec2: 'Unavailable',
  },
  'no-space': {
    kms: 'KMSInternalException',
    dlm: 'InternalServerException',
    json: 'ServiceException',
    query: 'InternalFailure',
    ebs: 'InternalServerException',
    ec2: 'InsufficientCapacity',
  },
  'unknown-service': {
    kms: 'UnknownOperationException',
    dlm: 'UnknownOperationException',
    json: 'UnknownOperationException',
    query: 'InvalidAction',
    ebs: 'UnknownOperationException',
    ec2: 'InvalidAction',
  },
  'not-http': {
    kms: 'SerializationException',
    dlm: 'SerializationException',
    json: 'SerializationException',
    query: 'MalformedInput',
    ebs: 'SerializationException',
    ec2: 'MalformedHTTPRequest',
  },
  'headers-too-large': {
    kms: 'SerializationException',
    dlm: 'SerializationException',
    json: 'SerializationException',
    query: 'MalformedInput',
    ebs: 'SerializationException',
    ec2: 'MalformedHTTPRequest',
  },
};

const KINDS: Readonly<Record<ServiceName, Service>> = {
  lightsail: 'json',
  kms: 'kms',
  sts: 'query',
  iam: 'query',
  ebs: 'ebs',
  rbin: 'ebs',
  dlm: 'dlm',
  ec2: 'ec2',
};

/** A transport's trouble in the words of the service that the client speaks. */
export function transportError(service: ServiceName, trouble: TransportTrouble): ErrorReply {
  const message = MESSAGES[trouble];
  const code = CODES[trouble][KINDS[service]];
  const members: Record<string, string> = {};
  if (service === 'lightsail') members['code'] = code;
  if (service === 'ebs' && trouble === 'too-large') members['Reason'] = 'INVALID_BLOCK';
  return { code, message, status: STATUSES[trouble], members };
}
