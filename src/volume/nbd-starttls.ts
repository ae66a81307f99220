import { OPTION, OPTION_REPLY } from '#wire/nbd/constants.ts';
import {
  CLIENT_FLAGS_BYTES,
  OPTION_HEADER_BYTES,
  decodeClientFlags,
  decodeOptionHeader,
  encodeOptionReply,
  type ClientFlags,
} from '#wire/nbd/handshake.ts';

/** `more`: wait for input. `tls`: the client begins the TLS handshake. `plain`: it goes on without. `close`: send the reply and close. */
export type StartTlsOutcome = 'more' | 'tls' | 'plain' | 'close';

const NOTHING = Buffer.alloc(0);

/**
 * The handshake up to STARTTLS, as bytes in and bytes out: client flags, then options until one is STARTTLS.
 *
 * | | `require` | `allow` |
 * | --- | --- | --- |
 * | STARTTLS | acknowledged; nothing may come behind it | the same |
 * | ABORT | acknowledged, closed | the same |
 * | EXPORT_NAME, which has no error reply | closed | goes on without TLS |
 * | any other option | TLS_REQD | goes on without TLS |
 *
 * Nothing is kept over STARTTLS but the client flags. Whoever sits on the line can send options in the client's name before
 * it; so none of them has an effect, and bytes that come with STARTTLS, to be read as if they had come encrypted
 * (the attack on STARTTLS of CVE-2021-3716), end the connection.
 */
export class NbdStartTls {
  readonly #required: boolean;
  readonly #optionsMax: number;
  readonly #optionBytesMax: number;
  #held: Buffer = NOTHING;
  #flags: ClientFlags | null = null;
  #optionCount = 0;
  #replies: Buffer[] = [];

  constructor(options: { readonly required: boolean; readonly optionsMax: number; readonly optionBytesMax: number }) {
    this.#required = options.required;
    this.#optionsMax = options.optionsMax;
    this.#optionBytesMax = options.optionBytesMax;
  }

  /** What the client said first; set after `tls` and `plain`. */
  get flags(): ClientFlags | null {
    return this.#flags;
  }

  /** After `plain`: what the session without TLS has to take first. */
  get rest(): Buffer {
    return this.#held;
  }

  /** Takes input; `reply` is to be sent in any case. Not called again after anything but `more`. */
  take(input: Buffer): { readonly outcome: StartTlsOutcome; readonly reply: Buffer } {
    this.#held = this.#held.length === 0 ? input : Buffer.concat([this.#held, input]);
    let outcome: StartTlsOutcome | 'next' = 'next';
    while (outcome === 'next') outcome = this.#flags === null ? this.#takeFlags() : this.#takeOption(this.#flags);
    const reply = Buffer.concat(this.#replies);
    this.#replies = [];
    return { outcome, reply };
  }

  #takeFlags(): StartTlsOutcome | 'next' {
    if (this.#held.length < CLIENT_FLAGS_BYTES) return 'more';
    this.#flags = decodeClientFlags(this.#held, 0);
    if (this.#flags === null) return 'close';
    this.#use(CLIENT_FLAGS_BYTES);
    // Who is not of the fixed newstyle knows EXPORT_NAME only.
    if (this.#flags.fixedNewstyle) return 'next';
    return this.#required ? 'close' : 'plain';
  }

  #takeOption(flags: ClientFlags): StartTlsOutcome | 'next' {
    if (this.#held.length < OPTION_HEADER_BYTES) return 'more';
    const header = decodeOptionHeader(this.#held, 0);
    if (header === null || !flags.fixedNewstyle) return 'close';
    const { option, dataBytes } = header;
    if (option !== OPTION.startTls && option !== OPTION.abort && !this.#required) return 'plain';
    if (dataBytes > this.#optionBytesMax) {
      if (option !== OPTION.exportName) this.#reply(option, OPTION_REPLY.tooBig);
      return 'close';
    }
    if (this.#held.length < OPTION_HEADER_BYTES + dataBytes) return 'more';
    this.#use(OPTION_HEADER_BYTES + dataBytes);
    this.#optionCount += 1;
    if (this.#optionCount > this.#optionsMax || option === OPTION.exportName) return 'close';
    if (option === OPTION.abort) {
      this.#reply(option, OPTION_REPLY.ack);
      return 'close';
    }
    if (option !== OPTION.startTls) {
      this.#reply(option, OPTION_REPLY.tlsRequired, Buffer.from('this server talks of exports under TLS only'));
      return 'next';
    }
    if (dataBytes > 0) {
      this.#reply(option, OPTION_REPLY.invalid);
      return 'next';
    }
    if (this.#held.length > 0) return 'close';
    this.#reply(option, OPTION_REPLY.ack);
    return 'tls';
  }

  #use(count: number): void {
    this.#held = this.#held.subarray(count);
  }

  #reply(option: number, reply: number, data?: Uint8Array): void {
    this.#replies.push(encodeOptionReply(option, reply, data));
  }
}
