import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import { present } from '#base/assert.ts';
import { type Clock, systemClock } from '#base/clock.ts';
import { type Log, silentLog } from '#base/log.ts';
import { isNoSpace } from '#base/no-space.ts';
import { SeededRandom } from '#base/random.ts';

import { TEST_ACCOUNT, openChunkStore, storeChunks } from './chunk-store.fixture.ts';
import { StoreError } from './errors.ts';
import { ObjectExistsError, type ObjectStore, ObjectStoreError } from './object-store.ts';
import { objectStoreSuite } from './object-store.suite.ts';
import { openS3Store } from './s3-open.ts';
import { DOUBT_MS } from './s3-store.ts';
import { FAKE_ACCESS_KEY, FAKE_SECRET, FakeS3Server, type S3Fault, type S3RequestSeen } from './s3-server.fake.ts';

const PREFIX = 'one/installation/';

/** What is in doubt is so for a shorter time. */
const impatientClock: Clock = {
  ...systemClock,
  sleep: async (ms, signal) => await systemClock.sleep(ms === DOUBT_MS ? 100 : ms, signal),
};

async function open(
  fake: FakeS3Server,
  options: { log?: Log; giveUpMs?: number; stallMs?: number; prefix?: string } = {},
): Promise<ObjectStore> {
  return await openS3Store({
    location: fake.location(options.prefix ?? PREFIX),
    environment: fake.environment(),
    clock: impatientClock,
    random: new SeededRandom(1),
    log: options.log ?? silentLog,
    stallMs: options.stallMs ?? 2_000,
    giveUpMs: options.giveUpMs ?? 10_000,
  });
}

/** A store with a server of its own, which goes with it. */
async function opened(prepare: (fake: FakeS3Server) => void, prefix = PREFIX): Promise<ObjectStore> {
  const fake = await FakeS3Server.start();
  prepare(fake);
  const store = await open(fake, { prefix });
  const close = store[Symbol.asyncDispose].bind(store);
  store[Symbol.asyncDispose] = async () => {
    await close();
    await fake[Symbol.asyncDispose]();
  };
  return store;
}

/** Every third request goes wrong in one of these ways. */
const HARMLESS: readonly S3Fault[] = [
  { kind: 'error', status: 500, code: 'InternalError' },
  { kind: 'reset', done: false },
  { kind: 'error', status: 503, code: 'ServiceUnavailable' },
  { kind: 'reset', done: true },
  { kind: 'cut-body' },
  { kind: 'late', ms: 5 },
];

function everyThird(): (request: S3RequestSeen) => S3Fault | null {
  let count = 0;
  return () => {
    count += 1;
    return count % 3 === 0 ? (HARMLESS[(count / 3) % HARMLESS.length] ?? null) : null;
  };
}

objectStoreSuite('s3', () => opened(() => {}));
objectStoreSuite('s3, pages of two', () => opened((fake) => (fake.manners.pageCount = 2), ''));
objectStoreSuite('s3, every third request goes wrong', () => opened((fake) => (fake.fault = everyThird())));
objectStoreSuite('s3 without conditional puts', () => opened((fake) => (fake.manners.conditionalPut = 'ignored')));
objectStoreSuite('s3 that refuses conditional puts', () => opened((fake) => (fake.manners.conditionalPut = 'refused')));

async function started(t: TestContext): Promise<FakeS3Server> {
  const fake = await FakeS3Server.start();
  t.after(() => fake[Symbol.asyncDispose]());
  return fake;
}

/** The fault once, at the first request that `which` takes. */
function once(fault: S3Fault, which: (request: S3RequestSeen) => boolean): (request: S3RequestSeen) => S3Fault | null {
  let isDone = false;
  return (request) => {
    if (isDone || !which(request)) return null;
    isDone = true;
    return fault;
  };
}

test('s3: what two installations store in one bucket is apart', async (t) => {
  const fake = await started(t);
  await using one = await open(fake, { prefix: 'a/' });
  await using other = await open(fake, { prefix: 'a/b/' });
  await one.put('k', [Buffer.from('1')]);
  await other.put('k', [Buffer.from('2')]);
  assert.equal(String(await one.get('k')), '1');
  assert.equal(String(await other.get('k')), '2');
  assert.deepEqual([...fake.objects.keys()].sort(), ['a/.owner', 'a/b/.owner', 'a/b/k', 'a/k']);
});

