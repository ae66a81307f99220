import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { assert, AssertionError } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import { KeyLock } from '#base/key-lock.ts';
import { mapAhead } from '#base/map-ahead.ts';
import { ChunkReader, unlessAborted } from '#chunk/chunk-reader.ts';
import { ChunkStore, type ChunkStoreOptions } from '#chunk/chunk-store.ts';
import { snapshotNotFound, StoreError, throwIfAborted } from '#chunk/errors.ts';
import { BATCH_COUNT_MAX, type SealPool } from '#chunk/seal-pool.ts';
import { UnsealThreads } from '#chunk/unseal-threads.ts';
import type { AccountId, SnapshotId } from '#domain/ids.ts';

import { archivedChunks, deleteArchive, hasParts, readArchive, storedBytes, writeArchive } from './archive.ts';
import { collect, type CollectPorts } from './collector.ts';
import { type AccountRoot, Holds } from './holds.ts';
import { ChunkSpool, spooledChunks } from './chunk-spool.ts';
import { ManifestStore } from './manifest-store.ts';
import type { Manifest } from './manifest.ts';
import type { StoreOfPlace } from './placed-stores.ts';
import { type ChunkRead, readChunks, type ReadChunksOptions, type WantedChunk } from './read-chunks.ts';
import { Sizes, type SnapshotSize, type StoreSize, type VolumeRoot } from './sizes.ts';
import type {
  JobOptions,
  ChangedChunk,
  Collection,
  CollectReport,
  HeldSnapshot,
  ListedChunk,
  Page,
  Changes,
  SnapshotCopy,
  SnapshotWrite,
} from './snapshot-store.ts';
import { withoutBase } from './reseal.ts';
import { packsOfTree } from './tree-packs.ts';
import { diffTrees, walkTree } from './tree-walk.ts';
import { emptyRoot, findChunk, type TreeRoot } from './tree.ts';
import { writeSnapshot } from './write-snapshot.ts';

/** Manifests read at once where all are listed. */
const LISTED_AHEAD_MAX = 16;

export interface SnapshotStoreOptions extends ChunkStoreOptions {
  /** Of the counts behind the sizes of snapshots, a file that may be deleted at any time no store has it open. Without it they are in memory, counted when they are asked for. */
  readonly sizesPath?: string;
  readonly pool: SealPool;
  /** For what is copied between accounts, encrypted, while it is under way; made when it is needed. By default the system's. */
  readonly spoolDirectory?: string;
  /** Threads that open chunks where many are read, at most. 0, the default: they are read one by one. */
  readonly readThreadCountMax?: number;
  readonly clock: Clock;
}

/** Opens the snapshots of an object store. The object store and the pool stay their owner's, to be disposed of after this. */
export async function openSnapshotStore(options: SnapshotStoreOptions): Promise<StoreOfPlace> {
  // What a crash left of copies is not gone on with.
  if (options.spoolDirectory !== undefined) await rm(options.spoolDirectory, { recursive: true, force: true });
  const chunks = await ChunkStore.open(options);
  try {
    const manifests = new ManifestStore(chunks);
    await manifests.remember();
    return new ObjectSnapshotStore(chunks, manifests, options);
  } catch (error) {
    await chunks[Symbol.asyncDispose]();
    throw error;
  }
}

class ObjectSnapshotStore implements StoreOfPlace {
  readonly #chunks: ChunkStore;
  readonly #manifests: ManifestStore;
  readonly #pool: SealPool;
  readonly #spoolDirectory: string;
  readonly #clock: Clock;
  readonly #reader: ChunkReader;
  readonly #holds = new Holds();
  readonly #sizes: Sizes;
  readonly #followsSizes: boolean;
  readonly #lock = new KeyLock();
  readonly #closing = new AbortController();
  #isSettled = false;
  readonly #running = new Set<Promise<unknown>>();

  constructor(
    chunks: ChunkStore,
    manifests: ManifestStore,
    { pool, clock, sizesPath, spoolDirectory = tmpdir(), readThreadCountMax = 0 }: SnapshotStoreOptions,
  ) {
    this.#chunks = chunks;
    this.#manifests = manifests;
    this.#pool = pool;
    this.#spoolDirectory = spoolDirectory;
    this.#clock = clock;
    const threads = new UnsealThreads({ masterKey: chunks.masterKey, clock, threadCountMax: readThreadCountMax });
    this.#reader = new ChunkReader({ store: chunks, threads, threadCountMax: readThreadCountMax });
    this.#sizes = new Sizes(sizesPath ?? ':memory:', { chunks, manifests, holds: this.#holds });
    this.#followsSizes = sizesPath !== undefined;
    this.#followSizes();
  }

