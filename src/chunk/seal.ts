import {
  type Cipheriv,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';

import { assert } from '#base/assert.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId } from '#domain/ids.ts';

import {
  BLOCK_SET_BYTES,
  countBlocks,
  decodeBlockSet,
  encodeBlockSet,
  gatherBlocks,
  type BlockSet,
} from './block-set.ts';
import { chunkAddress, hashSegment, SEGMENT_BYTES } from './chunk-digests.ts';
import { DATA_KEY_BYTES, keyNeeded } from './data-key-ring.ts';
import { DamageError } from './errors.ts';
import { CODEC_MAX, decodePayload, encodePayload, isCompressed, isPayloadLength } from './payload.ts';

/**
 * Sealing: content → address → compressed → encrypted record (docs/formats/pack.md, "Record"). Pure functions of their
 * arguments. A record does not know where it lies, so it can be copied from pack to pack as it is; account, address, kind,
 * codec and lengths are authenticated, so it cannot pass for another one.
 */
export type RecordKind = PlainKind | 'delta';
/** What an address stands for; a delta has that of its chunk. */
export type PlainKind = 'chunk' | 'node';

/** Bytes of a content address. */
export const KEY_BYTES = 32;
export const RECORD_HEADER_BYTES = 56;
/** Address of the base and the blocks that differ, after the header that all records have. */
export const DELTA_HEADER_BYTES = RECORD_HEADER_BYTES + KEY_BYTES + BLOCK_SET_BYTES;
export const TAG_BYTES = 16;
export const NONCE_BYTES = 12;
const FORMAT_VERSION = 1;
const CIPHER = 'aes-256-gcm';
/** The flag of a record whose payload is encrypted under a data key. */
const UNDER_DATA_KEY = 1;
export const FLAGS_MAX = UNDER_DATA_KEY;

const KIND_CODES = { chunk: 1, node: 2, delta: 3 } as const satisfies Record<RecordKind, number>;

/** What is derived from the master key for one account. As objects: to make one of a buffer at each use costs 12 µs. */
export interface AccountKeys {
  readonly account: AccountId;
  readonly address: Readonly<Record<PlainKind, KeyObject>>;
  /** Of the digests of segments, over which the address of a chunk is. */
  readonly segment: KeyObject;
  /** The digest of a segment of zeros. */
  readonly zeroSegment: Buffer;
  /** Of every record, by which whoever has the master key can tell that it is whole. */
  readonly seal: KeyObject;
  /** What the payloads of chunks are encrypted with before they are sealed; null: these keys are not under a data key. */
  readonly content: KeyObject | null;
}

/** With a data key (32 bytes): the keys of chunks under it. Nodes have the account's in any case. */
export function accountKeys(masterKey: Uint8Array, account: AccountId, dataKey: Uint8Array | null = null): AccountKeys {
  const ofChunks = (purpose: string): KeyObject => {
    const own = derive(masterKey, `${purpose} ${account}`);
    return createSecretKey(dataKey === null ? own : deriveUnder(dataKey, own));
  };
  const segment = ofChunks('segment');
  return {
    account,
    address: {
      chunk: ofChunks('chunk address'),
      node: createSecretKey(derive(masterKey, `node address ${account}`)),
    },
    segment,
    zeroSegment: hashSegment(segment, Buffer.alloc(SEGMENT_BYTES)),
    seal: createSecretKey(derive(masterKey, `seal ${account}`)),
    content: dataKey === null ? null : ofChunks('seal'),
  };
}

/** What needs both: the data key, and the key that the master key gives. */
function deriveUnder(dataKey: Uint8Array, own: Uint8Array): Buffer {
  assert(dataKey.length === DATA_KEY_BYTES, 'a data key has 32 bytes');
  return Buffer.from(hkdfSync('sha256', dataKey, own, `varve ${FORMAT_VERSION} under a data key`, 32));
}

/** A 32-byte key for one purpose: HKDF-SHA-256 (RFC 5869) with salt `varve` and info `varve 1 <purpose>`. */
export function derive(masterKey: Uint8Array, purpose: string): Buffer {
  assert(masterKey.length === 32, 'a master key has 32 bytes');
  return Buffer.from(hkdfSync('sha256', masterKey, 'varve', `varve ${FORMAT_VERSION} ${purpose}`, 32));
}

/** The content address: HMAC-SHA-256 under the account's key for this kind, of a node's plaintext, or of the digests of a chunk. */
export function addressOf(keys: AccountKeys, kind: PlainKind, plain: Uint8Array): Buffer {
  return kind === 'chunk' ? chunkAddress(keys, plain) : createHmac('sha256', keys.address.node).update(plain).digest();
}

export interface SealOptions {
  readonly keys: AccountKeys;
  readonly kind: PlainKind;
  /** The plaintext's address. */
  readonly key: Uint8Array;
  readonly plain: Buffer;
  /** 12 bytes that were never used before. */
  readonly nonce: Uint8Array;
}

/** A record: header, ciphertext, tag, in memory of its own (it can be transferred to another thread). */
export function sealRecord({ keys, kind, key, plain, nonce }: SealOptions): Buffer {
  assert(plain.length <= CHUNK_BYTES, 'no record is larger than a chunk');
  return encloseRecord({ keys, kind, key, nonce, plainBytes: plain.length, extra: NO_EXTRA, content: plain });
}

export interface SealDeltaOptions {
  readonly keys: AccountKeys;
  /** The address of the whole chunk. */
  readonly key: Uint8Array;
  /** The whole chunk. */
  readonly plain: Buffer;
  /** The address of the chunk that it is like but for some blocks. */
  readonly base: Uint8Array;
  /** At least all blocks that differ; not empty. */
  readonly changed: BlockSet;
  /** 12 bytes that were never used before. */
  readonly nonce: Uint8Array;
}

/** A record of kind delta: as `sealRecord`, of the blocks that changed. */
export function sealDelta({ keys, key, plain, base, changed, nonce }: SealDeltaOptions): Buffer {
  assert(plain.length === CHUNK_BYTES && base.length === KEY_BYTES, 'a delta stands for a whole chunk');
  assert(Buffer.compare(key, base) !== 0, 'no chunk is its own base');
  const content = gatherBlocks(plain, changed);
  assert(content.length > 0, 'a delta has blocks');
  const extra = Buffer.concat([base, encodeBlockSet(changed)]);
  return encloseRecord({ keys, kind: 'delta', key, nonce, plainBytes: CHUNK_BYTES, extra, content });
}

const NO_EXTRA = Buffer.alloc(0);

interface Enclosure {
  readonly keys: AccountKeys;
  readonly kind: RecordKind;
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly plainBytes: number;
  /** What the header has after the part that all records have. */
  readonly extra: Buffer;
  /** To be compressed and encrypted. */
  readonly content: Buffer;
}

function encloseRecord({ keys, kind, key, nonce, plainBytes, extra, content }: Enclosure): Buffer {
  assert(key.length === KEY_BYTES && nonce.length === NONCE_BYTES, 'a key has 32 bytes and a nonce 12');
  const { codec, bytes } = encodePayload(content, kind === 'chunk');
  const contentKey = kind === 'node' ? null : keys.content;
  const payload = contentKey === null ? bytes : contentCipher(contentKey, nonce).update(bytes);

  const headerBytes = RECORD_HEADER_BYTES + extra.length;
  const record = Buffer.allocUnsafeSlow(headerBytes + payload.length + TAG_BYTES);
  record.writeUInt8(KIND_CODES[kind], 0);
  record.writeUInt8(codec, 1);
  record.writeUInt16LE(contentKey === null ? 0 : UNDER_DATA_KEY, 2);
  record.writeUInt32LE(plainBytes, 4);
  record.writeUInt32LE(payload.length, 8);
  record.set(nonce, 12);
  record.set(key, 24);
  record.set(extra, RECORD_HEADER_BYTES);
  const cipher = createCipheriv(CIPHER, keys.seal, nonce);
  cipher.setAAD(associatedData(keys.account, record, headerBytes));
  record.set(cipher.update(payload), headerBytes);
  cipher.final(); // GCM has no padding: nothing comes.
  record.set(cipher.getAuthTag(), headerBytes + payload.length);
  return record;
}

/** The cipher below the seal, under a key that needs a data key; the same in both directions. It authenticates nothing: the seal's tag and the chunk's address do. */
export function contentCipher(key: KeyObject, nonce: Uint8Array): Cipheriv {
  // The seal's nonce is as new for this key as it is for that. Of the 2^32 blocks that a counter from zero has, a part of an archive takes 2^20 at most.
  return createCipheriv('aes-256-ctr', key, Buffer.concat([nonce, COUNTER_START]));
}

const COUNTER_START = Buffer.alloc(4);

/** What makes a record a delta. */
export interface DeltaHeader {
  /** Address of the chunk that it is like but for some blocks. */
  readonly base: Buffer;
  readonly changed: BlockSet;
}

export interface RecordHeader {
  readonly kind: RecordKind;
  readonly codec: number;
  /** Of what the address stands for. */
  readonly plainBytes: number;
  /** Of what the payload holds: the plaintext, or of a delta the blocks. */
  readonly contentBytes: number;
  readonly headerBytes: number;
  readonly payloadBytes: number;
  /** What is in the payload opens with a data key only. */
  readonly isUnderDataKey: boolean;
  readonly nonce: Buffer;
  readonly key: Buffer;
  /** Null: not of kind delta. */
  readonly delta: DeltaHeader | null;
}

/** Reads a record's header. Its fields are only trustworthy once the tag was verified. Throws DamageError. */
export function parseRecordHeader(record: Buffer): RecordHeader {
  if (record.length < RECORD_HEADER_BYTES + TAG_BYTES) throw new DamageError('the record is cut short');
  const kind = kindOf(record.readUInt8(0));
  const codec = record.readUInt8(1);
  const plainBytes = record.readUInt32LE(4);
  const payloadBytes = record.readUInt32LE(8);
  if (codec > CODEC_MAX) throw new DamageError(`the record has the unknown codec ${codec}`);
  const flags = record.readUInt16LE(2);
  if (flags > (kind === 'node' ? 0 : UNDER_DATA_KEY)) throw new DamageError('the record has unknown flags');
  const headerBytes = kind === 'delta' ? DELTA_HEADER_BYTES : RECORD_HEADER_BYTES;
  if (plainBytes > CHUNK_BYTES || payloadBytes !== record.length - headerBytes - TAG_BYTES) {
    throw new DamageError('the record has a wrong length');
  }
  const key = record.subarray(24, RECORD_HEADER_BYTES);
  const delta = kind === 'delta' ? parseDeltaHeader(record, plainBytes, key) : null;
  const contentBytes = delta === null ? plainBytes : countBlocks(delta.changed) * BLOCK_BYTES;
  if (!isPayloadLength(codec, payloadBytes, contentBytes, kind === 'chunk')) {
    throw new DamageError('the record has a wrong length');
  }
  return {
    kind,
    codec,
    plainBytes,
    contentBytes,
    headerBytes,
    payloadBytes,
    isUnderDataKey: flags === UNDER_DATA_KEY,
    nonce: record.subarray(12, 24),
    key,
    delta,
  };
}

function parseDeltaHeader(record: Buffer, plainBytes: number, key: Buffer): DeltaHeader {
  const base = record.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + KEY_BYTES);
  const changed = decodeBlockSet(record.subarray(RECORD_HEADER_BYTES + KEY_BYTES, DELTA_HEADER_BYTES));
  if (plainBytes !== CHUNK_BYTES) throw new DamageError('the delta is of no whole chunk');
  if (base.equals(key)) throw new DamageError('the delta is its own base');
  if (countBlocks(changed) === 0) throw new DamageError('the delta has no blocks');
  return { base, changed };
}

