/**
 * The text that Signature Version 4 signs. Everything is taken as sent: header values and paths are strings of bytes (as node
 * gives them), so hashing them as Latin-1 hashes what was on the wire.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { HeaderList, RequestHead } from './http.ts';

export const ALGORITHM = 'AWS4-HMAC-SHA256';
export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';
export const CHUNKED_PAYLOAD = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';

export interface CredentialScope {
  /** `20261120`. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

export function scopeText({ date, region, service }: CredentialScope): string {
  return `${date}/${region}/${service}/aws4_request`;
}

export function sha256Hex(content: Uint8Array | string): string {
  const hash = createHash('sha256');
  return (typeof content === 'string' ? hash.update(content, 'latin1') : hash.update(content)).digest('hex');
}

/** `signedHeaders` in the order in which they are named; `payloadHash` is a hash or one of the words for its absence. */
export function canonicalRequest(head: RequestHead, signedHeaders: readonly string[], payloadHash: string): string {
  const values = valuesByName(head.headers);
  const headers = signedHeaders.map((name) => `${name}:${values.get(name) ?? ''}\n`).join('');
  return [
    head.method,
    canonicalPath(head.path),
    canonicalQuery(head.query),
    headers,
    signedHeaders.join(';'),
    payloadHash,
  ].join('\n');
}

export function stringToSign(timestamp: string, scope: CredentialScope, canonical: string): string {
  return [ALGORITHM, timestamp, scopeText(scope), sha256Hex(canonical)].join('\n');
}

export function hmacHex(key: Uint8Array, text: string): string {
  return createHmac('sha256', key).update(text, 'latin1').digest('hex');
}

/** Compares without telling by the time it takes where two texts differ. */
export function equalHex(left: string, right: string): boolean {
  const leftBytes = Buffer.from(left, 'latin1');
  const rightBytes = Buffer.from(right, 'latin1');
  return leftBytes.length === rightBytes.length && timingSafeEqual(leftBytes, rightBytes);
}

/** Derived keys, which cost four hashes; the oldest goes when there are too many. */
const keys = new Map<string, Uint8Array>();
const KEY_COUNT_MAX = 256;

export function signingKey(secretAccessKey: string, scope: CredentialScope): Uint8Array {
  const name = `${secretAccessKey}\n${scopeText(scope)}`;
  const known = keys.get(name);
  if (known !== undefined) return known;
  const date = hmac(`AWS4${secretAccessKey}`, scope.date);
  const key = hmac(hmac(hmac(date, scope.region), scope.service), 'aws4_request');
  const [oldest] = keys.keys();
  if (keys.size >= KEY_COUNT_MAX && oldest !== undefined) keys.delete(oldest);
  keys.set(name, key);
  return key;
}

function hmac(key: Uint8Array | string, text: string): Uint8Array {
  return createHmac('sha256', key).update(text).digest();
}

/** Services other than S3: dots and empty segments are resolved, then each segment, already encoded, is encoded once more. */
function canonicalPath(path: string): string {
  const segments: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment === '..') segments.pop();
    else segments.push(encoded(segment));
  }
  const trailing = segments.length > 0 && path.endsWith('/') ? '/' : '';
  return `/${segments.join('/')}${trailing}`;
}

function canonicalQuery(query: string): string {
  const pairs: [string, string][] = [];
  for (const part of query.split('&')) {
    if (part === '') continue;
    const mark = part.indexOf('=');
    const name = mark === -1 ? part : part.slice(0, mark);
    const value = mark === -1 ? '' : part.slice(mark + 1);
    const encodedName = encoded(unescaped(name));
    if (encodedName !== 'X-Amz-Signature') pairs.push([encodedName, encoded(unescaped(value))]);
  }
  pairs.sort(
    ([leftName, leftValue], [rightName, rightValue]) => compare(leftName, rightName) || compare(leftValue, rightValue),
  );
  return pairs.map(([name, value]) => `${name}=${value}`).join('&');
}

function valuesByName(headers: HeaderList): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    const clean = value.trim().replace(/[ \t]+/g, ' ');
    const earlier = values.get(key);
    values.set(key, earlier === undefined ? clean : `${earlier},${clean}`);
  }
  return values;
}

/** Percent-encodes every byte of a Latin-1 string that RFC 3986 does not leave alone. */
function encoded(text: string): string {
  return text.replace(
    /[^A-Za-z0-9_.~-]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

/** Undoes percent-encoding byte by byte; what is no escape stays. */
function unescaped(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
