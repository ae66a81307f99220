/**
 * Sizes against a full recount: snapshots are written (many of their chunks as deltas), deleted in any order, and volumes
 * live on some of them; the store is collected, closed and opened, and the counts are put back to what they were at any
 * earlier moment, also in the middle of counting. Whenever they are asked for, they are those of the recount.
 */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { checkPack, parsePackObjectKey } from '#chunk/pack.ts';
import { accountKeys, unsealRecord } from '#chunk/seal.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { ContentFile, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import { FAN_OUT, TreeNode, type Child } from './tree-node.ts';
import { rootChild, type TreeRoot } from './tree.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);
const DURATION_MS = Number(process.env['VARVE_FUZZ_MS'] ?? 4_000);
const STEPS_PER_RUN = 120;
const CONTENT_COUNT = 80;
const CHUNK_COUNT = 600;
const content = new ContentFile(CONTENT_COUNT);

/** A record as the index names it. */
interface IndexedRecord {
  readonly length: number;
  readonly base: string | null;
}

class World {
  readonly random: SeededRandom;
  readonly objects = new MemoryStore();
  readonly snapshots = new Map<SnapshotId, { readonly root: TreeRoot; readonly newBytes: number }>();
  readonly volumes = new Map<string, TreeRoot>();
  readonly counts = { wrote: 0, deltas: 0, deleted: 0, collected: 0, putBack: 0, checked: 0, shared: 0 };
  readonly #paths: { readonly index: string; readonly sizes: string; readonly old: string };
  readonly #keys = accountKeys(TEST_MASTER_KEY, TEST_ACCOUNT);
  /** Plaintext of nodes, by key. */
  readonly #nodes = new Map<string, Buffer>();
  store!: SnapshotStore;
  #seed: number;
  #nextId = 1;
  #hasOld = false;

  constructor(seed: number) {
    this.#seed = seed;
    this.random = new SeededRandom(seed);
    const path = (name: string): string => join(content.directory, `${name}-${seed}.db`);
    this.#paths = { index: path('index'), sizes: path('sizes'), old: path('old') };
  }

