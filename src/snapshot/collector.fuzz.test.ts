/**
 * The whole store against a model: uploads, deletions, collections, volumes that live on a snapshot, stops, crashes and
 * faults, interleaved call by call. After every step everything that exists restores byte for byte, from the objects alone;
 * at the end, two quiet collections leave nothing that is not needed.
 */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { SeededRandom, systemRandom } from '#base/random.ts';
import { emptyBlockSet } from '#chunk/block-set.ts';
import { TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { FaultStore, type FaultRates } from '#chunk/fault-store.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { ObjectStoreError } from '#chunk/object-store.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { Audit } from './audit.fixture.ts';
import type { AccountRoot } from './holds.ts';
import { MemoSealPool } from './memo-seal-pool.fixture.ts';
import { ScheduledStore } from './scheduled-store.fixture.ts';
import { ContentFile, contentOf, openTestStore, snapshotId, testWrite } from './snapshot-store.fixture.ts';
import type { HeldSnapshot, SnapshotStore } from './snapshot-store.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);
const DURATION_MS = Number(process.env['VARVE_FUZZ_MS'] ?? 4_500);
const CONTENT_COUNT = 160;
const CHUNK_COUNT = 600;
const STEPS_PER_RUN = 400;
/** Things that run at once, at most. */
const CONCURRENCY_MAX = 5;
/** More than an upload takes to its end with all else that runs, mostly. */
const OVERTAKEN_STEPS_MAX = 150;

const content = new ContentFile(CONTENT_COUNT);
const pool = new MemoSealPool({ masterKey: TEST_MASTER_KEY, random: systemRandom });
const plains = Array.from({ length: CONTENT_COUNT }, (_, n) => contentOf(n));

/** Where any two contents differ. */
const LAST_BLOCK = emptyBlockSet();
LAST_BLOCK[3] = 0x80000000;

type Content = ReadonlyMap<number, number>;

/** `sure`: it must be there, or must not. `maybe`: something failed half-way; looking tells. */
interface KnownSnapshot {
  readonly content: Content;
  state: 'there' | 'maybe' | 'gone';
  /** Something that may change its state runs. */
  busy: boolean;
}

interface Volume {
  content: Content;
  last: SnapshotId | null;
  /** Content when `last` was taken. */
  lastContent: Content;
}

class World {
  readonly random: SeededRandom;
  readonly disk = new MemoryStore();
  readonly audit = new Audit(this.disk);
  readonly snapshots = new Map<SnapshotId, KnownSnapshot>();
  readonly volumes: Volume[] = [1, 2, 3].map(() => ({ content: new Map(), last: null, lastContent: new Map() }));
  /** Volumes made from a snapshot: they keep what they read through. They are on a disk of their own: a crash leaves them. */
  readonly origins = new Map<number, { readonly root: AccountRoot; readonly content: Content }>();
  readonly running = new Set<Promise<void>>();
  readonly stops = new Set<AbortController>();
  readonly indexPath: string;
  faults!: FaultStore;
  scheduled!: ScheduledStore;
  store!: SnapshotStore;
  #nextId = 1;
  #indexCopied = false;
  /** In which everything was found whole. */
  #checkedState = '';
  #seed: number;
  readonly counts = { wrote: 0, deleted: 0, collected: 0, deletedChunks: 0, crashed: 0, adoptedOrigins: 0 };

  constructor(seed: number) {
    this.#seed = seed;
    this.random = new SeededRandom(seed);
    this.indexPath = join(content.directory, `index-${seed}.db`);
  }

  async open(): Promise<void> {
    this.faults = new FaultStore(this.disk, this.random);
    this.scheduled = new ScheduledStore(this.faults, this.random);
    const opening = openTestStore(this.scheduled, { indexPath: this.indexPath, seed: (this.#seed += 1), pool });
    this.store = await this.scheduled.until(opening);
    this.faults.rates = this.pick(FAULTS);
    this.slowSomething();
  }

  slowSomething(): void {
    this.scheduled.slowCalls = this.random.below(4) === 0 ? null : this.pick(SLOW_CALLS);
    this.scheduled.slowStepOneIn = this.pick([20, 60, 600]);
  }

  /** Runs something at the same time as what else runs. Trouble of the store is expected; anything else is not. */
  start(body: () => Promise<void>): void {
    const running: Promise<void> = body()
      .catch((error: unknown) => {
        if (!(error instanceof StoreError) && !(error instanceof ObjectStoreError)) throw error;
      })
      .finally(() => this.running.delete(running));
    this.running.add(running);
    running.catch(() => {}); // Seen when it is awaited.
  }

  async settle(): Promise<void> {
    await this.scheduled.until(Promise.all(this.running), () => this.#checkIfChanged());
    await this.look();
  }

  /** Settles what was unsure. Only when nothing runs. */
  async look(): Promise<void> {
    const there = await this.audit.manifests();
    for (const [snapshot, known] of this.snapshots) {
      if (known.state === 'maybe') known.state = there.has(snapshot) ? 'there' : 'gone';
    }
  }

  upload(): void {
    const volume = this.pick(this.volumes);
    const changed = this.#write(volume);
    const snapshot = snapshotId((this.#nextId += 1));
    const known: KnownSnapshot = { content: volume.content, state: 'maybe', busy: true };
    const base = volume.last;
    const whole = new Map<number, number | null>(volume.content);
    const stop = new AbortController();
    const isHinted = this.random.below(2) === 0;
    this.snapshots.set(snapshot, known);
    this.start(async () => {
      this.stops.add(stop);
      try {
        const held = base === null ? null : await this.#tryHold(base);
        const write = {
          snapshot,
          chunkCount: CHUNK_COUNT,
          base: held?.root ?? null,
          changes: held === null ? whole : changed,
          signal: stop.signal,
          ...(isHinted ? { changedBlocks: LAST_BLOCK } : {}),
        };
        const writing = this.store.write(testWrite(content, write));
        // From its call on, the write keeps its base itself.
        held?.[Symbol.dispose]();
        const manifest = await writing;
        known.state = 'there';
        this.counts.wrote += 1;
        assert.equal(manifest.root.presentCount, known.content.size);
        volume.last = snapshot;
        volume.lastContent = known.content;
      } finally {
        known.busy = false;
        this.stops.delete(stop);
      }
    });
  }

  /** Changes a volume; answers what differs from its last snapshot. */
  #write(volume: Volume): ReadonlyMap<number, number | null> {
    const next = new Map(volume.content);
    for (let count = this.random.below(8); count >= 0; count -= 1) {
      const index = this.random.below(2) === 0 ? this.random.below(12) : 250 + this.random.below(12);
      const n = this.random.below(CONTENT_COUNT);
      if (n === 0) next.delete(index);
      else next.set(index, n);
    }
    volume.content = next;
    const indexes = new Set([...next.keys(), ...volume.lastContent.keys()]);
    const changes = new Map<number, number | null>();
    for (const index of indexes) {
      const n = next.get(index) ?? null;
      if (n !== (volume.lastContent.get(index) ?? null)) changes.set(index, n);
    }
    return changes;
  }

  delete(): void {
    const candidates = [...this.snapshots].filter(([, { busy, state }]) => !busy && state !== 'gone');
    if (candidates.length === 0) return;
    const [snapshot, known] = this.pick(candidates);
    known.state = 'maybe';
    known.busy = true;
    this.start(async () => {
      try {
        await this.store.deleteManifest(snapshot);
        known.state = 'gone';
        this.counts.deleted += 1;
      } finally {
        known.busy = false;
      }
    });
  }

  collect(): void {
    const stop = new AbortController();
    this.stops.add(stop);
    this.start(async () => {
      try {
        const extraRoots = (): AccountRoot[] => [...this.origins.values()].map(({ root }) => root);
        const { deletedChunks } = await this.store.collect({ extraRoots, signal: stop.signal });
        this.counts.collected += 1;
        this.counts.deletedChunks += deletedChunks;
      } finally {
        this.stops.delete(stop);
      }
    });
  }

  /** A collection that begins when the manifest of an upload is all that is left to put, and is mostly done before that is. */
  async overtake(): Promise<void> {
    this.scheduled.slowCalls = 'put snapshots/';
    this.scheduled.slowStepOneIn = 2000;
    this.upload();
    for (let count = 0; count < OVERTAKEN_STEPS_MAX && !this.scheduled.isWaiting('put snapshots/'); count += 1) {
      await this.step();
    }
    this.collect();
  }

  /** A volume made from a snapshot: hold, put it on record, let go. */
  restoreVolume(): void {
    const candidates = [...this.snapshots].filter(([, { state }]) => state !== 'gone');
    if (candidates.length === 0) return;
    const [snapshot, known] = this.pick(candidates);
    const id = (this.#nextId += 1);
    this.start(async () => {
      using held = await this.#tryHold(snapshot);
      if (held === null) return;
      // Something else goes on between.
      await this.store.read(snapshot);
      this.origins.set(id, { root: { account: held.account, root: held.root }, content: known.content });
      this.counts.adoptedOrigins += 1;
    });
  }

  async #tryHold(snapshot: SnapshotId): Promise<HeldSnapshot | null> {
    try {
      return await this.store.hold(snapshot);
    } catch (error) {
      if (error instanceof StoreError && error.kind === 'snapshot-not-found') return null;
      throw error;
    }
  }

  dropVolume(): void {
    const ids = [...this.origins.keys()];
    if (ids.length > 0) this.origins.delete(this.pick(ids));
  }

  stopSomething(): void {
    const stops = [...this.stops];
    if (stops.length > 0) this.pick(stops).abort();
  }

  /** Keeps the index as it is now, for a crash that brings it back. */
  copyIndex(): void {
    copyIndex(this.indexPath, `${this.indexPath}.old`);
    this.#indexCopied = true;
  }

  /** The process dies at this point, or after some more calls to the store. What it had in memory is lost; the index is as it was, as it was some time ago, or gone. */
  async crash(): Promise<void> {
    this.faults.callsLeft = this.random.below(30);
    for (let step = this.random.below(60); step > 0; step -= 1) await this.step();
    this.faults.dead = true;
    await this.settle();
    await this.store[Symbol.asyncDispose]();
    const fate = this.random.below(3);
    if (fate === 1) for (const suffix of ['', '-wal', '-shm']) rmSync(`${this.indexPath}${suffix}`, { force: true });
    if (fate === 2 && this.#indexCopied) copyIndex(`${this.indexPath}.old`, this.indexPath);
    this.counts.crashed += 1;
    await this.open();
  }

  /** One call to the store goes on, and then everything that exists must be whole. */
  async step(): Promise<void> {
    await this.scheduled.step();
    await this.#checkIfChanged();
  }

  async #checkIfChanged(): Promise<void> {
    const state = await this.#state();
    if (state === this.#checkedState) return;
    await this.check();
    this.#checkedState = state;
  }

  /** All that `check` looks at, by name: objects do not change. */
  async #state(): Promise<string> {
    const names: string[] = [];
    for await (const { key } of this.disk.list('')) names.push(key);
    for (const [snapshot, { state }] of this.snapshots) names.push(`${snapshot} ${state}`);
    return [...names, ...this.origins.keys()].join();
  }

  async check(): Promise<ReadonlySet<string>> {
    const records = await this.audit.records();
    const needed = new Set<string>();
    const there = await this.audit.manifests();
    for (const [snapshot, { state, content: expected }] of this.snapshots) {
      const root = there.get(snapshot);
      assert(root !== undefined || state !== 'there', `${snapshot} exists`);
      assert(root === undefined || state !== 'gone', `${snapshot} does not exist`);
      if (root !== undefined) assertContent(await this.audit.restore(root, needed, records), expected);
    }
    for (const { root, content: expected } of this.origins.values()) {
      assertContent(await this.audit.restore(root.root, needed, records), expected);
    }
    return needed;
  }

  /** Everything through the store itself, as a reader would. */
  async readAll(): Promise<void> {
    for (const [snapshot, { state, content: expected }] of this.snapshots) {
      if (state !== 'there') continue;
      const manifest = present(await this.store.read(snapshot), 'a manifest');
      const page = await this.store.listBlocks(snapshot, 0, 10_000);
      assert.deepEqual(
        page.blocks.map(({ index }) => index),
        [...expected.keys()].toSorted((a, b) => a - b),
      );
      for (const index of [...expected.keys()].slice(0, 3)) {
        const chunk = await this.store.readChunk(TEST_ACCOUNT, manifest.root, index);
        assert(chunk?.bytes.equals(present(plains[expected.get(index) ?? 0], 'content')));
      }
    }
  }

  pick<T>(items: readonly T[]): T {
    return present(items[this.random.below(items.length)], 'an item');
  }
}

/** At one instant: nothing else runs meanwhile. */
function copyIndex(from: string, to: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${to}${suffix}`, { force: true });
  copyFileSync(from, to);
  if (existsSync(`${from}-wal`)) copyFileSync(`${from}-wal`, `${to}-wal`);
}

function assertContent(found: Content, expected: Content): void {
  assert.equal(found.size, expected.size);
  for (const [index, n] of found) assert.equal(n, expected.get(index), `chunk ${index}`);
}

const FAULTS: readonly FaultRates[] = [
  {},
  { before: 0.02, after: 0.02 },
  { noSpace: 0.1, before: 0.01 },
  { bitFlip: 0.05, truncated: 0.05 },
  { forgetful: 0.4 },
  { before: 0.02, after: 0.02, noSpace: 0.02, bitFlip: 0.02, truncated: 0.02, forgetful: 0.3 },
];

/** What hangs for a while, so that all else happens between its steps: that a manifest is put, say, after a whole collection. */
const SLOW_CALLS = ['put snapshots/', 'put packs/', 'get ', 'list '];

async function run(seed: number): Promise<World['counts'] & { readonly deltas: number }> {
  const world = new World(seed);
  await world.open();
  for (let step = 0; step < STEPS_PER_RUN; step += 1) {
    const dice = world.random.below(100);
    if (world.running.size < CONCURRENCY_MAX) {
      if (dice < 10) world.upload();
      else if (dice < 18) world.delete();
      else if (dice < 27) world.collect();
      else if (dice < 31) world.restoreVolume();
      else if (dice < 33) world.dropVolume();
      else if (dice < 34) world.stopSomething();
      else if (dice < 36) await world.overtake();
    }
    if (dice === 99) world.faults.rates = world.pick(FAULTS);
    else if (dice === 95) world.slowSomething();
    else if (dice === 98) await world.crash();
    else if (dice === 96) world.copyIndex();
    else if (dice === 97) {
      const { rates } = world.faults;
      world.faults.rates = {};
      await world.settle();
      await world.scheduled.until(world.readAll());
      world.faults.rates = rates;
    } else await world.step();
  }
  world.faults.rates = {};
  await world.settle();
  const extraRoots = (): AccountRoot[] => [...world.origins.values()].map(({ root }) => root);
  for (let count = 0; count < 2; count += 1) {
    await world.scheduled.until(world.store.collect({ extraRoots, signal: new AbortController().signal }));
  }
  await assertNoLeak(world);
  await world.scheduled.until(world.readAll());
  await world.store[Symbol.asyncDispose]();
  return { ...world.counts, deltas: world.audit.deltaCount };
}

/** Of each pack something is needed, and of all of them together at least half. */
async function assertNoLeak(world: World): Promise<void> {
  const needed = await world.check();
  const records = await world.audit.records();
  const neededPacks = new Set([...records].flatMap(([key, { packs }]) => (needed.has(key) ? packs : [])));
  for await (const { key } of world.disk.list('packs/')) {
    assert(neededPacks.has(key), `nothing of ${key} is needed, and it stayed`);
  }
  // Packs of which at least half is read, by bytes, keep the rest of what was in them.
  const { storedBytes, neededBytes } = await world.audit.bytes(needed);
  assert(storedBytes <= 2 * neededBytes, `${storedBytes} bytes are stored, and ${neededBytes} are needed`);
}

test(`uploads, deletions, collections, crashes and faults lose nothing and leak nothing (seed ${SEED})`, async (context) => {
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
