import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { TEST_ACCOUNT, TEST_ACCOUNT_OTHER, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { InlineSealPool } from '#chunk/inline-seal-pool.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import type { AccountId, SnapshotId } from '#domain/ids.ts';

import { openSnapshotStore } from './object-snapshot-store.ts';
import { ContentFile, contentNumber, snapshotId, testLabel, testWrite } from './snapshot-store.fixture.ts';
import type { SnapshotCopy, SnapshotStore } from './snapshot-store.ts';

const COUNT = 120;
const content = new ContentFile(20);
const [source, near, far] = [snapshotId(1), snapshotId(2), snapshotId(3)];

async function openStore(spoolDirectory: string): Promise<SnapshotStore> {
  const random = new SeededRandom(11);
  return await openSnapshotStore({
    objects: new MemoryStore(),
    indexPath: ':memory:',
    masterKey: TEST_MASTER_KEY,
    random,
    log: silentLog,
    clock: new VirtualClock(),
    spoolDirectory,
    pool: new InlineSealPool({ masterKey: TEST_MASTER_KEY, random }),
  });
}

function copyJob(snapshot: SnapshotId, account: AccountId, some: Partial<SnapshotCopy> = {}): SnapshotCopy {
  return {
    label: { ...testLabel(snapshot, 300), account },
    source,
    signal: new AbortController().signal,
    onProgress: () => {},
    ...some,
  };
}

/** More chunks than the spool has room for, some of zeros, one at the end. */
async function writeSource(store: SnapshotStore): Promise<ReadonlyMap<number, number>> {
  const changes = new Map(Array.from({ length: COUNT }, (_, at) => [2 * at, at % 20] as const));
  changes.set(299, 3);
  await store.write(testWrite(content, { snapshot: source, chunkCount: 300, changes, keepZeroChunks: true }));
  return changes;
}

async function numbersOf(store: SnapshotStore, snapshot: SnapshotId): Promise<ReadonlyMap<number, number>> {
  using held = await store.hold(snapshot);
  const numbers = new Map<number, number>();
  for (const { index } of (await store.listBlocks(snapshot, 0, 1000)).blocks) {
    const chunk = await store.readChunk(held.account, held.root, index);
    assert.ok(chunk !== null);
    numbers.set(index, contentNumber(chunk.bytes));
  }
  return numbers;
}

test('a copy holds what its source does, shared within an account and sealed anew for another', async () => {
  const spoolDirectory = join(scratchDirectory('copy'), 'spool');
  await using store = await openStore(spoolDirectory);
  const expected = await writeSource(store);
  const shared = await store.copy(copyJob(near, TEST_ACCOUNT));
  assert.deepEqual([shared.changedBytes, shared.storedBytes], [0, 0]);
  assert.equal(existsSync(spoolDirectory), false, 'nothing is spooled within an account');
  const progress: number[] = [];
  const sealed = await store.copy(
    copyJob(far, TEST_ACCOUNT_OTHER, { onProgress: ({ doneCount }) => progress.push(doneCount) }),
  );
  assert.equal(sealed.fullBytes, shared.fullBytes);
  assert.equal(sealed.changedBytes, shared.fullBytes);
  assert.equal(progress.at(-1), expected.size);
  assert.deepEqual(
    progress,
    progress.toSorted((a, b) => a - b),
  );
  assert.deepEqual(readdirSync(spoolDirectory), [], 'the spool goes with the copy');
  const keys = async (snapshot: SnapshotId): Promise<ReadonlySet<string>> =>
    new Set((await store.listBlocks(snapshot, 0, 1000)).blocks.map(({ key }) => key));
  assert.deepEqual(await keys(near), await keys(source));
  assert.equal((await keys(far)).intersection(await keys(source)).size, 0);
  // Both stand by themselves.
  await store.deleteManifest(source);
  await store.collect({ extraRoots: () => [], signal: new AbortController().signal });
  assert.deepEqual(await numbersOf(store, near), expected);
  assert.deepEqual(await numbersOf(store, far), expected);
});

test('nothing of an account lies open in the spool', async () => {
  const spoolDirectory = join(scratchDirectory('copy'), 'spool');
  await using store = await openStore(spoolDirectory);
  await writeSource(store);
  const spooled: Buffer[] = [];
  await store.copy(
    copyJob(far, TEST_ACCOUNT_OTHER, {
      onProgress: () =>
        spooled.push(...readdirSync(spoolDirectory).map((name) => readFileSync(join(spoolDirectory, name)))),
    }),
  );
  assert.ok(spooled.length > 10);
  const plain = readFileSync(content.source(0).path);
  const marker = plain.subarray(content.source(3).offset, content.source(3).offset + 4096);
  assert.ok(spooled.every((bytes) => !bytes.includes(marker)));
});

test('a copy whose source goes on being deleted is completed; one without a source is refused', async () => {
  const spoolDirectory = join(scratchDirectory('copy'), 'spool');
  await using store = await openStore(spoolDirectory);
  const expected = await writeSource(store);
  let isDeleted = false;
  await store.copy(
    copyJob(far, TEST_ACCOUNT_OTHER, {
      onProgress: () => {
        if (isDeleted) return;
        isDeleted = true;
        void store
          .deleteManifest(source)
          .then(() => store.collect({ extraRoots: () => [], signal: new AbortController().signal }));
      },
    }),
  );
  assert.deepEqual(await numbersOf(store, far), expected);
  await assert.rejects(
    store.copy(copyJob(near, TEST_ACCOUNT)),
    (error) => error instanceof StoreError && error.kind === 'snapshot-not-found',
  );
  // What is there already is answered.
  assert.equal((await store.copy(copyJob(far, TEST_ACCOUNT_OTHER))).label.snapshot, far);
});

test('a copy that is aborted leaves no snapshot and no spool, and can be made again', async () => {
  const spoolDirectory = join(scratchDirectory('copy'), 'spool');
  await using store = await openStore(spoolDirectory);
  const expected = await writeSource(store);
  const abort = new AbortController();
  const job = copyJob(far, TEST_ACCOUNT_OTHER, {
    signal: abort.signal,
    onProgress: ({ doneCount }) => {
      if (doneCount > 30) abort.abort(new StoreError('aborted', 'enough'));
    },
  });
  await assert.rejects(store.copy(job), (error) => error instanceof StoreError && error.kind === 'aborted');
  assert.equal(await store.read(far), null);
  assert.deepEqual(readdirSync(spoolDirectory), []);
  await store.copy(copyJob(far, TEST_ACCOUNT_OTHER));
  assert.deepEqual(await numbersOf(store, far), expected);
});
