import { assert } from '#base/assert.ts';
import { CHUNK, CHUNK_FLAG_DONE, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC } from '#wire/nbd/constants.ts';

export interface SimpleReply {
  readonly kind: 'simple';
  readonly cookie: bigint;
  readonly errno: number;
}

export interface ChunkReply {
  readonly kind: 'chunk';
  readonly cookie: bigint;
  readonly type: number;
  readonly done: boolean;
  readonly payload: Buffer;
}

/**
 * Replies of the transmission phase, read by their own lengths; throws when they are none. `readBytes` tells how much
 * data a successful simple reply carries.
 */
export function parseReplies(
  bytes: Buffer,
  readBytes: (cookie: bigint) => number = () => 0,
): readonly ((SimpleReply & { readonly data: Buffer }) | ChunkReply)[] {
  const replies: ((SimpleReply & { readonly data: Buffer }) | ChunkReply)[] = [];
  for (let at = 0; at < bytes.length;) {
    const magic = bytes.readUInt32BE(at);
    if (magic === SIMPLE_REPLY_MAGIC) {
      const errno = bytes.readUInt32BE(at + 4);
      const cookie = bytes.readBigUInt64BE(at + 8);
      const count = errno === 0 ? readBytes(cookie) : 0;
      assert(at + 16 + count <= bytes.length, 'a simple reply is whole');
      replies.push({ kind: 'simple', cookie, errno, data: bytes.subarray(at + 16, at + 16 + count) });
      at += 16 + count;
    } else {
      assert(magic === STRUCTURED_REPLY_MAGIC, 'a reply begins with a magic');
      const count = bytes.readUInt32BE(at + 16);
      assert(at + 20 + count <= bytes.length, 'a chunk is whole');
      replies.push({
        kind: 'chunk',
        cookie: bytes.readBigUInt64BE(at + 8),
        type: bytes.readUInt16BE(at + 6),
        done: (bytes.readUInt16BE(at + 4) & CHUNK_FLAG_DONE) !== 0,
        payload: bytes.subarray(at + 20, at + 20 + count),
      });
      at += 20 + count;
    }
  }
  return replies;
}

/** The bytes of one READ put together from its chunks; throws when they do not cover it exactly, or an error came. */
export function assemble(chunks: readonly ChunkReply[], offset: number, length: number): Buffer {
  const target = Buffer.alloc(length, 0xee);
  let covered = 0;
  for (const { type, payload } of chunks) {
    if (type === CHUNK.none) continue;
    const at = Number(payload.readBigUInt64BE(0)) - offset;
    if (type === CHUNK.offsetData) {
      payload.copy(target, at, 8);
      covered += payload.length - 8;
    } else {
      assert(type === CHUNK.offsetHole, 'a chunk of a read is data or a hole');
      const count = payload.readUInt32BE(8);
      target.fill(0, at, at + count);
      covered += count;
    }
  }
  assert(covered === length, 'chunks cover the read once');
  assert(chunks.filter(({ done }) => done).length === 1 && chunks.at(-1)?.done === true, 'the last chunk says so');
  return target;
}
