import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { assert } from '#base/assert.ts';
import { uuid } from '#base/random.ts';
import { type CallerLookup, findCaller } from '#control/identity/callers.ts';
import { KeyUses } from '#control/identity/key-uses.ts';
import type { ControlPorts } from '#control/ports.ts';
import { headersFromRaw, headerValue, type HttpReply, type RequestHead, splitTarget } from '#wire/aws/http.ts';
import { encodeError, encodeInternalError } from '#wire/aws/protocol.ts';
import type { Answer } from './answer.ts';
import { type Audit, silentAudit } from './audit.ts';
import type { BodyHold } from './authenticate.ts';
import { BodyBudget } from './body.ts';
import { type Arrival, isSecureSocket } from './access/call-access.ts';
import { auditEntry } from './audit-entry.ts';
import { dispatch } from './dispatch.ts';
import type { Face } from './handler.ts';
import { API_LIMITS, type ApiLimits, checkApiLimits } from './limits.ts';
import { isBroken } from './perform.ts';
import { Replay } from './replay.ts';
import type { ServerParts } from './server-parts.ts';
import { transportError } from './transport-errors.ts';

export interface ApiServerOptions {
  readonly ports: ControlPorts;
  readonly faces: readonly Face[];
  readonly limits?: ApiLimits;
  /** Default: the keys and tokens of control. */
  readonly findCaller?: (accessKeyId: string, sessionToken: string | null) => Promise<CallerLookup>;
  /** Default: nothing is recorded. */
  readonly audit?: Audit;
  /** A broken invariant was met and logged; the process should stop. */
  readonly onBroken: (error: unknown) => void;
  /** PEM; with it the server speaks HTTPS. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface ApiServer {
  /** Port 0: any free one. Resolves with the port. */
  listen(port: number, host: string): Promise<{ readonly port: number }>;
  /** Takes no more connections, lets the requests in flight finish, and after `deadlineMs` cuts off the rest. */
  close(deadlineMs: number): Promise<void>;
  /** For the log and for tests. */
  readonly counts: {
    readonly bodyBytes: number;
    readonly callsRunning: number;
    readonly repliesKept: number;
    readonly requestsOpen: number;
  };
}

/**
 * The AWS services on one HTTP endpoint. A request: head → whose signature → body → service and operation → input →
 * handler → reply. Every way out is a reply in the protocol of the service, with a request id, or a closed connection.
 */
export function createApiServer(options: ApiServerOptions): ApiServer {
  const { ports, onBroken } = options;
  const limits = options.limits ?? API_LIMITS;
  checkApiLimits(limits);
  const stop = new AbortController();
  const parts: ServerParts = {
    ports,
    faces: new Map(options.faces.map((face) => [face.service, face])),
    findCaller: options.findCaller ?? ((accessKeyId, sessionToken) => findCaller(ports, accessKeyId, sessionToken)),
    uses: new KeyUses(ports),
    audit: options.audit ?? silentAudit,
    limits,
    bodies: new BodyBudget(limits.bodyBytesInFlightMax),
    anonymousBodies: new BodyBudget(limits.anonymousBodyBytesInFlightMax),
    replay: new Replay<Answer>(ports.clock, {
      keepMs: limits.replayKeepMs,
      callsMax: limits.replayCallsMax,
      bytesMax: limits.replayBytesMax,
    }),
    running: new Set(),
    stopping: stop.signal,
    onBroken,
  };
  assert(parts.faces.size === options.faces.length, 'each service has one face');

  const server = newServer(limits, options.tls);
  const busy = new BusySockets();
  const open = new Set<Promise<void>>();
  let closing = false;

  const onRequest = (incoming: IncomingMessage, response: ServerResponse): void => {
    busy.begin(incoming.socket);
    const done = respond(parts, incoming, response, () => closing).finally(() => {
      busy.end(incoming.socket);
      open.delete(done);
    });
    open.add(done);
  };
  server.on('request', onRequest);
  server.on('checkContinue', (incoming: IncomingMessage, response: ServerResponse) => {
    response.writeContinue(); // The body is bounded like every other; an early refusal saves nobody enough to be worth a second path.
    onRequest(incoming, response);
  });
  server.on('connect', (_incoming: IncomingMessage, socket: Duplex) => {
    endRaw(socket, rawReply(parts, 'not-http'), ports.clock.nowMs());
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // Bytes after a request that is being answered: its reply goes first, and a second one would mix with it.
    if (error.code === 'ECONNRESET' || !socket.writable || busy.has(socket)) socket.destroy();
    else endRaw(socket, rawReply(parts, clientTrouble(error.code)), ports.clock.nowMs());
  });

  return {
    listen: async (port, host) => {
      const listening = Promise.withResolvers<void>();
      server.once('error', listening.reject);
      server.listen(port, host, () => {
        server.off('error', listening.reject);
        server.on('error', (error) => ports.log.error('the HTTP server failed', { error }));
        listening.resolve();
      });
      await listening.promise;
      const address = server.address();
      assert(isInternet(address), 'a TCP server has an address');
      return { port: address.port };
    },
    close: async (deadlineMs) => {
      closing = true;
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeIdleConnections();
      const timer = new AbortController();
      const cutOff = async (): Promise<void> => {
        await ports.clock.sleep(deadlineMs, timer.signal);
        stop.abort(new Error('the server is stopping'));
        server.closeAllConnections();
      };
      const late = cutOff().catch(() => {}); // All requests finished first.
      await closed.promise;
      await Promise.race([Promise.all([...open, ...parts.running]), late]);
      timer.abort();
      await parts.uses.settled();
    },
    counts: {
      get bodyBytes() {
        return parts.bodies.bytesTaken + parts.anonymousBodies.bytesTaken;
      },
      get callsRunning() {
        return parts.running.size;
      },
      get repliesKept() {
        return parts.replay.count;
      },
      get requestsOpen() {
        return open.size;
      },
    },
  };
}

