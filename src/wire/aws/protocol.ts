/**
 * The AWS edge as pure functions: bytes to typed values and back. Nothing here does I/O or knows what a volume is.
 *
 * A server uses it in this order:
 *   1. read the head; `parseAuthorization(head)` (sigv4.ts) says who signed and for which region and service;
 *   2. `serviceOf(head, scopeService)` names the service before the body is read (null for an unsigned form post);
 *   3. read the bounded body; `verifySignature`, then `decodeChunkedBody` if the payload is aws-chunked (sigv4.ts);
 *   4. `routeRequest(request, scopeService)` names the operation: `modelled` operations can be decoded, `named` ones exist
 *      at AWS and are not in the model, the rest are errors of the service or, without a service, of nobody; a signature made
 *      for another service than the route's is refused as `wrong-scope`;
 *   5. `decodeRequest(service, operation, request)` gives the typed input, or throws WireError;
 *   6. the face answers with a value for `encodeReply`, or with an ErrorReply for `encodeError`.
 * Steps that fail answer with `encodeWireError`, `encodeAuthFailure`, `encodeUnknownOperation` or `encodeNotSupported`, which
 * speak each service's own words. An unsigned request of an unknown service is answered as EC2 would.
 */
import { assert, present } from '#base/assert.ts';
import { authErrorOf, type AuthFailure } from './auth-errors.ts';
import { decodeAwsJson, encodeAwsJson, encodeAwsJsonError } from './aws-json.ts';
import { decodeAwsQuery, encodeAwsQuery, encodeAwsQueryError } from './aws-query.ts';
import { decodeEc2Query, encodeEc2Error, encodeEc2Query } from './ec2-query.ts';
import { statusOfError } from './error-status.ts';
import type { HttpReply, HttpRequestParts } from './http.ts';
import { loadModel, type Model, type OperationModel, type ProtocolName } from './model.ts';
import type { InputOf, OperationName, OutputOf, ServiceName } from './operations.ts';
import { decodeRestJson, encodeRestJson, encodeRestJsonError } from './rest-json.ts';
import type { WireError } from './wire-error.ts';
import {
  internalErrorReply,
  lightsailMembers,
  notSupportedReply,
  unknownOperationReply,
  wireErrorReply,
  type ErrorReply,
} from './wire-errors.ts';

export { routeRequest, serviceOf, type Route } from './route.ts';
export type { ErrorReply };

export function protocolOf(service: ServiceName): ProtocolName {
  return loadModel(service).protocol;
}

/** The request as a validated input value. Throws WireError and nothing else. */
export function decodeRequest<S extends ServiceName, O extends OperationName<S>>(
  service: S,
  operation: O,
  request: HttpRequestParts,
): InputOf<S, O> {
  const model = loadModel(service);
  // The codec made the value by the same model as the type was made by.
  return decoders[model.protocol](model, operationOf(model, operation), request) as InputOf<S, O>;
}

/** The reply to a success, with the operation's own status. Members that are undefined are left out. */
export function encodeReply<S extends ServiceName, O extends OperationName<S>>(
  service: S,
  operation: O,
  output: OutputOf<S, O>,
  requestId: string,
): HttpReply {
  const model = loadModel(service);
  const operationModel = operationOf(model, operation);
  switch (model.protocol) {
    case 'awsJson1_1':
      return encodeAwsJson(model, operationModel, output, requestId);
    case 'ec2Query':
      return encodeEc2Query(model, { name: operation, model: operationModel }, output, requestId);
    case 'awsQuery':
      return encodeAwsQuery(model, { name: operation, model: operationModel }, output, requestId);
    case 'restJson1':
      return encodeRestJson(model, operationModel, output, requestId);
  }
}

export function encodeError(service: ServiceName, error: ErrorReply, requestId: string): HttpReply {
  const model = loadModel(service);
  const whole = {
    code: error.code,
    // Two SDKs show an empty message as "UnknownError".
    message: error.message === '' ? error.code : error.message,
    status: error.status ?? statusOfError(model, error.code),
    members: { ...defaultMembers(model, error.code), ...error.members },
  };
  assert(whole.status >= 400 && whole.status < 600, 'the status of an error is one');
  switch (model.protocol) {
    case 'awsJson1_1':
      return encodeAwsJsonError(whole, requestId);
    case 'ec2Query':
      return encodeEc2Error(whole, requestId);
    case 'awsQuery':
      return encodeAwsQueryError(model, whole, requestId);
    case 'restJson1':
      return encodeRestJsonError(model, whole, requestId);
  }
}

/** A request that its codec refused. */
export function encodeWireError(service: ServiceName, error: WireError, requestId: string): HttpReply {
  return encodeError(service, wireErrorReply(service, error), requestId);
}

/** A request whose signature was refused. */
export function encodeAuthFailure(service: ServiceName, failure: AuthFailure, requestId: string): HttpReply {
  return encodeError(service, authErrorOf(service, failure), requestId);
}

/** No such operation: `InvalidAction`, `UnknownOperationException`. */
export function encodeUnknownOperation(service: ServiceName, operation: string | null, requestId: string): HttpReply {
  return encodeError(service, unknownOperationReply(service, operation), requestId);
}

/** AWS has the operation, this server does not. */
export function encodeNotSupported(service: ServiceName, operation: string, requestId: string): HttpReply {
  return encodeError(service, notSupportedReply(service, operation), requestId);
}

/** Something broke on our side: the service's internal error, its message free of details. */
export function encodeInternalError(service: ServiceName, requestId: string): HttpReply {
  return encodeError(service, internalErrorReply(service), requestId);
}

/** Every modelled exception of Lightsail carries these; a face may say something better. */
function defaultMembers(model: Model, code: string): Readonly<Record<string, string>> {
  return model.service === 'lightsail' && model.errors.has(code) ? lightsailMembers(code) : {};
}

type Decoder = (model: Model, operation: OperationModel, request: HttpRequestParts) => unknown;

const decoders: Readonly<Record<ProtocolName, Decoder>> = {
  awsJson1_1: decodeAwsJson,
  ec2Query: decodeEc2Query,
  awsQuery: decodeAwsQuery,
  restJson1: decodeRestJson,
};

function operationOf(model: Model, name: string): OperationModel {
  return present(model.operations.get(name), `the ${model.service} model has the operation ${name}`);
}
