import { throwIfAborted } from '#chunk/errors.ts';
import type { AccountId, SnapshotId } from '#domain/ids.ts';
import type { OutpostId } from '#domain/outpost.ts';

import type { AccountRoot } from './holds.ts';
import type { Manifest } from './manifest.ts';
import type { ChunkRead, ReadChunksOptions, WantedChunk } from './read-chunks.ts';
import type { SnapshotSize, StoreSize, VolumeRoot } from './sizes.ts';
import type {
  ChangedChunk,
  Changes,
  Collection,
  CollectReport,
  HeldSnapshot,
  JobOptions,
  ListedChunk,
  Page,
  SnapshotCopy,
  SnapshotStore,
  SnapshotWrite,
} from './snapshot-store.ts';
import type { TreeRoot } from './tree.ts';

/** A store of one place, and what others need of it to take over what it holds. */
export interface StoreOfPlace extends SnapshotStore {
  /** Whether the index has the snapshot's manifest, or one that is being put. */
  knows(snapshot: SnapshotId): boolean;
  /** The changes that make of nothing what `changes` make of a base (reseal.ts). The base is held, from the call on, until they are disposed of. */
  withoutBase(base: AccountRoot, changes: Changes, signal: AbortSignal): Promise<Changes & AsyncDisposable>;
}

/**
 * The region's store, and one for each Outpost, as one. Each has its own packs, index, counts and collections: nothing of
 * one refers to anything of another. Where a snapshot is to be written its label says; where one is its store's index
 * knows; where a root is it says itself, wherever it is kept. What is made from one store's content in another is read
 * back and sealed again, all of it: there is no base across stores.
 *
 * An Outpost that is not configured is refused: what lies there is never looked for anywhere else.
 */
export class PlacedStores implements SnapshotStore {
  readonly #region: StoreOfPlace;
  readonly #outposts: ReadonlyMap<OutpostId, StoreOfPlace>;

  /** Taken over: disposed of with this. */
  constructor(region: StoreOfPlace, outposts: ReadonlyMap<OutpostId, StoreOfPlace>) {
    this.#region = region;
    this.#outposts = outposts;
  }

  lend(dataKeys: readonly Uint8Array[]): Disposable {
    const scope = new DisposableStack();
    for (const store of this.#all()) scope.use(store.lend(dataKeys));
    return scope;
  }

  checkKey(root: TreeRoot): void {
    this.#at(root.outpost).checkKey(root);
  }

  async write(job: SnapshotWrite): Promise<Manifest> {
    const { base, label } = job;
    const store = this.#at(label.outpost);
    if (base === null) return await store.write(job);
    if (base.outpost === label.outpost) return await store.write({ ...job, base: plain(base) });
    const { account } = label;
    await using changes = await this.#at(base.outpost).withoutBase(
      { account, root: plain(base) },
      job.changes,
      job.signal,
    );
    const onProgress = withTotal(job.onProgress, job.changes.count);
    return await store.write({ ...job, base: null, changes, onProgress });
  }

  async copy(job: SnapshotCopy): Promise<Manifest> {
    const store = this.#at(job.label.outpost);
    const there = await store.read(job.label.snapshot);
    if (there !== null) return there; // Also when the source is not there any more.
    using held = await this.hold(job.source);
    if (held.root.outpost === job.label.outpost) return await store.copy(job);
    const { label, dataKey = null, signal, onProgress } = job;
    const base = { account: held.account, root: plain(held.root) };
    await using changes = await this.#at(held.root.outpost).withoutBase(base, { count: 0, items: [] }, signal);
    return await store.write({ label, dataKey, base: null, keepZeroChunks: true, changes, signal, onProgress });
  }

  async archive(snapshot: SnapshotId, options: JobOptions): Promise<number> {
    return await this.#region.archive(snapshot, options);
  }

  async unarchive(snapshot: SnapshotId, options: JobOptions): Promise<Manifest> {
    return await this.#region.unarchive(snapshot, options);
  }

  async deleteArchive(snapshot: SnapshotId): Promise<void> {
    await this.#region.deleteArchive(snapshot);
  }

  async read(snapshot: SnapshotId): Promise<Manifest | null> {
    const [outpost, store] = this.#placeOf(snapshot);
    const manifest = await store.read(snapshot);
    return manifest === null ? null : placed(manifest, outpost);
  }

  async *list(): AsyncGenerator<Manifest> {
    for (const [outpost, store] of this.#places()) {
      for await (const manifest of store.list()) yield placed(manifest, outpost);
    }
  }

  async hold(snapshot: SnapshotId): Promise<HeldSnapshot> {
    const [outpost, store] = this.#placeOf(snapshot);
    const held = await store.hold(snapshot);
    const manifest = placed(held.manifest, outpost);
    const release = (): void => held[Symbol.dispose]();
    return { account: held.account, root: manifest.root, manifest, [Symbol.dispose]: release };
  }

  readChunk(account: AccountId, root: TreeRoot, index: number): ReturnType<SnapshotStore['readChunk']> {
    return this.#at(root.outpost).readChunk(account, plain(root), index);
  }

  readChunks(
    account: AccountId,
    root: TreeRoot,
    wanted: readonly WantedChunk[],
    options: ReadChunksOptions,
  ): readonly Promise<ChunkRead | null>[] {
    return this.#at(root.outpost).readChunks(account, plain(root), wanted, options);
  }

  async chunkKey(account: AccountId, root: TreeRoot, index: number): Promise<string | null> {
    return await this.#at(root.outpost).chunkKey(account, plain(root), index);
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
    end?: number,
  ): Promise<Page<ListedChunk>> {
    return await this.#at(root.outpost).listRoot(account, plain(root), start, countMax, end);
  }