test('s3: a put that was done and not answered is not taken for another’s', async (t) => {
  const fake = await started(t);
  await using store = await open(fake, { stallMs: 200 });
  for (const fault of [
    { kind: 'reset', done: true },
    { kind: 'silence', done: true },
  ] as const) {
    const key = `packs/${fault.kind}`;
    fake.fault = once(fault, ({ method }) => method === 'PUT');
    await store.put(key, [Buffer.from('mine, '), Buffer.from('all of it')], { ifAbsent: true });
    assert.equal(String(await store.get(key)), 'mine, all of it');
    // And another's is not taken for ours: the attempt that was reset found it there.
    fake.fault = once({ kind: 'reset', done: false }, ({ method }) => method === 'PUT');
    await assert.rejects(store.put(key, [Buffer.from('mine, all of i.')], { ifAbsent: true }), ObjectExistsError);
  }
});

test('s3: a request that nobody answers is made again, and given up in the end as retryable', async (t) => {
  const fake = await started(t);
  await using store = await open(fake, { stallMs: 100, giveUpMs: 600 });
  await store.put('k', [Buffer.from('x')]);
  fake.fault = once({ kind: 'silence', done: false }, () => true);
  assert.equal(String(await store.get('k')), 'x');
  fake.fault = () => ({ kind: 'silence', done: false });
  await assert.rejects(store.get('k'), (error) => {
    assert(error instanceof ObjectStoreError);
    assert.match(error.message, /^get k, \d+ attempts: nothing moved for 0.1 seconds$/);
    return error.retryable;
  });
});

test('s3: connections that died silently cost one wait, not one each', async (t) => {
  const fake = await started(t);
  const stallMs = 300;
  await using store = await open(fake, { stallMs });
  await store.put('k', [Buffer.from('x')]);
  fake.manners.latencyMs = 20;
  await Promise.all(Array.from({ length: 20 }, () => store.get('k')));
  fake.manners.latencyMs = 0;
  const old = fake.connectionCount;
  assert(old >= 20, `${old} connections`);
  fake.fault = ({ connection }) => (connection <= old ? { kind: 'silence', done: false } : null);
  const startMs = systemClock.monotonicMs();
  assert.equal(String(await store.get('k')), 'x');
  const tookMs = systemClock.monotonicMs() - startMs;
  assert(tookMs < 5 * stallMs, `${tookMs} ms`);
});

test('s3: a store that is away for a while is waited for', async (t) => {
  const fake = await started(t);
  await using store = await open(fake);
  await store.put('k', [Buffer.alloc(1_000_000, 3)]);
  await fake.down();
  const reading = store.get('k');
  const writing = store.put('l', [Buffer.from('y')], { ifAbsent: true });
  await systemClock.sleep(600);
  await fake.up();
  assert.equal((await reading)?.length, 1_000_000);
  await writing;
  assert.equal(String(fake.objects.get(`${PREFIX}l`)), 'y');
});

test('s3: a put that fails has no effect after it failed, and is no failure when it was done after all', async (t) => {
  const fake = await started(t);
  let waitedMs = 0;
  // The pauses of retries are short; only the wait for what is in doubt is as long as this.
  const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    if (ms > 20_000) waitedMs = ms;
    await systemClock.sleep(ms > 20_000 ? 500 : ms, signal);
  };
  await using store = await openS3Store({
    location: fake.location(),
    environment: fake.environment(),
    clock: { ...systemClock, sleep },
    random: new SeededRandom(1),
    log: silentLog,
    stallMs: 100,
    giveUpMs: 150,
  });
  fake.fault = ({ method }) => (method === 'PUT' ? { kind: 'done-later', ms: 300 } : null);
  await store.put('snapshots/s', [Buffer.from('m')], { ifAbsent: true });
  assert.equal(waitedMs, 30_000);
  assert.equal(String(fake.objects.get('snapshots/s')), 'm');
  fake.fault = ({ method }) => (method === 'PUT' ? { kind: 'reset', done: false } : null);
  await assert.rejects(store.put('snapshots/t', [Buffer.from('m')], { ifAbsent: true }), ObjectStoreError);
  assert(!fake.objects.has('snapshots/t'));
  // What was never sent is in no doubt.
  waitedMs = 0;
  await fake.down();
  await assert.rejects(store.delete('snapshots/t'), ObjectStoreError);
  assert.equal(waitedMs, 0);
});

