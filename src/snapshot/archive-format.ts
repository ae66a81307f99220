import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { DamageError } from '#chunk/errors.ts';
import { type AccountKeys, contentCipher, derive } from '#chunk/seal.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { parseSnapshotId, type SnapshotId } from '#domain/ids.ts';

import { decodeManifest, encodeManifest, type Manifest, manifestKey } from './manifest.ts';

/** Objects of archived snapshots, byte for byte: docs/formats/archive.md. */

const ARCHIVE_PREFIX = 'archive/';

/** Chunks of one part: they are compressed together, and a whole part is in memory when it is written or read. */
export const PART_CHUNK_COUNT = 32;

const FORMAT = 'varve-archive';
const VERSION = 1;
/** Of a snapshot whose chunks are sealed under a data key. */
const VERSION_DATA_KEY = 2;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** What is encrypted in one turn of the event loop: a millisecond; a whole part would take tens. */
const PIECE_BYTES = 1024 * 1024;

export interface PartInfo {
  /** Of the object. */
  readonly length: number;
  readonly chunkCount: number;
}

export interface Archive {
  /** Of the snapshot as it was: its root names chunks that may be gone. */
  readonly manifest: Manifest;
  readonly parts: readonly PartInfo[];
}

export interface PartChunk {
  readonly index: number;
  /** 512 KiB. */
  readonly bytes: Uint8Array;
}

/** Of all objects of a snapshot's archive. */
export function archivePrefix(snapshot: SnapshotId): string {
  return `${ARCHIVE_PREFIX}${snapshot}/`;
}

export function archiveObjectKey(snapshot: SnapshotId): string {
  return `${archivePrefix(snapshot)}archive`;
}

export function partObjectKey(snapshot: SnapshotId, part: number): string {
  return `${archivePrefix(snapshot)}${String(part).padStart(8, '0')}`;
}

/** Null for an object that does not say that an archive is whole. */
export function parseArchiveObjectKey(objectKey: string): SnapshotId | null {
  const match = /^archive\/([^/]+)\/archive$/.exec(objectKey);
  return match === null ? null : parseSnapshotId(match[1] ?? '');
}

/** What is compressed: a count, the indexes, the chunks. */
export function joinPart(chunks: readonly PartChunk[]): Buffer {
  const head = Buffer.alloc(4 + 4 * chunks.length);
  head.writeUInt32LE(chunks.length, 0);
  for (const [at, { index }] of chunks.entries()) head.writeUInt32LE(index, 4 + 4 * at);
  return Buffer.concat([head, ...chunks.map(({ bytes }) => bytes)]);
}

/** Throws DamageError. The bytes are the part's: not copied. */
export function splitPart(plain: Buffer, chunkCount: number): readonly PartChunk[] {
  const headBytes = 4 + 4 * chunkCount;
  if (plain.length !== headBytes + chunkCount * CHUNK_BYTES || plain.readUInt32LE(0) !== chunkCount) {
    throw new DamageError('a part of the archive has another length than it says');
  }
  return Array.from({ length: chunkCount }, (_, at) => {
    const start = headBytes + at * CHUNK_BYTES;
    return { index: plain.readUInt32LE(4 + 4 * at), bytes: plain.subarray(start, start + CHUNK_BYTES) };
  });
}

/** The longest that a part is before it is compressed. */
export const PART_BYTES_MAX = 4 + PART_CHUNK_COUNT * (4 + CHUNK_BYTES);

/** AES-256-GCM under the account's key, and before that AES-256-CTR under the key of its data key where there is one; bound to the object's name. Others have their turn meanwhile. */
export async function sealPart(
  keys: AccountKeys,
  objectKey: string,
  nonce: Uint8Array,
  compressed: Uint8Array,
): Promise<Buffer[]> {
  const cipher = createCipheriv('aes-256-gcm', keys.seal, nonce).setAAD(contextOf(keys, objectKey));
  const below = keys.content === null ? null : contentCipher(keys.content, nonce);
  const sealed: Buffer[] = [Buffer.from(nonce)];
  for (const piece of piecesOf(compressed)) {
    sealed.push(cipher.update(below === null ? piece : below.update(piece)));
    await nextTurn();
  }
  sealed.push(cipher.final(), cipher.getAuthTag());
  return sealed;
}

