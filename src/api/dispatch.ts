import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { uuid } from '#base/random.ts';
import type { Principal } from '#domain/principal.ts';
import { headerValue, type HttpRequestParts, type RequestHead } from '#wire/aws/http.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import {
  encodeAuthFailure,
  encodeError,
  encodeNotSupported,
  encodeUnknownOperation,
  routeRequest,
} from '#wire/aws/protocol.ts';
import { type Answer, answerOf } from './answer.ts';
import { authenticate, type Authenticated, type BodyHold } from './authenticate.ts';
import { type Arrival, callAccess } from './access/call-access.ts';
import { CallNote } from './call-note.ts';
import { answerDurably, isKept } from './durable-replay.ts';
import type { CallContext } from './handler.ts';
import { type Called, perform } from './perform.ts';
import type { ServerParts } from './server-parts.ts';
import { transportError, type TransportTrouble } from './transport-errors.ts';

/** What a request turned out to be, for the log. */
export interface Dispatched {
  readonly answer: Answer;
  readonly service: ServiceName | null;
  readonly operation: string | null;
  readonly accessKeyId: string | null;
  /** Null: the request is nobody's. */
  readonly principal: Principal | null;
  readonly region: string | null;
  /** What was decided about it; null: it did not come to that. */
  readonly note: CallNote | null;
}

/** Answers one request, from its head to the bytes of its reply. Null: the client went away. */
export async function dispatch(
  parts: ServerParts,
  incoming: IncomingMessage,
  head: RequestHead,
  hold: BodyHold,
  arrival: Arrival,
): Promise<Dispatched | null> {
  const requestId = uuid(parts.ports.random);
  const who = await authenticate(parts, incoming, head, hold);
  const speaker = who.service ?? speakerOf(head);
  if (who.kind === 'no-body') {
    if (who.trouble === 'gone') return null;
    const trouble = who.trouble === 'no-room' ? 'unavailable' : who.trouble;
    return unrouted(troubled(speaker, trouble, requestId), who.service);
  }
  if (who.kind === 'refused') {
    const answer = answerOf(encodeAuthFailure(speaker, who.failure, requestId), requestId, who.failure.kind);
    return { ...unrouted(answer, who.service), accessKeyId: who.accessKeyId };
  }

  const { caller } = who;
  const { accessKeyId, service: scopeService } = who.authorization;
  const route = routeRequest(who.request, scopeService);
  if (route.kind === 'unknown-service') {
    const answer = troubled(speaker, 'unknown-service', requestId);
    return { ...unrouted(answer, null), accessKeyId, principal: caller.principal, region: who.region };
  }
  const { service, operation } = route;
  const { principal } = caller;
  const tell = (answer: Answer, note: CallNote | null = null): Dispatched => {
    return { answer, service, operation, accessKeyId, principal, region: who.region, note };
  };
  if (service !== scopeService) {
    const reason = `Credential should be scoped to correct service: '${service}'.`;
    return tell(
      answerOf(encodeAuthFailure(service, { kind: 'wrong-scope', reason }, requestId), requestId, 'wrong-scope'),
    );
  }
  if (route.kind === 'unknown-operation') {
    return tell(answerOf(encodeUnknownOperation(service, operation, requestId), requestId, 'unknown-operation'));
  }
  parts.uses.note(caller, service, who.region);
  const face = parts.faces.get(service);
  const handler = face?.handlers.get(route.operation) ?? null;
  if (face === undefined) {
    return tell(answerOf(encodeNotSupported(service, route.operation, requestId), requestId, 'not-supported'));
  }
  const note = new CallNote();
  return tell(await call(parts, { face, handler, operation: route.operation, note }, who, requestId, arrival), note);
}

