import assert from 'node:assert/strict';
import fs, { copyFileSync, type NoParamCallback, statSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { mock, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { systemClock } from '#base/clock.ts';
import { KyselyStore } from './kysely-store.ts';
import { LogSync } from './log-sync.ts';

/** From now on flushes end as `end` says. */
function flushes(end: (done: NoParamCallback) => void): Disposable {
  const mocked = mock.method(fs, 'fdatasync', (_file: number, done: NoParamCallback) => end(done));
  syncBuiltinESMExports();
  return {
    [Symbol.dispose]: () => {
      mocked.mock.restore();
      syncBuiltinESMExports();
    },
  };
}

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
  using _ = flushes((done) => done(new Error('the disk is broken')));
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

test('what a killed server left in the log is in the database before anything is read of it', async () => {
  const directory = scratchDirectory('log-sync');
  const path = join(directory, 'meta.db');
  await using killed = await KyselyStore.open(path, systemClock);
  await killed.transact((tx) => tx.settings.put('a', '1'));
  assert(statSync(`${path}-wal`).size > 0);
  const left = join(directory, 'left.db');
  for (const end of ['', '-wal']) copyFileSync(`${path}${end}`, `${left}${end}`);
  await using store = await KyselyStore.open(left, systemClock);
  assert.equal(statSync(`${left}-wal`).size, 0);
  assert.equal(await store.read((tx) => tx.settings.get('a')), '1');
});

test('what is refused because of a change is refused once that cannot be lost any more', async () => {
  const path = join(scratchDirectory('log-sync'), 'meta.db');
  await using store = await KyselyStore.open(path, systemClock);
  const waiting: NoParamCallback[] = [];
  {
    using _ = flushes((done) => waiting.push(done));
    const told: string[] = [];
    const write = store.transact((tx) => tx.settings.put('gone', 'yes')).then(() => told.push('changed'));
    for (let turn = 0; turn < 1000 && waiting.length === 0; turn += 1) await setImmediate();
    const refusal = store
      .transact(async (tx) => {
        throw new Error(`is it gone? ${String(await tx.settings.get('gone'))}`);
      })
      .catch((error: unknown) => told.push(String(error)));
    for (let turn = 0; turn < 100; turn += 1) await setImmediate();
    assert.deepEqual(told, []);
    for (const done of waiting.splice(0)) done(null);
    await Promise.all([write, refusal]);
    assert.deepEqual(told, ['changed', 'Error: is it gone? yes']);
  }
});
