import { setImmediate as nextTurn } from 'node:timers/promises';

import { mapAhead } from '#base/map-ahead.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import { StoreError, throwIfAborted } from '#chunk/errors.ts';
import { MarkSet } from '#chunk/mark-set.ts';
import type { AccountId } from '#domain/ids.ts';

import type { AccountRoot } from './holds.ts';
import { FAN_OUT, type Child, type TreeNode } from './tree-node.ts';
import { loadNode, rootChild } from './tree.ts';

/** Records looked up in one turn of the event loop: a millisecond or two. A node names 256, and what each rests on. */
const LOOKUPS_PER_TURN = 256;

/** Nodes read at once below one: of a bucket, each is a wait. */
const NODES_AHEAD_MAX = 4;

/** Finds every record that some roots need. A subtree that is shared is walked once. Memory: a bit a record. */
export class Marker {
  readonly marks = new MarkSet();
  readonly #chunks: ChunkStore;
  readonly #signal: AbortSignal;
  #chunkCount = 0;
  #lookupCount = 0;

  constructor(chunks: ChunkStore, signal: AbortSignal) {
    this.#chunks = chunks;
    this.#signal = signal;
  }

  /** Different chunks found. */
  get chunkCount(): number {
    return this.#chunkCount;
  }

  /** Several may be marked at once: only together do they mark all that they need. Throws StoreError 'damaged' when a record that the root needs is not there or a node does not read. */
  async mark({ account, root }: AccountRoot): Promise<void> {
    const top = rootChild(root);
    if (top === null || !this.#add(account, top.key)) return;
    await this.#breathe();
    await this.#visit(account, await loadNode(this.#chunks, account, top, root.depth - 1), root.depth - 1);
  }

  async #visit(account: AccountId, node: TreeNode, level: number): Promise<void> {
    if (level > 0) {
      const load = (child: Child): Promise<TreeNode> => loadNode(this.#chunks, account, child, level - 1);
      const loaded = mapAhead(this.#newChildren(account, node), NODES_AHEAD_MAX, load);
      for await (const below of loaded) await this.#visit(account, below, level - 1);
      return;
    }
    for (let slot = 0; slot < FAN_OUT; slot += 1) {
      const below = node.child(slot);
      if (below === null) continue;
      this.#addChunk(account, below.key);
      if (this.#lookupCount >= LOOKUPS_PER_TURN) await this.#breathe();
    }
  }

  /** Those that were not marked; they are now. */
  async *#newChildren(account: AccountId, node: TreeNode): AsyncGenerator<Child> {
    for (let slot = 0; slot < FAN_OUT; slot += 1) {
      const below = node.child(slot);
      if (below === null || !this.#add(account, below.key)) continue;
      await this.#breathe();
      yield below;
    }
  }

  /** Others have their turn. */
  async #breathe(): Promise<void> {
    this.#lookupCount = 0;
    await nextTurn();
    throwIfAborted(this.#signal);
  }

  /** A chunk that is stored as a delta needs its base, and that one's. */
  #addChunk(account: AccountId, key: Buffer): void {
    for (let next: Buffer | null = key; next !== null;) {
      const { mark, base } = this.#find(account, next);
      if (!this.marks.add(mark)) return;
      this.#chunkCount += 1;
      next = base;
    }
  }

  /** Answers whether the record was not marked before. */
  #add(account: AccountId, key: Buffer): boolean {
    return this.marks.add(this.#find(account, key).mark);
  }

  #find(account: AccountId, key: Buffer): { readonly mark: number; readonly base: Buffer | null } {
    this.#lookupCount += 1;
    const found = this.#chunks.index.findMark(account, key);
    if (found !== null) return found;
    throw new StoreError('damaged', `record ${key.toString('hex')} of account ${account} is needed, and is in no pack`);
  }
}
