/**
 * Snapshots in a bucket whose server goes wrong in every way that it can (src/chunk/s3-server.fake.ts), against a model: writes,
 * deletions, collections, and processes that end at any instant, with their index or without. Whenever the bucket behaves
 * again, every snapshot that was completed reads as it was written, no other is there, and collections leave no pack that
 * nothing needs.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { type Clock, systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { ObjectStoreError } from '#chunk/object-store.ts';
import { openS3Store } from '#chunk/s3-open.ts';
import { FakeS3Server, type S3Fault, type S3RequestSeen } from '#chunk/s3-server.fake.ts';
import type { S3Store } from '#chunk/s3-store.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { ContentFile, contentNumber, openTestStore, snapshotId, testWrite } from '#snapshot/snapshot-store.fixture.ts';
import type { SnapshotStore } from '#snapshot/snapshot-store.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);
/** By it what is in doubt is waited for in a hundredth of the time. */
const CLOCK: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms > 5_000 ? ms / 100 : ms, signal),
};
const DURATION_MS = Number(process.env['VARVE_FUZZ_MS'] ?? 4_000);
const CONTENT_COUNT = 40;
const CHUNK_COUNT = 24;
const STEPS_PER_LIFE = 12;
/** Deadlines of a store in a hurry: what is silent is given up soon, and a put in doubt is not waited for long. */
const STALL_MS = 40;
const GIVE_UP_MS = 150;

/** Longer than a request is tried, shorter than what is in doubt is waited for. */
const LATER_MS = 200;

const content = new ContentFile(CONTENT_COUNT);
const never = new AbortController().signal;

/** `maybe`: its write or deletion failed; the bucket tells. */
interface Known {
  readonly chunks: ReadonlyMap<number, number>;
  state: 'there' | 'maybe' | 'gone';
  /** Something that may change its state runs. */
  isBusy: boolean;
  /** Its deletion was asked for: nobody writes it again, and the deletion may be done yet. */
  isDoomed: boolean;
}

class World {
  readonly random: SeededRandom;
  readonly snapshots = new Map<SnapshotId, Known>();
  readonly counts = { lives: 0, written: 0, deleted: 0, collected: 0, failed: 0 };
  readonly #fake: FakeS3Server;
  readonly #indexPath: string;
  #objects!: S3Store;
  #store!: SnapshotStore;
  #count = 0;

  constructor(fake: FakeS3Server, seed: number) {
    this.#fake = fake;
    this.random = new SeededRandom(seed);
    this.#indexPath = join(content.directory, `index-${seed}.db`);
    fake.manners.conditionalPut = this.#pick(['honoured', 'ignored', 'refused'] as const);
    fake.manners.checksMd5 = this.random.below(2) === 0;
    fake.manners.pageCount = this.#pick([1, 3, 1000]);
  }

