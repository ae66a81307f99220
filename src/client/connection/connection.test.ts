/** Calls against a server in this process. The words of errors are those of aws-cli 1.45 at the same answers. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import type { Clock } from '#base/clock.ts';
import { ClientError, type Call, type DocumentRecord, type InputRecord } from '#client/command.ts';
import { WholeFloat } from '#client/whole-float.ts';
import { splitTarget } from '#wire/aws/http.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { parseAuthorization, verifySignature } from '#wire/aws/sigv4.ts';
import { openConnection } from './connection.ts';
import {
  answeringServer,
  callOf,
  hastyClock,
  surroundingsOf,
  type Answer,
  type SeenRequest,
} from './surroundings.fixture.ts';

const environment = { AWS_ACCESS_KEY_ID: 'AKID', AWS_SECRET_ACCESS_KEY: 'secret', AWS_DEFAULT_REGION: 'us-east-1' };

async function perform(endpoint: string, call: Call, clock: Clock = hastyClock()): Promise<DocumentRecord> {
  const surroundings = surroundingsOf('call', { environment: { ...environment, AWS_ENDPOINT_URL: endpoint } });
  const connection = await openConnection(call, surroundings, { clock, random: new SeededRandom(7) });
  try {
    return await (await connection.call(call)).whole();
  } finally {
    connection.close();
  }
}

async function answer(
  answers: readonly Answer[],
  service: ServiceName,
  operation: string,
  input: InputRecord = {},
): Promise<DocumentRecord> {
  await using server = await answeringServer(answers);
  return await perform(server.endpoint, callOf(service, operation, input));
}

async function words(answers: readonly Answer[], service: ServiceName, operation: string): Promise<string> {
  try {
    await answer(answers, service, operation);
  } catch (error) {
    assert.ok(error instanceof ClientError);
    assert.equal(error.exitCode, 255);
    return error.message;
  }
  throw new Error('was answered');
}

const failed = (status: number, body: string, headers = {}): Answer => ({ status, body, headers });

test('numbers, blobs and timestamps of JSON stand as the wire has them; members come in the order of the model', async () => {
  const body =
    '{"disk":{"unknown":1,"sizeInGb":5.0,"iops":12345678901234567890,"createdAt":1569625129.739,"name":"a","tags":[],"state":null}}';
  const { disk } = await answer([{ status: 200, body }], 'lightsail', 'GetDisk', { diskName: 'a' });
  assert.deepEqual(Object.entries(disk as DocumentRecord), [
    ['name', 'a'],
    ['createdAt', 1569625129.739],
    ['tags', []],
    ['sizeInGb', new WholeFloat(5)],
    ['iops', 12345678901234567890n],
  ]);
});

test('XML: types of the model, empty lists, text with references and sections', async () => {
  const body = `<?xml version="1.0"?><!-- c --><r:DescribeImportSnapshotTasksResponse xmlns:r="x"><importSnapshotTaskSet><item><description>a &amp; <![CDATA[<b>]]>&#xe9;\r\n</description><snapshotTaskDetail><diskImageSize>8</diskImageSize></snapshotTaskDetail><tagSet/></item></importSnapshotTaskSet><nextToken/></r:DescribeImportSnapshotTasksResponse>`;
  assert.deepEqual(await answer([{ status: 200, body }], 'ec2', 'DescribeImportSnapshotTasks'), {
    ImportSnapshotTasks: [
      { Description: 'a & <b>é\n', SnapshotTaskDetail: { DiskImageSize: new WholeFloat(8) }, Tags: [] },
    ],
  });
});

test('iso8601 timestamps, when the settings ask for them', async () => {
  await using server = await answeringServer([{ status: 200, body: '{"disk":{"createdAt":1569625129.739}}' }]);
  const call = callOf('lightsail', 'GetDisk', { diskName: 'a' });
  const surroundings = surroundingsOf('iso', {
    config: `[default]\ncli_timestamp_format = iso8601\nendpoint_url = ${server.endpoint}\n`,
    environment,
  });
  const connection = await openConnection(call, surroundings);
  assert.deepEqual(await (await connection.call(call)).whole(), {
    disk: { createdAt: '2019-09-27T22:58:49.739000+00:00' },
  });
  connection.close();
});

test('a policy that IAM answers is a document, and what a console printed is text', async () => {
  const policy = encodeURIComponent('{"Version":"2012-10-17","Statement":[]}');
  const role = `<GetRoleResponse><GetRoleResult><Role><RoleName>r</RoleName><AssumeRolePolicyDocument>${policy}</AssumeRolePolicyDocument></Role></GetRoleResult></GetRoleResponse>`;
  assert.deepEqual(await answer([{ status: 200, body: role }], 'iam', 'GetRole', { RoleName: 'r' }), {
    Role: { RoleName: 'r', AssumeRolePolicyDocument: { Version: '2012-10-17', Statement: [] } },
  });
  const output = `<r><output>${Buffer.from('boot é').toString('base64')}</output></r>`;
  assert.deepEqual(await answer([{ status: 200, body: output }], 'ec2', 'GetConsoleOutput', { InstanceId: 'i' }), {
    Output: 'boot é',
  });
});

test('errors of every protocol', async () => {
  const ec2 =
    '<Response><Errors><Error><Code>InvalidVolume.NotFound</Code><Message>no &lt;vol&gt;</Message></Error></Errors><RequestID>1</RequestID></Response>';
  assert.equal(
    await words([failed(400, ec2)], 'ec2', 'DescribeVolumes'),
    '\nAn error occurred (InvalidVolume.NotFound) when calling the DescribeVolumes operation: no <vol>\n',
  );
  const sts =
    '<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>bad</Message></Error></ErrorResponse>';
  assert.equal(
    await words([failed(403, sts)], 'sts', 'GetCallerIdentity'),
    '\nAn error occurred (InvalidClientTokenId) when calling the GetCallerIdentity operation: bad\n',
  );
  assert.equal(
    await words(
      [failed(400, '{"__type":"com.amazonaws#NotFoundException","Message":"gone"}')],
      'lightsail',
      'GetDisks',
    ),
    '\nAn error occurred (NotFoundException) when calling the GetDisks operation: gone\n',
  );
  assert.equal(
    await words(
      [failed(404, '{"Message":"gone"}', { 'x-amzn-errortype': 'ResourceNotFoundException:http://x' })],
      'dlm',
      'GetLifecyclePolicies',
    ),
    '\nAn error occurred (ResourceNotFoundException) when calling the GetLifecyclePolicies operation: gone\n',
  );
  assert.equal(
    await words([failed(418, '{"__type":"A:b#C","message":null}')], 'lightsail', 'GetDisks'),
    '\nAn error occurred (A) when calling the GetDisks operation: None\n',
  );
  assert.equal(
    await words([failed(400, '')], 'lightsail', 'GetDisks'),
    '\nAn error occurred (400) when calling the GetDisks operation: \n',
  );
  assert.equal(
    await words([failed(400, '{"message":"no"}')], 'ec2', 'DescribeVolumes'),
    `\nUnable to parse response (not well-formed (invalid token): line 1, column 0), invalid XML received. Further retries may succeed:\nb'{"message":"no"}'\n`,
  );
});

test('what may pass is tried five times, with growing pauses; what the service refuses is not', async () => {
  const clock = hastyClock();
  await using server = await answeringServer([failed(503, '')]);
  await assert.rejects(perform(server.endpoint, callOf('lightsail', 'GetDisks'), clock), {
    message:
      '\nAn error occurred (503) when calling the GetDisks operation (reached max retries: 4): Service Unavailable\n',
  });
  assert.equal(server.seen.length, 5);
  assert.deepEqual(
    clock.slept.map((pause, index) => pause >= 0 && pause <= 1000 * 2 ** index),
    [true, true, true, true],
  );
  const ids = new Set(server.seen.map(({ headers }) => headers['amz-sdk-invocation-id']));
  assert.equal(ids.size, 1);
  await using throttled = await answeringServer([
    failed(400, '{"__type":"ThrottlingException","message":"slow"}'),
    null,
    { status: 200, body: '{"disks":[]}' },
  ]);
  assert.deepEqual(await perform(throttled.endpoint, callOf('lightsail', 'GetDisks')), { disks: [] });
  assert.equal(throttled.seen.length, 3);
  await using refused = await answeringServer([failed(400, '{"__type":"LimitExceededException","message":"x"}')]);
  await assert.rejects(perform(refused.endpoint, callOf('lightsail', 'GetDisks')));
  assert.equal(refused.seen.length, 1);
});

test('a token of idempotency is one for all attempts of a call', async () => {
  await using server = await answeringServer([failed(500, ''), { status: 201, body: '{"SnapshotId":"snap-1"}' }]);
  await perform(server.endpoint, callOf('ebs', 'StartSnapshot', { VolumeSize: 1 }));
  const tokens = server.seen.map(({ body }) => (JSON.parse(body) as { readonly ClientToken: string }).ClientToken);
  assert.match(tokens[0] ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(tokens[0], tokens[1]);
});

/** Why the server would refuse the signature; null: it holds. */
function refusalOf({ method, url, headers, body }: SeenRequest): unknown {
  const pairs = Object.entries(headers).map(([name, value]) => [name, String(value)] as const);
  const head = { method, ...splitTarget(url), headers: pairs };
  const parsed = parseAuthorization(head);
  if (parsed.kind !== 'parsed') return parsed;
  return verifySignature(head, parsed.authorization, {
    secretAccessKey: 'secret',
    nowMs: hastyClock().nowMs(),
    body: Buffer.from(body),
  });
}

