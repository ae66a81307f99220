import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

import { systemClock } from '#base/clock.ts';
import { headersFromRaw, headerValue, type RequestHead, splitTarget } from '#wire/aws/http.ts';
import { parseAuthorization, verifySignature } from '#wire/aws/sigv4.ts';

import type { S3Location } from './s3-location.ts';

/** What a request meets instead of its answer, or besides it. */
export type S3Fault =
  /** This status and code; nothing is done. */
  | {
      readonly kind: 'error';
      readonly status: number;
      readonly code: string;
      readonly headers?: Record<string, string>;
    }
  /** The connection breaks; `done`: after the work. */
  | { readonly kind: 'reset'; readonly done: boolean }
  /** The connection breaks in the middle of the answer's body. */
  | { readonly kind: 'cut-body' }
  /** The whole answer is there, shorter than it should be, with a length that fits. */
  | { readonly kind: 'short-body' }
  /** One bit of the answer's body is wrong. */
  | { readonly kind: 'wrong-bit' }
  /** The request is read, done when `done`, and never answered. */
  | { readonly kind: 'silence'; readonly done: boolean }
  /** The connection breaks at once, and so long afterwards the request is done all the same. */
  | { readonly kind: 'done-later'; readonly ms: number }
  /** As ordinary, later. */
  | { readonly kind: 'late'; readonly ms: number };

export interface S3RequestSeen {
  readonly method: string;
  /** Without bucket. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** Of the connection that it came on: the first is 1. */
  readonly connection: number;
}

/** How this store differs from a good one. */
export interface S3Manners {
  conditionalPut: 'honoured' | 'ignored' | 'refused';
  checksMd5: boolean;
  ranges: boolean;
  /** Of the keys of a listing, which are given in their own. */
  order: (keys: string[]) => string[];
  /** Objects of one page of a listing. */
  pageCount: number;
  /** Every answer takes so long. */
  latencyMs: number;
  /** The clock of the server, against that of this machine. */
  skewMs: number;
  /** What is stored of what is put. */
  stores: (body: Buffer) => Buffer;
}

export const FAKE_ACCESS_KEY = 'AKIAFAKEFAKEFAKEFAKE';
export const FAKE_SECRET = 'fake/secret+key';
const BUCKET = 'test-bucket';
const REGION = 'eu-west-1';

/** One bucket in memory behind real HTTP: checks every signature, and goes wrong as told. For tests. */
export class FakeS3Server implements AsyncDisposable {
  readonly objects = new Map<string, Buffer>();
  readonly manners: S3Manners = {
    conditionalPut: 'honoured',
    checksMd5: true,
    ranges: true,
    order: (keys) => keys,
    pageCount: 1000,
    latencyMs: 0,
    skewMs: 0,
    stores: (body) => body,
  };
  /** Asked for each request that is signed well. */
  fault: (request: S3RequestSeen) => S3Fault | null = () => null;
  /** Every request that came, signed well or not. */
  readonly seen: string[] = [];
  /** Requests at once, by method: the most there were, and those now. */
  readonly inFlightCountMax = new Map<string, number>();
  readonly #inFlightCount = new Map<string, number>();
  #server: Server;
  #port = 0;
  readonly #sockets = new Set<Socket>();
  readonly #connections = new WeakMap<Socket, number>();
  connectionCount = 0;
  /** Keys that are known, with their secrets. */
  readonly secrets = new Map([[FAKE_ACCESS_KEY, FAKE_SECRET]]);

  readonly #tls: { readonly key: string; readonly cert: string } | null;

  private constructor(tls: { readonly key: string; readonly cert: string } | null) {
    this.#tls = tls;
    this.#server = this.#newServer();
  }

  /** `tls`: PEM; with it the server speaks https. */
  static async start(tls: { readonly key: string; readonly cert: string } | null = null): Promise<FakeS3Server> {
    const fake = new FakeS3Server(tls);
    await fake.up();
    return fake;
  }

  /** `prefix` as in S3Location. */
  location(prefix = ''): S3Location {
    return { bucket: BUCKET, prefix, region: REGION, endpoint: this.endpoint };
  }

  get endpoint(): string {
    return `${this.#tls === null ? 'http' : 'https'}://127.0.0.1:${this.#port}`;
  }

  environment(): Record<string, string> {
    return {
      AWS_ACCESS_KEY_ID: FAKE_ACCESS_KEY,
      AWS_SECRET_ACCESS_KEY: FAKE_SECRET,
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    };
  }