function newServer(limits: ApiLimits, tls: ApiServerOptions['tls']): Server {
  const settings = {
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: limits.headersTimeoutMs,
    // The body has its own deadline, which answers in the protocol; this one is for connections that it cannot see.
    requestTimeout: limits.headersTimeoutMs + limits.bodyTimeoutMs + 5000,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: Math.min(5000, limits.headersTimeoutMs),
    // Answered below in the protocol, not by node's bare 400.
    requireHostHeader: false,
  };
  const server = tls === undefined ? createHttpServer(settings) : createTlsServer({ ...settings, ...tls });
  server.maxConnections = limits.connectionsMax;
  server.timeout = limits.socketTimeoutMs;
  return server;
}

/** One request to its reply. Never rejects. */
async function respond(
  parts: ServerParts,
  incoming: IncomingMessage,
  response: ServerResponse,
  closing: () => boolean,
): Promise<void> {
  const { ports } = parts;
  const startedMs = ports.clock.monotonicMs();
  const held = new HeldBody();
  response.on('error', () => {}); // The client went away while the reply was written; 'close' says so, too.
  try {
    const head: RequestHead = {
      method: incoming.method ?? 'GET',
      ...splitTarget(originForm(incoming.url ?? '/')),
      headers: headersFromRaw(incoming.rawHeaders),
    };
    if (head.path === '/healthz' && (head.method === 'GET' || head.method === 'HEAD')) {
      await send(incoming, response, HEALTHY, closing());
      return;
    }
    const arrival = arrivalOf(incoming, head, ports.clock.nowMs());
    const dispatched = await dispatch(parts, incoming, head, held, arrival);
    if (dispatched === null) {
      response.destroy();
      return;
    }
    const { answer, service, operation, accessKeyId } = dispatched;
    const answeredMs = ports.clock.monotonicMs();
    // Who was told that something changed finds it in the log, whatever becomes of this process.
    const written = parts.audit.record(auditEntry(dispatched, arrival, answeredMs - startedMs));
    if (written !== null) await written;
    await send(incoming, response, withRequestId(answer.reply, answer.requestId), closing());
    const tookMs = Math.round(ports.clock.monotonicMs() - startedMs);
    const { requestId, code } = answer;
    ports.log.info('request', {
      requestId,
      service,
      operation,
      accessKeyId,
      status: answer.reply.status,
      code,
      tookMs,
    });
  } catch (error) {
    const requestId = uuid(ports.random);
    ports.log.error('a request failed', { requestId, error });
    if (isBroken(error)) parts.onBroken(error);
    if (response.headersSent) response.destroy();
    else await send(incoming, response, withRequestId(encodeInternalError('ec2', requestId), requestId), true);
  } finally {
    held.giveBack();
  }
}