test('a connection that closes, and one that nobody takes', async () => {
  await using server = await answeringServer([null]);
  const { endpoint } = server;
  const message = `\nConnection was closed before we received a valid response from endpoint URL: "${endpoint}/".\n`;
  await assert.rejects(perform(endpoint, callOf('lightsail', 'GetDisks')), { message, exitCode: 255 });
  await server[Symbol.asyncDispose]();
  await assert.rejects(perform(`${endpoint}/base`, callOf('lightsail', 'GetDisks')), {
    message: `\nCould not connect to the endpoint URL: "${endpoint}/base"\n`,
  });
});

test('a request carries a signature that the server can verify, at a path of its own too', async () => {
  await using server = await answeringServer([{ status: 200, body: '{}' }]);
  await perform(
    `${server.endpoint}/base`,
    callOf('rbin', 'ListTagsForResource', { ResourceArn: 'arn:aws:rbin:x/é ..' }),
  );
  const [request] = server.seen;
  assert.equal(request?.url, '/base/tags/arn%3Aaws%3Arbin%3Ax%2F%C3%A9%20..');
  assert.ok(request !== undefined);
  assert.equal(refusalOf(request), null);
});

test('a stream of bytes goes to the file that was named; an error makes no file', async () => {
  const bytes = 'x'.repeat(100_000);
  await using server = await answeringServer([
    { status: 200, body: bytes, headers: { 'x-amz-data-length': '100000', 'x-amz-checksum': 'abc' } },
    failed(404, '{"Message":"none"}', { 'x-amzn-errortype': 'ResourceNotFoundException' }),
    { status: 200, body: bytes },
  ]);
  const { home } = surroundingsOf('outfile');
  const input = { SnapshotId: 'snap-1', BlockIndex: 0, BlockToken: 'a+/=' };
  const into = (name: string): Call => callOf('ebs', 'GetSnapshotBlock', input, { outfile: join(home, name) });
  assert.deepEqual(await perform(server.endpoint, into('block')), { DataLength: 100000, Checksum: 'abc' });
  assert.equal(readFileSync(join(home, 'block'), 'utf8'), bytes);
  assert.equal(server.seen[0]?.url, '/snapshots/snap-1/blocks/0?blockToken=a%2B%2F%3D');
  await assert.rejects(perform(server.endpoint, into('none')), /ResourceNotFoundException/);
  assert.equal(existsSync(join(home, 'none')), false);
  await assert.rejects(perform(server.endpoint, into('no/such/place')), {
    message: `\n[Errno 2] No such file or directory: '${join(home, 'no/such/place')}'\n`,
  });
});

