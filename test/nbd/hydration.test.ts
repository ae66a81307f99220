import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import type { HydrationStatus } from '#volume/host.ts';
import { openVolume, snapshotOf } from '#volume/host-under-test.suite.ts';
import type { LocalVolumeHost } from '#volume/local-host.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { composeHost } from '#src/compose-host.ts';
import { requireTool } from '../clients.ts';
import { runOk } from '../run.ts';

const CHUNKS = 96;
const SIZE = CHUNKS * CHUNK_BYTES;
const base = scratchDirectory('hydration');
let count = 0;

interface Started {
  readonly host: LocalVolumeHost;
  readonly stop: () => Promise<void>;
}

async function start(t: TestContext, dataDirectory: string, bytesPerSecond: number): Promise<Started> {
  const scope = new AsyncDisposableStack();
  t.after(() => scope.disposeAsync());
  const { socketDirectory } = openRunDirectory(dataDirectory);
  const options = { dataDirectory, socketDirectory, nbdTcp: null, clock: systemClock, random: systemRandom };
  const host = await composeHost({ ...options, hydration: { bytesPerSecond }, log: silentLog }, scope);
  return { host, stop: () => scope.disposeAsync() };
}

/** A data directory with a snapshot of random bytes. */
async function snapshotted(t: TestContext): Promise<{ dataDirectory: string; snapshot: SnapshotId; bytes: Buffer }> {
  const dataDirectory = join(base, String((count += 1)));
  await mkdir(dataDirectory);
  const { host, stop } = await start(t, dataDirectory, 0);
  const { volume } = await openVolume(host, { sizeBytes: SIZE });
  const bytes = randomBytes(SIZE);
  for (let index = 0; index < CHUNKS; index += 1) {
    await host.writeBlock(volume, 1, index, bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES));
  }
  const { snapshot } = await snapshotOf(host, volume, { sizeBytes: SIZE });
  await host.destroy(volume);
  await stop();
  t.diagnostic(`${CHUNKS} chunks in ${dataDirectory}`);
  return { dataDirectory, snapshot, bytes };
}

async function hydrationOf(host: LocalVolumeHost, volume: VolumeId): Promise<HydrationStatus> {
  const hydration = (await host.status([volume]))[0]?.hydration;
  assert.ok(hydration !== undefined && hydration !== null);
  return hydration;
}

async function untilHydrated(host: LocalVolumeHost, volume: VolumeId): Promise<void> {
  while ((await hydrationOf(host, volume)).state !== 'hydrated') await systemClock.sleep(20);
}

/** The volume's bytes as a client reads them. */
async function copyOf(socketPath: string): Promise<Buffer> {
  const path = join(base, `copy-${(count += 1)}`);
  await runOk('nbdcopy', [nbdUri('', socketPath), path]);
  return await readFile(path);
}

test('a restored volume fills itself, over a restart, and then has all of it', async (t) => {
  if (!requireTool(t, 'nbdcopy')) return;
  const { dataDirectory, snapshot, bytes } = await snapshotted(t);
  const first = await start(t, dataDirectory, 16 * CHUNK_BYTES);
  const { volume } = await openVolume(first.host, { origin: snapshot, sizeBytes: SIZE });
  while ((await hydrationOf(first.host, volume)).presentBytes < 8 * CHUNK_BYTES) await systemClock.sleep(20);
  const { state, totalBytes } = await hydrationOf(first.host, volume);
  assert.deepEqual([state, totalBytes], ['hydrating', SIZE]);
  await first.stop();

  const second = await start(t, dataDirectory, 1024 * CHUNK_BYTES);
  const { socketPath } = await second.host.open(volume, 2);
  const { presentBytes } = await hydrationOf(second.host, volume);
  assert.ok(presentBytes < SIZE, 'it was not done when it was stopped');
  await untilHydrated(second.host, volume);
  assert.equal((await hydrationOf(second.host, volume)).presentBytes, SIZE);
  const status = (await second.host.status([volume]))[0];
  assert.equal(status?.slotBytes, SIZE, 'every chunk has one slot, whatever was fetched twice');
  assert.ok((await copyOf(socketPath)).equals(bytes));
});

test('a volume that is read while it is filled gives what the snapshot has', async (t) => {
  if (!requireTool(t, 'nbdcopy')) return;
  const { dataDirectory, snapshot, bytes } = await snapshotted(t);
  const { host } = await start(t, dataDirectory, 64 * CHUNK_BYTES);
  const { volume, socketPath } = await openVolume(host, { origin: snapshot, sizeBytes: SIZE });
  assert.ok((await copyOf(socketPath)).equals(bytes));
  await untilHydrated(host, volume);
  assert.equal((await host.status([volume]))[0]?.slotBytes, SIZE);
  const exported = await host.openSnapshot(snapshot);
  assert.ok((await copyOf(exported.socketPath)).equals(bytes), 'and so does the snapshot itself');
});

test('the next volume of a snapshot, and of its descendants, is filled in the order in which the last one was read', async (t) => {
  if (!requireTool(t, 'qemu-io')) return;
  const { dataDirectory, snapshot } = await snapshotted(t);
  const boot = [40, 7, 90, 55, 20, 77, 3, 66];
  const reads = boot.flatMap((index) => ['-c', `read ${index * CHUNK_BYTES + 8192} 4096`]);
  const readAll = (socket: string) => runOk('qemu-io', ['-r', '-f', 'raw', ...reads, nbdUri('', socket)]);

  const quiet = await start(t, dataDirectory, 0);
  const { volume, socketPath } = await openVolume(quiet.host, { origin: snapshot, sizeBytes: SIZE });
  await readAll(socketPath);
  assert.equal((await hydrationOf(quiet.host, volume)).state, 'off');
  assert.equal((await hydrationOf(quiet.host, volume)).presentBytes, boot.length * CHUNK_BYTES);
  const child = await snapshotOf(quiet.host, volume, { sizeBytes: SIZE });
  await quiet.stop();

  for (const origin of [snapshot, child.snapshot]) {
    const rate = 8 * CHUNK_BYTES;
    const next = await start(t, dataDirectory, rate);
    const restored = await openVolume(next.host, { origin, sizeBytes: SIZE });
    while ((await hydrationOf(next.host, restored.volume)).presentBytes < rate) await systemClock.sleep(5);
    await next.host.close(restored.volume, 1);
    await next.stop();
    const looking = await start(t, dataDirectory, 0);
    const { socketPath: again } = await looking.host.open(restored.volume, 2);
    assert.equal(await slotBytesOf(looking.host, restored.volume), boot.length * CHUNK_BYTES);
    // Reading them takes no more slots: they are exactly those.
    await readAll(again);
    assert.equal(await slotBytesOf(looking.host, restored.volume), boot.length * CHUNK_BYTES);
    await looking.stop();
  }
});

async function slotBytesOf(host: LocalVolumeHost, volume: VolumeId): Promise<number | undefined> {
  return (await host.status([volume]))[0]?.slotBytes;
}
