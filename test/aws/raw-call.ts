import { createHash, createHmac } from 'node:crypto';
import { request } from 'node:http';
import type { Credentials, RunningServer } from '../running-server.ts';

export interface RawReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  readonly body: Buffer;
}

export interface RawCall {
  readonly service: 'ec2' | 'lightsail' | 'ebs' | 'sts' | 'kms';
  /** JSON and query services; empty: only what `body` says. */
  readonly operation?: string;
  readonly body?: string | Uint8Array;
  readonly method?: string;
  /** Encoded path and query. */
  readonly target?: string;
  readonly region?: string;
  readonly credentials?: Credentials;
  readonly headers?: Readonly<Record<string, string>>;
  /** Leave the signature out. */
  readonly unsigned?: boolean;
}

const TARGETS = { lightsail: 'Lightsail_20161128', kms: 'TrentService' } as const;
const VERSIONS = { ec2: '2016-11-15', sts: '2011-06-15' } as const;

/** A request that no SDK would send, signed (Signature Version 4) by code that shares nothing with the server's. */
export async function rawCall(server: RunningServer, call: RawCall): Promise<RawReply> {
  const url = new URL(server.endpoint);
  const method = call.method ?? 'POST';
  const target = call.target ?? '/';
  const headers: Record<string, string> = { host: url.host };
  let body = Buffer.from(call.body ?? '');
  if (call.service === 'lightsail' || call.service === 'kms') {
    headers['content-type'] = 'application/x-amz-json-1.1';
    if (call.operation !== undefined) headers['x-amz-target'] = `${TARGETS[call.service]}.${call.operation}`;
  } else if (call.service === 'ec2' || call.service === 'sts') {
    headers['content-type'] = 'application/x-www-form-urlencoded; charset=utf-8';
    if (call.operation !== undefined) {
      const rest = body.toString('utf8');
      body = Buffer.from(`Action=${call.operation}&Version=${VERSIONS[call.service]}${rest === '' ? '' : `&${rest}`}`);
    }
  }
  Object.assign(headers, call.headers);
  if (call.unsigned !== true)
    sign(headers, { ...call, method, target, body, credentials: call.credentials ?? server.credentials });
  return await new Promise((resolve, reject) => {
    const sent = request(
      {
        host: url.hostname,
        port: url.port,
        method,
        path: target,
        headers: { ...headers, 'content-length': body.length },
      },
      (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () => {
          const whole = Buffer.concat(pieces);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: whole.toString('utf8'),
            body: whole,
          });
        });
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function sign(
  headers: Record<string, string>,
  call: RawCall & {
    readonly method: string;
    readonly target: string;
    readonly body: Buffer;
    readonly credentials: Credentials;
  },
): void {
  const region = call.region ?? 'us-east-1';
  const time = new Date().toISOString().replaceAll(/[-:]|\.\d{3}/g, '');
  const scope = `${time.slice(0, 8)}/${region}/${call.service}/aws4_request`;
  headers['x-amz-date'] ??= time;
  const bodyHash = headers['x-amz-content-sha256'] ?? createHash('sha256').update(call.body).digest('hex');
  const [path = '/', query = ''] = call.target.split('?');
  const names = Object.keys(headers).toSorted();
  const canonical = [
    call.method,
    path.split('/').map(encodeURIComponent).join('/'),
    query.split('&').toSorted().join('&'),
    ...names.map((name) => `${name}:${headers[name]?.trim() ?? ''}`),
    '',
    names.join(';'),
    bodyHash,
  ].join('\n');
  const toSign = [
    'AWS4-HMAC-SHA256',
    headers['x-amz-date'],
    scope,
    createHash('sha256').update(canonical).digest('hex'),
  ].join('\n');
  const hmac = (key: Buffer | string, text: string): Buffer => createHmac('sha256', key).update(text).digest();
  const key = scope.split('/').reduce<Buffer | string>(hmac, `AWS4${call.credentials.secretAccessKey}`);
  const signature = createHmac('sha256', key).update(toSign).digest('hex');
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${call.credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
}
