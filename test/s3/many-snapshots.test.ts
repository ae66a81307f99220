import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom, systemRandom } from '#base/random.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { openS3Store } from '#chunk/s3-open.ts';
import { FakeS3Server } from '#chunk/s3-server.fake.ts';
import { ContentFile, openTestStore, snapshotId, testWrite } from '#snapshot/snapshot-store.fixture.ts';

const COUNT = 1_000;
const LATENCY_MS = 25;

test('opening a store of 1,000 snapshots in a bucket takes pages of lists, and without its index not a wait for each pack', async (t) => {
  const content = new ContentFile(COUNT + 1);
  const indexPath = join(content.directory, 'index.db');
  const memory = new MemoryStore();
  {
    await using store = await openTestStore(memory, { indexPath });
    for (let n = 1; n <= COUNT; n += 1) {
      await store.write(
        testWrite(content, { snapshot: snapshotId(n), chunkCount: 4, changes: new Map([[1, n]]), volume: n }),
      );
    }
  }
  await using fake = await FakeS3Server.start();
  for await (const { key } of memory.list(''))
    fake.objects.set(`many/${key}`, (await memory.get(key)) ?? Buffer.alloc(0));
  assert(fake.objects.size > 2 * COUNT, 'a manifest and a pack for each');
  await using objects = await openS3Store({
    location: fake.location('many/'),
    environment: fake.environment(),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  fake.manners.latencyMs = LATENCY_MS;

  const opened = async (path: string): Promise<{ readonly requests: number; readonly seconds: number }> => {
    const before = fake.seen.length;
    const startMs = systemClock.monotonicMs();
    await using store = await openTestStore(objects, { indexPath: path, seed: 77 });
    const seconds = (systemClock.monotonicMs() - startMs) / 1000;
    const requests = fake.seen.length - before;
    const some = 1 + new SeededRandom(8).below(COUNT);
    assert.equal((await store.listBlocks(snapshotId(some), 0, 10)).blocks.length, 1);
    return { requests, seconds };
  };
  const lost = join(content.directory, 'lost.db');
  cpSync(indexPath, join(content.directory, 'copy.db'));
  const known = await opened(join(content.directory, 'copy.db'));
  const unknown = await opened(lost);
  t.diagnostic(`with its index: ${JSON.stringify(known)}; without: ${JSON.stringify(unknown)}`);
  assert(known.requests <= 12, `${known.requests} requests`);
  // One after another they would take as many times the latency.
  const sequentialSeconds = (unknown.requests * LATENCY_MS) / 1000;
  assert(unknown.seconds < sequentialSeconds / 2, `${unknown.requests} requests in ${unknown.seconds} s`);
});
