import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

import { assert } from '#base/assert.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId } from '#domain/ids.ts';

import { DamageError } from './errors.ts';

/**
 * Sealing: content → address → compressed → encrypted record (docs/formats/pack.md, "Record"). Pure functions of their
 * arguments. A record does not know where it lies, so it can be copied from pack to pack as it is; account, address, kind,
 * codec and lengths are authenticated, so it cannot pass for another one.
 */
export type RecordKind = 'chunk' | 'node';

/** Bytes of a content address. */
export const KEY_BYTES = 32;
export const RECORD_HEADER_BYTES = 56;
export const TAG_BYTES = 16;
export const NONCE_BYTES = 12;
const FORMAT_VERSION = 1;
const CIPHER = 'aes-256-gcm';

const KIND_CODES = { chunk: 1, node: 2 } as const satisfies Record<RecordKind, number>;
/** Reserved: a base key and the blocks that differ from it. */
const KIND_CODE_DELTA = 3;
export const CODEC_RAW = 0;
export const CODEC_ZSTD = 1;

/** What is derived from the master key for one account. */
export interface AccountKeys {
  readonly account: AccountId;
  readonly address: Readonly<Record<RecordKind, Buffer>>;
  readonly seal: Buffer;
}

export function accountKeys(masterKey: Uint8Array, account: AccountId): AccountKeys {
  return {
    account,
    address: {
      chunk: derive(masterKey, `chunk address ${account}`),
      node: derive(masterKey, `node address ${account}`),
    },
    seal: derive(masterKey, `seal ${account}`),
  };
}

/** A 32-byte key for one purpose: HKDF-SHA-256 (RFC 5869) with salt `varve` and info `varve 1 <purpose>`. */
export function derive(masterKey: Uint8Array, purpose: string): Buffer {
  assert(masterKey.length === 32, 'a master key has 32 bytes');
  return Buffer.from(hkdfSync('sha256', masterKey, 'varve', `varve ${FORMAT_VERSION} ${purpose}`, 32));
}

/** The content address: HMAC-SHA-256 of the plaintext under the account's key for this kind. */
export function addressOf(keys: AccountKeys, kind: RecordKind, plain: Uint8Array): Buffer {
  return createHmac('sha256', keys.address[kind]).update(plain).digest();
}

export interface SealOptions {
  readonly keys: AccountKeys;
  readonly kind: RecordKind;
  /** The plaintext's address. */
  readonly key: Uint8Array;
  readonly plain: Uint8Array;
  /** 12 bytes that were never used before. */
  readonly nonce: Uint8Array;
}

/** A record: header, ciphertext, tag, in memory of its own (it can be transferred to another thread). */
export function sealRecord(options: SealOptions): Buffer {
  const { keys, kind, key, plain, nonce } = options;
  assert(key.length === KEY_BYTES && nonce.length === NONCE_BYTES, 'a key has 32 bytes and a nonce 12');
  assert(plain.length <= CHUNK_BYTES, 'no record is larger than a chunk');
  const compressed = compress(plain);
  const codec = compressed.length < plain.length ? CODEC_ZSTD : CODEC_RAW;
  const payload = codec === CODEC_ZSTD ? compressed : plain;

  const record = Buffer.allocUnsafeSlow(RECORD_HEADER_BYTES + payload.length + TAG_BYTES);
  record.writeUInt8(KIND_CODES[kind], 0);
  record.writeUInt8(codec, 1);
  record.writeUInt16LE(0, 2);
  record.writeUInt32LE(plain.length, 4);
  record.writeUInt32LE(payload.length, 8);
  record.set(nonce, 12);
  record.set(key, 24);
  const cipher = createCipheriv(CIPHER, keys.seal, nonce);
  cipher.setAAD(associatedData(keys.account, record));
  record.set(cipher.update(payload), RECORD_HEADER_BYTES);
  cipher.final(); // GCM has no padding: nothing comes.
  record.set(cipher.getAuthTag(), RECORD_HEADER_BYTES + payload.length);
  return record;
}

export interface RecordHeader {
  readonly kind: RecordKind;
  readonly codec: number;
  readonly plainBytes: number;
  readonly payloadBytes: number;
  readonly nonce: Buffer;
  readonly key: Buffer;
}

