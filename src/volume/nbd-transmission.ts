import { setImmediate } from 'node:timers/promises';
import type { Log } from '#base/log.ts';
import type { BlockDevice, Extent } from '#block/device.ts';
import { COMMAND, COMMAND_FLAG, ERRNO, REQUEST_BYTES_MAX, type Errno } from '#wire/nbd/constants.ts';
import {
  ERROR_CHUNK_BYTES,
  SIMPLE_REPLY_BYTES,
  putErrorChunk,
  putSimpleReply,
  putStatusChunk,
  statusChunkBytes,
  statusRuns,
  type Cookie,
} from '#wire/nbd/reply.ts';
import {
  REQUEST_HEADER_BYTES,
  blankRequest,
  decodeRequest,
  requestErrno,
  type Request,
  type Terms,
} from '#wire/nbd/request.ts';
import { errnoOf } from './nbd-errno.ts';
import type { NbdFlight } from './nbd-flight.ts';
import { CACHE_BYTES_MAX, READ_PIECE_BYTES_MAX, STATUS_RUNS_MAX } from './nbd-limits.ts';
import { NbdReads } from './nbd-reads.ts';
import type { NbdReceiver } from './nbd-receiver.ts';
import type { NbdSender } from './nbd-sender.ts';
import { NbdWrites } from './nbd-writes.ts';

/** `next`: call again. `more`: when `wanted` bytes are held. `busy`: when something in flight has finished. `disconnect`: the client wants to go. `violation`: this is no NBD. */
export type Step = 'next' | 'more' | 'busy' | 'disconnect' | 'violation';

/** What was agreed on in the handshake. */
export interface Agreement {
  readonly structured: boolean;
  /** Id of `base:allocation` in answers, or null when it was not selected. */
  readonly statusContextId: number | null;
}

/**
 * The transmission phase: takes one request after another from the receiver, has the device do it, and puts the reply to
 * the sender. A request that the device does at once is answered before the next is looked at; others overlap, and are
 * answered when they are done. It knows neither sockets nor time.
 */
export class NbdTransmission {
  readonly #device: BlockDevice;
  readonly #terms: Terms;
  readonly #statusContextId: number;
  readonly #receiver: NbdReceiver;
  readonly #sender: NbdSender;
  readonly #flight: NbdFlight;
  readonly #log: Log;
  readonly #reads: NbdReads;
  readonly #writes: NbdWrites;
  readonly #request: Request = blankRequest();
  readonly #signal: AbortSignal;
  #closed = false;
  /** Bytes that must be held before `step` gets any further. */
  wanted = REQUEST_HEADER_BYTES;

