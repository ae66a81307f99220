import { StoreError } from '#chunk/errors.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import { CHUNK_BYTES, chunkCount } from '#domain/geometry.ts';
import type { AccountId } from '#domain/ids.ts';
import type { Manifest } from '#snapshot/manifest.ts';
import type { HeldSnapshot, ListedChunk, Page, SnapshotStore } from '#snapshot/snapshot-store.ts';
import { findChunk, type TreeRoot } from '#snapshot/tree.ts';

import { damageOf, type Damage } from './damage.ts';
import { scanTree } from './tree-scan.ts';

export interface SnapshotImageOptions {
  readonly chunks: ChunkStore;
  readonly manifest: Manifest;
  /** What a reader of a damaged chunk gets: its error, or zeros. */
  readonly damaged: 'error' | 'zeros';
  /** Called once for each damaged part that a reader met. */
  readonly onDamage: (damage: Damage) => void;
}

/**
 * One snapshot as a disk image, read from the packs. Where a part of its tree is damaged, every chunk below counts as
 * there and damaged: nobody can tell.
 */
export class SnapshotImage implements Pick<SnapshotStore, 'readChunk' | 'listRoot'> {
  readonly manifest: Manifest;
  readonly #options: SnapshotImageOptions;
  /** Damaged chunks that were told of. */
  readonly #told = new Set<number>();

  constructor(options: SnapshotImageOptions) {
    this.manifest = options.manifest;
    this.#options = options;
  }

  get sizeBytes(): number {
    return this.manifest.label.sizeBytes;
  }

  /** How many chunks readers found damaged so far. */
  get damagedCount(): number {
    return this.#told.size;
  }

  /** For a device: the packs do not change, so nothing has to be held. */
  get held(): HeldSnapshot {
    const { label, root } = this.manifest;
    return { account: label.account, root, manifest: this.manifest, [Symbol.dispose]: () => {} };
  }

  /** Ranges of bytes that may hold something, ascending, a chunk each at most; everything else is zeros. */
  async *data(): AsyncGenerator<{ readonly offset: number; readonly length: number }> {
    for await (const index of this.#indexes(0)) {
      const offset = index * CHUNK_BYTES;
      yield { offset, length: Math.min(CHUNK_BYTES, this.sizeBytes - offset) };
    }
  }

  /** The bytes of a range that `data` answered; shared, do not write to them. Throws StoreError 'damaged'. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const { label, root } = this.manifest;
    const found = await this.readChunk(label.account, root, offset / CHUNK_BYTES);
    return found === null ? new Uint8Array(length) : found.bytes.subarray(0, length);
  }

  /** As SnapshotStore's. A damaged chunk that is to be zeros is null. */
  async readChunk(
    account: AccountId,
    root: TreeRoot,
    index: number,
  ): Promise<{ readonly key: string; readonly bytes: Buffer } | null> {
    const { chunks, damaged } = this.#options;
    try {
      const key = await findChunk(chunks, account, root, index);
      return key === null
        ? null
        : { key: key.toString('hex'), bytes: await chunks.readChunk(account, key, root.dataKey ?? null) };
    } catch (error) {
      if (!(error instanceof StoreError && error.kind === 'damaged')) throw error;
      this.#tell(index, error.message);
      if (damaged === 'error') throw error;
      return null;
    }
  }

  /** As SnapshotStore's; keys of chunks whose place in the tree is damaged are empty. */
  async listRoot(
    _account: AccountId,
    _root: TreeRoot,
    start: number,
    countMax: number,
    end = Infinity,
  ): Promise<Page<ListedChunk>> {
    const blocks: ListedChunk[] = [];
    for await (const index of this.#indexes(start)) {
      if (blocks.length === countMax || index >= end) return { blocks, next: index };
      blocks.push({ index, key: '' });
    }
    return { blocks, next: null };
  }

  /** Chunks that are there, or may be, below the disk's end. */
  async *#indexes(start: number): AsyncGenerator<number> {
    const { label, root } = this.manifest;
    const end = chunkCount(label.sizeBytes);
    for await (const found of scanTree(this.#options.chunks, label.account, root, { start })) {
      if (found.kind === 'leaf') {
        for (const { index } of found.chunks) if (index < end) yield index;
      } else {
        for (let at = 0; at < found.count && found.index + at < end; at += 1) yield found.index + at;
      }
    }
  }

  #tell(index: number, reason: string): void {
    if (this.#told.has(index)) return;
    this.#told.add(index);
    this.#options.onDamage(damageOf(this.manifest, { index, count: 1, reason }));
  }
}
