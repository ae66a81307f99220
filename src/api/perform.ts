import { AssertionError } from '#base/assert.ts';
import { isNoSpace } from '#base/no-space.ts';
import { isHostError } from '#control/host-failure.ts';
import { DomainError } from '#domain/errors.ts';
import type { HttpReply, HttpRequestParts } from '#wire/aws/http.ts';
import type { OperationName, ServiceName } from '#wire/aws/operations.ts';
import {
  decodeRequest,
  encodeError,
  encodeInternalError,
  encodeReply,
  encodeWireError,
  type ErrorReply,
} from '#wire/aws/protocol.ts';
import { WireError } from '#wire/aws/wire-error.ts';
import { type Answer, answerOf } from './answer.ts';
import { AwsRefusal } from './aws-error.ts';
import type { CallContext, Face, Handler } from './handler.ts';
import type { ServerParts } from './server-parts.ts';
import { transportError } from './transport-errors.ts';

/** One call: input, handler, output. Never throws: whatever goes wrong is an answer, and is logged here when it is ours. */
export async function perform(
  parts: ServerParts,
  face: Face,
  handler: Handler<unknown, unknown>,
  context: CallContext,
  request: HttpRequestParts,
): Promise<Answer> {
  const { requestId, operation } = context;
  try {
    const input = decodeInput(face.service, operation, request);
    if (input.kind === 'refused') {
      return answerOf(encodeWireError(face.service, input.error, requestId), requestId, input.error.kind);
    }
    face.admit(context);
    const output = await handler(context, input.value);
    return answerOf(encodeOutput(face.service, operation, output, requestId), requestId, null);
  } catch (error) {
    const known = errorReplyOf(face, error, context);
    if (known !== null) return answerOf(encodeError(face.service, known, requestId), requestId, known.code);
    const { account, region } = context.scope;
    parts.ports.log.error('a request failed', {
      requestId,
      service: face.service,
      operation,
      account,
      region,
      error,
    });
    if (isBroken(error)) parts.onBroken(error);
    return answerOf(encodeInternalError(face.service, requestId), requestId, 'internal');
  }
}

/** A refusal in the service's words; null for what is our trouble. */
function errorReplyOf(face: Face, error: unknown, context: CallContext): ErrorReply | null {
  const { operation, requestId } = context;
  if (error instanceof AwsRefusal) return error.error;
  if (error instanceof DomainError) return face.mapFailure(error.failure, { operation, requestId });
  if (isHostError(error, 'unavailable')) {
    context.ports.log.warn('the volume host is not reachable', { requestId, operation, error });
    return transportError(face.service, 'unavailable');
  }
  if (isHostError(error, 'no-space') || isNoSpace(error)) {
    context.ports.log.error('a disk is full', { requestId, operation, error });
    return transportError(face.service, 'no-space');
  }
  return null;
}

/** An invariant broke here or in something that this error wraps. */
export function isBroken(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 16; at = at.cause, depth += 1) {
    if (at instanceof AssertionError) return true;
  }
  return false;
}

type Decoded =
  | { readonly kind: 'input'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly error: WireError };

/** A WireError is the client's only when the request's own decoding throws it. */
function decodeInput(service: ServiceName, operation: string, request: HttpRequestParts): Decoded {
  try {
    return { kind: 'input', value: decodeRequest(service, operation as OperationName<ServiceName>, request) };
  } catch (error) {
    if (error instanceof WireError) return { kind: 'refused', error };
    throw error;
  }
}

// The route gave `operation` as one of the model, and the face's handler is typed by it: only the server has lost the types.
function encodeOutput(service: ServiceName, operation: string, output: unknown, requestId: string): HttpReply {
  return encodeReply(service, operation as OperationName<ServiceName>, output as never, requestId);
}
