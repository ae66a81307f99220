/** Connections: certificates, time-outs, proxies; the words are those of aws-cli 1.45 without the line numbers of Python's sources. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import type { DocumentRecord, GlobalOptions } from '#client/command.ts';
import { openConnection } from './connection.ts';
import { callOf, surroundingsOf, type TestSurroundings } from './surroundings.fixture.ts';

const directory = scratchDirectory('client-transport');
const environment = {
  AWS_ACCESS_KEY_ID: 'AKID',
  AWS_SECRET_ACCESS_KEY: 'secret',
  AWS_DEFAULT_REGION: 'us-east-1',
  AWS_MAX_ATTEMPTS: '1',
};

interface Listening extends AsyncDisposable {
  readonly port: number;
}

async function listening(server: Server): Promise<Listening> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Paths of a certificate that signs itself, and of its key; null: there is nothing to make one with. */
function certificate(
  t: TestContext,
  name: string,
  alternative: string,
): { readonly cert: string; readonly key: string } | null {
  const [key, cert] = [join(directory, `${name}.key`), join(directory, `${name}.pem`)];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const about = ['-subj', '/CN=test', '-addext', `subjectAltName=${alternative}`, '-days', '2'];
  try {
    execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...about], { stdio: 'ignore' });
  } catch (error) {
    if (process.env['VARVE_REQUIRE_CLIENTS'] === '1') throw error;
    t.skip('openssl is not installed');
    return null;
  }
  return { cert, key };
}

function tlsServer({ cert, key }: { readonly cert: string; readonly key: string }): Promise<Listening> {
  const answer = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, (_request, reply) => {
    reply.end('{"disks":[]}');
  });
  return listening(answer);
}

async function disks(
  endpoint: string,
  globals: Partial<GlobalOptions> = {},
  more: Readonly<Record<string, string>> = {},
): Promise<readonly [DocumentRecord, TestSurroundings]> {
  const surroundings = surroundingsOf('transport', {
    environment: { ...environment, AWS_ENDPOINT_URL: endpoint, ...more },
  });
  const call = callOf('lightsail', 'GetDisks', {}, { globals });
  const connection = await openConnection(call, surroundings);
  try {
    return [await (await connection.call(call)).whole(), surroundings];
  } finally {
    connection.close();
  }
}

test('a certificate of nobody is refused, unless it is named or nobody looks', async (t) => {
  const files = certificate(t, 'own', 'IP:127.0.0.1');
  if (files === null) return;
  await using server = await tlsServer(files);
  const endpoint = `https://127.0.0.1:${server.port}`;
  await assert.rejects(disks(endpoint), {
    message: `\nSSL validation failed for ${endpoint}/ [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate\n`,
    exitCode: 255,
  });
  const [trusted, quiet] = await disks(endpoint, { caBundle: files.cert });
  assert.deepEqual(trusted, { disks: [] });
  assert.equal(quiet.errorText(), '');
  assert.deepEqual((await disks(endpoint, {}, { AWS_CA_BUNDLE: files.cert }))[0], { disks: [] });
  const [unverified, warned] = await disks(endpoint, { verifySsl: false });
  assert.deepEqual(unverified, { disks: [] });
  assert.match(
    warned.errorText(),
    /^InsecureRequestWarning: Unverified HTTPS request is being made to host '127\.0\.0\.1'\. Adding certificate verification is strongly advised\. See: \S+\n$/,
  );
  await assert.rejects(disks(endpoint, { caBundle: join(directory, 'none') }), {
    message: `\nSSL validation failed for ${endpoint}/ [Errno 2] No such file or directory\n`,
  });
});

test('a certificate of another host is refused', async (t) => {
  const files = certificate(t, 'other', 'DNS:other');
  if (files === null) return;
  await using server = await tlsServer(files);
  const endpoint = `https://127.0.0.1:${server.port}`;
  await assert.rejects(disks(endpoint, { caBundle: files.cert }), {
    message: `\nSSL validation failed for ${endpoint}/ hostname '127.0.0.1' doesn't match 'other'\n`,
  });
});

test('a server that says nothing is not waited for longer than was asked', async () => {
  await using server = await listening(createHttpServer(() => {}));
  const endpoint = `http://127.0.0.1:${server.port}`;
  await assert.rejects(disks(endpoint, { cliReadTimeout: 0.2 }), {
    message: `\nRead timeout on endpoint URL: "${endpoint}/"\n`,
    exitCode: 255,
  });
});

