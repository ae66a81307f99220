import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { type Log, silentLog } from '#base/log.ts';
import { SeededRandom, systemRandom } from '#base/random.ts';
import { openChunkStore, storeChunks, TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';
import { type ObjectStore, ObjectStoreError } from '#chunk/object-store.ts';
import { objectStoreSuite } from '#chunk/object-store.suite.ts';
import type { S3Location } from '#chunk/s3-location.ts';
import { openS3Store } from '#chunk/s3-open.ts';

import { isEveryToolInstalled, requireTools } from '../clients.ts';
import { CEPH_TOOLS, type CephUser, RunningCeph } from './ceph.ts';

/** Started once, for all tests of this file. */
let starting: Promise<RunningCeph> | null = null;
let bucketCount = 0;

after(async () => {
  await (await starting)?.[Symbol.asyncDispose]();
});

async function ceph(): Promise<RunningCeph> {
  starting ??= RunningCeph.start();
  return await starting;
}

async function open(
  location: S3Location,
  options: { readonly log?: Log; readonly user?: CephUser } = {},
): Promise<ObjectStore> {
  return await openS3Store({
    location,
    environment: (await ceph()).environment(options.user),
    clock: systemClock,
    random: systemRandom,
    log: options.log ?? silentLog,
    stallMs: 2_000,
    giveUpMs: 20_000,
  });
}

async function newBucket(prefix = ''): Promise<S3Location> {
  const cluster = await ceph();
  bucketCount += 1;
  await cluster.createBucket(`bucket-${bucketCount}`);
  return cluster.location(`bucket-${bucketCount}`, prefix);
}

test('Ceph is here, and starts', async (t) => {
  if (!requireTools(t, CEPH_TOOLS)) return;
  const startMs = systemClock.monotonicMs();
  await ceph();
  t.diagnostic(`up in ${((systemClock.monotonicMs() - startMs) / 1000).toFixed(1)} s`);
});

if (isEveryToolInstalled(CEPH_TOOLS)) {
  let prefixCount = 0;
  objectStoreSuite('s3, Ceph RGW', async () => {
    await ceph();
    if (bucketCount === 0) await newBucket();
    return await open((await ceph()).location('bucket-1', `suite/${(prefixCount += 1)}/`));
  });
}

test('Ceph: the probe finds conditional puts and checked MD5', async (t) => {
  if (!requireTools(t, CEPH_TOOLS)) return;
  const lines: [string, unknown][] = [];
  const log: Log = { ...silentLog, info: (event, fields) => void lines.push([event, fields]) };
  const location = await newBucket('some/where/');
  await using store = await open(location, { log });
  const { bucket } = location;
  const found = { store: `s3://${bucket}/some/where/ at ${location.endpoint}`, conditionalPut: true, checksMd5: true };
  assert.deepEqual(lines.find(([event]) => event === 's3.probe')?.[1], found);
  for await (const { key } of store.list('')) assert.fail(key);
});

test('Ceph: what is refused is said in words', async (t) => {
  if (!requireTools(t, CEPH_TOOLS)) return;
  const cluster = await ceph();
  const location = await newBucket();
  const refusal = async (where: S3Location, user: CephUser, sentence: RegExp): Promise<void> => {
    await assert.rejects(open(where, { user }), (error) => {
      assert(error instanceof ObjectStoreError);
      assert.match(error.message, sentence);
      return true;
    });
  };
  await refusal(cluster.location('not-there'), cluster.user, /there is no such bucket; make it first/);
  await refusal(location, await cluster.createUser('stranger'), /access denied: .*s3:ListBucket/);
  await refusal(location, { ...cluster.user, secretAccessKey: 'wrong' }, /is the secret key the right one\?/);
  await refusal(location, { ...cluster.user, accessKeyId: 'NOBODY' }, /the store does not know the access key/);
});

test('Ceph: 2,500 objects are listed over pages, in order', async (t) => {
  if (!requireTools(t, CEPH_TOOLS)) return;
  await using store = await open(await newBucket('many/'));
  const names = Array.from({ length: 2_500 }, (_, index) => `k/${((index * 7919) % 2_500).toString(36)}`);
  await Promise.all(names.map((name) => store.put(name, [Buffer.from(name)])));
  const listed: string[] = [];
  for await (const { key, sizeBytes } of store.list('k/')) {
    assert.equal(sizeBytes, key.length);
    listed.push(key);
  }
  assert.deepEqual(listed, names.toSorted());
});

test('Ceph: chunks of packs of 16 MiB come back, each by its range', async (t) => {
  if (!requireTools(t, CEPH_TOOLS)) return;
  await using objects = await open(await newBucket());
  const random = new SeededRandom(11);
  const plains = Array.from({ length: 70 }, () => random.bytes(512 * 1024));
  await using store = await openChunkStore(objects);
  const keys = await storeChunks(store, plains);
  const sizes: number[] = [];
  for await (const { sizeBytes } of objects.list('packs/')) sizes.push(sizeBytes);
  assert.equal(sizes.length, 3);
  assert(Math.max(...sizes) < 17 * 1024 * 1024);
  for (const [index, key] of keys.entries()) {
    assert((await store.readChunk(TEST_ACCOUNT, key)).equals(plains[index] ?? Buffer.alloc(0)));
  }
});

test('Ceph: a store that stands still for a while is waited for', async (t) => {
  if (!requireTools(t, CEPH_TOOLS)) return;
  const cluster = await ceph();
  await using store = await open(await newBucket());
  const object = new SeededRandom(12).bytes(4 * 1024 * 1024);
  await store.put('before', [object]);
  cluster.pause();
  try {
    const reading = store.get('before');
    const writing = store.put('meanwhile', [object], { ifAbsent: true });
    await systemClock.sleep(5_000);
    cluster.resume();
    assert((await reading)?.equals(object));
    await writing;
    assert((await store.get('meanwhile'))?.equals(object));
  } finally {
    cluster.resume();
  }
});
