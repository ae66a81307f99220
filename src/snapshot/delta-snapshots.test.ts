/** Snapshots whose chunks are stored as deltas of the base's: hints, and damage against a model. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { silentLog, type Log } from '#base/log.ts';
import { SeededRandom, systemRandom } from '#base/random.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { emptyBlockSet } from '#chunk/block-set.ts';
import { TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { parsePackObjectKey, readPackEntries } from '#chunk/pack.ts';
import { accountKeys, addressOf } from '#chunk/seal.ts';
import type { SnapshotId } from '#domain/ids.ts';

import type { Manifest } from './manifest.ts';
import { MemoSealPool } from './memo-seal-pool.fixture.ts';
import { openSnapshotStore } from './object-snapshot-store.ts';
import { ContentFile, contentOf, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import type { TreeRoot } from './tree.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);
const DURATION_MS = Number(process.env['VARVE_FUZZ_MS'] ?? 3_000);
const CONTENT_COUNT = 160;
const CHUNK_COUNT = 300;
const INDEX_COUNT = 8;

const content = new ContentFile(CONTENT_COUNT);
const keys = accountKeys(TEST_MASTER_KEY, TEST_ACCOUNT);
const keyOf = (n: number): string => addressOf(keys, 'chunk', contentOf(n)).toString('hex');
const isChecked = (n: number): boolean => Number.parseInt(keyOf(n).slice(0, 2), 16) % 64 === 0;
const numbers = Array.from({ length: CONTENT_COUNT - 1 }, (_, at) => at + 1);
const pool = new MemoSealPool({ masterKey: TEST_MASTER_KEY, random: systemRandom });

/** The last block: where any two contents differ. */
const lastBlock = emptyBlockSet();
lastBlock[3] = 0x80000000;
const firstBlock = emptyBlockSet();
firstBlock[0] = 1;
/** Where a content differs from zeros, too. */
const bothBlocks = lastBlock.map((word, at) => word | (firstBlock[at] ?? 0));

async function assertContent(
  store: SnapshotStore,
  root: TreeRoot,
  expected: ReadonlyMap<number, number>,
): Promise<void> {
  for (const [index, n] of expected) {
    const chunk = await store.readChunk(TEST_ACCOUNT, root, index);
    assert(present(chunk, 'a chunk').bytes.equals(contentOf(n)), `chunk ${index}`);
  }
}

test('with right hints an increment costs its blocks', async () => {
  await using store = await openTestStore(new MemoryStore());
  const changes = new Map(numbers.slice(0, 40).map((n) => [n, n]));
  const first = await store.write(testWrite(content, { snapshot: snapshotId(1), chunkCount: CHUNK_COUNT, changes }));
  const next = new Map(numbers.slice(0, 40).map((n) => [n, n + 50]));
  const options = { snapshot: snapshotId(2), chunkCount: CHUNK_COUNT, base: first.root, changes: next };
  const second = await store.write(testWrite(content, { ...options, changedBlocks: lastBlock }));
  assert(second.storedBytes < 40 * 300 + 20_000, `${second.storedBytes} bytes`);
  await assertContent(store, second.root, next);
});

test('a wrong hint is told loudly, and the snapshot is right all the same', async () => {
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (event) => void errors.push(event) };
  const random = new SeededRandom(1);
  await using store = await openSnapshotStore({
    ...{ objects: new MemoryStore(), indexPath: ':memory:', masterKey: TEST_MASTER_KEY, random, log, pool },
    clock: new VirtualClock(),
  });
  const checked = present(numbers.find(isChecked), 'a content whose hint is checked');
  const next = new Map([...numbers.filter((n) => n !== checked).slice(0, 20), checked].map((n, at) => [at, n]));
  const changes = new Map([...next.keys()].map((at) => [at, present(numbers[at + 100], 'a content')]));
  const first = await store.write(testWrite(content, { snapshot: snapshotId(1), chunkCount: CHUNK_COUNT, changes }));
  const done: number[] = [];
  const options = { snapshot: snapshotId(2), chunkCount: CHUNK_COUNT, base: first.root, changes: next };
  const second = await store.write(
    testWrite(content, {
      ...options,
      changedBlocks: firstBlock,
      onProgress: ({ doneCount }) => done.push(doneCount),
    }),
  );
  assert.deepEqual(errors, ['changed blocks not told']);
  assert.deepEqual(
    done,
    done.toSorted((a, b) => a - b),
  );
  assert.equal(done.at(-1), next.size);
  await assertContent(store, second.root, next);
});

