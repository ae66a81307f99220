import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { type SecureContext, type TlsOptions, TLSSocket, type TLSSocketOptions, createSecureContext } from 'node:tls';

import type { Clock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';
import { OPTION_REPLY } from '#wire/nbd/constants.ts';
import { encodeHello } from '#wire/nbd/handshake.ts';

import type { NbdExports } from './nbd-export.ts';
import type { NbdLimits } from './nbd-limits.ts';
import type { NbdGreeted } from './nbd-negotiation.ts';
import { NbdStartTls } from './nbd-starttls.ts';

/**
 * TLS of a listener, by pre-shared keys (`tls-psk` of libnbd, nbdkit and QEMU): who has the key of an identity is that
 * identity, and sees what that identity may see, so one handshake both encrypts and authenticates.
 */
export interface NbdTls {
  /** `require`: nothing is told or opened without it. `allow`: who does not ask for it is served the listener's own exports. */
  readonly mode: 'allow' | 'require';
  /** The key of an identity that may connect now, or null. */
  readonly keyOf: (identity: string) => Uint8Array | null;
  /** What whoever proved to have that key may open. */
  readonly exportsOf: (identity: string) => NbdExports;
}

/** A connection whose handshake goes on in a session. */
export interface NbdThrough {
  /** The encrypted stream, or the socket itself when the client goes on without. */
  readonly stream: TLSSocket | Socket;
  readonly greeted: NbdGreeted;
  /** Who it is; null without TLS. */
  readonly identity: string | null;
}

/**
 * Suites that authenticate by a pre-shared key, with forward secrecy. A key of TLS 1.3 goes with one hash, and with SHA-256
 * unless it says otherwise: so none with SHA-384.
 */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-PSK-CHACHA20-POLY1305',
  'ECDHE-PSK-AES128-CBC-SHA256',
].join(':');

/** One for all connections. No tickets: a resumed session would be let in without its key being asked for, also after it was revoked. */
export function pskContext(): SecureContext {
  return createSecureContext({
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  });
}

/**
 * One connection from its greeting to where it is either encrypted or known not to be; what comes after is a session's.
 * Who takes longer than the handshake may, or breaks a rule of either protocol, is cut.
 *
 *   greet → options (NbdStartTls) → ACK → TLS handshake → through(stream, identity)
 *                     └ another option, where TLS is not required → through(socket, null)
 */
export class NbdTlsGate {
  readonly #socket: Socket;
  readonly #log: Log;
  readonly #tls: NbdTls;
  readonly #context: SecureContext;
  readonly #through: (through: NbdThrough) => void;
  readonly #gone: () => void;
  readonly #startTls: NbdStartTls;
  readonly #deadline = new AbortController();
  readonly #onData = (bytes: Buffer): void => this.#take(bytes);
  readonly #onGone = (): void => this.cut('gone');
  #secure: TLSSocket | null = null;
  #identity: string | null = null;
  #over = false;

  constructor(options: {
    readonly socket: Socket;
    readonly clock: Clock;
    readonly log: Log;
    readonly limits: NbdLimits;
    readonly tls: NbdTls;
    readonly context: SecureContext;
    /** Called at most once. */
    readonly through: (through: NbdThrough) => void;
    /** The connection ended here. Called once, and never after `through`. */
    readonly gone: () => void;
  }) {
    const { clock, limits } = options;
    this.#socket = options.socket;
    this.#log = options.log;
    this.#tls = options.tls;
    this.#context = options.context;
    this.#through = options.through;
    this.#gone = options.gone;
    this.#startTls = new NbdStartTls({ required: options.tls.mode === 'require', ...limits });
    clock.sleep(limits.handshakeMs, this.#deadline.signal).then(
      () => this.cut('handshake deadline'),
      () => {}, // It came to an end before.
    );
  }

  start(): void {
    const socket = this.#socket;
    socket.on('error', this.#onGone);
    socket.on('close', this.#onGone);
    socket.on('end', this.#onGone);
    socket.on('data', this.#onData);
    socket.write(encodeHello());
    socket.resume();
  }

  /** Closes now. */
  cut(reason: string): void {
    if (!this.#end()) return;
    this.#log.info('nbd.gate-cut', { reason });
    this.#secure?.destroy();
    this.#socket.destroy();
    this.#gone();
  }

  #take(bytes: Buffer): void {
    const { outcome, reply } = this.#startTls.take(bytes);
    if (reply.length > 0) this.#socket.write(reply);
    const { flags } = this.#startTls;
    if (outcome === 'more') {
      // Who sends options without reading the answers has them kept for it; there is an end to that.
      if (this.#socket.writableLength > this.#socket.writableHighWaterMark) this.cut('takes no replies');
    } else if (outcome === 'tls') {
      this.#encrypt();
    } else if (outcome === 'plain' && flags !== null) {
      this.#release();
      if (!this.#end()) return;
      this.#socket.pause();
      if (this.#startTls.rest.length > 0) this.#socket.unshift(this.#startTls.rest);
      const greeted = { flags, startTlsReply: OPTION_REPLY.policy };
      this.#through({ stream: this.#socket, greeted, identity: null });
    } else if (this.#end()) {
      this.#socket.destroySoon();
      this.#gone();
    }
  }

  #encrypt(): void {
    this.#socket.removeListener('data', this.#onData);
    this.#socket.removeListener('end', this.#onGone);
    // A socket takes it like a server does; only the types know it of servers alone.
    const options: TLSSocketOptions & Pick<TlsOptions, 'pskCallback'> = {
      isServer: true,
      secureContext: this.#context,
      // Called for each identity that a client offers, until one is known; the last answer is the one that is proved.
      pskCallback: (_socket: TLSSocket, identity: string) => {
        const key = this.#tls.keyOf(identity);
        this.#identity = key === null ? null : identity;
        return key;
      },
    };
    const secure = new TLSSocket(this.#socket, options);
    this.#secure = secure;
    secure.on('error', (error: unknown) => this.cut(`TLS: ${describeError(error)}`));
    secure.on('end', this.#onGone);
    secure.on('close', this.#onGone);
    secure.on('secure', () => this.#encrypted(secure));
  }

  #encrypted(secure: TLSSocket): void {
    const { flags } = this.#startTls;
    // With TLS 1.3 a session of a pre-shared key counts as one resumed; before, the suite has it in its name.
    const byKey = secure.isSessionReused() || secure.getCipher().name.includes('PSK');
    if (this.#identity === null || flags === null || !byKey) {
      this.cut('TLS without a key');
      return;
    }
    secure.removeListener('end', this.#onGone);
    secure.removeListener('close', this.#onGone);
    this.#release();
    if (!this.#end()) return;
    const greeted = { flags, startTlsReply: OPTION_REPLY.invalid };
    this.#through({ stream: secure, greeted, identity: this.#identity });
  }

  /** Whether it is over now, and was not before. */
  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#deadline.abort();
    return true;
  }

  /** The socket is somebody else's from now on. */
  #release(): void {
    this.#socket.removeListener('data', this.#onData);
    this.#socket.removeListener('end', this.#onGone);
    this.#socket.removeListener('close', this.#onGone);
    this.#socket.removeListener('error', this.#onGone);
    this.#socket.on('error', () => {}); // 'close' follows.
  }
}
