import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { refuse } from '#domain/errors.ts';
import type { Scope } from '#domain/volume.ts';
import type { ControlPorts } from './ports.ts';

/**
 * Page tokens are sealed (AES-256-GCM), not only signed: a position in a list counts the resources of other accounts too.
 * A token is good for one list of one account and region, and for `limits.pageTokenMs`.
 * Bytes, before base64: nonce 12, sealed { position f64, expiry in ms f64 } 16, tag 16.
 */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const BODY_BYTES = 16;

/** `list` says which list, with everything that must be the same when the token is used again. */
export function makePageToken(ports: ControlPorts, scope: Scope, list: string, position: number): string {
  const nonce = ports.random.bytes(NONCE_BYTES);
  const body = Buffer.alloc(BODY_BYTES);
  body.writeDoubleBE(position, 0);
  body.writeDoubleBE(ports.clock.nowMs() + ports.limits.pageTokenMs, 8);
  const cipher = createCipheriv('aes-256-gcm', pageKey(ports), nonce).setAAD(context(scope, list));
  return Buffer.concat([nonce, cipher.update(body), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

/** The position; 0 without a token. Refuses: page-token-invalid. */
export function readPageToken(ports: ControlPorts, scope: Scope, list: string, token: string | null): number {
  if (token === null) return 0;
  const body = openBody(ports, scope, list, token);
  if (body === null || body.readDoubleBE(8) < ports.clock.nowMs()) refuse({ kind: 'page-token-invalid' });
  return body.readDoubleBE(0);
}

function openBody(ports: ControlPorts, scope: Scope, list: string, token: string): Buffer | null {
  const bytes = Buffer.from(token, 'base64');
  // Node's decoder skips what is not base64: only a token as we wrote it is one.
  if (bytes.length !== NONCE_BYTES + BODY_BYTES + TAG_BYTES || bytes.toString('base64') !== token) return null;
  const decipher = createDecipheriv('aes-256-gcm', pageKey(ports), bytes.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(context(scope, list)).setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return null; // The tag does not fit: not ours, or of another list.
  }
}

function context(scope: Scope, list: string): Buffer {
  return Buffer.from(JSON.stringify(['page', scope.account, scope.region, list]));
}

function pageKey(ports: ControlPorts): Buffer {
  return Buffer.from(hkdfSync('sha256', ports.tokenKey, Buffer.alloc(0), 'varve page tokens', 32));
}