/** Reads a record's header. Its fields are only trustworthy once the tag was verified. Throws DamageError. */
export function parseRecordHeader(record: Buffer): RecordHeader {
  if (record.length < RECORD_HEADER_BYTES + TAG_BYTES) throw new DamageError('the record is cut short');
  const kindCode = record.readUInt8(0);
  const codec = record.readUInt8(1);
  const plainBytes = record.readUInt32LE(4);
  const payloadBytes = record.readUInt32LE(8);
  if (codec !== CODEC_RAW && codec !== CODEC_ZSTD) throw new DamageError(`the record has the unknown codec ${codec}`);
  if (record.readUInt16LE(2) !== 0) throw new DamageError('the record has unknown flags');
  if (plainBytes > CHUNK_BYTES || payloadBytes !== record.length - RECORD_HEADER_BYTES - TAG_BYTES) {
    throw new DamageError('the record has a wrong length');
  }
  return {
    kind: kindOf(kindCode),
    codec,
    plainBytes,
    payloadBytes,
    nonce: record.subarray(12, 24),
    key: record.subarray(24, 24 + KEY_BYTES),
  };
}

export function kindCode(kind: RecordKind): number {
  return KIND_CODES[kind];
}

/** Throws DamageError for a kind that this version cannot read. */
export function kindOf(code: number): RecordKind {
  if (code === KIND_CODES.chunk) return 'chunk';
  if (code === KIND_CODES.node) return 'node';
  if (code === KIND_CODE_DELTA) throw new DamageError('the record is a delta, which this version cannot read');
  throw new DamageError(`the record has the unknown kind ${code}`);
}

/** What the tag covers beside the payload: everything that says what the payload is, but not where it lies. */
export function associatedData(account: AccountId, record: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`varve record ${FORMAT_VERSION} ${account} `, 'latin1'),
    record.subarray(0, 12),
    record.subarray(24, RECORD_HEADER_BYTES),
  ]);
}

/** The payload, with its tag verified. Throws DamageError. */
export function decryptRecord(keys: AccountKeys, record: Buffer, header: RecordHeader): Buffer {
  const end = RECORD_HEADER_BYTES + header.payloadBytes;
  const decipher = createDecipheriv(CIPHER, keys.seal, header.nonce);
  decipher.setAAD(associatedData(keys.account, record));
  decipher.setAuthTag(record.subarray(end, end + TAG_BYTES));
  const payload = decipher.update(record.subarray(RECORD_HEADER_BYTES, end));
  try {
    decipher.final();
  } catch (error) {
    throw new DamageError('the record fails its authentication', { cause: error });
  }
  return payload;
}

/** Verifies that the record is whole and of this account, without decompressing it. Throws DamageError. */
export function checkRecord(keys: AccountKeys, record: Buffer): RecordHeader {
  const header = parseRecordHeader(record);
  decryptRecord(keys, record, header);
  return header;
}

/** The plaintext with this address; both the tag and the address are verified. Throws DamageError. */
export function unsealRecord(keys: AccountKeys, kind: RecordKind, key: Uint8Array, record: Buffer): Buffer {
  const header = parseRecordHeader(record);
  checkIdentity(header, kind, key);
  const payload = decryptRecord(keys, record, header);
  const plain = header.codec === CODEC_RAW ? payload : decompress(payload, header.plainBytes);
  checkPlain(header, plain.length, addressOf(keys, kind, plain));
  return plain;
}

export function checkIdentity(header: RecordHeader, kind: RecordKind, key: Uint8Array): void {
  if (header.kind !== kind || !header.key.equals(key)) throw new DamageError('the record is another one');
}

export function checkPlain(header: RecordHeader, plainBytes: number, address: Uint8Array): void {
  if (plainBytes !== header.plainBytes) throw new DamageError('the record has the wrong plain length');
  if (!header.key.equals(address)) throw new DamageError('the plaintext does not have its address');
}

/** Level 1: level 3 gains little on chunks and costs a third of the speed. */
const COMPRESSION = { [constants.ZSTD_c_compressionLevel]: 1 };

function compress(plain: Uint8Array): Buffer {
  // One output buffer that surely is enough: growing it in steps costs 15 %. ZSTD_COMPRESSBOUND is below n + n/256 + 1 KiB here.
  return zstdCompressSync(plain, {
    params: COMPRESSION,
    chunkSize: plain.length + Math.ceil(plain.length / 256) + 1024,
  });
}

function decompress(payload: Buffer, plainBytes: number): Buffer {
  try {
    return zstdDecompressSync(payload, { chunkSize: Math.max(64, plainBytes), maxOutputLength: plainBytes });
  } catch (error) {
    throw new DamageError('the payload does not decompress', { cause: error });
  }
}
