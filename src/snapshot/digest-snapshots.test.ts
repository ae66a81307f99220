/** Snapshots of volumes whose digests are remembered from one to the next, against what the volumes held. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog, type Log } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { BLOCK_COUNT, emptyBlockSet, type BlockSet } from '#chunk/block-set.ts';
import { TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { InlineSealPool } from '#chunk/inline-seal-pool.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { isHintChecked } from '#chunk/read-batch.ts';
import type { Claim, SealBatch, SealedChunk } from '#chunk/seal-pool.ts';
import { accountKeys, addressOf } from '#chunk/seal.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { openSnapshotStore } from './object-snapshot-store.ts';
import { snapshotId, testLabel } from './snapshot-store.fixture.ts';
import type { ChunkChange, SnapshotStore } from './snapshot-store.ts';
import type { TreeRoot } from './tree.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);
const STEP_COUNT = 60;
const CHUNK_COUNT = 5;
const directory = scratchDirectory('digest-snapshots');
const keys = accountKeys(TEST_MASTER_KEY, TEST_ACCOUNT);

function addBlock(set: BlockSet, block: number): void {
  set[block >>> 5] = (set[block >>> 5] as number) | (1 << (block & 31));
}

/** A volume as a file that is copied at each cut, so that what is uploaded does not change. */
class TestVolume {
  content: Buffer = Buffer.alloc(CHUNK_COUNT * CHUNK_BYTES);
  /** Written since the last snapshot, by chunk. */
  marks = new Map<number, BlockSet>();
  last: { readonly snapshot: SnapshotId; readonly root: TreeRoot } | null = null;
  readonly digestPath: string;

  constructor(digestPath: string) {
    this.digestPath = digestPath;
  }

  write(block: number, bytes: Buffer): void {
    bytes.copy(this.content, block * BLOCK_BYTES);
    const index = Math.floor(block / BLOCK_COUNT);
    const set = this.marks.get(index) ?? emptyBlockSet();
    addBlock(set, block % BLOCK_COUNT);
    this.marks.set(index, set);
  }

  changes(path: string, isKnown: boolean): readonly ChunkChange[] {
    const indexes =
      this.last === null ? [...Array(CHUNK_COUNT).keys()] : [...this.marks.keys()].toSorted((a, b) => a - b);
    return indexes.map((index) => ({
      index,
      source: { path, offset: index * CHUNK_BYTES },
      changedBlocks: isKnown ? (this.marks.get(index) ?? emptyBlockSet()) : null,
    }));
  }
}

let cutCount = 0;

async function snapshotOf(store: SnapshotStore, volume: TestVolume, isKnown = true): Promise<number> {
  const path = join(directory, `cut-${(cutCount += 1)}`);
  writeFileSync(path, volume.content);
  const snapshot = snapshotId(cutCount);
  const items = volume.changes(path, isKnown);
  const manifest = await store.write({
    label: testLabel(snapshot, CHUNK_COUNT),
    base: volume.last?.root ?? null,
    keepZeroChunks: false,
    changes: { count: items.length, items },
    digestPath: volume.digestPath,
    signal: new AbortController().signal,
    onProgress: () => {},
  });
  rmSync(path);
  volume.last = { snapshot, root: manifest.root };
  volume.marks = new Map();
  await assertReads(store, manifest.root, volume.content);
  return manifest.storedBytes;
}

async function assertReads(store: SnapshotStore, root: TreeRoot, content: Buffer): Promise<void> {
  for (let index = 0; index < CHUNK_COUNT; index += 1) {
    const expected = content.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
    const chunk = await store.readChunk(TEST_ACCOUNT, root, index);
    assert((chunk?.bytes ?? Buffer.alloc(CHUNK_BYTES)).equals(expected), `chunk ${index}`);
    const key = expected.equals(Buffer.alloc(CHUNK_BYTES)) ? null : addressOf(keys, 'chunk', expected).toString('hex');
    assert.equal(chunk?.key ?? null, key, `chunk ${index} has the address of its content`);
  }
}

function openStore(pool: InlineSealPool, log: Log = silentLog): Promise<SnapshotStore> {
  const random = new SeededRandom((cutCount += 1));
  return openSnapshotStore({
    ...{ objects: new MemoryStore(), indexPath: ':memory:', masterKey: TEST_MASTER_KEY, random, log, pool },
    clock: new VirtualClock(),
  });
}

const newPool = (seed: number): InlineSealPool =>
  new InlineSealPool({ masterKey: TEST_MASTER_KEY, random: new SeededRandom(seed) });

