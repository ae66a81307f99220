import type { ChunkSource } from '#chunk/chunk-source.ts';
import type { DataKeyId } from '#chunk/data-key-ring.ts';
import type { AccountId, SnapshotId } from '#domain/ids.ts';

import type { AccountRoot } from './holds.ts';
import type { Manifest, SnapshotLabel } from './manifest.ts';
import type { ChunkRead, ReadChunksOptions, WantedChunk } from './read-chunks.ts';
import type { SnapshotSize, StoreSize, VolumeRoot } from './sizes.ts';
import type { TreeRoot } from './tree.ts';

export interface ChunkChange {
  readonly index: number;
  /** Null: zeros, whatever was there before. */
  readonly source: ChunkSource | null;
  /** Which blocks of 4 KiB may differ from the base, or from zeros where that has nothing or there is none: all that do, and perhaps others; block b is bit b % 32 of word b / 32. Null or missing: not known. */
  readonly changedBlocks?: Uint32Array | null;
}

/** Exactly `count` changes, in ascending order of index, each index once. */
export interface Changes {
  readonly count: number;
  readonly items: Iterable<ChunkChange> | AsyncIterable<ChunkChange>;
}

export interface SnapshotWrite {
  readonly label: SnapshotLabel;
  /** What the chunks that are not in `changes` are taken from; not larger than the snapshot. Null: zeros. It must be kept reachable by the caller (a hold, an extra root of collections) until `write` was called; from then on `write` keeps it. */
  readonly base: TreeRoot | null;
  /** What its chunks are sealed under beside the account's keys; it is lent meanwhile, and that of the base. Missing or null: nothing. Where the base has another, all of it is read back and sealed again. */
  readonly dataKey?: DataKeyId | null;
  /** Keep chunks that were read and are all zeros; otherwise they are left out. Changes without a source are always left out. */
  readonly keepZeroChunks: boolean;
  readonly changes: {
    readonly count: number;
    /** Exactly `count`, in ascending order of index, each index once and below the snapshot's chunk count. Taken lazily, and once more from the start when a hint was wrong. */
    readonly items: Iterable<ChunkChange> | AsyncIterable<ChunkChange>;
  };
  /** A file of the volume that remembers the digests of its chunks from one snapshot to the next, so that of a chunk only what changed is read (docs/formats/volume.md); made when it is missing. Missing or null: all of a chunk is read. */
  readonly digestPath?: string | null;
  readonly signal: AbortSignal;
  /** Called when the sources of a batch were read, and once more before the manifest is put: throws when what was read may not be what it was, which ends the write without a manifest. */
  readonly checkSources?: () => void;
  /** Called with counts of changes, rising, at most once a batch; not after `write` has settled. */
  readonly onProgress: (progress: { readonly doneCount: number; readonly totalCount: number }) => void;
}

/** A snapshot that holds what another one does, under a label of its own. */
export interface SnapshotCopy {
  /** Of the copy; its size is the source's. */
  readonly label: SnapshotLabel;
  readonly source: SnapshotId;
  /** As in SnapshotWrite. That of the source is lent, too, unless both are of one account and this is the same. */
  readonly dataKey?: DataKeyId | null;
  readonly signal: AbortSignal;
  /** As in SnapshotWrite; a copy within an account has nothing to do. */
  readonly onProgress: (progress: { readonly doneCount: number; readonly totalCount: number }) => void;
}

/** Of long work for one snapshot. */
export interface JobOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { readonly doneCount: number; readonly totalCount: number }) => void;
}

/** While it is held, what the snapshot holds is not collected, even when its manifest is deleted. */
export interface HeldSnapshot extends AccountRoot, Disposable {
  readonly manifest: Manifest;
}

export interface ListedChunk {
  readonly index: number;
  /** Content address, hexadecimal. */
  readonly key: string;
}

export interface ChangedChunk {
  readonly index: number;
  /** Null: nothing there (zeros). */
  readonly firstKey: string | null;
  readonly secondKey: string | null;
}

/** One page; `next` is the index to go on from, or null at the end. */
export interface Page<T> {
  readonly blocks: readonly T[];
  readonly next: number | null;
}

export interface Collection {
  /** Asked once the collection has begun: every root that must survive though no manifest may name it (origins of volumes). A root that enters this set must be held (`hold`) from before it is read until after it is in the set. */
  readonly extraRoots: () => Iterable<AccountRoot> | Promise<Iterable<AccountRoot>>;
  readonly signal: AbortSignal;
}

export interface CollectReport {
  /** Chunks that something needs. */
  readonly liveChunks: number;
  readonly deletedChunks: number;
  /** What the object store shrank by. */
  readonly freedBytes: number;
}

/**
 * Completed snapshots, in an object store. Errors: StoreError ('snapshot-not-found', 'damaged', 'no-space', 'key-needed', 'aborted');
 * everything else (ObjectStoreError) is trouble of the store, and the call may be repeated.
 * One process at a time may have a store open.
 */