test('s3: what is deleted does not come back by an attempt that got no answer', async (t) => {
  const fake = await started(t);
  const sleep = async (ms: number, signal?: AbortSignal): Promise<void> =>
    await systemClock.sleep(ms === DOUBT_MS ? 600 : ms, signal);
  await using store = await openS3Store({
    location: fake.location(),
    environment: fake.environment(),
    clock: { ...systemClock, sleep },
    random: new SeededRandom(1),
    log: silentLog,
    stallMs: 5_000,
  });
  fake.fault = once({ kind: 'done-later', ms: 300 }, ({ method }) => method === 'PUT');
  await store.put('snapshots/s', [Buffer.from('m')], { ifAbsent: true });
  await store.delete('snapshots/s');
  await systemClock.sleep(500);
  assert.equal(await store.get('snapshots/s'), null);
});

test('s3: what is put again after it was deleted is not deleted by an attempt that got no answer', async (t) => {
  const fake = await started(t);
  const sleep = async (ms: number, signal?: AbortSignal): Promise<void> =>
    await systemClock.sleep(ms === DOUBT_MS ? 600 : ms, signal);
  await using store = await openS3Store({
    location: fake.location(),
    environment: fake.environment(),
    clock: { ...systemClock, sleep },
    random: new SeededRandom(1),
    log: silentLog,
    stallMs: 5_000,
    giveUpMs: 150,
  });
  const late: S3Fault = { kind: 'done-later', ms: 300 };
  const putAgain = async (): Promise<void> => {
    fake.fault = () => null;
    await store.put('snapshots/s', [Buffer.from('again')], { ifAbsent: true });
    await systemClock.sleep(500);
    assert.equal(String(await store.get('snapshots/s')), 'again');
  };
  await store.put('snapshots/s', [Buffer.from('m')], { ifAbsent: true });
  fake.fault = once(late, ({ method }) => method === 'DELETE');
  await store.delete('snapshots/s');
  await putAgain();

  fake.fault = ({ method }) => (method === 'DELETE' ? late : null);
  await assert.rejects(store.delete('snapshots/s'), ObjectStoreError);
  fake.objects.delete('snapshots/s'); // One of them was done.
  await putAgain();
});

test('s3: attempts end when another takes the store over between them', async (t) => {
  const fake = await started(t);
  await using first = await open(fake);
  await first.put('k', [Buffer.from('x')]);
  const mine = present(fake.objects.get(`${PREFIX}.owner`), 'a name');
  for (const change of [() => first.put('l', [Buffer.from('y')], { ifAbsent: true }), () => first.delete('k')]) {
    let isCutOff = false;
    fake.fault = ({ method, key }) => {
      if (isCutOff || method === 'GET' || key.includes('.')) return null;
      isCutOff = true;
      fake.objects.set(`${PREFIX}.owner`, Buffer.from('{"owner":"somebody"}\n'));
      return { kind: 'reset', done: false };
    };
    await assert.rejects(change(), /the store now belongs to somebody unknown/);
    assert(isCutOff);
    assert.deepEqual([...fake.objects.keys()].sort(), [`${PREFIX}.owner`, `${PREFIX}k`]);
    fake.fault = () => null;
    fake.objects.set(`${PREFIX}.owner`, mine);
  }
});

test('s3: a missing bucket, and a 404 that is not S3’s, are not a missing object', async (t) => {
  const fake = await started(t);
  await using store = await open(fake);
  for (const code of ['NoSuchBucket', 'NotFound']) {
    fake.fault = () => ({ kind: 'error', status: 404, code });
    await assert.rejects(store.get('k'), ObjectStoreError);
    await assert.rejects(store.getRange('k', 0, 10), ObjectStoreError);
  }
});

