import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { AssertionError, present } from '#base/assert.ts';
import type { Log } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import type { ControlPorts } from '#control/ports.ts';
import { refuse } from '#domain/errors.ts';
import { parseAccountId } from '#domain/ids.ts';
import { VolumeHostError } from '#volume/host.ts';
import { type CallContext, defineFace, type Face, type Handlers } from './handler.ts';
import { onlyRoot } from './access/root-access.fake.ts';
import { API_LIMITS, type ApiLimits } from './limits.ts';
import { type ApiServer, createApiServer } from './server.ts';
import { type ClientRequest, rawExchange, SigningClient } from './signing-client.fake.ts';

const KEY = { accessKeyId: 'AKIAAAAAAAAAAAAAAAAA', secretAccessKey: 'secret+/secret' };
const ACCOUNT = present(parseAccountId('012345678901'), 'an account id');

/** A call that asks for nothing, as SDKs send it. */
const JSON_HEADERS = {
  'content-type': 'application/x-amz-json-1.1',
  'x-amz-target': 'Lightsail_20161128.GetRegions',
};
const CALL = { service: 'lightsail', body: '{}', headers: JSON_HEADERS };

interface Line {
  readonly level: string;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A server with faces of the test's own, on a clock that only the test moves. */
class Scene implements AsyncDisposable {
  readonly clock = new VirtualClock(Date.UTC(2026, 0, 1));
  readonly lines: Line[] = [];
  readonly broken: unknown[] = [];
  readonly server: ApiServer;
  #port = 0;

  constructor(
    handlers: Handlers<'lightsail'>,
    options: { readonly limits?: Partial<ApiLimits>; readonly faces?: readonly Face[] } = {},
  ) {
    const face = defineFace({
      service: 'lightsail',
      repeatable: ['Get'],
      mapFailure: (failure) => ({ code: 'NotFoundException', message: `refused: ${failure.kind}`, status: 404 }),
      handlers,
    });
    this.server = createApiServer({
      ports: fakePorts(this),
      faces: [face, ...(options.faces ?? [])],
      limits: { ...API_LIMITS, ...options.limits },
      findCaller: onlyRoot({ ...KEY, account: ACCOUNT }),
      onBroken: (error) => this.broken.push(error),
    });
  }

  static async open(...options: ConstructorParameters<typeof Scene>): Promise<Scene> {
    const scene = new Scene(...options);
    scene.#port = (await scene.server.listen(0, '127.0.0.1')).port;
    return scene;
  }

  get port(): number {
    return this.#port;
  }