/** Performs a call, or joins or repeats one that this is another attempt of; gives up waiting at the deadline. */
async function call(
  parts: ServerParts,
  called: Called,
  who: Authenticated,
  requestId: string,
  arrival: Arrival,
): Promise<Answer> {
  const { ports, limits, running } = parts;
  const { face, operation } = called;
  const invocationId = invocationIdOf(who.request);
  const deadline = new AbortController();
  const context: CallContext = {
    ports,
    scope: { account: who.caller.key.account, region: who.region },
    accessKeyId: who.caller.key.accessKeyId,
    principal: who.caller.principal,
    access: callAccess(who.caller, who.region, arrival),
    requestId,
    operation,
    invocationId,
    signal: AbortSignal.any([deadline.signal, parts.stopping]),
  };
  const start = (): Promise<Answer> => {
    if (running.size >= limits.callsRunningMax)
      return Promise.resolve(troubled(face.service, 'unavailable', requestId));
    const answer = perform(parts, called, context, who.request);
    running.add(answer);
    void answer.finally(() => running.delete(answer)); // perform never rejects.
    return answer;
  };
  const isRepeatable = called.handler === null || !face.mutates(operation);
  const answer =
    invocationId === null || isRepeatable
      ? start()
      : replayed(parts, face.service, context, callKey(context, face.service, invocationId, who.request), start);

  const timer = new AbortController();
  const late = ports.clock.sleep(limits.callTimeoutMs, timer.signal).then(
    () => {
      deadline.abort(new Error(`${operation} took longer than ${limits.callTimeoutMs} ms`));
      ports.log.warn('a request took too long', { requestId, service: face.service, operation });
      void noteLateEnd(parts, called, requestId, answer);
      return troubled(face.service, 'unavailable', requestId);
    },
    () => answer,
  );
  try {
    return await Promise.race([answer, late]);
  } finally {
    timer.abort();
  }
}

/**
 * What was begun is not broken off in the middle: it goes on to its end, which the client learns by asking again, and the
 * operator here. What only reads ends by its signal.
 */
async function noteLateEnd(
  { ports }: ServerParts,
  { face, operation }: Called,
  requestId: string,
  answer: Promise<Answer>,
): Promise<void> {
  const beganMs = ports.clock.monotonicMs();
  const end = await answer.then(
    ({ reply: { status }, code: errorCode }) => ({ status, errorCode }),
    (error: unknown) => ({ error }),
  );
  const lateMs = Math.round(ports.clock.monotonicMs() - beganMs);
  const what = { requestId, service: face.service, operation };
  ports.log.warn('a request that took too long ended', { ...what, ...end, lateMs });
}

/** A call that may be a repetition: in memory the answer of the first is known, of some calls also in the metadata. */
function replayed(
  { replay }: ServerParts,
  service: ServiceName,
  context: CallContext,
  key: string,
  start: () => Promise<Answer>,
): Promise<Answer> {
  const durable = isKept(service, context.operation);
  return replay.answer(key, durable ? () => answerDurably(context, key, start) : start);
}

/** SDKs send a UUID; what is much longer is not one, and would be kept as a token. */
const INVOCATION_ID_LENGTH_MAX = 128;

function invocationIdOf(request: HttpRequestParts): string | null {
  const id = headerValue(request.headers, 'amz-sdk-invocation-id');
  return id === null || id === '' || id.length > INVOCATION_ID_LENGTH_MAX ? null : id;
}

/** Equal for the attempts of one call, and for nothing else. */
function callKey(context: CallContext, service: ServiceName, invocationId: string, request: HttpRequestParts): string {
  const hash = createHash('sha256');
  const parts = [
    context.accessKeyId,
    context.scope.region,
    service,
    context.operation,
    invocationId,
    request.method,
    request.path,
    request.query,
  ];
  hash.update(JSON.stringify(parts));
  hash.update(request.body);
  return hash.digest('base64');
}

function troubled(service: ServiceName, trouble: TransportTrouble, requestId: string): Answer {
  const error = transportError(service, trouble);
  return answerOf(encodeError(service, error, requestId), requestId, error.code);
}

function unrouted(answer: Answer, service: ServiceName | null): Dispatched {
  return { answer, service, operation: null, accessKeyId: null, principal: null, region: null, note: null };
}

/** Whose words to use with a client of no service of ours: JSON to who speaks JSON, else EC2's XML. */
function speakerOf(head: RequestHead): ServiceName {
  const json =
    headerValue(head.headers, 'x-amz-target') !== null ||
    (headerValue(head.headers, 'content-type') ?? '').startsWith('application/x-amz-json');
  return json ? 'lightsail' : 'ec2';
}
