/**
 * Bodies that are signed piece by piece (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`): each chunk is
 * `<hex length>;chunk-signature=<hex>\r\n<bytes>\r\n`, the last one is empty. A chunk's signature covers the one before it,
 * the first one's the signature of the head, so that no chunk can be dropped, repeated or moved.
 */
import type { AuthFailure } from './auth-errors.ts';
import type { Authorization } from './sigv4-authorization.ts';
import { equalHex, hmacHex, scopeText, sha256Hex, signingKey } from './sigv4-canonical.ts';

const emptyHash = sha256Hex('');
/** `ffffffff;chunk-signature=` and 64 digits, with room to spare. */
const CHUNK_HEAD_BYTES_MAX = 128;

/** Verifies the chunk signatures of an aws-chunked body and gives the bytes without the framing. */
export function decodeChunkedBody(
  authorization: Authorization,
  secretAccessKey: string,
  body: Uint8Array,
): { readonly kind: 'ok'; readonly body: Uint8Array } | { readonly kind: 'failed'; readonly failure: AuthFailure } {
  const key = signingKey(secretAccessKey, authorization);
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const chunks: Uint8Array[] = [];
  let previous = authorization.signature;
  let offset = 0;
  for (;;) {
    const headEnd = bytes.indexOf('\r\n', offset);
    if (headEnd === -1 || headEnd - offset > CHUNK_HEAD_BYTES_MAX) return malformed('A chunk has no head.');
    const head = /^([0-9a-fA-F]{1,8});chunk-signature=([0-9a-f]{64})$/.exec(bytes.toString('latin1', offset, headEnd));
    if (head === null) return malformed('The head of a chunk has no length and signature.');
    const [, lengthHex = '', signature = ''] = head;
    const start = headEnd + 2;
    const end = start + Number.parseInt(lengthHex, 16);
    if (end + 2 > bytes.length || bytes.toString('latin1', end, end + 2) !== '\r\n')
      return malformed('A chunk is cut off.');
    const chunk = bytes.subarray(start, end);
    const text = [
      'AWS4-HMAC-SHA256-PAYLOAD',
      authorization.timestamp,
      scopeText(authorization),
      previous,
      emptyHash,
      sha256Hex(chunk),
    ].join('\n');
    if (!equalHex(hmacHex(key, text), signature)) return { kind: 'failed', failure: { kind: 'bad-signature' } };
    previous = signature;
    offset = end + 2;
    if (chunk.length > 0) chunks.push(chunk);
    else if (offset === bytes.length) return { kind: 'ok', body: new Uint8Array(Buffer.concat(chunks)) };
    else return malformed('Bytes follow the last chunk.');
  }
}

function malformed(reason: string): { readonly kind: 'failed'; readonly failure: AuthFailure } {
  return { kind: 'failed', failure: { kind: 'malformed', reason } };
}
