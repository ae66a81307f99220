import { assert } from '#base/assert.ts';
import { crc32c } from '#base/crc32c.ts';
import type { CutId, Epoch, Generation } from '#domain/ids.ts';

/** A record of the map's log; docs/formats/volume.md has the bytes. */
export type LogRecord =
  /** First in a log. Numbers its records from `firstSequence`; the next `tailBytes` repeat what the log before has from there on. */
  | { readonly kind: 'start'; readonly firstSequence: number; readonly tailBytes: number; readonly bootId: string }
  /** A writer begins. Records from `voidSequence` on, up to this one, do not count: power was lost before they were committed. */
  | { readonly kind: 'open'; readonly generation: Generation; readonly voidSequence: number; readonly bootId: string }
  /** Chunks [index, index + count) are in `state` since `epoch`. More than one only when they are zeros. */
  | {
      readonly kind: 'put';
      readonly index: number;
      readonly count: number;
      readonly state: number;
      readonly epoch: Epoch;
    }
  /** Blocks [first, first + count) of a chunk are in a partial slot since `epoch`: the one where the chunk is, or a new one above that. */
  | {
      readonly kind: 'part';
      readonly index: number;
      readonly slot: number;
      readonly epoch: Epoch;
      readonly first: number;
      readonly count: number;
    }
  | { readonly kind: 'cut'; readonly cut: CutId; readonly epoch: Epoch }
  | { readonly kind: 'release'; readonly epoch: Epoch }
  /** Data that records below `sequence` point to is durable. The first `syncedBytes` of this log were durable when it was written. */
  | { readonly kind: 'commit'; readonly sequence: number; readonly syncedBytes: number };

const START = 1;
const OPEN = 2;
const PUT = 3;
const CUT = 4;
const RELEASE = 5;
const COMMIT = 6;
const PART = 7;

/** Frames begin and end at multiples of it. */
export const FRAME_ALIGN = 8;
export const FRAME_BYTES_MIN = 16;
/** Of the kinds with most numbers. */
const LONG_FRAME_BYTES = 24;
/** A cut's or boot's name of NAME_BYTES_MAX, and the longest rest. */
export const FRAME_BYTES_MAX = 256;
const NAME_BYTES_MAX = 200;
const CRC_BYTES = 4;
const NAME = /^[\x21-\x7e]{1,200}$/;

/** A frame: kind (u8), zero (u8), bytes of the frame (u16), the body, and CRC-32C of all but itself, going on from the CRC of the frame before. */
export interface Frame {
  readonly record: LogRecord;
  readonly frameBytes: number;
  readonly crc: number;
}

/** Whether a name can be in a record. */
export function isRecordName(name: string): boolean {
  return NAME.test(name);
}

/** Writes the frame to the beginning of `target`, all but the CRC; answers its bytes. */
export function encodeFrame(record: LogRecord, target: Buffer): number {
  target.fill(0, 0, FRAME_BYTES_MAX);
  switch (record.kind) {
    case 'start':
      target.writeUInt32LE(record.tailBytes, 4);
      writeSequence(target, record.firstSequence, 8);
      return finishFrame(target, START, 16 + writeName(target, record.bootId, 16));
    case 'open':
      target.writeUInt32LE(record.generation, 4);
      writeSequence(target, record.voidSequence, 8);
      return finishFrame(target, OPEN, 16 + writeName(target, record.bootId, 16));
    case 'put':
      target.writeUInt32LE(record.index, 4);
      target.writeUInt32LE(record.count, 8);
      target.writeUInt32LE(record.state, 12);
      target.writeUInt32LE(record.epoch, 16);
      return finishFrame(target, PUT, 20);
    case 'part':
      target.writeUInt32LE(record.index, 4);
      target.writeUInt32LE(record.slot, 8);
      target.writeUInt32LE(record.epoch, 12);
      target.writeUInt16LE(record.first, 16);
      target.writeUInt16LE(record.count, 18);
      return finishFrame(target, PART, 20);
    case 'cut':
      target.writeUInt32LE(record.epoch, 4);
      return finishFrame(target, CUT, 8 + writeName(target, record.cut, 8));
    case 'release':
      target.writeUInt32LE(record.epoch, 4);
      return finishFrame(target, RELEASE, 8);
    case 'commit':
      target.writeUInt32LE(record.syncedBytes, 4);
      writeSequence(target, record.sequence, 8);
      return finishFrame(target, COMMIT, 16);
  }
}

