import { assert } from '#base/assert.ts';
import type { Log } from '#base/log.ts';
import { BASE_ALLOCATION, INFO, OPTION, OPTION_REPLY, STRING_BYTES_MAX } from '#wire/nbd/constants.ts';
import {
  CLIENT_FLAGS_BYTES,
  OPTION_HEADER_BYTES,
  decodeClientFlags,
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeName,
  decodeOptionHeader,
  encodeExportNameReply,
  encodeHello,
  encodeInfoBlockSize,
  encodeInfoExport,
  encodeInfoText,
  encodeListed,
  encodeMetaContext,
  encodeOptionReply,
  exportFlags,
  type ClientFlags,
  type InfoRequest,
  type OptionHeader,
} from '#wire/nbd/handshake.ts';
import type { NbdExport, NbdExports } from './nbd-export.ts';
import type { NbdLimits } from './nbd-limits.ts';
import type { NbdReceiver } from './nbd-receiver.ts';
import type { NbdSender } from './nbd-sender.ts';
import type { Agreement } from './nbd-transmission.ts';

/** `agreed`: the transmission phase begins. `disconnect`: the client wants to go, or has nothing to stay for. */
export type NegotiationStep = 'next' | 'more' | 'busy' | 'agreed' | 'disconnect' | 'violation';

const STATUS_CONTEXT_ID = 1;

/** A handshake that got as far as STARTTLS, or past where it would have been. */
export interface NbdGreeted {
  readonly flags: ClientFlags;
  /** The answer to (another) STARTTLS: one of OPTION_REPLY. */
  readonly startTlsReply: number;
}

/**
 * The handshake of one connection: client flags, then options, each answered before the next is looked at, until one of
 * them opens an export. What an export is may take time to find out; meanwhile it is `busy` and calls `settled` after.
 *
 * Structured replies and the metadata context are remembered over options; a context counts only for the export that it
 * was selected for.
 */
export class NbdNegotiation {
  readonly #exports: NbdExports;
  readonly #admit: (found: NbdExport) => boolean;
  readonly #receiver: NbdReceiver;
  readonly #sender: NbdSender;
  readonly #limits: NbdLimits;
  readonly #log: Log;
  readonly #settled: () => void;
  #flags: ClientFlags | null = null;
  #option: OptionHeader | null = null;
  #optionCount = 0;
  #structured = false;
  #statusName: string | null = null;
  #working = false;
  #outcome: NegotiationStep | null = null;
  #export: NbdExport | null = null;
  #agreement: Agreement = { structured: false, statusContextId: null };
  readonly #startTlsReply: number;
  wanted = CLIENT_FLAGS_BYTES;