test('s3: a used-up quota is told as no room, at once, and what was written before stays', async (t) => {
  const fake = await started(t);
  await using objects = await open(fake);
  await using chunks = await openChunkStore(objects);
  const random = new SeededRandom(6);
  const [before] = await storeChunks(chunks, [random.bytes(4096)]);
  assert(before !== undefined);
  for (const code of ['QuotaExceeded', 'InsufficientStorage']) {
    fake.fault = ({ method }) => (method === 'PUT' ? { kind: 'error', status: 403, code } : null);
    await assert.rejects(objects.put('k', [Buffer.from('x')]), (error) => {
      assert(error instanceof ObjectStoreError);
      assert.match(error.message, /^put k: the store has no room/);
      return error.retryable && isNoSpace(error);
    });
    await assert.rejects(storeChunks(chunks, [random.bytes(4096)]), (error) => {
      assert(error instanceof StoreError);
      return error.kind === 'no-space';
    });
  }
  fake.fault = () => null;
  await storeChunks(chunks, [random.bytes(4096)]);
  assert.equal((await chunks.readChunk(TEST_ACCOUNT, before)).length, 4096);
});

test('s3: a range that is not the one asked for is asked for again', async (t) => {
  const fake = await started(t);
  await using store = await open(fake);
  await store.put('k', [Buffer.from('0123456789')]);
  fake.fault = once({ kind: 'short-body' }, ({ method }) => method === 'GET');
  assert.equal(String(await store.getRange('k', 2, 5)), '23456');
  fake.manners.ranges = false;
  assert.equal(String(await store.getRange('k', 2, 5)), '23456');
});

test('s3: a list that is not in order is refused', async (t) => {
  const fake = await started(t);
  await using store = await open(fake);
  for (const name of ['a', 'b', 'c']) await store.put(name, [Buffer.from(name)]);
  const drain = async (): Promise<void> => {
    for await (const _ of store.list(''));
  };
  fake.manners.order = (keys) => keys.toReversed();
  await assert.rejects(drain(), /does not list in the order of keys/);
  fake.manners.order = (keys) => keys;
  await drain();
});

test('s3: a bit that is wrong on the way is found by who reads chunks, and read again', async (t) => {
  const fake = await started(t);
  await using objects = await open(fake);
  await using chunks = await openChunkStore(objects);
  const plain = new SeededRandom(5).bytes(4096);
  const [key] = await storeChunks(chunks, [plain]);
  assert(key !== undefined);
  fake.fault = once({ kind: 'wrong-bit' }, ({ method }) => method === 'GET');
  assert((await chunks.readChunk(TEST_ACCOUNT, key)).equals(plain));
  chunks.dropCaches();
  fake.fault = () => ({ kind: 'wrong-bit' });
  await assert.rejects(chunks.readChunk(TEST_ACCOUNT, key), /chunk .* in packs/);
});

test('s3: what is asked at once is bounded', async (t) => {
  const fake = await started(t);
  await using store = await open(fake);
  await store.put('k', [Buffer.from('x')]);
  fake.manners.latencyMs = 20;
  await Promise.all(Array.from({ length: 100 }, () => store.get('k')));
  assert.equal(fake.inFlightCountMax.get('GET'), 32);
  await Promise.all(Array.from({ length: 40 }, (_, index) => store.put(`p/${index}`, [Buffer.from('x')])));
  assert.equal(fake.inFlightCountMax.get('PUT'), 8);
});

test('s3: keys that were replaced are read anew when the store does not take the old ones', async (t) => {
  const fake = await started(t);
  const environment = fake.environment();
  await using store = await openS3Store({
    location: fake.location(),
    environment,
    clock: systemClock,
    random: new SeededRandom(1),
    log: silentLog,
  });
  await store.put('k', [Buffer.from('x')]);
  fake.secrets.delete(FAKE_ACCESS_KEY);
  await assert.rejects(store.get('k'), (error) => {
    assert(error instanceof ObjectStoreError);
    assert.match(error.message, /does not know the access key/);
    return true;
  });
  fake.secrets.set('AKIANEWNEWNEWNEWNEWN', `${FAKE_SECRET}2`);
  environment['AWS_ACCESS_KEY_ID'] = 'AKIANEWNEWNEWNEWNEWN';
  environment['AWS_SECRET_ACCESS_KEY'] = `${FAKE_SECRET}2`;
  assert.equal(String(await store.get('k')), 'x');
});