  /** Connections are refused, and those that there are break. */
  async down(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Back, at the same port. */
  async up(): Promise<void> {
    this.#server = this.#newServer();
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#port, '127.0.0.1', () => resolve());
    });
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.down();
  }

  #newServer(): Server {
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      const method = request.method ?? '';
      const count = (this.#inFlightCount.get(method) ?? 0) + 1;
      this.#inFlightCount.set(method, count);
      this.inFlightCountMax.set(method, Math.max(this.inFlightCountMax.get(method) ?? 0, count));
      response.once('close', () => this.#inFlightCount.set(method, (this.#inFlightCount.get(method) ?? 1) - 1));
      this.#serve(request, response).catch(() => request.socket.destroy()); // The client went away.
    };
    const server = this.#tls === null ? createServer(serve) : createSecureServer(this.#tls, serve);
    // Of TLS the one inside, on which requests come.
    server.on(this.#tls === null ? 'connection' : 'secureConnection', (socket: Socket) => {
      this.#connections.set(socket, (this.connectionCount += 1));
    });
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    return server;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const method = request.method ?? '';
    const head: RequestHead = {
      method,
      ...splitTarget(request.url ?? ''),
      headers: headersFromRaw(request.rawHeaders),
    };
    this.seen.push(`${method} ${request.url ?? ''}`);
    if (this.manners.latencyMs > 0) await systemClock.sleep(this.manners.latencyMs);
    const answer = new Answer(response, this.manners.skewMs);

    const refused = this.#refusal(head, body);
    if (refused !== null) return answer.error(refused.status, refused.code, refused.extra);
    const [, bucket, ...parts] = head.path.split('/');
    if (bucket !== BUCKET) return answer.error(404, 'NoSuchBucket');
    const seen: S3RequestSeen = {
      method,
      key: parts.join('/'),
      query: new URLSearchParams(head.query),
      headers: request.headers,
      connection: this.#connections.get(request.socket) ?? 0,
    };

    const fault = this.fault(seen);
    if (fault === null) return this.#perform(seen, body, answer);
    switch (fault.kind) {
      case 'error':
        return answer.error(fault.status, fault.code, '', fault.headers);
      case 'reset':
        if (fault.done) this.#perform(seen, body, new Answer(null, 0));
        request.socket.resetAndDestroy();
        return;
      case 'silence':
        if (fault.done) this.#perform(seen, body, new Answer(null, 0));
        return;
      case 'done-later':
        request.socket.resetAndDestroy();
        await systemClock.sleep(fault.ms);
        this.#perform(seen, body, new Answer(null, 0));
        return;
      case 'late':
        await systemClock.sleep(fault.ms);
        break;
      case 'cut-body':
      case 'short-body':
      case 'wrong-bit':
        answer.spoil = fault.kind;
        break;
    }
    this.#perform(seen, body, answer);
  }

  #refusal(head: RequestHead, body: Buffer): { status: number; code: string; extra: string } | null {
    const parsed = parseAuthorization(head);
    if (parsed.kind === 'failed') return { status: 403, code: 'AccessDenied', extra: '' };
    const { authorization } = parsed;
    const secretAccessKey = this.secrets.get(authorization.accessKeyId);
    if (secretAccessKey === undefined) return { status: 403, code: 'InvalidAccessKeyId', extra: '' };
    if (authorization.region !== REGION) {
      return { status: 400, code: 'AuthorizationHeaderMalformed', extra: `<Region>${REGION}</Region>` };
    }
    const nowMs = systemClock.nowMs() + this.manners.skewMs;
    const failure = verifySignature(head, authorization, { secretAccessKey, nowMs, body, skewMsMax: 15 * 60_000 });
    if (failure?.kind === 'skewed') return { status: 403, code: 'RequestTimeTooSkewed', extra: '' };
    if (failure !== null) return { status: 403, code: 'SignatureDoesNotMatch', extra: '' };
    if (authorization.payload.kind === 'body-hash') return { status: 400, code: 'MissingSecurityHeader', extra: '' };
    for (const name of ['host', 'content-md5', 'if-none-match', 'range']) {
      if (headerValue(head.headers, name) !== null && !authorization.signedHeaders.includes(name)) {
        return { status: 403, code: 'AccessDenied', extra: `<Unsigned>${name}</Unsigned>` };
      }
    }
    return null;
  }

  #perform(request: S3RequestSeen, body: Buffer, answer: Answer): void {
    const { method, key } = request;
    if (key === '') return method === 'GET' ? this.#list(request, answer) : answer.error(405, 'MethodNotAllowed');
    switch (method) {
      case 'PUT':
        return this.#put(request, body, answer);
      case 'GET':
        return this.#get(request, answer);
      case 'DELETE':
        this.objects.delete(key);
        return answer.send(204, Buffer.alloc(0));
      default:
        return answer.error(405, 'MethodNotAllowed');
    }
  }

  #put({ key, headers }: S3RequestSeen, body: Buffer, answer: Answer): void {
    if (headers['content-length'] === undefined) return answer.error(411, 'MissingContentLength');
    const md5 = createHash('md5').update(body).digest('base64');
    if (this.manners.checksMd5 && headers['content-md5'] !== undefined && headers['content-md5'] !== md5) {
      return answer.error(400, 'BadDigest');
    }
    if (headers['if-none-match'] === '*' && this.manners.conditionalPut !== 'ignored') {
      if (this.manners.conditionalPut === 'refused') return answer.error(501, 'NotImplemented');
      if (this.objects.has(key)) return answer.error(412, 'PreconditionFailed');
    }
    this.objects.set(key, Buffer.from(this.manners.stores(body)));
    answer.send(200, Buffer.alloc(0), { ETag: `"${md5}"` });
  }

  #get({ key, headers }: S3RequestSeen, answer: Answer): void {
    const object = this.objects.get(key);
    if (object === undefined) return answer.error(404, 'NoSuchKey');
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
    if (range === null || !this.manners.ranges) return answer.send(200, object);
    const first = Number(range[1]);
    const last = Math.min(Number(range[2]), object.length - 1);
    if (first >= object.length) return answer.error(416, 'InvalidRange');
    answer.send(206, object.subarray(first, last + 1), { 'Content-Range': `bytes ${first}-${last}/${object.length}` });
  }

  #list({ query }: S3RequestSeen, answer: Answer): void {
    if (query.get('list-type') !== '2') return answer.error(501, 'NotImplemented');
    const prefix = query.get('prefix') ?? '';
    const after = query.get('continuation-token') ?? '';
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = this.manners
      .order(keys)
      .slice(0, Math.min(this.manners.pageCount, Number(query.get('max-keys') ?? 1000)));
    const contents = page.map(
      (key) =>
        `<Contents><Key>${encodeURIComponent(key)}</Key><Size>${this.objects.get(key)?.length ?? 0}</Size></Contents>`,
    );
    const isMore = page.length < keys.length;
    const next = isMore ? `<NextContinuationToken>${page.at(-1) ?? ''}</NextContinuationToken>` : '';
    const document = `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${BUCKET}</Name><IsTruncated>${isMore}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`;
    answer.send(200, Buffer.from(document));
  }
}