/** Writes the CRC of a frame that follows one with the CRC `before`; answers it. */
export function sealFrame(target: Buffer, frameBytes: number, before: number): number {
  const crc = crc32c(target.subarray(0, frameBytes - CRC_BYTES), before);
  target.writeUInt32LE(crc, frameBytes - CRC_BYTES);
  return crc;
}

/** Copies a good frame to another log, where it is to be sealed again; answers its bytes. */
export function moveFrame(from: Buffer, fromAt: number, target: Buffer, targetAt: number): number {
  const frameBytes = from.readUInt16LE(fromAt + 2);
  from.copy(target, targetAt, fromAt, fromAt + frameBytes);
  // What a COMMIT says was synced are bytes of the log in which it was written.
  if (from.readUInt8(fromAt) === COMMIT) target.writeUInt32LE(0, targetAt + 4);
  return frameBytes;
}

/** The frame at `at`, when a whole one is there that follows a frame with the CRC `before`. */
export function decodeFrame(bytes: Buffer, at: number, before: number): Frame | null {
  if (at + FRAME_BYTES_MIN > bytes.length) return null;
  const kind = bytes.readUInt8(at);
  const frameBytes = bytes.readUInt16LE(at + 2);
  if (kind < START || kind > PART || bytes.readUInt8(at + 1) !== 0) return null;
  if (
    frameBytes < (kind === PUT || kind === PART ? LONG_FRAME_BYTES : FRAME_BYTES_MIN) ||
    frameBytes > FRAME_BYTES_MAX ||
    frameBytes % FRAME_ALIGN !== 0
  )
    return null;
  if (at + frameBytes > bytes.length) return null;
  const end = at + frameBytes - CRC_BYTES;
  const crc = bytes.readUInt32LE(end);
  if (crc32c(bytes.subarray(at, end), before) !== crc) return null;
  return { record: decodeBody(kind, bytes, at, end), frameBytes, crc };
}

function decodeBody(kind: number, bytes: Buffer, at: number, end: number): LogRecord {
  const first = bytes.readUInt32LE(at + 4);
  switch (kind) {
    case START:
      return {
        kind: 'start',
        tailBytes: first,
        firstSequence: readSequence(bytes, at + 8),
        bootId: readName(bytes, at + 16, end),
      };
    case OPEN:
      return {
        kind: 'open',
        generation: first,
        voidSequence: readSequence(bytes, at + 8),
        bootId: readName(bytes, at + 16, end),
      };
    case PUT:
      return {
        kind: 'put',
        index: first,
        count: bytes.readUInt32LE(at + 8),
        state: bytes.readUInt32LE(at + 12),
        epoch: bytes.readUInt32LE(at + 16),
      };
    case CUT:
      return { kind: 'cut', epoch: first, cut: readName(bytes, at + 8, end) as CutId };
    case RELEASE:
      return { kind: 'release', epoch: first };
    case COMMIT:
      return { kind: 'commit', syncedBytes: first, sequence: readSequence(bytes, at + 8) };
    default:
      assert(kind === PART, 'a frame is of a known kind');
      return {
        kind: 'part',
        index: first,
        slot: bytes.readUInt32LE(at + 8),
        epoch: bytes.readUInt32LE(at + 12),
        first: bytes.readUInt16LE(at + 16),
        count: bytes.readUInt16LE(at + 18),
      };
  }
}

function finishFrame(target: Buffer, kind: number, usedBytes: number): number {
  const frameBytes = Math.ceil((usedBytes + CRC_BYTES) / FRAME_ALIGN) * FRAME_ALIGN;
  target.writeUInt8(kind, 0);
  target.writeUInt16LE(frameBytes, 2);
  return frameBytes;
}

function writeSequence(target: Buffer, sequence: number, at: number): void {
  assert(Number.isSafeInteger(sequence) && sequence >= 0, 'a sequence is a whole number');
  target.writeBigUInt64LE(BigInt(sequence), at);
}

function readSequence(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

function writeName(target: Buffer, name: string, at: number): number {
  assert(isRecordName(name), `a name in a record is 1 to ${NAME_BYTES_MAX} visible ASCII characters`);
  return target.write(name, at, 'latin1');
}

function readName(bytes: Buffer, at: number, end: number): string {
  let length = end - at;
  while (length > 0 && bytes[at + length - 1] === 0) length -= 1;
  return bytes.toString('latin1', at, at + length);
}
