import type { Log } from '#base/log.ts';
import type { BlockDevice, WriteOptions } from '#block/device.ts';
import { BLOCK_BYTES } from '#domain/geometry.ts';
import { COMMAND_FLAG, ERRNO, type Errno } from '#wire/nbd/constants.ts';
import type { Cookie } from '#wire/nbd/reply.ts';
import type { Request } from '#wire/nbd/request.ts';
import type { Lease } from './nbd-buffers.ts';
import { errnoOf } from './nbd-errno.ts';
import type { NbdFlight } from './nbd-flight.ts';
import { WRITE_PART_BYTES_MIN, WRITE_PIECE_BYTES_MAX } from './nbd-limits.ts';
import type { NbdReceiver } from './nbd-receiver.ts';

/** A WRITE of which the device holds a part: kept only when the device answers with a promise. */
interface Held {
  readonly cookie: Cookie;
  pending: number;
  /** All pieces were given to the device, or none will be any more. */
  complete: boolean;
  errno: Errno;
}

/**
 * Carries out WRITE, whose data follow its header. The data go to the device from where they were received, in pieces that
 * end where the device's chunks end; so a write of any size needs one piece in memory, and the device sees whole chunks.
 * When one piece fails, the rest of the data is thrown away, for the next request comes behind it.
 */
export class NbdWrites {
  readonly #device: BlockDevice;
  readonly #receiver: NbdReceiver;
  readonly #flight: NbdFlight;
  readonly #log: Log;
  readonly #reply: (cookie: Cookie, errno: Errno) => void;
  readonly #cookie = { cookieHigh: 0, cookieLow: 0 };
  readonly #volatile: WriteOptions;
  readonly #durableOptions: WriteOptions;
  #underWay = false;
  #next = 0;
  #end = 0;
  #durable = false;
  #errno: Errno = ERRNO.none;
  #held: Held | null = null;

  constructor(options: {
    readonly device: BlockDevice;
    readonly receiver: NbdReceiver;
    readonly flight: NbdFlight;
    readonly log: Log;
    /** Aborted when the client is gone. */
    readonly signal: AbortSignal;
    readonly reply: (cookie: Cookie, errno: Errno) => void;
  }) {
    this.#device = options.device;
    this.#receiver = options.receiver;
    this.#flight = options.flight;
    this.#log = options.log;
    this.#reply = options.reply;
    this.#volatile = { fua: false, signal: options.signal };
    this.#durableOptions = { fua: true, signal: options.signal };
  }

  /** Data of a WRITE are expected; `step` must be called before anything else is taken. */
  get unfinished(): boolean {
    return this.#underWay;
  }

  /** Bytes that the next step will have in flight. */
  get bytesNeeded(): number {
    return this.#errno === ERRNO.none ? this.#pieceBytes() : 0;
  }

  /** Begins a WRITE whose header was used. With an errno, its data are thrown away and the client is told. */
  begin(request: Request, errno: Errno): void {
    this.#underWay = true;
    this.#cookie.cookieHigh = request.cookieHigh;
    this.#cookie.cookieLow = request.cookieLow;
    this.#next = request.offset;
    this.#end = request.offset + request.length;
    this.#durable = (request.flags & COMMAND_FLAG.fua) !== 0;
    this.#errno = errno;
    this.#held = null;
    if (errno !== ERRNO.none) {
      // Offsets of a bad request may be beyond what a number holds exactly; only the count matters.
      this.#next = 0;
      this.#end = request.length;
    }
  }

  /** Takes what was received of the data. 0: go on; otherwise, how many bytes must be held before it makes sense to go on. */
  step(): number {
    if (this.#errno !== ERRNO.none) return this.#throwAway();
    const wanted = this.#pieceBytes();
    let length = wanted;
    if (this.#receiver.held < wanted) {
      length = this.#receiver.held - ((this.#next + this.#receiver.held) % BLOCK_BYTES);
      if (length <= 0 || !(this.#receiver.crowded || this.#isWorthwhile(length))) return wanted;
    }
    this.#writePiece(length);
    if (this.#next === this.#end) this.#finish();
    return 0;
  }

  /** What was received is written while the processor's cache still has it, where the device does not mind. */
  #isWorthwhile(length: number): boolean {
    return (
      !this.#durable && length >= WRITE_PART_BYTES_MIN && this.#device.writesInPlace?.(this.#next, length) === true
    );
  }

  #pieceBytes(): number {
    return Math.min(this.#end - this.#next, WRITE_PIECE_BYTES_MAX - (this.#next % WRITE_PIECE_BYTES_MAX));
  }

  #writePiece(length: number): void {
    const lease = this.#receiver.own();
    const source = lease.bytes.subarray(this.#receiver.start, this.#receiver.start + length);
    const offset = this.#next;
    this.#receiver.use(length);
    this.#next += length;
    let writing: Promise<void> | void;
    try {
      writing = this.#device.write(offset, source, this.#durable ? this.#durableOptions : this.#volatile);
    } catch (error) {
      this.#errno = errnoOf(error, this.#log);
      return;
    }
    if (writing === undefined) return;
    const held = (this.#held ??= { cookie: { ...this.#cookie }, pending: 0, complete: false, errno: ERRNO.none });
    this.#await(writing, held, length, lease);
  }

  #throwAway(): number {
    const count = Math.min(this.#receiver.held, this.#end - this.#next);
    this.#receiver.use(count);
    this.#next += count;
    if (this.#next < this.#end) return 1;
    this.#finish();
    return 0;
  }

  /** All data were taken. */
  #finish(): void {
    this.#underWay = false;
    const held = this.#held;
    if (held === null) {
      this.#reply(this.#cookie, this.#errno);
      return;
    }
    this.#held = null;
    held.complete = true;
    if (held.errno === ERRNO.none) held.errno = this.#errno;
    if (held.pending === 0) this.#reply(held.cookie, held.errno);
  }

  #await(writing: Promise<void>, held: Held, length: number, lease: Lease): void {
    held.pending += 1;
    lease.hold();
    this.#flight.begin(length);
    const settle = (errno: Errno): void => {
      lease.release();
      held.pending -= 1;
      if (held.errno === ERRNO.none) held.errno = errno;
      if (held.complete && held.pending === 0) this.#reply(held.cookie, held.errno);
      this.#flight.finish(length);
    };
    void writing.then(
      () => settle(ERRNO.none),
      (error: unknown) => settle(errnoOf(error, this.#log)),
    );
  }
}