export function kindCode(kind: RecordKind): number {
  return KIND_CODES[kind];
}

/** Throws DamageError for a kind that this version cannot read. */
export function kindOf(code: number): RecordKind {
  if (code === KIND_CODES.chunk) return 'chunk';
  if (code === KIND_CODES.node) return 'node';
  if (code === KIND_CODES.delta) return 'delta';
  throw new DamageError(`the record has the unknown kind ${code}`);
}

/** What the tag covers beside the payload: everything that says what the payload is, but not where it lies. */
export function associatedData(account: AccountId, record: Buffer, headerBytes: number): Buffer {
  return Buffer.concat([
    Buffer.from(`varve record ${FORMAT_VERSION} ${account} `, 'latin1'),
    record.subarray(0, 12),
    record.subarray(24, headerBytes),
  ]);
}

/** The payload, with its tag verified. Throws DamageError; StoreError 'key-needed' when it is under a data key and the keys are not. */
export function decryptRecord(keys: AccountKeys, record: Buffer, header: RecordHeader): Buffer {
  const payload = decryptSeal(keys, record, header);
  if (header.kind === 'node' || (!header.isUnderDataKey && keys.content === null)) return payload;
  if (!header.isUnderDataKey) throw new DamageError('the record is not under the data key');
  if (keys.content === null) throw keyNeeded(null);
  return contentCipher(keys.content, header.nonce).update(payload);
}