test('half of a stream of bytes is not left in its file', async () => {
  await using server = await answeringServer([
    { status: 200, body: 'x'.repeat(1000), headers: { 'content-length': '100000', connection: 'close' } },
    failed(404, '{"Message":"none"}', { 'x-amzn-errortype': 'ResourceNotFoundException' }),
  ]);
  const { home } = surroundingsOf('half');
  const outfile = join(home, 'block');
  const input = { SnapshotId: 'snap-1', BlockIndex: 0, BlockToken: 'a' };
  const call = callOf('ebs', 'GetSnapshotBlock', input, { outfile });
  writeFileSync(outfile, 'before');
  await assert.rejects(perform(server.endpoint, call), /ResourceNotFoundException/);
  assert.equal(existsSync(outfile), false);
});

test('what the AWS tools do to a request: user data in base64, a URL for the copy of a snapshot', async () => {
  await using server = await answeringServer([{ status: 200, body: '<r/>' }]);
  await perform(server.endpoint, callOf('ec2', 'RunInstances', { UserData: 'héllo', ClientToken: 'a' }));
  assert.match(server.seen[0]?.body ?? '', /UserData=aMOpbGxv/);
  await perform(
    server.endpoint,
    callOf('ec2', 'CopySnapshot', { SourceRegion: 'us-east-2', SourceSnapshotId: 'snap-1' }),
  );
  const form = new URLSearchParams(server.seen[1]?.body);
  assert.equal(form.get('DestinationRegion'), 'us-east-1');
  const url = new URL(form.get('PresignedUrl') ?? '');
  assert.equal(url.origin, server.endpoint);
  assert.equal(url.searchParams.get('X-Amz-Credential'), 'AKID/20260102/us-east-2/ec2/aws4_request');
  const presigned = { method: 'GET', url: `/${url.search}`, headers: { host: url.host }, body: '' };
  assert.equal(refusalOf(presigned), null);
});

