/** Finds and reads the signature of a request; whether it is right is for sigv4.ts to say. */
import { formatAmzDate, parseAmzDate } from './amz-date.ts';
import type { AuthFailure } from './auth-errors.ts';
import { headerValue, type RequestHead } from './http.ts';
import { ALGORITHM, CHUNKED_PAYLOAD, UNSIGNED_PAYLOAD } from './sigv4-canonical.ts';

/** A presigned request lives at most a week. */
const EXPIRES_SEC_MAX = 7 * 24 * 3600;
/** When a presigned request does not say: what AWS assumes. */
const EXPIRES_SEC_DEFAULT = 900;

export type SignedPayload =
  /** No hash was promised: the body's own is signed. */
  | { readonly kind: 'body-hash' }
  | { readonly kind: 'unsigned' }
  | { readonly kind: 'hash'; readonly sha256Hex: string }
  /** Each chunk of the body carries a signature. */
  | { readonly kind: 'chunked' };

export interface Authorization {
  readonly form: 'header' | 'presigned';
  readonly accessKeyId: string;
  /** `20261120`, the day of the credential scope. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
  /** Lower-case, in the order in which they were signed. */
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  /** `20261120T141614Z`, and the same instant. */
  readonly timestamp: string;
  readonly timestampMs: number;
  /** Lifetime of a presigned request in seconds, null for a header signature. */
  readonly expiresSec: number | null;
  readonly sessionToken: string | null;
  readonly payload: SignedPayload;
}

export type ParsedAuthorization =
  | { readonly kind: 'parsed'; readonly authorization: Authorization }
  | { readonly kind: 'failed'; readonly failure: AuthFailure };

/** The signature of a request, from its Authorization header or its query. `missing` when there is none. Pure; checks no time and no key. */
export function parseAuthorization(head: RequestHead): ParsedAuthorization {
  const header = headerValue(head.headers, 'authorization');
  if (header !== null) return parseParts(head, 'header', header);
  const query = queryValues(head.query);
  if (query.has('X-Amz-Signature') || query.has('X-Amz-Algorithm')) return parseParts(head, 'presigned', query);
  return { kind: 'failed', failure: { kind: 'missing' } };
}

/** The parts of a signature by the names that the Authorization header gives them. */
interface Parts {
  readonly credential: string | null;
  readonly signedHeaders: string | null;
  readonly signature: string | null;
  readonly timestamp: string | null;
  readonly expires: string | null;
  readonly sessionToken: string | null;
  readonly contentHash: string | null;
}

function parseParts(
  head: RequestHead,
  form: 'header' | 'presigned',
  source: string | ReadonlyMap<string, string>,
): ParsedAuthorization {
  const parts = typeof source === 'string' ? headerParts(head, source) : queryParts(head, source);
  if (typeof parts === 'string') return malformed(parts);
  const { credential, signature, signedHeaders, timestamp } = parts;
  if (credential === null || signature === null || signedHeaders === null || timestamp === null) {
    return malformed(missingParts(parts));
  }
  const scope = credential.split('/');
  const [date = '', region = '', service = '', terminator] = scope.slice(-4);
  const accessKeyId = scope.slice(0, -4).join('/');
  if (accessKeyId === '' || terminator !== 'aws4_request' || region === '' || service === '') {
    return malformed(
      `Credential must have the form <access key id>/YYYYMMDD/region/service/aws4_request, got ${credential.slice(0, 128)}.`,
    );
  }
  const timestampMs = parseAmzDate(timestamp);
  if (timestampMs === null)
    return malformed(`Date must be in ISO-8601 'basic format'. Got '${timestamp.slice(0, 32)}'.`);
  if (date !== timestamp.slice(0, 8)) {
    const reason = `Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '${date.slice(0, 16)}' != '${timestamp.slice(0, 8)}'.`;
    return { kind: 'failed', failure: { kind: 'wrong-scope', reason } };
  }
  if (!/^[0-9a-f]{64}$/.test(signature)) return malformed('Signature must be 64 hexadecimal digits.');
  const names = signedHeaders.split(';');
  const unsigned = unsignedHeader(head, names);
  if (unsigned !== null) return malformed(`'${unsigned}' must be a 'SignedHeader' in the AWS Authorization.`);
  const expiresSec = form === 'presigned' ? expiresOf(parts.expires) : null;
  if (expiresSec === 'bad') return malformed(`X-Amz-Expires must be between 0 and ${EXPIRES_SEC_MAX} seconds.`);
  const payload = payloadOf(parts.contentHash);
  if (payload === null)
    return malformed('x-amz-content-sha256 must be a SHA-256, UNSIGNED-PAYLOAD or STREAMING-AWS4-HMAC-SHA256-PAYLOAD.');
  const { sessionToken } = parts;
  return {
    kind: 'parsed',
    authorization: {
      form,
      accessKeyId,
      date,
      region,
      service,
      signedHeaders: names,
      signature,
      timestamp,
      timestampMs,
      expiresSec,
      sessionToken,
      payload,
    },
  };
}