  async open(): Promise<void> {
    this.#seed += 1;
    const { index, sizes } = this.#paths;
    this.store = await openTestStore(this.objects, { indexPath: index, sizesPath: sizes, seed: this.#seed });
  }

  async write(): Promise<void> {
    const parents = [...this.snapshots.values()];
    const base = parents.length > 0 && this.random.below(5) > 0 ? this.pick(parents).root : null;
    const changes = new Map<number, number | null>();
    // Near each other, so that leaves are shared by some snapshots and not by others.
    const near = this.random.below(3) * FAN_OUT;
    for (let count = this.random.below(12); count >= 0; count -= 1) {
      const index = Math.min(CHUNK_COUNT - 1, near + this.random.below(this.random.below(4) === 0 ? 60 : 4));
      changes.set(index, this.random.below(8) === 0 ? null : 1 + this.random.below(CONTENT_COUNT - 1));
    }
    const snapshot = snapshotId((this.#nextId += 1));
    const manifest = await this.store.write(testWrite(content, { snapshot, chunkCount: CHUNK_COUNT, base, changes }));
    this.snapshots.set(snapshot, { root: manifest.root, newBytes: manifest.storedBytes });
    this.counts.wrote += 1;
  }

  async delete(): Promise<void> {
    if (this.snapshots.size === 0) return;
    const snapshot = this.pick([...this.snapshots.keys()]);
    await this.store.deleteManifest(snapshot);
    this.snapshots.delete(snapshot);
    this.counts.deleted += 1;
  }

  restore(): void {
    if (this.snapshots.size === 0 || this.volumes.size > 3) return;
    this.volumes.set(`vol-${(this.#nextId += 1)}`, this.pick([...this.snapshots.values()]).root);
  }

  drop(): void {
    if (this.volumes.size > 0) this.volumes.delete(this.pick([...this.volumes.keys()]));
  }

  async collect(): Promise<void> {
    const extraRoots = () => [...this.volumes.values()].map((root) => ({ account: TEST_ACCOUNT, root }));
    await this.store.collect({ extraRoots, signal: new AbortController().signal });
    this.counts.collected += 1;
  }

  /** The counts as they are now, perhaps unfinished. */
  keepOld(): void {
    copyDatabase(this.#paths.sizes, this.#paths.old);
    this.#hasOld = true;
  }

  async reopen(): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    if (this.#hasOld && this.random.below(2) === 0) {
      copyDatabase(this.#paths.old, this.#paths.sizes);
      this.counts.putBack += 1;
    }
    if (this.random.below(6) === 0) rmSync(this.#paths.index);
    await this.open();
  }

  /** What some of them free when they go together. */
  async #checkTogether(
    volumes: Parameters<typeof this.store.freedBytes>[1],
    needs: ReadonlyMap<string, ReadonlySet<string>>,
    lengthOf: (key: string) => number,
  ): Promise<void> {
    const some = [...this.snapshots.keys()].filter(() => this.random.below(2) === 0);
    const gone = new Set<string>(some);
    const needed = new Set<string>();
    for (const [name, keys] of needs) if (!gone.has(name)) for (const key of keys) needed.add(key);
    const freed = new Set(
      some.flatMap((name) => [...present(needs.get(name), 'a snapshot')]).filter((key) => !needed.has(key)),
    );
    let bytes = 0;
    for (const key of freed) bytes += lengthOf(key);
    for (const name of some) bytes += present(await this.objects.get(`snapshots/${name}`), 'a manifest').length;
    assert.equal(await this.store.freedBytes(some, volumes), bytes);
  }

  /** Asks, and counts again. */
  async check(): Promise<void> {
    const volumes = [...this.volumes].map(([volume, root]) => ({ volume, account: TEST_ACCOUNT, root }));
    const sizes = await this.store.sizes([...this.snapshots.keys()], volumes);
    const total = await this.store.storeSize();
    const records = this.#indexed();
    await this.#readNodes();
    const needs = new Map<string, ReadonlySet<string>>();
    for (const [snapshot, { root }] of this.snapshots) needs.set(snapshot, this.#closure(root, records));
    for (const [volume, root] of this.volumes) needs.set(volume, this.#closure(root, records));
    const needers = new Map<string, number>();
    for (const keys of needs.values()) for (const key of keys) needers.set(key, (needers.get(key) ?? 0) + 1);
    const lengthOf = (key: string): number => present(records.get(key), 'a record').length;

    assert.equal(sizes.length, this.snapshots.size);
    let manifestBytes = 0;
    let fullBytes = 0;
    for (const size of sizes) {
      const manifest = present(await this.objects.get(`snapshots/${size.snapshot}`), 'a manifest');
      let exclusiveBytes = manifest.length;
      let sharedBytes = 0;
      for (const key of present(needs.get(size.snapshot), 'a snapshot')) {
        if (needers.get(key) === 1) exclusiveBytes += lengthOf(key);
        else sharedBytes += lengthOf(key);
      }
      const known = present(this.snapshots.get(size.snapshot), 'a snapshot');
      const full = known.root.presentCount * CHUNK_BYTES;
      const expected = {
        snapshot: size.snapshot,
        fullBytes: full,
        newBytes: known.newBytes,
        exclusiveBytes,
        sharedBytes,
      };
      assert.deepEqual(size, expected);
      manifestBytes += manifest.length;
      fullBytes += full;
      if (sharedBytes > 0 && exclusiveBytes > manifest.length) this.counts.shared += 1;
    }
    await this.#checkTogether(volumes, needs, lengthOf);
    let neededBytes = manifestBytes;
    for (const key of needers.keys()) neededBytes += lengthOf(key);
    let storedBytes = 0;
    for await (const { key, sizeBytes } of this.objects.list('')) {
      if (key.startsWith('packs/') || key.startsWith('snapshots/')) storedBytes += sizeBytes;
    }
    assert.deepEqual(total, { snapshotCount: this.snapshots.size, fullBytes, neededBytes, storedBytes });
    this.counts.checked += 1;
    this.counts.deltas += [...needers.keys()].filter((key) => records.get(key)?.base !== null).length;
  }

  #indexed(): ReadonlyMap<string, IndexedRecord> {
    const database = new DatabaseSync(this.#paths.index, { readOnly: true });
    const rows = database.prepare('SELECT hex(key) AS key, length, hex(base) AS base FROM record').all();
    database.close();
    return new Map(
      rows.map((row) => {
        const base = String(row['base']).toLowerCase();
        const record = { length: Number(row['length']), base: base === '' ? null : base };
        return [String(row['key']).toLowerCase(), record];
      }),
    );
  }

  async #readNodes(): Promise<void> {
    for await (const { key } of this.objects.list('packs/')) {
      const name = present(parsePackObjectKey(key), 'a pack');
      const pack = present(await this.objects.get(key), 'a pack');
      for (const entry of checkPack(this.#keys, name, pack)) {
        const text = entry.key.toString('hex');
        if (entry.kind !== 'node' || this.#nodes.has(text)) continue;
        const record = pack.subarray(entry.offset, entry.offset + entry.length);
        this.#nodes.set(text, unsealRecord(this.#keys, 'node', entry.key, record));
      }
    }
  }

  /** Every record that a root needs. */
  #closure(root: TreeRoot, records: ReadonlyMap<string, IndexedRecord>): ReadonlySet<string> {
    const keys = new Set<string>();
    const visit = (child: Child, level: number): void => {
      const text = child.key.toString('hex');
      keys.add(text);
      if (level < 0) {
        for (let base = records.get(text)?.base ?? null; base !== null; base = records.get(base)?.base ?? null) {
          keys.add(base);
        }
        return;
      }
      const node = TreeNode.parse(present(this.#nodes.get(text), 'a node'), level);
      for (let slot = 0; slot < FAN_OUT; slot += 1) {
        const below = node.child(slot);
        if (below !== null) visit(below, level - 1);
      }
    };
    const top = rootChild(root);
    if (top !== null) visit(top, root.depth - 1);
    return keys;
  }

  pick<T>(items: readonly T[]): T {
    return present(items[this.random.below(items.length)], 'an item');
  }
}

function copyDatabase(from: string, to: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${to}${suffix}`, { force: true });
  copyFileSync(from, to);
  if (existsSync(`${from}-wal`)) copyFileSync(`${from}-wal`, `${to}-wal`);
}

async function run(seed: number): Promise<World['counts']> {
  const world = new World(seed);
  await world.open();
  for (let step = 0; step < STEPS_PER_RUN; step += 1) {
    const dice = world.random.below(100);
    if (dice < 40) await world.write();
    else if (dice < 60) await world.delete();
    else if (dice < 66) world.restore();
    else if (dice < 71) world.drop();
    else if (dice < 77) await world.collect();
    else if (dice < 82) await world.reopen();
    else if (dice < 88) {
      for (let turns = world.random.below(30); turns > 0; turns -= 1) await nextTurn();
      world.keepOld();
    } else await world.check();
  }
  await world.check();
  await world.store[Symbol.asyncDispose]();
  return world.counts;
}

test(`sizes are those of a full recount, whatever came and went (seed ${SEED})`, async (context) => {
  const end = systemClock.monotonicMs() + DURATION_MS;
  const total: Record<string, number> = {};
  let seed = SEED;
  for (; systemClock.monotonicMs() < end; seed += 1000) {
    try {
      for (const [name, count] of Object.entries(await run(seed))) total[name] = (total[name] ?? 0) + count;
    } catch (error) {
      throw new Error(`VARVE_SEED=${seed}`, { cause: error });
    }
  }
  for (const [name, count] of Object.entries(total)) assert(count > 0, `${name} never happened`);
  context.diagnostic(JSON.stringify({ runs: (seed - SEED) / 1000, ...total }));
});
