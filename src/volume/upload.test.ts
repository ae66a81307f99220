import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { HeldSnapshot, SnapshotWrite } from '#snapshot/snapshot-store.ts';
import { snapshotNotFound } from '#chunk/errors.ts';

import { account, chunkOf, cutOf, jobOf, never, newSnapshot, newVolume, rejectsAs } from './host-under-test.suite.ts';
import { Uploads } from './upload.ts';
import { VolumeDevice } from './volume-device.ts';
import { nodeVolumeFiles } from './volume-files.ts';

test('what was read of a cut counts only as long as the cut of that epoch is pending', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'varve-upload-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const volume = newVolume();
  const path = join(directory, volume);
  await VolumeDevice.create(path, { volume, account, sizeBytes: 2 * CHUNK_BYTES, origin: null });
  await using device = await VolumeDevice.open(path, { generation: 1, fetchOrigin: async () => null, bootId: 'boot' });
  await device.write(0, chunkOf(1), { fua: true });
  const snapshot = newSnapshot();
  const { epoch, durable } = device.beginCut(cutOf(snapshot));
  await durable;

  const given = Promise.withResolvers<SnapshotWrite>();
  const changed = Promise.withResolvers<void>();
  await using uploads = new Uploads({
    store: {
      read: async () => null,
      hold: () => Promise.reject(new Error('there is no base')),
      write: async (write) => {
        given.resolve(write);
        assert.equal((await Array.fromAsync(write.changes.items)).length, 1); // All of it was read.
        await changed.promise;
        write.checkSources?.();
        throw new Error('a manifest is put');
      },
    },
    deviceOf: async () => device,
  });
  const ended = rejectsAs(
    'aborted',
    uploads.upload(jobOf(snapshot, volume, epoch, { sizeBytes: 2 * CHUNK_BYTES }), never),
  );
  const write = await given.promise;
  write.checkSources?.();
  await device.release(cutOf(snapshot));
  await device.beginCut(cutOf(snapshot)).durable; // Of the same name, and another epoch.
  changed.resolve();
  await ended;
});

const SIZE = 4 * CHUNK_BYTES;

/** What an upload of a cut of the device is given to build on, and the snapshots that were held for it. */
async function baseOf(
  device: VolumeDevice,
  options: { readonly base: SnapshotId | null; readonly held: HeldSnapshot | null },
) {
  const held: SnapshotId[] = [];
  const given: SnapshotWrite[] = [];
  await using uploads = new Uploads({
    store: {
      read: async () => null,
      hold: async (snapshot) => {
        held.push(snapshot);
        if (options.held === null) throw snapshotNotFound(snapshot);
        return options.held;
      },
      write: async (write) => {
        given.push(write);
        throw new Error('enough');
      },
    },
    deviceOf: async () => device,
  });
  const snapshot = newSnapshot();
  const { epoch, durable } = device.beginCut(cutOf(snapshot));
  await durable;
  const base = options.base === null ? null : { snapshot: options.base, epoch: 0 };
  const job = { ...jobOf(snapshot, device.volume, epoch, { sizeBytes: SIZE }), base };
  await rejectsAs('internal', uploads.upload(job, never));
  return { held, root: given[0]?.base ?? null, changed: given[0]?.changes.count };
}

function heldSnapshot(chunks: number): HeldSnapshot {
  const root = { key: null, depth: 1, chunkCount: chunks, presentCount: 0 };
  // Of the manifest, nothing is looked at.
  return { account, root, manifest: {} as HeldSnapshot['manifest'], [Symbol.dispose]: () => {} };
}

test('a snapshot that is larger than the one that is made is nothing to build on', async () => {
  const path = join(scratchDirectory('upload'), 'volume');
  await VolumeDevice.create(path, { volume: newVolume(), account, sizeBytes: SIZE, origin: null });
  await using device = await VolumeDevice.open(path, { generation: 1, fetchOrigin: async () => null, bootId: 'boot' });
  const base = newSnapshot();
  assert.equal((await baseOf(device, { base, held: heldSnapshot(4) })).root?.chunkCount, 4);
  assert.equal((await baseOf(device, { base, held: heldSnapshot(5) })).root, null);
  assert.equal((await baseOf(device, { base, held: null })).root, null);
});

test('an upload holds the origin of a volume that is about to let it go', async () => {
  const path = join(scratchDirectory('upload'), 'volume');
  const origin = { snapshot: newSnapshot(), root: heldSnapshot(4).root, chunkCount: 4 };
  await VolumeDevice.create(path, { volume: newVolume(), account, sizeBytes: SIZE, origin });
  const writing = Promise.withResolvers<void>();
  const mayWrite = Promise.withResolvers<void>();
  let detaching = false;
  await using device = await VolumeDevice.open(path, {
    generation: 1,
    fetchOrigin: async () => chunkOf(3),
    bootId: 'boot',
    files: {
      ...nodeVolumeFiles,
      rename: async (from, to) => {
        if (detaching) {
          writing.resolve();
          await mayWrite.promise;
        }
        await nodeVolumeFiles.rename(from, to);
      },
    },
  });
  await device.read(0, Buffer.alloc(SIZE));
  assert.deepEqual((await baseOf(device, { base: null, held: null })).held, []);
  for (const { cut } of device.cuts()) await device.release(cut);
  detaching = true;
  const detached = device.detach(never);
  await writing.promise;
  assert.equal(device.isDetached, false);
  assert.deepEqual(await baseOf(device, { base: null, held: null }), {
    held: [origin.snapshot],
    root: null,
    changed: 4,
  });
  assert.equal((await baseOf(device, { base: null, held: heldSnapshot(4) })).changed, 0);
  mayWrite.resolve();
  assert.equal(await detached, true);
});
