import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { assert } from '#base/assert.ts';
import { type AccountId, parseAccountId, regionName } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';

/**
 * Ciphertexts of KMS, byte for byte in docs/formats/kms-ciphertext.md. Each names its key and the backing key, and each
 * message has a key of its own, derived from the backing key and a random salt, so their number is not bounded by what
 * AES-GCM allows one key.
 */
const MAGIC = Buffer.from('VKC1');
const ACCOUNT_BYTES = 6;
const KEY_ID_BYTES = 16;
const MATERIAL_ID_BYTES = 32;
const FIXED_BYTES = MAGIC.length + ACCOUNT_BYTES + KEY_ID_BYTES + MATERIAL_ID_BYTES + 1;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Random bytes that a message takes. */
export const MESSAGE_RANDOM_BYTES = SALT_BYTES + NONCE_BYTES;
export const MATERIAL_BYTES = 32;

export type EncryptionContext = Readonly<Record<string, string>>;

export interface CiphertextHeader {
  readonly scope: Scope;
  readonly keyId: string;
  readonly materialId: string;
}

export interface Ciphertext extends CiphertextHeader {
  /** Everything before the salt: authenticated, not sealed. */
  readonly head: Buffer;
  readonly salt: Buffer;
  readonly nonce: Buffer;
  readonly body: Buffer;
  readonly tag: Buffer;
}

/** `random`: MESSAGE_RANDOM_BYTES that were never used before. */
export function sealMessage(
  header: CiphertextHeader,
  material: Uint8Array,
  message: { readonly plaintext: Uint8Array; readonly context: EncryptionContext; readonly random: Buffer },
): Buffer {
  assert(message.random.length === MESSAGE_RANDOM_BYTES, 'a message has its own salt and nonce');
  const head = encodeHead(header);
  const salt = message.random.subarray(0, SALT_BYTES);
  const nonce = message.random.subarray(SALT_BYTES);
  const cipher = createCipheriv('aes-256-gcm', messageKey(material, salt), nonce);
  cipher.setAAD(Buffer.concat([head, encodeContext(message.context)]));
  const body = Buffer.concat([cipher.update(message.plaintext), cipher.final()]);
  return Buffer.concat([head, message.random, body, cipher.getAuthTag()]);
}

/** Null: not one of ours. Nothing of it is authentic yet. */
export function parseCiphertext(bytes: Uint8Array): Ciphertext | null {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (all.length < FIXED_BYTES || !all.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  const account = parseAccountId(String(all.readUIntBE(4, ACCOUNT_BYTES)).padStart(12, '0'));
  const headEnd = FIXED_BYTES + all.readUInt8(FIXED_BYTES - 1);
  if (account === null || all.length < headEnd + SALT_BYTES + NONCE_BYTES + TAG_BYTES) return null;
  const bodyStart = headEnd + SALT_BYTES + NONCE_BYTES;
  return {
    scope: { account, region: regionName(all.toString('latin1', FIXED_BYTES, headEnd)) },
    keyId: uuidOf(all.subarray(10, 10 + KEY_ID_BYTES)),
    materialId: all.toString('hex', 26, 26 + MATERIAL_ID_BYTES),
    head: all.subarray(0, headEnd),
    salt: all.subarray(headEnd, headEnd + SALT_BYTES),
    nonce: all.subarray(headEnd + SALT_BYTES, bodyStart),
    body: all.subarray(bodyStart, all.length - TAG_BYTES),
    tag: all.subarray(all.length - TAG_BYTES),
  };
}

/** Null: damaged, of another backing key, or sealed with another context. */
export function openMessage(ciphertext: Ciphertext, material: Uint8Array, context: EncryptionContext): Buffer | null {
  const { head, salt, nonce, body, tag } = ciphertext;
  const decipher = createDecipheriv('aes-256-gcm', messageKey(material, salt), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.concat([head, encodeContext(context)])).setAuthTag(tag);
  const plaintext = decipher.update(body);
  try {
    decipher.final();
  } catch {
    plaintext.fill(0);
    return null;
  }
  return plaintext;
}

/** One text for one context, whatever the order in which it was sent; lengths stand before the texts, so nothing runs together. */
export function encodeContext(context: EncryptionContext): Buffer {
  const pairs = Object.entries(context).map(([key, value]) => [Buffer.from(key), Buffer.from(value)] as const);
  pairs.sort(([one], [other]) => Buffer.compare(one, other));
  const parts = pairs.flatMap(([key, value]) => [lengthOf(key), key, lengthOf(value), value]);
  const count = Buffer.alloc(4);
  count.writeUInt32BE(pairs.length);
  return Buffer.concat([count, ...parts]);
}

function lengthOf(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return length;
}

function encodeHead({ scope, keyId, materialId }: CiphertextHeader): Buffer {
  const region = Buffer.from(scope.region, 'latin1');
  assert(region.length < 256, 'the name of a region is short');
  const id = Buffer.from(keyId.replaceAll('-', ''), 'hex');
  const material = Buffer.from(materialId, 'hex');
  assert(id.length === KEY_ID_BYTES && material.length === MATERIAL_ID_BYTES, 'ids of a key and its material');
  return Buffer.concat([MAGIC, accountBytes(scope.account), id, material, Buffer.of(region.length), region]);
}

function accountBytes(account: AccountId): Buffer {
  const bytes = Buffer.alloc(ACCOUNT_BYTES);
  bytes.writeUIntBE(Number(account), 0, ACCOUNT_BYTES);
  return bytes;
}

function uuidOf(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function messageKey(material: Uint8Array, salt: Uint8Array): Buffer {
  assert(material.length === MATERIAL_BYTES, 'a backing key has 32 bytes');
  return Buffer.from(hkdfSync('sha256', material, salt, 'varve kms 1 message', 32));
}
