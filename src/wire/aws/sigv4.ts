/**
 * Signature Version 4: parse first, look the key up, then verify; the lookup is the caller's and may wait.
 *
 * A signature stands in the Authorization header or, presigned, in the query. It covers the method, path, query, the headers
 * that it names and the hash of the body, which may be promised by x-amz-content-sha256, left out (UNSIGNED-PAYLOAD), or come
 * in pieces (aws-chunked: sigv4-chunked.ts). A header that changes what a request means must be among those that are signed.
 */
import type { AuthFailure } from './auth-errors.ts';
import type { RequestHead } from './http.ts';
import type { Authorization, SignedPayload } from './sigv4-authorization.ts';
import {
  canonicalRequest,
  CHUNKED_PAYLOAD,
  equalHex,
  hmacHex,
  sha256Hex,
  signingKey,
  stringToSign,
  UNSIGNED_PAYLOAD,
} from './sigv4-canonical.ts';

export { parseAuthorization, type Authorization, type ParsedAuthorization } from './sigv4-authorization.ts';
export { decodeChunkedBody } from './sigv4-chunked.ts';

/** How far a client's clock may be off. */
export const SKEW_MS_MAX = 5 * 60_000;

/** Checks time and signature. Null: it holds. Give `body` once it is whole; the hash that the header promises is compared with it. */
export function verifySignature(
  head: RequestHead,
  authorization: Authorization,
  options: {
    readonly secretAccessKey: string;
    readonly nowMs: number;
    readonly skewMsMax?: number;
    /** Null before it is read: then only a payload of kind `body-hash` cannot be judged. */
    readonly body: Uint8Array | null;
  },
): AuthFailure | null {
  const { secretAccessKey, nowMs, body, skewMsMax = SKEW_MS_MAX } = options;
  const untimely = judgeTime(authorization, nowMs, skewMsMax);
  if (untimely !== null) return untimely;
  const { payload } = authorization;
  if (payload.kind === 'body-hash' && body === null) return null;

  const payloadHash = payloadHashOf(payload, body);
  const canonical = canonicalRequest(head, authorization.signedHeaders, payloadHash);
  const text = stringToSign(authorization.timestamp, authorization, canonical);
  const expected = hmacHex(signingKey(secretAccessKey, authorization), text);
  if (!equalHex(expected, authorization.signature)) return { kind: 'bad-signature' };
  if (payload.kind === 'hash' && body !== null && !equalHex(sha256Hex(body), payload.sha256Hex)) {
    return { kind: 'bad-payload-hash' };
  }
  return null;
}

function judgeTime(authorization: Authorization, nowMs: number, skewMsMax: number): AuthFailure | null {
  const { timestampMs: atMs, expiresSec } = authorization;
  if (atMs - nowMs > skewMsMax) return { kind: 'skewed', atMs, nowMs, skewMsMax };
  if (expiresSec === null) return nowMs - atMs > skewMsMax ? { kind: 'skewed', atMs, nowMs, skewMsMax } : null;
  const endMs = atMs + expiresSec * 1000;
  return nowMs >= endMs ? { kind: 'expired', atMs: endMs, nowMs } : null;
}

function payloadHashOf(payload: SignedPayload, body: Uint8Array | null): string {
  switch (payload.kind) {
    case 'body-hash':
      return sha256Hex(body ?? new Uint8Array(0));
    case 'unsigned':
      return UNSIGNED_PAYLOAD;
    case 'hash':
      return payload.sha256Hex;
    case 'chunked':
      return CHUNKED_PAYLOAD;
  }
}
