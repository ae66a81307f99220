import { crc32c } from '#base/crc32c.ts';

/** Chunks that a trace holds at most: 2 GiB. What is read later is no longer the beginning. */
export const TRACE_COUNT_MAX = 4096;

const MAGIC = Buffer.from('VARVTRAC', 'latin1');
const VERSION = 1;
const HEADER_BYTES = 16;
const INDEX_BYTES = 4;
const CHECKSUM_BYTES = 4;
const TRACE_BYTES_MAX = HEADER_BYTES + TRACE_COUNT_MAX * INDEX_BYTES + CHECKSUM_BYTES;

/** The chunks of a snapshot in the order in which its readers first needed them; none twice. docs/formats/trace.md. */
export type AccessTrace = readonly number[];

export function encodeTrace(trace: AccessTrace): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + trace.length * INDEX_BYTES + CHECKSUM_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE(trace.length, 12);
  for (const [at, index] of trace.entries()) bytes.writeUInt32LE(index, HEADER_BYTES + at * INDEX_BYTES);
  const end = bytes.length - CHECKSUM_BYTES;
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, end)), end);
  return bytes;
}

/** Null for anything that is not a whole trace of this version: then there is none. */
export function decodeTrace(bytes: Buffer): AccessTrace | null {
  if (bytes.length < HEADER_BYTES + CHECKSUM_BYTES || bytes.length > TRACE_BYTES_MAX) return null;
  const end = bytes.length - CHECKSUM_BYTES;
  const isOurs = bytes.subarray(0, MAGIC.length).equals(MAGIC) && bytes.readUInt32LE(8) === VERSION;
  const count = bytes.readUInt32LE(12);
  if (!isOurs || end !== HEADER_BYTES + count * INDEX_BYTES) return null;
  if (bytes.readUInt32LE(end) !== crc32c(bytes.subarray(0, end))) return null;
  const trace = Array.from({ length: count }, (_, at) => bytes.readUInt32LE(HEADER_BYTES + at * INDEX_BYTES));
  return new Set(trace).size === count ? trace : null;
}

/** One trace after another, without what came before. */
export function joinTraces(first: AccessTrace, second: AccessTrace): AccessTrace {
  return [...new Set([...first, ...second])].slice(0, TRACE_COUNT_MAX);
}