test('--debug shows requests and replies, and no secret', async () => {
  await using server = await answeringServer([
    { status: 200, body: '{"Plaintext":"c2VjcmV0"}', headers: { 'x-amzn-RequestId': 'request-7' } },
  ]);
  const call = callOf('kms', 'Decrypt', { CiphertextBlob: new Uint8Array([1]) }, { globals: { debug: true } });
  const surroundings = surroundingsOf('debug', {
    environment: { ...environment, AWS_SESSION_TOKEN: 'token-1', AWS_ENDPOINT_URL: server.endpoint },
  });
  const connection = await openConnection(call, surroundings);
  await connection.call(call);
  connection.close();
  const text = surroundings.errorText();
  assert.match(text, /Sending http request: POST http:\/\/127\.0\.0\.1:\d+\//);
  assert.match(text, /x-amzn-RequestId: request-7/);
  assert.doesNotMatch(text, /token-1|c2VjcmV0|Signature=[0-9a-f]/);
});

test('JSON that is no document is an error, not an empty reply', async () => {
  for (const [body, type, member] of [
    ['[1]', 'list', 'get'],
    ['null', 'NoneType', 'update'],
  ] as const) {
    await using server = await answeringServer([{ status: 200, body }]);
    await assert.rejects(perform(server.endpoint, callOf('lightsail', 'GetDisks')), {
      message: `\n'${type}' object has no attribute '${member}'\n`,
      exitCode: 255,
    });
  }
});
