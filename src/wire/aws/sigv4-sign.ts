/** Signs requests as a client does: for the command line and for tests. */
import { formatAmzDate } from './amz-date.ts';
import type { HeaderList, RequestHead } from './http.ts';
import {
  ALGORITHM,
  canonicalRequest,
  hmacHex,
  scopeText,
  sha256Hex,
  signingKey,
  stringToSign,
  UNSIGNED_PAYLOAD,
} from './sigv4-canonical.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

export interface SignOptions {
  readonly credentials: Credentials;
  readonly region: string;
  readonly service: string;
  readonly nowMs: number;
}

/** The headers of the request with date, token and signature added. All given headers are signed, so `Host` must be among them. `body` null: unsigned. */
export function signRequest(head: RequestHead, body: Uint8Array | null, options: SignOptions): HeaderList {
  const { credentials, region, service, nowMs } = options;
  const timestamp = formatAmzDate(nowMs);
  const headers: [string, string][] = head.headers.map(([name, value]) => [name, value]);
  headers.push(['X-Amz-Date', timestamp]);
  if (credentials.sessionToken !== undefined) headers.push(['X-Amz-Security-Token', credentials.sessionToken]);
  if (body === null) headers.push(['X-Amz-Content-Sha256', UNSIGNED_PAYLOAD]);
  const scope = { date: timestamp.slice(0, 8), region, service };
  const signedHeaders = [...new Set(headers.map(([name]) => name.toLowerCase()))].sort();
  const payloadHash = body === null ? UNSIGNED_PAYLOAD : sha256Hex(body);
  const canonical = canonicalRequest({ ...head, headers }, signedHeaders, payloadHash);
  const key = signingKey(credentials.secretAccessKey, scope);
  const signature = hmacHex(key, stringToSign(timestamp, scope, canonical));
  const credential = `${credentials.accessKeyId}/${scopeText(scope)}`;
  headers.push([
    'Authorization',
    `${ALGORITHM} Credential=${credential}, SignedHeaders=${signedHeaders.join(';')}, Signature=${signature}`,
  ]);
  return headers;
}
