import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';

import { DamageError } from './errors.ts';
import {
  addressOf,
  checkIdentity,
  checkPlain,
  CODEC_RAW,
  decryptRecord,
  parseRecordHeader,
  type AccountKeys,
  type RecordKind,
} from './seal.ts';

const decompress = promisify(zstdDecompress);

/**
 * `unsealRecord` with its longest step, decompressing, in the process's own thread pool: a reader of a chunk waits behind no
 * sealing, and the event loop is not held for longer than an HMAC of 512 KiB, a third of a millisecond. (The pool could do
 * the others too, but to hand them over costs the event loop as much as doing them: their input is copied.)
 * Throws DamageError. `record` must not change meanwhile.
 */
export async function unsealChunk(
  keys: AccountKeys,
  kind: RecordKind,
  key: Uint8Array,
  record: Buffer,
): Promise<Buffer> {
  const header = parseRecordHeader(record);
  checkIdentity(header, kind, key);
  const payload = decryptRecord(keys, record, header);
  const plain = header.codec === CODEC_RAW ? payload : await inflate(payload, header.plainBytes);
  checkPlain(header, plain.length, addressOf(keys, kind, plain));
  return plain;
}

async function inflate(payload: Buffer, plainBytes: number): Promise<Buffer> {
  try {
    return await decompress(payload, { chunkSize: Math.max(64, plainBytes), maxOutputLength: plainBytes });
  } catch (error) {
    throw new DamageError('the payload does not decompress', { cause: error });
  }
}
