/** Proxies, as the environment names them: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, in small letters or in large. */
import { connect } from 'node:net';
import type { Agent } from 'node:http';
import type { RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';

export interface Proxy {
  readonly url: URL;
  /** As it was given, without its password. */
  readonly shown: string;
  /** For `Proxy-Authorization`; null: the proxy asks for none. */
  readonly authorization: string | null;
}

/** The proxy that requests to the URL go through; null: none. */
export function proxyFor(url: URL, environment: (name: string) => string | null): Proxy | null {
  // HTTP_PROXY in large letters could be a header of a CGI request; only then does it not count.
  const isCgi = environment('REQUEST_METHOD') !== null;
  const name = url.protocol === 'https:' ? 'https_proxy' : 'http_proxy';
  const large = isCgi && name === 'http_proxy' ? null : environment(name.toUpperCase());
  const given = environment(name) ?? large ?? environment('all_proxy') ?? environment('ALL_PROXY') ?? '';
  if (given === '' || isExempt(url, environment('no_proxy') ?? environment('NO_PROXY') ?? '')) return null;
  const text = given.includes('://') ? given : `http://${given}`;
  if (!URL.canParse(text)) return null;
  const proxy = new URL(text);
  const user = decodeURIComponent(proxy.username);
  const password = decodeURIComponent(proxy.password);
  const authorization = user === '' ? null : `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  proxy.username = '';
  proxy.password = '';
  return { url: proxy, authorization, shown: text.replace(/\/\/[^@/]*@/, '//***:***@') };
}

function isExempt(url: URL, list: string): boolean {
  const host = bareHost(url).toLowerCase();
  return list
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => {
      if (entry === '') return false;
      if (entry === '*') return true;
      const name = entry.replace(/^\*?\.*/, '').replace(/^\[(.*)\]$/, '$1');
      return host === name || host.endsWith(`.${name}`) || `${host}:${url.port}` === name;
    });
}

/** The host of a URL as a socket takes it: an IPv6 address without its brackets. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** Connections of TLS through a tunnel that the proxy opens with CONNECT. */
export async function tunnelThrough(proxy: Proxy, connectTimeoutMs: number): Promise<Agent> {
  const { Agent: HttpsAgent } = await import('node:https');
  const { connect: tlsConnect } = await import('node:tls');
  class TunnelAgent extends HttpsAgent {
    override createConnection(
      options: RequestOptions,
      callback: (error: Error | null, stream: Duplex) => void = () => {},
    ): undefined {
      const { port } = proxy.url;
      const socket = connect({
        host: bareHost(proxy.url),
        port: Number(port === '' ? 80 : port),
        timeout: connectTimeoutMs,
      });
      const fail = (error: Error): void => callback(error, socket);
      const hungUp = (): void => fail(Object.assign(new Error('the proxy hung up'), { code: 'ECONNRESET' }));
      const giveUp = (): void => void socket.destroy(new Error('the proxy does not answer'));
      socket.once('timeout', giveUp);
      socket.once('error', fail);
      socket.once('close', hungUp);
      socket.once('connect', () => {
        const host = options.host ?? '';
        const target = `${host.includes(':') ? `[${host}]` : host}:${options.port}`;
        const credentials = proxy.authorization === null ? '' : `Proxy-Authorization: ${proxy.authorization}\r\n`;
        socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${credentials}\r\n`);
      });
      let head = '';
      const onData = (part: Buffer): void => {
        head += part.toString('latin1');
        if (!head.includes('\r\n\r\n')) {
          if (head.length > 16_384) socket.destroy(new Error('the proxy answers with more than a head'));
          return;
        }
        socket.off('data', onData);
        socket.off('error', fail);
        socket.off('close', hungUp);
        socket.off('timeout', giveUp);
        if (!/^HTTP\/1\.[01] 2\d\d/.test(head)) {
          socket.destroy();
          callback(new Error(`the proxy answers ${head.split('\r\n')[0]}`), socket);
          return;
        }
        callback(null, tlsConnect({ ...tlsOptionsOf(options), socket }));
      };
      socket.on('data', onData);
      return undefined;
    }
  }
  return new TunnelAgent({ keepAlive: true });
}

/** What a connection of TLS takes of a request's options. */
function tlsOptionsOf({ host, ca, rejectUnauthorized, servername }: RequestOptions): ConnectionOptions {
  return {
    // Whose certificate it must be.
    ...(typeof host === 'string' ? { host } : {}),
    ...(ca === undefined ? {} : { ca }),
    ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    ...(servername === undefined ? {} : { servername }),
  };
}
