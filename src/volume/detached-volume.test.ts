import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { VolumeId } from '#domain/ids.ts';
import { composeHost } from '#src/compose-host.ts';

import { PlainNbdClient } from './host-nbd.fake.ts';
import { account, never, newVolume, openVolume, randomChunk, snapshotOf } from './host-under-test.suite.ts';
import type { LocalVolumeHost } from './local-host.ts';
import { decodeVolumeRecord } from './volume-file.ts';

const CHUNKS = 12;
const SIZE = 16 * CHUNK_BYTES;
const base = scratchDirectory('detached-volume');
let count = 0;

async function start(t: TestContext, dataDirectory: string, hydrationBytesPerSecond = 1024 ** 3) {
  mkdirSync(dataDirectory, { recursive: true });
  const scope = new AsyncDisposableStack();
  t.after(() => scope.disposeAsync());
  const { socketDirectory } = openRunDirectory(dataDirectory);
  const options = { dataDirectory, socketDirectory, nbdTcp: null, clock: systemClock, random: systemRandom };
  const hydration = { bytesPerSecond: hydrationBytesPerSecond };
  const host = await composeHost({ ...options, hydration, log: silentLog }, scope);
  return { host, stop: () => scope.disposeAsync() };
}

/** A snapshot of chunks that do not compress, and its bytes. */
async function snapshotted(host: LocalVolumeHost) {
  const { volume } = await openVolume(host, { sizeBytes: SIZE });
  const bytes = Buffer.alloc(SIZE);
  for (let index = 0; index < CHUNKS; index += 1) {
    const chunk = randomChunk();
    chunk.copy(bytes, index * CHUNK_BYTES);
    await host.writeBlock(volume, 1, index, chunk);
  }
  const { snapshot } = await snapshotOf(host, volume, { sizeBytes: SIZE });
  await host.destroy(volume);
  return { snapshot, bytes };
}

function isDetached(dataDirectory: string, volume: VolumeId): boolean {
  return decodeVolumeRecord(readFileSync(join(dataDirectory, 'volumes', volume, 'volume.json'))).detached;
}

async function untilDetached(dataDirectory: string, volume: VolumeId): Promise<void> {
  while (!isDetached(dataDirectory, volume)) await systemClock.sleep(10);
}