  lend(dataKeys: readonly Uint8Array[]): Disposable {
    return this.#chunks.dataKeys.lend(dataKeys);
  }

  checkKey({ dataKey }: TreeRoot): void {
    if (dataKey !== undefined) this.#chunks.dataKeys.get(dataKey);
  }

  async write(job: SnapshotWrite): Promise<Manifest> {
    const { snapshot, account, volume } = job.label;
    // Before anything is awaited: from the call on, the base is this write's to keep.
    using _held = job.base === null ? null : this.#holds.hold({ account, root: job.base });
    const written = await this.#run(job.signal, (signal) =>
      this.#lock.run(snapshot, async () => {
        throwIfAborted(signal);
        const there = await this.#manifests.read(snapshot);
        if (there !== null) {
          const same = there.label.account === account && there.label.volume === volume;
          assert(same, 'a snapshot id names one snapshot');
          return there;
        }
        const { chunks: store, manifests } = { chunks: this.#chunks, manifests: this.#manifests };
        try {
          const ports = { chunks: store, manifests, pool: this.#pool, clock: this.#clock };
          const { base, dataKey = null } = job;
          if (base === null || (base.dataKey ?? null) === dataKey) return await writeSnapshot(ports, job, signal);
          await using spool = await this.#openSpool(`base-${snapshot}`);
          const parts = { chunks: store, reader: this.#reader, spool };
          const changes = await withoutBase(parts, { account, root: base }, job.changes, signal);
          return await writeSnapshot(ports, { ...job, base: null, changes }, signal);
        } finally {
          this.#sizes.changed(snapshot);
        }
      }),
    );
    this.#followSizes();
    return written;
  }