class Answer {
  spoil: 'cut-body' | 'short-body' | 'wrong-bit' | null = null;
  readonly #response: ServerResponse | null;
  readonly #skewMs: number;

  /** Null: nobody hears it. */
  constructor(response: ServerResponse | null, skewMs: number) {
    this.#response = response;
    this.#skewMs = skewMs;
  }

  error(status: number, code: string, extra = '', headers: Record<string, string> = {}): void {
    const text = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>as &quot;told&quot;</Message>${extra}</Error>`;
    this.send(status, Buffer.from(text), headers);
  }

  send(status: number, body: Buffer, headers: Record<string, string> = {}): void {
    const response = this.#response;
    if (response === null) return;
    const { spoil } = this;
    const sent = spoil === 'short-body' && body.length > 0 ? body.subarray(0, body.length - 1) : Buffer.from(body);
    if (spoil === 'wrong-bit' && sent.length > 0) sent[sent.length >> 1] = (sent[sent.length >> 1] ?? 0) ^ 1;
    response.sendDate = false;
    response.setHeader('Date', new Date(systemClock.nowMs() + this.#skewMs).toUTCString());
    response.writeHead(status, { ...headers, ...(status === 204 ? {} : { 'Content-Length': String(sent.length) }) });
    if (spoil === 'cut-body') {
      response.write(sent.subarray(0, sent.length >> 1), () => response.socket?.destroy());
      return;
    }
    response.end(sent);
  }
}
