import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';

import { ObjectStoreError } from './object-store.ts';
import { errorBodyOf, listPageOf } from './s3-answer.ts';
import { addressOf, parseS3Endpoint, parseS3Url, type S3Location } from './s3-location.ts';
import { openS3Store } from './s3-open.ts';
import { FakeS3Server } from './s3-server.fake.ts';

async function started(t: TestContext): Promise<FakeS3Server> {
  const fake = await FakeS3Server.start();
  t.after(() => fake[Symbol.asyncDispose]());
  return fake;
}

/** Opens and closes a store; answers what the probe found. */
async function findings(
  fake: FakeS3Server,
  options: { location?: Partial<S3Location>; environment?: Record<string, string> } = {},
): Promise<Readonly<Record<string, unknown>>> {
  const logged = new Map<string, Readonly<Record<string, unknown>>>();
  const keep = (event: string, fields: Readonly<Record<string, unknown>> = {}): void => void logged.set(event, fields);
  const log: Log = { info: keep, warn: keep, error: keep, with: () => log };
  const store = await openS3Store({
    location: { ...fake.location('p/'), ...options.location },
    environment: { ...fake.environment(), ...options.environment },
    clock: systemClock,
    random: new SeededRandom(3),
    log,
    stallMs: 300,
    giveUpMs: 400,
  });
  await store[Symbol.asyncDispose]();
  return logged.get('s3.probe') ?? {};
}

function refuses(sentence: RegExp, retryable = false): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof ObjectStoreError);
    assert.match(describeError(error), sentence);
    assert.match(error.message, /^s3:\/\/.* cannot be used: /);
    assert.equal(error.retryable, retryable);
    return true;
  };
}

test('probe: it says what the store honours, and leaves nothing behind', async (t) => {
  const fake = await started(t);
  const store = `s3://test-bucket/p/ at ${fake.endpoint}`;
  assert.deepEqual(await findings(fake), { store, conditionalPut: true, checksMd5: true });
  assert(fake.seen.length <= 12, `${fake.seen.length} requests`);
  fake.manners.checksMd5 = false;
  fake.manners.conditionalPut = 'ignored';
  assert.deepEqual(await findings(fake), { store, conditionalPut: false, checksMd5: false });
  fake.manners.conditionalPut = 'refused';
  assert.deepEqual(await findings(fake), { store, conditionalPut: false, checksMd5: false });
  assert.deepEqual([...fake.objects.keys()], ['p/.owner']);
});

test('probe: a first put whose answer was lost does not hide that the store honours conditions', async (t) => {
  const fake = await started(t);
  let isFirst = true;
  fake.fault = ({ method }) => {
    if (method !== 'PUT' || !isFirst) return null;
    isFirst = false;
    return { kind: 'reset', done: true };
  };
  assert.equal((await findings(fake))['conditionalPut'], true);
});

test('probe: what an earlier one left is removed, and nothing else', async (t) => {
  const fake = await started(t);
  fake.objects.set('p/.probe-0123', Buffer.from('x'));
  fake.objects.set('.probe-0123', Buffer.from('another installation’s'));
  fake.objects.set('p/repository', Buffer.from('ours'));
  await findings(fake);
  assert.deepEqual([...fake.objects.keys()].sort(), ['.probe-0123', 'p/.owner', 'p/repository']);
});

test('probe: a store that stores other bytes, or does not do ranges, is refused', async (t) => {
  const fake = await started(t);
  fake.manners.stores = (body) => Buffer.concat([Buffer.from('10000;chunk-signature=…\r\n'), body]);
  await assert.rejects(findings(fake), refuses(/it gives other bytes than it was given/));
  fake.manners.stores = (body) => body;
  fake.manners.ranges = false;
  await assert.rejects(findings(fake), refuses(/it does not answer a range of an object/));
  assert.equal(fake.objects.size, 0);
});

test('probe: whoever runs the server is told what to change', async (t) => {
  const fake = await started(t);
  const none = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' };
  await assert.rejects(
    findings(fake, { environment: none }),
    refuses(/no credentials for the store: set AWS_ACCESS_KEY_ID/),
  );
  const unknown = { AWS_ACCESS_KEY_ID: 'AKIANOBODY' };
  // Perhaps known later: keys are given out before every server has heard of them.
  await assert.rejects(
    findings(fake, { environment: unknown }),
    refuses(/the store does not know the access key/, true),
  );
  const wrong = { AWS_SECRET_ACCESS_KEY: 'wrong' };
  await assert.rejects(findings(fake, { environment: wrong }), refuses(/is the secret key the right one\?/));
  await assert.rejects(findings(fake, { location: { bucket: 'no-such' } }), refuses(/no such bucket; make it first/));
  await assert.rejects(
    findings(fake, { location: { region: 'us-east-2' } }),
    refuses(/in region eu-west-1: give --s3-region eu-west-1/),
  );
  fake.fault = () => ({
    kind: 'error',
    status: 301,
    code: 'PermanentRedirect',
    headers: { 'x-amz-bucket-region': 'ap-south-1' },
  });
  await assert.rejects(findings(fake), refuses(/give --s3-region ap-south-1/));
  fake.fault = ({ method }) => (method === 'PUT' ? { kind: 'error', status: 403, code: 'AccessDenied' } : null);
  await assert.rejects(findings(fake), refuses(/put: access denied: .*s3:PutObject/));
  fake.fault = ({ method }) => (method === 'DELETE' ? { kind: 'error', status: 403, code: 'AccessDenied' } : null);
  await assert.rejects(findings(fake), refuses(/delete: access denied: .*s3:DeleteObject/));
  fake.objects.clear();
  fake.fault = () => null;
  fake.manners.skewMs = -20 * 60_000;
  await assert.rejects(
    findings(fake),
    refuses(/the clock of this machine is 1\d\d\d seconds ahead of that of the store: set it/),
  );
  fake.manners.skewMs = 0;
  fake.fault = () => ({ kind: 'silence', done: false });
  await assert.rejects(findings(fake), refuses(/list.*: nothing moved for 0.3 seconds/, true));
  await fake.down();
  await assert.rejects(findings(fake), refuses(/list.*: no answer: .*ECONNREFUSED/, true));
  const https = fake.endpoint.replace('http:', 'https:');
  await fake.up();
  await assert.rejects(
    findings(fake, { location: { endpoint: https } }),
    refuses(/no secure connection .*does the endpoint speak https at all\?/),
  );
});

