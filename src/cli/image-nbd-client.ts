import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import {
  BASE_ALLOCATION,
  CHUNK,
  CHUNK_FLAG_DONE,
  COMMAND,
  ERRNO,
  EXPORT_FLAG,
  HANDSHAKE,
  INFO,
  MAGIC_HIGH,
  MAGIC_LOW,
  OPTION,
  OPTION_MAGIC_HIGH,
  OPTION_MAGIC_LOW,
  OPTION_REPLY,
  REQUEST_BYTES_MAX,
  SIMPLE_REPLY_MAGIC,
  STATE,
  STRUCTURED_REPLY_MAGIC,
} from '#wire/nbd/constants.ts';
import { encodeRequest } from '#wire/nbd/request.ts';

import { ByteQueue } from './image-byte-queue.ts';
import { CommandError } from './command-error.ts';

/** A run of bytes, and whether it reads as zeros. */
export interface NbdRun {
  readonly length: number;
  readonly zero: boolean;
}

interface Waiting {
  readonly what: string;
  readonly offset: number;
  /** Of a read. */
  readonly target: Buffer;
  readonly runs: NbdRun[];
  failure: Error | null;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const NOTHING = Buffer.alloc(0);

/**
 * An NBD client on a unix socket (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md), for images on their
 * way to and from disks of this server: any number of requests in flight, structured replies, `base:allocation`.
 * Errors are CommandErrors in words; once the connection is gone every request fails.
 */
export class NbdClient implements AsyncDisposable {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly #socket: Socket;
  readonly #input: ByteQueue;
  readonly #waiting = new Map<bigint, Waiting>();
  #cookie = 0n;
  #gone: Error | null = null;

  private constructor(socket: Socket, input: ByteQueue, terms: { sizeBytes: number; flags: number }) {
    this.#socket = socket;
    this.#input = input;
    this.sizeBytes = terms.sizeBytes;
    this.readOnly = (terms.flags & EXPORT_FLAG.readOnly) !== 0;
    this.#receive().catch((error: unknown) => this.#fail(error));
  }

  /** `uri`: as `varve connect` prints it, `nbd+unix:///<export>?socket=<path>`. */
  static async connect(uri: string): Promise<NbdClient> {
    const url = new URL(uri);
    const path = url.searchParams.get('socket');
    if (url.protocol !== 'nbd+unix:' || path === null)
      throw new CommandError(`${uri} is no NBD address on a unix socket`);
    const socket = connect({ path });
    try {
      await once(socket, 'connect');
      const input = new ByteQueue(socket);
      return new NbdClient(socket, input, await shakeHands(socket, input, decodeURIComponent(url.pathname.slice(1))));
    } catch (error) {
      socket.destroy();
      throw new CommandError(`cannot open ${uri}`, { cause: error });
    }
  }

  /** At most 32 MiB. */
  async read(offset: number, length: number): Promise<Buffer> {
    const target = Buffer.allocUnsafe(length);
    await this.#ask(COMMAND.read, offset, length, { what: 'read', target });
    return target;
  }

  /** At most 32 MiB; `source` must not change before it resolves. */
  async write(offset: number, source: Uint8Array): Promise<void> {
    await this.#ask(COMMAND.write, offset, source.length, { what: 'write', payload: source });
  }

  /** Makes durable whatever was acknowledged, on any connection. */
  async flush(): Promise<void> {
    await this.#ask(COMMAND.flush, 0, 0, { what: 'flush' });
  }

  /** What the range holds, from its beginning on; maybe not to its end, and never nothing. */
  async runs(offset: number, length: number): Promise<readonly NbdRun[]> {
    const runs: NbdRun[] = [];
    await this.#ask(COMMAND.blockStatus, offset, length, { what: 'map', runs });
    if (runs.every((run) => run.length === 0))
      throw new CommandError('the NBD server does not say what the disk holds');
    return runs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#gone === null) {
      this.#gone = new CommandError('the NBD connection is closed');
      this.#socket.end(encodeRequest({ command: COMMAND.disconnect, cookie: 0n }));
    }
    this.#socket.destroySoon();
    if (!this.#socket.closed) await new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
  }

  async #ask(
    command: number,
    offset: number,
    length: number,
    rest: {
      readonly what: string;
      readonly target?: Buffer;
      readonly runs?: NbdRun[];
      readonly payload?: Uint8Array;
    },
  ): Promise<void> {
    if (this.#gone !== null) throw this.#gone;
    const done = Promise.withResolvers<void>();
    const cookie = (this.#cookie += 1n);
    this.#waiting.set(cookie, {
      what: length === 0 ? rest.what : `${rest.what} of ${length} bytes at ${offset}`,
      offset,
      target: rest.target ?? NOTHING,
      runs: rest.runs ?? [],
      failure: null,
      resolve: done.resolve,
      reject: done.reject,
    });
    this.#socket.write(encodeRequest({ command, cookie, offset, length }));
    if (rest.payload !== undefined) this.#socket.write(rest.payload);
    await done.promise;
  }