/** A reason in words when the header is not of this algorithm. */
function headerParts(head: RequestHead, header: string): Parts | string {
  const [, algorithm = '', rest = ''] = /^\s*(\S+)\s*(.*)$/s.exec(header) ?? [];
  if (algorithm !== ALGORITHM) return `Unsupported algorithm in the Authorization header: ${algorithm.slice(0, 64)}.`;
  const named = new Map<string, string>();
  for (const part of rest.split(',')) {
    const mark = part.indexOf('=');
    if (mark !== -1) named.set(part.slice(0, mark).trim(), part.slice(mark + 1).trim());
  }
  return {
    credential: named.get('Credential') ?? null,
    signedHeaders: named.get('SignedHeaders') ?? null,
    signature: named.get('Signature') ?? null,
    timestamp: headerValue(head.headers, 'x-amz-date') ?? dateHeader(head),
    expires: null,
    sessionToken: headerValue(head.headers, 'x-amz-security-token'),
    contentHash: headerValue(head.headers, 'x-amz-content-sha256'),
  };
}

function queryParts(head: RequestHead, query: ReadonlyMap<string, string>): Parts | string {
  const algorithm = query.get('X-Amz-Algorithm') ?? '';
  if (algorithm !== ALGORITHM) return `Unsupported algorithm in X-Amz-Algorithm: ${algorithm.slice(0, 64)}.`;
  return {
    credential: query.get('X-Amz-Credential') ?? null,
    signedHeaders: query.get('X-Amz-SignedHeaders') ?? null,
    signature: query.get('X-Amz-Signature') ?? null,
    timestamp: query.get('X-Amz-Date') ?? null,
    expires: query.get('X-Amz-Expires') ?? null,
    sessionToken: query.get('X-Amz-Security-Token') ?? null,
    contentHash: query.get('X-Amz-Content-Sha256') ?? headerValue(head.headers, 'x-amz-content-sha256'),
  };
}

function missingParts(parts: Parts): string {
  const names = [
    parts.credential === null ? "'Credential'" : null,
    parts.signature === null ? "'Signature'" : null,
    parts.signedHeaders === null ? "'SignedHeaders'" : null,
  ].filter((name) => name !== null);
  const reasons = names.map((name) => `Authorization header requires ${name} parameter.`);
  if (parts.timestamp === null) {
    reasons.push("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.");
  }
  return reasons.join(' ');
}

/** The Date header as a signature would write it. */
function dateHeader(head: RequestHead): string | null {
  const date = headerValue(head.headers, 'date');
  if (date === null) return null;
  if (parseAmzDate(date) !== null) return date;
  const ms = Date.parse(date);
  return Number.isNaN(ms) ? null : formatAmzDate(ms);
}

/** Headers of ours that carry no meaning for the request: user agents, and what a proxy may add. */
const meaningless = /^x-amz-(user-agent|cf-id|content-sha256)$/;

/** The name of a header that must be signed and is not. The host because of redirection, x-amz-… because they are parameters. */
function unsignedHeader(head: RequestHead, signed: readonly string[]): string | null {
  if (!signed.includes('host') && !signed.includes(':authority')) return 'host';
  for (const [given] of head.headers) {
    const name = given.toLowerCase();
    if (name.startsWith('x-amz-') && !meaningless.test(name) && !signed.includes(name)) return name;
  }
  const present = new Set(head.headers.map(([name]) => name.toLowerCase()));
  return signed.find((name) => !present.has(name)) ?? null;
}

function expiresOf(text: string | null): number | 'bad' {
  if (text === null) return EXPIRES_SEC_DEFAULT;
  const seconds = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  return seconds <= EXPIRES_SEC_MAX ? seconds : 'bad';
}

function payloadOf(contentHash: string | null): SignedPayload | null {
  if (contentHash === null) return { kind: 'body-hash' };
  if (contentHash === UNSIGNED_PAYLOAD) return { kind: 'unsigned' };
  if (contentHash === CHUNKED_PAYLOAD) return { kind: 'chunked' };
  return /^[0-9a-f]{64}$/.test(contentHash) ? { kind: 'hash', sha256Hex: contentHash } : null;
}

/** The first value of each name. */
function queryValues(query: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const part of query.split('&')) {
    const [name = '', ...rest] = part.split('=');
    const value = rest.join('=');
    try {
      const decodedName = decodeURIComponent(name);
      if (!values.has(decodedName)) values.set(decodedName, decodeURIComponent(value));
    } catch {
      // Not a parameter of a signature, then; the signature itself is taken over the raw query.
    }
  }
  return values;
}

function malformed(reason: string): ParsedAuthorization {
  return { kind: 'failed', failure: { kind: 'malformed', reason } };
}
