import { TaskGroup } from '#base/task-group.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import type { DataKeyId } from '#chunk/data-key-ring.ts';
import { DamageError, StoreError, type StoreErrorKind, throwIfAborted } from '#chunk/errors.ts';
import { MarkSet } from '#chunk/mark-set.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId } from '#domain/ids.ts';
import type { Manifest } from '#snapshot/manifest.ts';
import type { Child } from '#snapshot/tree-node.ts';
import type { FoundChunk } from '#snapshot/tree-walk.ts';

import { damageOf, type Damage } from './damage.ts';
import { scanTree } from './tree-scan.ts';

/** Chunks read at once: some are decompressed while others are read. */
const READS_MAX = 8;

export interface VerifyReport {
  readonly snapshotCount: number;
  /** Chunks that were read; one that several snapshots share is read once. */
  readonly chunkCount: number;
  /** Chunks under a data key that is not at hand: they are whole as sealed, and were not looked into. */
  readonly sealedCount: number;
  readonly damage: readonly Damage[];
}

/**
 * Reads every chunk that the snapshots hold back, and verifies it. Content that snapshots share is read once, and named for
 * each of them where it is damaged. Memory: one bit a chunk, and the damage. Throws StoreError 'aborted'.
 */
export async function verifySnapshots(
  chunks: ChunkStore,
  snapshots: readonly Manifest[],
  options: {
    readonly signal: AbortSignal;
    /** Bytes of snapshots that were gone through since the last call. */
    readonly onProgress: (bytes: number) => void;
    readonly onDamage: (damage: Damage) => void;
  },
): Promise<VerifyReport> {
  const verifier = new Verifier(chunks);
  const damage: Damage[] = [];
  for (const manifest of snapshots) {
    for await (const found of verifier.verify(manifest, options)) {
      damage.push(found);
      options.onDamage(found);
    }
  }
  return {
    snapshotCount: snapshots.length,
    chunkCount: verifier.chunkCount,
    sealedCount: verifier.sealedCount,
    damage,
  };
}

class Verifier {
  readonly #chunks: ChunkStore;
  /** Chunks that read back, and nodes below which everything does, by the numbers that the index gives records. */
  readonly #whole = new MarkSet();
  /** Why a chunk does not read back, by its account and key. */
  readonly #damaged = new Map<string, string>();
  chunkCount = 0;
  sealedCount = 0;

  constructor(chunks: ChunkStore) {
    this.#chunks = chunks;
  }

  async *verify(
    manifest: Manifest,
    options: { readonly signal: AbortSignal; readonly onProgress: (bytes: number) => void },
  ): AsyncGenerator<Damage> {
    const { account } = manifest.label;
    const dataKey = manifest.root.dataKey ?? null;
    /** How much damage there was when each of the nodes on the path was entered. */
    const path: number[] = [];
    let damageCount = 0;
    const skip = (node: Child): boolean => {
      if (!this.#isWhole(account, node.key)) {
        path.push(damageCount);
        return false;
      }
      options.onProgress(node.count * CHUNK_BYTES);
      return true;
    };
    const leave = (node: Child): void => {
      if (path.pop() === damageCount) this.#addWhole(account, node.key);
    };
    for await (const found of scanTree(this.#chunks, account, manifest.root, { skip, leave })) {
      throwIfAborted(options.signal);
      if (found.kind === 'damage') {
        damageCount += 1;
        yield damageOf(manifest, found);
        continue;
      }
      for (const bad of await this.#readLeaf(account, dataKey, found.chunks)) {
        damageCount += 1;
        yield damageOf(manifest, { ...bad, count: 1 });
      }
      options.onProgress(found.chunks.length * CHUNK_BYTES);
    }
  }

  async #readLeaf(
    account: AccountId,
    dataKey: DataKeyId | null,
    leaf: readonly FoundChunk[],
  ): Promise<readonly { readonly index: number; readonly reason: string }[]> {
    const bad: { readonly index: number; readonly reason: string }[] = [];
    await using group = new TaskGroup({ limit: READS_MAX });
    for (const { index, key } of leaf) {
      if (this.#isWhole(account, key)) continue;
      await group.add(async () => {
        const reason = await this.#readChunk(account, dataKey, key);
        if (reason !== null) bad.push({ index, reason });
      });
    }
    await group.drain();
    return bad.toSorted((a, b) => a.index - b.index);
  }

  /** Null, or why the chunk cannot be read. */
  async #readChunk(account: AccountId, dataKey: DataKeyId | null, key: Buffer): Promise<string | null> {
    const name = `${account} ${key.toString('hex')}`;
    const known = this.#damaged.get(name);
    if (known !== undefined) return known;
    try {
      await this.#chunks.readChunk(account, key, dataKey);
      this.chunkCount += 1;
    } catch (error) {
      const why = isStoreError(error, 'key-needed') ? await this.#sealDamage(account, key) : error;
      if (why instanceof DamageError || isStoreError(why, 'damaged')) {
        this.#damaged.set(name, why.message);
        return why.message;
      }
      if (why !== null) throw why;
      this.sealedCount += 1;
    }
    this.#addWhole(account, key);
    return null;
  }

  /** Why the records of a chunk whose data key is not at hand are not whole; null: they are. */
  async #sealDamage(account: AccountId, key: Buffer): Promise<unknown> {
    const place = this.#chunks.index.find(account, key);
    if (place === null) return new DamageError(`chunk ${key.toString('hex')} is in no pack`);
    try {
      await this.#chunks.checkCopy(account, { key, place });
      return null;
    } catch (error) {
      return error;
    }
  }

  #isWhole(account: AccountId, key: Uint8Array): boolean {
    const mark = this.#chunks.index.findMark(account, key)?.mark;
    return mark !== undefined && this.#whole.has(mark);
  }

  #addWhole(account: AccountId, key: Uint8Array): void {
    const mark = this.#chunks.index.findMark(account, key)?.mark;
    if (mark !== undefined) this.#whole.add(mark);
  }
}

function isStoreError(error: unknown, kind: StoreErrorKind): error is StoreError {
  return error instanceof StoreError && error.kind === kind;
}
