import { CHUNK, CHUNK_FLAG_DONE, SIMPLE_REPLY_MAGIC, STATE, STRUCTURED_REPLY_MAGIC, type Errno } from './constants.ts';
import type { Request } from './request.ts';

export const SIMPLE_REPLY_BYTES = 16;
export const CHUNK_HEADER_BYTES = 20;
/** Header and offset, before the data. */
export const DATA_HEADER_BYTES = CHUNK_HEADER_BYTES + 8;
export const HOLE_BYTES = CHUNK_HEADER_BYTES + 12;
export const ERROR_CHUNK_BYTES = CHUNK_HEADER_BYTES + 6;
const DESCRIPTOR_BYTES = 8;

/** Whose reply it is; a request, or what is kept of one. */
export type Cookie = Pick<Request, 'cookieHigh' | 'cookieLow'>;

/** A run of bytes with one `base:allocation` state. */
export interface StatusRun {
  readonly length: number;
  /** Bits of STATE. */
  readonly state: number;
}

/** Writes a simple reply at `at`; the data of a successful READ follow it. */
export function putSimpleReply(bytes: Buffer, at: number, cookie: Cookie, errno: Errno): void {
  bytes.writeUInt32BE(SIMPLE_REPLY_MAGIC, at);
  bytes.writeUInt32BE(errno, at + 4);
  bytes.writeInt32BE(cookie.cookieHigh, at + 8);
  bytes.writeInt32BE(cookie.cookieLow, at + 12);
}

/** Writes the 28 bytes that come before `length` bytes of data. */
export function putDataHeader(
  bytes: Buffer,
  at: number,
  cookie: Cookie,
  offset: number,
  length: number,
  done: boolean,
): void {
  putChunkHeader(bytes, at, cookie, CHUNK.offsetData, 8 + length, done);
  putOffset(bytes, at + CHUNK_HEADER_BYTES, offset);
}

export function putHole(
  bytes: Buffer,
  at: number,
  cookie: Cookie,
  offset: number,
  length: number,
  done: boolean,
): void {
  putChunkHeader(bytes, at, cookie, CHUNK.offsetHole, 12, done);
  putOffset(bytes, at + CHUNK_HEADER_BYTES, offset);
  bytes.writeUInt32BE(length, at + CHUNK_HEADER_BYTES + 8);
}

/** Writes an error as the last chunk of a reply, without a message. */
export function putErrorChunk(bytes: Buffer, at: number, cookie: Cookie, errno: Errno): void {
  putChunkHeader(bytes, at, cookie, CHUNK.error, 6, true);
  bytes.writeUInt32BE(errno, at + CHUNK_HEADER_BYTES);
  bytes.writeUInt16BE(0, at + CHUNK_HEADER_BYTES + 4);
}

/** Writes the chunk that ends a successful reply and carries nothing. */
export function putNoneChunk(bytes: Buffer, at: number, cookie: Cookie): void {
  putChunkHeader(bytes, at, cookie, CHUNK.none, 0, true);
}

export function statusChunkBytes(runCount: number): number {
  return CHUNK_HEADER_BYTES + 4 + runCount * DESCRIPTOR_BYTES;
}

export function putStatusChunk(
  bytes: Buffer,
  at: number,
  cookie: Cookie,
  contextId: number,
  runs: readonly StatusRun[],
): void {
  putChunkHeader(bytes, at, cookie, CHUNK.blockStatus, statusChunkBytes(runs.length) - CHUNK_HEADER_BYTES, true);
  bytes.writeUInt32BE(contextId, at + CHUNK_HEADER_BYTES);
  let next = at + CHUNK_HEADER_BYTES + 4;
  for (const run of runs) {
    bytes.writeUInt32BE(run.length, next);
    bytes.writeUInt32BE(run.state, next + 4);
    next += DESCRIPTOR_BYTES;
  }
}

/**
 * The `base:allocation` state of an extent. Content that is not zero is never called a hole, also where nothing is
 * stored for it yet: the protocol calls the content of such a hole undefined, and QEMU skips it.
 */
export function allocationState(extent: { readonly zero: boolean; readonly hole: boolean }): number {
  if (!extent.zero) return 0;
  return extent.hole ? STATE.hole | STATE.zero : STATE.zero;
}

/** Extents as descriptors: neighbours of one state are one descriptor. */
export function statusRuns(
  extents: readonly { readonly length: number; readonly zero: boolean; readonly hole: boolean }[],
): StatusRun[] {
  const runs: StatusRun[] = [];
  for (const extent of extents) {
    const state = allocationState(extent);
    const last = runs.at(-1);
    if (last?.state === state) runs[runs.length - 1] = { length: last.length + extent.length, state };
    else runs.push({ length: extent.length, state });
  }
  return runs;
}

function putChunkHeader(
  bytes: Buffer,
  at: number,
  cookie: Cookie,
  type: number,
  payloadBytes: number,
  done: boolean,
): void {
  bytes.writeUInt32BE(STRUCTURED_REPLY_MAGIC, at);
  bytes.writeUInt16BE(done ? CHUNK_FLAG_DONE : 0, at + 4);
  bytes.writeUInt16BE(type, at + 6);
  bytes.writeInt32BE(cookie.cookieHigh, at + 8);
  bytes.writeInt32BE(cookie.cookieLow, at + 12);
  bytes.writeUInt32BE(payloadBytes, at + 16);
}

function putOffset(bytes: Buffer, at: number, offset: number): void {
  bytes.writeUInt32BE(Math.floor(offset / 0x1_0000_0000), at);
  bytes.writeUInt32BE(offset % 0x1_0000_0000, at + 4);
}