test('probe: what answers and is no S3 is said to be none', async (t) => {
  const server = createServer((_request, response) =>
    response.writeHead(404, { 'Content-Type': 'text/html' }).end('<html>not here</html>'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => server.close());
  const fake = await started(t);
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await assert.rejects(findings(fake, { location: { endpoint } }), refuses(/the answer is not S3's: HTTP status 404/));
});

test('s3 location: buckets and prefixes that need no escape, and nothing else', () => {
  assert.deepEqual(parseS3Url('s3://bucket'), { bucket: 'bucket', prefix: '' });
  assert.deepEqual(parseS3Url('s3://bucket/'), { bucket: 'bucket', prefix: '' });
  assert.deepEqual(parseS3Url('s3://my.bucket-1/a/b_c.d/'), { bucket: 'my.bucket-1', prefix: 'a/b_c.d/' });
  const wrong = [
    'bucket',
    's3://',
    's3://Bucket',
    's3://ab',
    's3://1.2.3.4',
    's3://a..b',
    's3://bucket//a',
    's3://bucket/a//b',
    's3://bucket/../a',
    's3://bucket/.a',
    's3://bucket/a b',
    's3://bucket/é',
    's3://bucket/a?b',
    `s3://bucket/${'a'.repeat(400)}`,
  ];
  for (const text of wrong) assert.equal(parseS3Url(text), null, text);
  assert.equal(parseS3Endpoint('http://127.0.0.1:7480'), 'http://127.0.0.1:7480');
  assert.equal(parseS3Endpoint('https://store.example/'), 'https://store.example');
  for (const text of ['store.example', 'ftp://a', 'http://a/b', 'http://u:p@a', 'http://a?b'])
    assert.equal(parseS3Endpoint(text), null, text);
});

test('s3 location: path style at an endpoint, the bucket in the host at Amazon’s', () => {
  const location = { bucket: 'b-1', prefix: '', region: 'eu-west-1', endpoint: null };
  const amazon = 'b-1.s3.eu-west-1.amazonaws.com';
  assert.deepEqual(addressOf(location), { secure: true, hostname: amazon, port: null, host: amazon, basePath: '' });
  assert.equal(addressOf({ ...location, region: 'cn-north-1' }).host, 'b-1.s3.cn-north-1.amazonaws.com.cn');
  const dotted = addressOf({ ...location, bucket: 'b.1' });
  assert.deepEqual([dotted.host, dotted.basePath], ['s3.eu-west-1.amazonaws.com', '/b.1']);
  const own = addressOf({ ...location, endpoint: 'http://[::1]:7480' });
  assert.deepEqual(own, { secure: false, hostname: '::1', port: 7480, host: '[::1]:7480', basePath: '/b-1' });
});

test('s3 answers: documents are read as they are written elsewhere', () => {
  const answer = (text: string) => ({ status: 200, headers: {}, body: Buffer.from(text) });
  const page = listPageOf(
    answer(
      '<?xml version="1.0"?>\n<ListBucketResult xmlns="u">\n <IsTruncated>true</IsTruncated>\n <Contents>\n <Key>a%2Fb</Key><Owner><ID>x</ID></Owner><Size>12</Size></Contents>' +
        '<Contents><Size>0</Size><Key>c+d</Key></Contents><NextContinuationToken>1&amp;&#50;&#x33;</NextContinuationToken></ListBucketResult>',
    ),
  );
  assert.deepEqual(page, {
    objects: [
      { key: 'a/b', sizeBytes: 12 },
      { key: 'c d', sizeBytes: 0 },
    ],
    next: '1&23',
  });
  assert.deepEqual(
    listPageOf(answer('<ListBucketResult xmlns="u"><IsTruncated>false</IsTruncated></ListBucketResult>')),
    { objects: [], next: null },
  );
  // Cut off, or more to come and no word of where.
  assert.equal(listPageOf(answer('<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents>')), null);
  assert.equal(listPageOf(answer('<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>')), null);
  assert.equal(
    listPageOf(answer('<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>')),
    null,
  );
  assert.deepEqual(errorBodyOf(answer('<Error><Code>X</Code><Message/></Error>')), {
    code: 'X',
    message: '',
    region: null,
  });
  assert.equal(errorBodyOf(answer('<html></html>')), null);
  assert.deepEqual(errorBodyOf(answer('<Error><CodeX>1</CodeX><Code a="b">X</Code></Error>'))?.code, 'X');
  // What a broken store may send costs time in proportion to its length.
  const startMs = systemClock.monotonicMs();
  const many = '<Contents><Key>'.repeat(100_000);
  assert.equal(listPageOf(answer(`<ListBucketResult>${many}</ListBucketResult>`))?.objects.length, 0);
  assert.equal(errorBodyOf(answer('<Code>'.repeat(300_000))), null);
  assert(systemClock.monotonicMs() - startMs < 10_000);
});