  get client(): SigningClient {
    return new SigningClient(this.#port, KEY);
  }

  errors(): readonly Line[] {
    return this.lines.filter(({ level }) => level === 'error');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closing = this.server.close(1000);
    await until(() => this.server.counts.requestsOpen === 0 && this.server.counts.callsRunning === 0);
    await closing;
    assert.equal(this.server.counts.bodyBytes, 0, 'no request leaves its body behind');
  }
}

function fakePorts(scene: Scene): ControlPorts {
  const record =
    (level: string) =>
    (event: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      scene.lines.push({ level, event, fields });
    };
  const log: Log = { info: record('info'), warn: record('warn'), error: record('error'), with: () => log };
  const parts: Pick<ControlPorts, 'clock' | 'random' | 'log'> = {
    clock: scene.clock,
    random: new SeededRandom(1),
    log,
  };
  return parts as ControlPorts;
}

async function until(fact: () => boolean): Promise<void> {
  while (!fact()) await new Promise((resolve) => setImmediate(resolve));
}

/** A connection that sends what it is told. */
async function dial(port: number): Promise<{ readonly socket: Socket; readonly closed: Promise<string> }> {
  const pieces: Buffer[] = [];
  const closed = Promise.withResolvers<string>();
  const open = Promise.withResolvers<void>();
  const socket = connect(port, '127.0.0.1', open.resolve);
  socket.on('data', (piece) => pieces.push(piece));
  socket.on('error', () => {}); // 'close' follows.
  socket.on('close', () => closed.resolve(Buffer.concat(pieces).toString('latin1')));
  await open.promise;
  return { socket, closed: closed.promise };
}

const quiet: Handlers<'lightsail'> = { GetRegions: async () => ({ regions: [] }) };

test('a signed call reaches its handler with its scope and input, and the reply names the request', async () => {
  const calls: { context: CallContext; input: unknown }[] = [];
  await using scene = await Scene.open({
    GetRegions: async (context, input) => {
      calls.push({ context, input });
      return { regions: [{ displayName: 'Virginia' }] };
    },
  });
  const reply = await scene.client.json('GetRegions', { includeAvailabilityZones: true }, { region: 'eu-west-1' });
  assert.equal(reply.status, 200);
  assert.deepEqual(reply.json, { regions: [{ displayName: 'Virginia' }] });
  assert.match(String(reply.headers['x-amzn-requestid']), /^[0-9a-f-]{36}$/);
  assert.equal(reply.headers['content-type'], 'application/x-amz-json-1.1');
  assert.ok(reply.headers['date'] !== undefined);
  const [call] = calls;
  assert.deepEqual(call?.input, { includeAvailabilityZones: true });
  assert.deepEqual(call?.context.scope, { account: ACCOUNT, region: 'eu-west-1' });
  assert.equal(call?.context.requestId, reply.headers['x-amzn-requestid']);
  assert.equal(scene.lines.at(-1)?.fields['status'], 200);
});

test('an unsigned call is refused in the words of its service', async () => {
  await using scene = await Scene.open(quiet);
  const lightsail = await scene.client.sendAs(CALL, JSON_HEADERS);
  assert.match(lightsail.text, /UnauthenticatedException/);
  assert.ok(lightsail.status >= 400 && lightsail.status < 500);
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const sts = await scene.client.sendAs({ service: 'sts', body: 'Action=GetCallerIdentity&Version=2011-06-15' }, form);
  assert.match(sts.text, /<ErrorResponse[\s\S]*MissingAuthenticationToken/);
  const ec2 = await scene.client.sendAs({ service: 'ec2', body: 'Action=DescribeVolumes&Version=2016-11-15' }, form);
  assert.match(ec2.text, /<Response><Errors><Error><Code>(AuthFailure|MissingAuthenticationToken)/);
});

test('who is not believed never reaches a handler', async () => {
  let calls = 0;
  await using scene = await Scene.open({
    GetRegions: async () => {
      calls += 1;
      return {};
    },
  });
  const { client, port } = scene;

  const stranger = new SigningClient(port, { ...KEY, accessKeyId: 'AKIABBBBBBBBBBBBBBBB' });
  assert.match((await stranger.send(CALL)).text, /UnrecognizedClientException/);
  const impostor = new SigningClient(port, { ...KEY, secretAccessKey: 'guessed' });
  assert.match((await impostor.send(CALL)).text, /InvalidSignatureException/);
  const tampered = await client.sendAs({ ...CALL, body: '{ }' }, client.sign(CALL));
  assert.match(tampered.text, /InvalidSignatureException/);
  for (const minutes of [-16, 16, -6, 6]) {
    const atMs = scene.clock.nowMs() + minutes * 60_000;
    assert.match((await client.send({ ...CALL, atMs })).text, /Exception/, `${minutes} minutes off`);
  }
  for (const authorization of [
    '',
    'AWS4-HMAC-SHA256',
    'Basic YTpi',
    'AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=, Signature=',
    'AWS4-HMAC-SHA256 Credential=__proto__/20260101/us-east-1/lightsail/aws4_request, SignedHeaders=host, Signature=00',
  ]) {
    const reply = await client.sendAs(CALL, {
      ...JSON_HEADERS,
      host: 'x',
      'x-amz-date': '20260101T000000Z',
      authorization,
    });
    assert.ok(reply.status >= 400 && reply.status < 500, authorization);
    assert.match(reply.text, /"__type":"[A-Za-z]+"/);
  }
  assert.equal(calls, 0);
  assert.equal(scene.errors().length, 0);
});

test('a region that does not exist, and a signature for another service, are refused', async () => {
  await using scene = await Scene.open(quiet);
  const nowhere = await scene.client.json('GetRegions', {}, { region: 'mars-north-1' });
  assert.match(nowhere.text, /InvalidSignatureException[\s\S]*mars-north-1/);
  const crossed = await scene.client.send({
    service: 'ec2',
    body: '{}',
    headers: JSON_HEADERS,
  });
  assert.match(crossed.text, /InvalidSignatureException[\s\S]*correct service/);
  const foreign = await scene.client.send({ service: 's3', method: 'GET', path: '/bucket/key' });
  assert.ok(foreign.status >= 400 && foreign.text.length > 0);
});

test('names that every object has are no operations', async () => {
  await using scene = await Scene.open(quiet);
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'NoSuchThing', '']) {
    const json = await scene.client.json(name, {});
    assert.equal(json.status, 404, name);
    assert.match(json.text, /UnknownOperationException/, name);
    const form = await scene.client.form('ec2', { Action: name, Version: '2016-11-15' });
    assert.equal(form.status, 400, name);
    assert.match(form.text, /<Code>(InvalidAction|MissingAction|MissingParameter)<\/Code>/, name);
  }
  assert.equal(scene.errors().length, 0);
});