  constructor(options: {
    readonly device: BlockDevice;
    readonly agreement: Agreement;
    readonly receiver: NbdReceiver;
    readonly sender: NbdSender;
    readonly flight: NbdFlight;
    readonly log: Log;
    /** Aborted when the client is gone: the device changes nothing for it any more. */
    readonly signal: AbortSignal;
  }) {
    const { device, agreement, receiver, sender, flight, log, signal } = options;
    this.#device = device;
    this.#terms = {
      sizeBytes: device.sizeBytes,
      readOnly: device.readOnly,
      structured: agreement.structured,
      blockStatus: agreement.statusContextId !== null,
    };
    this.#statusContextId = agreement.statusContextId ?? 0;
    this.#receiver = receiver;
    this.#sender = sender;
    this.#flight = flight;
    this.#log = log;
    this.#signal = signal;
    this.#reads = new NbdReads({ device, structured: agreement.structured, sender, flight, log });
    this.#writes = new NbdWrites({
      device,
      receiver,
      flight,
      log,
      signal,
      reply: (cookie, errno) => this.#reply(cookie, errno),
    });
  }

  step(): Step {
    if (this.#reads.unfinished) return this.#stepRead();
    if (this.#writes.unfinished) return this.#stepWrite();
    return this.#takeRequest();
  }

  /** Nothing new is begun for this client any more. */
  close(): void {
    this.#closed = true;
  }

  #stepRead(): Step {
    if (!this.#flight.admits(READ_PIECE_BYTES_MAX)) return 'busy';
    return this.#reads.step();
  }

  #stepWrite(): Step {
    if (!this.#flight.admits(this.#writes.bytesNeeded)) return 'busy';
    const wanted = this.#writes.step();
    if (wanted === 0) {
      this.wanted = REQUEST_HEADER_BYTES;
      return 'next';
    }
    this.wanted = wanted;
    return 'more';
  }

  #takeRequest(): Step {
    const receiver = this.#receiver;
    if (receiver.held < REQUEST_HEADER_BYTES) {
      this.wanted = REQUEST_HEADER_BYTES;
      return 'more';
    }
    const request = this.#request;
    if (!decodeRequest(receiver.bytes, receiver.start, request)) return 'violation';
    const errno = requestErrno(request, this.#terms);
    if (request.command === COMMAND.write) {
      // What follows is data, whether or not they are wanted; beyond the limit they are not even thrown away.
      if (request.length > REQUEST_BYTES_MAX) return 'violation';
      receiver.use(REQUEST_HEADER_BYTES);
      if (request.length === 0) this.#reply(request, errno);
      else this.#writes.begin(request, errno);
      return 'next';
    }
    if (errno === ERRNO.none && !this.#flight.admits(this.#bytesNeeded(request))) return 'busy';
    receiver.use(REQUEST_HEADER_BYTES);
    if (errno === ERRNO.none) return this.#carryOut(request);
    this.#fail(request, errno);
    return 'next';
  }

  #bytesNeeded(request: Request): number {
    if (request.command === COMMAND.read) return this.#reads.bytesNeeded(request);
    return request.command === COMMAND.cache ? READ_PIECE_BYTES_MAX : 0;
  }

  #carryOut(request: Request): Step {
    switch (request.command) {
      case COMMAND.read:
        this.#reads.begin(request);
        break;
      case COMMAND.flush:
        this.#run(request, 0, () => this.#device.flush());
        break;
      case COMMAND.trim:
        this.#zero(request, true);
        break;
      case COMMAND.writeZeroes:
        this.#zero(request, (request.flags & COMMAND_FLAG.noHole) === 0);
        break;
      case COMMAND.blockStatus:
        this.#status(request);
        break;
      case COMMAND.cache:
        this.#run(request, READ_PIECE_BYTES_MAX, () => this.#warm(request.offset, request.length));
        break;
      default:
        return 'disconnect';
    }
    return 'next';
  }

  #zero(request: Request, punch: boolean): void {
    const fua = (request.flags & COMMAND_FLAG.fua) !== 0;
    const options = { fua, punch, fast: (request.flags & COMMAND_FLAG.fastZero) !== 0, signal: this.#signal };
    this.#run(request, 0, () => this.#device.zero(request.offset, request.length, options));
  }

  #status(request: Request): void {
    const countMax = (request.flags & COMMAND_FLAG.reqOne) === 0 ? STATUS_RUNS_MAX : 1;
    let extents: Promise<readonly Extent[]> | readonly Extent[];
    try {
      extents = this.#device.extents(request.offset, request.length, countMax);
    } catch (error) {
      this.#fail(request, errnoOf(error, this.#log));
      return;
    }
    if (!(extents instanceof Promise)) {
      this.#putStatus(request, extents);
      return;
    }
    const cookie: Cookie = { cookieHigh: request.cookieHigh, cookieLow: request.cookieLow };
    this.#flight.begin(0);
    void extents
      .then(
        (found) => this.#putStatus(cookie, found),
        (error: unknown) => this.#failChunk(cookie, errnoOf(error, this.#log)),
      )
      .then(() => this.#flight.finish(0));
  }

  #putStatus(cookie: Cookie, extents: readonly Extent[]): void {
    const runs = statusRuns(extents);
    const count = statusChunkBytes(runs.length);
    const segment = this.#sender.reserve(count);
    putStatusChunk(segment, this.#sender.at, cookie, this.#statusContextId, runs);
    this.#sender.commit(count);
  }

  /** Has the device fetch what is slow to read. Other work goes on between the pieces; trouble shows when it is read. */
  async #warm(offset: number, length: number): Promise<void> {
    const end = offset + Math.min(length, CACHE_BYTES_MAX);
    const scratch = Buffer.allocUnsafe(Math.min(end - offset, READ_PIECE_BYTES_MAX));
    for (let next = offset; next < end && !this.#closed; next += scratch.length) {
      await this.#device.read(next, scratch.subarray(0, Math.min(scratch.length, end - next)));
      await setImmediate();
    }
  }

  /** Work that is answered with an errno alone, with `bytes` in flight when it takes longer than the call. */
  #run(request: Request, bytes: number, work: () => Promise<void> | void): void {
    let running: Promise<void> | void;
    try {
      running = work();
    } catch (error) {
      this.#reply(request, errnoOf(error, this.#log));
      return;
    }
    if (running === undefined) {
      this.#reply(request, ERRNO.none);
      return;
    }
    const cookie: Cookie = { cookieHigh: request.cookieHigh, cookieLow: request.cookieLow };
    this.#flight.begin(bytes);
    const settle = (errno: Errno): void => {
      this.#reply(cookie, errno);
      this.#flight.finish(bytes);
    };
    void running.then(
      () => settle(ERRNO.none),
      (error: unknown) => settle(errnoOf(error, this.#log)),
    );
  }

  /** The protocol wants a structured reply, also with an error, where the answer would carry data. */
  #fail(request: Request, errno: Errno): void {
    if (request.command === COMMAND.read) {
      this.#reads.fail(request, errno);
    } else if (request.command === COMMAND.blockStatus && this.#terms.structured) {
      this.#failChunk(request, errno);
    } else {
      this.#reply(request, errno);
    }
  }

  #failChunk(cookie: Cookie, errno: Errno): void {
    const segment = this.#sender.reserve(ERROR_CHUNK_BYTES);
    putErrorChunk(segment, this.#sender.at, cookie, errno);
    this.#sender.commit(ERROR_CHUNK_BYTES);
  }

  #reply(cookie: Cookie, errno: Errno): void {
    const segment = this.#sender.reserve(SIMPLE_REPLY_BYTES);
    putSimpleReply(segment, this.#sender.at, cookie, errno);
    this.#sender.commit(SIMPLE_REPLY_BYTES);
  }
}