  /** One process, from its start to its end. */
  async live(): Promise<void> {
    this.counts.lives += 1;
    this.#fake.fault = () => null;
    if (this.random.below(3) === 0)
      for (const end of ['', '-wal', '-shm']) rmSync(this.#indexPath + end, { force: true });
    await patiently(() => this.#open());
    await patiently(() => this.#look());
    for (let step = 0; step < STEPS_PER_LIFE; step += 1) {
      this.#fake.fault = this.#faults();
      await Promise.all(Array.from({ length: 1 + this.random.below(3) }, () => this.#step()));
    }
    this.#fake.fault = () => null;
    await systemClock.sleep(LATER_MS);
    await patiently(() => this.#check());
    // Its end comes while something runs, and the bucket does not hear of it.
    this.#fake.fault = this.#faults();
    const running = [this.#step(), this.#step()];
    this.#objects.hurry();
    await this.#objects[Symbol.asyncDispose]();
    await Promise.all(running);
    await this.#store[Symbol.asyncDispose]();
    // What is on its way when a process ends arrives before another has started.
    await systemClock.sleep(LATER_MS);
  }

  async #open(): Promise<void> {
    this.#objects = await openS3Store({
      location: this.#fake.location('fuzz/'),
      environment: this.#fake.environment(),
      clock: CLOCK,
      random: this.random,
      log: silentLog,
      stallMs: STALL_MS,
      giveUpMs: GIVE_UP_MS,
    });
    this.#store = await openTestStore(this.#objects, {
      indexPath: this.#indexPath,
      seed: this.random.below(1_000_000_000),
    });
  }

  /** Nothing is left over once all is well. */
  async end(): Promise<void> {
    this.#fake.fault = () => null;
    await using objects = await openS3Store({
      location: this.#fake.location('fuzz/'),
      environment: this.#fake.environment(),
      clock: CLOCK,
      random: this.random,
      log: silentLog,
    });
    await using store = await openTestStore(objects, { indexPath: this.#indexPath });
    this.#store = store;
    await patiently(() => this.#check());
    for (const snapshot of this.snapshots.keys()) await store.deleteManifest(snapshot);
    for (let count = 0; count < 2; count += 1) await store.collect({ extraRoots: () => [], signal: never });
    const left = [...this.#fake.objects.keys()].filter((key) => !/^fuzz\/(?:\.owner|repository|index-id)$/.test(key));
    assert.deepEqual(left, []);
  }

  async #step(): Promise<void> {
    try {
      const kind = this.random.below(10);
      if (kind < 6) await this.#write();
      else if (kind < 8) await this.#delete();
      else await this.#collect();
    } catch (error) {
      if (!(error instanceof StoreError) && !(error instanceof ObjectStoreError)) throw error;
      this.counts.failed += 1;
    }
  }

  async #write(): Promise<void> {
    const failed = [...this.snapshots].find(([, known]) => known.state === 'maybe' && !known.isBusy && !known.isDoomed);
    if (failed !== undefined && this.random.below(3) === 0) return await this.#writeNow(...failed);
    const chunks = new Map<number, number>();
    for (let count = this.random.below(8); count >= 0; count -= 1) {
      chunks.set(this.random.below(CHUNK_COUNT), 1 + this.random.below(CONTENT_COUNT - 1));
    }
    const snapshot = snapshotId((this.#count += 1));
    const known: Known = { chunks, state: 'maybe', isBusy: false, isDoomed: false };
    this.snapshots.set(snapshot, known);
    await this.#writeNow(snapshot, known);
  }

  /** A write that failed may be asked for again. */
  async #writeNow(snapshot: SnapshotId, known: Known): Promise<void> {
    known.isBusy = true;
    try {
      await this.#store.write(testWrite(content, { snapshot, chunkCount: CHUNK_COUNT, changes: known.chunks }));
      known.state = 'there';
      this.counts.written += 1;
    } finally {
      known.isBusy = false;
    }
  }

  async #delete(): Promise<void> {
    const some = [...this.snapshots].filter(([, { state, isBusy }]) => state !== 'gone' && !isBusy);
    if (some.length === 0) return;
    const [snapshot, known] = this.#pick(some);
    known.state = 'maybe';
    known.isDoomed = true;
    known.isBusy = true;
    try {
      await this.#store.deleteManifest(snapshot);
      known.state = 'gone';
      this.counts.deleted += 1;
    } finally {
      known.isBusy = false;
    }
  }

  async #collect(): Promise<void> {
    await this.#store.collect({ extraRoots: () => [], signal: never });
    this.counts.collected += 1;
  }

  /** Settles what was unsure. Only when the bucket behaves and nothing runs. */
  async #look(): Promise<void> {
    for (const [snapshot, known] of this.snapshots) {
      if (known.state === 'maybe') known.state = (await this.#store.read(snapshot)) === null ? 'gone' : 'there';
    }
  }

  async #check(): Promise<void> {
    await this.#look();
    for (const [snapshot, known] of this.snapshots) {
      if (known.state === 'gone') {
        assert.equal(await this.#store.read(snapshot), null, `${snapshot} is gone`);
        continue;
      }
      using held = await this.#store.hold(snapshot);
      const listed = await this.#store.listRoot(TEST_ACCOUNT, held.root, 0, CHUNK_COUNT + 1);
      assert.deepEqual(
        listed.blocks.map(({ index }) => index),
        [...known.chunks.keys()].toSorted((a, b) => a - b),
      );
      for (const [index, number] of known.chunks) {
        const found = await this.#store.readChunk(TEST_ACCOUNT, held.root, index);
        assert(found !== null);
        assert.equal(contentNumber(found.bytes), number, `chunk ${index} of ${snapshot}`);
      }
    }
  }

  /** Now and then one of the kinds that this spell of trouble has. */
  #faults(): (request: S3RequestSeen) => S3Fault | null {
    const rate = this.#pick([0, 0, 0.02, 0.1, 0.3, 1]);
    const kinds = FAULTS.filter(() => this.random.below(2) === 0);
    return ({ method, key }) => {
      if (this.random.fraction() >= rate) return null;
      const fault = this.#pick(kinds) ?? null;
      // What is wrong on the way of a list or a name no store can tell; of packs and manifests it is found.
      if (fault?.kind === 'wrong-bit' || fault?.kind === 'short-body')
        return method === 'GET' && /packs|snapshots/.test(key) ? fault : null;
      return fault;
    };
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.random.below(Math.max(1, items.length))] as T;
  }
}

/** Again, when it was only slow: the deadlines are short, and the machine may be busy. */
async function patiently(work: () => Promise<void>): Promise<void> {
  for (let count = 1; ; count += 1) {
    try {
      await work();
      return;
    } catch (error) {
      if (!(error instanceof ObjectStoreError) || !error.retryable || count === 50) throw error;
    }
  }
}

const FAULTS: readonly S3Fault[] = [
  { kind: 'error', status: 500, code: 'InternalError' },
  { kind: 'error', status: 503, code: 'SlowDown' },
  { kind: 'error', status: 403, code: 'AccessDenied' },
  { kind: 'error', status: 409, code: 'OperationAborted' },
  { kind: 'reset', done: false },
  { kind: 'reset', done: true },
  { kind: 'silence', done: false },
  { kind: 'silence', done: true },
  { kind: 'cut-body' },
  { kind: 'short-body' },
  { kind: 'wrong-bit' },
  { kind: 'late', ms: 30 },
  { kind: 'done-later', ms: LATER_MS },
];

test('snapshots in a bucket that goes wrong in every way: what is completed stays, what is deleted goes', async (t) => {
  const endMs = systemClock.monotonicMs() + DURATION_MS;
  for (let seed = SEED, runs = 0; runs === 0 || systemClock.monotonicMs() < endMs; seed += 1, runs += 1) {
    await using fake = await FakeS3Server.start();
    const world = new World(fake, seed);
    try {
      for (let lives = 1 + world.random.below(3); lives > 0; lives -= 1) await world.live();
      await world.end();
    } catch (error) {
      throw new Error(`VARVE_SEED=${seed}`, { cause: error });
    }
    t.diagnostic(`seed ${seed}: ${JSON.stringify(world.counts)}`);
  }
});
