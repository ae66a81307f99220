import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotWrite } from '#snapshot/snapshot-store.ts';

import { account, chunkOf, cutOf, jobOf, never, newSnapshot, newVolume, rejectsAs } from './host-under-test.suite.ts';
import { Uploads } from './upload.ts';
import { VolumeDevice } from './volume-device.ts';

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
