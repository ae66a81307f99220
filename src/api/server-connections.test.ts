import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineFace } from './handler.ts';
import { API_LIMITS } from './limits.ts';
import { CALL, dial, large, lines, quiet, Scene, until } from './server-scene.fake.ts';
import { type ClientRequest, rawExchange } from './signing-client.fake.ts';

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
