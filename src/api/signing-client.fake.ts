import { createHash, createHmac } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';

export interface ClientKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface ClientReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface ClientRequest {
  readonly method?: string;
  readonly path?: string;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly service: string;
  readonly region?: string;
  /** Default: now. */
  readonly atMs?: number;
}

/** A small AWS client for tests: its own Signature Version 4 (the documented steps), its own HTTP, no retries. */
export class SigningClient {
  readonly #port: number;
  readonly #key: ClientKey;
  readonly #nowMs: () => number;

  /** The clock stands at the beginning of VirtualClock's time unless another is given. */
  constructor(port: number, key: ClientKey, nowMs: () => number = () => Date.UTC(2026, 0, 1)) {
    this.#port = port;
    this.#key = key;
    this.#nowMs = nowMs;
  }

  /** The headers that sign a request. */
  sign(request: ClientRequest): Record<string, string> {
    const { method = 'POST', path = '/', query = '', region = 'us-east-1', service } = request;
    const timestamp = new Date(request.atMs ?? this.#nowMs()).toISOString().replace(/[-:]|\.\d{3}/g, '');
    const date = timestamp.slice(0, 8);
    const headers: Record<string, string> = {
      host: `127.0.0.1:${this.#port}`,
      'x-amz-date': timestamp,
      ...(this.#key.sessionToken === undefined ? {} : { 'x-amz-security-token': this.#key.sessionToken }),
      ...request.headers,
    };
    const names = Object.keys(headers).sort();
    const payload = headers['x-amz-content-sha256'] ?? sha256(request.body ?? '');
    const canonical = [
      method,
      path.split('/').map(encodeURIComponent).join('/'),
      query.split('&').sort().join('&'),
      ...names.map((name) => `${name}:${headers[name]}`),
      '',
      names.join(';'),
      payload,
    ].join('\n');
    const scope = `${date}/${region}/${service}/aws4_request`;
    const text = ['AWS4-HMAC-SHA256', timestamp, scope, sha256(canonical)].join('\n');
    const key = this.#signingKey(scope);
    headers['authorization'] =
      `AWS4-HMAC-SHA256 Credential=${this.#key.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, ` +
      `Signature=${hmac(key, text).toString('hex')}`;
    return headers;
  }

  /** The request with its body cut into signed chunks (aws-chunked), as SDKs send streams. */
  async sendChunked(request: ClientRequest, chunkBytes: number): Promise<ClientReply> {
    const whole = Buffer.from(request.body ?? '');
    const head = {
      ...request,
      headers: {
        ...request.headers,
        'content-encoding': 'aws-chunked',
        'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
        'x-amz-decoded-content-length': String(whole.length),
      },
    };
    const headers = this.sign(head);
    const [, scope = '', seed = ''] =
      /Credential=[^/]+\/([^,]+),.*Signature=([0-9a-f]+)/.exec(headers['authorization'] ?? '') ?? [];
    const pieces: Buffer[] = [];
    let signature = seed;
    for (let at = 0; at <= whole.length; at += chunkBytes) {
      pieces.push(...this.#chunk(whole.subarray(at, at + chunkBytes), headers['x-amz-date'] ?? '', scope, signature));
      signature = /chunk-signature=([0-9a-f]+)/.exec(String(pieces.at(-3)))?.[1] ?? '';
    }
    if (whole.length % chunkBytes !== 0)
      pieces.push(...this.#chunk(Buffer.alloc(0), headers['x-amz-date'] ?? '', scope, signature));
    return await this.sendAs({ ...head, body: Buffer.concat(pieces) }, headers);
  }

  #chunk(bytes: Buffer, timestamp: string, scope: string, before: string): readonly Buffer[] {
    const text = ['AWS4-HMAC-SHA256-PAYLOAD', timestamp, scope, before, sha256(''), sha256(bytes)].join('\n');
    const signature = hmac(this.#signingKey(scope), text).toString('hex');
    return [Buffer.from(`${bytes.length.toString(16)};chunk-signature=${signature}\r\n`), bytes, Buffer.from('\r\n')];
  }

  #signingKey(scope: string): Buffer {
    return scope
      .split('/')
      .reduce<Buffer>((secret, part) => hmac(secret, part), Buffer.from(`AWS4${this.#key.secretAccessKey}`));
  }

  async send(request: ClientRequest): Promise<ClientReply> {
    return await this.sendAs(request, this.sign(request));
  }

  /** Sends with exactly these headers. */
  async sendAs(request: ClientRequest, headers: Readonly<Record<string, string>>): Promise<ClientReply> {
    const { method = 'POST', path = '/', query = '' } = request;
    const done = Promise.withResolvers<ClientReply>();
    const target = query === '' ? path : `${path}?${query}`;
    const outgoing = httpRequest(
      { host: '127.0.0.1', port: this.#port, method, path: target, headers, agent: false },
      (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('error', done.reject);
        response.on('end', () =>
          done.resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(pieces).toString(),
          }),
        );
      },
    );
    outgoing.on('error', done.reject);
    outgoing.end(request.body ?? '');
    return await done.promise;
  }

  /** A JSON 1.1 call, as SDKs make it. */
  async json(
    operation: string,
    input: unknown,
    options: {
      readonly region?: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly atMs?: number;
    } = {},
  ): Promise<ClientReply & { readonly json: unknown }> {
    const { headers, ...rest } = options;
    const reply = await this.send({
      ...rest,
      service: 'lightsail',
      body: JSON.stringify(input),
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': `Lightsail_20161128.${operation}`,
        ...headers,
      },
    });
    return { ...reply, json: JSON.parse(reply.text) as unknown };
  }

  /** A form post to a query service. */
  async form(
    service: 'ec2' | 'sts' | 'iam',
    parameters: Readonly<Record<string, string>>,
    options: { readonly headers?: Readonly<Record<string, string>>; readonly atMs?: number } = {},
  ): Promise<ClientReply> {
    return await this.send({
      ...(options.atMs === undefined ? {} : { atMs: options.atMs }),
      service,
      body: new URLSearchParams(parameters).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8', ...options.headers },
    });
  }
}

/** Writes bytes to the port and answers everything that comes back until the server closes the connection. */
export async function rawExchange(port: number, bytes: string | Uint8Array): Promise<string> {
  const done = Promise.withResolvers<string>();
  const pieces: Buffer[] = [];
  const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
  socket.on('data', (piece) => pieces.push(piece));
  socket.on('error', () => {}); // 'close' follows.
  socket.on('close', () => done.resolve(Buffer.concat(pieces).toString('latin1')));
  return await done.promise;
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
