import type { Log } from '#base/log.ts';
import type { BlockDevice } from '#block/device.ts';
import { COMMAND_FLAG, ERRNO, type Errno } from '#wire/nbd/constants.ts';
import {
  DATA_HEADER_BYTES,
  ERROR_CHUNK_BYTES,
  HOLE_BYTES,
  SIMPLE_REPLY_BYTES,
  putDataHeader,
  putErrorChunk,
  putHole,
  putSimpleReply,
  type Cookie,
} from '#wire/nbd/reply.ts';
import type { Request } from '#wire/nbd/request.ts';
import { errnoOf } from './nbd-errno.ts';
import type { NbdFlight } from './nbd-flight.ts';
import { HOLE_LOOKUP_BYTES_MIN, READ_PIECE_BYTES_MAX, READ_WHOLE_BYTES_MAX } from './nbd-limits.ts';
import type { NbdSender } from './nbd-sender.ts';
import { NbdSerialRead } from './nbd-serial-read.ts';

/** A READ that is answered in pieces. */
interface Pieces {
  readonly cookie: Cookie;
  /** The next byte to read, and where to stop. */
  next: number;
  readonly end: number;
  /** Pieces that the device still works on. */
  pending: number;
  errno: Errno;
}

/** A part of a detached segment: where a reply is being put together. */
interface Place {
  readonly segment: Buffer;
  readonly at: number;
}

/**
 * Answers READ. A small one is read straight into the segment of replies, behind room for its header; the device has done
 * it when the call returns, and the header follows. When the device answers with a promise instead, the segment stays with
 * the read, and the next reads get buffers of their own until the device is quick again.
 *
 * A large one, if the client takes chunks, goes piece by piece as the socket takes them, so that it costs no memory of its
 * size, and holes are told rather than sent. If the client does not take chunks, it is read whole before the header goes,
 * for the header says whether it worked; beyond a mebibyte NbdSerialRead answers it.
 */
export class NbdReads {
  readonly #device: BlockDevice;
  readonly #structured: boolean;
  readonly #sender: NbdSender;
  readonly #flight: NbdFlight;
  readonly #log: Log;
  readonly #headerBytes: number;
  readonly #serial: NbdSerialRead;
  #pieces: Pieces | null = null;
  /** The device answered the last read with a promise. */
  #deviceIsSlow = false;