  async copy({ label, source, dataKey = null, signal, onProgress }: SnapshotCopy): Promise<Manifest> {
    const there = await this.#manifests.read(label.snapshot);
    if (there !== null) return there; // Also when the source is not there any more.
    using held = await this.hold(source);
    const job = { label, dataKey, keepZeroChunks: true, signal, onProgress };
    if (held.account === label.account && (held.root.dataKey ?? null) === dataKey) {
      return await this.write({ ...job, base: held.root, changes: { count: 0, items: [] } });
    }
    await using spool = await this.#openSpool(label.snapshot);
    const parts = { chunks: this.#chunks, reader: this.#reader, spool };
    const items = { [Symbol.asyncIterator]: () => spooledChunks(parts, held, signal) };
    return await this.write({ ...job, base: null, changes: { count: held.root.presentCount, items } });
  }

  knows(snapshot: SnapshotId): boolean {
    return this.#chunks.index.hasManifest(snapshot);
  }

  async withoutBase(base: AccountRoot, changes: Changes, signal: AbortSignal): Promise<Changes & AsyncDisposable> {
    await using scope = new AsyncDisposableStack();
    scope.use(this.#holds.hold(base));
    const spool = scope.use(await this.#openSpool('placed'));
    const either = AbortSignal.any([signal, this.#closing.signal]);
    const parts = { chunks: this.#chunks, reader: this.#reader, spool };
    const { count, items } = await withoutBase(parts, base, changes, either);
    const owned = scope.move();
    return { count, items, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }

  async archive(snapshot: SnapshotId, { signal, onProgress }: JobOptions): Promise<number> {
    return await this.#run(signal, (either) =>
      this.#lock.run(`archive ${snapshot}`, async () => {
        await this.#untilSettled(either);
        const there = await readArchive(this.#chunks, snapshot);
        if (there !== null && (await hasParts(this.#chunks, there))) return storedBytes(there);
        using held = await this.hold(snapshot);
        const ports = { chunks: this.#chunks, reader: this.#reader };
        return await writeArchive(ports, held.manifest, { signal: either, onProgress });
      }),
    );
  }

  async unarchive(snapshot: SnapshotId, { signal, onProgress }: JobOptions): Promise<Manifest> {
    return await this.#lock.run(`archive ${snapshot}`, async () => {
      await this.#untilSettled(signal);
      const there = await this.#manifests.read(snapshot);
      if (there !== null) return there;
      const archive = await readArchive(this.#chunks, snapshot);
      if (archive === null) throw snapshotNotFound(snapshot);
      const { label, root } = archive.manifest;
      await using spool = await this.#openSpool(`archive-${snapshot}`);
      const items = { [Symbol.asyncIterator]: () => archivedChunks(this.#chunks, archive, spool, signal) };
      const changes = { count: root.presentCount, items };
      const dataKey = root.dataKey ?? null;
      return await this.write({ label, dataKey, base: null, keepZeroChunks: true, changes, signal, onProgress });
    });
  }

  async deleteArchive(snapshot: SnapshotId): Promise<void> {
    await this.#lock.run(`archive ${snapshot}`, () => deleteArchive(this.#chunks, snapshot));
  }

  /** A file of its own for each: what waits in one is read by its path. */
  #openSpool(name: string): Promise<ChunkSpool> {
    return ChunkSpool.open({
      path: join(this.#spoolDirectory, `${name}-${this.#chunks.random.bytes(8).toString('hex')}`),
      // Those that are being sealed, the one that is taken, and the one that is being filled.
      slotCount: (this.#pool.batchesInFlightMax + 2) * BATCH_COUNT_MAX,
      random: this.#chunks.random,
    });
  }

  read(snapshot: SnapshotId): Promise<Manifest | null> {
    return this.#manifests.read(snapshot);
  }

  async *list(): AsyncGenerator<Manifest> {
    const reading = mapAhead(this.#manifests.list(), LISTED_AHEAD_MAX, (snapshot) => this.#manifests.read(snapshot));
    for await (const manifest of reading) if (manifest !== null) yield manifest;
  }

  hold(snapshot: SnapshotId): Promise<HeldSnapshot> {
    return this.#holds.opening(async () => {
      const manifest = await this.#manifests.read(snapshot);
      if (manifest === null) throw snapshotNotFound(snapshot);
      const root: { readonly account: AccountId; readonly root: TreeRoot } = {
        account: manifest.label.account,
        root: manifest.root,
      };
      const held = this.#holds.hold(root);
      return { ...root, manifest, [Symbol.dispose]: () => held[Symbol.dispose]() };
    });
  }

  async readChunk(
    account: AccountId,
    root: TreeRoot,
    index: number,
  ): Promise<{ readonly key: string; readonly bytes: Buffer } | null> {
    const key = await findChunk(this.#chunks, account, root, index);
    if (key === null) return null;
    return { key: key.toString('hex'), bytes: await this.#chunks.readChunk(account, key, root.dataKey ?? null) };
  }

  readChunks(
    account: AccountId,
    root: TreeRoot,
    wanted: readonly WantedChunk[],
    options: ReadChunksOptions,
  ): readonly Promise<ChunkRead | null>[] {
    return readChunks({ chunks: this.#chunks, reader: this.#reader }, account, root, wanted, options);
  }

  async chunkKey(account: AccountId, root: TreeRoot, index: number): Promise<string | null> {
    return (await findChunk(this.#chunks, account, root, index))?.toString('hex') ?? null;
  }

  async listBlocks(snapshot: SnapshotId, start: number, countMax: number): Promise<Page<ListedChunk>> {
    using held = await this.hold(snapshot);
    return await this.listRoot(held.account, held.root, start, countMax);
  }

  async listRoot(
    account: AccountId,
    root: TreeRoot,
    start: number,
    countMax: number,
    end = Infinity,
  ): Promise<Page<ListedChunk>> {
    const { found, next } = await takePage(walkTree(this.#chunks, account, root, start), countMax, end);
    return { blocks: found.map(({ index, key }) => ({ index, key: key.toString('hex') })), next };
  }

  async packsOf(account: AccountId, root: TreeRoot, signal: AbortSignal): Promise<ReadonlySet<string>> {
    return await this.#run(signal, (either) => packsOfTree(this.#chunks, account, root, either));
  }

  async changedBlocks(
    first: SnapshotId | null,
    second: SnapshotId,
    start: number,
    countMax: number,
  ): Promise<Page<ChangedChunk>> {
    using heldSecond = await this.hold(second);
    using heldFirst = first === null ? null : await this.hold(first);
    const { account, root } = heldSecond;
    assert(heldFirst === null || heldFirst.account === account, 'snapshots that are compared are of one account');
    const roots = { first: heldFirst?.root ?? emptyRoot(root.chunkCount), second: root };
    const { found, next } = await takePage(diffTrees(this.#chunks, account, roots, start), countMax);
    const blocks = found.map((change) => ({
      index: change.index,
      firstKey: change.first?.toString('hex') ?? null,
      secondKey: change.second?.toString('hex') ?? null,
    }));
    return { blocks, next };
  }

  async deleteManifest(snapshot: SnapshotId): Promise<void> {
    await this.#lock.run(snapshot, async () => {
      try {
        await this.#manifests.delete(snapshot);
      } finally {
        this.#sizes.changed(snapshot);
      }
    });
    this.#followSizes();
  }

  async sizes(snapshots: readonly SnapshotId[], volumes: readonly VolumeRoot[]): Promise<readonly SnapshotSize[]> {
    return await this.#run(this.#closing.signal, (signal) => this.#sizes.of(snapshots, volumes, signal));
  }

  async freedBytes(snapshots: readonly SnapshotId[], volumes: readonly VolumeRoot[]): Promise<number> {
    return await this.#run(this.#closing.signal, (signal) => this.#sizes.freedBy(snapshots, volumes, signal));
  }

  async storeSize(): Promise<StoreSize> {
    return await this.#run(this.#closing.signal, (signal) => this.#sizes.ofStore(signal));
  }

  async collect(collection: Collection): Promise<CollectReport> {
    return this.#run(collection.signal, (signal) =>
      this.#lock.run('collection', async () => {
        throwIfAborted(signal);
        await this.#settle(signal);
        const ports: CollectPorts = {
          chunks: this.#chunks,
          manifests: this.#manifests,
          holds: this.#holds,
          beforeSweep: (epoch, extraRoots, ended) => this.#sizes.beforeSweep(epoch, extraRoots, ended),
        };
        return collect(ports, { extraRoots: collection.extraRoots, signal });
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new StoreError('aborted', 'the snapshot store is closing'));
    await Promise.allSettled(this.#running);
    this.#sizes[Symbol.dispose]();
    await this.#reader[Symbol.asyncDispose]();
    await this.#chunks[Symbol.asyncDispose]();
  }

  /** Nothing of a process that was killed is on its way any more. */
  async #settle(signal: AbortSignal): Promise<void> {
    if (this.#isSettled) return;
    await this.#untilSettled(signal);
    await this.#manifests.forgetAbsent();
    this.#isSettled = true;
  }

  /** What comes under a name that was deleted could go by a deletion that a killed process had asked for. */
  async #untilSettled(signal: AbortSignal): Promise<void> {
    await unlessAborted(signal, async () => await this.#chunks.objects.settled?.());
  }

  /** Behind what was asked for, so that sizes are at hand when they are. */
  #followSizes(): void {
    if (!this.#followsSizes || this.#closing.signal.aborted) return;
    this.#run(this.#closing.signal, (signal) => this.#sizes.follow(signal)).catch((error: unknown) => {
      if (error instanceof AssertionError) throw error;
      if (!this.#closing.signal.aborted) this.#chunks.log.warn('sizes not counted', { error });
    });
  }

  /** Long work: stopped, and waited for, when the store closes. */
  async #run<R>(signal: AbortSignal, body: (signal: AbortSignal) => Promise<R>): Promise<R> {
    const running = body(AbortSignal.any([signal, this.#closing.signal]));
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }
}

/** As many items as fit, all below `end`, and the index of the first that does not belong. */
async function takePage<T extends { readonly index: number }>(
  items: AsyncIterable<readonly T[]>,
  countMax: number,
  end = Infinity,
): Promise<{ readonly found: readonly T[]; readonly next: number | null }> {
  assert(countMax >= 1, 'a page holds at least one item');
  const found: T[] = [];
  for await (const batch of items) {
    for (const item of batch) {
      if (found.length === countMax || item.index >= end) return { found, next: item.index };
      found.push(item);
    }
  }
  return { found, next: null };
}