test('s3: who opens the store takes it over, and the one before changes nothing any more', async (t) => {
  const fake = await started(t);
  const lines: string[] = [];
  const log: Log = { ...silentLog, info: (event, fields) => void lines.push(`${event} ${JSON.stringify(fields)}`) };
  await using first = await open(fake);
  await first.put('k', [Buffer.from('of the first')]);
  await using second = await open(fake, { log });
  assert.match(lines.join('\n'), new RegExp(`s3.taken-over .*process ${process.pid} on `));
  const isRefused = (error: unknown): boolean => {
    assert(error instanceof ObjectStoreError);
    assert.match(error.message, /the store now belongs to process \d+ on .*, since .*: this server changes nothing/);
    return !error.retryable;
  };
  await assert.rejects(first.delete('k'), isRefused);
  await assert.rejects(first.put('k', [Buffer.from('x')]), isRefused);
  await assert.rejects(first.put('l', [Buffer.from('x')], { ifAbsent: true }), isRefused);
  assert.equal(String(await first.get('k')), 'of the first', 'it may read on');
  await second.put('l', [Buffer.from('of the second')], { ifAbsent: true });
  for await (const { key } of second.list('')) assert(['k', 'l'].includes(key), key);

  await using reader = await openS3Store({
    location: fake.location(PREFIX),
    environment: fake.environment(),
    clock: systemClock,
    random: new SeededRandom(1),
    log: silentLog,
    readOnly: true,
  });
  assert.equal(String(await reader.get('l')), 'of the second');
  await assert.rejects(reader.put('m', [Buffer.from('x')]), /open to be read only/);
  await assert.rejects(reader.delete('l'), /open to be read only/);
  await second.delete('l');
  fake.objects.delete(`${PREFIX}.owner`);
  await assert.rejects(second.delete('k'), /belongs to nobody \(its object \.owner is gone\)/);
});

test('s3: a store that another had is settled when nothing of that one can come any more; a new one is at once', async () => {
  await using fake = await FakeS3Server.start();
  const waited: number[] = [];
  const passed = Promise.withResolvers<void>();
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms, signal) => {
      if (ms !== DOUBT_MS) return await systemClock.sleep(ms, signal);
      waited.push(ms);
      await Promise.race([passed.promise, systemClock.sleep(10_000, signal)]);
    },
  };
  const options = { location: fake.location(PREFIX), environment: fake.environment(), clock, log: silentLog };
  await using first = await openS3Store({ ...options, random: new SeededRandom(1) });
  await first.settled();
  assert.deepEqual(waited, []);
  await using second = await openS3Store({ ...options, random: new SeededRandom(2) });
  let isSettled = false;
  const settling = second.settled().then(() => (isSettled = true));
  await second.put('packs/a', [Buffer.from('it serves meanwhile')]);
  assert(!isSettled && waited.length === 1);
  passed.resolve();
  await settling;

  const environment = { ...options.environment, VARVE_S3_SETTLE_SECONDS: '0.025' };
  const quick: number[] = [];
  const watched: Clock = { ...systemClock, sleep: (ms, signal) => (quick.push(ms), systemClock.sleep(ms, signal)) };
  await using third = await openS3Store({ ...options, environment, clock: watched, random: new SeededRandom(3) });
  await third.settled();
  assert(quick.includes(25), 'whoever knows better says so');
  await assert.rejects(
    openS3Store({
      ...options,
      environment: { ...environment, VARVE_S3_SETTLE_SECONDS: 'soon' },
      random: new SeededRandom(4),
    }),
    /"soon" is no number of seconds/,
  );
});

test('s3: once in a hurry nothing is tried again, and what can be answered still is', async (t) => {
  const fake = await started(t);
  const store = await openS3Store({
    location: fake.location(PREFIX),
    environment: fake.environment(),
    clock: systemClock,
    random: new SeededRandom(1),
    log: silentLog,
  });
  await store.put('k', [Buffer.from('x')]);
  await fake.down();
  const waiting = assert.rejects(store.get('k'), /get k, .*no answer/);
  await systemClock.sleep(300);
  store.hurry();
  await waiting;
  await fake.up();
  assert.equal(String(await store.get('k')), 'x');
  await store[Symbol.asyncDispose]();
});

test('s3: closing ends what is on its way', async (t) => {
  const fake = await started(t);
  const store = await open(fake);
  fake.fault = () => ({ kind: 'silence', done: false });
  const reading = store.get('k');
  const refused = assert.rejects(reading, /the object store is closed/);
  await systemClock.sleep(50);
  await store[Symbol.asyncDispose]();
  await refused;
});