export interface SnapshotStore extends AsyncDisposable {
  /**
   * Data keys (32 bytes) with which chunks may be read and written until it is disposed of; copied, and in memory only.
   * Whatever needs one that is not lent throws 'key-needed'.
   */
  lend(dataKeys: readonly Uint8Array[]): Disposable;
  /** Throws 'key-needed' when what the root holds is under a data key that is not lent. */
  checkKey(root: TreeRoot): void;
  /**
   * Writes a snapshot: chunks that are new, the tree, and last the manifest, which makes it exist. Resolves when all of it
   * is durable and was read back. Answers at once when the manifest is there already. After an error or a crash, the same
   * call goes on from what was stored. A second call for the same snapshot waits for the first.
   */
  write(job: SnapshotWrite): Promise<Manifest>;
  /**
   * Makes a snapshot of what another one holds, chunks of zeros included. Within an account and under one data key, or
   * none, the two share all chunks; otherwise each chunk is opened and sealed again, as nothing of one account is visible to another. Otherwise as
   * `write`. Throws 'snapshot-not-found' when the source is not there.
   */
  copy(job: SnapshotCopy): Promise<Manifest>;
  /**
   * Writes the snapshot into the archive, where it is whole by itself, and answers what it takes there, in bytes; at once
   * when it is there already with all its parts. The snapshot stays as it is. Throws 'snapshot-not-found'.
   */
  archive(snapshot: SnapshotId, options: JobOptions): Promise<number>;
  /** Makes the snapshot again of its archive, which stays; at once when the snapshot is there. Throws 'snapshot-not-found' when there is no archive. */
  unarchive(snapshot: SnapshotId, options: JobOptions): Promise<Manifest>;
  /** Removes an archive, also one that was not written to its end. No error when there is none. */
  deleteArchive(snapshot: SnapshotId): Promise<void>;
  /** The manifest, verified; null when there is none. */
  read(snapshot: SnapshotId): Promise<Manifest | null>;
  /** All completed snapshots, in the order of their ids. */
  list(): AsyncIterable<Manifest>;
  /** Opens a snapshot so that it stays whole until disposed, whatever is deleted or collected. Throws 'snapshot-not-found'. */
  hold(snapshot: SnapshotId): Promise<HeldSnapshot>;
  /** The 512 KiB of a chunk, verified; null when nothing is there (zeros). The root must be held, named by a manifest, or an extra root. The bytes may be shared: do not write to them. */
  readChunk(
    account: AccountId,
    root: TreeRoot,
    index: number,
  ): Promise<{ readonly key: string; readonly bytes: Buffer } | null>;
  /**
   * Chunks of a root, read together and verified, off the event loop: an answer for each, in the order of `wanted`; null
   * where nothing is there. Each rejects as `readChunk` does, by itself. The root as in `readChunk`.
   */
  readChunks(
    account: AccountId,
    root: TreeRoot,
    wanted: readonly WantedChunk[],
    options: ReadChunksOptions,
  ): readonly Promise<ChunkRead | null>[];
  /** Only looks: the key of a chunk, hexadecimal, or null. */
  chunkKey(account: AccountId, root: TreeRoot, index: number): Promise<string | null>;
  /** Chunks present from `start` on, ascending, at most `countMax` (≥ 1). Memory and cost: what is listed. */
  listBlocks(snapshot: SnapshotId, start: number, countMax: number): Promise<Page<ListedChunk>>;
  /** Chunks present in a root, from `start` on and below `end`; `next` is the first that is there after those, also beyond `end`. Costs what is listed, and the way to `next`. */
  listRoot(
    account: AccountId,
    root: TreeRoot,
    start: number,
    countMax: number,
    end?: number,
  ): Promise<Page<ListedChunk>>;
  /** Object keys of the packs in which everything lies now that the root needs; a collection may move it. The root as in `readChunk`. */
  packsOf(account: AccountId, root: TreeRoot, signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** Chunks that differ, from `start` on. Costs what differs, not what the snapshots hold. Both of one account. `first` null: everything in `second`. */
  changedBlocks(
    first: SnapshotId | null,
    second: SnapshotId,
    start: number,
    countMax: number,
  ): Promise<Page<ChangedChunk>>;
  /** Removes the manifest: from then on the snapshot does not exist. Durable when it resolves; no error when there is none. Waits for a `write` of the same snapshot: abort that first. */
  deleteManifest(snapshot: SnapshotId): Promise<void>;
  /** Exact sizes of those of the snapshots that are there and whole. `volumes`: everything that reads through to something. Costs what came and went since the last time, and what only those snapshots need. */
  sizes(snapshots: readonly SnapshotId[], volumes: readonly VolumeRoot[]): Promise<readonly SnapshotSize[]>;
  /** Bytes that deleting all of these together would free; what is not there, or does not read, counts nothing. */
  freedBytes(snapshots: readonly SnapshotId[], volumes: readonly VolumeRoot[]): Promise<number>;
  storeSize(): Promise<StoreSize>;
  /** Deletes what no manifest, hold, running write or extra root needs; see collector.ts. Deletes nothing when it cannot read any one of the roots. Collections run one after another. */
  collect(collection: Collection): Promise<CollectReport>;
}
