import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { present } from '#base/assert.ts';
import { silentLog } from '#base/log.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { objectKeys, TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { PackCache } from '#chunk/pack-cache.ts';
import { PACK_PREFIX } from '#chunk/pack.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { ContentFile, contentNumber, openTestStore, snapshotId, testWrite } from '#snapshot/snapshot-store.fixture.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';

import { warmBytesMaxOf, WarmSnapshots } from './warm-snapshots.ts';

const content = new ContentFile(40);
const scratch = scratchDirectory('warm');
let settingCount = 0;
const [one, two] = [snapshotId(1), snapshotId(2)];
const never = new AbortController().signal;

/** A bucket that counts what is read of its packs. */
class Bucket extends MemoryStore {
  packReads = 0;
  isAway = false;

  override async get(key: string): Promise<Buffer | null> {
    if (key.startsWith(PACK_PREFIX)) this.packReads += 1;
    if (this.isAway) throw new Error('the bucket is away');
    return await super.get(key);
  }

  override async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    if (key.startsWith(PACK_PREFIX)) this.packReads += 1;
    return await super.getRange(key, offset, length);
  }
}

/** A host's part of it, on a bucket and a disk that outlive it. */
class Setting implements AsyncDisposable {
  readonly bucket: Bucket;
  readonly nearby: MemoryStore;
  readonly directory: string;
  readonly cache: PackCache;
  readonly store: SnapshotStore;
  readonly warm: WarmSnapshots;

  private constructor(
    lasting: Pick<Setting, 'bucket' | 'nearby' | 'directory'>,
    parts: Pick<Setting, 'cache' | 'store' | 'warm'>,
  ) {
    this.bucket = lasting.bucket;
    this.nearby = lasting.nearby;
    this.directory = lasting.directory;
    this.cache = parts.cache;
    this.store = parts.store;
    this.warm = parts.warm;
  }

  static async make(
    lasting: Pick<Setting, 'bucket' | 'nearby' | 'directory'> | null = null,
    bytesMax = 1024 ** 3,
  ): Promise<Setting> {
    const parts = lasting ?? {
      bucket: new Bucket(),
      nearby: new MemoryStore(),
      directory: join(scratch, String((settingCount += 1)), 'snapshots'),
    };
    const cache = await PackCache.open({ objects: parts.bucket, nearby: parts.nearby, bytesMax });
    const indexPath = join(parts.directory, '..', 'index.db');
    const store = await openTestStore(parts.bucket, { copies: cache, ...(lasting === null ? {} : { indexPath }) });
    const warm = await WarmSnapshots.open({ directory: parts.directory, store, cache, log: silentLog });
    return new Setting(parts, { cache, store, warm });
  }

  async write(snapshot: SnapshotId, numbers: readonly number[]): Promise<void> {
    const changes = new Map(numbers.map((n, index) => [index, n]));
    await this.store.write(testWrite(content, { snapshot, chunkCount: 300, changes }));
  }

  /** Asks until it is warm, or says why not. */
  async untilWarm(snapshot: SnapshotId): Promise<string | null> {
    for (;;) {
      const { isWarm, trouble } = await this.warm.warm(snapshot);
      if (isWarm || trouble !== null) return trouble;
      await sleep(1);
    }
  }

