import type { IncomingMessage } from 'node:http';
import type { AccessKey } from '#control/access.ts';
import type { Caller } from '#control/identity/callers.ts';
import { findRegion } from '#domain/region.ts';
import type { RegionName } from '#domain/ids.ts';
import type { AuthFailure } from '#wire/aws/auth-errors.ts';
import type { HttpRequestParts, RequestHead } from '#wire/aws/http.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { routeRequest, serviceOf } from '#wire/aws/protocol.ts';
import { decodeChunkedBody, parseAuthorization, verifySignature, type Authorization } from '#wire/aws/sigv4.ts';
import { type BodyBudget, readBody, type BodyTrouble } from './body.ts';
import type { ServerParts } from './server-parts.ts';

/** A request whose signature, time, key and region hold. */
export interface Authenticated {
  readonly kind: 'authenticated';
  readonly service: ServiceName | null;
  readonly authorization: Authorization;
  readonly caller: Caller;
  readonly region: RegionName;
  readonly request: HttpRequestParts;
}

export type Authentication =
  | Authenticated
  | {
      readonly kind: 'refused';
      readonly service: ServiceName | null;
      readonly failure: AuthFailure;
      /** As the request claims; null: it claims none. */
      readonly accessKeyId: string | null;
    }
  | { readonly kind: 'no-body'; readonly service: ServiceName | null; readonly trouble: BodyTrouble };

/** Bytes of bodies that a request holds until it is answered. */
export interface BodyHold {
  take(budget: BodyBudget, bytes: number): void;
}

/**
 * Reads a request and decides whose it is. What can be refused by the head alone (no such key, a clock that is off, a
 * signature that does not need the body) is refused before the body is kept.
 */
export async function authenticate(
  parts: ServerParts,
  incoming: IncomingMessage,
  head: RequestHead,
  hold: BodyHold,
): Promise<Authentication> {
  const parsed = parseAuthorization(head);
  if (parsed.kind === 'failed') return await refuseUnsigned(parts, incoming, head, parsed.failure, hold);
  const { authorization } = parsed;
  const service = serviceOf(head, authorization.service);

  const { accessKeyId } = authorization;
  const refused = (failure: AuthFailure): Authentication => ({ kind: 'refused', service, failure, accessKeyId });
  const isBlock = putsBlock(head, authorization);
  const lookup = await parts.findCaller(accessKeyId, authorization.sessionToken);
  const early =
    lookup.kind !== 'found'
      ? UNFOUND[lookup.kind]
      : // Whoever overhears another request could put any call into it.
        authorization.payload.kind === 'unsigned' && !isBlock
        ? ({ kind: 'bad-signature' } as const)
        : judge(parts, head, authorization, lookup.caller.key, null);
  if (lookup.kind !== 'found' || early !== null) {
    await dropBody(parts, incoming);
    return refused(early ?? UNFOUND.unknown);
  }
  const { caller } = lookup;
  const { key } = caller;

  const bytesMax = isBlock ? parts.limits.blockBodyBytesMax : parts.limits.bodyBytesMax;
  const framingBytesMax = authorization.payload.kind === 'chunked' ? parts.limits.chunkedFramingBytesMax : 0;
  const body = await readBody(
    incoming,
    {
      bytesMax: bytesMax + framingBytesMax,
      timeoutMs: parts.limits.bodyTimeoutMs,
      dropBytesMax: parts.limits.dropBytesMax,
    },
    parts.bodies,
    parts.ports.clock,
  );
  if (body.kind === 'trouble') return { kind: 'no-body', service, trouble: body.trouble };
  hold.take(parts.bodies, body.bytes.length);

  const failure = judge(parts, head, authorization, key, body.bytes);
  if (failure !== null) return refused(failure);
  let bytes: Uint8Array = body.bytes;
  if (authorization.payload.kind === 'chunked') {
    const decoded = decodeChunkedBody(authorization, key.secretAccessKey, body.bytes);
    if (decoded.kind === 'failed') return refused(decoded.failure);
    bytes = decoded.body;
  }
  if (bytes.length > bytesMax) return { kind: 'no-body', service, trouble: 'too-large' };

  const region = findRegion(authorization.region);
  if (region === null) return refused(wrongRegion(authorization.region));
  const request = { ...head, body: bytes };
  return { kind: 'authenticated', service, authorization, caller, region: region.name, request };
}

const UNFOUND = {
  unknown: { kind: 'unknown-key' },
  expired: { kind: 'expired-token' },
} as const satisfies Record<string, AuthFailure>;

function judge(
  parts: ServerParts,
  head: RequestHead,
  authorization: Authorization,
  key: AccessKey,
  body: Uint8Array | null,
): AuthFailure | null {
  const { secretAccessKey } = key;
  return verifySignature(head, authorization, { secretAccessKey, nowMs: parts.ports.clock.nowMs(), body });
}

function wrongRegion(region: string): AuthFailure {
  return { kind: 'wrong-scope', reason: `Credential should be scoped to a valid Region, not '${region}'.` };
}

/** Nobody's request: its body, if short, tells which service's words the refusal should have. */
async function refuseUnsigned(
  parts: ServerParts,
  incoming: IncomingMessage,
  head: RequestHead,
  failure: AuthFailure,
  hold: BodyHold,
): Promise<Authentication> {
  const { limits, anonymousBodies, ports } = parts;
  const body = await readBody(
    incoming,
    {
      bytesMax: limits.anonymousBodyBytesMax,
      timeoutMs: limits.bodyTimeoutMs,
      dropBytesMax: limits.dropBytesMax,
    },
    anonymousBodies,
    ports.clock,
  );
  if (body.kind === 'trouble') return { kind: 'refused', service: serviceOf(head, null), failure, accessKeyId: null };
  hold.take(anonymousBodies, body.bytes.length);
  const route = routeRequest({ ...head, body: body.bytes }, null);
  const service = route.kind === 'unknown-service' ? null : route.service;
  return { kind: 'refused', service, failure, accessKeyId: null };
}

async function dropBody(parts: ServerParts, incoming: IncomingMessage): Promise<void> {
  const { bodyTimeoutMs: timeoutMs, dropBytesMax } = parts.limits;
  await readBody(incoming, { bytesMax: 0, timeoutMs, dropBytesMax }, parts.bodies, parts.ports.clock);
}

/** The one operation whose body AWS's clients do not sign: a checksum covers it. */
function putsBlock(head: RequestHead, authorization: Authorization): boolean {
  const route = routeRequest({ ...head, body: NO_BYTES }, authorization.service);
  return route.kind === 'modelled' && route.service === 'ebs' && route.operation === 'PutSnapshotBlock';
}

const NO_BYTES = new Uint8Array(0);