test('an operation that is in the model and not built says so, and is not worth repeating', async () => {
  await using scene = await Scene.open(quiet);
  const lightsail = await scene.client.json('CreateLoadBalancer', { loadBalancerName: 'x', instancePort: 80 });
  assert.ok(lightsail.status >= 400 && lightsail.status < 500);
  assert.match(lightsail.text, /CreateLoadBalancer/);
  const ec2 = await scene.client.form('ec2', { Action: 'DescribeVolumes', Version: '2016-11-15' });
  assert.equal(ec2.status, 400);
  assert.match(ec2.text, /UnsupportedOperation[\s\S]*DescribeVolumes/);
});

test('a refusal is the service’s own error; our trouble is its internal error, with nothing told but the request id', async () => {
  await using scene = await Scene.open({
    GetDisk: async () => refuse({ kind: 'not-found', resource: 'volume', id: 'x' }),
    GetDisks: async () => {
      throw new Error('secret detail', { cause: new Error('EIO') });
    },
    GetOperations: async () => {
      throw new VolumeHostError('unavailable', 'the host is restarting');
    },
    GetOperation: async () => {
      throw new Error('wrapped', { cause: new AssertionError('broken invariant: water is wet') });
    },
  });
  const refused = await scene.client.json('GetDisk', { diskName: 'xx' });
  assert.equal(refused.status, 404);
  assert.match(refused.text, /refused: not-found/);
  assert.equal(scene.errors().length, 0);

  const failed = await scene.client.json('GetDisks', {});
  assert.equal(failed.status, 500);
  assert.match(failed.text, /ServiceException/);
  assert.doesNotMatch(failed.text, /secret|EIO|at /);
  assert.equal(scene.errors().length, 1);
  assert.equal(scene.errors()[0]?.fields['requestId'], failed.headers['x-amzn-requestid']);
  assert.deepEqual(scene.broken, []);

  const busy = await scene.client.json('GetOperations', {});
  assert.equal(busy.status, 503);
  assert.match(busy.text, /ServiceException/);

  assert.equal((await scene.client.json('GetOperation', { operationId: 'x' })).status, 500);
  assert.equal(scene.broken.length, 1);
});

test('a full disk is told as such, whether it is the host’s or that of the metadata', async () => {
  await using scene = await Scene.open({
    GetDisks: async () => {
      throw new VolumeHostError('no-space', 'append to the log of /srv/secret');
    },
    GetDisk: async () => {
      throw new Error('insert', { cause: Object.assign(new Error('database or disk is full'), { errcode: 13 }) });
    },
  });
  for (const operation of ['GetDisks', 'GetDisk']) {
    const { status, text } = await scene.client.json(operation, { diskName: 'xx' });
    assert.equal(status, 500);
    assert.match(text, /no space left/);
    assert.doesNotMatch(text, /secret/);
  }
  assert.equal(scene.errors().length, 2);
  assert.deepEqual(scene.broken, []);
});

test('input that its model refuses never reaches a handler', async () => {
  let calls = 0;
  await using scene = await Scene.open({
    CreateDisk: async () => {
      calls += 1;
      return {};
    },
  });
  for (const body of [
    '',
    '{',
    'null',
    '[]',
    '{"diskName":5,"availabilityZone":"us-east-1a","sizeInGb":8}',
    '{"diskName":"ab"}',
    '['.repeat(100_000),
  ]) {
    const reply = await scene.client.send({
      service: 'lightsail',
      body,
      headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'Lightsail_20161128.CreateDisk' },
    });
    assert.ok(reply.status >= 400 && reply.status < 500, body.slice(0, 20));
    assert.match(reply.text, /"__type"/);
  }
  assert.equal(calls, 0);
  assert.equal(scene.errors().length, 0);
});