test('a reply that stops in its middle is not waited for either', async () => {
  await using server = await listening(
    createHttpServer((_request, reply) => void reply.writeHead(200, { 'content-length': '100' }).write('{"disks"')),
  );
  const endpoint = `http://127.0.0.1:${server.port}`;
  await assert.rejects(disks(endpoint, { cliReadTimeout: 0.2 }), {
    message: `\nRead timeout on endpoint URL: "${endpoint}/"\n`,
  });
});

test('a proxy is asked for the whole URL, with its password, and not for what is exempt', async () => {
  const seen: IncomingMessage[] = [];
  await using proxy = await listening(
    createHttpServer((request, reply) => {
      seen.push(request);
      reply.end('{"disks":[]}');
    }),
  );
  const through = { HTTP_PROXY: `http://user:p%40ss@127.0.0.1:${proxy.port}` };
  assert.deepEqual((await disks('http://service.example:81/base', {}, through))[0], { disks: [] });
  assert.equal(seen[0]?.url, 'http://service.example:81/base');
  assert.equal(seen[0]?.headers.host, 'service.example:81');
  assert.equal(seen[0]?.headers['proxy-authorization'], `Basic ${Buffer.from('user:p@ss').toString('base64')}`);
  await using direct = await listening(createHttpServer((_request, reply) => void reply.end('{"disks":[]}')));
  for (const exempt of ['127.0.0.1', '*', 'x, 0.0.1']) {
    await disks(`http://127.0.0.1:${direct.port}`, {}, { ...through, NO_PROXY: exempt });
  }
  assert.equal(seen.length, 1);
  await assert.rejects(disks('http://service.example', {}, { http_proxy: 'http://user:p@127.0.0.1:1' }), {
    message: '\nFailed to connect to proxy URL: "http://***:***@127.0.0.1:1"\n',
  });
});

test('through a proxy to HTTPS goes a tunnel, whose certificate is that of the service', async (t) => {
  const files = certificate(t, 'tunnel', 'IP:127.0.0.1');
  if (files === null) return;
  await using server = await tlsServer(files);
  const targets: string[] = [];
  const tunnel = createHttpServer();
  tunnel.on('connect', (request: IncomingMessage, client: Socket) => {
    targets.push(request.url ?? '');
    const upstream = connect(server.port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on('error', () => client.destroy());
    client.on('error', () => upstream.destroy());
  });
  await using proxy = await listening(tunnel);
  const endpoint = `https://127.0.0.1:${server.port}`;
  const through = { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` };
  assert.deepEqual((await disks(endpoint, { caBundle: files.cert }, through))[0], { disks: [] });
  assert.deepEqual(targets, [`127.0.0.1:${server.port}`]);
  await assert.rejects(disks(endpoint, {}, through), /certificate verify failed: self-signed certificate/);
});

test('a proxy that hangs up is no reply', async (t) => {
  const silent = createServer((socket) => void socket.once('data', () => socket.end()));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  await assert.rejects(disks('https://service.example', {}, { HTTPS_PROXY: `http://127.0.0.1:${port}` }), {
    message:
      '\nConnection was closed before we received a valid response from endpoint URL: "https://service.example/".\n',
  });
});

test('a tunnel through a proxy at an IPv6 address leads to one', async (t) => {
  const heads: string[] = [];
  const proxy = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (head) => {
      heads.push(head.toString());
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    });
  });
  const isListening = await new Promise<boolean>((resolve) => {
    proxy.once('error', () => resolve(false)).listen(0, '::1', () => resolve(true));
  });
  if (!isListening) return t.skip('there is no IPv6 here');
  t.after(() => proxy.close());
  const { port } = proxy.address() as AddressInfo;
  await assert.rejects(disks('https://[fd00::1]:8443', {}, { HTTPS_PROXY: `http://[::1]:${port}` }), {
    message: `\nFailed to connect to proxy URL: "http://[::1]:${port}"\n`,
  });
  assert.match(heads[0] ?? '', /^CONNECT \[fd00::1\]:8443 HTTP\/1\.1\r\nHost: \[fd00::1\]:8443\r\n/);
});

test('a key with a line end is refused, and its signature is not shown', async () => {
  await assert.rejects(disks('http://127.0.0.1:1', {}, { AWS_ACCESS_KEY_ID: 'AKID\n' }), ({ message }: Error) => {
    assert.match(message, /^\nAn HTTP Client raised an unhandled exception: Invalid header value of Authorization: /);
    assert.match(message, /Signature=\*\*\*/);
    return true;
  });
  await assert.rejects(disks('http://127.0.0.1:1', {}, { AWS_SESSION_TOKEN: 'token\r' }), {
    message: '\nAn HTTP Client raised an unhandled exception: Invalid header value of X-Amz-Security-Token: "***"\n',
  });
});
