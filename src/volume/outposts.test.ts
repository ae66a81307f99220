import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { FakeS3Server } from '#chunk/s3-server.fake.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import { parseOutpostId } from '#domain/outpost.ts';
import { composeHost } from '#src/compose-host.ts';

import type { VolumeHost } from './host.ts';
import type { OutpostStore } from './host-settings.ts';
import {
  jobOf,
  never,
  newSnapshot,
  openVolume,
  randomChunk,
  rejectsAs,
  SIZE,
  snapshotOf,
} from './host-under-test.suite.ts';

const outpost = parseOutpostId('op-0123456789abcdef0') ?? assert.fail();
const other = parseOutpostId('op-0123456789abcdef1') ?? assert.fail();

/** A data directory, and the directories of two Outposts beside it. */
class Sites {
  readonly root = scratchDirectory('outposts');
  readonly data = join(this.root, 'data');
  readonly stores: readonly OutpostStore[] = [outpost, other].map((id) => ({
    id,
    directory: join(this.root, id),
    s3: null,
  }));

  async open(
    outposts: readonly OutpostStore[] = this.stores,
    bytesPerSecond = 0,
  ): Promise<{ readonly host: VolumeHost } & AsyncDisposable> {
    await using scope = new AsyncDisposableStack();
    mkdirSync(this.data, { recursive: true });
    const { socketDirectory } = openRunDirectory(this.data);
    const host = await composeHost(
      {
        ...{ dataDirectory: this.data, socketDirectory, nbdTcp: null, outposts },
        // By default what is not read stays where it is.
        hydration: { bytesPerSecond },
        ...{ clock: systemClock, random: systemRandom, log: silentLog },
      },
      scope,
    );
    const owned = scope.move();
    return { host, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }

  get region(): readonly string[] {
    return snapshotsIn(join(this.data, 'objects'));
  }

  at(id: string): readonly string[] {
    return snapshotsIn(join(this.root, id));
  }

  /** How many packs there are: where the content is. */
  packs(directory: string): number {
    if (!existsSync(join(directory, 'packs'))) return 0;
    return readdirSync(join(directory, 'packs'), { recursive: true, withFileTypes: true }).filter((one) => one.isFile())
      .length;
  }
}

function snapshotsIn(objects: string): readonly string[] {
  return existsSync(join(objects, 'snapshots')) ? readdirSync(join(objects, 'snapshots')) : [];
}

async function contentOf(host: VolumeHost, snapshot: SnapshotId): Promise<readonly (Uint8Array | null)[]> {
  return await Promise.all(
    Array.from(
      { length: SIZE / CHUNK_BYTES },
      async (_, index) => (await host.readBlock(snapshot, index))?.bytes ?? null,
    ),
  );
}

async function write(host: VolumeHost, volume: VolumeId, index: number): Promise<Buffer> {
  const bytes = randomChunk();
  await host.writeBlock(volume, 1, index, bytes);
  return bytes;
}

test('what is for an Outpost is in its store alone, and what is for the region in that', async () => {
  const sites = new Sites();
  await using opened = await sites.open();
  const { host } = opened;
  const { volume } = await openVolume(host);
  const first = await write(host, volume, 1);
  const local = await snapshotOf(host, volume, { outpost });
  assert.deepEqual([sites.region, sites.at(outpost), sites.at(other)], [[], [local.snapshot], []]);
  assert.equal(sites.packs(join(sites.data, 'objects')), 0);
  const second = await write(host, volume, 2);
  // Its base is in the other store: all of it is there none the less.
  const regional = await snapshotOf(host, volume, { base: local });
  assert.deepEqual([sites.region, sites.at(outpost)], [[regional.snapshot], [local.snapshot]]);
  assert.equal(regional.result.changedBytes, 2 * CHUNK_BYTES, 'nothing is shared across stores');
  const third = await write(host, volume, 3);
  const next = await snapshotOf(host, volume, { outpost, base: local });
  assert.equal(next.result.changedBytes, 2 * CHUNK_BYTES, 'an increment of what is in the same store');
  assert.deepEqual(await contentOf(host, local.snapshot), [null, first, null, null, null, null, null, null]);
  assert.deepEqual(await contentOf(host, regional.snapshot), [null, first, second, null, null, null, null, null]);
  assert.deepEqual(await contentOf(host, next.snapshot), [null, first, second, third, null, null, null, null]);
  const [size] = await host.snapshotSizes([local.snapshot]);
  assert.equal(size?.fullBytes, CHUNK_BYTES);
  assert.ok(size !== undefined && size.sharedBytes >= CHUNK_BYTES && size.exclusiveBytes < CHUNK_BYTES);
  assert.equal((await host.snapshotSizes([regional.snapshot, next.snapshot])).length, 2);
  assert.equal((await host.storeSize()).snapshotCount, 3);
});

test('a volume reads through to the store that its origin is in, and its snapshots go to either', async () => {
  const sites = new Sites();
  await using opened = await sites.open();
  const { host } = opened;
  const source = await openVolume(host);
  const bytes = [await write(host, source.volume, 0), await write(host, source.volume, 5)] as const;
  for (const [from, to] of [
    [undefined, outpost],
    [outpost, undefined],
    [outpost, other],
  ] as const) {
    const placed = from === undefined ? {} : { outpost: from };
    const origin = await snapshotOf(host, source.volume, placed);
    const { volume } = await openVolume(host, { origin: origin.snapshot });
    // The manifest is gone: the volume alone keeps what it reads through to, in that store.
    await host.deleteSnapshot(origin.snapshot);
    await host.collect([volume], never);
    const own = await write(host, volume, 5);
    const moved = await snapshotOf(host, volume, to === undefined ? {} : { outpost: to });
    assert.deepEqual(await contentOf(host, moved.snapshot), [bytes[0], null, null, null, null, own, null, null]);
    const increment = await snapshotOf(host, volume, { base: moved, ...(to === undefined ? {} : { outpost: to }) });
    assert.equal(increment.result.changedBytes, 0);
    await host.destroy(volume);
    for (const { snapshot } of [moved, increment]) await host.deleteSnapshot(snapshot);
  }
  await host.collect([], never);
  assert.deepEqual([sites.region, sites.at(outpost), sites.at(other)], [[], [], []]);
  for (const directory of [join(sites.data, 'objects'), join(sites.root, outpost), join(sites.root, other)]) {
    assert.equal(sites.packs(directory), 0, directory);
  }
});

test('a snapshot is copied from store to store, and each copy stands by itself', async () => {
  const sites = new Sites();
  await using opened = await sites.open();
  const { host } = opened;
  const { volume } = await openVolume(host);
  await write(host, volume, 4);
  await host.writeBlock(volume, 1, 6, Buffer.alloc(CHUNK_BYTES));
  const source = await snapshotOf(host, volume, { keepZeroChunks: true });
  const content = await contentOf(host, source.snapshot);
  const copy = newSnapshot();
  const { label } = jobOf(copy, volume, 1, { outpost });
  const job = { label, source: source.snapshot };
  const copied = await host.copySnapshot(job, never);
  assert.equal(copied.fullBytes, 2 * CHUNK_BYTES);
  await host.deleteSnapshot(source.snapshot);
  assert.deepEqual(await host.copySnapshot(job, never), copied, 'also when the source is gone');
  await host.collect([], never);
  assert.deepEqual(await contentOf(host, copy), content);
  assert.deepEqual([sites.region, sites.at(outpost)], [[], [copy]]);
});

test('after a restart all is where it was; an Outpost that is not configured is an error and never another store', async () => {
  const sites = new Sites();
  let volume: VolumeId;
  let snapshot: SnapshotId;
  let bytes: Buffer;
  {
    await using opened = await sites.open();
    const source = await openVolume(opened.host);
    bytes = await write(opened.host, source.volume, 3);
    ({ snapshot } = await snapshotOf(opened.host, source.volume, { outpost }));
    ({ volume } = await openVolume(opened.host, { origin: snapshot }));
  }
  {
    await using opened = await sites.open();
    const { host } = opened;
    await host.open(volume, 1);
    const again = await snapshotOf(host, volume, { outpost });
    assert.deepEqual((await contentOf(host, again.snapshot))[3], bytes);
    await host.deleteSnapshot(again.snapshot);
  }
  await using opened = await sites.open(sites.stores.filter(({ id }) => id !== outpost));
  const { host } = opened;
  await rejectsAs('internal', host.open(volume, 1));
  await rejectsAs('snapshot-not-found', host.readBlock(snapshot, 3));
  const target = await openVolume(host);
  await rejectsAs('internal', snapshotOf(host, target.volume, { outpost }));
  assert.deepEqual(sites.region, []);
});

test('a volume that has all of its origin needs the store no more', async () => {
  const sites = new Sites();
  let volume: VolumeId;
  let bytes: Buffer;
  {
    await using opened = await sites.open(sites.stores, 1024 ** 3);
    const { host } = opened;
    const source = await openVolume(host);
    bytes = await write(host, source.volume, 3);
    const { snapshot } = await snapshotOf(host, source.volume, { outpost });
    ({ volume } = await openVolume(host, { origin: snapshot }));
    while ((await host.status([volume]))[0]?.hydration?.detached !== true) await systemClock.sleep(10);
    await host.deleteSnapshot(snapshot);
    await host.collect([volume], never);
    assert.equal(sites.packs(join(sites.root, outpost)), 0);
  }
  await using opened = await sites.open([]);
  await opened.host.open(volume, 1);
  const { snapshot } = await snapshotOf(opened.host, volume);
  assert.deepEqual((await contentOf(opened.host, snapshot))[3], bytes);
});

test('where the disk of an Outpost is not mounted, or another one is, nothing is opened and nothing stored', async () => {
  const sites = new Sites();
  {
    await using opened = await sites.open();
    const { volume } = await openVolume(opened.host);
    await snapshotOf(opened.host, volume, { outpost });
  }
  const [here, there] = [join(sites.root, outpost), join(sites.root, other)];
  renameSync(here, join(sites.root, 'away'));
  await assert.rejects(sites.open(), { message: /is not in .*: perhaps the disk is not mounted/ });
  mkdirSync(here);
  await assert.rejects(sites.open(), { message: /perhaps the disk is not mounted/ });
  assert.deepEqual(readdirSync(here), []);
  rmSync(here, { recursive: true });
  renameSync(there, here);
  await assert.rejects(sites.open(), { message: /is the store of another Outpost/ });
  renameSync(here, there);
  renameSync(join(sites.root, 'away'), here);
  await using opened = await sites.open();
  assert.equal((await opened.host.storeSize()).snapshotCount, 1);
});

test('the store of an Outpost may be a bucket; while that is away, the region goes on', async (t) => {
  const fake = await FakeS3Server.start();
  t.after(() => fake[Symbol.asyncDispose]());
  Object.assign(process.env, fake.environment());
  const sites = new Sites();
  await using opened = await sites.open([{ id: outpost, directory: null, s3: fake.location('plant/') }]);
  const { host } = opened;
  const { volume } = await openVolume(host);
  const bytes = await write(host, volume, 2);
  const { snapshot: local } = await snapshotOf(host, volume, { outpost });
  assert.deepEqual(sites.region, []);
  assert.deepEqual((await contentOf(host, local))[2], bytes);
  await fake.down();
  const { snapshot } = await snapshotOf(host, volume);
  assert.deepEqual(sites.region, [snapshot]);
  assert.deepEqual((await contentOf(host, snapshot))[2], bytes);
  await host.deleteSnapshot(snapshot);
  assert.deepEqual(sites.region, []);
  await fake.up();
  const next = await snapshotOf(host, volume, { outpost, base: { snapshot: local, epoch: 1 } });
  assert.equal(next.result.changedBytes, 0);
});