  async packsOf(account: AccountId, root: TreeRoot, signal: AbortSignal): Promise<ReadonlySet<string>> {
    return await this.#at(root.outpost).packsOf(account, plain(root), signal);
  }

  async changedBlocks(
    first: SnapshotId | null,
    second: SnapshotId,
    start: number,
    countMax: number,
  ): Promise<Page<ChangedChunk>> {
    using held = await this.hold(second);
    return await this.#at(held.root.outpost).changedBlocks(first, second, start, countMax);
  }

  async deleteManifest(snapshot: SnapshotId): Promise<void> {
    const [, store] = this.#placeOf(snapshot);
    await store.deleteManifest(snapshot);
  }

  async sizes(snapshots: readonly SnapshotId[], volumes: readonly VolumeRoot[]): Promise<readonly SnapshotSize[]> {
    const sizes: SnapshotSize[] = [];
    for (const { store, here, roots } of this.#byPlace(snapshots, volumes))
      sizes.push(...(await store.sizes(here, roots)));
    return sizes;
  }

  async freedBytes(snapshots: readonly SnapshotId[], volumes: readonly VolumeRoot[]): Promise<number> {
    let bytes = 0;
    for (const { store, here, roots } of this.#byPlace(snapshots, volumes))
      bytes += await store.freedBytes(here, roots);
    return bytes;
  }

  /** Each store that has some of the snapshots, with these, and with what volumes read through to there. */
  *#byPlace(
    snapshots: readonly SnapshotId[],
    volumes: readonly VolumeRoot[],
  ): Generator<{
    readonly store: SnapshotStore;
    readonly here: readonly SnapshotId[];
    readonly roots: readonly VolumeRoot[];
  }> {
    for (const [outpost, store] of this.#places()) {
      const here = snapshots.filter((snapshot) => this.#placeOf(snapshot)[0] === outpost);
      if (here.length === 0) continue;
      const roots = volumes
        .filter(({ root }) => root.outpost === outpost)
        .map(({ volume, account, root }) => ({ volume, account, root: plain(root) }));
      yield { store, here, roots };
    }
  }

  async storeSize(): Promise<StoreSize> {
    const sum = { snapshotCount: 0, storedBytes: 0, neededBytes: 0, fullBytes: 0 };
    for (const store of this.#all()) {
      const size = await store.storeSize();
      sum.snapshotCount += size.snapshotCount;
      sum.storedBytes += size.storedBytes;
      sum.neededBytes += size.neededBytes;
      sum.fullBytes += size.fullBytes;
    }
    return sum;
  }

  /** Each store by itself: one that is away keeps no other from being collected. Throws the first trouble, at the end. */
  async collect({ extraRoots, signal }: Collection): Promise<CollectReport> {
    const sum = { liveChunks: 0, deletedChunks: 0, freedBytes: 0 };
    const troubles: unknown[] = [];
    for (const [outpost, store] of this.#places()) {
      const rootsHere = async (): Promise<readonly AccountRoot[]> =>
        [...(await extraRoots())]
          .filter(({ root }) => root.outpost === outpost)
          .map(({ account, root }) => ({ account, root: plain(root) }));
      try {
        throwIfAborted(signal);
        const report = await store.collect({ extraRoots: rootsHere, signal });
        sum.liveChunks += report.liveChunks;
        sum.deletedChunks += report.deletedChunks;
        sum.freedBytes += report.freedBytes;
      } catch (error) {
        troubles.push(error);
      }
    }
    if (troubles.length > 0) throw troubles[0];
    return sum;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using ending = new AsyncDisposableStack();
    for (const store of this.#all()) ending.use(store);
  }

  #all(): readonly StoreOfPlace[] {
    return [this.#region, ...this.#outposts.values()];
  }

  #places(): readonly (readonly [OutpostId | undefined, StoreOfPlace])[] {
    return [[undefined, this.#region], ...this.#outposts];
  }

  /**
   * An index knows a manifest from before it is put until it is deleted, and is made of what is there. What no Outpost's
   * knows is looked for in the region alone: an Outpost that is away holds up nothing of the region.
   */
  #placeOf(snapshot: SnapshotId): readonly [OutpostId | undefined, StoreOfPlace] {
    for (const place of this.#outposts) if (place[1].knows(snapshot)) return place;
    return [undefined, this.#region];
  }

  #at(outpost: OutpostId | undefined): StoreOfPlace {
    if (outpost === undefined) return this.#region;
    const store = this.#outposts.get(outpost);
    // Not a StoreError: nothing is lost, and the same call succeeds once it is configured.
    if (store === undefined) throw new Error(`the Outpost ${outpost} is not configured`);
    return store;
  }
}

/** As the store itself knows it. */
function plain(root: TreeRoot): TreeRoot {
  if (root.outpost === undefined) return root;
  const { outpost: _outpost, ...rest } = root;
  return rest;
}

function placed(manifest: Manifest, outpost: OutpostId | undefined): Manifest {
  return outpost === undefined ? manifest : { ...manifest, root: { ...manifest.root, outpost } };
}

/** Who asked knows its own changes only; the rest of the base comes with them. */
function withTotal(onProgress: SnapshotWrite['onProgress'], countMax: number): SnapshotWrite['onProgress'] {
  return ({ doneCount, totalCount }) => {
    const share = totalCount === 0 ? 1 : doneCount / totalCount;
    onProgress({ doneCount: Math.floor(share * countMax), totalCount: countMax });
  };
}