test('wrong deltas that an interrupted upload stored are found out by the one that goes on', async () => {
  const objects = new MemoryStore();
  await using store = await openTestStore(objects, { pool });
  const checked = present(numbers.find(isChecked), 'a content whose hint is checked');
  const wanted = numbers.filter((n) => !isChecked(n)).slice(0, 20);
  const from = new Map([...wanted, checked].map((_, at) => [at, present(numbers[at + 100], 'a content')]));
  const base = (
    await store.write(testWrite(content, { snapshot: snapshotId(1), chunkCount: CHUNK_COUNT, changes: from }))
  ).root;
  const unchecked = new Map(wanted.map((n, at) => [at, n]));
  const options = { chunkCount: CHUNK_COUNT, base, changedBlocks: firstBlock };
  // What it would have checked it did not come to; what it stored is found by the next.
  await store.write(testWrite(content, { ...options, snapshot: snapshotId(9), changes: unchecked }));
  await store.deleteManifest(snapshotId(9));
  const all = new Map([...unchecked, [wanted.length, checked]]);
  const { root } = await store.write(testWrite(content, { ...options, snapshot: snapshotId(2), changes: all }));
  await assertContent(store, root, all);
});

/** One store, one thing at a time: snapshots on top of each other, damage on the disk, and what heals it. */
class DamagedWorld {
  readonly random: SeededRandom;
  readonly disk = new MemoryStore();
  readonly snapshots = new Map<SnapshotId, { readonly manifest: Manifest; readonly content: Map<number, number> }>();
  readonly counts = { wrote: 0, deltas: 0, damaged: 0, found: 0, healed: 0, rebuilt: 0, deletedChunks: 0 };
  readonly #indexPath: string;
  #store: SnapshotStore | null = null;
  #last: SnapshotId | null = null;
  #nextId = 1;
  /** Addresses of records that were damaged and not stored again since. */
  readonly damaged = new Set<string>();
  /** All that ever were: a pack keeps its dead records, and an index made anew brings them back. */
  readonly #everDamaged = new Set<string>();

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.#indexPath = join(content.directory, `damaged-${seed}.db`);
  }

  get store(): SnapshotStore {
    return present(this.#store, 'an open store');
  }

  async open(): Promise<void> {
    this.#store = await openTestStore(this.disk, {
      indexPath: this.#indexPath,
      seed: this.random.below(1_000_000),
      pool,
    });
  }

  async reopen(isIndexLost: boolean): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    if (isIndexLost) {
      for (const suffix of ['', '-wal', '-shm']) rmSync(`${this.#indexPath}${suffix}`, { force: true });
      this.counts.rebuilt += 1;
      for (const key of this.#everDamaged) this.damaged.add(key);
    }
    await this.open();
  }

  /** A snapshot on top of the last one, or of none. */
  async write(isWhole: boolean): Promise<void> {
    const base = isWhole || this.#last === null ? undefined : this.snapshots.get(this.#last);
    const wanted = new Map(this.#last === null ? [] : this.snapshots.get(this.#last)?.content);
    const changes = new Map<number, number>(base === undefined ? wanted : []);
    for (let count = 1 + this.random.below(4); count > 0; count -= 1) {
      const [index, n] = [this.random.below(INDEX_COUNT), 1 + this.random.below(CONTENT_COUNT - 1)];
      wanted.set(index, n);
      changes.set(index, n);
    }
    const snapshot = snapshotId((this.#nextId += 1));
    const hint = this.random.below(2) === 0 ? {} : { changedBlocks: bothBlocks };
    const options = { snapshot, chunkCount: CHUNK_COUNT, base: base?.manifest.root ?? null, changes };
    const manifest = await this.store.write(testWrite(content, { ...options, ...hint }));
    this.snapshots.set(snapshot, { manifest, content: wanted });
    this.#last = snapshot;
    this.counts.wrote += 1;
  }

  async delete(): Promise<void> {
    const [snapshot] = [...this.snapshots.keys()].toSorted(() => this.random.below(3) - 1);
    if (snapshot === undefined) return;
    await this.store.deleteManifest(snapshot);
    this.snapshots.delete(snapshot);
    if (snapshot === this.#last) this.#last = null;
  }

  async collect(): Promise<void> {
    try {
      const report = await this.store.collect({ extraRoots: () => [], signal: new AbortController().signal });
      this.counts.deletedChunks += report.deletedChunks;
    } catch (error) {
      assert(this.damaged.size > 0 && error instanceof StoreError && error.kind === 'damaged', String(error));
    }
  }

  /** Flips a bit of a chunk or delta on the disk. */
  async damage(): Promise<void> {
    const packs: string[] = [];
    for await (const { key } of this.disk.list('packs/')) packs.push(key);
    const objectKey = packs[this.random.below(packs.length)];
    const name = objectKey === undefined ? null : parsePackObjectKey(objectKey);
    if (objectKey === undefined || name === null) return;
    const pack = present(await this.disk.get(objectKey), 'a pack');
    const entries = await readPackEntries(name, pack.length, async (at, length) => pack.subarray(at, at + length));
    const chunks = entries.filter(({ kind }) => kind !== 'node');
    const chunk = chunks[this.random.below(chunks.length)];
    if (chunk === undefined) return;
    const at = chunk.offset + this.random.below(chunk.length);
    pack.writeUInt8(pack.readUInt8(at) ^ (1 << this.random.below(8)), at);
    await this.disk.put(objectKey, [pack]);
    this.damaged.add(chunk.key.toString('hex'));
    this.#everDamaged.add(chunk.key.toString('hex'));
    this.counts.damaged += 1;
  }

  /** Reads everything: the right bytes, or damage of a record that was damaged. Answers how many chunks are not to be had. */
  async readAll(): Promise<number> {
    let lostCount = 0;
    for (const { manifest, content: expected } of this.snapshots.values()) {
      for (const [index, n] of expected) {
        try {
          const chunk = await this.store.readChunk(TEST_ACCOUNT, manifest.root, index);
          assert(present(chunk, 'a chunk').bytes.equals(contentOf(n)), `chunk ${index}`);
        } catch (error) {
          assert(error instanceof StoreError && error.kind === 'damaged', String(error));
          const named = error.message.match(/[0-9a-f]{64}/g) ?? [];
          assert(
            named.some((key) => this.damaged.has(key)),
            error.message,
          );
          lostCount += 1;
        }
      }
    }
    this.counts.found += lostCount;
    return lostCount;
  }

  /** Uploads every content that is needed once more, as whoever still has it would; afterwards nothing is lost. */
  async heal(): Promise<void> {
    // What is in memory says nothing about the disk.
    await this.reopen(false);
    await this.readAll();
    const needed = new Set<number>();
    for (const { content: held } of this.snapshots.values()) for (const n of held.values()) needed.add(n);
    const changes = new Map([...needed].map((n, index) => [index, n]));
    const snapshot = snapshotId((this.#nextId += 1));
    const base = this.#last === null ? null : (this.snapshots.get(this.#last)?.manifest.root ?? null);
    await this.store.write(
      testWrite(content, {
        snapshot,
        chunkCount: CHUNK_COUNT,
        base: this.random.below(2) === 0 ? base : null,
        changes,
      }),
    );
    await this.store.deleteManifest(snapshot);
    this.counts.healed += 1;
    assert.equal(await this.readAll(), 0);
    for (const n of needed) this.damaged.delete(keyOf(n));
  }

  async countDeltas(): Promise<void> {
    for await (const { key } of this.disk.list('packs/')) {
      const name = present(parsePackObjectKey(key), 'a pack');
      const pack = present(await this.disk.get(key), 'a pack');
      const entries = await readPackEntries(name, pack.length, async (at, length) => pack.subarray(at, at + length));
      this.counts.deltas += entries.filter(({ kind }) => kind === 'delta').length;
    }
  }
}

async function run(seed: number): Promise<DamagedWorld['counts']> {
  const world = new DamagedWorld(seed);
  await world.open();
  for (let step = 0; step < 120; step += 1) {
    const dice = world.random.below(100);
    if (dice < 40) await world.write(dice < 3);
    else if (dice < 52) await world.delete();
    else if (dice < 64) await world.collect();
    else if (dice < 72) await world.damage();
    else if (dice < 80) await world.readAll();
    else if (dice < 90) await world.heal();
    else if (dice < 97) await world.reopen(dice < 95);
    else await world.countDeltas();
  }
  await world.heal();
  await world.collect();
  await world.readAll();
  await world.store[Symbol.asyncDispose]();
  return world.counts;
}

test(`damage is found or healed and never served, whatever rests on it (seed ${SEED})`, async (context) => {
  const end = systemClock.monotonicMs() + DURATION_MS;
  const total: Record<string, number> = {};
  let seed = SEED;
  for (; systemClock.monotonicMs() < end; seed += 1) {
    try {
      for (const [name, count] of Object.entries(await run(seed))) total[name] = (total[name] ?? 0) + count;
    } catch (error) {
      throw new Error(`VARVE_SEED=${seed}`, { cause: error });
    }
  }
  context.diagnostic(JSON.stringify({ runs: seed - SEED, ...total }));
});
