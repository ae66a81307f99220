import assert from 'node:assert/strict';

import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';

import {
  account,
  chunkOf,
  type HostUnderTest,
  jobOf,
  never,
  newSnapshot,
  newVolume,
  openVolume,
  otherAccount,
  randomChunk,
  rejectsAs,
  SIZE,
  snapshotOf,
} from './host-under-test.suite.ts';

type Fact = (what: string, body: (under: HostUnderTest) => Promise<void>) => void;

/** What every VolumeHost does with snapshots that are complete. */
export function snapshotFacts(fact: Fact): void {
  fact('a snapshot is copied within its account, and to another one', async ({ host }) => {
    const { volume } = await openVolume(host);
    const bytes = randomChunk();
    await host.writeBlock(volume, 1, 0, bytes);
    await host.writeBlock(volume, 1, 5, chunkOf(9));
    const { snapshot: source } = await snapshotOf(host, volume);
    const jobFor = (owner: typeof account) => {
      const { label } = jobOf(newSnapshot(), 'vol-ffffffff' as typeof volume, 1);
      return { label: { ...label, account: owner }, source };
    };
    const [near, far] = [jobFor(account), jobFor(otherAccount)];
    assert.deepEqual(await host.copySnapshot(near, never), {
      fullBytes: 2 * CHUNK_BYTES,
      changedBytes: 0,
      storedBytes: 0,
    });
    const written = await host.copySnapshot(far, never);
    assert.deepEqual([written.fullBytes, written.changedBytes], [2 * CHUNK_BYTES, 2 * CHUNK_BYTES]);
    assert.ok(written.storedBytes > CHUNK_BYTES, 'nothing is shared between accounts');
    const keys = async (snapshot: SnapshotId) => (await host.listBlocks(snapshot, 0, 10)).blocks;
    assert.deepEqual(await keys(near.label.snapshot), await keys(source));
    assert.notDeepEqual(await keys(far.label.snapshot), await keys(source));
    await host.deleteSnapshot(source);
    await host.collect([], never);
    // Again, after the source is gone: it is there.
    assert.deepEqual(await host.copySnapshot(far, never), written);
    for (const { label } of [near, far]) {
      assert.deepEqual((await host.readBlock(label.snapshot, 0))?.bytes, bytes);
      assert.deepEqual((await host.readBlock(label.snapshot, 5))?.bytes, chunkOf(9));
      const restored = newVolume();
      await host.create({ volume: restored, account: label.account, sizeBytes: SIZE, origin: label.snapshot });
    }
    await rejectsAs('snapshot-not-found', host.copySnapshot(jobFor(account), never));
    await rejectsAs('aborted', host.copySnapshot(jobFor(account), AbortSignal.abort()));
  });

  fact('a snapshot goes into the archive, and comes back when it is gone', async ({ host }) => {
    const { volume } = await openVolume(host);
    const bytes = randomChunk();
    await host.writeBlock(volume, 1, 3, bytes);
    const { snapshot } = await snapshotOf(host, volume);
    await rejectsAs('snapshot-not-found', host.unarchiveSnapshot(newSnapshot(), never));
    await rejectsAs('snapshot-not-found', host.archiveSnapshot(newSnapshot(), never));
    const stored = await host.archiveSnapshot(snapshot, never);
    assert.ok(stored > 0);
    assert.equal(await host.archiveSnapshot(snapshot, never), stored);
    await host.deleteSnapshot(snapshot);
    await rejectsAs('snapshot-not-found', host.readBlock(snapshot, 3));
    await host.unarchiveSnapshot(snapshot, never);
    assert.deepEqual(Buffer.from((await host.readBlock(snapshot, 3))?.bytes ?? []), Buffer.from(bytes));
    await host.deleteArchive(snapshot);
    await host.deleteArchive(snapshot);
    await host.unarchiveSnapshot(snapshot, never); // It is there.
    await host.deleteSnapshot(snapshot);
    await rejectsAs('snapshot-not-found', host.unarchiveSnapshot(snapshot, never));
  });

  fact('sizes tell what a snapshot has for itself, and what it shares, as others come and go', async ({ host }) => {
    const { volume } = await openVolume(host);
    for (let index = 0; index < 4; index += 1) await host.writeBlock(volume, 1, index, randomChunk());
    const first = await snapshotOf(host, volume);
    const sizeOf = async (snapshot: SnapshotId) => {
      const [size] = await host.snapshotSizes([snapshot, newSnapshot()]);
      assert.equal(size?.snapshot, snapshot);
      return size;
    };
    const alone = await sizeOf(first.snapshot);
    assert.equal(alone.fullBytes, 4 * CHUNK_BYTES);
    assert.equal(alone.sharedBytes, 0);
    assert.ok(alone.exclusiveBytes > alone.fullBytes && alone.newBytes > alone.fullBytes);
    await host.writeBlock(volume, 1, 0, randomChunk());
    const second = await snapshotOf(host, volume);
    const both = await Promise.all([sizeOf(first.snapshot), sizeOf(second.snapshot)]);
    for (const { exclusiveBytes, sharedBytes } of both) {
      assert.ok(exclusiveBytes > CHUNK_BYTES && exclusiveBytes < CHUNK_BYTES * 1.1, `${exclusiveBytes}`);
      assert.ok(sharedBytes > 3 * CHUNK_BYTES && sharedBytes < 3.1 * CHUNK_BYTES, `${sharedBytes}`);
    }
    // Together they free what only they share, too.
    const [ofFirst, ofBoth] = [
      await host.freedBytes([first.snapshot, first.snapshot]),
      await host.freedBytes([first.snapshot, second.snapshot, newSnapshot()]),
    ];
    assert.equal(ofFirst, both[0]?.exclusiveBytes);
    assert.equal(ofBoth, (both[0]?.exclusiveBytes ?? 0) + (both[1]?.exclusiveBytes ?? 0) + (both[0]?.sharedBytes ?? 0));
    assert.equal(await host.freedBytes([newSnapshot()]), 0);
    const store = await host.storeSize();
    assert.equal(store.snapshotCount, 2);
    assert.equal(store.fullBytes, 8 * CHUNK_BYTES);
    assert.ok(store.neededBytes > 5 * CHUNK_BYTES && store.neededBytes < store.storedBytes);
    const restored = newVolume();
    await host.create({ volume: restored, account, sizeBytes: SIZE, origin: first.snapshot });
    const [held] = await host.snapshotSizes([first.snapshot]);
    assert.ok((held?.exclusiveBytes ?? 0) < CHUNK_BYTES / 2, 'a volume that reads through to it needs it, too');
    await host.destroy(restored);
    await host.deleteSnapshot(first.snapshot);
    assert.deepEqual(await host.snapshotSizes([first.snapshot]), []);
    const last = await sizeOf(second.snapshot);
    assert.equal(last.sharedBytes, 0);
    assert.ok(last.exclusiveBytes > 4 * CHUNK_BYTES);
  });
}
