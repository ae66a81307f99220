import { assert } from '#base/assert.ts';
import { crc32c } from '#base/crc32c.ts';

import {
  decodeFrame,
  encodeFrame,
  FRAME_ALIGN,
  FRAME_BYTES_MAX,
  type LogRecord,
  moveFrame,
  sealFrame,
} from './log-record.ts';
import { readWhole, replaceFile, type VolumeFile, type VolumeFiles, writeWhole } from './volume-files.ts';

/*
 * The log of the map: a header and frames, one after another, then zeros.
 *
 * Each frame's CRC goes on from the CRC of the frame before, the first from the header's. So a frame counts only behind
 * exactly the frames behind which it was written: left-overs of an earlier use of the same bytes never do.
 *
 * The file is extended with zeros ahead of its end. Appending then changes bytes that the file system has allocated: a
 * sync has no metadata to write, and on a full disk there is room left for the records that give space back.
 *
 * What follows the last good frame may be a torn tail, which is cut off, or damage, which is an error. After a loss of power
 * anything may be missing behind what was synced, so it is damage only when a later COMMIT says that these bytes were
 * synced. While the machine runs, writes reach the file in their order, so any good frame behind a bad one shows damage.
 */

export const LOG_HEADER_BYTES = 32;
const MAGIC = 'VARVELOG';
/** Of logs that may have records of parts; those of version 1 get none, since whoever wrote them takes such a record for a torn tail. */
export const LOG_VERSION = 2;
const VERSION_MIN = 1;
const VERSION_AT = 8;
/** Zeros written ahead at a time. */
const EXTEND_BYTES = 64 * 1024;
/** What only records that give space back, or make durable, may use when the disk is full. */
const RESERVE_BYTES = 16 * 1024;

/** Which file this is: a log of another volume, or another log of this one, is not mistaken for it. */
export interface LogIdentity {
  readonly volumeTag: number;
  readonly number: number;
}

function encodeHeader(identity: LogIdentity, version = LOG_VERSION): Buffer {
  const header = Buffer.alloc(LOG_HEADER_BYTES);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt32LE(version, VERSION_AT);
  header.writeUInt32LE(identity.number, 12);
  header.writeUInt32LE(identity.volumeTag, 16);
  header.writeUInt32LE(crc32c(header.subarray(0, LOG_HEADER_BYTES - 4)), LOG_HEADER_BYTES - 4);
  return header;
}

/** Why a newer program's log is not read; null: it is none. */
export function newerLog(bytes: Buffer): string | null {
  if (bytes.length < LOG_HEADER_BYTES || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) return null;
  const version = bytes.readUInt32LE(VERSION_AT);
  return version > LOG_VERSION ? `has version ${version}; this program knows ${VERSION_MIN} to ${LOG_VERSION}` : null;
}

/** Makes a log with nothing in it; durable when it resolves. */
export async function createLog(files: VolumeFiles, path: string, identity: LogIdentity): Promise<void> {
  await replaceFile(files, path, encodeHeader(identity));
}

/** The bytes of a log that begins the volume: for a fresh directory. */
export function encodeFirstLog(identity: LogIdentity, bootId: string): Buffer {
  const header = encodeHeader(identity);
  const frame = Buffer.alloc(FRAME_BYTES_MAX);
  const frameBytes = encodeFrame({ kind: 'start', firstSequence: 0, tailBytes: 0, bootId }, frame);
  sealFrame(frame, frameBytes, header.readUInt32LE(LOG_HEADER_BYTES - 4));
  return Buffer.concat([header, frame.subarray(0, frameBytes)]);
}

/** Goes through the good frames of a log's bytes. */
export class LogReader {
  readonly bytes: Buffer;
  readonly version: number;
  /** Where the next frame begins. */
  offset = LOG_HEADER_BYTES;
  /** CRC of the frame before. */
  crc: number;

  private constructor(bytes: Buffer, version: number, crc: number) {
    this.bytes = bytes;
    this.version = version;
    this.crc = crc;
  }

  /** Null when these are not the bytes of that log. */
  static of(bytes: Buffer, identity: LogIdentity): LogReader | null {
    if (bytes.length < LOG_HEADER_BYTES) return null;
    const version = bytes.readUInt32LE(VERSION_AT);
    const header = encodeHeader(identity, version);
    const isKnown = version >= VERSION_MIN && version <= LOG_VERSION;
    if (!isKnown || !header.equals(bytes.subarray(0, LOG_HEADER_BYTES))) return null;
    return new LogReader(bytes, version, header.readUInt32LE(LOG_HEADER_BYTES - 4));
  }

  /** Another reader, at the same place. */
  fork(): LogReader {
    const reader = new LogReader(this.bytes, this.version, this.crc);
    reader.offset = this.offset;
    return reader;
  }

  /** Null where the good frames end. */
  next(): LogRecord | null {
    const frame = decodeFrame(this.bytes, this.offset, this.crc);
    if (frame === null) return null;
    this.offset += frame.frameBytes;
    this.crc = frame.crc;
    return frame.record;
  }

