/** A request as a URL that anybody may send until it expires: the signature stands in the query. */
import { formatAmzDate } from '#wire/aws/amz-date.ts';
import {
  ALGORITHM,
  canonicalRequest,
  hmacHex,
  scopeText,
  sha256Hex,
  signingKey,
  stringToSign,
} from '#wire/aws/sigv4-canonical.ts';
import type { Credentials } from '#wire/aws/sigv4-sign.ts';
import { uriEncoded } from './encode-request.ts';

export interface PresignOptions {
  readonly credentials: Credentials;
  readonly region: string;
  readonly service: string;
  readonly nowMs: number;
  readonly expiresSeconds: number;
}

/** The query of a GET of `/` at the URL, with the signature added. `query`: percent-encoded, a blank may be a plus sign. */
export function presignedQuery(
  { url, query }: { readonly url: string; readonly query: string },
  { credentials, region, service, nowMs, expiresSeconds }: PresignOptions,
): string {
  const timestamp = formatAmzDate(nowMs);
  const scope = { date: timestamp.slice(0, 8), region, service };
  const added: [string, string][] = [
    ['X-Amz-Algorithm', ALGORITHM],
    ['X-Amz-Credential', `${credentials.accessKeyId}/${scopeText(scope)}`],
    ['X-Amz-Date', timestamp],
    ['X-Amz-Expires', String(expiresSeconds)],
    ['X-Amz-SignedHeaders', 'host'],
  ];
  if (credentials.sessionToken !== undefined) added.push(['X-Amz-Security-Token', credentials.sessionToken]);
  const parameters = added.map(([name, value]) => `${name}=${uriEncoded(value)}`);
  const whole = [query.replaceAll('+', '%20'), ...parameters].join('&');
  const head = { method: 'GET', path: '/', query: whole, headers: [['Host', new URL(url).host]] as const };
  const canonical = canonicalRequest(head, ['host'], sha256Hex(''));
  const signature = hmacHex(signingKey(credentials.secretAccessKey, scope), stringToSign(timestamp, scope, canonical));
  return `${whole}&X-Amz-Signature=${signature}`;
}
