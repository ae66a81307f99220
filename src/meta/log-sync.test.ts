import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { systemClock } from '#base/clock.ts';
import { KyselyStore } from './kysely-store.ts';
import { LogSync } from './log-sync.ts';

test('what was committed before is durable when the log says so, and not sooner', async () => {
  const path = join(scratchDirectory('log-sync'), 'log');
  writeFileSync(path, 'x');
  await using log = new LogSync(path);
  assert.equal(log.isBehind, false);
  await log.durable();
  log.committed();
  assert.equal(log.isBehind, true);
  const first = log.durable();
  log.committed();
  // The flush that runs began before the second commit: it is not enough for that.
  await first;
  assert.equal(log.isBehind, true);
  await log.durable();
  assert.equal(log.isBehind, false);
});

test('a log that cannot be flushed is durable never again', async () => {
  const path = join(scratchDirectory('log-sync'), 'missing');
  await using log = new LogSync(path);
  log.committed();
  await assert.rejects(log.durable(), /cannot be made durable/);
  writeFileSync(path, 'x');
  await assert.rejects(log.durable(), /cannot be made durable/);
  assert.equal(log.isBehind, true);
});

test('a store whose log cannot be flushed says so to writers and to readers, and keeps its order', async () => {
  const path = join(scratchDirectory('log-sync'), 'meta.db');
  await using store = await KyselyStore.open(path, systemClock);
  rmSync(`${path}-wal`); // Gone before it is opened for the first flush.
  await assert.rejects(
    store.transact((tx) => tx.settings.put('a', '1')),
    /cannot be made durable/,
  );
  await assert.rejects(
    store.read((tx) => tx.settings.get('a')),
    /cannot be made durable/,
  );
});

test('answers come in the order of the commits, and a read after a write sees it', async () => {
  const path = join(scratchDirectory('log-sync'), 'meta.db');
  await using store = await KyselyStore.open(path, systemClock);
  const told: number[] = [];
  const all: Promise<void>[] = [];
  for (let n = 0; n < 300; n += 1) {
    const write = store.transact((tx) => tx.settings.put('n', String(n)));
    all.push(write.then(() => void told.push(n)));
    if (n % 7 === 0) assert.equal(await store.read((tx) => tx.settings.get('n')), String(n));
  }
  await Promise.all(all);
  assert.deepEqual(
    told,
    Array.from({ length: 300 }, (_, n) => n),
  );
});
