/** One request over HTTP or HTTPS and its reply, with time-outs, in the words of the AWS command line when it fails. */
import { readFileSync } from 'node:fs';
import { request as httpRequest, type Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { PeerCertificate } from 'node:tls';
import { systemClock } from '#base/clock.ts';
import { ClientError } from '#client/command.ts';
import { headersFromRaw, type HeaderList } from '#wire/aws/http.ts';
import { failure, osErrorText, EXIT_FAILURE } from '#client/failure.ts';
import { shownHeader } from './debug-log.ts';
import { bareHost, proxyFor, tunnelThrough, type Proxy } from './proxy.ts';
import { pythonBytes } from '#client/python-text.ts';
import type { RawReply } from './decode-reply.ts';

export interface TransportOptions {
  readonly verifySsl: boolean;
  readonly caBundle: string | null;
  /** 0: for ever. */
  readonly connectTimeoutMs: number;
  readonly readTimeoutMs: number;
  readonly environment: (name: string) => string | null;
  /** Told the host of a connection whose certificate nobody looks at. */
  readonly onUnverified: (host: string) => void;
}

export interface SentRequest {
  readonly method: string;
  /** Absolute. */
  readonly url: string;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
}

/** The connection did not come to a reply. A later attempt may. */
export class TransportError extends ClientError {
  constructor(message: string) {
    super(`\n${message}\n`, EXIT_FAILURE);
  }
}

/** Keeps connections open between requests, until `close`. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #agents = new Map<string, Promise<Agent>>();
  #authorities: string | null = null;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /**
   * The reply with its whole body; or, where `sink` is given and the status is a success, with the body written to the sink.
   * Throws TransportError, and ClientError when a header cannot be sent or the file of authorities cannot be read.
   */
  async send(request: SentRequest, sink: (() => Writable) | null): Promise<RawReply> {
    checkHeaders(request.headers);
    const url = new URL(request.url);
    const proxy = proxyFor(url, this.#options.environment);
    const isTls = url.protocol === 'https:';
    const tls = isTls ? await this.#tlsOptions(url) : {};
    const agent = await this.#agent(isTls, url, proxy);
    const { request: start } = isTls ? await import('node:https') : { request: httpRequest };
    const overHttpProxy = proxy !== null && !isTls;
    return new Promise((resolve, reject) => {
      const outgoing = start({
        agent,
        ...tls,
        method: request.method,
        host: bareHost(overHttpProxy ? proxy.url : url),
        port: overHttpProxy ? portOf(proxy.url) : portOf(url),
        path: overHttpProxy ? request.url : targetOf(request.url),
        headers: [
          ...request.headers.flat(),
          ...(overHttpProxy && proxy.authorization !== null ? ['Proxy-Authorization', proxy.authorization] : []),
        ],
        setHost: false,
        timeout: this.#options.readTimeoutMs,
      });
      const fail = (error: unknown): void => {
        reject(error instanceof ClientError ? error : transportError(error, request.url, proxy));
      };
      this.#limit(outgoing, (what) => {
        // First of all, since a reply that has begun ends with an error of its own.
        const error = new TransportError(`${what} on endpoint URL: "${request.url}"`);
        reject(error);
        outgoing.destroy(error);
      });
      outgoing.on('error', fail);
      outgoing.on('response', (reply) => {
        const isSuccess = (reply.statusCode ?? 0) < 301;
        readReply(reply, isSuccess ? sink : null).then(resolve, fail);
      });
      outgoing.end(request.body);
    });
  }

  close(): void {
    for (const agent of this.#agents.values()) void agent.then((open) => open.destroy());
  }

  /** A time to connect in, and then a time without a byte: the option `timeout` of the request. */
  #limit(outgoing: ClientRequest, end: (what: 'Read timeout' | 'Connect timeout') => void): void {
    const { connectTimeoutMs } = this.#options;
    outgoing.on('socket', (socket) => {
      outgoing.on('timeout', () => {
        // While it connects the other limit counts; the time without a byte begins anew with the connection.
        if (!socket.connecting) end('Read timeout');
      });
      if (!socket.connecting || connectTimeoutMs === 0) return;
      const connected = new AbortController();
      socket.once('connect', () => connected.abort());
      socket.once('close', () => connected.abort());
      // Sockets live in real time.
      systemClock.sleep(connectTimeoutMs, connected.signal).then(
        () => end('Connect timeout'),
        () => {},
      );
    });
  }

  #agent(isTls: boolean, url: URL, proxy: Proxy | null): Promise<Agent> {
    const key = isTls && proxy !== null ? `https through ${proxy.url.href}` : url.protocol;
    const known = this.#agents.get(key) ?? this.#newAgent(isTls, proxy);
    this.#agents.set(key, known);
    return known;
  }

  async #newAgent(isTls: boolean, proxy: Proxy | null): Promise<Agent> {
    if (!isTls) {
      const { Agent: HttpAgent } = await import('node:http');
      return new HttpAgent({ keepAlive: true });
    }
    const { Agent: HttpsAgent } = await import('node:https');
    return proxy === null ? new HttpsAgent({ keepAlive: true }) : tunnelThrough(proxy, this.#options.connectTimeoutMs);
  }

  async #tlsOptions(
    url: URL,
  ): Promise<{ readonly rejectUnauthorized: boolean; readonly ca?: string; readonly servername?: string }> {
    const { verifySsl, caBundle, onUnverified } = this.#options;
    const { isIP } = await import('node:net');
    const host = bareHost(url);
    const name = isIP(host) === 0 ? { servername: host } : {};
    if (!verifySsl) {
      onUnverified(host);
      return { rejectUnauthorized: false, ...name };
    }
    if (caBundle === null) return { rejectUnauthorized: true, ...name };
    this.#authorities ??= readAuthorities(caBundle, url.href);
    return { rejectUnauthorized: true, ca: this.#authorities, ...name };
  }
}