  constructor(options: {
    readonly device: BlockDevice;
    readonly structured: boolean;
    readonly sender: NbdSender;
    readonly flight: NbdFlight;
    readonly log: Log;
  }) {
    this.#device = options.device;
    this.#structured = options.structured;
    this.#sender = options.sender;
    this.#flight = options.flight;
    this.#log = options.log;
    this.#headerBytes = options.structured ? DATA_HEADER_BYTES : SIMPLE_REPLY_BYTES;
    this.#serial = new NbdSerialRead({
      device: options.device,
      sender: options.sender,
      flight: options.flight,
      log: options.log,
      headerBytes: this.#headerBytes,
      putHeader: (bytes, at, cookie, offset, length) => this.#putHeader(bytes, at, cookie, offset, length, true),
      fail: (cookie, errno) => this.fail(cookie, errno),
    });
  }

  /** A READ is under way that `step` must be called for before anything else is begun. */
  get unfinished(): boolean {
    return this.#pieces !== null || this.#serial.unfinished;
  }

  /** Bytes that the request needs in flight before it may begin. */
  bytesNeeded(request: Request): number {
    if (this.#inPieces(request) || request.length > READ_WHOLE_BYTES_MAX) return READ_PIECE_BYTES_MAX;
    return request.length;
  }

  begin(request: Request): void {
    if (this.#inPieces(request)) {
      this.#pieces = {
        cookie: copyOf(request),
        next: request.offset,
        end: request.offset + request.length,
        pending: 0,
        errno: ERRNO.none,
      };
    } else if (request.length > READ_WHOLE_BYTES_MAX) {
      this.#serial.begin(copyOf(request), request.offset, request.length);
    } else if (request.length > READ_PIECE_BYTES_MAX || this.#deviceIsSlow) {
      this.#readApart(copyOf(request), request.offset, request.length, null);
    } else {
      this.#readInSegment(request, request.offset, request.length, null);
    }
  }

  /** The next piece of the READ under way. `busy`: when something in flight has finished. `violation`: the connection has to be closed. */
  step(): 'next' | 'busy' | 'violation' {
    const pieces = this.#pieces;
    if (pieces === null) return this.#serial.step();
    this.#stepPieces(pieces);
    return 'next';
  }

  #stepPieces(pieces: Pieces): void {
    const offset = pieces.next;
    const extent = this.#extentAt(offset, pieces.end - offset);
    if (extent.zero) {
      this.#advance(pieces, extent.length);
      this.#sendHole(pieces, offset, extent.length);
      return;
    }
    const length = Math.min(extent.length, READ_PIECE_BYTES_MAX);
    this.#advance(pieces, length);
    if (this.#deviceIsSlow) this.#readApart(pieces.cookie, offset, length, pieces);
    else this.#readInSegment(pieces.cookie, offset, length, pieces);
  }

  fail(cookie: Cookie, errno: Errno): void {
    const count = this.#structured ? ERROR_CHUNK_BYTES : SIMPLE_REPLY_BYTES;
    const segment = this.#sender.reserve(count);
    if (this.#structured) putErrorChunk(segment, this.#sender.at, cookie, errno);
    else putSimpleReply(segment, this.#sender.at, cookie, errno);
    this.#sender.commit(count);
  }

  #inPieces(request: Request): boolean {
    return this.#structured && (request.flags & COMMAND_FLAG.df) === 0 && request.length >= HOLE_LOOKUP_BYTES_MIN;
  }

  /** What begins at `offset`. A device that cannot say at once is read, and fails there if it must. */
  #extentAt(offset: number, length: number): { readonly length: number; readonly zero: boolean } {
    try {
      const extents = this.#device.extents(offset, length, 1);
      if (!(extents instanceof Promise)) return extents[0] ?? { length, zero: false };
      extents.catch(() => {}); // The read looks as well, and is told.
      return { length, zero: false };
    } catch (error) {
      errnoOf(error, this.#log);
      return { length, zero: false };
    }
  }

  #advance(pieces: Pieces, length: number): void {
    pieces.next += length;
    if (pieces.next === pieces.end) this.#pieces = null;
  }

  #sendHole(pieces: Pieces, offset: number, length: number): void {
    const segment = this.#sender.reserve(HOLE_BYTES);
    putHole(segment, this.#sender.at, pieces.cookie, offset, length, isLast(pieces));
    this.#sender.commit(HOLE_BYTES);
  }

  #readInSegment(cookie: Cookie, offset: number, length: number, pieces: Pieces | null): void {
    const count = this.#headerBytes + length;
    const segment = this.#sender.reserve(count);
    const at = this.#sender.at;
    const dataAt = at + this.#headerBytes;
    let reading: Promise<void> | void;
    try {
      reading = this.#device.read(offset, segment.subarray(dataAt, dataAt + length));
    } catch (error) {
      this.#failed(cookie, errnoOf(error, this.#log), pieces);
      return;
    }
    if (reading === undefined) {
      this.#putHeader(segment, at, cookie, offset, length, pieces === null || isLast(pieces));
      this.#sender.commit(count);
      return;
    }
    this.#deviceIsSlow = true;
    const place = this.#sender.detach();
    this.#await(reading, pieces === null ? copyOf(cookie) : cookie, offset, length, pieces, place);
  }

  #readApart(cookie: Cookie, offset: number, length: number, pieces: Pieces | null): void {
    const bytes = this.#sender.takeReply(this.#headerBytes + length);
    let reading: Promise<void> | void;
    try {
      reading = this.#device.read(offset, bytes.subarray(this.#headerBytes));
    } catch (error) {
      this.#sender.discard(bytes);
      this.#failed(cookie, errnoOf(error, this.#log), pieces);
      return;
    }
    this.#deviceIsSlow = reading !== undefined;
    if (reading !== undefined) {
      this.#await(reading, cookie, offset, length, pieces, { segment: bytes, at: -1 });
      return;
    }
    this.#putHeader(bytes, 0, cookie, offset, length, pieces === null || isLast(pieces));
    this.#sender.append(bytes);
  }

  /** Answers when the device has read. `place.at` -1: the buffer is the read's own and not a segment. */
  #await(
    reading: Promise<void>,
    cookie: Cookie,
    offset: number,
    length: number,
    pieces: Pieces | null,
    place: Place,
  ): void {
    this.#flight.begin(length);
    if (pieces !== null) pieces.pending += 1;
    const answer = (): void => {
      if (pieces !== null) pieces.pending -= 1;
      const at = Math.max(place.at, 0);
      this.#putHeader(place.segment, at, cookie, offset, length, pieces === null || isLast(pieces));
      if (place.at === -1) this.#sender.append(place.segment);
      else this.#sender.appendSegment(place.segment, at, this.#headerBytes + length);
      if (pieces !== null && pieces.errno !== ERRNO.none) this.#endIfDone(pieces);
      this.#flight.finish(length);
    };
    void reading.then(answer, (error: unknown) => {
      if (pieces !== null) pieces.pending -= 1;
      this.#failed(cookie, errnoOf(error, this.#log), pieces);
      this.#flight.finish(length);
    });
  }

  #failed(cookie: Cookie, errno: Errno, pieces: Pieces | null): void {
    if (pieces === null) {
      this.fail(cookie, errno);
      return;
    }
    if (pieces.errno === ERRNO.none) pieces.errno = errno;
    // No piece of it is begun any more.
    if (this.#pieces === pieces) this.#pieces = null;
    pieces.next = pieces.end;
    this.#endIfDone(pieces);
  }

  /** The error comes last, after the pieces that were on their way. */
  #endIfDone(pieces: Pieces): void {
    if (pieces.pending === 0) this.fail(pieces.cookie, pieces.errno);
  }

  #putHeader(bytes: Buffer, at: number, cookie: Cookie, offset: number, length: number, last: boolean): void {
    if (this.#structured) putDataHeader(bytes, at, cookie, offset, length, last);
    else putSimpleReply(bytes, at, cookie, ERRNO.none);
  }
}

/** Nothing of the READ comes after what is being answered now. */
function isLast(pieces: Pieces): boolean {
  return pieces.next === pieces.end && pieces.pending === 0 && pieces.errno === ERRNO.none;
}

function copyOf(cookie: Cookie): Cookie {
  return { cookieHigh: cookie.cookieHigh, cookieLow: cookie.cookieLow };
}