/** What `sealPart` was given. Others have their turn meanwhile. Rejects with DamageError. */
export async function openPart(keys: AccountKeys, objectKey: string, sealed: Buffer): Promise<Buffer> {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new DamageError('a part of the archive is too short');
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', keys.seal, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(contextOf(keys, objectKey)).setAuthTag(sealed.subarray(-TAG_BYTES));
  const below = keys.content === null ? null : contentCipher(keys.content, nonce);
  const opened = Buffer.allocUnsafeSlow(sealed.length - NONCE_BYTES - TAG_BYTES);
  let done = 0;
  for (const piece of piecesOf(sealed.subarray(NONCE_BYTES, -TAG_BYTES))) {
    const content = decipher.update(piece);
    opened.set(below === null ? content : below.update(content), done);
    done += piece.length;
    await nextTurn();
  }
  try {
    decipher.final();
  } catch (error) {
    throw new DamageError('a part of the archive fails its authentication', { cause: error });
  }
  return opened;
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) yield bytes.subarray(start, start + PIECE_BYTES);
}

function contextOf({ content }: AccountKeys, objectKey: string): Buffer {
  return Buffer.from(`varve ${FORMAT} ${content === null ? VERSION : VERSION_DATA_KEY} ${objectKey}`);
}

function versionOf({ root }: Manifest): number {
  return root.dataKey === undefined ? VERSION : VERSION_DATA_KEY;
}

/** Two lines: JSON, and its HMAC-SHA-256 in hexadecimal. The manifest inside has its own. */
export function encodeArchive(masterKey: Uint8Array, { manifest, parts }: Archive): Buffer {
  const content = {
    format: FORMAT,
    version: versionOf(manifest),
    snapshot: manifest.label.snapshot,
    manifest: encodeManifest(manifestKey(masterKey), manifest).toString('utf8'),
    parts: parts.map(({ length, chunkCount }) => [length, chunkCount]),
  };
  const line = `${JSON.stringify(content)}\n`;
  return Buffer.from(`${line}${mac(masterKey, line)}\n`);
}

/** Reads and verifies. Throws DamageError. */
export function decodeArchive(masterKey: Uint8Array, snapshot: SnapshotId, bytes: Buffer): Archive {
  const text = bytes.toString('utf8');
  const line = text.slice(0, text.indexOf('\n') + 1);
  const found = Buffer.from(text.slice(line.length));
  const expected = Buffer.from(`${mac(masterKey, line)}\n`);
  if (found.length !== expected.length || !timingSafeEqual(found, expected)) {
    throw new DamageError('the archive fails its authentication');
  }
  // Only encodeArchive has the key.
  const content = JSON.parse(line) as {
    readonly format: string;
    readonly version: number;
    readonly snapshot: string;
    readonly manifest: string;
    readonly parts: readonly (readonly [number, number])[];
  };
  if (content.format !== FORMAT || (content.version !== VERSION && content.version !== VERSION_DATA_KEY)) {
    throw new DamageError(`the archive is of version ${content.version}, which this program does not know`);
  }
  if (content.snapshot !== snapshot) throw new DamageError('the archive is another snapshot’s');
  const manifest = decodeManifest(manifestKey(masterKey), snapshot, Buffer.from(content.manifest));
  if (versionOf(manifest) !== content.version) throw new DamageError('the archive has another data key than it says');
  return {
    manifest,
    parts: content.parts.map(([length, chunkCount]) => ({ length, chunkCount })),
  };
}

function mac(masterKey: Uint8Array, line: string): string {
  return createHmac('sha256', derive(masterKey, 'archive')).update(line).digest('hex');
}
