import assert from 'node:assert/strict';
import files, { type FileHandle, open, readFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join } from 'node:path';
import { mock, test } from 'node:test';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { AuditSeries, seriesFiles } from './audit-series.ts';
import { verifySeries } from './audit-verify.ts';

const KEY = new Uint8Array(32).fill(9);

type Write = (bytes: Buffer) => Promise<{ bytesWritten: number; buffer: Buffer }>;

/** From now on writes of this process's files take what `taken` says of so many bytes; null: the disk is full. */
async function disk(path: string, taken: (bytes: number) => number | null): Promise<Disposable> {
  await using file = await open(path, 'a');
  const prototype = Object.getPrototypeOf(file) as { write: Write };
  const real = prototype.write;
  const mocked = mock.method(prototype, 'write', async function write(this: FileHandle, bytes: Buffer) {
    const length = taken(bytes.length);
    if (length === null) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    return await real.call(this, bytes.subarray(0, length));
  });
  return { [Symbol.dispose]: () => mocked.mock.restore() };
}

for (const seed of [1, 2, 3]) {
  test(`a disk that takes parts, and is full now and then, gets every line once, in order (seed ${seed})`, async () => {
    const random = new SeededRandom(seed);
    const path = join(scratchDirectory('audit-full'), 'audit.log');
    const clock = new VirtualClock();
    const series = { path, key: KEY, fileBytesMax: 4000, filesMax: 1000, expected: null, clock, log: silentLog };
    let written = 0;
    {
      await using log = await AuditSeries.open(series);
      {
        using _ = await disk(path, (bytes) => {
          const choice = random.fraction();
          return choice < 0.2 ? null : choice < 0.5 ? 1 + random.below(bytes) : bytes;
        });
        for (let turn = 0; turn < 200; turn += 1) {
          const last = log.append({ number: (written += 1) });
          if (random.fraction() < 0.5) void log.append({ number: (written += 1) });
          await last; // Also when it could not be written: nobody waits for a full disk.
        }
      }
      await log.flushed();
      const expected = [log.head];
      const { problems } = await verifySeries({ path, key: KEY, filesMax: 1000, expected });
      assert.deepEqual(problems, []);
    }
    const numbers: unknown[] = [];
    for (const file of (await seriesFiles(path)).toReversed()) {
      for (const line of (await readFile(file, 'utf8')).trimEnd().split('\n')) {
        const fields = JSON.parse(line) as Record<string, unknown>;
        if ('number' in fields) numbers.push(fields['number']);
      }
    }
    assert.deepEqual(
      numbers,
      Array.from({ length: written }, (_, index) => index + 1),
    );
  });
}

test('what a full disk keeps waiting is bounded, and what is left out is told', async () => {
  const path = join(scratchDirectory('audit-bounded'), 'audit.log');
  const clock = new VirtualClock();
  const series = { path, key: KEY, fileBytesMax: 2 ** 30, filesMax: 2, expected: null, clock, log: silentLog };
  await using log = await AuditSeries.open(series);
  {
    using _ = await disk(path, () => null);
    const text = 'x'.repeat(1024 * 1024 - 100);
    for (let number = 0; number < 40; number += 1) await log.append({ number, text });
  }
  await log.flushed();
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  const lost = lines.map((line) => JSON.parse(line) as { lost?: number }).find((fields) => 'lost' in fields);
  const kept = lines.filter((line) => line.startsWith('{"number"')).length;
  assert(kept < 40 && kept >= 16);
  assert.equal(lost?.lost, 40 - kept);
  const { problems, lostCount } = await verifySeries({ path, key: KEY, filesMax: 2, expected: [log.head] });
  assert.deepEqual([problems, lostCount], [[], 40 - kept]);
});

/** From now on no file can be opened: the process has too many. */
function noMoreFiles(): Disposable {
  const mocked = mock.method(files, 'open', async () => {
    throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
  });
  syncBuiltinESMExports();
  return {
    [Symbol.dispose]: () => {
      mocked.mock.restore();
      syncBuiltinESMExports();
    },
  };
}

test('a full file that no other can follow yet costs no older one, however often it is tried', async () => {
  const path = join(scratchDirectory('audit-rotate'), 'audit.log');
  const clock = new VirtualClock();
  const series = { path, key: KEY, fileBytesMax: 500, filesMax: 4, expected: null, clock, log: silentLog };
  await using log = await AuditSeries.open(series);
  for (let number = 0; number < 12; number += 1) await log.append({ number, text: 'x'.repeat(100) });
  const before = await seriesFiles(path);
  assert.equal(before.length, 4);
  const newest = await readFile(path, 'utf8');
  {
    using _ = noMoreFiles();
    for (let number = 0; number < 8; number += 1) await log.append({ number, text: 'y'.repeat(100) });
  }
  assert.equal(await readFile(`${path}.1`, 'utf8'), newest);
  assert.equal((await seriesFiles(path)).length, 3, 'the oldest went, as it does for a new file, and no other');
  await log.append({ number: 9 });
  await log.flushed();
  const { problems } = await verifySeries({ path, key: KEY, filesMax: 4, expected: [log.head] });
  assert.deepEqual(problems, []);
});

test('a file that is full while the files are looked at leaves none of them out', async () => {
  const path = join(scratchDirectory('audit-race'), 'audit.log');
  const clock = new VirtualClock();
  const series = { path, key: KEY, fileBytesMax: 500, filesMax: 9, expected: null, clock, log: silentLog };
  await using log = await AuditSeries.open(series);
  while ((await seriesFiles(path)).length < 3) await log.append({ text: 'x'.repeat(100) });
  const before = await files.readdir(dirname(path));
  while ((await seriesFiles(path)).length < 4) await log.append({ text: 'x'.repeat(100) });
  const mocked = mock.method(files, 'readdir', async () => before);
  syncBuiltinESMExports();
  try {
    const { problems, fileCount } = await verifySeries({ path, key: KEY, filesMax: 9, expected: [log.head] });
    assert.deepEqual([problems, fileCount], [[], 4]);
  } finally {
    mocked.mock.restore();
    syncBuiltinESMExports();
  }
});