test('an increment stores the blocks that changed, and nothing where the same was written again', async () => {
  await using store = await openStore(newPool(1));
  const random = new SeededRandom(2);
  const volume = new TestVolume(join(directory, 'digests-1'));
  for (let block = 0; block < 3 * BLOCK_COUNT; block += 1) volume.write(block, random.bytes(BLOCK_BYTES));
  const first = await snapshotOf(store, volume);
  assert(first > 3 * CHUNK_BYTES);
  volume.write(5, random.bytes(BLOCK_BYTES));
  volume.write(6, volume.content.subarray(6 * BLOCK_BYTES, 7 * BLOCK_BYTES));
  volume.write(100, volume.content.subarray(100 * BLOCK_BYTES, 101 * BLOCK_BYTES));
  volume.write(
    BLOCK_COUNT + 1,
    volume.content.subarray((BLOCK_COUNT + 1) * BLOCK_BYTES, (BLOCK_COUNT + 2) * BLOCK_BYTES),
  );
  const second = await snapshotOf(store, volume);
  // Block 6 is in the segment of block 5, which changed; block 100 is in one that did not. With the nodes of the tree and a pack.
  assert(second > 2 * BLOCK_BYTES && second < 2 * BLOCK_BYTES + 9_500, `${second} bytes`);
});

test('a block that changed untold is found where it is looked for, and the snapshot is right', async () => {
  const errors: string[] = [];
  await using store = await openStore(newPool(3), { ...silentLog, error: (event) => void errors.push(event) });
  const random = new SeededRandom(4);
  const volume = new TestVolume(join(directory, 'digests-2'));
  for (let block = 0; block < BLOCK_COUNT; block += 1) volume.write(block, random.bytes(BLOCK_BYTES));
  await snapshotOf(store, volume);
  // Until what is made of what was told is one of the chunks that are checked.
  do volume.write(7, random.bytes(BLOCK_BYTES));
  while (!isHintChecked(addressOf(keys, 'chunk', volume.content.subarray(0, CHUNK_BYTES))));
  random.bytes(BLOCK_BYTES).copy(volume.content, 50 * BLOCK_BYTES);
  await snapshotOf(store, volume);
  assert.deepEqual(errors, ['changed blocks not told']);
});

/** Counts what was read of files by what was not: chunks that came with what is known of them. */
class WatchedPool extends InlineSealPool {
  knownCount = 0;

  override seal(batch: SealBatch, claim: Claim): Promise<readonly SealedChunk[]> {
    this.knownCount += batch.sources.filter(({ change = null }) => change !== null).length;
    return super.seal(batch, claim);
  }
}

test(`two volumes, one file of digests, snapshots deleted and files lost (seed ${SEED})`, async () => {
  const random = new SeededRandom(SEED);
  const pool = new WatchedPool({ masterKey: TEST_MASTER_KEY, random: new SeededRandom(SEED + 1) });
  await using store = await openStore(pool);
  const digestPath = join(directory, 'digests-3');
  const volumes = [
    new TestVolume(digestPath),
    new TestVolume(digestPath),
    new TestVolume(join(directory, 'digests-4')),
  ];
  const blocks = [Buffer.alloc(BLOCK_BYTES), ...Array.from({ length: 5 }, () => random.bytes(BLOCK_BYTES))];
  for (let step = 0; step < STEP_COUNT; step += 1) {
    const volume = volumes[random.below(volumes.length)] ?? assert.fail();
    for (let count = random.below(1 + 2 ** random.below(9)); count > 0; count -= 1) {
      const bytes =
        random.below(3) === 0 ? random.bytes(BLOCK_BYTES) : (blocks[random.below(blocks.length)] ?? assert.fail());
      volume.write(random.below(CHUNK_COUNT * BLOCK_COUNT), bytes);
    }
    const dice = random.below(20);
    if (dice === 0) rmSync(volume.digestPath, { force: true });
    if (dice === 1) writeFileSync(volume.digestPath, random.bytes(4000));
    if (dice === 2) writeFileSync(volume.digestPath, '');
    if (dice === 3) writeFileSync(join(directory, 'digests-4'), random.bytes(512 * CHUNK_COUNT - 100));
    if (dice === 4 && volume.last !== null) {
      // The base is gone, and so is all that is known since.
      await store.deleteManifest(volume.last.snapshot);
      await store.collect({ extraRoots: () => [], signal: new AbortController().signal });
      volume.last = null;
      await snapshotOf(store, volume, false);
    } else await snapshotOf(store, volume, random.below(8) > 0);
  }
  assert(pool.knownCount > STEP_COUNT / 2);
});
