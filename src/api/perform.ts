import { assert, AssertionError } from '#base/assert.ts';
import { UnusableError } from '#base/unusable.ts';
import { isNoSpace } from '#base/no-space.ts';
import { isHostError } from '#control/host-failure.ts';
import { DomainError } from '#domain/errors.ts';
import type { HttpReply, HttpRequestParts } from '#wire/aws/http.ts';
import type { OperationName, ServiceName } from '#wire/aws/operations.ts';
import {
  decodeRequest,
  encodeError,
  encodeInternalError,
  encodeNotSupported,
  encodeReply,
  encodeWireError,
  type ErrorReply,
} from '#wire/aws/protocol.ts';
import { WireError } from '#wire/aws/wire-error.ts';
import { authorize } from './access/authorize.ts';
import type { Input, Plan } from './access/demand.ts';
import { planOf, planUnhandled } from './access/demands.ts';
import { denialOf } from './access/denial.ts';
import { type Answer, answerOf } from './answer.ts';
import { AwsRefusal } from './aws-error.ts';
import type { CallNote } from './call-note.ts';
import type { CallContext, Face, Handler } from './handler.ts';
import type { ServerParts } from './server-parts.ts';
import { transportError } from './transport-errors.ts';

/** What is called. `handler` null: the model has the operation, and this server does not. */
export interface Called {
  readonly face: Face;
  readonly handler: Handler<unknown, unknown> | null;
  readonly operation: string;
  readonly note: CallNote;
}

/**
 * One call: input, leave, handler, output. Nothing is done, and nothing is said of any resource, before everything that the
 * call needs is allowed. Never throws: whatever goes wrong is an answer, and is logged here when it is ours.
 */
export async function perform(
  parts: ServerParts,
  called: Called,
  context: CallContext,
  request: HttpRequestParts,
): Promise<Answer> {
  const { requestId, operation } = context;
  const { face, handler, note } = called;
  try {
    if (handler === null) {
      await requireLeave(parts, face.service, planUnhandled(face.service, operation), context, note);
      return answerOf(encodeNotSupported(face.service, operation, requestId), requestId, 'not-supported');
    }
    const input = decodeInput(face.service, operation, request);
    if (input.kind === 'refused') {
      return answerOf(encodeWireError(face.service, input.error, requestId), requestId, input.error.kind);
    }
    note.input = inputOf(input.value);
    const asked = { scope: context.scope, operation, input: note.input };
    await requireLeave(parts, face.service, planOf(face.service, asked, context.principal), context, note);
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

/** Decides the call and notes it. Throws the refusal of the service. */
async function requireLeave(
  parts: ServerParts,
  service: ServiceName,
  plan: Plan,
  context: CallContext,
  note: CallNote,
): Promise<void> {
  const verdict = await authorize(parts.ports, context, plan);
  note.verdict = verdict;
  if (verdict.denied !== null) throw denialOf(service, parts.ports, context.principal, verdict.denied);
}

function inputOf(value: unknown): Input {
  assert(typeof value === 'object' && value !== null, 'an input is a structure');
  return Object.fromEntries(Object.entries(value));
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

/** An invariant broke, or what the process stands on is lost: here or in something that this error wraps. */
export function isBroken(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 16; at = at.cause, depth += 1) {
    if (at instanceof AssertionError || at instanceof UnusableError) return true;
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