  async #receive(): Promise<void> {
    for (;;) {
      const magic = (await this.#input.take(4)).readUInt32BE();
      if (magic === SIMPLE_REPLY_MAGIC) {
        const reply = await this.#input.take(12);
        const waiting = this.#waitingFor(reply.readBigUInt64BE(4));
        const errno = reply.readUInt32BE(0);
        if (errno !== ERRNO.none) waiting.failure = refusal(waiting, errno);
        else if (waiting.target.length > 0) await this.#input.fill(waiting.target);
        this.#settle(reply.readBigUInt64BE(4), waiting);
      } else if (magic === STRUCTURED_REPLY_MAGIC) {
        const head = await this.#input.take(16);
        const waiting = this.#waitingFor(head.readBigUInt64BE(4));
        await this.#receiveChunk(waiting, head.readUInt16BE(2), head.readUInt32BE(12));
        if ((head.readUInt16BE(0) & CHUNK_FLAG_DONE) !== 0) this.#settle(head.readBigUInt64BE(4), waiting);
      } else throw new Error('the NBD server sent something that is no reply');
    }
  }

  async #receiveChunk(waiting: Waiting, type: number, length: number): Promise<void> {
    if (length > REQUEST_BYTES_MAX + 1024) throw new Error('the NBD server announces too much');
    if (type === CHUNK.offsetData) {
      const at = Number((await this.#input.take(8)).readBigUInt64BE()) - waiting.offset;
      if (at < 0 || at + length - 8 > waiting.target.length)
        throw new Error('the NBD server sent what was not asked for');
      await this.#input.fill(waiting.target.subarray(at, at + length - 8));
      return;
    }
    const payload = await this.#input.take(length);
    if (type === CHUNK.offsetHole) {
      const at = Number(payload.readBigUInt64BE()) - waiting.offset;
      if (at < 0) throw new Error('the NBD server sent what was not asked for');
      waiting.target.fill(0, at, at + payload.readUInt32BE(8));
    } else if (type === CHUNK.blockStatus) {
      for (let at = 4; at + 8 <= length; at += 8) {
        waiting.runs.push({
          length: payload.readUInt32BE(at),
          zero: (payload.readUInt32BE(at + 4) & STATE.zero) !== 0,
        });
      }
    } else if (type >= CHUNK.error - 1) {
      waiting.failure ??= refusal(waiting, payload.readUInt32BE(0));
    }
  }

  #waitingFor(cookie: bigint): Waiting {
    const waiting = this.#waiting.get(cookie);
    if (waiting === undefined) throw new Error('the NBD server answers what was not asked');
    return waiting;
  }

  #settle(cookie: bigint, waiting: Waiting): void {
    this.#waiting.delete(cookie);
    if (waiting.failure === null) waiting.resolve();
    else waiting.reject(waiting.failure);
  }

  #fail(error: unknown): void {
    this.#gone ??= new CommandError('the NBD connection broke', { cause: error });
    this.#socket.destroy();
    for (const waiting of this.#waiting.values()) waiting.reject(this.#gone);
    this.#waiting.clear();
  }
}

function refusal(waiting: Waiting, errno: number): Error {
  const name = Object.entries(ERRNO).find(([, value]) => value === errno)?.[0] ?? `error ${errno}`;
  return new CommandError(`the server answered ${name} to a ${waiting.what}`);
}

/** Negotiates the export; answers its size and transmission flags. */
async function shakeHands(
  socket: Socket,
  input: ByteQueue,
  name: string,
): Promise<{ readonly sizeBytes: number; readonly flags: number }> {
  const hello = await input.take(18);
  if (hello.readUInt32BE(0) !== MAGIC_HIGH || hello.readUInt32BE(4) !== MAGIC_LOW)
    throw new Error('that is no NBD server');
  socket.write(uint32(HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes));
  await askOption(socket, input, OPTION.structuredReply, NOTHING);
  const export_ = withLength(name);
  const context = Buffer.concat([export_, uint32(1), withLength(BASE_ALLOCATION)]);
  await askOption(socket, input, OPTION.setMetaContext, context);
  const replies = await askOption(socket, input, OPTION.go, Buffer.concat([export_, Buffer.alloc(2)]));
  const info = replies.find((data) => data.length >= 12 && data.readUInt16BE(0) === INFO.export);
  if (info === undefined) throw new Error('the NBD server does not say how large the export is');
  return { sizeBytes: Number(info.readBigUInt64BE(2)), flags: info.readUInt16BE(10) };
}

/** Sends one option and answers the data of the replies before its acknowledgement. */
async function askOption(socket: Socket, input: ByteQueue, option: number, data: Buffer): Promise<readonly Buffer[]> {
  const head = [uint32(OPTION_MAGIC_HIGH), uint32(OPTION_MAGIC_LOW), uint32(option), uint32(data.length)];
  socket.write(Buffer.concat([...head, data]));
  const replies: Buffer[] = [];
  for (;;) {
    const reply = await input.take(20);
    const type = reply.readUInt32BE(12);
    const length = reply.readUInt32BE(16);
    if (length > 64 * 1024) throw new Error('the NBD server announces too much');
    const content = await input.take(length);
    if (type === OPTION_REPLY.ack) return replies;
    if (type >= OPTION_REPLY.unsupported) {
      throw new Error(
        `the NBD server refuses${length === 0 ? ` (reply ${type - OPTION_REPLY.unsupported + 1})` : `: ${content.toString()}`}`,
      );
    }
    replies.push(content);
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function withLength(text: string): Buffer {
  return Buffer.concat([uint32(Buffer.byteLength(text)), Buffer.from(text)]);
}