function arrivalOf(incoming: IncomingMessage, head: RequestHead, nowMs: number): Arrival {
  const { socket } = incoming;
  return {
    sourceAddress: socket.remoteAddress ?? null,
    isSecure: isSecureSocket(socket),
    userAgent: headerValue(head.headers, 'user-agent'),
    nowMs,
  };
}

/** Writes a reply; resolves when it is with the kernel, or the client is gone. */
async function send(
  incoming: IncomingMessage,
  response: ServerResponse,
  reply: HttpReply,
  closing: boolean,
): Promise<void> {
  if (response.destroyed) return;
  const done = Promise.withResolvers<void>();
  response.once('finish', done.resolve).once('close', done.resolve);
  // What is left of a body that was refused would be taken for the next request.
  if (closing || hasBodyLeft(incoming)) response.setHeader('Connection', 'close');
  for (const [name, value] of reply.headers) response.setHeader(name, value);
  response.setHeader('Content-Length', reply.body.length);
  response.writeHead(reply.status);
  response.end(reply.body);
  await done.promise;
}

function hasBodyLeft(incoming: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = incoming.headers;
  return !incoming.complete && (coding !== undefined || (length !== undefined && length !== '0'));
}

class HeldBody implements BodyHold {
  #held: { readonly budget: BodyBudget; readonly bytes: number }[] = [];

  take(budget: BodyBudget, bytes: number): void {
    this.#held.push({ budget, bytes });
  }

  giveBack(): void {
    for (const { budget, bytes } of this.#held) budget.giveBack(bytes);
    this.#held = [];
  }
}

/** How many requests of a connection are being answered. */
class BusySockets {
  readonly #counts = new WeakMap<Duplex, number>();

  begin(socket: Duplex): void {
    this.#counts.set(socket, (this.#counts.get(socket) ?? 0) + 1);
  }

  end(socket: Duplex): void {
    this.#counts.set(socket, (this.#counts.get(socket) ?? 0) - 1);
  }

  has(socket: Duplex): boolean {
    return (this.#counts.get(socket) ?? 0) > 0;
  }
}

const HEALTHY: HttpReply = {
  status: 200,
  headers: [['Content-Type', 'application/json']],
  body: Buffer.from('{"status":"ok"}\n'),
};

function withRequestId(reply: HttpReply, requestId: string): HttpReply {
  if (reply.headers.some(([name]) => name.toLowerCase() === 'x-amzn-requestid')) return reply;
  return { ...reply, headers: [...reply.headers, ['x-amzn-RequestId', requestId]] };
}

/** A proxy may send the absolute form of a target (RFC 9112, 3.2.2); signatures are made over the origin form. */
function originForm(target: string): string {
  const absolute = /^https?:\/\/[^/?#]*/i.exec(target);
  if (absolute === null) return target;
  const rest = target.slice(absolute[0].length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

function clientTrouble(code: string | undefined): 'headers-too-large' | 'too-slow' | 'not-http' {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headers-too-large';
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'too-slow' : 'not-http';
}

function rawReply(parts: ServerParts, trouble: 'headers-too-large' | 'too-slow' | 'not-http'): HttpReply {
  const requestId = uuid(parts.ports.random);
  return withRequestId(encodeError('ec2', transportError('ec2', trouble), requestId), requestId);
}

/** For a connection without a request: the reply as bytes, and the end. */
function endRaw(socket: Duplex, reply: HttpReply, nowMs: number): void {
  const lines = [
    `HTTP/1.1 ${reply.status} Error`,
    `Date: ${new Date(nowMs).toUTCString()}`,
    'Connection: close',
    `Content-Length: ${reply.body.length}`,
    ...reply.headers.map(([name, value]) => `${name}: ${value}`),
  ];
  socket.on('error', () => {}); // Nobody is left to tell.
  socket.end(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), reply.body]));
}

function isInternet(address: AddressInfo | string | null): address is AddressInfo {
  return address !== null && typeof address === 'object';
}