test('a body over the limit is refused in the protocol, announced or not', async () => {
  await using scene = await Scene.open(quiet, { limits: { bodyBytesMax: 600_000, dropBytesMax: 100_000 } });
  const { client } = scene;
  const announced = await client.send(large(600_001));
  assert.equal(announced.status, 413);
  assert.match(announced.text, /InvalidInputException/);
  const chunked = await client.sendAs(large(650_000), {
    ...client.sign(large(650_000)),
    'transfer-encoding': 'chunked',
  });
  assert.equal(chunked.status, 413);
  const far = await dial(scene.port);
  const headers = client.sign(large(1));
  far.socket.write(`POST / HTTP/1.1\r\n${lines({ ...headers, 'content-length': '999999999999' })}\r\n\r\n`);
  assert.match(await far.closed, /^HTTP\/1.1 413 [\s\S]*connection: close/i);
});

test('a block has 512 KiB and not a byte more, in one piece or chunked', async () => {
  const sizes: number[] = [];
  const ebs = defineFace({
    service: 'ebs',
    repeatable: ['Get', 'List', 'Put'],
    mapFailure: ({ kind }) => ({ code: 'ValidationException', message: kind }),
    handlers: {
      PutSnapshotBlock: async (_context, input) => {
        sizes.push(input.BlockData.length);
        return { Checksum: input.Checksum, ChecksumAlgorithm: 'SHA256' as const };
      },
    },
  });
  await using scene = await Scene.open(quiet, { faces: [ebs] });
  const put = (length: number): ClientRequest => ({
    service: 'ebs',
    method: 'PUT',
    path: '/snapshots/snap-12345678/blocks/3',
    body: Buffer.alloc(length, 7),
    headers: {
      'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
      'x-amz-data-length': '524288',
      'x-amz-checksum': 'x'.repeat(44),
      'x-amz-checksum-algorithm': 'SHA256',
    },
  });
  const whole = await scene.client.send(put(524_288));
  assert.equal(whole.status, 201, whole.text);
  const chunked = await scene.client.sendAs(put(524_288), {
    ...scene.client.sign(put(524_288)),
    'transfer-encoding': 'chunked',
  });
  assert.equal(chunked.status, 201);
  const large = await scene.client.send(put(524_289));
  assert.equal(large.status, 413);
  assert.equal(large.headers['x-amzn-errortype'], 'ValidationException');
  assert.match(large.text, /INVALID_BLOCK/);
  const signed = ({ headers, ...rest }: ClientRequest): ClientRequest => {
    const { 'x-amz-content-sha256': _, ...others } = headers ?? {};
    return { ...rest, headers: others };
  };
  const streamed = await scene.client.sendChunked(signed(put(524_288)), 65_536);
  assert.equal(streamed.status, 201, streamed.text);
  const tooLong = await scene.client.sendChunked(signed(put(524_289)), 65_536);
  assert.equal(tooLong.status, 413, tooLong.text);
  assert.deepEqual(sizes, [524_288, 524_288, 524_288]);
});

test('a body that stalls is answered when its time is over, and its connection closed', async () => {
  await using scene = await Scene.open(quiet);
  const { client, port, clock } = scene;
  const slow = await dial(port);
  slow.socket.write(`POST / HTTP/1.1\r\n${lines({ ...client.sign(CALL), 'content-length': '2' })}\r\n\r\n{`);
  await until(() => scene.server.counts.bodyBytes === 1);
  await clock.advance(API_LIMITS.bodyTimeoutMs);
  assert.match(await slow.closed, /^HTTP\/1.1 408 [\s\S]*connection: close[\s\S]*RequestTimeoutException/i);
  assert.equal((await client.json('GetRegions', {}, { atMs: clock.nowMs() })).status, 200);
});

test('a client that goes away in the middle of its body leaves nothing behind', async () => {
  await using scene = await Scene.open(quiet);
  const gone = await dial(scene.port);
  gone.socket.write(`POST / HTTP/1.1\r\n${lines({ ...scene.client.sign(CALL), 'content-length': '100' })}\r\n\r\n{`);
  await until(() => scene.server.counts.bodyBytes === 1);
  gone.socket.destroy();
  await until(() => scene.server.counts.requestsOpen === 0);
  assert.equal(scene.server.counts.bodyBytes, 0);
});

