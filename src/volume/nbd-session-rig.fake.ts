import { systemClock } from '#base/clock.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { silentLog } from '#base/log.ts';
import type { BlockDevice } from '#block/device.ts';
import { OPTION } from '#wire/nbd/constants.ts';
import { encodeRequest } from '#wire/nbd/request.ts';
import { NbdBudget } from './nbd-budget.ts';
import { NbdBuffers } from './nbd-buffers.ts';
import { singleExport, type NbdExports } from './nbd-export.ts';
import { NBD_LIMITS, type NbdLimits } from './nbd-limits.ts';
import { LoopbackTransport } from './nbd-loopback.fake.ts';
import { NbdPoll } from './nbd-poll.ts';
import { parseReplies } from './nbd-replies.fake.ts';
import { NbdSession } from './nbd-session.ts';

/** One session over a loopback, with a device that it serves as `vol` and by default. */
export class SessionRig {
  readonly clock = new VirtualClock();
  readonly transport = new LoopbackTransport();
  readonly session: NbdSession;
  #structured = false;
  /** Lengths of the READs asked for, by cookie, to parse simple replies with. */
  readonly #reads = new Map<bigint, number>();

  constructor(options: {
    readonly device: BlockDevice;
    readonly limits?: Partial<NbdLimits>;
    readonly exports?: NbdExports;
    readonly admit?: () => boolean;
    readonly buffers?: NbdBuffers;
    readonly budget?: NbdBudget;
  }) {
    const limits = { ...NBD_LIMITS, ...options.limits };
    this.session = new NbdSession({
      clock: this.clock,
      log: silentLog,
      limits,
      buffers: options.buffers ?? new NbdBuffers(),
      poll: new NbdPoll(systemClock),
      budget: options.budget ?? new NbdBudget(limits.inFlightBytesTotalMax),
      exports: options.exports ?? singleExport({ id: 'vol', device: options.device, description: 'a disk' }),
      admit: options.admit ?? (() => true),
    });
    this.transport.attach(this.session);
    this.session.start(this.transport);
  }

  /** Lets promises and ticks run. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Shakes hands and opens the default export; the server's side of it is thrown away. */
  async open(options: { readonly structured?: boolean; readonly status?: boolean } = {}): Promise<void> {
    this.#structured = options.structured ?? true;
    this.transport.feed(clientFlags(3));
    if (this.#structured) this.transport.feed(option(OPTION.structuredReply));
    if (options.status !== false && this.#structured) {
      this.transport.feed(option(OPTION.setMetaContext, metaContexts('', ['base:allocation'])));
    }
    this.transport.feed(option(OPTION.go, infoRequest('', [])));
    await this.settle();
    this.transport.take();
  }

  request(request: Parameters<typeof encodeRequest>[0], data: Uint8Array = new Uint8Array()): void {
    if (request.command === 0) this.#reads.set(request.cookie, request.length ?? 0);
    this.transport.feed(Buffer.concat([encodeRequest(request), data]));
  }

  /** Replies since the last call. */
  replies(): ReturnType<typeof parseReplies> {
    return parseReplies(this.transport.take(), (cookie) => (this.#structured ? 0 : (this.#reads.get(cookie) ?? 0)));
  }

  /** Cookies of the simple replies since the last call, with their errors. */
  answers(): readonly (readonly [number, number])[] {
    return this.replies().flatMap((reply) =>
      reply.kind === 'simple' ? [[Number(reply.cookie), reply.errno] as const] : [],
    );
  }
}

export function clientFlags(flags: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(flags);
  return bytes;
}

export function option(number: number, data: Uint8Array = new Uint8Array(), saidBytes = data.length): Buffer {
  const header = Buffer.alloc(16);
  header.write('IHAVEOPT', 'latin1');
  header.writeUInt32BE(number, 8);
  header.writeUInt32BE(saidBytes, 12);
  return Buffer.concat([header, data]);
}

export function infoRequest(name: string, infos: readonly number[]): Buffer {
  const bytes = Buffer.alloc(6 + Buffer.byteLength(name) + 2 * infos.length);
  const at = bytes.writeUInt32BE(Buffer.byteLength(name), 0);
  let next = bytes.writeUInt16BE(infos.length, at + bytes.write(name, at));
  for (const info of infos) next = bytes.writeUInt16BE(info, next);
  return bytes;
}

export function metaContexts(name: string, queries: readonly string[]): Buffer {
  return Buffer.concat([string(name), clientFlags(queries.length), ...queries.map(string)]);
}

function string(text: string): Buffer {
  return Buffer.concat([clientFlags(Buffer.byteLength(text)), Buffer.from(text)]);
}

/** Option replies of the handshake, by their own lengths; `bytes` begins with one. */
export function parseOptionReplies(
  bytes: Buffer,
): readonly { readonly option: number; readonly reply: number; readonly data: Buffer }[] {
  const replies = [];
  for (let at = 0; at < bytes.length;) {
    if (bytes.readBigUInt64BE(at) !== 0x3e889045565a9n) throw new Error('an option reply begins with its magic');
    const count = bytes.readUInt32BE(at + 16);
    replies.push({
      option: bytes.readUInt32BE(at + 8),
      reply: bytes.readUInt32BE(at + 12),
      data: bytes.subarray(at + 20, at + 20 + count),
    });
    at += 20 + count;
  }
  return replies;
}
