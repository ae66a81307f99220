import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { SnapshotId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import type { ControlPorts } from './ports.ts';

/**
 * A block token lets its holder read one block of one snapshot, until it expires, within the account that listed it.
 * Bytes, before base64: version 1, expiry in ms (6, big endian), content key 32, HMAC-SHA-256 32 over all that and the
 * snapshot, the index and the account. 71 bytes, 96 characters; EBS allows 256.
 */
const VERSION = 1;
const EXPIRY_BYTES = 6;
const KEY_BYTES = 32;
const MAC_BYTES = 32;
const TOKEN_BYTES = 1 + EXPIRY_BYTES + KEY_BYTES + MAC_BYTES;

export interface BlockName {
  readonly snapshot: SnapshotId;
  readonly index: number;
}

/** Makes tokens of one list, all with the same expiry; `key` is the block's content address, hex. */
export function blockTokenMaker(
  ports: ControlPorts,
  scope: Scope,
): { readonly expiresAtMs: number; readonly token: (block: BlockName, key: string) => string } {
  const expiresAtMs = ports.clock.nowMs() + ports.limits.blockTokenMs;
  const macKey = blockKey(ports);
  const token = (block: BlockName, key: string): string => {
    const bytes = Buffer.alloc(TOKEN_BYTES);
    bytes.writeUInt8(VERSION, 0);
    bytes.writeUIntBE(expiresAtMs, 1, EXPIRY_BYTES);
    bytes.write(key, 1 + EXPIRY_BYTES, KEY_BYTES, 'hex');
    mac(macKey, scope, block, bytes).copy(bytes, TOKEN_BYTES - MAC_BYTES);
    return bytes.toString('base64');
  };
  return { expiresAtMs, token };
}

/** The content key (hex) of the block that the token is for, or null when it is no token for this block now. */
export function checkBlockToken(ports: ControlPorts, scope: Scope, block: BlockName, token: string): string | null {
  const bytes = Buffer.from(token, 'base64');
  if (bytes.length !== TOKEN_BYTES || bytes.toString('base64') !== token || bytes.readUInt8(0) !== VERSION) return null;
  const expected = mac(blockKey(ports), scope, block, bytes);
  if (!timingSafeEqual(expected, bytes.subarray(TOKEN_BYTES - MAC_BYTES))) return null;
  if (bytes.readUIntBE(1, EXPIRY_BYTES) < ports.clock.nowMs()) return null;
  return bytes.toString('hex', 1 + EXPIRY_BYTES, TOKEN_BYTES - MAC_BYTES);
}

function mac(key: Buffer, scope: Scope, block: BlockName, token: Buffer): Buffer {
  return createHmac('sha256', key)
    .update(JSON.stringify([scope.account, scope.region, block.snapshot, block.index]))
    .update(token.subarray(0, TOKEN_BYTES - MAC_BYTES))
    .digest();
}

function blockKey(ports: ControlPorts): Buffer {
  return Buffer.from(hkdfSync('sha256', ports.tokenKey, Buffer.alloc(0), 'varve block tokens', 32));
}