test('what is not HTTP, or not for anybody, gets a short answer in the protocol and never a page or a stack', async () => {
  await using scene = await Scene.open(quiet);
  const cases: readonly (readonly [string, RegExp])[] = [
    ['\0\x01\x02garbage\r\n\r\n', /^HTTP\/1.1 400/],
    ['GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /^HTTP\/1.1 4\d\d/],
    ['OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /^HTTP\/1.1 4\d\d/],
    ['DELETE /%00/../%zz?%=&&= HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', /^HTTP\/1.1 4\d\d/],
    ['POST /constructor HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', /^HTTP\/1.1 4\d\d/],
    ['CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n', /^HTTP\/1.1 4\d\d/],
    [`GET / HTTP/1.1\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`, /^HTTP\/1.1 431/],
    [`GET /${'a'.repeat(17_000)} HTTP/1.1\r\n\r\n`, /^HTTP\/1.1 (431|400)/],
    ['POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n', /^HTTP\/1.1 400/],
    ['POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', /^HTTP\/1.1 400/],
  ];
  for (const [bytes, expected] of cases) {
    const answer = await rawExchange(scene.port, bytes);
    assert.match(answer, expected, bytes.slice(0, 40));
    assert.match(answer, /x-amzn-requestid: [0-9a-f-]{36}/i, bytes.slice(0, 40));
    assert.match(answer.slice(answer.indexOf('\r\n\r\n') + 4), /<(Code|__type)>|"__type"/, bytes.slice(0, 40));
    assert.doesNotMatch(answer, /<html|node:|\.ts:/i, bytes.slice(0, 40));
  }
  const head = await rawExchange(scene.port, 'HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  assert.match(head, /^HTTP\/1.1 4\d\d[\s\S]*\r\n\r\n$/);
  assert.equal(scene.errors().length, 0);
});

test('garbage after a request does not disturb its reply', async () => {
  const gate = Promise.withResolvers<void>();
  await using scene = await Scene.open({
    GetRegions: async () => {
      await gate.promise;
      return {};
    },
  });
  const talk = await dial(scene.port);
  const signed = lines({ ...scene.client.sign(CALL), 'content-length': '2' });
  talk.socket.write(`POST / HTTP/1.1\r\n${signed}\r\n\r\n{}\0\0garbage\r\n\r\n`);
  await until(() => scene.server.counts.callsRunning === 1 || talk.socket.destroyed);
  gate.resolve();
  const answer = await talk.closed;
  assert.ok(answer === '' || /^HTTP\/1.1 200/.test(answer), 'either its reply or a closed connection');
  assert.equal((answer.match(/HTTP\/1.1/g) ?? []).length <= 1, true);
});

test('headers that do not come end their connection', async () => {
  await using scene = await Scene.open(quiet, { limits: { headersTimeoutMs: 100 } });
  const answer = await rawExchange(scene.port, 'GET / HTTP/1.1\r\nHost: x\r\n');
  assert.match(answer, /^HTTP\/1.1 408[\s\S]*RequestTimeout/);
});

test('several requests share a connection', async () => {
  await using scene = await Scene.open(quiet);
  const one = `POST / HTTP/1.1\r\n${lines({ ...scene.client.sign(CALL), 'content-length': '2' })}\r\n\r\n{}`;
  const last = `GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
  const answer = await rawExchange(scene.port, `${one}${one}${last}`);
  assert.equal((answer.match(/HTTP\/1.1 200/g) ?? []).length, 3);
});

test('health needs no signature', async () => {
  await using scene = await Scene.open(quiet);
  const reply = await scene.client.sendAs({ service: '', method: 'GET', path: '/healthz' }, {});
  assert.equal(reply.status, 200);
  assert.deepEqual(JSON.parse(reply.text), { status: 'ok' });
});

test('a mutating call is performed once, however often its attempts come, also at the same time', async () => {
  const gate = Promise.withResolvers<void>();
  let calls = 0;
  await using scene = await Scene.open({
    DeleteDisk: async () => {
      calls += 1;
      await gate.promise;
      if (calls > 1) refuse({ kind: 'not-found', resource: 'volume', id: 'x' });
      return { operations: [] };
    },
  });
  const attempt = (id: string, name = 'Disk-1') =>
    scene.client.json('DeleteDisk', { diskName: name }, { headers: { 'amz-sdk-invocation-id': id } });
  const first = attempt('one');
  await until(() => calls === 1);
  const second = attempt('one');
  await until(() => scene.server.counts.requestsOpen === 2);
  gate.resolve();
  assert.equal((await first).status, 200);
  assert.equal((await second).status, 200);
  const third = await attempt('one');
  assert.equal(third.status, 200);
  assert.equal(third.headers['x-amzn-requestid'], (await first).headers['x-amzn-requestid']);
  assert.equal(calls, 1);
  assert.equal((await attempt('two')).status, 404, 'another call');
  assert.equal((await attempt('one', 'Disk-2')).status, 404, 'another body');
  assert.equal(calls, 3);
});

test('a call that failed by our fault is performed again', async () => {
  let calls = 0;
  await using scene = await Scene.open({
    DeleteDisk: async () => {
      calls += 1;
      if (calls === 1) throw new Error('trouble');
      return {};
    },
  });
  const headers = { 'amz-sdk-invocation-id': 'one' };
  assert.equal((await scene.client.json('DeleteDisk', { diskName: 'ab' }, { headers })).status, 500);
  assert.equal((await scene.client.json('DeleteDisk', { diskName: 'ab' }, { headers })).status, 200);
});

test('a call that takes too long is answered "try again", goes on, and the next attempt gets its answer', async () => {
  const gate = Promise.withResolvers<void>();
  let calls = 0;
  await using scene = await Scene.open({
    DeleteDisk: async ({ signal }) => {
      calls += 1;
      await gate.promise;
      assert.equal(signal.aborted, true);
      return { operations: [] };
    },
  });
  const attempt = () =>
    scene.client.json('DeleteDisk', { diskName: 'ab' }, { headers: { 'amz-sdk-invocation-id': 'one' } });
  const first = attempt();
  await until(() => calls === 1);
  await scene.clock.advance(API_LIMITS.callTimeoutMs);
  assert.equal((await first).status, 503);
  const second = attempt();
  await until(() => scene.server.counts.requestsOpen === 1);
  gate.resolve();
  assert.deepEqual([(await second).status, calls], [200, 1]);
  await until(() => scene.lines.some(({ event }) => event === 'a request that took too long ended'));
});

test('more calls than may run at once are told to try again', async () => {
  const gate = Promise.withResolvers<void>();
  await using scene = await Scene.open(
    {
      GetDisks: async () => {
        await gate.promise;
        return {};
      },
    },
    { limits: { callsRunningMax: 2 } },
  );
  const running = [scene.client.json('GetDisks', {}), scene.client.json('GetDisks', {})];
  await until(() => scene.server.counts.callsRunning === 2);
  const third = await scene.client.json('GetDisks', {});
  assert.equal(third.status, 503);
  gate.resolve();
  assert.deepEqual(
    (await Promise.all(running)).map(({ status }) => status),
    [200, 200],
  );
});

test('closing lets a running request finish and takes no new connection', async () => {
  const gate = Promise.withResolvers<void>();
  const scene = await Scene.open({
    GetDisks: async () => {
      await gate.promise;
      return {};
    },
  });
  const running = scene.client.json('GetDisks', {});
  await until(() => scene.server.counts.callsRunning === 1);
  const closing = scene.server.close(1000);
  await assert.rejects(scene.client.json('GetDisks', {}), /ECONNREFUSED/);
  gate.resolve();
  const reply = await running;
  assert.equal(reply.status, 200);
  assert.equal(reply.headers['connection'], 'close');
  await closing;
});

test('closing gives up what does not finish, at its deadline', async () => {
  const aborted = Promise.withResolvers<void>();
  const scene = await Scene.open({
    GetDisks: async ({ signal }) => {
      signal.addEventListener('abort', () => aborted.resolve());
      await aborted.promise;
      throw new Error('stopped');
    },
  });
  const running = scene.client.json('GetDisks', {});
  running.catch(() => {}); // Looked at below.
  await until(() => scene.server.counts.callsRunning === 1);
  const closing = scene.server.close(1000);
  await scene.clock.advance(1000);
  await closing;
  await assert.rejects(running, /ECONNRESET|hang up/);
  await until(() => scene.server.counts.requestsOpen === 0);
});

function large(length: number): ClientRequest {
  return { ...CALL, body: Buffer.alloc(length, 0x20) };
}

function lines(headers: Readonly<Record<string, string>>): string {
  return Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\r\n');
}
