import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '#base/assert.ts';
import { refuse } from '#domain/errors.ts';
import { VolumeHostError } from '#volume/host.ts';
import { type CallContext } from './handler.ts';
import { API_LIMITS } from './limits.ts';
import { ACCOUNT, CALL, JSON_HEADERS, KEY, quiet, Scene, until } from './server-scene.fake.ts';
import { SigningClient } from './signing-client.fake.ts';

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