function decryptSeal(keys: AccountKeys, record: Buffer, header: RecordHeader): Buffer {
  const end = header.headerBytes + header.payloadBytes;
  const decipher = createDecipheriv(CIPHER, keys.seal, header.nonce);
  decipher.setAAD(associatedData(keys.account, record, header.headerBytes));
  decipher.setAuthTag(record.subarray(end, end + TAG_BYTES));
  const payload = decipher.update(record.subarray(header.headerBytes, end));
  try {
    decipher.final();
  } catch (error) {
    throw new DamageError('the record fails its authentication', { cause: error });
  }
  return payload;
}

/** Verifies that the record is whole and of this account, without decompressing it; needs no data key. Throws DamageError. */
export function checkRecord(keys: AccountKeys, record: Buffer): RecordHeader {
  const header = parseRecordHeader(record);
  decryptSeal(keys, record, header);
  return header;
}

/** What is in the record, its tag verified: the plaintext (its address not verified), or of a delta the blocks. In memory of its own. Throws DamageError. */
export function openRecord(keys: AccountKeys, record: Buffer, header: RecordHeader): Buffer {
  const payload = decryptRecord(keys, record, header);
  const content = decodePayload(header.codec, payload, header.contentBytes);
  if (isCompressed(header.codec)) freeOwn(payload);
  checkContent(header, content);
  return content;
}

/** Gives back at once, and not when it is collected, what nobody uses any more. */
function freeOwn({ buffer, length }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0);
}

/** The plaintext with this address of a record that is no delta; both the tag and the address are verified. Throws DamageError. */
export function unsealRecord(keys: AccountKeys, kind: PlainKind, key: Uint8Array, record: Buffer): Buffer {
  const header = parseRecordHeader(record);
  checkIdentity(header, kind, key);
  const plain = openRecord(keys, record, header);
  checkAddress(keys, kind, key, plain);
  return plain;
}

export function checkIdentity(header: RecordHeader, kind: RecordKind, key: Uint8Array): void {
  if (header.kind !== kind || !header.key.equals(key)) throw new DamageError('the record is another one');
}

export function checkContent(header: RecordHeader, content: Buffer): void {
  if (content.length !== header.contentBytes) throw new DamageError('the record has the wrong plain length');
}

export function checkAddress(keys: AccountKeys, kind: PlainKind, key: Uint8Array, plain: Buffer): void {
  if (!addressOf(keys, kind, plain).equals(key)) throw new DamageError('the plaintext does not have its address');
}
