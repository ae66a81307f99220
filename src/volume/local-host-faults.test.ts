import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { silentLog } from '#base/log.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { openTestStore } from '#snapshot/snapshot-store.fixture.ts';

import { PlainNbdClient } from './host-nbd.fake.ts';
import { chunkOf, cutOf, newSnapshot, openVolume, rejectsAs } from './host-under-test.suite.ts';
import { NbdGrants } from './nbd-grants.ts';
import { LocalVolumeHost } from './local-host.ts';
import { VolumeKeys } from './volume-key.ts';
import { nodeVolumeFiles, type VolumeFile, type VolumeFiles } from './volume-files.ts';

interface Syncing {
  /** Called instead of the sync of a file named `data`; null: the disk's own. */
  data: (() => Promise<void>) | null;
}

function withSyncs(syncing: Syncing): VolumeFiles {
  const files = nodeVolumeFiles;
  return {
    open(path, mode): VolumeFile {
      const file = files.open(path, mode);
      if (!path.endsWith('/data')) return file;
      return {
        sizeBytes: () => file.sizeBytes(),
        read: (...all) => file.read(...all),
        readLater: (...all) => file.readLater(...all),
        write: (...all) => file.write(...all),
        truncate: (sizeBytes) => file.truncate(sizeBytes),
        sync: () => (syncing.data === null ? file.sync() : syncing.data()),
        close: () => file.close(),
      };
    },
    list: (directory) => files.list(directory),
    makeDirectory: (path) => files.makeDirectory(path),
    rename: (from, to) => files.rename(from, to),
    remove: (path) => files.remove(path),
    syncDirectory: (path) => files.syncDirectory(path),
  };
}

async function hostWith(t: TestContext, syncing: Syncing): Promise<LocalVolumeHost> {
  const directory = mkdtempSync(join(tmpdir(), 'varve-faults-'));
  const host = await LocalVolumeHost.open({
    volumesDirectory: join(directory, 'volumes'),
    socketDirectory: directory,
    store: await openTestStore(new MemoryStore()),
    nbdTcp: null,
    keys: new VolumeKeys({ masterKey: Buffer.alloc(32, 1), random: systemRandom }),
    encryptVolumes: false,
    grants: await NbdGrants.open({
      path: join(directory, 'nbd-grants.json'),
      masterKey: Buffer.alloc(32, 1),
      clock: systemClock,
      random: systemRandom,
    }),
    clock: systemClock,
    log: silentLog,
    files: withSyncs(syncing),
  });
  t.after(async () => {
    syncing.data = null;
    await host[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  return host;
}

test('a volume whose sync failed says so, and the same generation opens it again', async (t) => {
  const syncing: Syncing = { data: null };
  const host = await hostWith(t, syncing);
  const { volume, socketPath } = await openVolume(host);
  using client = await PlainNbdClient.connect({ path: socketPath });
  await client.write(0, chunkOf(1));
  await client.flush();
  await client.write(CHUNK_BYTES, chunkOf(2)); // Never flushed, so nobody was promised it.
  syncing.data = () => Promise.reject(new Error('the disk is gone'));
  await assert.rejects(client.flush(), /errno 5\b/);
  const [status] = await host.status([volume]);
  assert.match(status?.failure ?? '', /must be opened again/);
  await rejectsAs('unavailable', host.cut([volume], cutOf(newSnapshot())));
  await assert.rejects(host.open(volume, 1)); // The disk still is.
  syncing.data = null;
  assert.deepEqual(await host.open(volume, 1), { socketPath });
  assert.equal((await host.status([volume]))[0]?.failure, null);
  using again = await PlainNbdClient.connect({ path: socketPath });
  assert.deepEqual(await again.read(0, 512), chunkOf(1).subarray(0, 512));
  await again.flush();
});

test('a stop waits for the calls that are at work, and the next call is refused', async (t) => {
  const syncing: Syncing = { data: null };
  const host = await hostWith(t, syncing);
  const { volume } = await openVolume(host);
  const reached = Promise.withResolvers<void>();
  const synced = Promise.withResolvers<void>();
  await host.close(volume, 1);
  // The recovery of a volume that is being opened; nothing but its call knows of it yet.
  syncing.data = () => {
    reached.resolve();
    return synced.promise;
  };
  const events: string[] = [];
  const opened = host.open(volume, 2).then(() => events.push('opened'));
  await reached.promise;
  const stopped = host[Symbol.asyncDispose]().then(() => events.push('stopped'));
  await rejectsAs('unavailable', host.open(volume, 3));
  for (let turn = 0; turn < 200; turn += 1) await setImmediate();
  synced.resolve();
  await Promise.all([opened, stopped]);
  assert.deepEqual(events, ['opened', 'stopped']);
});