function readAuthorities(path: string, href: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw failure(`SSL validation failed for ${href} ${osErrorText(error)}`);
  }
  if (!text.includes('-----BEGIN ')) {
    throw failure(`SSL validation failed for ${href} [X509: NO_CERTIFICATE_OR_CRL_FOUND] no certificate or crl found`);
  }
  return text;
}

async function readReply(reply: IncomingMessage, sink: (() => Writable) | null): Promise<RawReply> {
  const status = reply.statusCode ?? 0;
  const headers = headersFromRaw(reply.rawHeaders);
  if (sink !== null) {
    await copyBody(reply, sink);
    return { status, headers, body: new Uint8Array(0) };
  }
  const parts: Buffer[] = [];
  for await (const part of reply) parts.push(part as Buffer);
  return { status, headers, body: Buffer.concat(parts) };
}

/** Throws ClientError when the sink cannot be opened or written. */
async function copyBody(reply: IncomingMessage, sink: () => Writable): Promise<void> {
  let writable: Writable;
  try {
    writable = sink();
  } catch (error) {
    reply.destroy();
    throw error;
  }
  try {
    await pipeline(reply, writable);
  } catch (error) {
    if (writable.errored === error && reply.errored === null) throw failure(osErrorText(error));
    throw error;
  }
}

/** Throws ClientError for what would end a header, or is no byte. */
function checkHeaders(headers: HeaderList): void {
  for (const [name, value] of headers) {
    if (!/[^\t\x20-\x7e\x80-\xff]/.test(value)) continue;
    const shown = shownHeader(name, value);
    const what = shown === value ? pythonBytes(Buffer.from(value, 'latin1')) : `of ${name}: ${JSON.stringify(shown)}`;
    throw failure(`An HTTP Client raised an unhandled exception: Invalid header value ${what}`);
  }
}

/** Path and query as they were signed: a URL object would take `..` for the way up. */
function targetOf(url: string): string {
  return url.slice(url.indexOf('/', url.indexOf('://') + 3));
}

function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}

/** What OpenSSL says of a certificate, by the name that Node gives it. */
const certificateReasons = new Map([
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed certificate'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'self-signed certificate in certificate chain'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unable to get local issuer certificate'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'unable to get issuer certificate'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'unable to get local issuer certificate'],
  ['CERT_HAS_EXPIRED', 'certificate has expired'],
  ['CERT_NOT_YET_VALID', 'certificate is not yet valid'],
  ['CERT_SIGNATURE_FAILURE', 'certificate signature failure'],
  ['INVALID_CA', 'invalid CA certificate'],
]);

function transportError(error: unknown, href: string, proxy: Proxy | null): TransportError {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const reason = certificateReasons.get(code);
  if (reason !== undefined) return sslError(href, `certificate verify failed: ${reason}`);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return otherHost(href, error as { readonly cert?: PeerCertificate });
  if (code.startsWith('ERR_SSL') || code === 'EPROTO') {
    return new TransportError(`SSL validation failed for ${href} ${message}`);
  }
  if (
    ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'HPE_INVALID_CONSTANT'].includes(code) ||
    code.startsWith('HPE_')
  ) {
    return new TransportError(
      `Connection was closed before we received a valid response from endpoint URL: "${href}".`,
    );
  }
  if (proxy !== null) return new TransportError(`Failed to connect to proxy URL: "${proxy.shown}"`);
  return new TransportError(`Could not connect to the endpoint URL: "${href}"`);
}

/** The certificate is good, and of somebody else. */
function otherHost(href: string, { cert }: { readonly cert?: PeerCertificate }): TransportError {
  const names = (cert?.subjectaltname ?? '').split(', ').map((name) => `'${name.replace(/^[^:]*:/, '')}'`);
  const whose = names.length > 1 ? `either of ${names.join(', ')}` : names[0];
  return new TransportError(
    `SSL validation failed for ${href} hostname '${bareHost(new URL(href))}' doesn't match ${whose}`,
  );
}

function sslError(href: string, what: string): TransportError {
  return new TransportError(`SSL validation failed for ${href} [SSL: CERTIFICATE_VERIFY_FAILED] ${what}`);
}
