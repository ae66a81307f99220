import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { ControlPorts } from '#control/ports.ts';

/**
 * A JSON value that only this installation can read or make (AES-256-GCM under a key derived from the token key, one for each
 * purpose), as text in base 64. Bytes, before base 64: nonce 12, sealed JSON, tag 16.
 */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export type SealPurpose = 'session token' | 'authorization message';

type SealPorts = Pick<ControlPorts, 'tokenKey' | 'random'>;

export function sealJson(ports: SealPorts, purpose: SealPurpose, value: unknown): string {
  const nonce = ports.random.bytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyOf(ports, purpose), nonce);
  const sealed = cipher.update(JSON.stringify(value), 'utf8');
  return Buffer.concat([nonce, sealed, cipher.final(), cipher.getAuthTag()]).toString('base64');
}

/** Null: not one of ours. */
export function openJson(ports: SealPorts, purpose: SealPurpose, text: string): unknown {
  const bytes = Buffer.from(text, 'base64');
  // Node's decoder skips what is not base 64: only a text as we wrote it is one.
  if (bytes.length <= NONCE_BYTES + TAG_BYTES || bytes.toString('base64') !== text) return null;
  const decipher = createDecipheriv('aes-256-gcm', keyOf(ports, purpose), bytes.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    const opened = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    return JSON.parse(opened.toString()) as unknown;
  } catch {
    return null; // The tag does not fit.
  }
}

function keyOf({ tokenKey }: SealPorts, purpose: SealPurpose): Buffer {
  return Buffer.from(hkdfSync('sha256', tokenKey, Buffer.alloc(0), `varve ${purpose}`, 32));
}