  /** What the snapshot holds, and how often the bucket's packs were read for that. */
  async read(snapshot: SnapshotId, count: number): Promise<{ readonly numbers: number[]; readonly reads: number }> {
    const { root } = present(await this.store.read(snapshot), 'a manifest');
    const before = this.bucket.packReads;
    const wanted = Array.from({ length: count }, (_, index) => ({ index, place: null }));
    const chunks = await Promise.all(
      this.store.readChunks(TEST_ACCOUNT, root, wanted, { background: false, signal: never }),
    );
    const numbers = chunks.map((chunk) => (chunk?.kind === 'bytes' ? contentNumber(chunk.bytes) : -1));
    return { numbers, reads: this.bucket.packReads - before };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.warm[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
  }
}

const SOME = Array.from({ length: 30 }, (_, index) => index + 1);

test('what is warm is read without the bucket, also after a restart; what is cool is not kept', async () => {
  const setting = await Setting.make();
  await setting.write(one, SOME);
  await setting[Symbol.asyncDispose]();
  {
    await using cold = await Setting.make(setting);
    assert.ok((await cold.read(one, SOME.length)).reads > 0, 'what is not warm comes from the bucket');
  }
  {
    await using warming = await Setting.make(setting);
    assert.equal(await warming.untilWarm(one), null);
  }
  {
    await using warm = await Setting.make(setting);
    assert.equal((await warm.warm.warm(one)).isWarm, true, 'it is found again');
    assert.deepEqual(await warm.read(one, SOME.length), { numbers: SOME, reads: 0 });
    await warm.warm.cool(one);
    assert.deepEqual([await objectKeys(warm.nearby), readdirSync(warm.directory), warm.cache.bytes], [[], [], 0]);
  }
});

test('how much may be kept is set in GiB', () => {
  assert.equal(warmBytesMaxOf({}), 64 * 1024 ** 3);
  assert.equal(warmBytesMaxOf({ VARVE_WARM_CACHE: '3' }), 3 * 1024 ** 3);
  for (const text of ['0', '-1', '1.5', 'many', '', '9999999']) {
    assert.throws(() => warmBytesMaxOf({ VARVE_WARM_CACHE: text }), /is not a number of GiB/);
  }
});

test('what two snapshots share is kept until both are cool', async () => {
  await using setting = await Setting.make();
  await setting.write(one, SOME);
  await setting.write(two, [...SOME, 31]);
  await setting.untilWarm(one);
  await setting.untilWarm(two);
  await setting.warm.cool(one);
  assert.equal((await setting.warm.warm(two)).isWarm, true);
  assert.equal((await setting.read(two, 31)).reads, 0);
});

test('a copy that rotted is not believed, and is fetched again', async () => {
  await using setting = await Setting.make();
  await setting.write(one, SOME);
  await setting.untilWarm(one);
  for (const key of await objectKeys(setting.nearby)) {
    if (!key.startsWith(PACK_PREFIX)) continue;
    const bytes = present(await setting.nearby.get(key), 'a copy');
    for (let at = 70; at < bytes.length; at += 500) bytes[at] = (bytes[at] ?? 0) ^ 1;
    await setting.nearby.put(key, [bytes]);
  }
  const { numbers, reads } = await setting.read(one, SOME.length);
  assert.deepEqual(numbers, SOME);
  assert.ok(reads > 0);
  assert.equal((await setting.warm.warm(one)).isWarm, false);
  assert.equal(await setting.untilWarm(one), null);
});

test('what a bucket has lost is read from the copies while they are kept', async () => {
  await using setting = await Setting.make();
  await setting.write(one, SOME);
  await setting.untilWarm(one);
  for (const key of await objectKeys(setting.bucket)) if (key.startsWith(PACK_PREFIX)) await setting.bucket.delete(key);
  assert.deepEqual((await setting.read(one, SOME.length)).numbers, SOME);
});

test('a snapshot that does not fit, that is damaged, or that there is not, is not warm', async () => {
  await using small = await Setting.make(null, 100);
  await small.write(one, SOME);
  assert.match((await small.untilWarm(one)) ?? '', /full/);
  await using damaged = await Setting.make();
  await damaged.write(one, SOME);
  for (const key of await objectKeys(damaged.bucket)) {
    if (!key.startsWith(PACK_PREFIX)) continue;
    const bytes = present(await damaged.bucket.get(key), 'a pack');
    bytes[200] = (bytes[200] ?? 0) ^ 1;
    await damaged.bucket.put(key, [bytes]);
  }
  assert.match((await damaged.untilWarm(one)) ?? '', /chunk|node/);
  await assert.rejects(
    damaged.warm.warm(two),
    (error) => error instanceof StoreError && error.kind === 'snapshot-not-found',
  );
});

test('what a collection moved is fetched again', async () => {
  await using setting = await Setting.make();
  await setting.write(one, SOME);
  await setting.write(two, [1, 2]);
  await setting.untilWarm(two);
  const before = [...setting.cache.packs()];
  await setting.store.deleteManifest(one);
  const { deletedChunks } = await setting.store.collect({ extraRoots: () => [], signal: never });
  assert.ok(deletedChunks > 0);
  const left = await objectKeys(setting.bucket);
  assert.ok(
    before.some((pack) => !left.includes(pack)),
    'what is left of a pack is in another one',
  );
  setting.warm.refresh();
  assert.equal(await setting.untilWarm(two), null);
  const isGone = (): boolean => [...setting.cache.packs()].every((pack) => left.includes(pack));
  for (let round = 0; round < 1000 && !isGone(); round += 1) await sleep(2);
  assert.ok(isGone(), 'what lies in no pack any more is not kept');
  assert.deepEqual(await setting.read(two, 2), { numbers: [1, 2], reads: 0 });
});

test('what could not be looked through after a collection stays warm meanwhile, and is looked through later', async () => {
  await using setting = await Setting.make();
  await setting.write(one, SOME);
  await setting.write(two, [1, 2]);
  await setting.untilWarm(two);
  await setting.store.deleteManifest(one);
  await setting.store.collect({ extraRoots: () => [], signal: never });
  setting.bucket.isAway = true;
  setting.warm.refresh();
  await sleep(50);
  setting.bucket.isAway = false;
  const reads = async (): Promise<number> => (await setting.read(two, 2)).reads;
  for (let round = 0; round < 500 && (await reads()) > 0; round += 1) {
    await setting.warm.warm(two);
    await sleep(2);
  }
  assert.equal(await reads(), 0);
});

test('what was cut short goes on from what was fetched', async () => {
  const setting = await Setting.make();
  await setting.write(one, SOME);
  await setting[Symbol.asyncDispose]();
  for (let turns = 0; turns < 8; turns += 1) {
    const cut = await Setting.make(setting);
    await cut.warm.warm(one);
    for (let turn = 0; turn < 3 * turns; turn += 1) await sleep(1);
    await cut[Symbol.asyncDispose]();
  }
  await using last = await Setting.make(setting);
  assert.equal(await last.untilWarm(one), null);
  assert.deepEqual(await last.read(one, SOME.length), { numbers: SOME, reads: 0 });
});

test('one that need not be warm any more while it is made so leaves nothing', async () => {
  await using setting = await Setting.make();
  await setting.write(one, SOME);
  await setting.warm.warm(one);
  await setting.warm.cool(one);
  assert.deepEqual([await objectKeys(setting.nearby), readdirSync(setting.directory)], [[], []]);
});
