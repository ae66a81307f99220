import type { Log } from '#base/log.ts';
import type { BlockDevice } from '#block/device.ts';
import { ERRNO, type Errno } from '#wire/nbd/constants.ts';
import type { Cookie } from '#wire/nbd/reply.ts';
import { errnoOf } from './nbd-errno.ts';
import type { NbdFlight } from './nbd-flight.ts';
import { READ_PIECE_BYTES_MAX } from './nbd-limits.ts';
import type { NbdSender } from './nbd-sender.ts';

/** Puts the header of a reply that carries `length` bytes. */
export type PutHeader = (bytes: Buffer, at: number, cookie: Cookie, offset: number, length: number) => void;

/**
 * A READ whose reply is one message of any size: the client takes no chunks, or wants one only. It is read piece by piece
 * as the client takes the pieces, so that it costs no memory of its size.
 *
 * Its header goes with the first piece, and from there to its last byte nothing else may be sent. So it begins when nothing
 * else is in flight, and the next request is looked at when it has ended. An error in the first piece is told in the header;
 * behind the header there is no place for one, and the protocol leaves only to close the connection.
 */
export class NbdSerialRead {
  readonly #device: BlockDevice;
  readonly #sender: NbdSender;
  readonly #flight: NbdFlight;
  readonly #log: Log;
  readonly #headerBytes: number;
  readonly #putHeader: PutHeader;
  readonly #fail: (cookie: Cookie, errno: Errno) => void;
  #cookie: Cookie = { cookieHigh: 0, cookieLow: 0 };
  #begin = 0;
  #next = 0;
  #end = 0;
  /** The device is at a piece. */
  #reading = false;
  #broken = false;

  constructor(options: {
    readonly device: BlockDevice;
    readonly sender: NbdSender;
    readonly flight: NbdFlight;
    readonly log: Log;
    readonly headerBytes: number;
    readonly putHeader: PutHeader;
    readonly fail: (cookie: Cookie, errno: Errno) => void;
  }) {
    this.#device = options.device;
    this.#sender = options.sender;
    this.#flight = options.flight;
    this.#log = options.log;
    this.#headerBytes = options.headerBytes;
    this.#putHeader = options.putHeader;
    this.#fail = options.fail;
  }

  get unfinished(): boolean {
    return this.#next < this.#end || this.#reading || this.#broken;
  }

  begin(cookie: Cookie, offset: number, length: number): void {
    this.#cookie = cookie;
    this.#begin = offset;
    this.#next = offset;
    this.#end = offset + length;
  }

  /** The next piece. `busy`: when something in flight has finished. `violation`: the connection has to be closed. */
  step(): 'next' | 'busy' | 'violation' {
    if (this.#broken) return 'violation';
    if (!this.#flight.empty) return 'busy';
    const offset = this.#next;
    const length = Math.min(this.#end - offset, READ_PIECE_BYTES_MAX);
    const headerBytes = offset === this.#begin ? this.#headerBytes : 0;
    const count = headerBytes + length;
    const segment = this.#sender.reserve(count);
    const { at } = this.#sender;
    let reading: Promise<void> | void;
    try {
      reading = this.#device.read(offset, segment.subarray(at + headerBytes, at + count));
    } catch (error) {
      return this.#failed(offset, error);
    }
    this.#next = offset + length;
    if (headerBytes > 0) this.#putHeader(segment, at, this.#cookie, this.#begin, this.#end - this.#begin);
    if (reading === undefined) {
      this.#sender.commit(count);
      return 'next';
    }
    const place = this.#sender.detach();
    this.#reading = true;
    this.#flight.begin(length);
    const settle = (answer: () => void): void => {
      this.#reading = false;
      answer();
      this.#flight.finish(length);
    };
    void reading.then(
      () => settle(() => this.#sender.appendSegment(place.segment, place.at, count)),
      (error: unknown) => settle(() => void this.#failed(offset, error)),
    );
    return 'busy';
  }

  #failed(offset: number, error: unknown): 'next' | 'violation' {
    const errno = errnoOf(error, this.#log);
    this.#next = this.#end;
    if (offset === this.#begin) {
      this.#fail(this.#cookie, errno === ERRNO.none ? ERRNO.EIO : errno);
      return 'next';
    }
    this.#log.warn('nbd.read-failed-midway', { offset });
    this.#broken = true;
    return 'violation';
  }
}