  /** `admit` decides, when an export is opened, whether one more client may have it; true counts it. */
  constructor(options: {
    readonly exports: NbdExports;
    readonly admit: (found: NbdExport) => boolean;
    readonly receiver: NbdReceiver;
    readonly sender: NbdSender;
    readonly limits: NbdLimits;
    readonly log: Log;
    readonly settled: () => void;
    readonly greeted?: NbdGreeted | null;
  }) {
    this.#exports = options.exports;
    this.#admit = options.admit;
    this.#receiver = options.receiver;
    this.#sender = options.sender;
    this.#limits = options.limits;
    this.#log = options.log;
    this.#settled = options.settled;
    this.#startTlsReply = options.greeted?.startTlsReply ?? OPTION_REPLY.unsupported;
    this.#flags = options.greeted?.flags ?? null;
    if (this.#flags !== null) this.wanted = OPTION_HEADER_BYTES;
  }

  /** What was agreed on, after `agreed`. */
  get agreed(): { readonly export: NbdExport; readonly agreement: Agreement } {
    assert(this.#export !== null, 'an export was opened');
    return { export: this.#export, agreement: this.#agreement };
  }

  /** Waits for the exports. */
  get working(): boolean {
    return this.#working;
  }

  /** Nothing is said twice: who was asked for STARTTLS was greeted then. */
  greet(): void {
    if (this.#flags === null) this.#sender.append(encodeHello());
  }

  step(): NegotiationStep {
    if (this.#working) return 'busy';
    if (this.#outcome !== null) return this.#outcome;
    if (this.#flags === null) return this.#takeFlags();
    if (this.#option === null) return this.#takeOptionHeader();
    return this.#takeOptionData(this.#option);
  }

  #takeFlags(): NegotiationStep {
    if (this.#receiver.held < CLIENT_FLAGS_BYTES) return 'more';
    this.#flags = decodeClientFlags(this.#receiver.bytes, this.#receiver.start);
    if (this.#flags === null) return 'violation';
    this.#receiver.use(CLIENT_FLAGS_BYTES);
    this.wanted = OPTION_HEADER_BYTES;
    return 'next';
  }

  #takeOptionHeader(): NegotiationStep {
    if (this.#receiver.held < OPTION_HEADER_BYTES) return 'more';
    const header = decodeOptionHeader(this.#receiver.bytes, this.#receiver.start);
    this.#optionCount += 1;
    if (header === null || this.#optionCount > this.#limits.optionsMax) return 'violation';
    this.#receiver.use(OPTION_HEADER_BYTES);
    if (header.dataBytes > this.#limits.optionBytesMax) {
      // To skip so much would be to read what nobody needs: say why, and close.
      if (header.option !== OPTION.exportName) this.#reply(header.option, OPTION_REPLY.tooBig);
      return 'disconnect';
    }
    this.#option = header;
    this.wanted = header.dataBytes;
    return 'next';
  }

  #takeOptionData(header: OptionHeader): NegotiationStep {
    if (this.#receiver.held < header.dataBytes) return 'more';
    const { start } = this.#receiver;
    // A copy: the answer may take time, and the bytes stay where they are only until more come.
    const data = Buffer.from(this.#receiver.bytes.subarray(start, start + header.dataBytes));
    this.#receiver.use(header.dataBytes);
    this.#option = null;
    this.wanted = OPTION_HEADER_BYTES;
    return this.#answer(header.option, data);
  }

  #answer(option: number, data: Buffer): NegotiationStep {
    if (this.#flags?.fixedNewstyle === false && option !== OPTION.exportName) return 'violation';
    switch (option) {
      case OPTION.exportName:
        return this.#work(option, () => this.#openByName(data));
      case OPTION.abort:
        this.#reply(option, OPTION_REPLY.ack);
        return 'disconnect';
      case OPTION.list:
        if (data.length > 0) return this.#reply(option, OPTION_REPLY.invalid);
        return this.#work(option, () => this.#list());
      case OPTION.info:
      case OPTION.go:
        return this.#work(option, () => this.#inform(option, decodeInfoRequest(data)));
      case OPTION.structuredReply:
        if (data.length > 0) return this.#reply(option, OPTION_REPLY.invalid);
        this.#structured = true;
        return this.#reply(option, OPTION_REPLY.ack);
      case OPTION.listMetaContext:
      case OPTION.setMetaContext:
        return this.#work(option, () => this.#contexts(option, data));
      case OPTION.startTls:
        return this.#reply(option, this.#startTlsReply);
      default:
        return this.#reply(option, OPTION_REPLY.unsupported);
    }
  }

  /** Runs what may wait for the exports. If that fails, it is our trouble: the client is told no more than that it was. */
  #work(option: number, work: () => Promise<void>): NegotiationStep {
    this.#working = true;
    const settle = (error: unknown): void => {
      if (error !== null) {
        this.#log.error('nbd.option-failed', { option, error });
        this.#outcome = 'disconnect';
      }
      this.#working = false;
      this.#settled();
    };
    void work().then(() => settle(null), settle);
    return 'busy';
  }

  async #openByName(data: Buffer): Promise<void> {
    const name = decodeName(data);
    const found = name === null ? null : await this.#exports.resolve(name);
    // The option has no error reply: who cannot be served is cut.
    if (name === null || found === null || !this.#admit(found)) {
      this.#outcome = 'violation';
      return;
    }
    this.#agree(name, found);
    const { sizeBytes } = found.device;
    this.#sender.append(encodeExportNameReply(sizeBytes, this.#exportFlags(found), this.#flags?.noZeroes === true));
  }

  async #list(): Promise<void> {
    const listed = await this.#exports.list();
    if (listed === null) {
      this.#reply(OPTION.list, OPTION_REPLY.policy);
      return;
    }
    for (const { name, description } of listed) {
      this.#reply(OPTION.list, OPTION_REPLY.server, encodeListed(name, description));
    }
    this.#reply(OPTION.list, OPTION_REPLY.ack);
  }

  async #inform(option: number, request: InfoRequest | null): Promise<void> {
    if (request === null) {
      this.#reply(option, OPTION_REPLY.invalid);
      return;
    }
    const found = await this.#exports.resolve(request.name);
    if (found === null) {
      this.#reply(option, OPTION_REPLY.unknownExport, Buffer.from('there is no export of this name'));
      return;
    }
    if (option === OPTION.go && !this.#admit(found)) {
      this.#reply(option, OPTION_REPLY.policy, Buffer.from('the export takes no more connections'));
      return;
    }
    const tell = (data: Buffer): unknown => this.#reply(option, OPTION_REPLY.info, data);
    tell(encodeInfoExport(found.device.sizeBytes, this.#exportFlags(found)));
    if (request.infos.includes(INFO.name)) tell(encodeInfoText(INFO.name, request.name));
    if (request.infos.includes(INFO.description)) {
      assert(Buffer.byteLength(found.description) <= STRING_BYTES_MAX, 'a description fits the protocol');
      tell(encodeInfoText(INFO.description, found.description));
    }
    tell(encodeInfoBlockSize());
    this.#reply(option, OPTION_REPLY.ack);
    if (option === OPTION.go) this.#agree(request.name, found);
  }

  async #contexts(option: number, data: Buffer): Promise<void> {
    const request = decodeMetaContextRequest(data);
    const sets = option === OPTION.setMetaContext;
    if (sets) this.#statusName = null; // Each request replaces what was selected before, also one that fails.
    if (request === null || !this.#structured) {
      this.#reply(option, OPTION_REPLY.invalid);
      return;
    }
    if ((await this.#exports.resolve(request.name)) === null) {
      this.#reply(option, OPTION_REPLY.unknownExport);
      return;
    }
    // A list may be asked for whole, or for a namespace; to be set, a context must be named.
    const asksForAll = !sets && (request.queries.length === 0 || request.queries.includes('base:'));
    if (asksForAll || request.queries.includes(BASE_ALLOCATION)) {
      if (sets) this.#statusName = request.name;
      this.#reply(option, OPTION_REPLY.metaContext, encodeMetaContext(sets ? STATUS_CONTEXT_ID : 0, BASE_ALLOCATION));
    }
    this.#reply(option, OPTION_REPLY.ack);
  }

  #agree(name: string, found: NbdExport): void {
    this.#export = found;
    this.#agreement = {
      structured: this.#structured,
      statusContextId: this.#statusName === name ? STATUS_CONTEXT_ID : null,
    };
    this.#outcome = 'agreed';
  }

  #exportFlags(found: NbdExport): number {
    return exportFlags({ readOnly: found.device.readOnly, structured: this.#structured });
  }

  #reply(option: number, reply: number, data?: Uint8Array): NegotiationStep {
    this.#sender.append(encodeOptionReply(option, reply, data));
    return 'next';
  }
}