  /** Whether what follows the good frames cannot be a torn tail. `isSameBoot`: no power was lost since it was written. */
  isDamaged(isSameBoot: boolean): boolean {
    for (let at = this.offset + FRAME_ALIGN; at < this.bytes.length; at += FRAME_ALIGN) {
      if (this.bytes[at] === 0) continue;
      const frame = decodeFrame(this.bytes, at, this.bytes.readUInt32LE(at - 4));
      if (frame === null) continue;
      if (isSameBoot || (frame.record.kind === 'commit' && frame.record.syncedBytes > this.offset)) return true;
    }
    return false;
  }
}

/** A log that is written. */
export class MapLog implements Disposable {
  readonly number: number;
  readonly version: number;
  readonly #file: VolumeFile;
  readonly #frame = Buffer.alloc(FRAME_BYTES_MAX);
  /** Where the next frame goes. */
  #end: number;
  #crc: number;
  /** The file holds zeros from #end up to here, or what the last append left there. */
  #allocated: number;
  /** Known to be durable. */
  #synced = 0;

  constructor(
    file: VolumeFile,
    at: { readonly number: number; readonly version: number; readonly end: number; readonly crc: number },
  ) {
    this.#file = file;
    this.number = at.number;
    this.version = at.version;
    this.#end = at.end;
    this.#crc = at.crc;
    this.#allocated = Math.max(at.end, file.sizeBytes());
  }

  /** Opens a log that `createLog` made. */
  static openEmpty(files: VolumeFiles, path: string, identity: LogIdentity): MapLog {
    const crc = encodeHeader(identity).readUInt32LE(LOG_HEADER_BYTES - 4);
    const at = { number: identity.number, version: LOG_VERSION, end: LOG_HEADER_BYTES, crc };
    return new MapLog(files.open(path, 'existing'), at);
  }

  get end(): number {
    return this.#end;
  }

  get synced(): number {
    return this.#synced;
  }

  /** Overwrites what recovery found behind the good frames. */
  clearTail(tail: Buffer): void {
    const zeros = Buffer.alloc(tail.length);
    if (!tail.equals(zeros)) writeWhole(this.#file, zeros, this.#end);
  }

  /** Writes again what recovery found, with zeros behind the good frames: after a failed sync the kernel thinks it has. */
  rewrite(found: Buffer): void {
    writeWhole(this.#file, Buffer.concat([found.subarray(0, this.#end), Buffer.alloc(found.length - this.#end)]), 0);
  }

  /**
   * Appends a record; it is in the file (not yet durable) when this returns. Throws the system's error, and then the log is
   * as it was. `useReserve`: also when the disk is full.
   */
  append(record: LogRecord, useReserve: boolean): void {
    const frameBytes = encodeFrame(record, this.#frame);
    const crc = sealFrame(this.#frame, frameBytes, this.#crc);
    this.#write(this.#frame.subarray(0, frameBytes), useReserve);
    this.#crc = crc;
  }

  /** Begins an empty log: START, then the frames of `tail`, in one write. Answers where these begin. */
  begin(start: { readonly firstSequence: number; readonly bootId: string }, tail: Buffer): number {
    assert(this.#end === LOG_HEADER_BYTES, 'a log begins once');
    const bytes = Buffer.alloc(FRAME_BYTES_MAX + tail.length);
    let at = encodeFrame({ kind: 'start', tailBytes: tail.length, ...start }, bytes);
    const tailOffset = LOG_HEADER_BYTES + at;
    let crc = sealFrame(bytes, at, this.#crc);
    for (let from = 0; from < tail.length;) {
      const frameBytes = moveFrame(tail, from, bytes, at);
      crc = sealFrame(bytes.subarray(at), frameBytes, crc);
      from += frameBytes;
      at += frameBytes;
    }
    this.#write(bytes.subarray(0, at), false);
    this.#crc = crc;
    return tailOffset;
  }

  /** The frames from `offset` on. */
  framesFrom(offset: number): Buffer {
    const bytes = Buffer.alloc(this.#end - offset);
    assert(readWhole(this.#file, bytes, offset) === bytes.length, 'what was appended is in the file');
    return bytes;
  }

  /** Everything appended before the call is durable when it resolves. */
  async sync(): Promise<void> {
    const end = this.#end;
    await this.#file.sync();
    this.#synced = Math.max(this.#synced, end);
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  #write(bytes: Buffer, useReserve: boolean): void {
    if (this.#end + bytes.length + RESERVE_BYTES > this.#allocated) this.#extend(bytes.length, useReserve);
    // What a failed write leaves behind the end is not a frame, and the next append overwrites it.
    writeWhole(this.#file, bytes, this.#end);
    this.#end += bytes.length;
    this.#allocated = Math.max(this.#allocated, this.#end);
  }

  #extend(bytes: number, useReserve: boolean): void {
    const zeros = Math.ceil((bytes + RESERVE_BYTES) / EXTEND_BYTES) * EXTEND_BYTES;
    try {
      writeWhole(this.#file, new Uint8Array(zeros), this.#allocated);
      this.#allocated += zeros;
    } catch (error) {
      if (!useReserve) throw error; // Otherwise what was allocated before may do; the write itself will tell.
    }
  }
}