function storedBytes(dataDirectory: string): number {
  const entries = readdirSync(join(dataDirectory, 'objects'), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

async function contentOf(socketPath: string, volume: VolumeId): Promise<Buffer> {
  using client = await PlainNbdClient.connect({ path: socketPath }, volume);
  const parts: Buffer[] = [];
  for (let index = 0; index < SIZE / CHUNK_BYTES; index += 1) {
    parts.push(Buffer.from(await client.read(index * CHUNK_BYTES, CHUNK_BYTES)));
  }
  return Buffer.concat(parts);
}

test(
  'a volume that has all of its snapshot lets it go, and needs nothing of it ever after',
  { timeout: 60_000 },
  async (t) => {
    const dataDirectory = join(base, String((count += 1)));
    const first = await start(t, dataDirectory);
    const { snapshot, bytes } = await snapshotted(first.host);
    const { volume } = await openVolume(first.host, { origin: snapshot, sizeBytes: SIZE });
    const [shared] = await first.host.snapshotSizes([snapshot]);
    await untilDetached(dataDirectory, volume);
    const [exclusive] = await first.host.snapshotSizes([snapshot]);
    assert(shared !== undefined && exclusive !== undefined);
    assert.equal(exclusive.sharedBytes, 0, 'what deleting it would free is all of it');
    assert.equal(exclusive.exclusiveBytes, shared.exclusiveBytes + shared.sharedBytes);

    await t.test('a snapshot of it is still made of what changed', async () => {
      const few = Buffer.alloc(4096, 7);
      const chunk = Buffer.from(bytes.subarray(0, CHUNK_BYTES));
      few.copy(chunk, 8192);
      chunk.copy(bytes);
      await first.host.writeBlock(volume, 1, 0, chunk);
      const increment = await snapshotOf(first.host, volume, { sizeBytes: SIZE });
      assert.equal(increment.result.changedBytes, CHUNK_BYTES);
      assert.equal(increment.result.fullBytes, CHUNKS * CHUNK_BYTES);
      await first.host.deleteSnapshot(snapshot);
      await first.host.collect([volume], never);
      const { volume: other, socketPath } = await openVolume(first.host, {
        origin: increment.snapshot,
        sizeBytes: SIZE,
      });
      assert((await contentOf(socketPath, other)).equals(bytes), 'what it shared with the one that is gone stays');
      await first.host.close(other, 1);
      await first.host.destroy(other);
      await first.host.deleteSnapshot(increment.snapshot);
    });

    await t.test('the space of deleted snapshots is free', async () => {
      assert(storedBytes(dataDirectory) > CHUNKS * CHUNK_BYTES);
      await first.host.collect([volume], never);
      assert(storedBytes(dataDirectory) < 4096, `${storedBytes(dataDirectory)} bytes are left`);
      const [status] = await first.host.status([volume]);
      assert.equal(status?.hydration?.state, 'hydrated');
      assert((await contentOf(status?.socketPath ?? '', volume)).equals(bytes));
    });
    await first.stop();

    const second = await start(t, dataDirectory);
    await t.test('after a restart too, also when it is snapshotted', async () => {
      const { socketPath } = await second.host.open(volume, 2);
      const [status] = await second.host.status([volume]);
      assert.deepEqual(
        [status?.hydration?.state, status?.hydration?.presentBytes, status?.hydration?.remainingSeconds],
        ['hydrated', CHUNKS * CHUNK_BYTES, 0],
      );
      assert((await contentOf(socketPath, volume)).equals(bytes));
      await second.host.collect([volume], never);
      const chunk = randomChunk();
      chunk.copy(bytes, 3 * CHUNK_BYTES);
      await second.host.writeBlock(volume, 2, 3, chunk);
      const { snapshot: whole, result, epoch } = await snapshotOf(second.host, volume, { sizeBytes: SIZE });
      assert.equal(result.fullBytes, CHUNKS * CHUNK_BYTES);
      await second.host.writeBlock(volume, 2, 1, chunk);
      chunk.copy(bytes, CHUNK_BYTES);
      const next = await snapshotOf(second.host, volume, { sizeBytes: SIZE, base: { snapshot: whole, epoch } });
      assert.deepEqual([next.result.changedBytes, next.result.fullBytes], [CHUNK_BYTES, CHUNKS * CHUNK_BYTES]);
      const restored = newVolume();
      await second.host.create({ volume: restored, account, sizeBytes: SIZE, origin: next.snapshot });
      const opened = await second.host.open(restored, 1);
      assert((await contentOf(opened.socketPath, restored)).equals(bytes));
    });
  },
);

test(
  'a volume that is not whole keeps its snapshot; so does one of which a cut is pending',
  { timeout: 60_000 },
  async (t) => {
    const dataDirectory = join(base, String((count += 1)));
    const { host } = await start(t, dataDirectory, 0);
    const { snapshot, bytes } = await snapshotted(host);
    const off = await openVolume(host, { origin: snapshot, sizeBytes: SIZE });
    const cut = newVolume();
    await host.create({ volume: cut, account, sizeBytes: SIZE, origin: snapshot, hydrationBytesPerSecond: 1024 ** 3 });
    const { socketPath } = await host.open(cut, 1);
    await host.cut([cut], 'cut-1' as Parameters<typeof host.cut>[1]);
    while ((await host.status([cut]))[0]?.hydration?.state !== 'hydrated') await systemClock.sleep(10);
    const [ofOff] = await host.status([off.volume]);
    assert.deepEqual(
      [ofOff?.hydration?.state, ofOff?.hydration?.remainingSeconds],
      ['off', null],
      'the rate of one is not that of another',
    );
    await host.deleteSnapshot(snapshot);
    const before = storedBytes(dataDirectory);
    await host.collect([off.volume, cut], never);
    assert(storedBytes(dataDirectory) > before - 4096);
    assert(!isDetached(dataDirectory, cut));
    assert((await contentOf(off.socketPath, off.volume)).equals(bytes));

    await host.release(cut, 'cut-1' as Parameters<typeof host.cut>[1]);
    await untilDetached(dataDirectory, cut);
    await host.destroy(off.volume);
    await host.collect([cut], never);
    assert(storedBytes(dataDirectory) < 4096);
    assert((await contentOf(socketPath, cut)).equals(bytes));
  },
);
