import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

import { CHUNK_BYTES } from '#domain/geometry.ts';

import type { UploadJob } from './host.ts';
import { PlainNbdClient } from './host-nbd.fake.ts';
import {
  account,
  chunkOf,
  cutOf,
  type HostUnderTest,
  jobOf,
  never,
  newSnapshot,
  newVolume,
  onlyPack,
  openVolume,
  otherAccount,
  randomChunk,
  rejectsAs,
  SIZE,
  snapshotOf,
  withoutClients,
} from './host-under-test.suite.ts';
import { snapshotFacts } from './host-snapshots.suite.ts';

/** What every VolumeHost does, wherever it runs. `start` gives a fresh one. */
export function volumeHostSuite(name: string, start: (t: TestContext) => Promise<HostUnderTest>): void {
  const fact = (what: string, body: (under: HostUnderTest) => Promise<void>): void => {
    test(`${name}: ${what}`, async (t) => body(await start(t)));
  };

  snapshotFacts(fact);

  fact('a volume is created once, opened, written, closed and destroyed', async ({ host, dataDirectory }) => {
    const { volume, socketPath } = await openVolume(host);
    await host.create({ volume, account, sizeBytes: SIZE, origin: null });
    assert.deepEqual(await host.open(volume, 1), { socketPath });
    const client = await PlainNbdClient.connect({ path: socketPath }, volume);
    assert.equal(client.sizeBytes, SIZE);
    await client.write(1000, Buffer.from('kept'));
    await client.flush();
    await client.close();
    await host.close(volume, 1);
    assert.deepEqual(await host.status([volume]), []);
    await host.open(volume, 1);
    using again = await PlainNbdClient.connect({ path: socketPath });
    assert.equal(String(await again.read(1000, 4)), 'kept');
    await again.close();
    await host.close(volume, 1);
    await host.destroy(volume);
    await host.destroy(volume);
    assert.deepEqual(readdirSync(join(dataDirectory, 'volumes')), []);
    await rejectsAs('volume-not-found', host.open(volume, 2));
  });

  fact('a volume grows in use; who is connected sees it by connecting again', async ({ host }) => {
    const { volume, socketPath } = await openVolume(host);
    using before = await PlainNbdClient.connect({ path: socketPath }, volume);
    await before.write(SIZE - 4, Buffer.from('old.'));
    const early = newSnapshot();
    const [cut] = await host.cut([volume], cutOf(early));
    await host.grow(volume, 3 * SIZE);
    await host.grow(volume, 2 * SIZE); // Smaller than it is: nothing happens.
    await before.write(SIZE - 8, Buffer.from('goes'));
    using after = await PlainNbdClient.connect({ path: socketPath }, volume);
    assert.equal(after.sizeBytes, 3 * SIZE);
    assert.equal(String(await after.read(SIZE - 8, 12)), 'goesold.\0\0\0\0');
    await after.write(3 * SIZE - 4, Buffer.from('end.'));
    await after.flush();
    assert.ok(cut !== undefined);
    await host.upload(jobOf(early, volume, cut.epoch), never);
    assert.equal((await host.listBlocks(early, 0, 100)).blocks.length, 1, 'what was cut before has not grown');
    const { snapshot } = await snapshotOf(host, volume, { sizeBytes: 3 * SIZE });
    const { blocks } = await host.listBlocks(snapshot, 0, 100);
    assert.deepEqual(
      blocks.map(({ index }) => index),
      [7, 23],
    );
    await host.close(volume, 1);
    await rejectsAs('unavailable', host.grow(volume, 4 * SIZE));
    await host.open(volume, 1);
    using again = await PlainNbdClient.connect({ path: socketPath }, volume);
    assert.equal(again.sizeBytes, 3 * SIZE);
    assert.equal(String(await again.read(3 * SIZE - 4, 4)), 'end.');
    await rejectsAs('volume-not-found', host.grow(newVolume(), SIZE));
  });

  fact('status tells of open volumes only: clients, epoch, slots', async ({ host }) => {
    const { volume, socketPath } = await openVolume(host);
    const { volume: closed } = await openVolume(host);
    await host.close(closed, 1);
    await host.writeBlock(volume, 1, 2, chunkOf(1));
    using client = await PlainNbdClient.connect({ path: socketPath });
    await client.read(0, 1);
    const status = await host.status([closed, volume, newVolume()]);
    const [{ encrypted, ...rest } = { encrypted: null }, ...others] = status;
    assert.deepEqual(
      [rest, ...others],
      [{ volume, socketPath, clientCount: 1, epoch: 1, slotBytes: CHUNK_BYTES, failure: null, hydration: null }],
    );
    assert.equal(typeof encrypted, 'boolean');
  });

  fact('a volume with clients is not destroyed', async ({ host }) => {
    const { volume, socketPath } = await openVolume(host);
    const client = await PlainNbdClient.connect({ path: socketPath });
    await client.read(0, 1);
    await rejectsAs('in-use', host.destroy(volume));
    await client.write(0, Buffer.from('still there'));
    await client.close();
    await withoutClients(host, volume);
    await host.destroy(volume);
  });

  fact('a newer generation cuts off the older one, which cannot come back', async ({ host }) => {
    const { volume, socketPath } = await openVolume(host);
    using client = await PlainNbdClient.connect({ path: socketPath });
    await client.write(0, Buffer.from('old'));
    await host.open(volume, 2);
    await assert.rejects(client.write(0, Buffer.from('late')));
    await rejectsAs('fenced', host.open(volume, 1));
    await rejectsAs('fenced', host.writeBlock(volume, 1, 0, chunkOf(1)));
    await host.close(volume, 1); // Of an older writer: ignored.
    using newer = await PlainNbdClient.connect({ path: socketPath });
    assert.equal(String(await newer.read(0, 4)), 'old\0');
    await newer.close();
    await host.close(volume, 2);
    await rejectsAs('fenced', host.open(volume, 1));
  });

  fact('opening in the same generation again does not disturb clients', async ({ host }) => {
    const { volume, socketPath } = await openVolume(host);
    using client = await PlainNbdClient.connect({ path: socketPath });
    await client.write(0, Buffer.from('one'));
    await host.open(volume, 1);
    assert.equal(String(await client.read(0, 3)), 'one');
  });

  fact('what does not exist is not found, and what is only on disk is unavailable', async ({ host }) => {
    const [volume, snapshot] = [newVolume(), newSnapshot()];
    await rejectsAs('volume-not-found', host.open(volume, 1));
    await rejectsAs('volume-not-found', host.cut([volume], cutOf(snapshot)));
    await rejectsAs('volume-not-found', host.writeBlock(volume, 1, 0, chunkOf(0)));
    await rejectsAs('volume-not-found', host.upload(jobOf(snapshot, volume, 1), never));
    await rejectsAs('snapshot-not-found', host.openSnapshot(snapshot));
    await rejectsAs('snapshot-not-found', host.listBlocks(snapshot, 0, 10));
    await rejectsAs('snapshot-not-found', host.readBlock(snapshot, 0));
    await rejectsAs('snapshot-not-found', host.create({ volume, account, sizeBytes: SIZE, origin: snapshot }));
    await host.close(volume, 1);
    await host.destroy(volume);
    await host.release(volume, cutOf(snapshot));
    await host.deleteSnapshot(snapshot);
    assert.deepEqual(await host.progress(), {});

    const { volume: closed } = await openVolume(host);
    await host.close(closed, 1);
    await rejectsAs('unavailable', host.cut([closed], cutOf(snapshot)));
    await rejectsAs('snapshot-not-found', host.upload(jobOf(snapshot, (await openVolume(host)).volume, 1), never));
  });

  fact('a snapshot is the volume at its cut, whatever is written before it is uploaded', async ({ host }) => {
    const { volume } = await openVolume(host);
    const [first, second] = [randomChunk(), randomChunk()];
    await host.writeBlock(volume, 1, 1, first);
    await host.writeBlock(volume, 1, 5, second);
    const snapshot = newSnapshot();
    const [cut] = await host.cut([volume], cutOf(snapshot));
    assert.deepEqual(await host.cut([volume], cutOf(snapshot)), [cut]);
    await host.writeBlock(volume, 1, 1, randomChunk());
    await host.writeBlock(volume, 1, 2, randomChunk());
    const job = jobOf(snapshot, volume, cut?.epoch ?? 0);
    const result = await host.upload(job, never);
    assert.deepEqual([result.fullBytes, result.changedBytes], [2 * CHUNK_BYTES, 2 * CHUNK_BYTES]);
    assert.ok(result.storedBytes > 2 * CHUNK_BYTES);
    assert.deepEqual(await host.upload(job, never), result);

    const { blocks, next } = await host.listBlocks(snapshot, 0, 10);
    assert.deepEqual(
      blocks.map((block) => block.index),
      [1, 5],
    );
    assert.equal(next, null);
    const read = await host.readBlock(snapshot, 1);
    assert.deepEqual(read && Buffer.from(read.bytes), first);
    assert.equal(read?.key, blocks[0]?.key);
    assert.equal(await host.readBlock(snapshot, 2), null);
    assert.equal(await host.readBlock(snapshot, 1_000_000), null);
  });

  fact('an increment stores what changed, and only what changed is listed', async ({ host }) => {
    const { volume } = await openVolume(host);
    for (let index = 0; index < 4; index += 1) await host.writeBlock(volume, 1, index, randomChunk());
    const first = await snapshotOf(host, volume);
    await host.writeBlock(volume, 1, 2, randomChunk());
    await host.writeBlock(volume, 1, 7, chunkOf(0));
    const base = { snapshot: first.snapshot, epoch: first.epoch };
    const second = await snapshotOf(host, volume, { base, keepZeroChunks: true });
    assert.equal(second.result.fullBytes, 5 * CHUNK_BYTES);
    assert.ok(second.result.storedBytes < 2 * CHUNK_BYTES);
    const changed = await host.changedBlocks(first.snapshot, second.snapshot, 0, 10);
    assert.deepEqual(
      changed.blocks.map((block) => [block.index, block.firstKey === null]),
      [
        [2, false],
        [7, true],
      ],
    );
    assert.equal(changed.next, null);
    assert.deepEqual(
      (await host.listBlocks(second.snapshot, 1, 2)).blocks.map((block) => block.index),
      [1, 2],
    );
  });

  fact('an upload whose base was deleted reads more and stores the same', async ({ host }) => {
    const { volume } = await openVolume(host);
    await host.writeBlock(volume, 1, 0, randomChunk());
    const first = await snapshotOf(host, volume);
    const last = randomChunk();
    await host.writeBlock(volume, 1, 3, last);
    await host.deleteSnapshot(first.snapshot);
    const base = { snapshot: first.snapshot, epoch: first.epoch };
    const second = await snapshotOf(host, volume, { base });
    assert.equal(second.result.fullBytes, 2 * CHUNK_BYTES);
    assert.deepEqual(Buffer.from((await host.readBlock(second.snapshot, 3))?.bytes ?? []), last);
  });

  fact('volumes cut together are cut at one instant or not at all', async ({ host }) => {
    const [one, two] = [await openVolume(host), await openVolume(host)];
    const snapshot = newSnapshot();
    await rejectsAs('volume-not-found', host.cut([one.volume, newVolume()], cutOf(snapshot)));
    assert.deepEqual(
      (await host.status([one.volume])).map((status) => status.epoch),
      [1],
    );
    const cuts = await host.cut([one.volume, two.volume], cutOf(snapshot));
    assert.deepEqual(cuts, [
      { volume: one.volume, epoch: 1 },
      { volume: two.volume, epoch: 1 },
    ]);
    assert.deepEqual(
      (await host.status([one.volume, two.volume])).map((status) => status.epoch),
      [2, 2],
    );
  });

  fact('of writes in order over several volumes, a cut of all of them has a beginning', async ({ host }) => {
    const opened = [await openVolume(host), await openVolume(host), await openVolume(host)];
    const clients = await Promise.all(opened.map(({ socketPath }) => PlainNbdClient.connect({ path: socketPath })));
    const stop = new AbortController();
    // Write n goes to volume n mod 3, and is acknowledged before write n + 1 begins.
    const acknowledged = { count: 0 };
    const writer = (async () => {
      const number = Buffer.alloc(8);
      while (!stop.signal.aborted) {
        const next = acknowledged.count + 1;
        number.writeDoubleLE(next);
        await clients[next % 3]?.write(0, number);
        acknowledged.count = next;
      }
    })();
    const volumes = opened.map(({ volume }) => volume);
    const sets: { readonly before: number; readonly after: number; readonly numbers: readonly number[] }[] = [];
    for (let round = 0; round < 4; round += 1) {
      while (acknowledged.count < 10 * (round + 1)) await new Promise((resolve) => setImmediate(resolve));
      const cut = cutOf(newSnapshot());
      const before = acknowledged.count;
      const cuts = await host.cut(volumes, cut);
      const after = acknowledged.count + 1;
      const numbers: number[] = [];
      for (const { volume, epoch } of cuts) {
        const snapshot = newSnapshot();
        await host.upload({ ...jobOf(snapshot, volume, epoch), cut }, never);
        const block = await host.readBlock(snapshot, 0);
        numbers.push(Buffer.from(block?.bytes ?? []).readDoubleLE(0));
        await host.release(volume, cut);
      }
      sets.push({ before, after, numbers });
    }
    stop.abort();
    await writer;
    for (const { before, after, numbers } of sets) {
      const last = Math.max(...numbers);
      assert.ok(before <= last && last <= after, 'what was acknowledged is in, what came later is not');
      // The newest write, and of each other volume the one just before it.
      assert.deepEqual(
        numbers.toSorted((a, b) => a - b),
        [last - 2, last - 1, last],
      );
    }
    for (const client of clients) await client.close();
  });

  fact('a cut that only some of its volumes have is taken again for all', async ({ host }) => {
    const [one, two] = [await openVolume(host), await openVolume(host)];
    const snapshot = newSnapshot();
    // As a host that was killed between the two leaves it.
    await host.cut([one.volume], cutOf(snapshot));
    const cuts = await host.cut([one.volume, two.volume], cutOf(snapshot));
    assert.deepEqual(
      cuts.map((cut) => cut.epoch),
      [2, 1],
    );
    assert.deepEqual(await host.cut([one.volume, two.volume], cutOf(snapshot)), cuts);
  });

  fact('a restored volume reads through to its snapshot and goes its own way', async ({ host }) => {
    const { volume } = await openVolume(host);
    const [kept, replaced] = [randomChunk(), randomChunk()];
    await host.writeBlock(volume, 1, 0, kept);
    await host.writeBlock(volume, 1, 1, replaced);
    const { snapshot } = await snapshotOf(host, volume);

    const restored = await openVolume(host, { origin: snapshot, sizeBytes: 2 * SIZE });
    using client = await PlainNbdClient.connect({ path: restored.socketPath });
    assert.equal(client.sizeBytes, 2 * SIZE);
    assert.deepEqual(await client.read(100, 5000), kept.subarray(100, 5100));
    await client.write(CHUNK_BYTES + 10, Buffer.from('new'));
    replaced.write('new', 10);
    assert.deepEqual(await client.read(CHUNK_BYTES, CHUNK_BYTES), replaced);
    assert.deepEqual(await client.read(2 * SIZE - 10, 10), Buffer.alloc(10));
    const second = await snapshotOf(host, restored.volume, { sizeBytes: 2 * SIZE });
    assert.equal(second.result.changedBytes, CHUNK_BYTES);
    const changed = await host.changedBlocks(snapshot, second.snapshot, 0, 10);
    assert.deepEqual(
      changed.blocks.map((block) => block.index),
      [1],
    );
    await client.close();
  });

  fact('a snapshot of another account is not found', async ({ host }) => {
    const { volume } = await openVolume(host);
    const { snapshot } = await snapshotOf(host, volume);
    const stolen = { volume: newVolume(), account: otherAccount, sizeBytes: SIZE, origin: snapshot };
    await rejectsAs('snapshot-not-found', host.create(stolen));
  });

  fact(
    'a collection takes what a deleted snapshot alone used, and nothing that a closed volume reads through to',
    async ({ host }) => {
      const { volume } = await openVolume(host);
      const [shared, alone] = [randomChunk(), randomChunk()];
      await host.writeBlock(volume, 1, 0, shared);
      const first = await snapshotOf(host, volume);
      await host.writeBlock(volume, 1, 1, alone);
      const second = await snapshotOf(host, volume);
      const restored = await openVolume(host, { origin: first.snapshot });
      await host.close(restored.volume, 1);
      await host.destroy(volume);
      assert.equal((await host.collect([], never)).deletedChunks, 0);
      await host.deleteSnapshot(second.snapshot);
      await host.deleteSnapshot(first.snapshot);
      const collected = await host.collect([], never);
      assert.equal(collected.liveChunks, 1);
      assert.equal(collected.deletedChunks, 1);
      assert.ok(collected.freedBytes >= CHUNK_BYTES);
      const { socketPath } = await host.open(restored.volume, 2);
      using client = await PlainNbdClient.connect({ path: socketPath });
      assert.deepEqual(await client.read(0, CHUNK_BYTES), shared);
      await client.close();
      await withoutClients(host, restored.volume);
      await host.destroy(restored.volume);
      assert.equal((await host.collect([], never)).liveChunks, 0);
    },
  );

  fact('a volume.json that cannot be read stops the collection', async ({ host, dataDirectory }) => {
    const { volume } = await openVolume(host);
    await host.writeBlock(volume, 1, 0, randomChunk());
    const { snapshot } = await snapshotOf(host, volume);
    const restored = await openVolume(host, { origin: snapshot });
    await host.close(restored.volume, 1);
    await host.deleteSnapshot(snapshot);
    await host.destroy(volume);
    const path = join(dataDirectory, 'volumes', restored.volume, 'volume.json');
    const record = readFileSync(path);
    writeFileSync(path, record.subarray(1));
    await rejectsAs('damaged', host.collect([], never));
    writeFileSync(path, record);
    assert.deepEqual(await host.collect([], never), { liveChunks: 1, deletedChunks: 0, freedBytes: 0 });
  });

  fact('without the directory of a restored volume nothing is collected', async ({ host, dataDirectory }) => {
    const { volume } = await openVolume(host);
    await host.writeBlock(volume, 1, 0, randomChunk());
    const { snapshot } = await snapshotOf(host, volume);
    const restored = await openVolume(host, { origin: snapshot });
    await host.close(restored.volume, 1);
    await host.deleteSnapshot(snapshot);
    await host.destroy(volume);
    const path = join(dataDirectory, 'volumes', restored.volume);
    renameSync(path, join(dataDirectory, 'elsewhere'));
    await rejectsAs('volume-not-found', host.collect([restored.volume], never));
    // Of a volume that control does not name, too: a part of it says that there was more.
    mkdirSync(path);
    for (const part of ['map.3', 'log.1']) {
      writeFileSync(join(path, part), '');
      await rejectsAs('damaged', host.collect([], never));
      rmSync(join(path, part));
    }
    rmSync(path, { recursive: true });
    renameSync(join(dataDirectory, 'elsewhere'), path);
    const collected = await host.collect([restored.volume], never);
    assert.deepEqual(collected, { liveChunks: 1, deletedChunks: 0, freedBytes: 0 });
  });

  fact('a volume that has lost its origin stops the collection', async ({ host }) => {
    const { volume } = await openVolume(host);
    await rejectsAs('damaged', host.collect([volume], never));
    await host.collect([], never);
  });

  fact('a collection and a creation at once wait for each other', async ({ host }) => {
    const { volume } = await openVolume(host);
    const { snapshot } = await snapshotOf(host, volume);
    const made = Array.from({ length: 8 }, () => newVolume());
    const spec = { account, sizeBytes: SIZE, origin: snapshot };
    await Promise.all(made.flatMap((one) => [host.create({ ...spec, volume: one }), host.collect([], never)]));
  });

  fact('a snapshot is served read-only until it is deleted', async ({ host }) => {
    const { volume } = await openVolume(host);
    const content = randomChunk();
    await host.writeBlock(volume, 1, 3, content);
    const { snapshot } = await snapshotOf(host, volume);
    await host.destroy(volume);
    const { socketPath } = await host.openSnapshot(snapshot);
    assert.deepEqual(await host.openSnapshot(snapshot), { socketPath });
    using client = await PlainNbdClient.connect({ path: socketPath }, snapshot);
    const around = Buffer.concat([Buffer.alloc(10), content, Buffer.alloc(10)]);
    assert.deepEqual(await client.read(3 * CHUNK_BYTES - 10, around.length), around);
    await assert.rejects(client.write(0, Buffer.from('no')), /errno 1\b/);
    await host.deleteSnapshot(snapshot);
    await assert.rejects(client.read(0, 1));
    await rejectsAs('snapshot-not-found', host.openSnapshot(snapshot));
  });

  fact('a stored chunk that changed is an error, never other bytes', async ({ host, dataDirectory }) => {
    const { volume } = await openVolume(host);
    await host.writeBlock(volume, 1, 0, randomChunk());
    const { snapshot } = await snapshotOf(host, volume);
    const { path: pack, bytes } = onlyPack(dataDirectory);
    assert.ok(bytes.length > CHUNK_BYTES);
    bytes[300_000] = (bytes[300_000] ?? 0) ^ 1;
    writeFileSync(pack, bytes);
    const { socketPath } = await host.openSnapshot(snapshot);
    using client = await PlainNbdClient.connect({ path: socketPath });
    await assert.rejects(client.read(0, 4096), /errno 5\b/);
    await rejectsAs('damaged', host.readBlock(snapshot, 0));
  });

  fact('an aborted upload leaves the cut, and asking again completes it', async ({ host }) => {
    const { volume } = await openVolume(host);
    const bytes = randomChunk();
    await host.writeBlock(volume, 1, 0, bytes);
    const snapshot = newSnapshot();
    const [cut] = await host.cut([volume], cutOf(snapshot));
    const job = jobOf(snapshot, volume, cut?.epoch ?? 0);
    await rejectsAs('aborted', host.upload(job, AbortSignal.abort()));
    const abort = new AbortController();
    const running = host.upload(job, abort.signal);
    const joined = host.upload(job, never);
    await host.progress(); // Both were asked for.
    abort.abort();
    await rejectsAs('aborted', running);
    await rejectsAs('aborted', joined);
    await host.upload(job, never);
    assert.deepEqual(Buffer.from((await host.readBlock(snapshot, 0))?.bytes ?? []), bytes);
  });

  fact('uploads of one volume run one after another, those asked for twice once', async ({ host }) => {
    const { volume } = await openVolume(host);
    const jobs: UploadJob[] = [];
    for (let round = 0; round < 3; round += 1) {
      await host.writeBlock(volume, 1, round, randomChunk());
      const snapshot = newSnapshot();
      const [cut] = await host.cut([volume], cutOf(snapshot));
      jobs.push(jobOf(snapshot, volume, cut?.epoch ?? 0));
    }
    const results = await Promise.all([...jobs, ...jobs].map((job) => host.upload(job, never)));
    assert.deepEqual(results.slice(0, 3), results.slice(3));
    assert.deepEqual(
      results.slice(0, 3).map((result) => result.fullBytes / CHUNK_BYTES),
      [1, 2, 3],
    );
    assert.deepEqual(await host.progress(), {});
    for (const job of jobs.toReversed()) await host.release(volume, job.cut);
    await host.release(volume, jobs[0]?.cut ?? cutOf(newSnapshot()));
  });

  fact('closing a volume ends its upload as unavailable, and the next open goes on with it', async ({ host }) => {
    const { volume } = await openVolume(host);
    for (let index = 0; index < 8; index += 1) await host.writeBlock(volume, 1, index, randomChunk());
    const snapshot = newSnapshot();
    const [cut] = await host.cut([volume], cutOf(snapshot));
    const job = jobOf(snapshot, volume, cut?.epoch ?? 0);
    const running = host.upload(job, never);
    const refused = rejectsAs('unavailable', running);
    await host.close(volume, 1);
    await refused;
    await host.open(volume, 1);
    assert.equal((await host.upload(job, never)).fullBytes, SIZE);
  });

  fact('releasing a cut ends its upload first', async ({ host }) => {
    const { volume } = await openVolume(host);
    for (let index = 0; index < 8; index += 1) await host.writeBlock(volume, 1, index, randomChunk());
    const snapshot = newSnapshot();
    const [cut] = await host.cut([volume], cutOf(snapshot));
    const running = host.upload(jobOf(snapshot, volume, cut?.epoch ?? 0), never);
    const aborted = rejectsAs('aborted', running);
    await host.release(volume, cutOf(snapshot));
    await aborted;
    await rejectsAs('snapshot-not-found', host.readBlock(snapshot, 0));
  });

  fact('deleting a snapshot ends its upload', async ({ host }) => {
    const { volume } = await openVolume(host);
    for (let index = 0; index < 8; index += 1) await host.writeBlock(volume, 1, index, randomChunk());
    const snapshot = newSnapshot();
    const [cut] = await host.cut([volume], cutOf(snapshot));
    const aborted = rejectsAs('aborted', host.upload(jobOf(snapshot, volume, cut?.epoch ?? 0), never));
    await host.deleteSnapshot(snapshot);
    await aborted;
    await rejectsAs('snapshot-not-found', host.readBlock(snapshot, 0));
    await host.release(volume, cutOf(snapshot));
  });
}
